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

use convoke_loadtest::client::{Client, Options, Socket, connect};
use convoke_loadtest::server::Server;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

pub async fn server(settings: &[(&str, &str)]) -> Server {
    // A machine that stands still for some seconds fails no test that is not about that. What others can take over
    // keeps its lease: they wait until it is over.
    let is_shared = |(name, value): &(&str, &str)| *name == "CONVOKE_DATABASE_URL" && value.starts_with("postgres");
    let lease_s = if settings.iter().any(is_shared) { "6" } else { "60" };
    let patient = [("CONVOKE_HELLO_S", "60"), ("CONVOKE_LEASE_S", lease_s)];
    Server::start(Path::new(env!("CARGO_BIN_EXE_convoke")), &[&patient, settings].concat()).await.unwrap()
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

/// A socket without a client around it, on which these frames are said, the hello first, and what the first frame
/// of the answer has.
pub async fn greeted(server: &Server, frames: &[Message]) -> (Socket, Vec<Value>) {
    greeted_on(async || connect(&server.rest.host).await.unwrap(), frames).await
}

/// The same on sockets of the test's own kind. A node that stood still lets nobody in for a moment.
pub async fn greeted_on(open: impl AsyncFn() -> Socket, frames: &[Message]) -> (Socket, Vec<Value>) {
    for _ in 0..600 {
        let mut socket = open().await;
        for frame in frames {
            socket.feed(frame.clone()).await.unwrap();
        }
        socket.flush().await.unwrap();
        let Message::Text(text) = socket.next().await.unwrap().unwrap() else { panic!("it begins with no answer") };
        let messages: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert_eq!(messages[0]["re"], 0);
        if messages[0]["error"]["code"] != "unavailable" {
            return (socket, messages);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("nobody is let in");
}

/// The hello of a session that begins.
pub fn hello(token: &str) -> Message {
    let data = json!({ "token": token, "session": uuid::Uuid::now_v7() });
    Message::text(json!({ "id": 0, "type": "join", "data": data }).to_string())
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
