//! The roster says what people publish by what LiveKit tells, though none of them says a word of it.

use super::{Stage, only};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn the_roster_shows_what_is_published_though_nobody_says_so() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    for source in ["audio", "video"] {
        ann.sdk.publish(source).await;
        bob.sdk.publish(source).await;
        ann.hears(&bob.identity, source).await;
        bob.hears(&ann.identity, source).await;
    }
    ann.is_told(&bob.id, &["audio", "video"]).await;
    bob.is_told(&ann.id, &["audio", "video"]).await;
    // Once the room was looked at again and nothing was new, and nobody comes or goes, a track is seen because a
    // webhook told of it, or minutes later.
    let looks = "convoke_media_calls_total{operation=\"list_participants\"}";
    stage.until_figure(looks, stage.figure(looks).await + 1.0).await;
    bob.sdk.publish("screen").await;
    ann.is_told(&bob.id, &["audio", "video", "screen"]).await;
    assert!(stage.figure("convoke_livekit_webhooks_delivered_total").await > 0.0);
    assert_eq!(stage.shown(&bob).await, only(&["audio", "video", "screen"]));

    // The media connection ends, and the meeting goes on.
    bob.sdk.tell(&json!({ "do": "disconnect" }));
    ann.is_told(&bob.id, &[]).await;
    assert_eq!(stage.shown(&bob).await, only(&[]));
    assert_eq!(stage.shown(&ann).await, only(&["audio", "video"]));
    let is_of_bob = |kind: &str| kind == "participant.left" || kind == "participant.disconnected";
    let late = |heard: &convoke_loadtest::client::Heard| heard.data["participant"]["id"] != bob.id.as_str();
    let record = ann.client.record();
    assert!(record.heard.iter().filter(|heard| is_of_bob(&heard.kind)).all(late), "Bob stays: {:?}", record.heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_muted_may_unmute_and_the_roster_follows() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    bob.sdk.publish("audio").await;
    ann.hears(&bob.identity, "audio").await;
    ann.is_told(&bob.id, &["audio"]).await;

    ann.does("participant.mute", json!({ "participant": bob.id, "source": "audio" })).await;
    bob.sdk.until_of("muted", &bob.identity, "audio").await;
    ann.sdk.until_of("muted", &bob.identity, "audio").await;
    bob.client.event("participants.muted").await.unwrap();
    assert_eq!(stage.shown(&bob).await, only(&[]));

    // LiveKit tells nobody of this one; a client does, and whatever else happens there has it seen.
    bob.sdk.tell(&json!({ "do": "unmute", "source": "audio" }));
    ann.sdk.until_of("unmuted", &bob.identity, "audio").await;
    bob.sdk.publish("video").await;
    ann.is_told(&bob.id, &["audio", "video"]).await;
    assert_eq!(stage.shown(&bob).await, only(&["audio", "video"]));

    // Everybody at once, and Bob says himself that he is back.
    ann.does("participant.mute", json!({ "all": true, "source": "audio" })).await;
    // Each is told by itself, and who does not know of being muted cannot undo it.
    bob.sdk.until_of("muted", &bob.identity, "audio").await;
    ann.sdk.until_of("muted", &bob.identity, "audio").await;
    bob.sdk.tell(&json!({ "do": "unmute", "source": "audio" }));
    bob.does("participant.set_media", only(&["audio", "video"])).await;
    ann.sdk.until_of("unmuted", &bob.identity, "audio").await;
    bob.sdk.publish("screen").await;
    ann.is_told(&bob.id, &["audio", "video", "screen"]).await;
    assert!(!ann.sdk.has_said("muted", |_| true), "what Bob turned on stays on");
}
