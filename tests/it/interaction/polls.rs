//! Polls in one room: who is told which counts and when, one vote a person, and the deadline.

use super::{all_caught_up, logged, opened, shown, told, until_told};
use crate::{client, id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::verify::verify;
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn asking(results: &str) -> Value {
    json!({ "question": "Where to?", "options": ["Sea", "Hills", "Home"], "results": results })
}

/// The kinds and the counts that somebody was told of a poll.
fn counts(client: &Client, poll: &str) -> Vec<(String, Value, Value)> {
    let all = told(client, "poll", poll).into_iter();
    all.map(|(kind, poll)| (kind, poll["counts"].clone(), poll["voters"].clone())).collect()
}

/// Two people vote and vote again, faster than counts are told; the last votes come right before the close.
async fn a_poll_with(results: &str) -> (Vec<Vec<(String, Value, Value)>>, Value) {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let vic = joined(&server, &id, "vic", "viewer").await;
    let poll = opened(&ada, asking(results)).await;
    for choice in 0..20 {
        bob.send("poll.vote", json!({ "poll": poll, "choices": [choice % 2] }));
        eve.send("poll.vote", json!({ "poll": poll, "choices": [(choice + 1) % 2] }));
    }
    ok(&bob, "poll.vote", json!({ "poll": poll, "choices": [1] })).await;
    ok(&eve, "poll.vote", json!({ "poll": poll, "choices": [1] })).await;
    let watcher = if results == "hosts" { &ada } else { &vic };
    until_told(watcher, "poll.counted", |data| data["poll"]["voters"] == 2).await;
    ok(&bob, "poll.vote", json!({ "poll": poll, "choices": [2] })).await;
    ok(&ada, "poll.close", json!({ "poll": poll })).await;
    all_caught_up(&ada, &[&bob, &eve, &vic]).await;

    let log = server.rest.log(&id).await.unwrap();
    let of = |kind: &str| log.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let mut last = BTreeMap::new();
    for vote in of("poll.voted") {
        last.insert(vote["data"]["voter"].to_string(), vote["data"]["choices"].clone());
    }
    assert_eq!(last.values().collect::<Vec<_>>().len(), 2);
    assert!(of("poll.voted").len() > 10);
    assert_eq!(of("poll.closed").len(), 1);
    let open = of("poll.counted").into_iter().filter(|event| event["data"]["poll"]["state"] == "open");
    let at: Vec<u64> = open.map(|event| event["at"].as_u64().unwrap()).collect();
    assert!(!at.is_empty() && at.windows(2).all(|pair| pair[1] - pair[0] >= 500), "at most twice a second: {at:?}");
    let shown_now = async |name: &str, role: &str| {
        let snapshot = client(&server, &id, Some(name), name, role).joined().await.unwrap();
        shown(&snapshot, "polls", &poll)
    };
    let closed = json!([shown_now("fay", "cohost").await["counts"], shown_now("gil", "participant").await["counts"]]);
    for (name, client) in [("ada", &ada), ("bob", &bob), ("eve", &eve), ("vic", &vic)] {
        assert_eq!(verify(name, &client.record(), &log), Vec::<String>::new());
    }
    (vec![counts(&ada, &poll), counts(&bob, &poll), counts(&vic, &poll)], closed)
}

#[tokio::test]
async fn live_results_are_told_to_the_room_all_the_time() {
    let (everybody, later) = a_poll_with("live").await;
    let exact = json!([0, 1, 1]);
    for told in &everybody {
        assert_eq!(told, &everybody[0], "all are told the same");
        let (first, last) = (told.first().unwrap(), told.last().unwrap());
        assert_eq!((first.0.as_str(), &first.1), ("poll.opened", &json!([0, 0, 0])));
        assert_eq!(last, &("poll.closed".to_owned(), exact.clone(), json!(2)));
        for (kind, counts, voters) in &told[1..told.len() - 1] {
            let sum: u64 = counts.as_array().unwrap().iter().filter_map(Value::as_u64).sum();
            assert_eq!((kind.as_str(), Some(sum)), ("poll.counted", voters.as_u64()));
        }
    }
    assert_eq!(later, json!([exact, exact]));
}

#[tokio::test]
async fn results_for_the_end_are_hidden_until_then() {
    let (everybody, later) = a_poll_with("closed").await;
    let exact = json!([0, 1, 1]);
    for told in &everybody {
        assert_eq!(told, &everybody[0], "hosts see no more than others");
        assert_eq!(told.last().unwrap(), &("poll.closed".to_owned(), exact.clone(), json!(2)));
        assert!(told.len() > 2);
        for (_, counts, voters) in &told[..told.len() - 1] {
            assert!(counts.is_null() && voters.is_u64(), "how many, and not what: {told:?}");
        }
    }
    assert_eq!(later, json!([exact, exact]));
}

#[tokio::test]
async fn results_for_hosts_are_theirs_alone() {
    let (everybody, later) = a_poll_with("hosts").await;
    let exact = json!([0, 1, 1]);
    let nothing = |kind: &str| (kind.to_owned(), Value::Null, Value::Null);
    for told in &everybody[1..] {
        assert_eq!(told, &[nothing("poll.opened"), nothing("poll.closed")]);
    }
    let host = &everybody[0];
    assert_eq!(host[0], nothing("poll.opened"));
    assert_eq!(host[host.len() - 2], nothing("poll.closed"));
    assert_eq!(host[host.len() - 1], ("poll.counted".to_owned(), exact.clone(), json!(2)), "exact with the close");
    assert!(host[1..host.len() - 2].iter().all(|(kind, counts, _)| kind == "poll.counted" && counts.is_array()));
    assert_eq!(later, json!([exact, null]));
}

#[tokio::test]
async fn a_person_has_one_vote_from_all_devices_and_however_often_they_come_back() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let phone = joined(&server, &id, "bob", "participant").await;
    let laptop = joined(&server, &id, "bob", "participant").await;
    let mut asking = asking("live");
    asking["multiple"] = json!(true);
    let poll = opened(&ada, asking).await;
    let vote = async |client: &Client, choices: Value| {
        ok(client, "poll.vote", json!({ "poll": poll, "choices": choices })).await;
    };
    let stands = async |counts: Value| {
        let is_so = |data: &Value| data["poll"]["counts"] == counts && data["poll"]["voters"] == 1;
        until_told(&ada, "poll.counted", is_so).await;
    };
    vote(&phone, json!([2, 0])).await;
    stands(json!([1, 0, 1])).await;
    vote(&laptop, json!([1])).await;
    stands(json!([0, 1, 0])).await;
    phone.drop_socket();
    vote(&phone, json!([0, 1, 2])).await;
    phone
        .until("a resume", |record| (record.resumes_replayed + record.resumes_snapshot > 0).then_some(()))
        .await
        .unwrap();
    stands(json!([1, 1, 1])).await;

    let late = client(&server, &id, Some("late"), "Late", "participant").joined().await.unwrap();
    assert_eq!(shown(&late, "polls", &poll)["state"], "open");
    assert_eq!(late["view"]["votes"], json!({}), "a choice is one's own");
    ok(&laptop, "leave", json!({ "all": true })).await;
    phone.closed().await.unwrap();
    let back = client(&server, &id, Some("bob"), "Bob", "participant");
    let snapshot = back.joined().await.unwrap();
    assert_eq!(snapshot["view"]["votes"], json!({ &poll: [0, 1, 2] }));
    assert_eq!(shown(&snapshot, "polls", &poll)["voters"], 1, "whoever left has voted");
    vote(&back, json!([2])).await;
    let head = logged(&server, &id, "poll.voted").await.len();
    vote(&back, json!([2])).await;
    assert_eq!(logged(&server, &id, "poll.voted").await.len(), head, "the same again is no vote");
    ok(&ada, "poll.close", json!({ "poll": poll })).await;
    let closed = until_told(&ada, "poll.closed", |_| true).await;
    assert_eq!((&closed["poll"]["counts"], &closed["poll"]["voters"]), (&json!([0, 0, 1]), &json!(1)));
    assert_eq!(closed["by"], id_of(&ada));
}

#[tokio::test]
async fn a_poll_with_a_duration_closes_by_itself_and_once() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let mut asking = asking("live");
    asking["duration_s"] = json!(1);
    let poll = opened(&ada, asking).await;
    let closed = until_told(&bob, "poll.closed", |data| data["poll"]["id"] == poll).await;
    assert!(closed["by"].is_null(), "nobody closed it");
    assert_eq!(refused(&bob, "poll.vote", json!({ "poll": poll, "choices": [0] })).await, "wrong_state");
    assert_eq!(refused(&ada, "poll.close", json!({ "poll": poll })).await, "wrong_state");
    let (opened, closed) = (logged(&server, &id, "poll.opened").await, logged(&server, &id, "poll.closed").await);
    assert_eq!(closed.len(), 1);
    let ends_at = opened[0]["data"]["poll"]["ends_at"].as_u64().unwrap();
    assert_eq!(ends_at, opened[0]["at"].as_u64().unwrap() + 1_000);
    assert!(closed[0]["at"].as_u64().unwrap() >= ends_at, "not before its time");
    assert!(logged(&server, &id, "poll.voted").await.is_empty());
}
