use super::*;
use crate::adapters::media::livekit::name_of;
use convoke_domain::TenantId;
use convoke_domain::recording::{Part, TakeState, path_of};
use serde_json::{Value, json};
use uuid::Uuid;

const MEETING: MeetingId = MeetingId(Uuid::from_u128(1));
const ROOM: RoomId = RoomId::Breakout(Uuid::from_u128(2));
const RECORDING: RecordingId = RecordingId(Uuid::from_u128(3));

fn read(webhook: &Value) -> Webhook {
    Webhook::read(webhook.to_string().as_bytes()).unwrap()
}

fn hint(webhook: &Value) -> Hint {
    match read(webhook).says() {
        Said::Hint(hint) => *hint,
        other => panic!("{other:?} of {webhook}"),
    }
}

fn file() -> String {
    format!("{}.mp4", path_of(&TenantId("acme".to_owned()), MEETING, &RECORDING.to_string(), &Part::Composite(4)))
}

fn egress(status: &str) -> Value {
    json!({
        "egressId": "EG_1",
        "roomName": name_of(MEETING, ROOM, 4),
        "status": status,
        "roomComposite": { "roomName": name_of(MEETING, ROOM, 4), "fileOutputs": [{ "filepath": file() }] },
        "fileResults": [{ "filename": file() }],
    })
}

#[test]
fn every_event_of_a_room_is_a_reason_to_look_at_it() {
    for event in [
        "room_started",
        "room_finished",
        "participant_joined",
        "participant_left",
        "participant_connection_aborted",
        "track_published",
        "track_unpublished",
    ] {
        let webhook = json!({ "event": event, "id": "EV_1", "room": { "name": name_of(MEETING, ROOM, 3) } });
        assert_eq!(hint(&webhook), Hint { meeting: MEETING, room: Some(ROOM), take: None });
        assert_eq!(read(&webhook).label(), event);
    }
}

#[test]
fn every_event_of_an_egress_is_a_take() {
    for (event, status, state) in [
        ("egress_started", "EGRESS_STARTING", TakeState::Starting),
        ("egress_updated", "EGRESS_ACTIVE", TakeState::Active),
        ("egress_ended", "EGRESS_FAILED", TakeState::Failed),
    ] {
        let webhook = json!({ "event": event, "egressInfo": egress(status) });
        let hint = hint(&webhook);
        let (recording, take) = hint.take.unwrap();
        assert_eq!((hint.meeting, hint.room, recording, take.state), (MEETING, None, RECORDING, state));
        assert_eq!((take.id.as_str(), take.part.as_str()), ("EG_1", "composite.4"));
        assert_eq!(read(&webhook).label(), event);
    }
}

#[test]
fn what_does_not_matter_here_is_ignored() {
    for event in ["ingress_started", "ingress_ended", "agent_job_started", "agent_job_ended"] {
        let webhook = read(&json!({ "event": event, "room": { "name": name_of(MEETING, ROOM, 0) } }));
        assert_eq!((webhook.says(), webhook.label()), (Said::Nothing, event));
    }
    let newer = read(&json!({ "event": "room_painted", "room": { "name": name_of(MEETING, ROOM, 0) } }));
    assert_eq!((newer.says(), newer.label()), (Said::Nothing, "other"));
}

#[test]
fn what_a_newer_server_adds_is_passed_over() {
    let webhook = json!({
        "event": "participant_left",
        "room": { "name": name_of(MEETING, ROOM, 0), "colour": "red", "maxParticipants": { "new": true } },
        "participant": { "disconnectReason": "BORED", "state": "FLOATING" },
        "roomEndReason": "TIDE",
        "weather": ["rain"],
    });
    assert_eq!(hint(&webhook).room, Some(ROOM));
    let mut strange = egress("EGRESS_HOVERING");
    let webhook = json!({ "event": "egress_updated", "egressInfo": strange });
    assert_eq!(hint(&webhook), Hint { meeting: MEETING, room: Some(ROOM), take: None }, "its room is looked at");
    strange["roomName"] = json!("lobby");
    assert_eq!(read(&json!({ "event": "egress_updated", "egressInfo": strange })).says(), Said::NotOurs);
}

#[test]
fn rooms_and_files_of_others_are_not_ours() {
    for webhook in [
        json!({ "event": "room_started" }),
        json!({ "event": "room_started", "room": null }),
        json!({ "event": "room_started", "room": {} }),
        json!({ "event": "room_started", "room": { "name": "lobby" } }),
        json!({ "event": "egress_ended" }),
        json!({ "event": "egress_ended", "egressInfo": { "egressId": "EG_1", "roomName": "lobby" } }),
    ] {
        assert_eq!(read(&webhook).says(), Said::NotOurs, "{webhook}");
    }
}

#[test]
fn times_are_read_however_they_are_written() {
    for (written, seconds) in [(json!("1800000000"), 1_800_000_000), (json!(1_800_000_000), 1_800_000_000)] {
        assert_eq!(read(&json!({ "event": "x", "createdAt": written })).created_at_ms(), seconds * 1_000);
        assert_eq!(read(&json!({ "event": "x", "created_at": written })).created_at_ms(), seconds * 1_000);
    }
    assert_eq!(read(&json!({ "event": "x" })).created_at_ms(), 0);
    assert_eq!(read(&json!({ "event": "x", "createdAt": u64::MAX })).created_at_ms(), u64::MAX);
}

#[test]
fn what_is_no_webhook_is_not_read() {
    let bodies: [&[u8]; 8] = [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        br#"{"event":7}"#,
        br#"{"event":"room_started","createdAt":"soon"}"#,
        b"{\"event\":\"room_\xFFstarted\"}",
    ];
    for body in bodies {
        assert!(Webhook::read(body).is_none(), "{}", String::from_utf8_lossy(body));
    }
}

#[test]
fn without_an_id_it_is_told_by_all_of_it() {
    let body = br#"{"event":"x","id":"EV_1"}"#;
    assert_eq!(Webhook::read(body).unwrap().identity(body), b"EV_1");
    let body = br#"{"event":"x"}"#;
    assert_eq!(Webhook::read(body).unwrap().identity(body), body);
}
