//! The whole of it: people join a meeting through Convoke, connect to LiveKit with what they were given,
//! and go where the meeting sends them.

use super::{Livekit, Sdk};
use crate::breakout::{entered, open};
use crate::{id_of, joined, meeting, ok, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::{Value, json};

/// Convoke with a LiveKit server.
async fn convoke(livekit: &Livekit) -> Server {
    let settings = livekit.settings().map(|(name, value)| (format!("CONVOKE_{}", name.to_uppercase()), value));
    server(&settings.each_ref().map(|(name, value)| (name.as_str(), value.as_str()))).await
}

fn media(client: &Client) -> Value {
    client.record().snapshot.as_ref().unwrap()["view"]["media"].clone()
}

fn identity(media: &Value) -> &str {
    media["identity"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn people_join_are_moved_to_a_breakout_room_and_come_back() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (Some(mut ann_sdk), Some(mut bob_sdk)) = (Sdk::start(), Sdk::start()) else { return };
    let server = convoke(&livekit).await;
    let id = meeting(&server, json!({})).await;
    let ann = joined(&server, &id, "ann", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    let (anns, bobs) = (media(&ann), media(&bob));
    assert_eq!((anns["kind"].as_str(), anns["room"].as_str()), (Some("livekit"), bobs["room"].as_str()));
    assert_eq!(anns["presets"]["screen_text"]["content_hint"], "text");
    assert!(ann_sdk.connect(&anns).await.is_empty());
    assert_eq!(bob_sdk.connect(&bobs).await, [identity(&anns)]);
    bob_sdk.publish("audio").await;
    ann_sdk.until_of("heard", identity(&bobs), "audio").await;

    let red = json!({ "rooms": [{ "name": "Red", "participants": [id_of(&bob)] }], "assign": "manual" });
    let rooms = open(&ann, red).await;
    let moved = entered(&bob, &rooms[0]).await["view"]["media"].clone();
    assert_ne!(moved["room"], bobs["room"]);
    assert!(bob_sdk.connect(&moved).await.is_empty());
    ann_sdk.until("left", |line| line["who"] == identity(&bobs)).await;
    bob_sdk.publish("video").await;

    ok(&ann, "breakout.close", json!({ "now": true })).await;
    let back = entered(&bob, "main").await["view"]["media"].clone();
    assert_eq!(bob_sdk.connect(&back).await, [identity(&anns)]);
    ann_sdk.until("joined", |line| line["who"] == identity(&bobs)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_from_the_meeting_is_removed_from_its_media() {
    let Some(livekit) = Livekit::start(None) else { return };
    let (Some(mut ann_sdk), Some(mut bob_sdk)) = (Sdk::start(), Sdk::start()) else { return };
    let server = convoke(&livekit).await;
    let id = meeting(&server, json!({})).await;
    let ann = joined(&server, &id, "ann", "host").await;
    let bob = joined(&server, &id, "bob", "participant").await;
    ann_sdk.connect(&media(&ann)).await;
    let bobs = media(&bob);
    bob_sdk.connect(&bobs).await;
    ann_sdk.until("joined", |line| line["who"] == identity(&bobs)).await;
    ok(&ann, "participant.remove", json!({ "participant": id_of(&bob) })).await;
    bob_sdk.until("disconnected", |_| true).await;
    ann_sdk.until("left", |line| line["who"] == identity(&bobs)).await;
}
