//! Questions: asked by name and anonymously, voted for, answered and dismissed.

use super::{all_caught_up, asked, logged, told, until_told};
use crate::breakout::{entered, open};
use crate::{client, id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::verify::verify;
use serde_json::{Value, json};

async fn vote(client: &Client, question: &str, up: bool) {
    ok(client, "question.vote", json!({ "question": question, "up": up })).await;
}

/// The texts of the questions in a view, in its order, with their votes.
fn listed(snapshot: &Value) -> Vec<(String, u64)> {
    let all = snapshot["view"]["questions"].as_array().unwrap().iter();
    all.map(|one| (one["text"].as_str().unwrap().to_owned(), one["votes"].as_u64().unwrap())).collect()
}

#[tokio::test]
async fn questions_stand_in_the_order_of_their_votes_and_then_of_their_asking() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let first = asked(&bob, "first", false).await;
    let second = asked(&eve, "second", true).await;
    let third = asked(&bob, "third", true).await;
    asked(&ada, "fourth", false).await;
    for (client, question) in [(&bob, &third), (&eve, &third), (&eve, &second), (&bob, &first), (&bob, &third)] {
        vote(client, question, true).await;
    }
    vote(&bob, &first, false).await;
    vote(&bob, &first, false).await;
    let snapshot = client(&server, &id, Some("bob"), "Bob", "participant").joined().await.unwrap();
    let order = [("third", 2), ("second", 1), ("first", 0), ("fourth", 0)];
    assert_eq!(listed(&snapshot), order.map(|(text, votes)| (text.to_owned(), votes)));
    assert_eq!(snapshot["view"]["upvotes"], json!([third]), "one's own, for one's own eyes");
    let asker = |text: &str| {
        let all = snapshot["view"]["questions"].as_array().unwrap();
        let question = all.iter().find(|one| one["text"] == text).unwrap();
        (question["by"].clone(), question["anonymous"].clone(), question["state"].clone())
    };
    assert_eq!(asker("first"), (json!(id_of(&bob)), json!(false), json!("open")));
    assert_eq!(asker("third"), (Value::Null, json!(true), json!("open")));
    until_told(&ada, "question.voted", |data| data["question"]["id"] == third && data["question"]["votes"] == 2).await;
    let log = server.rest.log(&id).await.unwrap();
    assert_eq!(log.iter().filter(|event| event["type"] == "question.vote_set").count(), 5, "the same again is no vote");
    for (name, client) in [("ada", &ada), ("bob", &bob), ("eve", &eve)] {
        assert_eq!(verify(name, &client.record(), &log), Vec::<String>::new());
    }
}

#[tokio::test]
async fn an_answer_has_the_exact_votes_and_comes_once() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let ends = [
        ("in writing", false, "question.answer", json!({ "text": " On Monday. " }), "question.answered"),
        ("aloud", true, "question.answer", json!({ "live": true }), "question.answered"),
        ("not at all", true, "question.dismiss", json!({}), "question.dismissed"),
    ];
    for (text, anonymous, kind, mut data, event) in ends {
        let question = asked(&bob, text, anonymous).await;
        vote(&bob, &question, true).await;
        // The second vote within half a second is not told before the answer is.
        vote(&eve, &question, true).await;
        data["question"] = json!(question);
        ok(&ada, kind, data.clone()).await;
        let told = until_told(&bob, event, |data| data["question"]["id"] == question).await;
        let state = if event == "question.dismissed" { "dismissed" } else { "answered" };
        assert_eq!((&told["question"]["votes"], &told["question"]["state"]), (&json!(2), &json!(state)));
        assert_eq!(told["by"], id_of(&ada));
        match text {
            "in writing" => assert_eq!(told["question"]["answer"], "On Monday."),
            "aloud" => {
                assert_eq!((&told["question"]["live"], &told["question"]["answer"]), (&json!(true), &Value::Null))
            }
            _ => assert!(told["question"]["answer"].is_null() && told["question"]["live"].is_null()),
        }
        assert_eq!(refused(&ada, kind, data).await, "wrong_state");
        assert_eq!(refused(&eve, "question.vote", json!({ "question": question, "up": false })).await, "wrong_state");
    }
    all_caught_up(&ada, &[&bob, &eve]).await;
    for client in [&ada, &bob, &eve] {
        for event in logged(&server, &id, "question.asked").await {
            let question = event["data"]["question"]["id"].as_str().unwrap();
            let kinds: Vec<String> = told(client, "question", question).into_iter().map(|(kind, _)| kind).collect();
            let last = kinds.iter().filter(|kind| *kind != "question.voted").collect::<Vec<_>>();
            assert_eq!(last.len(), 2, "asked and settled: {kinds:?}");
            assert_ne!(kinds.last().unwrap(), "question.voted", "no count behind the last word");
        }
    }
    let late = client(&server, &id, Some("late"), "Late", "participant").joined().await.unwrap();
    let kept: Vec<_> = late["view"]["questions"].as_array().unwrap().iter().map(|one| one["state"].clone()).collect();
    assert_eq!(kept, ["answered", "answered", "dismissed"]);
}

#[tokio::test]
async fn a_question_outlives_its_room_and_is_answered_from_elsewhere() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ada = joined(&server, &id, "ada", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let eve = joined(&server, &id, "eve", "participant").await;
    let rooms = open(&ada, json!({ "rooms": [{ "name": "One", "participants": [id_of(&bob)] }], "grace_s": 0 })).await;
    entered(&bob, &rooms[0]).await;
    let question = asked(&bob, "Is anybody there?", false).await;
    let other = asked(&bob, "And here?", false).await;
    assert_eq!(refused(&eve, "question.vote", json!({ "question": question, "up": true })).await, "not_found");
    ok(&ada, "question.answer", json!({ "question": other, "live": true })).await;
    until_told(&bob, "question.answered", |data| data["question"]["id"] == other).await;
    ok(&ada, "breakout.close", json!({})).await;
    entered(&bob, "main").await;
    let lead = client(&server, &id, Some("cora"), "Cora", "cohost");
    let snapshot = lead.joined().await.unwrap();
    assert_eq!(listed(&snapshot), [("Is anybody there?".to_owned(), 0), ("And here?".to_owned(), 0)]);
    let late = client(&server, &id, Some("late"), "Late", "participant").joined().await.unwrap();
    assert_eq!(listed(&late), []);
    ok(&lead, "question.answer", json!({ "question": question, "text": "We are." })).await;
    let answered = logged(&server, &id, "question.answered").await;
    assert_eq!(answered[1]["data"]["question"]["answer"], "We are.");
}
