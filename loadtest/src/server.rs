//! A server of one's own: started on a free port with a fresh database, killed, started again on
//! the same one, and looked at through /proc.

use crate::rest::{Failure, Key, Rest};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(60);
/// How long a server may take to stop.
const STOP: Duration = Duration::from_secs(5);

pub struct Server {
    pub rest: Rest,
    binary: PathBuf,
    environment: Vec<(String, String)>,
    child: Option<Child>,
    folder: PathBuf,
}

impl Server {
    /// Starts the server with these settings over a fresh SQLite database, unless they name another.
    pub async fn start(binary: &Path, settings: &[(&str, &str)]) -> Result<Self, Failure> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let host = format!("127.0.0.1:{port}");
        let folder = std::env::temp_dir().join(format!("convoke-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder)?;
        let secret = uuid::Uuid::now_v7().simple().to_string();
        let environment = vec![
            ("CONVOKE_BIND".to_owned(), host.clone()),
            ("CONVOKE_DATABASE_URL".to_owned(), format!("sqlite://{}/convoke.db", folder.display())),
            ("CONVOKE_API_KEYS".to_owned(), format!("load:{secret}")),
            ("CONVOKE_LOG_LEVEL".to_owned(), "warn".to_owned()),
            ("CONVOKE_REQUESTS_PER_MINUTE".to_owned(), "1000000".to_owned()),
            ("CONVOKE_REQUESTS_BURST".to_owned(), "100000".to_owned()),
        ];
        let key = Key::parse(&format!("load:{secret}"))?;
        let rest = Rest { host, key };
        let mut server = Self { rest, binary: binary.to_owned(), environment, child: None, folder };
        settings.iter().for_each(|(name, value)| server.set(name, value));
        server.run().await?;
        Ok(server)
    }

    /// Gives a setting another value, from the next start on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(other, _)| other != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// Starts it, or starts it again, and waits until it can serve.
    pub async fn run(&mut self) -> Result<(), Failure> {
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join("log"))?;
        let mut command = Command::new(&self.binary);
        command.current_dir(&self.folder).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        for name in std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("CONVOKE_")) {
            command.env_remove(name);
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.child = Some(command.spawn()?);
        let began = Instant::now();
        while began.elapsed() < START {
            if let Ok(response) = self.rest.send("GET", "/readyz", &[], None).await
                && response.status == 200
            {
                return Ok(());
            }
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten()) {
                return Err(format!("the server ended at once ({status}): {}", self.log()).into());
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Err(format!("the server did not become ready: {}", self.log()).into())
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<(), Failure> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// SIGTERM, and how long it took to end.
    pub fn terminate(&mut self) -> Result<Duration, Failure> {
        let Some(mut child) = self.child.take() else { return Ok(Duration::ZERO) };
        let began = Instant::now();
        Command::new("kill").arg(child.id().to_string()).status()?;
        child.wait()?;
        Ok(began.elapsed())
    }
}

impl Drop for Server {
    /// Stopped as an operator stops it; one that does not stop in time is killed.
    fn drop(&mut self) {
        if let Some(child) = self.child.as_mut() {
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let began = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && began.elapsed() < STOP {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.kill();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// CPU seconds and resident bytes of a process, by /proc.
pub fn usage(pid: u32) -> Option<(f64, u64)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = resident.trim().trim_end_matches(" kB").trim().parse().ok()?;
    // Linux counts CPU time in hundredths of a second.
    Some((ticks / 100.0, kilobytes * 1_024))
}

/// The server's executable, next to this one.
pub fn beside_me() -> Result<PathBuf, Failure> {
    let mine = std::env::current_exe()?;
    let folder = mine.parent().ok_or("no folder")?;
    for candidate in [folder.join("convoke"), folder.join("../convoke")] {
        if candidate.exists() {
            return Ok(candidate);
        }
    }
    Err("the server is not built; run `cargo build --release --bin convoke` first, or name it with --server-bin".into())
}
