//! One call to the LiveKit server: how long it may take, what is counted of it, and what is said when
//! it fails. Most calls are made by the clients of livekit-api; two are made here, because those
//! clients lose something: `mute_published_track` panics when the track is gone, and `list_egress`
//! does not tell that there are further pages.

use convoke_actors::ports::MediaError;
use futures_util::future::BoxFuture;
use livekit_api::access_token::{AccessToken, AccessTokenError, VideoGrants};
use livekit_api::services::{ServerError, ServerErrorCode, ServiceError};
use prost::Message;
use secrecy::{ExposeSecret, SecretString};
use std::fmt::Write;
use std::future::Future;
use std::time::Duration;

/// Shorter than a node's lease, so that a call that was made while the node might speak for a meeting
/// has come to its end before another node does.
pub const CALL_MAX: Duration = Duration::from_secs(2);

/// What is told of a message that came from elsewhere.
const MESSAGE_CHARS_MAX: usize = 200;
/// Tokens, keys and signatures are longer words than this; what people read is not.
const WORD_CHARS_MAX: usize = 32;

/// Why a call failed.
#[derive(Debug)]
pub struct Failed {
    /// LiveKit's own word for it, where it was LiveKit that refused.
    pub code: Option<String>,
    why: String,
}

impl Failed {
    pub fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    fn because(why: &str) -> Self {
        Self { code: None, why: why.to_owned() }
    }

    fn refused(refusal: &ServerErrorCode) -> Self {
        let why = format!("{}: {}", readable(&refusal.code), readable(&refusal.msg));
        Self { code: Some(refusal.code.clone()), why }
    }
}

impl From<Failed> for MediaError {
    fn from(failed: Failed) -> Self {
        Self(failed.why)
    }
}

impl From<reqwest::Error> for Failed {
    /// In words of our own: the library's hold the URL.
    fn from(error: reqwest::Error) -> Self {
        Self::because(match () {
            () if error.is_timeout() => "no answer in time",
            () if error.is_connect() => "no connection",
            () if error.is_decode() => "the answer cannot be understood; is it a LiveKit server?",
            () => "the connection broke",
        })
    }
}

impl From<AccessTokenError> for Failed {
    fn from(_: AccessTokenError) -> Self {
        Self::because("no token can be made with the key and the secret")
    }
}

impl From<ServiceError> for Failed {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::AccessToken(error) => error.into(),
            ServiceError::Env(_) => Self::because("the environment cannot be read"),
            ServiceError::Twirp(ServerError::Twirp(refusal)) => Self::refused(&refusal),
            ServiceError::Twirp(ServerError::Request(error)) => error.into(),
            ServiceError::Twirp(ServerError::Url(_)) => Self::because("the URL cannot be understood"),
            ServiceError::Twirp(ServerError::Prost(_)) => Self::because("the answer cannot be understood"),
        }
    }
}

/// A text of somebody else's without what looks like a secret, and not at any length.
pub fn readable(text: &str) -> String {
    let mut told = String::new();
    for word in text.split_whitespace() {
        let space = if told.is_empty() { "" } else { " " };
        let word = if word.chars().count() > WORD_CHARS_MAX { "…" } else { word };
        // Writing to a string cannot fail.
        let _ = write!(told, "{space}{word}");
    }
    told.chars().filter(|c| !c.is_control()).take(MESSAGE_CHARS_MAX).collect()
}

/// Counts a call, and its failure. That something is not there is an answer. The library's futures are
/// large, so they are put aside.
pub fn counted<'a, T, E: Into<Failed>>(
    operation: &'static str,
    call: impl Future<Output = Result<T, E>> + Send + 'a,
) -> BoxFuture<'a, Result<T, Failed>> {
    metrics::counter!("convoke_media_calls_total", "operation" => operation).increment(1);
    Box::pin(async move {
        let outcome = call.await.map_err(Into::into);
        if let Err(failed) = &outcome
            && !failed.is(ServerErrorCode::NOT_FOUND)
        {
            metrics::counter!("convoke_media_call_failures_total", "operation" => operation).increment(1);
            tracing::debug!(operation, why = %failed.why, "the media server was asked in vain");
        }
        outcome
    })
}

/// What is not there need not be done.
pub fn done_or_gone<T>(outcome: Result<T, Failed>) -> Result<(), MediaError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(failed) if failed.is(ServerErrorCode::NOT_FOUND) => Ok(()),
        Err(failed) => Err(failed.into()),
    }
}

/// Calls without the library.
pub struct Twirp {
    http: reqwest::Client,
    host: String,
    key: String,
    secret: SecretString,
}

impl Twirp {
    pub fn new(host: &str, key: &str, secret: &SecretString) -> Result<Self, MediaError> {
        // The same trust as the library's.
        let roots = rustls::RootCertStore::from_iter(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| MediaError(error.to_string()))?;
        let http = reqwest::Client::builder()
            .timeout(CALL_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(tls.with_root_certificates(roots).with_no_client_auth())
            .build()
            .map_err(|error| MediaError(error.to_string()))?;
        Ok(Self { http, host: host.to_owned(), key: key.to_owned(), secret: secret.clone() })
    }

    pub async fn call<Q: Message, A: Message + Default>(
        &self,
        method: &str,
        grants: VideoGrants,
        question: &Q,
    ) -> Result<A, Failed> {
        let token = AccessToken::with_api_key(&self.key, self.secret.expose_secret()).with_grants(grants);
        let request = self
            .http
            .post(format!("{}/twirp/livekit.{method}", self.host))
            .bearer_auth(token.with_ttl(CALL_MAX * 30).to_jwt()?)
            .header("content-type", "application/protobuf")
            .body(question.encode_to_vec());
        let response = request.send().await?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(Failed::refused(&response.json().await?));
        }
        A::decode(response.bytes().await?).map_err(|_| Failed::because("the answer cannot be understood"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_looks_like_a_secret_is_repeated() {
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJrZXkifQ.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let refusal = ServerErrorCode {
            code: "unauthenticated".to_owned(),
            msg: format!("could not verify {token}\n of secretsecretsecretsecretsecretsecret"),
            meta: std::collections::HashMap::new(),
        };
        let failed = Failed::refused(&refusal);
        assert!(failed.is(ServerErrorCode::UNAUTHENTICATED));
        assert_eq!(MediaError::from(failed).0, "unauthenticated: could not verify … of …");
        assert_eq!(readable("egress not connected (redis required)"), "egress not connected (redis required)");
        assert_eq!(readable(&"word ".repeat(1_000)).chars().count(), MESSAGE_CHARS_MAX);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_told_without_its_url() {
        let secret = SecretString::from("secret".to_owned());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let twirp = Twirp::new(&format!("http://me:hunter2@{address}"), "key", &secret).unwrap();
        let question = livekit_protocol::ListRoomsRequest::default();
        let called = twirp.call::<_, livekit_protocol::ListRoomsResponse>(
            "RoomService/ListRooms",
            VideoGrants::default(),
            &question,
        );
        assert_eq!(MediaError::from(called.await.unwrap_err()).0, "no connection");
    }
}
