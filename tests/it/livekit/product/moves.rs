//! Breakout rooms: people go where the meeting sends them, and the rooms at LiveKit are the meeting's.

use super::Stage;
use crate::breakout::{entered, open};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn people_are_moved_to_a_breakout_room_and_hear_each_other_again_when_they_are_back() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    let Some(mut eve) = stage.joins("eve", "participant").await else { return };
    assert_eq!(eve.connects().await.len(), 2);
    assert_eq!(eve.media()["kind"], "livekit");
    assert_eq!(eve.media()["presets"]["screen_text"]["content_hint"], "text");
    // LiveKit says of nobody who was there for less than a second or so.
    ann.sdk.until("joined", |line| line["who"] == eve.identity.as_str()).await;
    let main = ann.room();
    ann.sdk.publish("audio").await;
    bob.sdk.publish("audio").await;
    for hearer in [&mut ann, &mut eve] {
        hearer.hears(&bob.identity, "audio").await;
    }

    let red = json!({ "rooms": [{ "name": "Red", "participants": [bob.id, eve.id] }], "assign": "manual" });
    let rooms = open(&ann.client, red).await;
    for moved in [&bob, &eve] {
        entered(&moved.client, &rooms[0]).await;
    }
    let there = bob.room();
    assert_eq!(there, eve.room());
    assert_ne!(there, main);
    assert!(bob.connects().await.is_empty());
    bob.sdk.publish("audio").await;
    // Eve's client does nothing by itself.
    eve.sdk.until("disconnected", |line| line["reason"] == "PARTICIPANT_REMOVED").await;
    assert_eq!(eve.connects().await, [bob.identity.as_str()]);
    eve.hears(&bob.identity, "audio").await;
    stage.until_rooms(&[&main, &there]).await;
    stage.until_there(&main, &[&ann]).await;
    ann.sdk.until("left", |line| line["who"] == bob.identity.as_str()).await;
    ann.sdk.until("left", |line| line["who"] == eve.identity.as_str()).await;

    ann.does("breakout.close", json!({ "now": true })).await;
    for back in [&mut bob, &mut eve] {
        entered(&back.client, "main").await;
        assert_eq!(back.room(), main);
    }
    // Of Bob's client too nobody is left in there, though it stays where it was.
    bob.sdk.until("disconnected", |line| line["reason"] == "ROOM_DELETED").await;
    assert!(bob.connects().await.contains(&ann.identity));
    assert!(eve.connects().await.contains(&bob.identity));
    bob.sdk.publish("audio").await;
    for hearer in [&mut ann, &mut eve] {
        hearer.hears(&bob.identity, "audio").await;
    }
    bob.hears(&ann.identity, "audio").await;
    eve.hears(&ann.identity, "audio").await;
    stage.until_rooms(&[&main]).await;
    stage.until_there(&main, &[&ann, &bob, &eve]).await;
}
