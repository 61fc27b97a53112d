//! API keys as operators write them: `tenant/key:secret`, separated by commas.

use convoke_domain::TenantId;
use secrecy::SecretString;

const SECRET_CHARS_MIN: usize = 16;

#[derive(Clone, Debug)]
pub struct ApiKey {
    pub tenant: TenantId,
    pub key: String,
    pub secret: SecretString,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyError {
    #[error("API key {0} of the list is not `tenant/key:secret` or `key:secret`")]
    Shape(usize),
    #[error("the secret of API key {0} of the list is shorter than 16 characters")]
    Short(usize),
    #[error("the API key name `{0}` stands twice in the list")]
    Twice(String),
}

/// Errors name the place in the list, never what stands there.
pub fn parse_keys(text: &str) -> Result<Vec<ApiKey>, KeyError> {
    let mut keys: Vec<ApiKey> = Vec::new();
    for (position, entry) in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()).enumerate() {
        let place = position.saturating_add(1);
        let (name, secret) = entry.split_once(':').ok_or(KeyError::Shape(place))?;
        let (tenant, key) = name.split_once('/').unwrap_or((name, name));
        if tenant.is_empty() || key.is_empty() {
            return Err(KeyError::Shape(place));
        }
        if secret.chars().count() < SECRET_CHARS_MIN {
            return Err(KeyError::Short(place));
        }
        if keys.iter().any(|other| other.key == key) {
            return Err(KeyError::Twice(key.to_owned()));
        }
        keys.push(ApiKey { tenant: TenantId(tenant.to_owned()), key: key.to_owned(), secret: secret.to_owned().into() });
    }
    Ok(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_and_its_errors_hide_secrets() {
        let keys = parse_keys("acme/web:0123456789abcdef, solo:0123456789abcdef").unwrap();
        let names: Vec<(&str, &str)> = keys.iter().map(|k| (k.tenant.0.as_str(), k.key.as_str())).collect();
        assert_eq!(names, [("acme", "web"), ("solo", "solo")]);
        assert!(!format!("{keys:?}").contains("0123456789abcdef"));
        assert_eq!(parse_keys("nonsense").unwrap_err(), KeyError::Shape(1));
        assert_eq!(parse_keys("a:0123456789abcdef,b:short").unwrap_err(), KeyError::Short(2));
        assert_eq!(parse_keys("a:0123456789abcdef,x/a:0123456789abcdef").unwrap_err(), KeyError::Twice("a".into()));
    }
}
