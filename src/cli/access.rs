//! How a command comes by the tenants' keys and makes a meeting, whether a server is running or not.
//! A running server holds the lock of its SQLite file; keys are then read beside it, read-only, and
//! meetings are made through its REST interface, so that it hears of them.

use super::Failure;
use super::client;
use crate::adapters::clock::SystemClock;
use crate::adapters::store::{self, Db, Opened};
use crate::auth::{ApiKey, Keyring, parse_keys};
use crate::config::Config;
use crate::wiring;
use convoke_actors::ports::{Clock, MeetingKey};
use convoke_domain::command::Create;
use convoke_domain::shapes::Settings;
use convoke_domain::{MeetingId, Now, TenantId};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};
use std::str::FromStr;

/// An API token of the command line is used at once.
const TOKEN_TTL_S: u64 = 60;

/// The tenants' keys: the configured ones; or those that the database keeps, where one is made if
/// there is none yet.
pub async fn keyring(config: &Config) -> Result<Keyring, Failure> {
    if let Some(keys) = &config.api_keys {
        return parse_keys(keys.expose_secret()).map(Keyring::new).map_err(|error| error.to_string());
    }
    let url = config.database_url.expose_secret();
    let keys = match store::open(url).await {
        Ok(opened) => {
            let keys = kept_or_made(config, &opened).await;
            opened.db.close().await;
            keys?
        }
        Err(error) => match beside(url).await {
            Some(db) => kept(&db).await.ok_or("the running server has no API key yet")?,
            None => return Err(error.to_string()),
        },
    };
    Ok(Keyring::new(keys))
}

async fn kept(db: &Db) -> Option<Vec<ApiKey>> {
    db.api_keys().await.ok().filter(|keys| !keys.is_empty())
}

async fn kept_or_made(config: &Config, opened: &Opened) -> Result<Vec<ApiKey>, Failure> {
    if let Some(keys) = kept(&opened.db).await {
        return Ok(keys);
    }
    opened.db.migrate().await.map_err(|error| error.to_string())?;
    wiring::api_keys(config, &opened.db).await.map_err(|error| error.to_string())
}

/// The SQLite file of a running server, read-only and without its lock.
pub async fn beside(url: &str) -> Option<Db> {
    if !url.starts_with("sqlite:") {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?.read_only(true).create_if_missing(false);
    let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await.ok()?;
    Some(Db::Sqlite { write: pool.clone().into(), read: pool })
}

/// The tenant to act for: the named one, or the only one, or else the first configured.
pub fn tenant(keyring: &Keyring, named: Option<String>) -> Result<TenantId, Failure> {
    match named {
        Some(named) => {
            let known = keyring.tenants().find(|tenant| tenant.0 == named).cloned();
            known.ok_or_else(|| format!("there is no tenant `{named}`"))
        }
        None => keyring.tenants().next().cloned().ok_or_else(|| "there is no API key".to_owned()),
    }
}

/// Makes a meeting: through the server where one runs, in its database where none does.
pub async fn make_meeting(
    config: &Config,
    keyring: &Keyring,
    tenant: &TenantId,
    title: &str,
) -> Result<MeetingId, Failure> {
    let bearer = keyring.mint_api(tenant, TOKEN_TTL_S).ok_or("the tenant has no API key")?;
    let body = json!({ "title": title });
    match client::post(config.reachable(), "/api/v1/meetings", &bearer, &body).await {
        Ok((201, meeting)) => made(&meeting),
        Ok((status, problem)) => Err(refused(config, status, &problem)),
        Err(client::Unanswered::NobodyThere) => store_meeting(config, tenant, title).await,
        Err(client::Unanswered::Broken(why)) => Err(format!("the server at {} {why}", config.reachable())),
    }
}

fn made(meeting: &Value) -> Result<MeetingId, Failure> {
    let id = meeting.get("id").and_then(Value::as_str).and_then(|id| id.parse().ok());
    id.ok_or_else(|| "the server answered without the meeting's id".to_owned())
}

fn refused(config: &Config, status: u16, problem: &Value) -> Failure {
    let address = config.reachable();
    match (status, problem.get("detail").and_then(Value::as_str)) {
        (401, _) => format!("the server at {address} does not know this API key: is it of another database?"),
        (_, Some(detail)) => format!("the server at {address} refused: {detail}"),
        (status, None) => format!("what answers at {address} is no Convoke server ({status})"),
    }
}

async fn store_meeting(config: &Config, tenant: &TenantId, title: &str) -> Result<MeetingId, Failure> {
    let opened = store::open(config.database_url.expose_secret()).await.map_err(|error| error.to_string())?;
    opened.db.migrate().await.map_err(|error| error.to_string())?;
    let id = MeetingId(uuid::Uuid::now_v7());
    let create = Create {
        tenant: tenant.clone(),
        id,
        title: title.to_owned(),
        scheduled_at: None,
        recurrence: None,
        settings: Settings::default(),
        breakout: None,
    };
    let now = Now { at: SystemClock::default().now(), entropy: SystemClock::default().entropy() };
    let limits = config.limits();
    let (state, recorded) = convoke_domain::turn::begin(create, now, &limits).map_err(|error| error.to_string())?;
    let key = MeetingKey { tenant: tenant.clone(), meeting: id };
    let wake_at = convoke_domain::deadlines::next_at(&state, &limits);
    let row = convoke_actors::meeting::row_of(&recorded);
    let created = opened.store.create(&key, &row, wake_at).await.map_err(|error| error.to_string());
    opened.db.close().await;
    created.map(|_| id)
}
