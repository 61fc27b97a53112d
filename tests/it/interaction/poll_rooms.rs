//! Polls in breakout rooms: they belong to those who are there, and outlive their room in what hosts
//! are shown. (Elsewhere they did not work in breakout rooms, and were gone once the room closed.)

use super::{all_caught_up, logged, opened, shown, told, until_told};
use crate::breakout::{entered, open};
use crate::{client, id_of, joined, meeting, ok, refused, server};
use convoke_loadtest::client::Client;
use serde_json::{Value, json};

fn asking(results: &str) -> Value {
    json!({ "question": "Done?", "options": ["Yes", "No"], "results": results })
}

async fn vote(client: &Client, poll: &str, choice: u32) {
    ok(client, "poll.vote", json!({ "poll": poll, "choices": [choice] })).await;
}

/// The host, and two people in rooms of their own; the host is with the first of them.
async fn in_rooms(server: &crate::Server, id: &str) -> ([Client; 3], Vec<String>) {
    let ada = joined(server, id, "ada", "host").await;
    let bob = joined(server, id, "bob", "participant").await;
    let eve = joined(server, id, "eve", "participant").await;
    let listed = json!([{ "name": "One", "participants": [id_of(&ada), id_of(&bob)] }, { "name": "Two", "participants": [id_of(&eve)] }]);
    let rooms = open(&ada, json!({ "rooms": listed, "grace_s": 0 })).await;
    for (client, room) in [(&ada, &rooms[0]), (&bob, &rooms[0]), (&eve, &rooms[1])] {
        entered(client, room).await;
    }
    ([ada, bob, eve], rooms)
}

#[tokio::test]
async fn a_poll_in_a_room_is_for_those_who_are_there() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ([ada, bob, eve], rooms) = in_rooms(&server, &id).await;
    let dan = joined(&server, &id, "dan", "participant").await;
    let poll = opened(&ada, asking("live")).await;
    let seen = until_told(&bob, "poll.opened", |_| true).await;
    assert_eq!(seen["poll"]["room"], json!(rooms[0]));
    vote(&bob, &poll, 1).await;
    for stranger in [&eve, &dan] {
        let data = json!({ "poll": poll, "choices": [0] });
        assert_eq!(refused(stranger, "poll.vote", data).await, "not_found");
    }
    // Who comes into the room is shown it, and may vote; who has gone out keeps the vote that was given.
    ok(&ada, "breakout.move", json!({ "moves": [{ "participant": id_of(&dan), "room": rooms[0] }] })).await;
    let view = entered(&dan, &rooms[0]).await;
    assert_eq!((&shown(&view, "polls", &poll)["counts"], &view["view"]["votes"]), (&json!([0, 1]), &json!({})));
    vote(&dan, &poll, 0).await;
    ok(&bob, "breakout.join", json!({ "room": "main" })).await;
    let view = entered(&bob, "main").await;
    assert_eq!((&view["view"]["polls"], &view["view"]["votes"]), (&json!([]), &json!({})));
    assert_eq!(refused(&bob, "poll.vote", json!({ "poll": poll, "choices": [0] })).await, "not_found");
    ok(&ada, "breakout.join", json!({ "room": "main" })).await;
    // A host closes it from wherever they are.
    ok(&ada, "poll.close", json!({ "poll": poll })).await;
    let closed = until_told(&dan, "poll.closed", |_| true).await;
    assert_eq!((&closed["poll"]["counts"], &closed["poll"]["voters"]), (&json!([1, 1]), &json!(2)));
    all_caught_up(&ada, &[&bob, &eve]).await;
    assert!(told(&eve, "poll", &poll).is_empty(), "another room hears nothing of it");
    assert!(told(&bob, "poll", &poll).iter().all(|(kind, _)| kind != "poll.closed"));
}

#[tokio::test]
async fn a_poll_ends_with_its_room_and_hosts_can_still_read_it() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ([ada, bob, eve], rooms) = in_rooms(&server, &id).await;
    let mut polls = Vec::new();
    for results in ["live", "closed", "hosts"] {
        let poll = opened(&ada, asking(results)).await;
        vote(&bob, &poll, 1).await;
        polls.push(poll);
    }
    ok(&ada, "breakout.join", json!({ "room": "main" })).await;
    entered(&ada, "main").await;
    ok(&ada, "breakout.close", json!({ "now": true })).await;
    entered(&bob, "main").await;
    for (poll, counts) in polls.iter().zip([json!([0, 1]), json!([0, 1]), Value::Null]) {
        let told = told(&bob, "poll", poll);
        let closed: Vec<_> = told.iter().filter(|(kind, _)| kind == "poll.closed").collect();
        assert_eq!(closed.len(), 1, "{told:?}");
        assert_eq!(closed[0].1["counts"], counts);
        assert_eq!(refused(&bob, "poll.vote", json!({ "poll": poll, "choices": [0] })).await, "not_found");
        assert_eq!(refused(&ada, "poll.close", json!({ "poll": poll })).await, "wrong_state");
    }
    assert_eq!(logged(&server, &id, "poll.closed").await.len(), 3);
    all_caught_up(&ada, &[&eve]).await;
    assert!(polls.iter().all(|poll| told(&eve, "poll", poll).is_empty()));
    let host = client(&server, &id, Some("ada"), "Ada", "host").joined().await.unwrap();
    let other = client(&server, &id, Some("bob"), "Bob", "participant").joined().await.unwrap();
    for poll in &polls {
        let kept = shown(&host, "polls", poll);
        let told = (&kept["room"], &kept["state"], &kept["counts"], &kept["voters"]);
        assert_eq!(told, (&json!(rooms[0]), &json!("closed"), &json!([0, 1]), &json!(1)));
        assert!(shown(&other, "polls", poll).is_null(), "the main room is another one");
    }
}

#[tokio::test]
async fn a_merge_ends_the_polls_and_takes_their_results_along() {
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let ([ada, bob, eve], rooms) = in_rooms(&server, &id).await;
    let poll = opened(&ada, asking("live")).await;
    vote(&bob, &poll, 0).await;
    ok(&bob, "question.ask", json!({ "text": "And then?" })).await;
    ok(&ada, "breakout.merge", json!({ "from": [rooms[0]], "into": rooms[1] })).await;
    let view = entered(&bob, &rooms[1]).await;
    let kept = shown(&view, "polls", &poll);
    assert_eq!((&kept["room"], &kept["state"], &kept["counts"]), (&json!(rooms[1]), &json!("closed"), &json!([1, 0])));
    assert_eq!(view["view"]["questions"][0]["room"], json!(rooms[1]), "questions go along, and stay open");
    let question = view["view"]["questions"][0]["id"].clone();
    ok(&eve, "question.vote", json!({ "question": question, "up": true })).await;
    assert_eq!(refused(&bob, "poll.vote", json!({ "poll": poll, "choices": [1] })).await, "wrong_state");
    assert_eq!(logged(&server, &id, "poll.closed").await.len(), 1);
    // With everything: the meeting's end closes what is open, wherever it is.
    let last = opened(&ada, asking("live")).await;
    vote(&eve, &last, 1).await;
    ok(&ada, "breakout.join", json!({ "room": "main" })).await;
    ok(&ada, "meeting.end", json!({})).await;
    eve.closed().await.unwrap();
    let ends = logged(&server, &id, "poll.closed").await;
    assert_eq!((ends.len(), &ends[1]["data"]["poll"]["counts"]), (2, &json!([0, 1])));
}
