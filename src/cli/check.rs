//! `convoke check`: the configuration and what it points to, one line each, never a secret. What is
//! not configured is said to be so; what fails makes the command fail, after all lines are told.

use super::{Failure, access, say};
use crate::adapters::media::livekit::LiveKit;
use crate::adapters::store;
use crate::auth::{ApiKey, parse_keys};
use crate::config::{Config, ConfigError};
use crate::objects::{Objects, Tools};
use secrecy::ExposeSecret;
use sqlx::postgres::PgConnectOptions;
use sqlx::sqlite::SqliteConnectOptions;
use std::collections::BTreeSet;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(3);

type Found = Result<String, Failure>;

fn report(what: &str, found: &Found) {
    match found {
        Ok(detail) => say(format_args!("{what:<14} ok      {detail}")),
        Err(why) => say(format_args!("{what:<14} FAILED  {why}")),
    }
}

pub fn configuration_failed(error: &ConfigError) {
    report("configuration", &Err(error.to_string()));
}

pub async fn check(config: &Config) -> Result<(), Failure> {
    let lines = [
        ("configuration", Ok(format!("listens on {}, links begin with {}", config.bind, config.base_url()))),
        ("API keys", keys(config)),
        ("database", database(config).await),
        ("redis", redis(config).await),
        ("livekit", livekit(config).await),
        ("objects", objects(config).await),
        ("ffmpeg", Ok(tools(Tools::installed()))),
        ("transcriber", transcriber(config).await),
        ("mail", mail(config).await),
        ("traces", traces(config).await),
    ];
    for (what, found) in &lines {
        report(what, found);
    }
    let failed = lines.iter().filter(|(_, found)| found.is_err()).count();
    if failed == 0 { Ok(()) } else { Err(format!("{failed} of {} checks failed", lines.len())) }
}

fn keys(config: &Config) -> Found {
    let Some(keys) = &config.api_keys else { return Ok("kept in the database".to_owned()) };
    let keys = parse_keys(keys.expose_secret()).map_err(|error| error.to_string())?;
    let tenants: BTreeSet<&str> = keys.iter().map(|key| key.tenant.0.as_str()).collect();
    let weak = match keys.iter().filter(|key| ApiKey::is_weak(key)).count() {
        0 => String::new(),
        weak => format!("; {weak} with a secret of fewer than 32 characters, which can be guessed"),
    };
    Ok(format!("{} configured, of {} tenants{weak}", keys.len(), tenants.len()))
}

async fn database(config: &Config) -> Found {
    let url = config.database_url.expose_secret();
    if url.starts_with("sqlite:") { sqlite(url).await } else { postgres(url).await }
}

async fn sqlite(url: &str) -> Found {
    let options = SqliteConnectOptions::from_str(url).map_err(|_| "the URL cannot be understood".to_owned())?;
    let path = options.get_filename();
    if url.contains(":memory:") {
        return Ok("SQLite in memory: nothing is kept".to_owned());
    }
    if !path.exists() {
        writable(path.parent().unwrap_or(Path::new("")))?;
        return Ok(format!("SQLite, {} is made at the first start", path.display()));
    }
    match store::open(url).await {
        Ok(opened) => {
            let now = opened.store.now().await;
            opened.db.close().await;
            now.map(|_| format!("SQLite, {}", path.display())).map_err(|error| error.to_string())
        }
        // A server that runs is the usual reason, and then all is well.
        Err(error) => match access::beside(url).await {
            Some(db) if db.api_keys().await.is_ok() => Ok(format!("SQLite, {}, in use by a server", path.display())),
            _ => Err(error.to_string()),
        },
    }
}

async fn postgres(url: &str) -> Found {
    let options = PgConnectOptions::from_str(url).map_err(|_| "the URL cannot be understood".to_owned())?;
    let opened = store::open(url).await.map_err(|error| error.to_string())?;
    let now = opened.store.now().await;
    opened.db.close().await;
    let name = options.get_database().unwrap_or("default").to_owned();
    now.map(|_| format!("PostgreSQL, {name} on {}:{}", options.get_host(), options.get_port()))
        .map_err(|error| error.to_string())
}

async fn redis(config: &Config) -> Found {
    let Some(url) = &config.redis_url else { return Ok("not configured: this is the only node".to_owned()) };
    let url = url.expose_secret();
    let is_sentinel = url.split_once("://").is_some_and(|(scheme, _)| scheme.ends_with("+sentinel"));
    let port = if is_sentinel { 26_379 } else { 6_379 };
    reach(url, port).await
}

async fn livekit(config: &Config) -> Found {
    let Some(livekit) = LiveKit::open(config).map_err(|error| error.to_string())? else {
        return Ok(format!("not configured: media is `{}`", config.media));
    };
    let rooms = livekit.reach().await.map_err(|error| error.to_string())?;
    Ok(format!("answers and takes the key; it has {rooms} rooms"))
}

/// Whether it takes connections: a key is only tried by what costs something.
async fn transcriber(config: &Config) -> Found {
    if config.transcriber == "none" {
        return Ok("not configured: recordings are not transcribed".to_owned());
    }
    let url = &config.deepgram_url;
    let reached = reach(url, if url.starts_with("https:") { 443 } else { 80 }).await?;
    let when = if config.transcription_automatic == "yes" { "every recording" } else { "on request" };
    Ok(format!("Deepgram, {reached}; {when}, in {}", config.transcription_languages.join(", ")))
}

async fn mail(config: &Config) -> Found {
    let Some(url) = &config.smtp_url else { return Ok("not configured: invitations are not sent".to_owned()) };
    let url = url.expose_secret();
    let port = match (url.starts_with("smtps:"), url.contains("tls=")) {
        (true, _) => 465,
        (false, true) => 587,
        (false, false) => 25,
    };
    reach(url, port).await
}

async fn traces(config: &Config) -> Found {
    let Some(url) = &config.otlp_url else { return Ok("not configured: not exported".to_owned()) };
    reach(url, if url.starts_with("https:") { 443 } else { 80 }).await
}

async fn objects(config: &Config) -> Found {
    if let Some(folder) = config.objects_url.strip_prefix("file://") {
        return writable(Path::new(folder)).map(|()| format!("{folder} can be written"));
    }
    let objects = Objects::open(&config.objects_url).map_err(|error| error.to_string())?;
    match tokio::time::timeout(PATIENCE, objects.reach()).await {
        Ok(Ok(())) => Ok(format!("{} can be listed", config.objects_url)),
        Ok(Err(error)) => Err(format!("{}: {error}", config.objects_url)),
        Err(_) => Err(format!("{}: no answer", config.objects_url)),
    }
}

/// Without them there is less to see, and nothing fails.
fn tools(found: Result<Tools, &'static str>) -> String {
    match found {
        Ok(tools) => format!("{}, {}", tools.ffmpeg.display(), tools.ffprobe.display()),
        Err(missing) => format!("{missing} is not installed: recordings get no pictures"),
    }
}

/// Whether files can be made in the folder, or, where it is still to be made, in the nearest one
/// above it that exists.
fn writable(folder: &Path) -> Result<(), Failure> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let exists = here.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    let probe = exists.join(format!(".convoke-check-{}", uuid::Uuid::now_v7()));
    let failed = |error: std::io::Error| format!("cannot write to {}: {error}", exists.display());
    std::fs::File::create_new(&probe).map_err(failed)?;
    std::fs::remove_file(&probe).map_err(failed)
}

/// Whether any of the hosts of a URL takes connections.
async fn reach(url: &str, port: u16) -> Found {
    let hosts = hosts(url, port).ok_or("the URL cannot be understood")?;
    let mut told = Vec::new();
    for (host, port) in hosts {
        match tokio::time::timeout(PATIENCE, TcpStream::connect((host.as_str(), port))).await {
            Ok(Ok(_)) => return Ok(format!("{host}:{port} takes connections")),
            Ok(Err(error)) => told.push(format!("{host}:{port}: {error}")),
            Err(_) => told.push(format!("{host}:{port}: no answer")),
        }
    }
    Err(told.join("; "))
}

/// The hosts and ports of a URL, without who logs in there: `scheme://user:secret@host:port,host/…`.
fn hosts(url: &str, default_port: u16) -> Option<Vec<(String, u16)>> {
    let (_, rest) = url.split_once("://")?;
    // A secret may hold a slash, so what stands before the last @ goes first.
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    authority.split(',').map(|one| host(one.trim(), default_port)).collect()
}

fn host(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':')),
        None => text.split_once(':').map_or((text, None), |(name, port)| (name, Some(port))),
    };
    let port = port.map_or(Some(default_port), |port| port.parse().ok())?;
    if name.is_empty() { None } else { Some((name.to_owned(), port)) }
}

#[cfg(test)]
mod tests;
