//! PostgreSQL and Redis for the tests: on free ports of this machine, in a temporary folder, ended
//! by their process ids when the tests are over. Where they are not installed and may be, they are
//! installed; where they may not, what is missing is said. faketime, by which a node's clock is
//! wrong, comes along; without it the tests of that say that they are skipped.

use crate::Failure;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Servers {
    folder: PathBuf,
    children: Vec<Child>,
    postgres_port: u16,
    redis_port: u16,
}

impl Servers {
    pub fn start() -> Result<Self, Failure> {
        install_missing()?;
        let id = std::process::id();
        let folder = std::env::temp_dir().join(format!("convoke-test-{id}"));
        std::fs::create_dir_all(&folder)?;
        let mut servers = Self { folder, children: Vec::new(), postgres_port: free_port()?, redis_port: free_port()? };
        servers.start_postgres()?;
        servers.start_redis()?;
        Ok(servers)
    }

    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CONVOKE_TEST_POSTGRES_URL", format!("postgres://postgres@127.0.0.1:{}/postgres", self.postgres_port)),
            ("CONVOKE_TEST_REDIS_URL", format!("redis://127.0.0.1:{}", self.redis_port)),
        ]
    }

    fn start_postgres(&mut self) -> Result<(), Failure> {
        let bin = postgres_bin().ok_or("PostgreSQL is not installed")?;
        let data = self.folder.join("postgres");
        std::fs::create_dir_all(&data)?;
        if is_root() {
            run(Command::new("chown").arg("-R").arg("postgres").arg(&self.folder))?;
        }
        let shown = data.to_string_lossy().into_owned();
        run(as_postgres(&bin.join("initdb")).args(["-D", &shown, "-U", "postgres", "-A", "trust", "-E", "UTF8"]))?;
        let port = self.postgres_port.to_string();
        let server = as_postgres(&bin.join("postgres"))
            .args(["-D", &shown, "-p", &port, "-c", "listen_addresses=127.0.0.1", "-c", "max_connections=200"])
            .args(["-k", &shown])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(self.folder.join("postgres.log"))?)
            .spawn()?;
        self.children.push(server);
        let ready = bin.join("pg_isready");
        wait_for("PostgreSQL", || quiet(Command::new(&ready).args(["-h", "127.0.0.1", "-p", &port])))
            .map_err(|error| format!("{error}: {}", self.log("postgres.log")).into())
    }

    fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap_or_default()
    }

    fn start_redis(&mut self) -> Result<(), Failure> {
        let port = self.redis_port.to_string();
        let server = Command::new("redis-server")
            .args(["--port", &port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        self.children.push(server);
        wait_for("Redis", || quiet(Command::new("redis-cli").args(["-p", &port, "ping"])))
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            // `setpriv` becomes the server, so this process id is the server's own. A fast stop.
            let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn free_port() -> Result<u16, Failure> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn is_root() -> bool {
    let user = Command::new("id").arg("-u").output();
    user.is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// PostgreSQL refuses to run as root, so root runs it as its own user.
fn as_postgres(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
        command.current_dir(std::env::temp_dir());
        command
    } else {
        Command::new(program)
    }
}

/// The folder of the path that has a program of this name.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).find(|folder| folder.join(name).is_file())
}

/// The folder of PostgreSQL's programs: on the path, or where Debian keeps it.
fn postgres_bin() -> Option<PathBuf> {
    let is_whole = |bin: &PathBuf| ["initdb", "postgres", "pg_isready"].iter().all(|name| bin.join(name).is_file());
    if let Some(folder) = on_path("initdb").filter(is_whole) {
        return Some(folder);
    }
    let mut versions: Vec<PathBuf> =
        std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin")).collect();
    versions.sort();
    versions.into_iter().rev().find(is_whole)
}

fn install_missing() -> Result<(), Failure> {
    let mut missing = Vec::new();
    if postgres_bin().is_none() {
        missing.push("postgresql");
    }
    if on_path("redis-server").is_none() {
        missing.push("redis-server");
    }
    if !missing.is_empty() {
        install(&missing)?;
    }
    if on_path("faketime").is_none()
        && let Err(error) = install(&["faketime"])
    {
        println!("without faketime some tests are skipped: {error}");
    }
    Ok(())
}

fn install(missing: &[&str]) -> Result<(), Failure> {
    let names = missing.join(" ");
    if !is_root() || on_path("apt-get").is_none() {
        return Err(format!("the tests need {names}; install with: sudo apt-get install {names}").into());
    }
    println!("installing {names}");
    run(Command::new("apt-get").args(["update", "-qq"]))?;
    run(Command::new("apt-get")
        .env("DEBIAN_FRONTEND", "noninteractive")
        .args(["install", "-y", "-qq", "--no-install-recommends"])
        .args(missing))
}

pub fn run(command: &mut Command) -> Result<(), Failure> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(());
    }
    let what = command.get_program().to_string_lossy().into_owned();
    Err(format!("{what} failed: {}", String::from_utf8_lossy(&output.stderr)).into())
}

pub fn quiet(command: &mut Command) -> bool {
    command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

fn wait_for(name: &str, mut is_up: impl FnMut() -> bool) -> Result<(), Failure> {
    for _ in 0..300 {
        if is_up() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    Err(format!("{name} did not come up").into())
}
