//! Just enough HTTP/1.1 to speak REST to a server on this machine, and the tokens to do it with.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long an answer may take, to its end.
const ANSWER: Duration = Duration::from_secs(120);

pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A tenant's key, as operators write it: `key:secret` or `tenant/key:secret`.
#[derive(Clone)]
pub struct Key {
    pub name: String,
    secret: String,
}

impl Key {
    pub fn parse(text: &str) -> Result<Self, Failure> {
        let (name, secret) = text.split_once(':').ok_or("an API key is written key:secret")?;
        let name = name.rsplit('/').next().unwrap_or(name);
        Ok(Self { name: name.to_owned(), secret: secret.to_owned() })
    }

    pub fn sign(&self, claims: &Value) -> String {
        let key = EncodingKey::from_secret(self.secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).unwrap_or_default()
    }

    pub fn api_token(&self) -> String {
        self.sign(&json!({ "iss": self.name, "exp": now_s() + 600 }))
    }

    pub fn join_token(&self, meeting: &str, user: Option<&str>, name: &str, role: &str) -> String {
        let mut claims =
            json!({ "iss": self.name, "exp": now_s() + 12 * 3_600, "meeting": meeting, "name": name, "role": role });
        if let (Some(user), Some(object)) = (user, claims.as_object_mut()) {
            object.insert("sub".to_owned(), json!(user));
        }
        self.sign(&claims)
    }
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A server, and the key that its backend holds.
#[derive(Clone)]
pub struct Rest {
    /// `host:port`.
    pub host: String,
    pub key: Key,
}

impl Rest {
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Response, Failure> {
        let answer = tokio::time::timeout(ANSWER, self.exchange(method, path, headers, body)).await;
        answer.map_err(|_| format!("no answer to {method} {path} within {ANSWER:?}"))?
    }

    async fn exchange(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&str>,
    ) -> Result<Response, Failure> {
        let mut stream = TcpStream::connect(&self.host).await?;
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.host);
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let body = body.unwrap_or("");
        head.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
        stream.write_all(head.as_bytes()).await?;
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await?;
        parse(&String::from_utf8_lossy(&bytes))
    }

    /// A request with the backend's own token.
    pub async fn api(&self, method: &str, path: &str, body: Option<Value>) -> Result<Response, Failure> {
        let bearer = format!("Bearer {}", self.key.api_token());
        let body = body.map(|body| body.to_string());
        let path = format!("/api/v1{path}");
        self.send(method, &path, &[("authorization", &bearer), ("content-type", "application/json")], body.as_deref())
            .await
    }

    pub async fn make_meeting(&self, title: &str, settings: Value) -> Result<String, Failure> {
        let made = self.api("POST", "/meetings", Some(json!({ "title": title, "settings": settings }))).await?;
        let id = made.json().get("id").and_then(Value::as_str).map(ToOwned::to_owned);
        id.ok_or_else(|| format!("a meeting was not made: {} {}", made.status, made.body).into())
    }

    /// The whole log of a meeting, one JSON object an event.
    pub async fn log(&self, meeting: &str) -> Result<Vec<Value>, Failure> {
        let response = self.api("GET", &format!("/meetings/{meeting}/events?after=0"), None).await?;
        if response.status != 200 {
            return Err(format!("the log was not given: {} {}", response.status, response.body).into());
        }
        Ok(response.body.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
    }

    pub fn ws_url(&self) -> String {
        format!("ws://{}/ws", self.host)
    }
}

fn parse(text: &str) -> Result<Response, Failure> {
    let (head, body) = text.split_once("\r\n\r\n").ok_or("not an HTTP response")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let is_chunked =
        headers.iter().any(|(name, value)| name.eq_ignore_ascii_case("transfer-encoding") && value == "chunked");
    let body = if is_chunked { dechunk(body) } else { body.to_owned() };
    Ok(Response { status: status.ok_or("no status")?, headers, body })
}

fn dechunk(mut text: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let Ok(size) = usize::from_str_radix(size.trim(), 16) else { break };
        let Some(chunk) = rest.get(..size).filter(|chunk| !chunk.is_empty()) else { break };
        whole.push_str(chunk);
        text = rest.get(size..).and_then(|rest| rest.strip_prefix("\r\n")).unwrap_or("");
    }
    whole
}
