//! Whiteboards, from outside: the real Yjs with its real provider, and a client in Rust that does what no
//! honest client would; nodes that are killed, stopped and cut off while people draw.

mod access;
mod clients;
mod edges;
mod growth;
mod nodes;
mod painter;
mod party;

use crate::{client, ok};
use convoke_loadtest::board::door::Address;
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::json;

/// The way to a board, as the meeting tells it.
#[derive(Clone)]
pub struct Way {
    pub url: String,
    pub token: String,
    pub is_writable: bool,
}

impl Way {
    pub async fn ask(client: &Client, board: &str) -> Self {
        let answer = ok(client, "whiteboard.open", json!({ "whiteboard": board })).await;
        let text = |name: &str| answer["data"][name].as_str().unwrap().to_owned();
        Self { url: text("url"), token: text("token"), is_writable: answer["data"]["writable"] == true }
    }

    pub fn address(&self) -> Address {
        Address::parse(&format!("{}?token={}", self.url, self.token)).unwrap()
    }
}

/// Somebody who comes to the meeting for a board; they are there as long as this is kept.
pub async fn person(server: &Server, meeting: &str, name: &str, role: &str) -> Client {
    let client = client(server, meeting, Some(name), name, role);
    client.joined().await.unwrap();
    client
}
