//! The keys of all tenants, prepared once, and the two kinds of token that they sign. Thousands join
//! in the same second, so nothing is derived from a secret while a token is checked. Everything that
//! can be wrong with a token is one error outside; the reason stands in debug logs, the token nowhere.

use super::{ApiKey, AuthError, Bearer, JoinClaims, Mint};
use convoke_domain::shapes::Role;
use convoke_domain::{MeetingId, Millis, TenantId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const TOKEN_BYTES_MAX: usize = 8 * 1024;
pub const API_TTL_S_MAX: u64 = 3_600;
pub const JOIN_TTL_S_MAX: u64 = 24 * 3_600;
/// Clocks of two machines may differ by this much where a token says when it begins and how long it
/// lasts; where it says that it is over, by less.
const SKEW_S: u64 = 60;
const EXPIRED_LEEWAY_S: u64 = 5;

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    #[serde(deserialize_with = "seconds")]
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "some_seconds")]
    nbf: Option<u64>,
    // `null` is refused: a backend that forgot the meeting shall not hand out the keys to all of them.
    #[serde(skip_serializing_if = "Option::is_none", default, deserialize_with = "present")]
    meeting: Option<MeetingId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    role: Option<Role>,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<MeetingId>, D::Error> {
    MeetingId::deserialize(deserializer).map(Some)
}

/// Dates of tokens may carry fractions of a second.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    let whole = || Some(Duration::try_from_secs_f64(number.as_f64()?).ok()?.as_secs());
    number.as_u64().or_else(whole).ok_or_else(|| serde::de::Error::custom("not a date"))
}

fn some_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    seconds(deserializer).map(Some)
}

struct Known {
    tenant: TenantId,
    decoding: DecodingKey,
    encoding: EncodingKey,
}

struct Inner {
    keys: HashMap<String, Known>,
    /// The tenants in the order of their first keys, and those keys: new tokens are signed with them.
    first: Vec<(TenantId, String)>,
    validation: Validation,
}

/// The keys of all tenants. Several of one tenant may be live at once.
#[derive(Clone)]
pub struct Keyring(Arc<Inner>);

impl Keyring {
    pub fn new(entries: Vec<ApiKey>) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Dates are checked here, against a clock that tests can set; the rest by the claims' types.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut inner = Inner { keys: HashMap::new(), first: Vec::new(), validation };
        for ApiKey { tenant, key, secret } in entries {
            let secret = secret.expose_secret().as_bytes();
            let known = Known {
                tenant: tenant.clone(),
                decoding: DecodingKey::from_secret(secret),
                encoding: EncodingKey::from_secret(secret),
            };
            if !inner.first.iter().any(|(other, _)| *other == tenant) {
                inner.first.push((tenant, key.clone()));
            }
            inner.keys.insert(key, known);
        }
        Self(Arc::new(inner))
    }

    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.0.first.iter().map(|(tenant, _)| tenant)
    }

    pub fn verify(&self, token: &str) -> Result<Bearer, AuthError> {
        self.verify_at(token, now_s())
    }

    fn verify_at(&self, token: &str, now_s: u64) -> Result<Bearer, AuthError> {
        self.checked(token, now_s).map_err(|reason| {
            tracing::debug!(reason, "a token was refused");
            AuthError::Unauthenticated
        })
    }

    fn checked(&self, token: &str, now_s: u64) -> Result<Bearer, &'static str> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err("too long");
        }
        // The issuer only chooses the key to check with; nothing else is read before the check.
        let issuer: Issuer =
            jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| "not a token with an issuer")?;
        let known = self.0.keys.get(&issuer.iss).ok_or("unknown key")?;
        let decoded = jsonwebtoken::decode::<Claims>(token, &known.decoding, &self.0.validation)
            .map_err(|error| reason(error.kind()))?;
        if decoded.header.crit.is_some() {
            return Err("critical extensions are not known here");
        }
        let claims = decoded.claims;
        if claims.exp.saturating_add(EXPIRED_LEEWAY_S) < now_s {
            return Err("expired");
        }
        if claims.nbf.is_some_and(|nbf| nbf > now_s.saturating_add(SKEW_S)) {
            return Err("not valid yet");
        }
        let ahead = claims.exp.saturating_sub(now_s);
        let (tenant, key) = (known.tenant.clone(), claims.iss);
        match claims.meeting {
            None if ahead <= API_TTL_S_MAX + SKEW_S => Ok(Bearer::Api { tenant, key }),
            Some(meeting) if ahead <= JOIN_TTL_S_MAX + SKEW_S => Ok(Bearer::Join(JoinClaims {
                tenant,
                key,
                meeting,
                user: claims.sub.filter(|sub| !sub.is_empty()).map(UserId),
                name: claims.name,
                role: claims.role.unwrap_or(Role::Participant),
                expires_at: claims.exp.saturating_mul(1_000),
            })),
            _ => Err("expires too far ahead"),
        }
    }

    /// A join token of this tenant, and when it expires. None: the tenant has no key.
    pub fn mint_join(&self, tenant: &TenantId, mint: Mint) -> Option<(String, Millis)> {
        let exp = now_s().saturating_add(mint.ttl_s.min(JOIN_TTL_S_MAX));
        let token = self.sign(tenant, |iss| Claims {
            iss,
            exp,
            nbf: None,
            meeting: Some(mint.meeting),
            sub: mint.user.map(|user| user.0),
            name: mint.name,
            role: Some(mint.role),
        })?;
        Some((token, exp.saturating_mul(1_000)))
    }

    /// An API token of this tenant. None: the tenant has no key.
    pub fn mint_api(&self, tenant: &TenantId, ttl_s: u64) -> Option<String> {
        let exp = now_s().saturating_add(ttl_s.min(API_TTL_S_MAX));
        self.sign(tenant, |iss| Claims { iss, exp, nbf: None, meeting: None, sub: None, name: None, role: None })
    }

    fn sign(&self, tenant: &TenantId, claims: impl FnOnce(String) -> Claims) -> Option<String> {
        let (_, key) = self.0.first.iter().find(|(other, _)| other == tenant)?;
        let known = self.0.keys.get(key)?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(key.clone()), &known.encoding).ok()
    }
}

/// What was wrong, without what stood in the token.
fn reason(kind: &jsonwebtoken::errors::ErrorKind) -> &'static str {
    use jsonwebtoken::errors::ErrorKind;
    match kind {
        ErrorKind::InvalidSignature => "wrong signature",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName => "wrong algorithm",
        ErrorKind::Json(_) => "missing or wrong claims",
        _ => "not a token",
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests;
