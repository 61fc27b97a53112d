//! Deepgram's interface for recorded audio: one POST of the whole file, answered with the whole transcript.
//! The file is streamed from the objects, never handed over as a link: a link would let whoever keeps it read
//! the whole recording, and a bucket within an operator's network cannot be reached from outside. The client
//! follows no redirect, so the key goes to the configured host alone, and neither the key nor what the service
//! answers to a failure is repeated anywhere.

use super::{Ask, Audio, Failure, Segment, Transcriber, answer};
use crate::config::Config;
use async_trait::async_trait;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Body, Response, StatusCode, Url};
use rustls::{ClientConfig, RootCertStore};
use secrecy::{ExposeSecret, SecretString};
use std::sync::Arc;
use std::time::Duration;

const CONNECT: Duration = Duration::from_secs(10);
/// Some hours of words, each twice.
const ANSWER_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Nobody is waited for longer than this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(24 * 3_600);

#[derive(Debug, thiserror::Error)]
#[error("the client of Deepgram cannot be made: {0}")]
pub struct NoClient(&'static str);

pub struct Deepgram {
    http: reqwest::Client,
    url: Url,
    model: String,
    token: HeaderValue,
}

impl Deepgram {
    /// Where it is configured.
    pub fn open(config: &Config) -> Result<Option<Self>, NoClient> {
        let key = config.deepgram_api_key.as_ref().filter(|_| config.transcriber == "deepgram");
        let limit = Duration::from_secs(config.transcription_s);
        key.map(|key| Self::new(&config.deepgram_url, key, &config.deepgram_model, limit)).transpose()
    }

    pub fn new(url: &str, key: &SecretString, model: &str, limit: Duration) -> Result<Self, NoClient> {
        // The same certificates as for mail and Redis, whatever the image has.
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|_| NoClient("TLS"))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .no_proxy()
            .redirect(Policy::none())
            .connect_timeout(CONNECT)
            .timeout(limit)
            .user_agent(concat!("convoke/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|_| NoClient("HTTP"))?;
        let url = format!("{}/v1/listen", url.trim_end_matches('/'));
        let url = Url::parse(&url).map_err(|_| NoClient("the URL"))?;
        let mut token = HeaderValue::from_str(&format!("Token {}", key.expose_secret()))
            .map_err(|_| NoClient("the key has characters that cannot be"))?;
        token.set_sensitive(true);
        Ok(Self { http, url, model: model.to_owned(), token })
    }

    fn asked(&self, ask: &Ask) -> Url {
        let mut url = self.url.clone();
        let mut query = url.query_pairs_mut();
        query.append_pair("model", &self.model);
        for switch in ["smart_format", "punctuate", "utterances"] {
            query.append_pair(switch, "true");
        }
        match &ask.language {
            Some(language) => query.append_pair("language", language),
            None => query.append_pair("detect_language", "true"),
        };
        if ask.several {
            query.append_pair("diarize", "true");
        }
        drop(query);
        url
    }
}

#[async_trait]
impl Transcriber for Deepgram {
    async fn transcribe(&self, audio: Audio, ask: &Ask) -> Result<Vec<Segment>, Failure> {
        let request = self
            .http
            .post(self.asked(ask))
            .header(AUTHORIZATION, self.token.clone())
            .header(CONTENT_TYPE, audio.content_type)
            .header(CONTENT_LENGTH, audio.bytes)
            .body(Body::wrap_stream(audio.stream));
        let response = request.send().await.map_err(|error| unanswered(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            let wait = response.headers().get(RETRY_AFTER).and_then(|value| retry_after(value.to_str().ok()?));
            return Err(refused(status.as_u16(), wait));
        }
        let bytes = read(response).await?;
        answer::segments(&bytes, ask.language.as_deref())
    }
}

/// The answer, if it has an end.
async fn read(mut response: Response) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unanswered(&error))? {
        if bytes.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(Failure::permanent("the transcriber's answer is too long"));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn unanswered(error: &reqwest::Error) -> Failure {
    Failure::temporary(if error.is_timeout() {
        "the transcriber did not answer in time"
    } else if error.is_connect() {
        "no connection to the transcriber"
    } else {
        "the transcriber did not answer by HTTP"
    })
}

/// Seconds; a date is passed over, and our own wait is taken.
fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse().ok().map(|seconds| Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

/// What an operator can set right is tried again: a key, or an account without credit.
fn refused(status: u16, retry_after: Option<Duration>) -> Failure {
    let failure = match status {
        400 => Failure::permanent("the transcriber cannot read the file, or not in this language"),
        401 | 403 => Failure::temporary("the transcriber does not accept the key"),
        402 => Failure::temporary("the transcriber's account has no credit"),
        408 => Failure::temporary("the transcriber did not get the file in time"),
        413 => Failure::permanent("the file is too large for the transcriber"),
        429 => Failure::temporary("the transcriber has too many requests"),
        500..=599 => Failure::temporary("the transcriber failed"),
        _ => Failure::permanent("the transcriber refused the request"),
    };
    let is_waited_for = !failure.is_permanent;
    Failure { retry_after: retry_after.filter(|_| is_waited_for), ..failure }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::StreamExt;
    use futures_util::stream::iter;

    fn deepgram(url: &str) -> Deepgram {
        Deepgram::new(url, &"s3cret".to_owned().into(), "nova-3", Duration::from_secs(5)).unwrap()
    }

    #[test]
    fn what_is_asked_for_stands_in_the_url() {
        let one = deepgram("https://api.deepgram.com").asked(&Ask { language: None, several: false });
        let query = "model=nova-3&smart_format=true&punctuate=true&utterances=true";
        assert_eq!(one.as_str(), format!("https://api.deepgram.com/v1/listen?{query}&detect_language=true"));
        let ask = Ask { language: Some("pt-BR".into()), several: true };
        let all = deepgram("http://within/dg/").asked(&ask);
        assert_eq!(all.as_str(), format!("http://within/dg/v1/listen?{query}&language=pt-BR&diarize=true"));
    }

    #[test]
    fn failures_are_for_now_or_for_ever() {
        for (status, is_permanent) in [
            (400, true),
            (401, false),
            (402, false),
            (403, false),
            (404, true),
            (408, false),
            (413, true),
            (415, true),
            (429, false),
            (500, false),
            (503, false),
            (504, false),
            (302, true),
        ] {
            let failure = refused(status, Some(Duration::from_secs(7)));
            assert_eq!(failure.is_permanent, is_permanent, "{status}");
            assert_eq!(failure.retry_after, (!is_permanent).then_some(Duration::from_secs(7)), "{status}");
        }
        assert_eq!(retry_after(" 12 "), Some(Duration::from_secs(12)));
        assert_eq!(retry_after("99999999"), Some(RETRY_AFTER_MAX));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }

    #[tokio::test]
    async fn no_failure_tells_the_key_or_the_url() {
        let open = deepgram("http://127.0.0.1:1/?token=alsos3cret");
        let audio = Audio { bytes: 0, content_type: "audio/ogg", stream: iter([]).boxed() };
        let failure = open.transcribe(audio, &Ask { language: None, several: false }).await.unwrap_err();
        assert_eq!(failure, Failure::temporary("no connection to the transcriber"));
        let odd = Deepgram::new("http://x", &"s3\ncret".to_owned().into(), "m", CONNECT).err().unwrap();
        assert!(!format!("{odd} {odd:?}").contains("cret"));
    }
}
