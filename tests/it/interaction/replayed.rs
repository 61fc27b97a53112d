//! Anonymous votes whose answers are lost: the same number again has one effect and one answer, on
//! the node that took it, on one that started again, and on one that took over; and numbering goes on
//! when nobody knows any more what the numbers were.

use super::anonymous::forgotten;
use super::device::Device;
use super::durable::Served;
use super::{logged, opened, until_told};
use crate::{meeting, ok};
use serde_json::{Value, json};

async fn one_effect(mut served: Served) {
    let id = meeting(served.node(), json!({})).await;
    let ada = served.client(0, &id, "ada", "host");
    ada.joined().await.unwrap();
    let asking = json!({ "question": "Fine?", "options": ["Yes", "No"], "results": "live", "anonymous": true });
    let poll = opened(&ada, asking).await;
    let vote = |choice: u32| json!({ "poll": poll, "choices": [choice] });
    let stands = async |counts: Value| {
        until_told(&ada, "poll.counted", |data| data["poll"]["counts"] == counts && data["poll"]["voters"] == 1).await
    };
    let token = served.node().rest.key.join_token(&id, Some("bob"), "Bob", "participant");
    let mut bob = Device::join(&served.node().rest.host, &token).await;

    // The answer to the first vote is never read.
    bob.send(1, "poll.vote", vote(0)).await;
    stands(json!([1, 0])).await;
    let mut bob = bob.resume(&served.node().rest.host).await;
    assert_eq!(bob.greeted["last_id"], 1);
    let done = json!({ "re": 1, "ok": true, "data": {} });
    assert_eq!(bob.ask(1, "poll.vote", vote(0)).await, done, "answered, and without a place in the log");
    assert_eq!(bob.ask(2, "poll.vote", vote(1)).await["ok"], true);
    stands(json!([0, 1])).await;
    served.crash().await;
    let mut bob = bob.resume(&served.node().rest.host).await;
    assert_eq!(bob.greeted["last_id"], 2);
    for number in [1, 2] {
        // Whatever stands in it: the number has had its effect.
        let again = bob.ask(number, "poll.vote", vote(0)).await;
        assert_eq!((&again["ok"], &again["seq"]), (&json!(true), &Value::Null), "{again}");
    }
    assert_eq!(logged(served.node(), &id, "poll.voted").await.len(), 2);
    bob.send(3, "poll.vote", vote(0)).await;
    let is_counted = |data: &Value| data["poll"]["counts"] == json!([1, 0]) && data["poll"]["voters"] == 1;
    let before = ada.record().heard.len();
    ada.until("the third vote", |record| {
        record.heard[before.min(record.heard.len())..].iter().find(|heard| is_counted(&heard.data)).map(|_| ())
    })
    .await
    .unwrap();
    ok(&ada, "poll.close", json!({ "poll": poll })).await;
    let closed = until_told(&ada, "poll.closed", |_| true).await;
    assert_eq!((&closed["poll"]["counts"], &closed["poll"]["voters"]), (&json!([1, 0]), &json!(1)));

    // The keys are destroyed, and the server with them; the numbers are not forgotten.
    let ended = &logged(served.node(), &id, "anonymity.ended").await[0];
    forgotten(served.node(), &id).await;
    served.loses_its_snapshot(ended["seq"].as_u64().unwrap()).await;
    served.crash().await;
    let mut bob = bob.resume(&served.node().rest.host).await;
    assert_eq!(bob.greeted["last_id"], 3);
    for number in [1, 2, 3] {
        let again = bob.ask(number, "poll.vote", vote(1)).await;
        assert_eq!((&again["ok"], &again["seq"]), (&json!(true), &Value::Null), "{again}");
    }
    let gap = bob.ask(5, "hand.raise", json!({})).await;
    assert_eq!(gap["error"]["code"], "bad_request", "a gap takes nothing");
    let next = bob.ask(4, "chat.post", json!({ "to": "room", "text": "the next one" })).await;
    assert_eq!(next["ok"], true, "{next}");
    let log = logged(served.node(), &id, "chat.posted").await;
    assert_eq!((log.len(), log[0]["cause"]["session"].is_null()), (1, false));
    assert_eq!(logged(served.node(), &id, "poll.voted").await.len(), 3);
    assert_eq!(logged(served.node(), &id, "poll.closed").await.len(), 1);
}

#[tokio::test]
async fn an_anonymous_vote_that_comes_again_has_one_effect() {
    one_effect(Served::alone().await).await;
}

#[tokio::test]
async fn an_anonymous_vote_that_comes_again_after_a_takeover_has_one_effect() {
    let Some(served) = Served::twice().await else { return };
    one_effect(served).await;
}
