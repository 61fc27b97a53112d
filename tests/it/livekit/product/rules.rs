//! What people may publish is what LiveKit lets them publish, from the moment in which it is decided.

use super::Stage;
use serde_json::{Value, json};

fn permit(who: &str, source: &str, allowed: bool) -> Value {
    json!({ "participant": who, "source": source, "allowed": allowed })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forbidden_is_taken_down_and_refused_until_it_is_permitted() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    for source in ["audio", "video", "screen"] {
        bob.sdk.publish(source).await;
        ann.hears(&bob.identity, source).await;
    }
    ann.is_told(&bob.id, &["audio", "video", "screen"]).await;
    let mut kept = vec!["audio", "video", "screen"];
    for source in ["screen", "video"] {
        let former = bob.media();
        kept.retain(|other| *other != source);
        ann.does("participant.permit", permit(&bob.id, source, false)).await;
        ann.sdk.until_of("unpublished", &bob.identity, source).await;
        let media = bob.granted_after(&former).await;
        assert_eq!((&media["room"], &media["identity"]), (&former["room"], &former["identity"]));
        bob.sdk.publish_in_vain(source).await;
        assert_eq!(stage.shown(&bob).await, super::only(&kept));
    }
    let audio_alone = bob.media();
    for (source, may) in [("screen", json!(["audio", "screen"])), ("video", json!(["audio", "screen", "video"]))] {
        let former = bob.media();
        ann.does("participant.permit", permit(&bob.id, source, true)).await;
        bob.granted_after(&former).await;
        bob.sdk.until("permitted", |line| line["who"] == bob.identity.as_str() && line["may"] == may).await;
        bob.sdk.publish(source).await;
        ann.hears(&bob.identity, source).await;
    }
    ann.is_told(&bob.id, &["audio", "video", "screen"]).await;
    // Credentials of before do not say what is allowed now.
    assert!(bob.comes_with(&audio_alone).await);
    let may = |line: &Value| line["may"] == json!(["audio", "screen", "video"]);
    bob.sdk.until("permitted", may).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_change_what_livekit_lets_people_publish() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    for source in ["audio", "screen"] {
        bob.sdk.publish(source).await;
        ann.hears(&bob.identity, source).await;
    }
    ann.is_told(&bob.id, &["audio", "screen"]).await;
    for (setting, source, rest) in [("allow_screen_share", "screen", "audio"), ("allow_unmute", "audio", "screen")] {
        let may = |line: &Value| line["may"].to_string().contains(source);
        let is_bob = |line: &Value| line["who"] == bob.identity.as_str();
        ann.does("meeting.update", json!({ "settings": { setting: false } })).await;
        bob.sdk.until("permitted", |line| is_bob(line) && !may(line)).await;
        ann.sdk.until_of("unpublished", &bob.identity, source).await;
        bob.sdk.publish_in_vain(source).await;
        ann.is_told(&bob.id, &[rest]).await;
        // Hosts may all the same.
        ann.sdk.publish(source).await;
        bob.sdk.until_of("heard", &ann.identity, source).await;
        ann.does("meeting.update", json!({ "settings": { setting: true } })).await;
        bob.sdk.until("permitted", |line| is_bob(line) && may(line)).await;
        bob.sdk.publish(source).await;
        ann.hears(&bob.identity, source).await;
        ann.is_told(&bob.id, &["audio", "screen"]).await;
    }
}
