//! Who may come in: API tokens, join tokens, resume tokens. All are JWTs signed with HS256 and
//! nothing else is accepted. What is wrong with a token is never told outside, and the token itself
//! is never logged.

mod keys;
mod resume;

pub use keys::{ApiKey, KeyError, parse_keys};
pub use resume::ResumeTokens;

use convoke_actors::ports::{Admission, Doors, MeetingKey, Ticket};
use convoke_domain::shapes::Role;
use convoke_domain::{MeetingId, Millis, TenantId, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

const TOKEN_BYTES_MAX: usize = 8 * 1024;
const API_TTL_S_MAX: u64 = 3_600;
pub const JOIN_TTL_S_MAX: u64 = 24 * 3_600;
/// Clocks of two machines may differ by this much where a token says how long it lasts.
const SKEW_S: u64 = 60;

#[derive(Debug, thiserror::Error)]
#[error("the token is not valid")]
pub struct AuthError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bearer {
    Api { tenant: TenantId, key: String },
    Join(JoinClaims),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinClaims {
    pub tenant: TenantId,
    pub key: String,
    pub meeting: MeetingId,
    pub user: Option<UserId>,
    pub name: Option<String>,
    pub role: Role,
    pub expires_at: Millis,
}

/// What a join token to be made says.
#[derive(Clone, Debug)]
pub struct Mint {
    pub meeting: MeetingId,
    pub user: Option<UserId>,
    pub name: Option<String>,
    pub role: Role,
    pub ttl_s: u64,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none", default)]
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

struct Known {
    tenant: TenantId,
    decoding: DecodingKey,
    encoding: EncodingKey,
}

/// The keys of all tenants. Several of one tenant may be live at once.
#[derive(Clone)]
pub struct Keyring {
    keys: Arc<HashMap<String, Known>>,
    first: Arc<HashMap<TenantId, String>>,
}

impl Keyring {
    pub fn new(entries: Vec<ApiKey>) -> Self {
        let mut keys = HashMap::new();
        let mut first = HashMap::new();
        for entry in entries {
            let secret = entry.secret.expose_secret().as_bytes();
            let known = Known {
                tenant: entry.tenant.clone(),
                decoding: DecodingKey::from_secret(secret),
                encoding: EncodingKey::from_secret(secret),
            };
            first.entry(entry.tenant).or_insert_with(|| entry.key.clone());
            keys.insert(entry.key, known);
        }
        Self { keys: Arc::new(keys), first: Arc::new(first) }
    }

    pub fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.first.keys()
    }

    pub fn verify(&self, token: &str) -> Result<Bearer, AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError);
        }
        // The issuer only chooses the key to check with; nothing else is read before the check.
        let issuer: Issuer = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| AuthError)?;
        let known = self.keys.get(&issuer.iss).ok_or(AuthError)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 5;
        validation.validate_aud = false;
        validation.set_required_spec_claims(&["exp", "iss"]);
        let claims = jsonwebtoken::decode::<Claims>(token, &known.decoding, &validation)
            .map_err(|error| {
                tracing::debug!(%error, "a token was refused");
                AuthError
            })?
            .claims;
        let ahead = claims.exp.saturating_sub(now_s());
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
            _ => Err(AuthError),
        }
    }

    /// A join token of this tenant, and when it expires. None: the tenant has no key.
    pub fn mint_join(&self, tenant: &TenantId, mint: Mint) -> Option<(String, Millis)> {
        let exp = now_s().saturating_add(mint.ttl_s.min(JOIN_TTL_S_MAX));
        let token = self.sign(tenant, |iss| Claims {
            iss,
            exp,
            meeting: Some(mint.meeting),
            sub: mint.user.map(|user| user.0),
            name: mint.name,
            role: Some(mint.role),
        })?;
        Some((token, exp.saturating_mul(1_000)))
    }

    pub fn mint_api(&self, tenant: &TenantId, ttl_s: u64) -> Option<String> {
        let exp = now_s().saturating_add(ttl_s.min(API_TTL_S_MAX));
        self.sign(tenant, |iss| Claims { iss, exp, meeting: None, sub: None, name: None, role: None })
    }

    fn sign(&self, tenant: &TenantId, claims: impl FnOnce(String) -> Claims) -> Option<String> {
        let key = self.first.get(tenant)?;
        let known = self.keys.get(key)?;
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims(key.clone()), &known.encoding).ok()
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The actors' door: join tokens in, resume tokens in and out.
pub struct Gate {
    keyring: Keyring,
    resume: ResumeTokens,
}

impl Gate {
    pub fn new(keyring: Keyring, resume: ResumeTokens) -> Self {
        Self { keyring, resume }
    }
}

impl Doors for Gate {
    fn admission(&self, token: &str) -> Option<Admission> {
        match self.keyring.verify(token).ok()? {
            Bearer::Api { .. } => None,
            Bearer::Join(claims) => Some(Admission {
                key: MeetingKey { tenant: claims.tenant, meeting: claims.meeting },
                user: claims.user,
                name: claims.name,
                role: claims.role,
            }),
        }
    }

    fn ticket(&self, resume_token: &str) -> Option<Ticket> {
        self.resume.verify(resume_token)
    }

    fn resume_token(&self, ticket: &Ticket) -> String {
        self.resume.mint(ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keyring() -> Keyring {
        Keyring::new(parse_keys("acme/one:0123456789abcdef0123456789abcdef,acme/two:another-secret-another-secret-12,other:third-secret-third-secret-third1").unwrap())
    }

    fn acme() -> TenantId {
        TenantId("acme".to_owned())
    }

    fn sign(algorithm: Algorithm, secret: &str, claims: &serde_json::Value) -> String {
        jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    }

    #[test]
    fn what_was_minted_is_accepted() {
        let keyring = keyring();
        let meeting = MeetingId(uuid::Uuid::now_v7());
        let mint =
            Mint { meeting, user: Some(UserId("u".into())), name: Some("Ada".into()), role: Role::Host, ttl_s: 60 };
        let (token, _) = keyring.mint_join(&acme(), mint).unwrap();
        let Ok(Bearer::Join(claims)) = keyring.verify(&token) else { panic!("refused") };
        assert_eq!((claims.meeting, claims.role, claims.tenant), (meeting, Role::Host, acme()));
        let api = keyring.mint_api(&acme(), 60).unwrap();
        assert!(matches!(keyring.verify(&api), Ok(Bearer::Api { .. })));
    }

    #[test]
    fn forged_expired_and_foreign_tokens_are_refused() {
        let keyring = keyring();
        let secret = "0123456789abcdef0123456789abcdef";
        let now = now_s();
        let claims = |iss: &str, exp: u64| serde_json::json!({"iss": iss, "exp": exp});
        assert!(keyring.verify(&sign(Algorithm::HS256, secret, &claims("one", now + 60))).is_ok());
        let bad = [
            sign(Algorithm::HS256, "wrong", &claims("one", now + 60)),
            sign(Algorithm::HS384, secret, &claims("one", now + 60)),
            sign(Algorithm::HS256, secret, &claims("two", now + 60)),
            sign(Algorithm::HS256, secret, &claims("nobody", now + 60)),
            sign(Algorithm::HS256, secret, &claims("one", now - 60)),
            sign(Algorithm::HS256, secret, &claims("one", now + 2 * 3_600)),
            sign(Algorithm::HS256, secret, &serde_json::json!({"iss": "one"})),
            "eyJhbGciOiJub25lIn0.eyJpc3MiOiJvbmUiLCJleHAiOjk5OTk5OTk5OTl9.".to_owned(),
            "a.b.c".to_owned(),
            String::new(),
            "x".repeat(10_000),
        ];
        for token in bad {
            assert!(keyring.verify(&token).is_err(), "{token}");
        }
    }
}
