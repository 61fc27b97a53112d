//! A LiveKit server of a test's own, on free ports of this machine, ended by its process id.

use super::skipped;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const KEY: &str = "convoke";
pub const SECRET: &str = "0123456789abcdef0123456789abcdef";
/// How long it may take to answer first, on a machine that has much else to do.
const START: Duration = Duration::from_secs(60);

pub struct Livekit {
    pub port: u16,
    binary: String,
    folder: PathBuf,
    child: Child,
}

impl Livekit {
    /// One that tells of what happens in its rooms where a URL is given. None, said aloud: there is none.
    pub fn start(webhook_url: Option<&str>) -> Option<Self> {
        let Ok(binary) = std::env::var("CONVOKE_TEST_LIVEKIT") else {
            skipped("there is no LiveKit server: CONVOKE_TEST_LIVEKIT is not set");
            return None;
        };
        loop {
            let mut server = Self::on([tcp_port(), tcp_port(), udp_port()], &binary, webhook_url);
            if server.is_up() {
                return Some(server);
            }
        }
    }

    fn on([port, tcp, udp]: [u16; 3], binary: &str, webhook_url: Option<&str>) -> Self {
        let folder = std::env::temp_dir().join(format!("convoke-livekit-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        let mut config = format!(
            "port: {port}\nbind_addresses: [127.0.0.1]\nkeys: {{ {KEY}: {SECRET} }}\nlogging: {{ level: info }}\n\
             rtc:\n  tcp_port: {tcp}\n  udp_port: {udp}\n  use_external_ip: false\n  node_ip: 127.0.0.1\n  \
             enable_loopback_candidate: true\n"
        );
        if let Some(url) = webhook_url {
            config.push_str(&format!("webhook:\n  api_key: {KEY}\n  urls: [\"{url}\"]\n"));
        }
        std::fs::write(folder.join("config.yaml"), config).unwrap();
        let child = spawn(binary, &folder);
        Self { port, binary: binary.to_owned(), folder, child }
    }

    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// It stands still: connections to it hold, and nothing is answered.
    pub fn freeze(&self) {
        self.signal("-STOP");
    }

    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// `kill -9`; it forgets its rooms and who is in them.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// After it was killed: on the same ports, with the same keys.
    pub fn start_again(&mut self) {
        self.child = spawn(&self.binary, &self.folder);
        assert!(self.is_up(), "its ports are somebody else's now");
    }

    /// Whether it answers; false where it ended, because somebody else was first on one of its ports.
    fn is_up(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if self.answers() {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                let log = self.log();
                assert!(log.contains("address already in use"), "LiveKit does not start: {log}");
                return false;
            }
            assert!(began.elapsed() < START, "LiveKit does not answer: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let asked = stream.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let mut answer = String::new();
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.starts_with("HTTP/1.1 200")
    }

    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}", self.port)
    }

    /// What a node is told of it.
    pub fn settings(&self) -> [(&'static str, String); 3] {
        [("livekit_url", self.url()), ("livekit_api_key", KEY.to_owned()), ("livekit_api_secret", SECRET.to_owned())]
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }
}

impl Drop for Livekit {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn spawn(binary: &str, folder: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("log")).unwrap();
    Command::new(binary)
        .arg("--config")
        .arg(folder.join("config.yaml"))
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

fn tcp_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn udp_port() -> u16 {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
