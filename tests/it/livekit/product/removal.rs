//! Whoever is removed is out, and their credentials, which cannot be taken back, do not let them stay.

use super::{Person, Stage};
use serde_json::{Value, json};

async fn is_thrown_out(person: &mut Person) {
    person.sdk.until("disconnected", |line| line["reason"] == "PARTICIPANT_REMOVED").await;
}

/// Bob is removed, and everybody sees him go. What he was let in with.
async fn removed(ann: &mut Person, bob: &mut Person) -> Value {
    let former = bob.media();
    ann.does("participant.remove", json!({ "participant": bob.id })).await;
    is_thrown_out(bob).await;
    ann.sdk.until("left", |line| line["who"] == bob.identity.as_str()).await;
    assert_eq!(bob.client.closed().await.unwrap(), 4502);
    former
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_before_the_removal_gets_nobody_back_in_for_long() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    let former = removed(&mut ann, &mut bob).await;
    for _ in 0..2 {
        assert!(bob.comes_with(&former).await, "LiveKit knows nothing of the removal");
        is_thrown_out(&mut bob).await;
        stage.until_there(&ann.room(), &[&ann]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_does_it_where_nobody_tells_of_them() {
    let Some(stage) = Stage::without_webhooks().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    let former = removed(&mut ann, &mut bob).await;
    for _ in 0..2 {
        assert!(bob.comes_with(&former).await, "LiveKit knows nothing of the removal");
        is_thrown_out(&mut bob).await;
        stage.until_there(&ann.room(), &[&ann]).await;
    }
    assert_eq!(stage.figure("convoke_livekit_webhooks_received_total").await, 0.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_banned_finds_nobody_and_the_others_go_on_elsewhere() {
    let Some(stage) = Stage::start().await else { return };
    let Some((mut ann, mut bob)) = stage.two().await else { return };
    let Some(mut eve) = stage.joins("eve", "participant").await else { return };
    eve.connects().await;
    let former = eve.media();
    let (anns, bobs) = (ann.media(), bob.media());
    ann.does("participant.remove", json!({ "participant": eve.id, "ban": true })).await;
    assert_eq!(eve.client.closed().await.unwrap(), 4503);
    eve.sdk.until("disconnected", |_| true).await;
    for (person, before) in [(&mut ann, &anns), (&mut bob, &bobs)] {
        let media = person.granted_after(before).await;
        assert_ne!(media["room"], before["room"]);
        person.sdk.until("disconnected", |_| true).await;
        person.connects().await;
    }
    let room = ann.room();
    assert_eq!(bob.room(), room);
    bob.sdk.publish("audio").await;
    ann.hears(&bob.identity, "audio").await;
    stage.until_rooms(&[&room]).await;

    // The old door opens, and behind it nobody is; the room that is made by it is put away.
    if eve.comes_with(&former).await {
        assert!(stage.there(&room).await.iter().all(|identity| *identity != eve.identity));
        eve.sdk.until("disconnected", |line| line["reason"] == "ROOM_DELETED").await;
    }
    stage.until_rooms(&[&room]).await;
    assert!(!ann.sdk.has_said("joined", |line| line["who"] == eve.identity.as_str()));
    assert_eq!(stage.there(&room).await.len(), 2);
}
