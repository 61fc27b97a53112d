//! `kill -9` while it is recorded: whoever serves the meeting next goes on with what runs.

use super::{Manner, Stage, is_told, told};
use crate::ok;
use serde_json::json;

#[tokio::test]
async fn the_next_life_goes_on_with_what_runs_and_begins_nothing() {
    let Some(mut stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    stage.cluster.nodes[0].kill().unwrap();
    stage.cluster.nodes[0].run().await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "in the next life" })).await;
    stage.double.asked("listegress", 1).await;
    assert_eq!(stage.shown(&recording).await["status"], json!("recording"));
    stage.stop(&id).await;
    stage.double.stopped(&egress).await;
    stage.completes(&egress, "all of it").await;
    is_told(&ada, &recording, "completed").await;
    let told = told(&ada.record(), &recording);
    assert_eq!(told.iter().filter(|status| *status == "recording").count(), 1, "{told:?}");
    assert_eq!(told[..3], ["pending", "recording", "stopping"]);
    assert_eq!(stage.begun(), 1);
}

/// The recorder began, nobody heard that it did, and then the node died.
#[tokio::test]
async fn what_was_begun_by_a_call_that_nobody_lived_to_hear_of_is_found() {
    let Some(mut stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    stage.double.be_at("startroomcompositeegress", Manner::Unheard);
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.cluster.nodes[0].kill().unwrap();
    stage.double.be(Manner::Well);
    stage.double.runs(&egress);
    stage.cluster.nodes[0].run().await.unwrap();
    stage.becomes(&recording, "recording").await;
    // She comes back in her own time, and is told of it, or shown it with all else.
    ok(&ada, "chat.post", json!({ "to": "room", "text": "in the next life" })).await;
    assert!(["pending", "pending recording"].contains(&told(&ada.record(), &recording).join(" ").as_str()));
    stage.double.asked("listegress", 1).await;
    assert_eq!((stage.begun(), stage.double.look(|state| state.stops.len())), (1, 0));
}

#[tokio::test]
async fn another_node_takes_the_recording_over() {
    let Some(mut stage) = Stage::in_folder(2, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    let owner = stage.cluster.owner().await;
    stage.cluster.nodes[owner].kill().unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "by way of the other node" })).await;
    stage.double.asked("listegress", 1).await;
    assert_eq!(stage.shown(&recording).await["status"], json!("recording"));
    stage.stop(&id).await;
    stage.double.stopped(&egress).await;
    stage.completes(&egress, "all of it").await;
    is_told(&ada, &recording, "completed").await;
    assert_eq!(stage.begun(), 1);
}

/// It ended, with its meeting over, while no node was there to hear of it.
#[tokio::test]
async fn what_ended_while_nobody_was_there_is_known_afterwards() {
    let Some(mut stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({})).await;
    let recording = stage.record(json!({ "meeting_id": id })).await;
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&ada, &recording, "recording").await;
    ok(&ada, "meeting.end", json!({})).await;
    stage.double.stopped(&egress).await;
    stage.cluster.nodes[0].kill().unwrap();
    stage.double.completes(&egress, "the end").await;
    stage.cluster.nodes[0].run().await.unwrap();
    stage.becomes(&recording, "completed").await;
    assert_eq!(stage.shown(&recording).await["files"].as_array().unwrap().len(), 1);
}
