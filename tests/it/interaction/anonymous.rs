//! What was done anonymously: nobody is sent a name, and neither does the log have one, while the
//! poll is open or afterwards.

use super::{all_caught_up, asked, logged, opened, until_told};
use crate::{id_of, joined, meeting, ok, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// What would tell who somebody is.
fn traces(client: &Client) -> [String; 2] {
    let session = client.record().snapshot.as_ref().unwrap()["self"]["session"].as_str().unwrap().to_owned();
    [id_of(client), session]
}

/// All that these were sent about polls and questions.
fn all_told(clients: &[&Client]) -> String {
    let mut all = String::new();
    for client in clients {
        let record = client.record();
        let of = record.heard.iter().filter(|heard| heard.kind.starts_with("poll.") || heard.kind.contains("question"));
        all.extend(of.map(|heard| heard.data.to_string()));
        all.extend(record.notices.iter().map(|(_, data)| data.to_string()));
    }
    all
}

/// The events that an anonymous vote or question leaves, as the tenant reads them.
fn veiled(log: &[Value]) -> Vec<&Value> {
    let kinds = ["poll.voted", "question.vote_set", "question.asked"];
    log.iter().filter(|event| kinds.iter().any(|kind| event["type"] == *kind)).collect()
}

/// The log, when what is to be forgotten is overwritten, which follows within a second.
pub async fn forgotten(server: &Server, id: &str) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let log = server.rest.log(id).await.unwrap();
        let nobody = json!("00000000-0000-0000-0000-000000000000");
        let is_blank = |event: &&Value| event["type"] == "question.asked" || event["data"]["voter"] == nobody;
        if veiled(&log).iter().all(is_blank) {
            return log;
        }
        assert!(began.elapsed() < Duration::from_secs(30), "the log still tells");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn no_message_and_no_log_names_whoever_voted_or_asked() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let poll = opened(
        &ada,
        json!({ "question": "Are we fine?", "options": ["Yes", "No"], "results": "live", "anonymous": true }),
    )
    .await;
    let question = asked(&bob, "Who decided this?", true).await;
    for (client, choice) in [(&bob, 1), (&eve, 0), (&bob, 0)] {
        let answer = ok(client, "poll.vote", json!({ "poll": poll, "choices": [choice] })).await;
        assert!(answer["seq"].is_null(), "an answer tells no place in the log");
    }
    let answer = ok(&eve, "question.vote", json!({ "question": question, "up": true })).await;
    assert!(answer["seq"].is_null());
    until_told(&ada, "poll.counted", |data| data["poll"]["counts"] == json!([2, 0])).await;
    until_told(&ada, "question.voted", |data| data["question"]["votes"] == 1).await;
    let everybody = [&ada, &bob, &eve];
    all_caught_up(&ada, &everybody).await;
    let people: Vec<String> = [&bob, &eve].into_iter().flat_map(traces).collect();
    let nobody_in = |text: &str| people.iter().all(|trace| !text.contains(trace.as_str()));
    assert!(nobody_in(&all_told(&everybody)));
    let shown = all_told(&[&ada]);
    assert!(shown.contains("Who decided this?") && !shown.contains("\"by\":\"\""));

    // While it is open the log has pseudonyms, and not what they are made with.
    let log = server.rest.log(&id).await.unwrap();
    assert_eq!(veiled(&log).len(), 5);
    for event in veiled(&log) {
        assert!(nobody_in(&event.to_string()), "{event}");
    }
    for begun in logged(&server, &id, "anonymity.begun").await {
        assert!(begun["data"]["key"].is_null() && begun["cause"].is_null(), "the key is nobody's to read: {begun}");
    }

    ok(&ada, "poll.close", json!({ "poll": poll })).await;
    ok(&ada, "question.answer", json!({ "question": question, "text": "All of us." })).await;
    all_caught_up(&ada, &everybody).await;
    assert!(nobody_in(&all_told(&everybody)));
    let log = forgotten(&server, &id).await;
    assert_eq!(veiled(&log).len(), 5, "each keeps its place");
    for event in veiled(&log) {
        assert!(nobody_in(&event.to_string()), "{event}");
        assert!(event["data"]["choices"].as_array().is_none_or(Vec::is_empty), "{event}");
    }
    let closed = until_told(&eve, "poll.closed", |_| true).await;
    assert_eq!((&closed["poll"]["counts"], &closed["poll"]["voters"]), (&json!([2, 0]), &json!(2)));
}
