//! RC1, RC2: who asks for a recording of what, and what they are refused.

use super::*;
use convoke_domain::recording::{Format, Recording};

#[test]
fn rc1_leads_and_the_backend_start_a_recording() {
    let (mut scene, ann, bob) = pair();
    let cid = scene.enters("Cid", Role::Cohost);
    let vic = scene.enters("Vic", Role::Viewer);
    let rec = scene.enters("Rec", Role::Recorder);
    for other in [&bob, &vic, &rec] {
        scene.refused(other, record(StartRecording::default()), Code::NotPermitted);
        scene.refused(other, STOP_ALL, Code::NotPermitted);
    }
    let wanted = StartRecording { format: Format::Webm, audio_tracks: true, screen_share: true, ..Default::default() };
    let first = starts(&mut scene, &ann, wanted);
    let told = scene.event("recording.changed");
    assert_eq!(told.audience, Audience::Everyone, "whoever is there is told that it was asked for");
    assert!(matches!(&told.event, Event::RecordingChanged { by, held: false, .. } if *by == Some(scene.id(&ann))));
    let Recording { room, status, kind, format, audio_tracks, screen_share, consent, automatic, .. } =
        live(&scene, first).recording.clone();
    assert_eq!((room, status, kind), (RoomId::Main, RecordingStatus::Pending, RecordingKind::Composite));
    assert_eq!((format, audio_tracks, screen_share, consent, automatic), (Format::Webm, true, true, false, false));
    let of = live(&scene, first).recording.clone();
    assert_eq!((of.asked_at, of.started_at, of.ended_at, of.error), (scene.now, None, None, None));
    assert_eq!(of.name, format!("2026-11-21-weekly-{first}"), "somebody can find it");
    starts(&mut scene, &cid, of_kind(RecordingKind::Audio));
    scene.operator(record(of_kind(RecordingKind::Tracks))).expect("the backend");
    assert!(matches!(&scene.event("recording.changed").event, Event::RecordingChanged { by: None, .. }));
}

#[test]
fn rc1_a_live_meeting_with_a_recorder() {
    let mut scene = Scene::new();
    let refusal = scene.operator(record(StartRecording::default())).expect_err("nobody is there");
    assert_eq!(refusal.code, Code::WrongState);
    scene.limits.has_recorder = false;
    let ann = scene.enters("Ann", Role::Host);
    scene.refused(&ann, record(StartRecording::default()), Code::WrongState);
    scene.limits.has_recorder = true;
    scene.does(&ann, record(StartRecording::default()));
    scene.does(&ann, END);
    scene.refused(&ann, record(of_kind(RecordingKind::Audio)), Code::WrongState);
    scene.operator(STOP_ALL).expect_err("the meeting is over");
}

/// Case 18: the recording of a breakout room bears its name.
#[test]
fn rc1_an_open_room_one_s_own_where_none_is_named() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    scene.refused(&ann, record(in_room(RoomId::Breakout(uuid::Uuid::from_u128(4)))), Code::NotFound);
    let main = starts(&mut scene, &ann, StartRecording::default());
    assert_eq!(live(&scene, main).recording.room, RoomId::Main);
    let there = starts(&mut scene, &ann, in_room(second));
    assert!(live(&scene, there).recording.name.starts_with("2026-11-21-weekly-second-"));
    scene.does(&ann, role(scene.id(&bob), Role::Cohost));
    let own = starts(&mut scene, &bob, StartRecording::default());
    assert_eq!(live(&scene, own).recording.room, first, "the cohost's own room");
    scene.does(&ann, Command::CloseRooms { room: Some(first), now: false });
    scene.refused(&ann, record(StartRecording { kind: RecordingKind::Audio, ..in_room(first) }), Code::WrongState);
    scene.does(&ann, Command::CloseRooms { room: Some(first), now: true });
    scene.refused(&ann, record(in_room(first)), Code::WrongState);
    scene.operator(STOP_ALL).expect("stopped");
    scene.operator(record(StartRecording::default())).expect("the main room");
    let begun = begun(&scene);
    assert_eq!(live(&scene, begun).recording.room, RoomId::Main);
}

#[test]
fn rc1_a_room_has_one_running_recording_of_a_kind() {
    let Two { mut scene, ann, first, .. } = Two::open();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.refused(&ann, record(StartRecording::default()), Code::Conflict);
    seen(&mut scene, id, TakeState::Active);
    scene.refused(&ann, record(StartRecording::default()), Code::Conflict);
    for kind in [RecordingKind::Audio, RecordingKind::Tracks, RecordingKind::Screen] {
        starts(&mut scene, &ann, of_kind(kind));
        scene.refused(&ann, record(of_kind(kind)), Code::Conflict);
    }
    starts(&mut scene, &ann, in_room(first));
    // Case 47: what ended elsewhere, or is to end, is no hindrance.
    scene.does(&ann, stop(id));
    let next = starts(&mut scene, &ann, StartRecording::default());
    assert_eq!(status(&scene, id), RecordingStatus::Stopping);
    seen(&mut scene, next, TakeState::Failed);
    starts(&mut scene, &ann, StartRecording::default());
}

#[test]
fn rc1_so_many_are_under_way_at_once() {
    assert_eq!(Limits::default().recordings_at_once_max, 120);
    let Two { mut scene, ann, first, second, .. } = Two::open();
    scene.limits.recordings_at_once_max = 2;
    let id = starts(&mut scene, &ann, StartRecording::default());
    starts(&mut scene, &ann, in_room(first));
    scene.refused(&ann, record(in_room(second)), Code::Capacity);
    scene.does(&ann, stop(id));
    scene.refused(&ann, record(in_room(second)), Code::Capacity);
    missing(&mut scene, id, &[]);
    assert_eq!(status(&scene, id), RecordingStatus::Failed);
    starts(&mut scene, &ann, in_room(second));
}

#[test]
fn rc1_a_room_s_own_cohost_may_record_another_room() {
    let Two { mut scene, ann, bob, second, .. } = Two::open();
    scene.does(&ann, role(scene.id(&bob), Role::Cohost));
    let id = starts(&mut scene, &bob, in_room(second));
    assert_eq!(live(&scene, id).recording.room, second);
    scene.does(&ann, stop(id));
    assert_eq!(status(&scene, id), RecordingStatus::Stopping, "and another lead stops it");
}

#[test]
fn rc5_what_is_not_there_is_not_stopped() {
    let (mut scene, ann, _) = pair();
    let nothing = RecordingId(uuid::Uuid::from_u128(9));
    scene.refused(&ann, stop(nothing), Code::NotFound);
    scene.refused(&ann, consent(nothing, true), Code::NotFound);
    scene.does(&ann, STOP_ALL);
    assert!(scene.recorded.is_empty(), "nothing runs");
}
