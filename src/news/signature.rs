//! Who says it. LiveKit signs a token with its API secret for each webhook, and the token names the
//! digest of the body. The token of a person who joins is signed with the same secret and names none,
//! so it is no signature of anything.

use super::Refusal;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::digest::CtOutput;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;
use sha2::digest::Output;
use sha2::{Digest, Sha256};

const TOKEN_BYTES_MAX: usize = 8 * 1_024;
/// LiveKit's clock and ours may differ by this much.
const SKEW_S: u64 = 60;

#[derive(Deserialize)]
struct Claims {
    iss: String,
    exp: u64,
    #[serde(default)]
    nbf: u64,
    sha256: String,
}

/// What a good token says of the body that comes with it.
pub struct Seal(CtOutput<Sha256>);

impl Seal {
    /// Whether it is of this body. It takes the same time wherever they differ.
    pub fn holds(&self, body: &[u8]) -> bool {
        self.0 == CtOutput::new(Sha256::digest(body))
    }
}

/// Checks tokens of one LiveKit key.
pub struct Signature {
    key: String,
    secret: DecodingKey,
    validation: Validation,
}

impl Signature {
    pub fn new(key: &str, secret: &[u8]) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        // Dates are checked here, against the clock that all nodes agree on; the rest by the claims' types.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        Self { key: key.to_owned(), secret: DecodingKey::from_secret(secret), validation }
    }

    /// The token as it stands in the header, without a scheme.
    pub fn check(&self, token: &str, now_s: u64) -> Result<Seal, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Forged);
        }
        let decoded = jsonwebtoken::decode::<Claims>(token, &self.secret, &self.validation).map_err(|error| {
            let is_algorithm = matches!(error.kind(), ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName);
            tracing::debug!(is_algorithm, "a webhook's token was refused");
            Refusal::Forged
        })?;
        let claims = decoded.claims;
        if decoded.header.crit.is_some() || claims.iss != self.key {
            return Err(Refusal::Forged);
        }
        if claims.exp.saturating_add(SKEW_S) < now_s || claims.nbf > now_s.saturating_add(SKEW_S) {
            return Err(Refusal::Expired);
        }
        let digest = STANDARD.decode(claims.sha256).map_err(|_| Refusal::Forged)?;
        let digest: [u8; 32] = digest.try_into().map_err(|_| Refusal::Forged)?;
        Ok(Seal(CtOutput::new(Output::<Sha256>::from(digest))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::{EncodingKey, Header};
    use serde_json::{Value, json};

    const NOW: u64 = 1_800_000_000;
    const BODY: &[u8] = br#"{"event":"room_started"}"#;

    fn digest(body: &[u8]) -> String {
        STANDARD.encode(Sha256::digest(body))
    }

    fn good() -> Value {
        json!({ "iss": "devkey", "exp": NOW + 300, "nbf": NOW, "sha256": digest(BODY) })
    }

    fn sign(claims: &Value, secret: &str) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(secret.as_bytes()))
            .unwrap()
    }

    fn with(change: impl FnOnce(&mut Value)) -> Result<Seal, Refusal> {
        let mut claims = good();
        change(&mut claims);
        Signature::new("devkey", b"secret").check(&sign(&claims, "secret"), NOW)
    }

    fn refused(outcome: Result<Seal, Refusal>) -> Refusal {
        outcome.err().expect("it was taken")
    }

    #[test]
    fn a_good_token_is_for_its_body_alone() {
        let seal = with(|_| {}).ok().unwrap();
        assert!(seal.holds(BODY));
        let mut altered = BODY.to_vec();
        for at in 0..altered.len() {
            altered[at] ^= 1;
            assert!(!seal.holds(&altered), "byte {at}");
            altered[at] ^= 1;
        }
        assert!(!seal.holds(&BODY[1..]) && !seal.holds(b""));
    }

    #[test]
    fn only_this_key_and_this_secret_sign() {
        let signature = Signature::new("devkey", b"secret");
        for token in ["", "nonsense", "a.b.c", &"x".repeat(9_000), &sign(&good(), "another")] {
            assert_eq!(refused(signature.check(token, NOW)), Refusal::Forged, "{token}");
        }
        assert_eq!(refused(with(|claims| claims["iss"] = json!("another"))), Refusal::Forged);
        let bearer = format!("Bearer {}", sign(&good(), "secret"));
        assert_eq!(refused(signature.check(&bearer, NOW)), Refusal::Forged, "LiveKit names no scheme");
        assert!(signature.check(&sign(&good(), "secret"), NOW).is_ok());
    }

    #[test]
    fn no_other_algorithm_will_do() {
        let signature = Signature::new("devkey", b"secret");
        let encode = |text: &str| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text);
        let claims = encode(&good().to_string());
        for header in [r#"{"alg":"none","typ":"JWT"}"#, r#"{"alg":"None"}"#, r#"{"alg":""}"#, "{}"] {
            for end in ["", "x"] {
                let token = format!("{}.{claims}.{end}", encode(header));
                assert_eq!(refused(signature.check(&token, NOW)), Refusal::Forged, "{header}");
            }
        }
        for algorithm in [Algorithm::HS384, Algorithm::HS512] {
            let secret = EncodingKey::from_secret(b"secret");
            let token = jsonwebtoken::encode(&Header::new(algorithm), &good(), &secret).unwrap();
            assert_eq!(refused(signature.check(&token, NOW)), Refusal::Forged, "{algorithm:?}");
        }
        let mut header = Header::new(Algorithm::HS256);
        header.crit = Some(vec!["b64".to_owned()]);
        let token = jsonwebtoken::encode(&header, &good(), &EncodingKey::from_secret(b"secret")).unwrap();
        assert_eq!(refused(signature.check(&token, NOW)), Refusal::Forged, "a critical extension");
    }

    #[test]
    fn a_token_has_its_time() {
        assert!(with(|claims| claims["exp"] = json!(NOW - SKEW_S)).is_ok());
        assert_eq!(refused(with(|claims| claims["exp"] = json!(NOW - SKEW_S - 1))), Refusal::Expired);
        assert!(with(|claims| claims["nbf"] = json!(NOW + SKEW_S)).is_ok());
        assert_eq!(refused(with(|claims| claims["nbf"] = json!(NOW + SKEW_S + 1))), Refusal::Expired);
        assert_eq!(refused(with(|claims| drop(claims.as_object_mut().unwrap().remove("exp")))), Refusal::Forged);
    }

    #[test]
    fn a_token_that_names_no_body_signs_none() {
        assert_eq!(refused(with(|claims| drop(claims.as_object_mut().unwrap().remove("sha256")))), Refusal::Forged);
        for digest in ["", "=", "AAAA", "not base64 at all"] {
            assert_eq!(refused(with(|claims| claims["sha256"] = json!(digest))), Refusal::Forged, "{digest}");
        }
    }
}
