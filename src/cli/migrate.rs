//! `convoke migrate`: what `serve` does first, alone, for deployments where the server's own role
//! may not change the schema.

use super::{Failure, say};
use crate::adapters::store;
use crate::config::Config;
use secrecy::ExposeSecret;

pub async fn migrate(config: &Config) -> Result<(), Failure> {
    let opened = store::open(config.database_url.expose_secret()).await.map_err(|error| error.to_string())?;
    opened.db.migrate().await.map_err(|error| error.to_string())?;
    opened.db.close().await;
    say("the schema is up to date");
    Ok(())
}
