//! Polls, questions, the timer, the spotlight, captions through the front door: who is sent what,
//! what cannot be done, and what a crash in the middle leaves.

mod anonymous;
mod attention;
mod captions;
mod device;
mod durable;
mod poll_rooms;
mod polls;
mod questions;
mod refusals;
mod replayed;

use crate::ok;
use convoke_loadtest::client::{Client, Heard};
use convoke_loadtest::server::Server;
use serde_json::{Value, json};

/// Opens a poll in the host's room, and gives its id.
async fn opened(host: &Client, data: Value) -> String {
    let answer = ok(host, "poll.open", data).await;
    let record = host.record();
    let opened = record.heard.iter().find(|heard| json!(heard.seq) == answer["seq"]).unwrap();
    assert_eq!(opened.kind, "poll.opened");
    opened.data["poll"]["id"].as_str().unwrap().to_owned()
}

/// Asks a question, and gives its id.
async fn asked(client: &Client, text: &str, anonymous: bool) -> String {
    ok(client, "question.ask", json!({ "text": text, "anonymous": anonymous })).await;
    let record = client.record();
    let is_it = |heard: &&Heard| heard.kind == "question.asked" && heard.data["question"]["text"] == text;
    let asked: Vec<&Heard> = record.heard.iter().filter(is_it).collect();
    assert_eq!(asked.len(), 1, "asked once");
    asked[0].data["question"]["id"].as_str().unwrap().to_owned()
}

/// What somebody was sent about a poll or a question, in order.
fn told(client: &Client, thing: &str, id: &str) -> Vec<(String, Value)> {
    let record = client.record();
    let of = record.heard.iter().filter(|heard| heard.data[thing]["id"] == id);
    of.map(|heard| (heard.kind.clone(), heard.data[thing].clone())).collect()
}

/// Waits until somebody has been sent this about a poll or a question, and gives the whole of it.
async fn until_told(client: &Client, kind: &str, data: impl Fn(&Value) -> bool) -> Value {
    let look = |heard: &&Heard| heard.kind == kind && data(&heard.data);
    client.until(kind, |record| record.heard.iter().find(look).map(|heard| heard.data.clone())).await.unwrap()
}

async fn caught_up(client: &Client, seq: &Value) {
    let seq = seq.as_u64().unwrap();
    client.until("an event", |record| (record.cursor >= seq).then_some(())).await.unwrap();
}

/// Everything that was said before is heard by now.
async fn all_caught_up(speaker: &Client, others: &[&Client]) {
    let said = ok(speaker, "chat.post", json!({ "to": "everyone", "text": "is everybody here?" })).await;
    for other in others {
        caught_up(other, &said["seq"]).await;
    }
}

/// The events of one kind in the meeting's log.
async fn logged(server: &Server, meeting: &str, kind: &str) -> Vec<Value> {
    let log = server.rest.log(meeting).await.unwrap();
    log.into_iter().filter(|event| event["type"] == kind).collect()
}

/// One thing of a list in somebody's view.
fn shown(snapshot: &Value, list: &str, id: &str) -> Value {
    let all = snapshot["view"][list].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).cloned().unwrap_or(Value::Null)
}
