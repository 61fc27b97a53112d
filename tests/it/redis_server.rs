//! Redis servers of a test's own, on free ports of this machine, that it may kill and start again.
//! Each keeps a folder, because a Cluster's nodes and Sentinels write down what they learn.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Redis {
    pub port: u16,
    folder: PathBuf,
    arguments: Vec<String>,
    password: String,
    child: Child,
}

/// A free port; a Cluster's nodes speak among themselves on the one that is 10,000 above.
fn free_port() -> u16 {
    let pairs = std::iter::repeat_with(|| {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let above = port.checked_add(10_000)?;
        TcpListener::bind(("127.0.0.1", above)).is_ok().then_some(port)
    });
    pairs.flatten().next().unwrap()
}

impl Redis {
    pub fn new(arguments: &[&str]) -> Self {
        Self::guarded("", "", arguments)
    }

    /// With a password, and a configuration file for what takes no arguments; neither where it is empty.
    pub fn guarded(password: &str, text: &str, arguments: &[&str]) -> Self {
        loop {
            let mut redis = Self::on(free_port(), password, text, arguments);
            if redis.is_up() {
                return redis;
            }
        }
    }

    fn on(port: u16, password: &str, text: &str, arguments: &[&str]) -> Self {
        let folder = std::env::temp_dir().join(format!("convoke-redis-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("redis.conf"), text).unwrap();
        let port_text = port.to_string();
        let usual = ["redis.conf", "--port", &port_text, "--bind", "127.0.0.1"];
        let guard = ["--requirepass", password];
        let guard = if password.is_empty() { &[] } else { guard.as_slice() };
        let all: Vec<String> = usual.iter().chain(guard).chain(arguments).map(|one| (*one).to_owned()).collect();
        let child = Self::spawn(&folder, &all);
        Self { port, folder, arguments: all, password: password.to_owned(), child }
    }

    /// Whether it answers; false where it ended, because somebody else was first on its port.
    fn is_up(&mut self) -> bool {
        loop {
            if self.ask(&["ping"]).starts_with("PONG") {
                return true;
            }
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn spawn(folder: &Path, arguments: &[String]) -> Child {
        let mut command = Command::new("redis-server");
        command.current_dir(folder).args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap()
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Once more, on the same port and with what it wrote down.
    pub fn run_again(&mut self) {
        self.child = Self::spawn(&self.folder, &self.arguments);
    }

    /// `-STOP`: it keeps its connections and answers nothing.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([name, &self.child.id().to_string()]).status().unwrap().success());
    }

    /// What the server answers, a line for each part.
    pub fn ask(&self, command: &[&str]) -> String {
        let mut client = Command::new("redis-cli");
        if !self.password.is_empty() {
            client.env("REDISCLI_AUTH", &self.password);
        }
        let output = client.args(["-p", &self.port.to_string()]).args(command).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Asks until the answer is the one that is waited for.
    pub async fn until(&self, command: &[&str], is_it: impl Fn(&str) -> bool) {
        let began = Instant::now();
        loop {
            let answer = self.ask(command);
            if is_it(&answer) {
                return;
            }
            assert!(began.elapsed().as_secs() < 120, "{command:?} went on saying {answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// False, said aloud, where a server of this version is missing, or PostgreSQL.
pub fn is_here(version: u32) -> bool {
    if std::env::var("CONVOKE_TEST_POSTGRES_URL").is_err() {
        println!("SKIPPED: CONVOKE_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return false;
    }
    let told = Command::new("redis-server").arg("--version").output();
    let told = told.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let major = told.split_once("v=").and_then(|(_, rest)| rest.split('.').next()?.parse::<u32>().ok());
    let is_here = major.is_some_and(|major| major >= version);
    if !is_here {
        println!("SKIPPED: this needs redis-server {version} or later, and there is {told:?}");
    }
    is_here
}
