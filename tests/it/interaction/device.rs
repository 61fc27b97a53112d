//! A device without a client around it: it says what it is told to say, under the number it is told,
//! and loses its socket whenever it is told to.

use convoke_loadtest::client::connect;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

pub struct Device {
    socket: WebSocketStream<TcpStream>,
    resume_token: String,
    /// The highest seq that it was given.
    pub cursor: u64,
    /// The answer to its greeting.
    pub greeted: Value,
    /// The events since then.
    pub events: Vec<Value>,
}

impl Device {
    pub async fn join(host: &str, token: &str) -> Self {
        let data = json!({ "token": token, "session": uuid::Uuid::now_v7() });
        Self::comes(host, "join", &data, "", 0).await
    }

    /// Loses its socket and comes back, maybe elsewhere, asking until the meeting is there again.
    pub async fn resume(self, host: &str) -> Self {
        let Self { resume_token, cursor, socket, .. } = self;
        drop(socket);
        let data = json!({ "resume_token": resume_token, "seq": cursor });
        Self::comes(host, "resume", &data, &resume_token, cursor).await
    }

    async fn comes(host: &str, kind: &str, data: &Value, resume_token: &str, cursor: u64) -> Self {
        for _ in 0..600 {
            if let Ok(socket) = connect(host).await
                && let Some(device) = Self::greet(socket, kind, data.clone(), resume_token.to_owned(), cursor).await
            {
                return device;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("the device does not come in");
    }

    async fn greet(
        socket: WebSocketStream<TcpStream>,
        kind: &str,
        data: Value,
        resume_token: String,
        cursor: u64,
    ) -> Option<Self> {
        let mut device = Self { socket, resume_token, cursor, greeted: Value::Null, events: Vec::new() };
        device.send(0, kind, data).await;
        let answer = device.answer(0).await?;
        if answer["ok"] != true {
            assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
            return None;
        }
        device.greeted = answer["data"].clone();
        if let Some(token) = answer["data"]["resume_token"].as_str() {
            token.clone_into(&mut device.resume_token);
        }
        device.cursor = device.cursor.max(answer["data"]["seq"].as_u64().unwrap_or(0));
        Some(device)
    }

    pub async fn send(&mut self, id: u64, kind: &str, data: Value) {
        let frame = json!({ "id": id, "type": kind, "data": data });
        self.socket.send(Message::text(frame.to_string())).await.unwrap();
    }

    /// Reads on until this is answered; nothing, if the socket ends before.
    pub async fn answer(&mut self, re: u64) -> Option<Value> {
        loop {
            let frame = tokio::time::timeout(Duration::from_secs(60), self.socket.next()).await.unwrap()?;
            let Message::Text(text) = frame.ok()? else { continue };
            let mut answer = None;
            for message in serde_json::from_str::<Vec<Value>>(&text).unwrap() {
                if message["re"] == re {
                    answer = Some(message);
                } else if let Some(seq) = message["seq"].as_u64().filter(|_| message["re"].is_null()) {
                    self.cursor = self.cursor.max(seq);
                    self.events.push(message);
                }
            }
            if answer.is_some() {
                return answer;
            }
        }
    }

    /// Says something, and reads on to its answer.
    pub async fn ask(&mut self, id: u64, kind: &str, data: Value) -> Value {
        self.send(id, kind, data).await;
        self.answer(id).await.unwrap()
    }
}
