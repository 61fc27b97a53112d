//! The timer, the spotlight, and the wish to share a screen.

use super::{all_caught_up, logged};
use crate::{client, id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::Client;
use serde_json::{Value, json};

#[tokio::test]
async fn the_timer_is_the_meetings_and_outlives_whoever_started_it() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    ok(&ada, "timer.start", json!({ "duration_s": 600, "title": "Break" })).await;
    let started = bob.event("timer.started").await.unwrap().data;
    let timer = started["timer"].clone();
    let (from, to) = (timer["started_at"].as_u64().unwrap(), timer["ends_at"].as_u64().unwrap());
    assert_eq!((to - from, &timer["title"], &started["by"]), (600_000, &json!("Break"), &json!(id_of(&ada))));
    assert_eq!(logged(&server, &id, "timer.started").await[0]["at"], from);
    let late = client(&server, &id, Some("late"), "Late", "cohost");
    assert_eq!(late.joined().await.unwrap()["timer"], timer, "as absolute as it was");
    assert_eq!(refused(&late, "timer.start", json!({ "duration_s": 5 })).await, "wrong_state");
    ok(&ada, "leave", json!({ "all": true })).await;
    let later = client(&server, &id, Some("later"), "Later", "participant").joined().await.unwrap();
    assert_eq!(later["timer"], timer, "it goes on");
    ok(&late, "timer.stop", json!({})).await;
    let ended = bob.event("timer.ended").await.unwrap().data;
    assert_eq!((&ended["timer"], &ended["by"]), (&timer, &json!(id_of(&late))));
    assert_eq!(refused(&late, "timer.stop", json!({})).await, "wrong_state");
    let last = client(&server, &id, Some("last"), "Last", "participant").joined().await.unwrap();
    assert!(last["timer"].is_null());
}

#[tokio::test]
async fn the_timer_ends_by_itself_and_once() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    ok(&ada, "timer.start", json!({ "duration_s": 1 })).await;
    ok(&ada, "leave", json!({ "transfer_to": id_of(&bob) })).await;
    let ended = bob.event("timer.ended").await.unwrap();
    assert!(ended.data["by"].is_null());
    assert_eq!(refused(&bob, "timer.stop", json!({})).await, "wrong_state");
    ok(&bob, "timer.start", json!({ "duration_s": 600 })).await;
    let all = logged(&server, &id, "timer.ended").await;
    assert_eq!(all.len(), 1);
    assert!(all[0]["at"].as_u64() >= ended.data["timer"]["ends_at"].as_u64(), "not before its time");
}

#[tokio::test]
async fn the_spotlight_is_for_everybody_in_the_order_it_was_given() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let both = json!([id_of(&eve), id_of(&bob)]);
    ok(&ada, "spotlight.set", json!({ "participants": both })).await;
    let changed = bob.event("spotlight.changed").await.unwrap().data;
    assert_eq!((&changed["participants"], &changed["by"]), (&both, &json!(id_of(&ada))));
    ok(&ada, "spotlight.set", json!({ "participants": both })).await;
    assert_eq!(logged(&server, &id, "spotlight.changed").await.len(), 1, "the same again is no change");
    let late = joined(&server, &id, "late", "participant").await;
    assert_eq!(late.record().snapshot.as_ref().unwrap()["spotlight"], both);
    ok(&eve, "leave", json!({ "all": true })).await;
    let later = client(&server, &id, Some("later"), "Later", "participant").joined().await.unwrap();
    assert_eq!(later["spotlight"], json!([id_of(&bob)]), "whoever leaves is out of it");
    ok(&ada, "spotlight.set", json!({ "participants": [] })).await;
    let last = client(&server, &id, Some("last"), "Last", "participant").joined().await.unwrap();
    assert_eq!(last["spotlight"], json!([]));
}

fn asked_for_screens(client: &Client) -> Vec<Value> {
    let record = client.record();
    let notices = record.notices.iter().filter(|(kind, _)| kind == "screen.requested");
    notices.map(|(_, data)| data["participant"].clone()).collect()
}

#[tokio::test]
async fn hosts_are_asked_for_a_screen_until_they_have_said_something() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({ "allow_screen_share": false })).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let (bob_id, eve_id) = (id_of(&bob), id_of(&eve));
    for client in [&bob, &bob, &eve] {
        ok(client, "screen.request", json!({})).await;
    }
    all_caught_up(&eve, &[&ada, &bob]).await;
    assert_eq!(asked_for_screens(&ada), [json!(bob_id), json!(eve_id)], "each once");
    assert_eq!((asked_for_screens(&bob), asked_for_screens(&eve)), (vec![], vec![]));
    let asked = json!([bob_id, eve_id]);
    let seen_by = async |name: &str, role: &str| {
        let snapshot = client(&server, &id, Some(name), name, role).joined().await.unwrap();
        snapshot["screen_requests"].clone()
    };
    assert_eq!(seen_by("cora", "cohost").await, asked);
    assert_eq!(seen_by("late", "participant").await, Value::Null);
    let gil = joined(&server, &id, "gil", "participant").await;
    ok(&ada, "participant.set_role", json!({ "participant": id_of(&gil), "role": "cohost" })).await;
    let told = gil
        .until("the view of a cohost", |record| {
            record.notices.iter().find(|(kind, _)| kind == "self.entered").map(|(_, data)| data.clone())
        })
        .await
        .unwrap();
    assert_eq!(told["screen_requests"], asked);

    for (who, allowed) in [(&bob_id, true), (&eve_id, false)] {
        ok(&ada, "participant.permit", json!({ "participant": who, "source": "screen", "allowed": allowed })).await;
    }
    assert_eq!(seen_by("hal", "host").await, json!([]));
    assert_eq!(refused(&bob, "screen.request", json!({})).await, "conflict", "bob may share");
    ok(&eve, "screen.request", json!({})).await;
    all_caught_up(&eve, &[&ada]).await;
    assert_eq!(asked_for_screens(&ada).last(), Some(&json!(eve_id)), "one may ask again");
    ok(&eve, "leave", json!({ "all": true })).await;
    assert_eq!(seen_by("ida", "host").await, json!([]), "whoever left asks for nothing");
}
