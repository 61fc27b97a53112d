//! The secrets that messages are signed with. One is made from its endpoint and a key's id with a
//! secret that the database keeps, so it can be made again whenever something is signed, is shown
//! when it is new, and stands in no row of the endpoint's.

use super::endpoints::Signing;
use convoke_domain::TenantId;
use standardwebhooks::{Webhook, WebhookError};

/// Another purpose is another secret.
const PURPOSE: &str = "webhook.1";

#[derive(Clone)]
pub struct Secrets(String);

impl Secrets {
    pub fn new(secret: &str) -> Self {
        Self(secret.to_owned())
    }

    /// A secret as integrators are given it. None: it could not be made, which no id is known to cause.
    pub fn secret(&self, tenant: &TenantId, endpoint: &str, key: &str) -> Option<String> {
        let maker = Webhook::from_bytes(self.0.as_bytes().to_vec()).ok()?;
        let made = maker.sign(PURPOSE, 0, format!("{endpoint}.{key}.{tenant}").as_bytes()).ok()?;
        // The signature's own form: `v1,` and 32 bytes in base64.
        Some(format!("whsec_{}", made.strip_prefix("v1,")?))
    }

    /// The header of a message: one signature for each secret that is valid now, the newest first.
    pub fn sign(&self, tenant: &TenantId, signing: &Signing, id: &str, at_s: i64, body: &str) -> Option<String> {
        let keys = [Some(&signing.key), signing.former.as_ref()];
        let sign = |key: &String| -> Option<Result<String, WebhookError>> {
            let secret = self.secret(tenant, &signing.endpoint, key)?;
            Some(Webhook::new(&secret).and_then(|webhook| webhook.sign(id, at_s, body.as_bytes())))
        };
        let signatures: Option<Result<Vec<String>, WebhookError>> = keys.into_iter().flatten().map(sign).collect();
        signatures?.ok().map(|signatures| signatures.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signing(former: Option<&str>) -> Signing {
        Signing { endpoint: "e".into(), key: "new".into(), former: former.map(str::to_owned) }
    }

    #[test]
    fn a_secret_is_one_endpoints_of_one_tenant_under_one_key() {
        let (secrets, acme) = (Secrets::new("secret"), TenantId("acme".into()));
        let secret = secrets.secret(&acme, "e", "new").unwrap();
        assert_eq!(secrets.secret(&acme, "e", "new").unwrap(), secret);
        for other in [
            secrets.secret(&TenantId("other".into()), "e", "new"),
            secrets.secret(&acme, "f", "new"),
            secrets.secret(&acme, "e", "old"),
            Secrets::new("another").secret(&acme, "e", "new"),
        ] {
            assert_ne!(other.unwrap(), secret);
        }
        assert!(secret.starts_with("whsec_") && secret.len() == 50, "32 bytes, as the specification asks for");
        assert!(Webhook::new(&secret).is_ok());
    }

    #[test]
    fn a_message_verifies_with_the_secret_and_for_a_while_with_the_one_before() {
        let (secrets, acme) = (Secrets::new("secret"), TenantId("acme".into()));
        let now = i64::try_from(super::super::message::now_s()).unwrap();
        let verifies = |signature: &str, key: &str| {
            let mut headers = reqwest::header::HeaderMap::new();
            headers.insert("webhook-id", "msg_1".parse().unwrap());
            headers.insert("webhook-timestamp", now.to_string().parse().unwrap());
            headers.insert("webhook-signature", signature.parse().unwrap());
            let secret = secrets.secret(&acme, "e", key).unwrap();
            Webhook::new(&secret).unwrap().verify(b"{}", &headers).is_ok()
        };
        let alone = secrets.sign(&acme, &signing(None), "msg_1", now, "{}").unwrap();
        assert!(verifies(&alone, "new") && !verifies(&alone, "old"));
        let both = secrets.sign(&acme, &signing(Some("old")), "msg_1", now, "{}").unwrap();
        assert!(verifies(&both, "new") && verifies(&both, "old") && !verifies(&both, "older"));
        assert_eq!(both.split(' ').count(), 2);
    }
}
