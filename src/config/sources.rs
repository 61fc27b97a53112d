//! Where settings are written: the file, the environment, the flags. Each value keeps the name that
//! its place has for people, so that an error can send them there.

use super::ConfigError;
use figment::providers::{Format, Toml};
use figment::value::{Dict, Map, Value};
use figment::{Metadata, Profile, Provider};
use std::path::Path;

pub const PREFIX: &str = "CONVOKE_";
const FILE: &str = "convoke.toml";
/// Variables that are no settings: those of the tests, of the load tester, and the file's own path.
const FOREIGN: [&str; 2] = ["CONVOKE_TEST_", "CONVOKE_LOADTEST_"];
pub const FILE_VARIABLE: &str = "CONVOKE_CONFIG";

/// Names and values of the settings that were given as flags.
pub type Flags = Vec<(String, String)>;

/// Values from one place.
pub struct Texts {
    place: String,
    values: Dict,
}

impl Texts {
    pub fn one(place: String, name: String, value: String) -> Self {
        Self { place, values: Dict::from([(name, Value::from(value))]) }
    }
}

impl Provider for Texts {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.place.clone())
    }

    fn data(&self) -> Result<Map<Profile, Dict>, figment::Error> {
        Ok(Map::from([(Profile::Default, self.values.clone())]))
    }
}

/// The values of the named file, or of `convoke.toml` if there is one.
pub fn file(named: Option<&Path>) -> Result<Option<Texts>, ConfigError> {
    let path = named.unwrap_or(Path::new(FILE));
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(ConfigError::Unreadable(format!("cannot read {}: {error}", path.display()))),
    };
    let values = Toml::string(&text)
        .data()
        .map_err(|error| ConfigError::Unreadable(format!("{} is not TOML: {}", path.display(), outline(&error))))?
        .remove(&Profile::Default)
        .unwrap_or_default();
    Ok(Some(Texts { place: path.display().to_string(), values }))
}

/// Line and reason of a syntax error, without the line itself, which may hold a secret.
fn outline(error: &figment::Error) -> String {
    let text = error.kind.to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    match (lines.next(), lines.next_back()) {
        (Some(first), Some(last)) if !last.contains('|') => format!("{first}: {last}"),
        (Some(first), _) => first.to_owned(),
        (None, _) => "it cannot be parsed".to_owned(),
    }
}

/// The settings in this process's environment. A variable that is set to nothing is not set.
pub fn environment() -> Result<Vec<(String, String)>, ConfigError> {
    let mut found = Vec::new();
    for (name, value) in std::env::vars_os() {
        let Some(name) = name.to_str().filter(|name| is_setting(name)) else { continue };
        if is_service_link(name, &value) {
            continue;
        }
        let value = value
            .into_string()
            .map_err(|_| ConfigError::Unreadable(format!("environment variable {name} is not UTF-8")))?;
        if !value.trim().is_empty() {
            found.push((name.to_owned(), value));
        }
    }
    Ok(found)
}

pub fn is_setting(name: &str) -> bool {
    name.starts_with(PREFIX) && name != FILE_VARIABLE && !FOREIGN.iter().any(|prefix| name.starts_with(prefix))
}

/// Kubernetes tells every pod of a Service named `convoke` its address, under names like ours.
fn is_service_link(name: &str, value: &std::ffi::OsStr) -> bool {
    let is_address = value.to_str().is_some_and(|value| value.starts_with("tcp://") || value.starts_with("udp://"));
    name.starts_with("CONVOKE_SERVICE_") || name.starts_with("CONVOKE_PORT_") || (name == "CONVOKE_PORT" && is_address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_links_of_a_cluster_are_no_settings() {
        let links = [
            ("CONVOKE_SERVICE_HOST", "10.0.0.7", true),
            ("CONVOKE_SERVICE_PORT_HTTP", "8080", true),
            ("CONVOKE_PORT", "tcp://10.0.0.7:8080", true),
            ("CONVOKE_PORT_8080_TCP_ADDR", "10.0.0.7", true),
            ("CONVOKE_PORT", "8080", false),
            ("CONVOKE_BIND", "tcp://10.0.0.7", false),
        ];
        for (name, value, is_link) in links {
            assert_eq!(is_service_link(name, std::ffi::OsStr::new(value)), is_link, "{name}={value}");
        }
    }
}
