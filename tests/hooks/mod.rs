//! A receiver of webhooks on loopback that keeps what it is given, and answers as it is told to.

#![allow(dead_code)] // each test binary uses its part

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How one message is taken.
#[derive(Clone, Debug)]
pub enum Manner {
    Answer(u16),
    /// Sends the caller elsewhere.
    Redirect(String),
    /// Takes it and never says so.
    Silent,
    /// Says yes, and goes on talking.
    Endless,
}

#[derive(Clone, Debug)]
pub struct Received {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Received {
    pub fn id(&self) -> String {
        self.headers["webhook-id"].to_str().unwrap().to_owned()
    }

    pub fn signatures(&self) -> usize {
        self.headers["webhook-signature"].to_str().unwrap().split(' ').count()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    pub fn kind(&self) -> String {
        self.json()["type"].as_str().unwrap().to_owned()
    }

    /// Whether it was signed with this secret.
    pub fn verifies(&self, secret: &str) -> bool {
        standardwebhooks::Webhook::new(secret).unwrap().verify(self.body.as_bytes(), &self.headers).is_ok()
    }
}

#[derive(Clone)]
pub struct Hooks {
    pub url: String,
    manners: Arc<Mutex<VecDeque<Manner>>>,
    received: Arc<watch::Sender<Vec<Received>>>,
}

impl Hooks {
    /// Takes its first messages in these manners, and all others with 204.
    pub async fn start(manners: &[Manner]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hooks = Self {
            url: format!("http://{}/hook", listener.local_addr().unwrap()),
            manners: Arc::new(Mutex::new(manners.iter().cloned().collect())),
            received: Arc::new(watch::Sender::new(Vec::new())),
        };
        let server = hooks.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(server.clone().serve(stream));
            }
        });
        hooks
    }

    pub fn then(&self, manners: &[Manner]) {
        self.manners.lock().unwrap().extend(manners.iter().cloned());
    }

    pub fn received(&self) -> Vec<Received> {
        self.received.borrow().clone()
    }

    /// Waits until it was given this many messages.
    pub async fn has_received(&self, count: usize) -> Vec<Received> {
        self.received.subscribe().wait_for(|all| all.len() >= count).await.unwrap().clone()
    }

    async fn serve(self, stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut headers = HeaderMap::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).await?;
                let Some((name, value)) = line.trim_end().split_once(": ") else { break };
                headers.insert(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
            }
            let length: usize = headers["content-length"].to_str().unwrap().parse().unwrap();
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await?;
            let manner = self.manners.lock().unwrap().pop_front().unwrap_or(Manner::Answer(204));
            let body = String::from_utf8(body).unwrap();
            self.received.send_modify(|all| all.push(Received { path, headers, body }));
            let answer = match manner {
                Manner::Answer(status) => {
                    let text = if status == 204 { "" } else { "not for any log" };
                    format!("HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n{text}", text.len())
                }
                Manner::Redirect(to) => format!("HTTP/1.1 307 x\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n"),
                Manner::Silent => {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await?;
                    return Ok(());
                }
                Manner::Endless => {
                    stream.write_all(b"HTTP/1.1 200 x\r\ncontent-length: 1000000000\r\n\r\n").await?;
                    while stream.write_all(&[b'x'; 1_024]).await.is_ok() {}
                    return Ok(());
                }
            };
            stream.write_all(answer.as_bytes()).await?;
        }
    }
}
