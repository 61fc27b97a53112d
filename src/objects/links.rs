//! Links to files that this server serves itself: whoever has one may read that file until it expires, and
//! nothing else. A link is signed with a secret of the database's, so any node honours it, and what it
//! covers is everything it says: tenant, recording, file and date.

use super::paths::encoded;
use convoke_domain::{Millis, RecordingId, TenantId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};

/// Another purpose is another signature.
const PURPOSE: &str = "object.1.";
const SIGNATURE_BYTES_MAX: usize = 128;

/// What a link is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub tenant: TenantId,
    pub recording: RecordingId,
    /// A take's id, or `thumbnail`.
    pub file: String,
    pub expires_at: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not a link of ours, or one that was altered.
    Forged,
    Expired,
}

#[derive(Clone)]
pub struct Links {
    signing: EncodingKey,
    checking: DecodingKey,
}

impl Grant {
    /// The parts that are text stand behind their lengths, so that no two grants are signed alike.
    fn text(&self) -> String {
        let Self { tenant, recording, file, expires_at } = self;
        format!("{PURPOSE}{expires_at}.{}.{}.{file}.{tenant}", recording.0.simple(), file.len())
    }
}

impl Links {
    pub fn new(secret: &[u8]) -> Self {
        Self { signing: EncodingKey::from_secret(secret), checking: DecodingKey::from_secret(secret) }
    }

    /// The path and query of a link. None: it could not be signed, which no key of this kind is known to cause.
    pub fn link(&self, grant: &Grant) -> Option<String> {
        let signature = crypto::sign(grant.text().as_bytes(), &self.signing, Algorithm::HS256).ok()?;
        let (tenant, file) = (encoded(&grant.tenant.0), encoded(&grant.file));
        let Grant { recording, expires_at, .. } = grant;
        Some(format!("/objects/{tenant}/{recording}/{file}?expires={expires_at}&signature={signature}"))
    }

    /// Whether this is a link of ours that holds now. The signature is compared in the same time wherever
    /// it differs, and before the date is looked at.
    pub fn check(&self, grant: &Grant, signature: &str, now: Millis) -> Result<(), Refused> {
        let is_ours = signature.len() <= SIGNATURE_BYTES_MAX
            && crypto::verify(signature, grant.text().as_bytes(), &self.checking, Algorithm::HS256).unwrap_or(false);
        match is_ours {
            false => Err(Refused::Forged),
            true if grant.expires_at <= now => Err(Refused::Expired),
            true => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn grant(tenant: &str, recording: u128, file: &str, expires_at: u64) -> Grant {
        let (tenant, recording) = (TenantId(tenant.into()), RecordingId(Uuid::from_u128(recording)));
        Grant { tenant, recording, file: file.into(), expires_at }
    }

    fn signature(links: &Links, grant: &Grant) -> String {
        links.link(grant).unwrap().split_once("signature=").unwrap().1.to_owned()
    }

    #[test]
    fn a_link_is_for_what_it_says_until_it_expires() {
        let links = Links::new(b"secret");
        let good = grant("acme", 1, "EG_1", 1_000);
        let signed = signature(&links, &good);
        assert_eq!(links.check(&good, &signed, 999), Ok(()));
        assert_eq!(links.check(&good, &signed, 1_000), Err(Refused::Expired));
        for other in [
            grant("other", 1, "EG_1", 1_000),
            grant("acme", 2, "EG_1", 1_000),
            grant("acme", 1, "EG_2", 1_000),
            grant("acme", 1, "EG_1", 1_001),
            grant("EG_1.acme", 1, "", 1_000),
            grant("acme", 1, "EG_1.acme", 1_000),
        ] {
            assert_eq!(links.check(&other, &signed, 1), Err(Refused::Forged), "{other:?}");
        }
        // Not even what is no signature at all, or another secret's, and that before the date.
        let another = signature(&Links::new(b"another"), &good);
        for forged in ["", "x", "%", &signed[1..], &another, &"A".repeat(10_000)] {
            assert_eq!(links.check(&good, forged, 5_000), Err(Refused::Forged), "{forged}");
        }
    }

    #[test]
    fn no_two_grants_are_signed_alike() {
        let links = Links::new(b"secret");
        let [one, other] = [grant("b.c", 1, "a", 1), grant("c", 1, "a.b", 1)];
        assert_ne!(signature(&links, &one), signature(&links, &other));
    }

    #[test]
    fn a_link_is_a_path_whatever_is_in_the_names() {
        let link = Links::new(b"secret").link(&grant("a/../b? &", 1, "E G/#", 7)).unwrap();
        assert!(link.starts_with("/objects/a%2F..%2Fb%3F%20%26/00000000-"), "{link}");
        assert!(link.contains("/E%20G%2F%23?expires=7&signature="), "{link}");
    }
}
