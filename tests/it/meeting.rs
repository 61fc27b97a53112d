//! A meeting as the contract says: snapshots, events, answers, order, resuming, ending.

use crate::{client, id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::{Client, Options};
use convoke_loadtest::verify::verify;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn people_meet_and_talk() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let host = joined(&server, &id, "ada", "host").await;
    let guest = client(&server, &id, None, "Guest", "participant");
    let snapshot = guest.joined().await.unwrap();
    assert_eq!(snapshot["meeting"]["status"], "live");
    assert_eq!(snapshot["participants"].as_array().unwrap().len(), 2, "the own arrival is in it");
    assert_eq!(snapshot["view"]["media"]["kind"], "mesh");
    let came = host.event("participant.joined").await.unwrap();
    assert_eq!(came.data["participant"]["name"], "Guest");

    let answer = ok(&guest, "chat.post", json!({ "to": "room", "text": "hello" })).await;
    let heard = host.event("chat.posted").await.unwrap();
    assert_eq!(answer["seq"], heard.seq);
    let message = heard.data["message"].clone();
    assert_eq!(message["from"], json!(id_of(&guest)));
    ok(&guest, "chat.edit", json!({ "message": message["id"], "text": "hello all" })).await;
    assert_eq!(host.event("chat.edited").await.unwrap().data["message"]["text"], "hello all");
    assert_eq!(refused(&host, "chat.edit", json!({ "message": message["id"], "text": "no" })).await, "not_permitted");
    ok(&host, "chat.react", json!({ "message": message["id"], "emoji": "👍", "on": true })).await;
    assert_eq!(guest.event("chat.reacted").await.unwrap().data["message"]["reactions"]["👍"], 1);

    ok(&guest, "hand.raise", json!({})).await;
    assert_eq!(host.event("hand.raised").await.unwrap().data["hand"]["participant"], json!(id_of(&guest)));
    assert_eq!(refused(&guest, "meeting.end", json!({})).await, "not_permitted");
    ok(&host, "meeting.end", json!({})).await;
    assert_eq!(guest.closed().await.unwrap(), 4504);
    assert_eq!(host.closed().await.unwrap(), 4504);
    let late = client(&server, &id, Some("late"), "Late", "participant");
    assert_eq!(late.closed().await.unwrap(), 4504);
}

#[tokio::test]
async fn a_private_message_stays_private() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    ok(&ada, "chat.post", json!({ "to": id_of(&bob), "text": "between us" })).await;
    assert_eq!(bob.event("chat.posted").await.unwrap().data["message"]["text"], "between us");
    let answer = ok(&eve, "chat.post", json!({ "to": "everyone", "text": "anything?" })).await;
    eve.until("the own message", |r| r.heard.iter().any(|h| json!(h.seq) == answer["seq"]).then_some(()))
        .await
        .unwrap();
    assert!(!eve.record().heard.iter().any(|heard| heard.data.to_string().contains("between us")));
}

#[tokio::test]
async fn a_dropped_socket_resumes_with_exactly_what_it_missed() {
    let server = server(&[("CONVOKE_DROP_MS", "60000")]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    for round in 0..5 {
        bob.drop_socket();
        for number in 0..10 {
            ok(&ada, "chat.post", json!({ "to": "room", "text": format!("{round}.{number}") })).await;
        }
        ok(&bob, "chat.post", json!({ "to": "room", "text": format!("bob {round}") })).await;
    }
    let log = server.rest.log(&id).await.unwrap();
    let record = bob.record();
    assert_eq!(record.resumes_replayed, 5);
    assert_eq!(record.resumes_snapshot, 0);
    assert_eq!(verify("bob", &record, &log), Vec::<String>::new());
    // A drop that is shorter than `drop_ms` is no event at all.
    let quiet = |event: &Value| event["type"] != "participant.disconnected" && event["type"] != "participant.left";
    assert!(log.iter().all(quiet));
}

#[tokio::test]
async fn a_longer_absence_is_an_event_and_the_same_person_returns() {
    let server = server(&[("CONVOKE_DROP_MS", "50"), ("CONVOKE_GRACE_S", "1")]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let before = id_of(&bob);
    drop(bob.stop().await);
    ada.event("participant.disconnected").await.unwrap();
    ada.event("participant.left").await.unwrap();
    let bob = joined(&server, &id, "bob", "participant").await;
    assert_eq!(id_of(&bob), before);
}

/// A session that is over cannot be gone on with, and its token is still good for another.
#[tokio::test]
async fn whoever_was_away_for_too_long_joins_anew() {
    let server = server(&[("CONVOKE_DROP_MS", "50"), ("CONVOKE_GRACE_S", "1")]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let token = server.rest.key.join_token(&id, Some("bob"), "Bob", "participant");
    let options = Options::new(&server.rest.host, token);
    let bob = Client::start(Options { backoff: Duration::from_secs(5), ..options });
    bob.joined().await.unwrap();
    let before = id_of(&bob);
    bob.drop_socket();
    ada.event("participant.left").await.unwrap();
    ok(&bob, "chat.post", json!({ "to": "room", "text": "back" })).await;
    assert_eq!(id_of(&bob), before);
    let record = bob.record();
    assert_eq!(record.last_close, Some(4501), "the former session");
    assert_eq!((record.closed, record.refused.len()), (None, 1), "{:?}", record.refused);
}

#[tokio::test]
async fn the_same_session_from_a_second_socket_closes_the_first() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let token = server.rest.key.join_token(&id, Some("ada"), "Ada", "host");
    let options = Options::new(&server.rest.host, token);
    let first = Client::start(options.clone());
    first.joined().await.unwrap();
    let second = Client::start(options);
    second.joined().await.unwrap();
    assert_eq!(first.closed().await.unwrap(), 4506);
    ok(&second, "chat.post", json!({ "to": "room", "text": "still here" })).await;
}

#[tokio::test]
async fn sigterm_ends_within_two_seconds_and_loses_nothing() {
    let mut server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    for number in 0..30 {
        ada.send("chat.post", json!({ "to": "room", "text": format!("{number}") }));
    }
    ok(&ada, "chat.post", json!({ "to": "room", "text": "last" })).await;
    let stopping = tokio::task::spawn_blocking(move || {
        let took = server.terminate().map_err(|error| error.to_string());
        (server, took.unwrap())
    });
    let (mut server, took) = stopping.await.unwrap();
    assert!(took.as_secs_f64() < 2.0, "the promise of a graceful stop: {took:?}");
    ada.until("going away", |record| (record.last_close == Some(4001)).then_some(())).await.unwrap();
    server.run().await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "after" })).await;
    let log = server.rest.log(&id).await.unwrap();
    assert_eq!(verify("ada", &ada.record(), &log), Vec::<String>::new());
}

/// Rooms that were over never left the registry, and sockets that had ended were kept open.
#[tokio::test]
async fn what_is_over_leaves_nothing_behind() {
    let server = server(&[("CONVOKE_PASSIVATE_S", "1"), ("CONVOKE_DROP_MS", "50")]).await;
    let files = || std::fs::read_dir(format!("/proc/{}/fd", server.pid().unwrap())).unwrap().count();
    let metrics = || async { server.rest.send("GET", "/metrics", &[], None).await.unwrap().body };
    let is_empty = |metrics: &str| {
        let sockets = metrics.lines().filter(|line| line.starts_with("convoke_sockets{"));
        metrics.contains("convoke_meetings_owned 0") && sockets.into_iter().all(|line| line.ends_with(" 0"))
    };
    let before = files();
    for way in 0..3 {
        let id = meeting(&server, json!({})).await;
        let ada = joined(&server, &id, "ada", "host").await;
        let mut people = Vec::new();
        for number in 0..20 {
            people.push(joined(&server, &id, &format!("u{number}"), "participant").await);
        }
        match way {
            0 => drop(ok(&ada, "meeting.end", json!({})).await),
            1 => {
                for person in people.iter().chain([&ada]) {
                    ok(person, "leave", json!({})).await;
                }
            }
            // All are lost, and the meeting goes on without them: it is not over, and not kept in memory.
            _ => drop(ada.stop().await),
        }
        for person in people {
            drop(person.stop().await);
        }
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
        let mut now = metrics().await;
        while !is_empty(&now) || files() > before + 10 {
            assert!(std::time::Instant::now() < deadline, "way {way}: {} files, {before} before\n{now}", files());
            now = metrics().await;
        }
    }
}
