//! What the type of a setting cannot say: the forms of URLs and names, and settings that must go
//! together. A wrong one stops the start, with its name, rather than the first meeting that meets it.

use super::{Config, ConfigError, Proxies};
use crate::adapters::bus;
use crate::auth::parse_keys;
use crate::outbox::{check_sender, check_url};
use crate::transcription::{LANGUAGES_MAX, is_language};
use secrecy::ExposeSecret;
use tracing_subscriber::EnvFilter;

const NODE_ID_CHARS_MAX: usize = 64;

type Bad<'a> = dyn Fn(&'static str, String) -> ConfigError + 'a;

pub fn check(config: &Config, bad: &Bad<'_>) -> Result<(), ConfigError> {
    let demand = |holds: bool, name: &'static str, why: &str| {
        if holds { Ok(()) } else { Err(bad(name, why.to_owned())) }
    };
    let url = |name: &'static str, text: Option<&str>, schemes: &[&str]| {
        let holds = text.is_none_or(|text| is_url(text, schemes));
        demand(holds, name, &format!("must be a URL that begins with {}", schemes.join(" or ")))
    };

    url("public_url", config.public_url.as_deref(), &["http://", "https://"])?;
    let is_plain = config.public_url.as_deref().is_none_or(|url| !url.contains(['?', '#']));
    demand(is_plain, "public_url", "must have neither a query nor a fragment")?;
    let is_named = config.node_id.as_deref().is_none_or(is_node_id);
    demand(is_named, "node_id", "must be up to 64 letters, digits, dots, hyphens and underscores")?;
    for origin in &config.allowed_origins {
        demand(
            is_origin(origin),
            "allowed_origins",
            "must be a list of origins, as https://app.example, without a path",
        )?;
    }
    if let Err(place) = Proxies::parse(&config.trusted_proxies) {
        let why = format!("entry {} is neither an IP address nor a network, as 10.0.0.0/8", place.saturating_add(1));
        return Err(bad("trusted_proxies", why));
    }

    let database = config.database_url.expose_secret();
    let is_database = ["sqlite:", "postgres://", "postgresql://"].iter().any(|scheme| database.starts_with(scheme));
    demand(is_database, "database_url", "must begin with sqlite:// or postgres://")?;
    if let Some(keys) = &config.api_keys {
        parse_keys(keys.expose_secret()).map_err(|error| bad("api_keys", error.to_string()))?;
    }
    if let Some(url) = &config.redis_url {
        bus::check_url(url.expose_secret()).map_err(|why| bad("redis_url", why.to_owned()))?;
    }
    url("livekit_url", config.livekit_url.as_deref(), &["ws://", "wss://", "http://", "https://"])?;
    livekit(config, bad)?;
    url("objects_url", Some(&config.objects_url), &["file://", "s3://"])?;
    let schemes = ["stun:", "stuns:", "turn:", "turns:"];
    let are_ice = config.ice_servers.iter().all(|server| schemes.iter().any(|scheme| server.starts_with(scheme)));
    demand(are_ice, "ice_servers", "must be a list of stun:, stuns:, turn: or turns: URLs")?;

    mail(config, bad)?;
    transcription(config, bad)?;

    demand(
        EnvFilter::try_new(&config.log_level).is_ok(),
        "log_level",
        "must be a level or filters, as info,convoke=debug",
    )?;
    url("otlp_url", config.otlp_url.as_deref(), &["http://", "https://"])?;

    let is_renewed = config.renew_s.saturating_mul(2) <= config.lease_s;
    demand(is_renewed, "renew_s", "must be at most half of lease_s, or one late renewal loses all meetings")?;
    let are_kept = config.answers_kept_max >= config.in_flight_max;
    demand(are_kept, "answers_kept_max", "must be at least in_flight_max, or a retry could go without its answer")?;
    let is_patient = config.flood_burst >= config.commands_burst && config.flood_per_s >= config.commands_per_s;
    demand(is_patient, "flood_burst", "and flood_per_s must be at least commands_burst and commands_per_s")
}

/// Mail needs somebody to come from, and links that lead here from anywhere.
fn mail(config: &Config, bad: &Bad<'_>) -> Result<(), ConfigError> {
    if config.mail_from.as_deref().is_some_and(|from| !check_sender(from)) {
        return Err(bad("mail_from", "must be an address, as Convoke <meet@example.org>".to_owned()));
    }
    let Some(url) = &config.smtp_url else { return Ok(()) };
    check_url(url.expose_secret()).map_err(|why| bad("smtp_url", why.to_owned()))?;
    if config.mail_from.is_none() {
        return Err(bad("mail_from", "is missing: mail has to come from an address".to_owned()));
    }
    if config.public_url.is_none() {
        return Err(bad("public_url", "is missing: the links in mails are made with it".to_owned()));
    }
    Ok(())
}

/// A service needs its key; the URL has none.
fn transcription(config: &Config, bad: &Bad<'_>) -> Result<(), ConfigError> {
    let url = &config.deepgram_url;
    if !is_url(url, &["https://", "http://"]) || url.contains(['?', '#', '@']) {
        let why = "must be a URL that begins with https:// or http://, without a user, a query or a fragment";
        return Err(bad("deepgram_url", why.to_owned()));
    }
    let languages = &config.transcription_languages;
    if !(1..=LANGUAGES_MAX).contains(&languages.len()) || !languages.iter().all(|language| is_language(language)) {
        return Err(bad("transcription_languages", format!("must be 1 to {LANGUAGES_MAX} language tags, or detect")));
    }
    if config.deepgram_model.is_empty() {
        return Err(bad("deepgram_model", "must be a model's name".to_owned()));
    }
    if config.transcriber == "deepgram" && config.deepgram_api_key.is_none() {
        return Err(bad("deepgram_api_key", "is missing: Deepgram needs a key".to_owned()));
    }
    Ok(())
}

/// All three settings of LiveKit, or none.
fn livekit(config: &Config, bad: &Bad<'_>) -> Result<(), ConfigError> {
    let given = [
        ("livekit_url", config.livekit_url.is_some()),
        ("livekit_api_key", config.livekit_api_key.is_some()),
        ("livekit_api_secret", config.livekit_api_secret.is_some()),
    ];
    let is_any = given.iter().any(|(_, is_given)| *is_given);
    match given.iter().find(|(_, is_given)| is_any && !is_given) {
        Some((name, _)) => Err(bad(name, "is missing: LiveKit needs its URL, its key and its secret".to_owned())),
        None => Ok(()),
    }
}

fn is_url(text: &str, schemes: &[&str]) -> bool {
    let rest = schemes.iter().find_map(|scheme| text.strip_prefix(scheme));
    rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with(':') && !text.contains(char::is_whitespace))
}

fn is_node_id(text: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=NODE_ID_CHARS_MAX).contains(&text.len()) && text.chars().all(is_good)
}

fn is_origin(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, host)| {
        !scheme.is_empty()
            && !host.is_empty()
            && !host.contains(['/', '?', '#', '@', '*'])
            && !host.contains(char::is_whitespace)
    })
}
