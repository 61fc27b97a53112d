//! A recorder that misbehaves: what is shown is what is known, nothing stays half-way for ever, and the
//! room can be recorded again.

use super::{Manner, Stage, is_told, told};
use crate::ok;
use serde_json::{Value, json};

/// What somebody who comes now is shown of recordings that are not over.
async fn shown_to_a_newcomer(stage: &Stage, id: &str, user: &str) -> Vec<Value> {
    let client = stage.joined(id, user, "participant").await;
    let snapshot = client.record().snapshot.clone().unwrap();
    let recordings = snapshot["recordings"].as_array().cloned().unwrap_or_default();
    let is_over = |one: &Value| ["completed", "failed"].contains(&one["status"].as_str().unwrap());
    recordings.into_iter().filter(|one| !is_over(one)).collect()
}

#[tokio::test]
async fn without_any_webhook_all_is_seen_by_looking() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.double.runs(&egress);
    is_told(&ada, &recording, "recording").await;
    // It ends by itself; nobody is told.
    stage.double.completes(&egress, "as far as it went").await;
    is_told(&ada, &recording, "completed").await;
    assert_eq!(told(&ada.record(), &recording), ["pending", "recording", "completed"]);
    // Nothing stands in the way of the next one.
    let next = stage.record(json!({ "meeting_id": id })).await;
    stage.double.runs(&stage.double.begun(2).await);
    is_told(&ada, &next, "recording").await;
}

#[tokio::test]
async fn webhooks_that_come_twice_late_and_in_any_order_say_the_same() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    let started = stage.double.info(&egress);
    let active = stage.double.runs(&egress);
    let ended = stage.double.completes(&egress, "as far as it went").await;
    let all = [("egress_ended", &ended), ("egress_updated", &active), ("egress_started", &started)];
    for (event, info) in all.into_iter().chain(all) {
        stage.double.tells(stage.rest(), event, info).await;
    }
    is_told(&ada, &recording, "completed").await;
    // Whatever was still on its way has been seen once this is.
    for (event, info) in all {
        stage.double.tells(stage.rest(), event, info).await;
    }
    ok(&ada, "chat.post", json!({ "to": "room", "text": "unharmed" })).await;
    stage.double.asked("listegress", 1).await;
    let told = told(&ada.record(), &recording);
    assert!(told == ["pending", "completed"] || told == ["pending", "recording", "completed"], "{told:?}");
    assert_eq!(stage.shown(&recording).await["files"].as_array().unwrap().len(), 1);
    assert_eq!(stage.begun(), 1);
}

#[tokio::test]
async fn one_that_starts_for_ever_fails_is_ended_and_stands_in_nobodys_way() {
    let Some(stage) = Stage::in_folder(1, &[("CONVOKE_RECORDING_START_S", "5")]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    is_told(&ada, &recording, "failed").await;
    assert_eq!(told(&ada.record(), &recording), ["pending", "failed"]);
    stage.double.stopped(&egress).await;
    let next = stage.record(json!({ "meeting_id": id })).await;
    stage.runs(&stage.double.begun(2).await).await;
    is_told(&ada, &next, "recording").await;
}

#[tokio::test]
async fn a_start_that_fails_leaves_no_light_on() {
    let Some(stage) = Stage::in_folder(1, &[("CONVOKE_RECORDING_START_S", "5")]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    stage.double.be_at("startroomcompositeegress", Manner::Errors);
    let recording = stage.record(json!({ "meeting_id": id })).await;
    is_told(&ada, &recording, "failed").await;
    assert_eq!(told(&ada.record(), &recording), ["pending", "failed"]);
    assert!(stage.shown(&recording).await["error"].is_string());
    assert_eq!(shown_to_a_newcomer(&stage, &id, "bob").await, Vec::<Value>::new());
    // The recorder begins, and fails at it.
    stage.double.be(Manner::Well);
    let next = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.double.tells(stage.rest(), "egress_ended", &stage.double.fails(&egress, "Start signal not received")).await;
    is_told(&ada, &next, "failed").await;
    assert_eq!(told(&ada.record(), &next), ["pending", "failed"]);
    assert!(stage.shown(&next).await["error"].as_str().unwrap().contains("Start signal not received"));
    assert_eq!(shown_to_a_newcomer(&stage, &id, "cyd").await, Vec::<Value>::new());
}

/// What the recorder forgot is not waited for, and to stop it is no error.
#[tokio::test]
async fn what_the_recorder_forgot_is_over() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    stage.double.forgets(&egress);
    stage.stop(&id).await;
    is_told(&ada, &recording, "failed").await;
    assert_eq!(told(&ada.record(), &recording), ["pending", "recording", "stopping", "failed"]);
    stage.stop(&id).await;
    let next = stage.record(json!({ "meeting_id": id })).await;
    stage.runs(&stage.double.begun(1).await).await;
    is_told(&ada, &next, "recording").await;
}

/// While the recorder says nothing, for a minute, commands are answered, and nobody is shown as recorded who may not be.
/// When it is back, what still runs is shown again, and nothing is begun beside it.
#[tokio::test]
async fn while_the_recorder_is_away_nobody_is_shown_as_recorded() {
    let Some(stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    stage.double.be(Manner::Silent);
    let back = tokio::time::Instant::now() + std::time::Duration::from_secs(60);
    let talking = || async {
        loop {
            ok(&ada, "chat.post", json!({ "to": "room", "text": "still here" })).await;
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    };
    tokio::select! {
        () = is_told(&ada, &recording, "pending?") => {}
        () = talking() => {}
    }
    // Answers that say nothing are no better.
    stage.double.be(Manner::Errors);
    stage.double.asked("listegress", 1).await;
    tokio::select! {
        () = tokio::time::sleep_until(back) => {}
        () = talking() => {}
    }
    let newcomer = shown_to_a_newcomer(&stage, &id, "bob").await;
    assert_eq!((&newcomer[0]["status"], &newcomer[0]["interrupted"]), (&json!("pending"), &json!(true)));
    stage.double.be(Manner::Well);
    is_told(&ada, &recording, "recording").await;
    assert_eq!(told(&ada.record(), &recording), ["pending", "recording", "pending?", "recording"]);
    assert_eq!(stage.begun(), 1);
}
