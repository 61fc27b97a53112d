//! Every setting, with its default and its unit. They are read from `convoke.toml`, then from the
//! environment (`CONVOKE_…`), then from flags; what is not known is an error that names the nearest
//! setting that is.

use convoke_actors::outlet::Bounds;
use convoke_actors::session::Pace;
use convoke_actors::supervisor::Timing;
use convoke_domain::Limits;
use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

/// Variables that belong to the tests and the load tester.
const FOREIGN: [&str; 2] = ["CONVOKE_TEST_", "CONVOKE_LOADTEST_"];

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("unknown setting `{name}`{hint}")]
    Unknown { name: String, hint: String },
    #[error("setting `{name}`: {why}")]
    Bad { name: &'static str, why: String },
    #[error("{0}")]
    Unreadable(String),
}

#[derive(Clone, Debug, Deserialize)]
pub struct Config {
    /// Address to listen on.
    pub bind: SocketAddr,
    /// `sqlite://path` or `postgres://…`.
    pub database_url: SecretString,
    /// `tenant/key:secret`, separated by commas. Absent: one is made and kept in the database.
    pub api_keys: Option<SecretString>,
    /// Stable name of this node. Absent: random.
    pub node_id: Option<String>,
    /// What links are made with. Absent: from the request.
    pub public_url: Option<String>,
    /// Origins that browsers may come from, besides this host itself and localhost.
    pub allowed_origins: Vec<String>,
    /// Proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<String>,
    /// Threads that serve sockets and REST. 0: as many as there are cores.
    pub workers: usize,
    /// Threads that run the meetings. 0: half as many as there are cores, at least one.
    pub meeting_threads: usize,
    /// STUN and TURN servers for mesh meetings.
    pub ice_servers: Vec<String>,
    /// Where media goes when no LiveKit is configured: `mesh` or `none`.
    pub media: String,
    /// Sockets on this node.
    pub connections_max: usize,
    /// Bytes of one frame from a client.
    pub frame_bytes_max: usize,
    /// Bytes that may wait for one socket, snapshots not counted.
    pub reliable_bytes_max: usize,
    /// Commands a second and session, and at once.
    pub commands_per_s: NonZeroU32,
    pub commands_burst: NonZeroU32,
    /// Unanswered commands of one session.
    pub in_flight_max: usize,
    /// Time for a socket's first frame, in seconds.
    pub hello_s: u64,
    /// Silence after which a socket is dropped, in seconds.
    pub heartbeat_s: u64,
    /// Time without progress, while data waits, after which a socket is closed, in seconds.
    pub progress_s: u64,
    /// Time between two ticks, in seconds.
    pub tick_s: u64,
    /// A drop shorter than this is no event, in milliseconds.
    pub drop_ms: u64,
    /// How long a lost session may take to come back, in seconds.
    pub grace_s: u64,
    /// How long a meeting stays open with nobody in it, in seconds.
    pub empty_s: u64,
    /// How long a meeting without sockets stays in memory, in seconds.
    pub passivate_s: u64,
    /// People in one meeting.
    pub participants_max: u32,
    /// REST requests a minute and key, and at once.
    pub requests_per_minute: NonZeroU32,
    pub requests_burst: NonZeroU32,
    /// Failed authentications a minute and address.
    pub auth_failures_per_minute: NonZeroU32,
    /// `json`, `pretty`, or `auto`: pretty where somebody looks on.
    pub log_format: String,
    /// As `RUST_LOG` understands it.
    pub log_level: String,
    /// Where traces are sent by OTLP over HTTP.
    pub otlp_url: Option<String>,
}

/// The defaults, as a document that the other sources are laid over.
#[derive(Serialize)]
struct Defaults {
    bind: &'static str,
    database_url: &'static str,
    allowed_origins: [&'static str; 0],
    trusted_proxies: [&'static str; 0],
    workers: usize,
    meeting_threads: usize,
    ice_servers: [&'static str; 0],
    media: &'static str,
    connections_max: usize,
    frame_bytes_max: usize,
    reliable_bytes_max: usize,
    commands_per_s: u32,
    commands_burst: u32,
    in_flight_max: usize,
    hello_s: u64,
    heartbeat_s: u64,
    progress_s: u64,
    tick_s: u64,
    drop_ms: u64,
    grace_s: u64,
    empty_s: u64,
    passivate_s: u64,
    participants_max: u32,
    requests_per_minute: u32,
    requests_burst: u32,
    auth_failures_per_minute: u32,
    log_format: &'static str,
    log_level: &'static str,
}

const DEFAULTS: Defaults = Defaults {
    bind: "127.0.0.1:8080",
    database_url: "sqlite://data/convoke.db",
    allowed_origins: [],
    trusted_proxies: [],
    workers: 0,
    meeting_threads: 0,
    ice_servers: [],
    media: "mesh",
    connections_max: 100_000,
    frame_bytes_max: 64 * 1024,
    reliable_bytes_max: 1 << 20,
    commands_per_s: 20,
    commands_burst: 60,
    in_flight_max: 64,
    hello_s: 5,
    heartbeat_s: 25,
    progress_s: 15,
    tick_s: 10,
    drop_ms: 3_000,
    grace_s: 30,
    empty_s: 300,
    passivate_s: 60,
    participants_max: 1_000,
    requests_per_minute: 1_000,
    requests_burst: 200,
    auth_failures_per_minute: 20,
    log_format: "auto",
    log_level: "info",
};

/// Settings without a default.
const OPTIONAL: [&str; 4] = ["api_keys", "node_id", "public_url", "otlp_url"];

impl Config {
    /// Reads the file (if it is there, or if it was named), the environment, and flags as `key=value`.
    pub fn load(file: Option<&Path>, flags: &[(String, String)]) -> Result<Self, ConfigError> {
        if let Some(named) = file.filter(|path| !path.exists()) {
            return Err(ConfigError::Unreadable(format!("there is no file {}", named.display())));
        }
        let env = Env::prefixed("CONVOKE_").filter(|name| {
            let whole = format!("CONVOKE_{}", name.as_str().to_uppercase());
            !FOREIGN.iter().any(|prefix| whole.starts_with(prefix))
        });
        let mut figment = Figment::from(Serialized::defaults(&DEFAULTS))
            .merge(Toml::file(file.unwrap_or(Path::new("convoke.toml"))))
            .merge(env);
        for (key, value) in flags {
            let value = value.parse::<figment::value::Value>().unwrap_or_else(|_| value.clone().into());
            figment = figment.merge((key.replace('-', "_"), value));
        }
        check_names(&figment)?;
        let config: Self = figment.extract().map_err(|error| {
            // The value may be a secret: only where it stands and what was expected is told.
            let at = error.path.join(".");
            ConfigError::Unreadable(match error.kind {
                figment::error::Kind::InvalidType(_, expected) => format!("setting `{at}`: expected {expected}"),
                figment::error::Kind::MissingField(field) => format!("setting `{field}` is missing"),
                _ => format!("setting `{at}` has a wrong value"),
            })
        })?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), ConfigError> {
        let in_range = |name: &'static str, value: u64, from: u64, to: u64| {
            if (from..=to).contains(&value) {
                Ok(())
            } else {
                Err(ConfigError::Bad { name, why: format!("is from {from} to {to}") })
            }
        };
        in_range("hello_s", self.hello_s, 1, 60)?;
        in_range("heartbeat_s", self.heartbeat_s, 5, 600)?;
        in_range("progress_s", self.progress_s, 5, 600)?;
        in_range("tick_s", self.tick_s, 1, 600)?;
        in_range("drop_ms", self.drop_ms, 0, 60_000)?;
        in_range("grace_s", self.grace_s, 1, 3_600)?;
        in_range("empty_s", self.empty_s, 1, 86_400)?;
        in_range("passivate_s", self.passivate_s, 1, 86_400)?;
        in_range("participants_max", u64::from(self.participants_max), 1, 10_000)?;
        let frame = u64::try_from(self.frame_bytes_max).unwrap_or(u64::MAX);
        in_range("frame_bytes_max", frame, 1_024, 16 << 20)?;
        if !["mesh", "none"].contains(&self.media.as_str()) {
            return Err(ConfigError::Bad { name: "media", why: "is `mesh` or `none`".to_owned() });
        }
        if !["auto", "json", "pretty"].contains(&self.log_format.as_str()) {
            return Err(ConfigError::Bad { name: "log_format", why: "is `auto`, `json` or `pretty`".to_owned() });
        }
        Ok(())
    }

    pub fn limits(&self) -> Limits {
        Limits {
            participants_max: self.participants_max,
            grace_ms: self.grace_s.saturating_mul(1_000),
            empty_ms: self.empty_s.saturating_mul(1_000),
            ..Limits::default()
        }
    }

    pub fn bounds(&self) -> Bounds {
        Bounds {
            reliable_bytes_max: self.reliable_bytes_max,
            progress: Duration::from_secs(self.progress_s),
            heartbeat: Duration::from_secs(self.heartbeat_s),
            ..Bounds::default()
        }
    }

    pub fn pace(&self) -> Pace {
        Pace {
            commands_per_s: self.commands_per_s,
            burst: self.commands_burst,
            in_flight_max: self.in_flight_max,
            hello: Duration::from_secs(self.hello_s),
            ..Pace::default()
        }
    }

    pub fn timing(&self) -> Timing {
        Timing {
            drop: Duration::from_millis(self.drop_ms),
            passivate: Duration::from_secs(self.passivate_s),
            ..Timing::default()
        }
    }
}

fn known() -> Vec<String> {
    let defaults = serde_json::to_value(&DEFAULTS).unwrap_or_default();
    let named = defaults.as_object().into_iter().flat_map(|object| object.keys().cloned());
    named.chain(OPTIONAL.iter().map(|name| (*name).to_owned())).collect()
}

fn check_names(figment: &Figment) -> Result<(), ConfigError> {
    let known = known();
    let given: figment::value::Dict = figment.extract().map_err(|error| ConfigError::Unreadable(error.to_string()))?;
    for name in given.keys() {
        if known.contains(name) {
            continue;
        }
        let nearest =
            known.iter().max_by(|a, b| strsim::jaro_winkler(a, name).total_cmp(&strsim::jaro_winkler(b, name)));
        let hint = nearest.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        return Err(ConfigError::Unknown { name: name.clone(), hint });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let flags: Vec<(String, String)> = flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Config::load(None, &flags)
    }

    #[test]
    fn an_unknown_setting_names_the_nearest_known_one() {
        let error = load(&[("heartbeet_s", "5")]).unwrap_err().to_string();
        assert_eq!(error, "unknown setting `heartbeet_s`; did you mean `heartbeat_s`?");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        let error = load(&[("hello_s", "0")]).unwrap_err().to_string();
        assert_eq!(error, "setting `hello_s`: is from 1 to 60");
        assert!(load(&[("media", "pigeons")]).is_err());
        assert!(load(&[("bind", "nowhere")]).is_err());
    }

    #[test]
    fn secrets_do_not_show() {
        let config = load(&[("database_url", "postgres://u:hunter2@db/x"), ("api_keys", "k:hunter2hunter2hunter2")]);
        let shown = format!("{:?}", config.unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
