//! The codes of invitations. A code is made from the invitation's id with a secret that the database
//! keeps, so whoever sends it can make it again: neither the log nor the outbox holds one.

use convoke_domain::{InvitationId, TenantId};
use jsonwebtoken::{Algorithm, EncodingKey, crypto};

/// Another purpose is another signature.
const PURPOSE: &str = "invitation.1.";

#[derive(Clone)]
pub struct InvitationCodes(EncodingKey);

impl InvitationCodes {
    pub fn new(secret: &[u8]) -> Self {
        Self(EncodingKey::from_secret(secret))
    }

    /// None: it could not be made, which no key of this kind is known to cause.
    pub fn code(&self, tenant: &TenantId, id: InvitationId) -> Option<String> {
        let text = format!("{PURPOSE}{}.{tenant}", id.0.simple());
        crypto::sign(text.as_bytes(), &self.0, Algorithm::HS256).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_code_is_one_invitations_of_one_tenant_under_one_secret() {
        let codes = InvitationCodes::new(b"secret");
        let (acme, other) = (TenantId("acme".into()), TenantId("other".into()));
        let id = |number| InvitationId(Uuid::from_u128(number));
        let code = codes.code(&acme, id(1)).unwrap();
        assert_eq!(codes.code(&acme, id(1)).unwrap(), code);
        assert_ne!(codes.code(&acme, id(2)).unwrap(), code);
        assert_ne!(codes.code(&other, id(1)).unwrap(), code);
        assert_ne!(InvitationCodes::new(b"another").code(&acme, id(1)).unwrap(), code);
        assert!(code.len() >= 43 && code.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)), "{code}");
    }
}
