//! Either of the two goes away for a while, and nobody in the meeting pays for it longer than that.

use super::Stage;
use crate::breakout::open;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn convoke_is_killed_and_whoever_is_connected_stays_so() {
    let Some(mut stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    bob.sdk.publish("audio").await;
    bob.sdk.publish("video").await;
    ann.hears(&bob.identity, "video").await;
    ann.is_told(&bob.id, &["audio", "video"]).await;

    stage.server.kill().unwrap();
    // Nobody is there to be told of this one.
    bob.sdk.publish("screen").await;
    ann.hears(&bob.identity, "screen").await;
    stage.server.run().await.unwrap();
    ann.is_told(&bob.id, &["audio", "video", "screen"]).await;
    let forbid = json!({ "participant": bob.id, "source": "video", "allowed": false });
    ann.does("participant.permit", forbid).await;
    ann.sdk.until_of("unpublished", &bob.identity, "video").await;
    let mut both = [ann.identity.clone(), bob.identity.clone()];
    both.sort();
    assert_eq!(stage.there(&ann.room()).await, both);
    for person in [&mut ann, &mut bob] {
        let is_bad = ["disconnected", "reconnecting", "left"];
        assert!(!is_bad.iter().any(|event| person.sdk.has_said(event, |_| true)), "nobody was thrown out");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_stands_still_and_hears_afterwards_what_was_decided() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    bob.sdk.publish("audio").await;
    bob.sdk.publish("video").await;
    ann.hears(&bob.identity, "video").await;
    let main = ann.room();

    stage.livekit.freeze();
    ann.does("participant.permit", json!({ "participant": bob.id, "source": "video", "allowed": false })).await;
    ann.does("participant.mute", json!({ "participant": bob.id, "source": "audio" })).await;
    let eve = stage.joins("eve", "participant").await.unwrap();
    let rooms = json!({ "rooms": [{ "name": "Red", "participants": [eve.id] }], "assign": "manual" });
    let rooms = open(&ann.client, rooms).await;
    crate::breakout::entered(&eve.client, &rooms[0]).await;
    stage.until_figure("convoke_media_failures_total", 1.0).await;
    bob.does("chat.post", json!({ "to": "room", "text": "all the while" })).await;
    stage.livekit.thaw();

    ann.sdk.until_of("unpublished", &bob.identity, "video").await;
    ann.sdk.until_of("muted", &bob.identity, "audio").await;
    stage.until_rooms(&[&main, &eve.room()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn livekit_dies_and_its_rooms_are_made_again() {
    let Some(mut stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    bob.sdk.publish("audio").await;
    ann.hears(&bob.identity, "audio").await;
    let (main, old) = (ann.room(), bob.media());

    stage.livekit.kill();
    ann.does("participant.permit", json!({ "participant": bob.id, "source": "video", "allowed": false })).await;
    bob.granted_after(&old).await;
    stage.until_figure("convoke_media_failures_total", 1.0).await;
    ann.does("chat.post", json!({ "to": "room", "text": "all the while" })).await;
    for person in [&mut ann, &mut bob] {
        person.sdk.tell(&json!({ "do": "disconnect" }));
    }
    stage.livekit.start_again();

    // Before anybody comes.
    stage.until_rooms(&[&main]).await;
    for person in [&mut ann, &mut bob] {
        let former = person.media();
        person.does("media.request", json!({})).await;
        person.granted_after(&former).await;
        person.connects().await;
    }
    bob.sdk.publish("audio").await;
    ann.hears(&bob.identity, "audio").await;
    bob.sdk.publish_in_vain("video").await;

    // A LiveKit that has forgotten what it was told believes credentials of before.
    assert!(bob.comes_with(&old).await);
    let may = |line: &serde_json::Value| line["may"] == json!(["audio", "screen"]);
    bob.sdk.until("permitted", may).await;
    bob.sdk.publish_in_vain("video").await;
}
