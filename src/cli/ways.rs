//! A way into a meeting: a join token, the link that a person opens and the address that a client
//! connects to. The token stands in the link's fragment, which browsers keep to themselves: no server
//! and no log on the way ever sees it.

use super::Failure;
use crate::auth::{Keyring, Mint};
use crate::config::Config;
use convoke_domain::{Millis, TenantId};
use serde::Serialize;

#[derive(Debug, Serialize)]
pub struct WayIn {
    token: String,
    expires_at: Millis,
    join_url: String,
    ws_url: String,
}

impl WayIn {
    pub fn mint(config: &Config, keyring: &Keyring, tenant: &TenantId, mint: Mint) -> Result<Self, Failure> {
        let (token, expires_at) = keyring.mint_join(tenant, mint).ok_or("the tenant has no API key")?;
        let base = config.base_url();
        let join_url = format!("{base}/join#token={token}");
        Ok(Self { token, expires_at, join_url, ws_url: ws_url(&base) })
    }

    /// As one line of JSON.
    pub fn line(&self) -> Result<String, Failure> {
        serde_json::to_string(self).map_err(|error| error.to_string())
    }
}

/// http becomes ws, https becomes wss.
fn ws_url(base: &str) -> String {
    let rest = base.strip_prefix("http").unwrap_or(base);
    format!("ws{rest}/ws")
}

#[cfg(test)]
mod tests {
    use super::ws_url;

    #[test]
    fn sockets_are_as_secure_as_pages() {
        assert_eq!(ws_url("http://127.0.0.1:8080"), "ws://127.0.0.1:8080/ws");
        assert_eq!(ws_url("https://meet.example/a"), "wss://meet.example/a/ws");
    }
}
