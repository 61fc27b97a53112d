//! `convoke serve`. The telemetry encloses the runtime: its exporter waits for a thread of its own,
//! which must not happen inside, and what it holds is sent after the last actor has stopped.

use super::Failure;
use crate::auth::{ApiKey, parse_keys};
use crate::config::Config;
use crate::{telemetry, wiring};
use secrecy::ExposeSecret;

pub fn serve(config: Config) -> Result<(), Failure> {
    let _telemetry = telemetry::begin(&config);
    warn(&config);
    actix_rt::System::new().block_on(wiring::serve(config)).map_err(|error| {
        tracing::error!(%error, "the server ends");
        error.to_string()
    })
}

/// What is allowed and still unwise.
fn warn(config: &Config) {
    let keys = config.api_keys.as_ref().and_then(|keys| parse_keys(keys.expose_secret()).ok());
    for key in keys.iter().flatten().filter(|key| ApiKey::is_weak(key)) {
        tracing::warn!(key = %key.key, "the secret of this API key is shorter than 32 characters and can be guessed");
    }
    if !config.bind.ip().is_loopback() && config.public_url.is_none() {
        tracing::warn!("public_url is not set: links are made from what requests say the host is");
    }
}
