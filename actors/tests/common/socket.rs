//! A client's end of a socket: what it is given can be awaited.

use actix::Addr;
use bytestring::ByteString;
use convoke_actors::outlet::Outlet;
use convoke_actors::session::{Hangup, Incoming, SessionActor};
use convoke_domain::{CloseCode, SessionId};
use serde_json::{Value, json};
use std::future::poll_fn;
use std::time::Duration;

/// How long a test waits, by the paused clock.
const PATIENCE: Duration = Duration::from_secs(600);

/// A client's end of a socket.
pub struct Socket {
    pub outlet: Outlet,
    session: Addr<SessionActor>,
    pub heard: Vec<Value>,
    next: u64,
}

impl Socket {
    pub fn new(outlet: Outlet, session: Addr<SessionActor>) -> Self {
        Self { outlet, session, heard: Vec::new(), next: 1 }
    }

    pub async fn say(&self, frame: Value) {
        // An actor that has crashed takes nothing more; its close is what the test looks at.
        let _ = self.session.send(Incoming(ByteString::from(frame.to_string()))).await;
    }

    /// Sends the next command; answers its number.
    pub async fn command(&mut self, kind: &str, data: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.say(json!({ "id": id, "type": kind, "data": data })).await;
        id
    }

    pub async fn post(&mut self, text: &str) -> u64 {
        self.command("chat.post", json!({ "to": "room", "text": text })).await
    }

    /// What the session is shown last of all: by its join, a resume or its admission.
    pub fn snapshot(&self) -> Value {
        let shown = |message: &Value| match message["type"].as_str() {
            Some("self.admitted") => Some(message["data"]["snapshot"].clone()),
            _ => Some(message["data"].clone()).filter(|data| message["re"] == 0 && !data["view"].is_null()),
        };
        self.heard.iter().rev().find_map(shown).unwrap()
    }

    pub fn id(&self) -> Value {
        self.snapshot()["self"]["participant"]["id"].clone()
    }

    /// The highest seq that was handled.
    pub fn cursor(&self) -> u64 {
        let seq = |message: &Value| match message["type"].as_str() {
            Some("self.admitted") => message["data"]["snapshot"]["seq"].as_u64(),
            Some(_) => message["seq"].as_u64(),
            None => message["data"]["seq"].as_u64(),
        };
        self.heard.iter().filter_map(seq).max().unwrap_or(0)
    }

    pub fn resume_token(&self) -> String {
        let token = |message: &Value| message["data"]["resume_token"].as_str().map(ToOwned::to_owned);
        let admitted = |message: &Value| message["data"]["snapshot"]["resume_token"].as_str().map(ToOwned::to_owned);
        self.heard.iter().rev().find_map(|message| token(message).or_else(|| admitted(message))).unwrap()
    }

    pub fn go_on_after(&mut self, last_id: Option<u64>) {
        self.next = last_id.unwrap_or(0) + 1;
    }

    /// The kinds of the events that came, in order.
    pub fn kinds(&self) -> Vec<&str> {
        self.heard.iter().filter(|message| message["seq"].is_u64()).filter_map(|m| m["type"].as_str()).collect()
    }

    pub async fn hang_up(&self) {
        let _ = self.session.send(Hangup).await;
    }

    /// The next frame; None when the socket is closed. Pongs are given as a browser gives them.
    async fn frame(&mut self) -> Option<Vec<Value>> {
        loop {
            let bytes = poll_fn(|cx| self.outlet.poll_next(cx)).await?;
            let payload = match bytes[1] {
                126 => &bytes[4..],
                127 => &bytes[10..],
                _ => &bytes[2..],
            };
            match bytes[0] {
                0x81 => return Some(serde_json::from_slice(payload).unwrap()),
                0x89 => self.outlet.heard_pong(payload),
                _ => {}
            }
        }
    }

    /// Reads until a message is found.
    pub async fn until(&mut self, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        // In all: the ticks alone would keep anybody waiting for ever.
        let end = tokio::time::Instant::now() + PATIENCE;
        let mut from = 0;
        loop {
            if let Some(message) = self.heard.iter().skip(from).find(|message| found(message)) {
                return message.clone();
            }
            from = self.heard.len();
            let waiting = tokio::time::timeout_at(end, self.frame()).await;
            match waiting.unwrap_or_else(|_| panic!("waited in vain for {what}; heard {:#?}", self.heard)) {
                Some(messages) => self.heard.extend(messages),
                None => panic!("closed ({:?}) before {what}", self.outlet.closed()),
            }
        }
    }

    /// Reads for so long: whoever does not is let go of.
    pub async fn listen(&mut self, time: Duration) {
        let end = tokio::time::Instant::now() + time;
        while let Ok(Some(messages)) = tokio::time::timeout_at(end, self.frame()).await {
            self.heard.extend(messages);
        }
        tokio::time::sleep_until(end).await;
    }

    pub async fn answer(&mut self, id: u64) -> Value {
        self.until(&format!("the answer to {id}"), |message| message["re"] == id).await
    }

    pub async fn event(&mut self, kind: &str) -> Value {
        self.until(kind, |message| message["type"] == kind).await
    }

    /// Reads to the end.
    pub async fn close(&mut self) -> CloseCode {
        let end = tokio::time::Instant::now() + PATIENCE;
        while let Some(messages) = tokio::time::timeout_at(end, self.frame()).await.expect("a close") {
            self.heard.extend(messages);
        }
        self.outlet.closed().unwrap()
    }

    /// The texts of the messages that came as events, in order.
    pub fn texts(&self) -> Vec<String> {
        let posted = self.heard.iter().filter(|message| message["type"] == "chat.posted");
        posted.map(|message| message["data"]["message"]["text"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn session_of(snapshot: &Value) -> SessionId {
    serde_json::from_value(snapshot["data"]["self"]["session"].clone()).unwrap()
}

/// Time passes, and these clients read.
pub async fn seconds<const N: usize>(seconds: u64, sockets: [&mut Socket; N]) {
    let time = Duration::from_secs(seconds);
    futures_util::future::join_all(sockets.map(|socket| socket.listen(time))).await;
    if N == 0 {
        tokio::time::sleep(time).await;
    }
}

/// A command that is taken.
pub async fn does(socket: &mut Socket, kind: &str, data: Value) {
    let id = socket.command(kind, data).await;
    let answer = socket.answer(id).await;
    assert_eq!(answer["ok"], true, "{answer}");
}

pub fn session(socket: &Socket) -> SessionId {
    session_of(&json!({ "data": socket.snapshot() }))
}
