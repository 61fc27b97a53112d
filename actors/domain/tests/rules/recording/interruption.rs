//! RC9: the recorder cannot be asked.

use super::*;
use RecordingStatus::*;

#[test]
fn rc9_what_cannot_be_told_is_not_shown_as_recorded() {
    let (mut scene, ann, _, id) = recorded();
    let sound = starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    scene.pass(1_000);
    let began_at = live(&scene, id).recording.started_at;
    scene.pass(5_000);
    unreachable(&mut scene, RoomId::Main);
    let doubted = live(&scene, id).recording.clone();
    assert_eq!((doubted.status, doubted.interrupted, doubted.started_at), (Pending, true, began_at));
    assert_eq!((told(&scene, id), told(&scene, sound)), (vec![Pending], vec![]), "that one was not shown as recorded");
    unreachable(&mut scene, RoomId::Main);
    assert!(scene.recorded.is_empty(), "once");
    scene.refused(&ann, record(StartRecording::default()), Code::Conflict);
    // It is found as it was: nothing new is said of its take.
    seen(&mut scene, id, TakeState::Active);
    let again = live(&scene, id).recording.clone();
    assert_eq!((again.status, again.interrupted, again.started_at), (Recording, false, began_at));
    takes(&mut scene, sound, vec![]);
    let asked = live(&scene, sound).recording.clone();
    assert_eq!((asked.status, asked.interrupted), (Pending, false), "that one never ran");
}

#[test]
fn rc9_it_goes_on_as_it_is_found() {
    let cases = [
        (TakeState::Ending, Processing),
        (TakeState::Complete, Completed),
        (TakeState::Failed, Failed),
        (TakeState::Starting, Recording),
    ];
    for (found, expected) in cases {
        let (mut scene, _, _, id) = recorded();
        unreachable(&mut scene, RoomId::Main);
        seen(&mut scene, id, found);
        assert_eq!((status(&scene, id), live(&scene, id).recording.interrupted), (expected, false));
    }
    let (mut scene, _, _, id) = recorded();
    unreachable(&mut scene, RoomId::Main);
    missing(&mut scene, id, &["run-1"]);
    assert_eq!((status(&scene, id), live(&scene, id).recording.interrupted), (Failed, false));
}

#[test]
fn rc9_after_ten_minutes_it_has_failed() {
    assert_eq!(Limits::default().recording_away_ms, 600_000);
    for kind in [RecordingKind::Composite, RecordingKind::Tracks] {
        let (mut scene, ann, _) = pair();
        let id = starts(&mut scene, &ann, of_kind(kind));
        seen(&mut scene, id, TakeState::Active);
        scene.pass(59_000);
        unreachable(&mut scene, RoomId::Main);
        scene.pass(300_000);
        unreachable(&mut scene, RoomId::Main);
        scene.pass(299_999);
        assert_eq!(status(&scene, id), Pending);
        scene.pass(1);
        assert_eq!(told(&scene, id), [Failed]);
        assert_eq!(error(&scene, id), "the recorder could not be reached for too long");
        assert!(!live(&scene, id).recording.interrupted);
    }
}

#[test]
fn rc9_what_was_recorded_until_then_is_kept() {
    let (mut scene, _, _, id) = recorded();
    seen_in(&mut scene, id, 0, "run-2", TakeState::Complete);
    unreachable(&mut scene, RoomId::Main);
    scene.pass(600_000);
    assert_eq!(told(&scene, id), [Completed]);
    assert_eq!(error(&scene, id), "the recorder could not be reached for too long", "and says what is wrong with it");
}

#[test]
fn rc9_only_what_runs_in_that_room_is_doubted() {
    let Two { mut scene, ann, first, second, .. } = Two::open();
    let there = starts(&mut scene, &ann, in_room(first));
    let elsewhere = starts(&mut scene, &ann, in_room(second));
    let stopped = starts(&mut scene, &ann, StartRecording { kind: RecordingKind::Audio, ..in_room(first) });
    scene.does(&ann, stop(stopped));
    seen(&mut scene, there, TakeState::Active);
    seen(&mut scene, elsewhere, TakeState::Active);
    unreachable(&mut scene, first);
    let interrupted = [there, elsewhere, stopped].map(|id| live(&scene, id).recording.interrupted);
    assert_eq!(interrupted, [true, false, false]);
    assert_eq!(status(&scene, stopped), Stopping);
}

#[test]
fn rc9_an_interrupted_one_can_be_stopped() {
    let (mut scene, ann, _, id) = recorded();
    unreachable(&mut scene, RoomId::Main);
    scene.does(&ann, stop(id));
    assert_eq!((status(&scene, id), live(&scene, id).recording.interrupted), (Stopping, false));
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!(status(&scene, id), Completed);
    let (mut scene, ann, _, id) = recorded();
    unreachable(&mut scene, RoomId::Main);
    scene.does(&ann, END);
    assert_eq!(status(&scene, id), Stopping);
}

#[test]
fn rc9_an_interrupted_one_still_asks_for_consent() {
    let (mut scene, ann, bob) = pair_with(|settings| settings.recording_consent = true);
    let id = starts(&mut scene, &ann, StartRecording::default());
    seen(&mut scene, id, TakeState::Active);
    unreachable(&mut scene, RoomId::Main);
    scene.refused(&bob, set_media(TALKS), Code::NotPermitted);
    scene.does(&bob, consent(id, true));
    scene.does(&bob, set_media(TALKS));
}
