//! Black box: the real binary on a port of its own, real clients, `kill -9`. Each test starts its
//! own server over a fresh database.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod bad_input;
mod breakout;
mod cluster;
mod crash;
mod cuts;
mod degraded;
mod fenced;
mod fuzz;
#[path = "../hooks/mod.rs"]
mod hooks;
mod interaction;
mod limits;
mod livekit;
mod livekit_webhooks;
mod lobby;
mod mail;
mod meeting;
mod page;
mod painter;
mod polls;
mod recorded;
mod recordings;
mod redis_engines;
mod redis_server;
mod report;
mod rest;
mod shared_limits;
mod skewed;
mod slow;
#[path = "../smtp/mod.rs"]
mod smtp;
mod talk;
#[path = "../tape/mod.rs"]
mod tape;
mod transcript;
mod transcripts;
mod webhooks;
mod whiteboards;
mod whiteboards_rest;
#[path = "../whole/mod.rs"]
mod whole;
#[path = "../yjs/mod.rs"]
mod yjs;

use convoke_loadtest::client::{Client, Options};
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

pub async fn server(settings: &[(&str, &str)]) -> Server {
    Server::start(Path::new(env!("CARGO_BIN_EXE_convoke")), settings).await.unwrap()
}

pub async fn meeting(server: &Server, settings: Value) -> String {
    server.rest.make_meeting("A meeting", settings).await.unwrap()
}

/// A client of a user, or, with no user, of a guest.
pub fn client(server: &Server, meeting: &str, user: Option<&str>, name: &str, role: &str) -> Client {
    let token = server.rest.key.join_token(meeting, user, name, role);
    Client::start(Options { backoff: Duration::from_millis(20), ..Options::new(&server.rest.host, token) })
}

/// A client that is in.
pub async fn joined(server: &Server, meeting: &str, user: &str, role: &str) -> Client {
    let client = client(server, meeting, Some(user), user, role);
    client.joined().await.unwrap();
    client
}

/// A client's own participant id.
pub fn id_of(client: &Client) -> String {
    let record = client.record();
    record.snapshot.as_ref().unwrap()["self"]["participant"]["id"].as_str().unwrap().to_owned()
}

pub async fn ok(client: &Client, kind: &str, data: Value) -> Value {
    let answer = client.ask(kind, data).await.unwrap();
    assert_eq!(answer["ok"], json!(true), "{kind}: {answer}");
    answer
}

pub async fn refused(client: &Client, kind: &str, data: Value) -> String {
    let answer = client.ask(kind, data).await.unwrap();
    assert_eq!(answer["ok"], json!(false), "{kind}: {answer}");
    answer["error"]["code"].as_str().unwrap().to_owned()
}
