//! Consent is a person's, to one recording: it outlasts their sockets and the node, and not the recording.

use super::{Stage, is_told};
use crate::{id_of, ok, refused};
use convoke_loadtest::client::Client;
use serde_json::json;

async fn speaks(client: &Client) -> bool {
    let on =
        client.ask("participant.set_media", json!({ "audio": true, "video": false, "screen": false })).await.unwrap();
    ok(client, "participant.set_media", json!({ "audio": false, "video": false, "screen": false })).await;
    on["ok"] == json!(true)
}

#[tokio::test]
async fn consent_outlasts_sockets_and_nodes_and_is_asked_for_anew_by_the_next_recording() {
    let Some(mut stage) = Stage::in_folder(1, &[]).await else { return };
    let (id, ada) = stage.meeting(json!({ "recording_consent": true })).await;
    let bob = stage.joined(&id, "bob", "participant").await;
    let cyd = stage.joined(&id, "cyd", "participant").await;
    assert!(speaks(&bob).await, "nothing is recorded");
    ok(&ada, "recording.start", json!({})).await;
    let pending = ada.event("recording.changed").await.unwrap().data["recording"].clone();
    assert_eq!(pending["consent"], json!(true));
    let recording = pending["id"].as_str().unwrap().to_owned();
    let egress = stage.double.begun(1).await;
    stage.runs(&egress).await;
    is_told(&bob, &recording, "recording").await;
    assert!(speaks(&ada).await, "whoever asked for it need not be asked");
    assert!(!speaks(&bob).await && !speaks(&cyd).await, "nobody else has consented yet");
    ok(&bob, "recording.consent", json!({ "recording": recording, "given": true })).await;
    assert!(speaks(&bob).await && !speaks(&cyd).await);

    // The same person by another socket, another device, another node.
    bob.drop_socket();
    assert!(speaks(&bob).await && !speaks(&cyd).await, "after a reconnect");
    let device = stage.joined(&id, "bob", "participant").await;
    assert!(speaks(&device).await, "by another device");
    stage.cluster.nodes[0].kill().unwrap();
    stage.cluster.nodes[0].run().await.unwrap();
    assert!(speaks(&bob).await && !speaks(&cyd).await, "in another life");
    cyd.drop_socket();
    assert!(!speaks(&cyd).await, "a reconnect is no consent");
    let consents = stage.shown(&recording).await["consents"].clone();
    let given = |client: &Client| {
        let of = consents.as_array().unwrap().iter().find(|one| one["participant"] == json!(id_of(client)));
        of.map(|one| one["given"].clone())
    };
    assert_eq!((given(&bob), given(&cyd)), (Some(json!(true)), None), "{consents}");

    // It can be taken back, and the next recording asks anew.
    ok(&bob, "recording.consent", json!({ "recording": recording, "given": false })).await;
    assert!(!speaks(&bob).await);
    ok(&bob, "recording.consent", json!({ "recording": recording, "given": true })).await;
    stage.stop(&id).await;
    stage.double.stopped(&egress).await;
    stage.completes(&egress, "what was consented to").await;
    is_told(&cyd, &recording, "completed").await;
    assert!(speaks(&bob).await && speaks(&cyd).await, "nothing is recorded any more");
    let late = refused(&bob, "recording.consent", json!({ "recording": recording, "given": true })).await;
    assert_eq!(late, "wrong_state");
    let next = stage.record(json!({ "meeting_id": id })).await;
    stage.runs(&stage.double.begun(2).await).await;
    is_told(&bob, &next, "recording").await;
    assert!(!speaks(&bob).await, "it was for the other recording");
    assert!(!speaks(&ada).await, "this one was asked for by the backend, not by her");
}
