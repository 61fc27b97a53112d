//! The HTTP client that messages go out by: it follows no redirect, goes by no proxy, connects to
//! checked addresses alone, waits ten seconds, and reads a little of the answer and keeps none of it.

use super::guard::{Guarded, NotPublic, check_url};
use super::{ANSWER, ANSWER_BYTES_MAX};
use reqwest::redirect::Policy;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(5);
/// Connections are kept a while, for endpoints that are told much.
const IDLE: Duration = Duration::from_secs(30);
const IDLE_PER_HOST: usize = 2;

/// Without the reason, which is of no use to whoever starts the server.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of webhooks cannot be made")]
pub struct NoClient;

/// What an endpoint is sent.
pub struct Signed<'a> {
    pub id: &'a str,
    pub at_s: i64,
    pub signature: &'a str,
    pub body: String,
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    allow_private: bool,
}

impl Client {
    pub fn new(allow_private: bool) -> Result<Self, NoClient> {
        // The same certificates as for mail and Redis, whatever the image has.
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| NoClient)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .https_only(!allow_private)
            .no_proxy()
            .redirect(Policy::none())
            .dns_resolver(Arc::new(Guarded { allow_private }))
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .user_agent(concat!("convoke/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| NoClient)?;
        Ok(Self { http, allow_private })
    }

    pub fn allows_private(&self) -> bool {
        self.allow_private
    }

    /// Sends it, and answers the status; or why there is none, without the URL, which may hold a token.
    pub async fn send(&self, url: &str, message: Signed<'_>) -> Result<u16, &'static str> {
        // Addresses that stand in the URL are not resolved, so they are looked at here.
        let url = check_url(url, self.allow_private)?;
        let request = self
            .http
            .post(url)
            .header("content-type", "application/json")
            .header("webhook-id", message.id)
            .header("webhook-timestamp", message.at_s)
            .header("webhook-signature", message.signature)
            .body(message.body);
        let mut answer = request.send().await.map_err(|error| why(&error))?;
        let status = answer.status().as_u16();
        // A short answer is read to its end, so that the connection can be used again. What it says is
        // of no account, and whether it ends neither: the status was given.
        let mut read = 0_usize;
        while read < ANSWER_BYTES_MAX {
            match answer.chunk().await {
                Ok(Some(chunk)) => read = read.saturating_add(chunk.len()),
                _ => break,
            }
        }
        Ok(status)
    }
}

fn why(error: &reqwest::Error) -> &'static str {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(inner) = cause {
        if inner.is::<NotPublic>() {
            return "the endpoint's address is not public";
        }
        cause = inner.source();
    }
    if error.is_timeout() {
        "the endpoint did not answer in time"
    } else if error.is_connect() {
        "no connection to the endpoint"
    } else {
        "the endpoint did not answer by HTTP"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn by_default_nothing_is_sent_within_the_network() {
        let client = Client::new(false).unwrap();
        let send = async |url: &str| {
            client.send(url, Signed { id: "msg_1", at_s: 1, signature: "v1,x", body: String::new() }).await
        };
        // A name that leads to this machine is found out by the resolver, behind the checks of the URL.
        assert_eq!(send("https://localhost:1/").await, Err("the endpoint's address is not public"));
        assert_eq!(send("https://127.0.0.1:1/").await, Err(super::super::guard::NOT_PUBLIC));
        assert_eq!(send("http://hooks.example/").await, Err("the url must be https"));
        let open = Client::new(true).unwrap();
        let message = Signed { id: "msg_1", at_s: 1, signature: "v1,x", body: String::new() };
        assert_eq!(open.send("http://localhost:1/?token=s3cret", message).await, Err("no connection to the endpoint"));
    }
}
