//! The scenarios. Each answers true where everything held that it checks.

pub mod breakout;
pub mod broadcast;
pub mod cluster;
pub mod crash;
pub mod floor;
pub mod idle;
pub mod joins;
pub mod meeting;
pub mod terminal;
pub mod voters;
pub mod webhooks;
pub mod whiteboard;

use clap::Args;
use convoke_loadtest::rest::{Failure, Key, Rest};
use convoke_loadtest::server::{Server, beside_me};
use std::path::PathBuf;
use std::time::Duration;

/// Which server to load.
#[derive(Args)]
pub struct Target {
    /// A running server, as http://host:port
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// Its API key, as key:secret
    #[arg(long, env = "CONVOKE_LOADTEST_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Its process id, for CPU and memory
    #[arg(long)]
    pid: Option<u32>,
    /// Start a server of one's own instead
    #[arg(long)]
    spawn: bool,
    /// The server's executable [default: next to this one]
    #[arg(long)]
    server_bin: Option<PathBuf>,
    /// The database of a spawned server [default: a fresh SQLite file]
    #[arg(long)]
    database_url: Option<String>,
}

pub struct Loaded {
    pub rest: Rest,
    pub pid: Option<u32>,
    /// Ends with the run.
    _server: Option<Server>,
}

impl Target {
    pub async fn open(&self) -> Result<Loaded, Failure> {
        if self.spawn {
            let server = self.spawn_with(&[]).await?;
            return Ok(Loaded { rest: server.rest.clone(), pid: server.pid(), _server: Some(server) });
        }
        let key = self.api_key.as_deref().ok_or("name the server's API key with --api-key, or use --spawn")?;
        let host = self.url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Ok(Loaded { rest: Rest { host, key: Key::parse(key)? }, pid: self.pid, _server: None })
    }

    /// Whether a server of one's own is to be started.
    pub fn spawns(&self) -> bool {
        self.spawn
    }

    pub async fn spawn_with(&self, settings: &[(&str, &str)]) -> Result<Server, Failure> {
        let binary = match &self.server_bin {
            Some(binary) => binary.clone(),
            None => beside_me()?,
        };
        let mut all = settings.to_vec();
        if let Some(url) = &self.database_url {
            all.push(("CONVOKE_DATABASE_URL", url));
        }
        Server::start(&binary, &all).await
    }
}

/// `30s`, `2m`, `500ms`.
pub fn duration(text: &str) -> Result<Duration, String> {
    let split = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(split);
    let number: u64 = number.parse().map_err(|_| "a duration is a number with ms, s or m".to_owned())?;
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" | "" => Ok(Duration::from_secs(number)),
        "m" => Ok(Duration::from_secs(number * 60)),
        _ => Err("a duration is a number with ms, s or m".to_owned()),
    }
}

/// The middle of some figures.
pub fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
