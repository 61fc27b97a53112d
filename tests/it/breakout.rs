//! Breakout rooms through the front door: a set's life over the socket, who hears and reads what,
//! and a crash in the middle.

mod over_rest;
mod refusals;

use crate::{client, greeted, hello, id_of, joined, meeting, ok, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use convoke_loadtest::verify::verify;
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio_tungstenite::tungstenite::Message;

/// A fresh PostgreSQL database, where there is a server.
pub async fn postgres() -> Option<String> {
    let Ok(url) = std::env::var("CONVOKE_TEST_POSTGRES_URL") else {
        println!("SKIPPED: CONVOKE_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return None;
    };
    Some(crate::rest::fresh_database(&url).await)
}

pub fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// Opens rooms over the socket, and gives their ids.
pub async fn open(host: &Client, data: Value) -> Vec<String> {
    let answer = ok(host, "breakout.open", data).await;
    let opened = host
        .until("breakout.opened", |record| {
            record.heard.iter().rev().find(|heard| heard.kind == "breakout.opened").cloned()
        })
        .await
        .unwrap();
    assert!(opened.seq <= answer["seq"].as_u64().unwrap());
    let rooms = opened.data["rooms"].as_array().unwrap();
    rooms.iter().map(|room| room["id"].as_str().unwrap().to_owned()).collect()
}

/// The view that somebody was given last, once it is of this room.
pub async fn entered(client: &Client, room: &str) -> Value {
    client
        .until("the view of a room", |record| {
            let (_, data) = record.notices.iter().rev().find(|(kind, _)| kind == "self.entered")?;
            (data["view"]["room"] == json!(room)).then(|| data.clone())
        })
        .await
        .unwrap()
}

/// What a bearer may do over REST.
pub async fn as_bearer(server: &Server, token: &str, method: &str, path: &str, body: Option<Value>) -> (u16, Value) {
    let bearer = format!("Bearer {token}");
    let body = body.map(|body| body.to_string());
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let response = server.rest.send(method, &format!("/api/v1{path}"), &headers, body.as_deref()).await.unwrap();
    (response.status, response.json())
}

/// The texts that a user reads over REST: asked until the read models, which follow within a second, say so.
pub async fn reads_at_last(server: &Server, meeting: &str, user: &str, expected: &[&str]) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let token = server.rest.key.join_token(meeting, Some(user), user, "participant");
    let path = format!("/meetings/{meeting}/messages");
    loop {
        let (status, page) = as_bearer(server, &token, "GET", &path, None).await;
        let items = page["items"].as_array().cloned().unwrap_or_default();
        let read: Vec<&str> = items.iter().filter_map(|message| message["text"].as_str()).collect();
        if status == 200 && read == expected {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{user} reads {read:?}: {page}");
        tokio::task::yield_now().await;
    }
}

fn hears(client: &Client, text: &str) -> bool {
    client.record().heard.iter().any(|heard| heard.data.to_string().contains(text))
}

async fn caught_up(client: &Client, seq: &Value) {
    let seq = seq.as_u64().unwrap();
    client.until("an event", |record| (record.cursor >= seq).then_some(())).await.unwrap();
}

#[tokio::test]
async fn a_sets_life_over_the_socket() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    ok(&bob, "chat.post", json!({ "to": "room", "text": "all in main" })).await;
    let listed =
        json!([{ "name": "One", "participants": [id_of(&bob)] }, { "name": "Two", "participants": [id_of(&eve)] }]);
    let rooms = open(&ada, json!({ "rooms": listed, "duration_s": 600, "grace_s": 1, "warn_s": [599] })).await;
    let view = entered(&bob, &rooms[0]).await;
    assert_eq!(view["self"]["participant"]["room"], json!(rooms[0]));
    assert_eq!(view["view"]["messages"], json!([]), "what was said in main stays there");
    entered(&eve, &rooms[1]).await;
    let moved = ada.event("participants.moved").await.unwrap();
    assert_eq!(moved.data["moves"].as_array().unwrap().len(), 2, "one event for all");

    // What is said in a room is heard there and nowhere else.
    ok(&bob, "chat.post", json!({ "to": "room", "text": "between us in one" })).await;
    ok(&eve, "chat.post", json!({ "to": "room", "text": "between us in two" })).await;
    let told = ok(&ada, "breakout.broadcast", json!({ "text": "ten more minutes" })).await;
    for client in [&bob, &eve] {
        caught_up(client, &told["seq"]).await;
        assert!(hears(client, "ten more minutes"));
    }
    assert!(!hears(&eve, "us in one") && !hears(&bob, "us in two") && !hears(&ada, "us in one"));
    ok(&bob, "breakout.help", json!({})).await;
    assert_eq!(ada.event("breakout.help_requested").await.unwrap().data["room"], json!(rooms[0]));
    ok(&ada, "breakout.join", json!({ "room": rooms[0] })).await;
    let view = entered(&ada, &rooms[0]).await;
    let texts: Vec<_> = view["view"]["messages"].as_array().unwrap().iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["between us in one", "ten more minutes"]);

    // Whoever comes late sees how long it lasts, and what was told to everybody.
    let late = client(&server, &id, Some("late"), "Late", "participant");
    let snapshot = late.joined().await.unwrap();
    let ends_at = snapshot["breakout"]["ends_at"].as_u64().unwrap();
    assert!(ends_at > now_ms() + 500_000 && ends_at < now_ms() + 600_000);
    assert!(snapshot["rooms"].as_array().unwrap().iter().any(|room| room["ends_at"] == json!(ends_at)));
    let texts: Vec<_> = snapshot["view"]["messages"].as_array().unwrap().iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["all in main", "ten more minutes"]);
    assert_eq!(ada.event("breakout.ending_soon").await.unwrap().data["ends_at"], json!(ends_at));
    ok(&ada, "breakout.extend", json!({ "by_s": 60 })).await;
    assert_eq!(late.event("breakout.changed").await.unwrap().data["ends_at"], json!(ends_at + 60_000));

    // Out again: by oneself, with a host, with a room that is closed.
    ok(&bob, "breakout.join", json!({ "room": "main" })).await;
    entered(&bob, "main").await;
    ok(&ada, "breakout.add", json!({ "name": "Three" })).await;
    ok(&ada, "breakout.rename", json!({ "room": rooms[1], "name": "Second" })).await;
    ok(&ada, "breakout.move", json!({ "moves": [{ "participant": id_of(&late), "room": rooms[1] }] })).await;
    entered(&late, &rooms[1]).await;
    ok(&ada, "breakout.close", json!({})).await;
    let closed = ada.event("breakout.closed").await.unwrap();
    let told: Vec<_> = closed.data["rooms"].as_array().unwrap().iter().map(|room| &room["state"]).collect();
    assert_eq!(told, ["closed", "closed", "closed"]);
    for client in [&ada, &bob, &eve, &late] {
        entered(client, "main").await;
    }
    let again = joined(&server, &id, "gil", "participant").await;
    let snapshot = again.record().snapshot.clone().unwrap();
    assert!(snapshot["breakout"].is_null());
    assert!(snapshot["participants"].as_array().unwrap().iter().all(|person| person["room"] == "main"));

    // The same once more, as it was last.
    let rooms = open(&ada, json!({ "from": "last", "grace_s": 0 })).await;
    assert_eq!(rooms.len(), 3);
    entered(&eve, &rooms[1]).await;
    ok(&ada, "breakout.close", json!({})).await;
    entered(&eve, "main").await;
    let log = server.rest.log(&id).await.unwrap();
    let head = log.last().unwrap()["seq"].clone();
    for (name, client) in [("ada", &ada), ("bob", &bob), ("eve", &eve), ("late", &late)] {
        caught_up(client, &head).await;
        assert_eq!(verify(name, &client.record(), &log), Vec::<String>::new());
    }
}

/// One frame after another, as it was sent.
async fn messages(
    socket: &mut (impl StreamExt<Item = Result<Message, tokio_tungstenite::tungstenite::Error>> + Unpin),
) -> Vec<Value> {
    loop {
        if let Message::Text(text) = socket.next().await.unwrap().unwrap() {
            return serde_json::from_str::<Value>(&text).unwrap().as_array().unwrap().clone();
        }
    }
}

#[tokio::test]
async fn the_new_view_stands_right_behind_the_move() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let token = server.rest.key.join_token(&id, Some("bob"), "Bob", "participant");
    let (mut bob, mut all) = greeted(&server, &[hello(&token)]).await;
    let who = all[0]["data"]["self"]["participant"]["id"].clone();
    let listed = json!([{ "name": "One", "participants": [who] }, { "name": "Two" }]);
    let rooms = open(&ada, json!({ "rooms": listed })).await;
    ok(&ada, "chat.post", json!({ "to": "everyone", "text": "one" })).await;
    ok(&ada, "breakout.move", json!({ "moves": [{ "participant": who, "room": rooms[1] }] })).await;
    ok(&ada, "chat.post", json!({ "to": "everyone", "text": "two" })).await;
    ok(&ada, "breakout.close", json!({ "now": true })).await;
    ok(&ada, "chat.post", json!({ "to": "everyone", "text": "three" })).await;
    while !all.iter().any(|message| message["data"]["message"]["text"] == "three") {
        all.extend(messages(&mut bob).await);
    }
    let moves: Vec<usize> = (0..all.len()).filter(|place| all[*place]["type"] == "participants.moved").collect();
    let views = moves.iter().map(|place| {
        let next = &all[place + 1];
        (next["type"].as_str().unwrap(), next["data"]["view"]["room"].as_str().unwrap())
    });
    let views: Vec<_> = views.collect();
    assert_eq!(views, [("self.entered", rooms[0].as_str()), ("self.entered", &rooms[1]), ("self.entered", "main")]);
}

#[tokio::test]
async fn words_are_read_afterwards_by_those_who_were_there_and_by_hosts() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let dan = joined(&server, &id, "dan", "participant").await;
    let rooms = open(&ada, json!({ "rooms": [{ "name": "One" }, { "name": "Two" }], "assign": "self" })).await;
    for (client, room) in [(&bob, &rooms[0]), (&eve, &rooms[1])] {
        ok(client, "breakout.join", json!({ "room": room })).await;
    }
    ok(&bob, "chat.post", json!({ "to": "room", "text": "first, in one" })).await;
    ok(&eve, "chat.post", json!({ "to": "room", "text": "second, in two" })).await;
    ok(&eve, "chat.post", json!({ "to": id_of(&bob), "text": "third, to bob" })).await;
    ok(&bob, "chat.post", json!({ "to": "room", "text": "fourth, in one" })).await;
    reads_at_last(&server, &id, "ada", &["first, in one", "second, in two", "fourth, in one"]).await;
    reads_at_last(&server, &id, "bob", &["first, in one", "third, to bob", "fourth, in one"]).await;
    reads_at_last(&server, &id, "eve", &["second, in two", "third, to bob"]).await;
    reads_at_last(&server, &id, "dan", &[]).await;

    ok(&ada, "breakout.merge", json!({ "from": [rooms[0]], "into": rooms[1] })).await;
    let view = entered(&bob, &rooms[1]).await;
    let told: Vec<_> =
        view["view"]["messages"].as_array().unwrap().iter().map(|m| (&m["text"], &m["origin"])).collect();
    let all = json!(["first, in one", "second, in two", "third, to bob", "fourth, in one"]);
    let origins = [json!(rooms[0]), Value::Null, Value::Null, json!(rooms[0])];
    let expected: Vec<_> = all.as_array().unwrap().iter().zip(&origins).collect();
    assert_eq!(told, expected, "everything said in both, as time went");
    let all = ["first, in one", "second, in two", "third, to bob", "fourth, in one"];
    reads_at_last(&server, &id, "bob", &all).await;
    reads_at_last(&server, &id, "eve", &all).await;
    ok(&ada, "breakout.close", json!({ "now": true })).await;
    entered(&bob, "main").await;
    ok(&ada, "meeting.end", json!({})).await;
    dan.closed().await.unwrap();
    reads_at_last(&server, &id, "bob", &all).await;
    reads_at_last(&server, &id, "dan", &[]).await;
    reads_at_last(&server, &id, "ada", &["first, in one", "second, in two", "fourth, in one"]).await;
    let merged = server.rest.api("GET", &format!("/meetings/{id}/messages?room={}", rooms[1]), None).await.unwrap();
    let merged = merged.json();
    let told: Vec<_> = merged["items"].as_array().unwrap().iter().map(|m| (&m["text"], &m["origin"])).collect();
    assert_eq!(told, expected);

    let is_over = |page: &Value| page["items"].as_array().unwrap().iter().all(|stay| stay["duration_ms"].is_u64());
    let path = format!("/meetings/{id}/participants");
    let mut attendance = server.rest.api("GET", &path, None).await.unwrap().json();
    while !is_over(&attendance) {
        attendance = server.rest.api("GET", &path, None).await.unwrap().json();
    }
    let stays = attendance["items"].as_array().unwrap();
    let of =
        |user: &str| stays.iter().filter(|stay| stay["user"] == user).map(|stay| &stay["room"]).collect::<Vec<_>>();
    assert_eq!(of("bob"), ["main", &rooms[0], &rooms[1], "main"]);
    assert_eq!(of("eve"), ["main", &rooms[1], "main"]);
    assert_eq!(of("dan"), ["main"]);
}

/// The rooms' time runs out while the server is down.
async fn closes_once(settings: &[(&str, &str)]) {
    for grace_s in [0, 1] {
        let mut server = server(settings).await;
        let id = meeting(&server, json!({})).await;
        let ada = joined(&server, &id, "ada", "host").await;
        let bob = joined(&server, &id, "bob", "participant").await;
        let listed = json!([{ "name": "One", "participants": [id_of(&bob)] }, { "name": "Two" }]);
        let rooms = open(&ada, json!({ "rooms": listed, "duration_s": 1, "grace_s": grace_s, "warn_s": [] })).await;
        // By now the time may be over, and he be back.
        bob.until("the room", |record| {
            let mut views = record.notices.iter().filter(|(kind, _)| kind == "self.entered");
            views.any(|(_, data)| data["view"]["room"] == *rooms[0]).then_some(())
        })
        .await
        .unwrap();
        ok(&bob, "chat.post", json!({ "to": "room", "text": "still here" })).await;
        server.kill().unwrap();
        let ends_at = ada.event("breakout.opened").await.unwrap().data["ends_at"].as_u64().unwrap();
        // There is nothing to wait for but the time itself.
        tokio::time::sleep(Duration::from_millis((ends_at + 200).saturating_sub(now_ms()))).await;
        server.run().await.unwrap();
        // The rooms are closed before bob is back, who is shown it all, or after it, and he is moved.
        let is_main = |view: &Value| view["room"] == "main";
        bob.until("the main room", |record| {
            let moved = record.notices.iter().any(|(kind, data)| kind == "self.entered" && is_main(&data["view"]));
            let is_shown = record.resumes_snapshot > 0 && is_main(&record.snapshot.as_ref()?["view"]);
            (moved || is_shown).then_some(())
        })
        .await
        .unwrap();
        ok(&bob, "chat.post", json!({ "to": "room", "text": "back in main" })).await;
        let heard = ok(&ada, "chat.post", json!({ "to": "room", "text": "welcome" })).await;
        caught_up(&bob, &heard["seq"]).await;
        let log = server.rest.log(&id).await.unwrap();
        let count = |kind: &str| log.iter().filter(|event| event["type"] == kind).count();
        assert_eq!((count("breakout.closed"), count("participants.moved")), (1, 2), "grace {grace_s}");
        assert_eq!(count("breakout.changed"), usize::from(grace_s > 0), "closing first, where there is a grace");
        let snapshot = joined(&server, &id, "late", "participant").await.record().snapshot.clone().unwrap();
        assert!(snapshot["participants"].as_array().unwrap().iter().all(|person| person["room"] == "main"));
        assert!(snapshot["breakout"].is_null());
        assert_eq!(verify("bob", &bob.record(), &log), Vec::<String>::new());
        assert_eq!(verify("ada", &ada.record(), &log), Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_deadline_that_passes_while_the_server_is_down_closes_once() {
    closes_once(&[]).await;
}

#[tokio::test]
async fn on_postgres_too_it_closes_once() {
    if let Some(url) = postgres().await {
        closes_once(&[("CONVOKE_DATABASE_URL", &url), ("CONVOKE_NODE_ID", "rooms")]).await;
    }
}

#[tokio::test]
async fn open_rooms_outlive_kill_9() {
    let mut server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let listed = json!([{ "name": "One", "participants": [id_of(&bob)] }]);
    let rooms = open(&ada, json!({ "rooms": listed, "duration_s": 600 })).await;
    ok(&bob, "chat.post", json!({ "to": "room", "text": "before" })).await;
    let ends_at = ada.event("breakout.opened").await.unwrap().data["ends_at"].clone();
    server.kill().unwrap();
    server.run().await.unwrap();
    ok(&bob, "chat.post", json!({ "to": "room", "text": "after" })).await;
    let late = joined(&server, &id, "late", "cohost").await;
    let snapshot = late.record().snapshot.clone().unwrap();
    assert_eq!((&snapshot["breakout"]["ends_at"], &snapshot["breakout"]["state"]), (&ends_at, &json!("open")));
    ok(&late, "breakout.join", json!({ "room": rooms[0] })).await;
    let texts = entered(&late, &rooms[0]).await["view"]["messages"].clone();
    let texts: Vec<_> = texts.as_array().unwrap().iter().map(|message| message["text"].clone()).collect();
    assert_eq!(texts, ["before", "after"]);
}
