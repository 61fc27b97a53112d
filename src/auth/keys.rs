//! API keys as operators write them: `tenant/key:secret`, separated by commas. A token names only
//! its key (`iss`), so a key's name stands once in the whole list, whoever its tenant is. Errors tell
//! the place in the list, never what stands there.

use convoke_domain::TenantId;
use secrecy::{ExposeSecret, SecretString};

/// A secret shorter than this can be guessed from one token, offline.
pub const SECRET_CHARS_GOOD: usize = 32;
const NAME_CHARS_MAX: usize = 128;

#[derive(Clone, Debug)]
pub struct ApiKey {
    pub tenant: TenantId,
    pub key: String,
    pub secret: SecretString,
}

impl ApiKey {
    pub fn is_weak(&self) -> bool {
        self.secret.expose_secret().chars().count() < SECRET_CHARS_GOOD
    }
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("API key {0} of the list is not `tenant/key:secret` or `key:secret`")]
    Shape(usize),
    #[error("the tenant or the name of API key {0} of the list is longer than 128 characters")]
    Long(usize),
    #[error("the API key name `{0}` stands twice in the list")]
    Twice(String),
    #[error("the list holds no API key")]
    Empty,
}

pub fn parse_keys(text: &str) -> Result<Vec<ApiKey>, KeyError> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for (position, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
        let place = position.saturating_add(1);
        let (name, secret) = entry.split_once(':').ok_or(KeyError::Shape(place))?;
        let (tenant, key) = name.split_once('/').unwrap_or((name, name));
        if [tenant, key, secret].iter().any(|part| part.is_empty()) || key.contains('/') {
            return Err(KeyError::Shape(place));
        }
        if [tenant, key].iter().any(|part| part.chars().count() > NAME_CHARS_MAX) {
            return Err(KeyError::Long(place));
        }
        if keys.iter().any(|other| other.key == key) {
            return Err(KeyError::Twice(key.to_owned()));
        }
        keys.push(ApiKey {
            tenant: TenantId(tenant.to_owned()),
            key: key.to_owned(),
            secret: secret.to_owned().into(),
        });
    }
    if keys.is_empty() { Err(KeyError::Empty) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read() {
        let keys = parse_keys("acme/web:0123456789abcdef, solo:with:colon/and/slash,").unwrap();
        let read: Vec<(&str, &str, &str)> =
            keys.iter().map(|k| (k.tenant.0.as_str(), k.key.as_str(), k.secret.expose_secret())).collect();
        assert_eq!(read, [("acme", "web", "0123456789abcdef"), ("solo", "solo", "with:colon/and/slash")]);
    }

    #[test]
    fn what_is_no_list_of_keys_is_refused_by_its_place() {
        assert_eq!(parse_keys("nonsense").unwrap_err(), KeyError::Shape(1));
        assert_eq!(parse_keys("a:good,b:").unwrap_err(), KeyError::Shape(2));
        assert_eq!(parse_keys("/a:secret").unwrap_err(), KeyError::Shape(1));
        assert_eq!(parse_keys("a/:secret").unwrap_err(), KeyError::Shape(1));
        assert_eq!(parse_keys("a/b/c:secret").unwrap_err(), KeyError::Shape(1));
        assert_eq!(parse_keys(&format!("{}:s", "x".repeat(129))).unwrap_err(), KeyError::Long(1));
        assert_eq!(parse_keys("a:one,x/a:two").unwrap_err(), KeyError::Twice("a".into()));
        assert_eq!(parse_keys(" , ").unwrap_err(), KeyError::Empty);
    }

    #[test]
    fn secrets_do_not_show_and_short_ones_are_noticed() {
        let keys = parse_keys("a:hunter2,b:0123456789abcdef0123456789abcdef").unwrap();
        assert!(!format!("{keys:?}").contains("hunter2"));
        assert_eq!(keys.iter().map(ApiKey::is_weak).collect::<Vec<_>>(), [true, false]);
        for bad in ["hunter2", "a:hunter2,a:hunter2", "a/b/c:hunter2"] {
            assert!(!parse_keys(bad).unwrap_err().to_string().contains("hunter2"));
        }
    }
}
