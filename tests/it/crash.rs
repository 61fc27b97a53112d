//! `kill -9` under load, on both databases: what was acknowledged is there once, in order, and
//! everybody comes back. The load tester does the same with more kills.

use crate::{greeted, joined, meeting, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::verify::verify;
use serde_json::json;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

async fn survives(settings: &[(&str, &str)], kills: u32) {
    let mut server = server(settings).await;
    let id = meeting(&server, json!({})).await;
    let mut clients: Vec<Client> = Vec::new();
    for number in 0..6 {
        let role = if number == 0 { "host" } else { "participant" };
        clients.push(joined(&server, &id, &format!("user-{number}"), role).await);
    }
    let mut posts = 0;
    for kill in 0..kills {
        for _ in 0..10 {
            for client in &clients {
                client.send("chat.post", json!({ "to": "room", "text": format!("post {posts}") }));
                posts += 1;
            }
            // The load has no event to wait for: the moment of the kill is what is random here.
            tokio::time::sleep(Duration::from_millis(u64::from(7 + kill * 3 % 11))).await;
        }
        server.kill().unwrap();
        server.run().await.unwrap();
        for client in &clients {
            client.ask("hand.lower", json!({})).await.unwrap();
        }
    }
    let log = server.rest.log(&id).await.unwrap();
    let seen = log.iter().filter(|event| event["audience"] == "everyone" || event["audience"]["room"] == "main");
    let head = seen.filter_map(|event| event["seq"].as_u64()).max().unwrap();
    for client in &clients {
        client.until("the end of the log", |record| (record.cursor >= head).then_some(())).await.unwrap();
        let record = client.record();
        assert!(record.acknowledged.len() > 10);
        assert_eq!(verify("client", &record, &log), Vec::<String>::new());
    }
    // Each message stands in the log once.
    let said = log.iter().filter(|event| event["type"] == "chat.posted");
    let mut said: Vec<String> = said.map(|event| event["data"]["message"]["text"].to_string()).collect();
    let all = said.len();
    said.sort();
    said.dedup();
    assert_eq!(said.len(), all);
}

#[tokio::test]
async fn sqlite_survives_kill_9() {
    survives(&[], 6).await;
}

#[tokio::test]
async fn postgres_survives_kill_9() {
    let Ok(url) = std::env::var("CONVOKE_TEST_POSTGRES_URL") else {
        println!("SKIPPED: CONVOKE_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return;
    };
    let url = crate::rest::fresh_database(&url).await;
    survives(&[("CONVOKE_DATABASE_URL", &url), ("CONVOKE_NODE_ID", "crash")], 6).await;
}

/// A crash left the participant's id locked, with no expiry.
#[tokio::test]
async fn a_crash_locks_nobody_out() {
    let settings = [("CONVOKE_SESSIONS_PER_PARTICIPANT_MAX", "1"), ("CONVOKE_DROP_MS", "50")];
    let mut server = server(&settings).await;
    let id = meeting(&server, json!({ "max_participants": 1 })).await;
    let token = server.rest.key.join_token(&id, Some("ada"), "Ada", "participant");
    let hello = |session: uuid::Uuid| {
        let data = json!({ "token": token, "session": session });
        Message::text(json!({ "id": 0, "type": "join", "data": data }).to_string())
    };
    let session = uuid::Uuid::now_v7();
    let mut people = Vec::new();
    // The one seat and the one session there are; then a reload, then another device.
    for session in [session, session, uuid::Uuid::now_v7()] {
        let answer = loop {
            let (_, answer) = greeted(&server, &[hello(session)]).await;
            if answer[0]["ok"] == true {
                break answer;
            }
            // Until the meeting has noticed that the first device is gone.
            assert_eq!(answer[0]["error"]["code"], "capacity");
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        people.push(answer[0]["data"]["self"]["participant"]["id"].clone());
        server.kill().unwrap();
        server.run().await.unwrap();
    }
    assert!(people.iter().all(|id| *id == people[0]), "{people:?}");
}
