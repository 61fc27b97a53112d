//! RC2, RC5: a recording's life, from being asked for to its end.

use super::*;
use RecordingStatus::*;

#[test]
fn rc2_a_recording_s_life() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    let asked_at = scene.now;
    assert_eq!(told(&scene, id), [Pending]);
    scene.pass(1_000);
    seen(&mut scene, id, TakeState::Starting);
    assert_eq!(scene.kinds(), ["recording.take_changed"], "that it is about to is nothing to show");
    assert_eq!(scene.event("recording.take_changed").audience, Audience::Nobody);
    scene.pass(1_000);
    let active = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Active);
    takes(&mut scene, id, vec![Take { started_at: Some(asked_at + 1_500), ..active }]);
    assert_eq!(told(&scene, id), [Recording]);
    assert_eq!(live(&scene, id).recording.started_at, Some(asked_at + 1_500), "as the recorder says");
    scene.pass(60_000);
    scene.does(&ann, stop(id));
    assert_eq!(told(&scene, id), [Stopping]);
    let stopped_at = scene.now;
    assert!(scene.event("recording.changed").cause.is_some());
    scene.pass(1_000);
    seen(&mut scene, id, TakeState::Ending);
    assert_eq!(told(&scene, id), [Processing]);
    scene.pass(1_000);
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!(told(&scene, id), [Completed]);
    let done = live(&scene, id).recording.clone();
    assert_eq!((done.started_at, done.ended_at, done.error), (Some(asked_at + 1_500), Some(stopped_at), None));
    assert!(scene.state.unfinished.is_empty());
    let all = [Pending, Recording, Stopping, Processing, Completed];
    assert_eq!(told_by(&scene.log, id), all, "each once");
}

#[test]
fn rc2_nothing_is_shown_as_recorded_because_it_was_asked_for() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.pass(30_000);
    takes(&mut scene, id, vec![]);
    assert!(scene.recorded.is_empty());
    assert_eq!(status(&scene, id), Pending);
    // Case 54: a failed start leaves no light on.
    let failed = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Failed);
    takes(&mut scene, id, vec![Take { error: Some("no browser".to_owned()), ..failed }]);
    assert_eq!(told(&scene, id), [Failed]);
    assert_eq!(error(&scene, id), "no browser");
    assert_eq!(live(&scene, id).recording.started_at, None);
}

/// A recorder's clock is its own.
#[test]
fn rc2_a_recording_lasts_from_its_asking_to_its_end_at_most() {
    for (says, is) in [(0, START), (START + 999_999_999, START + 5_000), (START + 3_000, START + 3_000)] {
        let (mut scene, ann, _) = pair();
        let id = starts(&mut scene, &ann, StartRecording::default());
        scene.pass(5_000);
        let active = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Active);
        takes(&mut scene, id, vec![Take { started_at: Some(says), ..active }]);
        assert_eq!(live(&scene, id).recording.started_at, Some(is), "in Recording");
        let (mut scene, ann, _) = pair();
        let id = starts(&mut scene, &ann, StartRecording::default());
        scene.pass(5_000);
        let complete = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Complete);
        takes(&mut scene, id, vec![Take { started_at: Some(says), ..complete }]);
        assert_eq!(live(&scene, id).recording.started_at, Some(is), "known when it is over");
        assert_eq!(live(&scene, id).recording.ended_at, Some(START + 5_000));
    }
    let (scene, _, _, id) = recorded();
    assert_eq!(live(&scene, id).recording.started_at, Some(scene.now), "where the recorder does not say");
}

#[test]
fn rc5_stop_while_it_starts() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    seen(&mut scene, id, TakeState::Starting);
    scene.does(&ann, stop(id));
    assert_eq!(told(&scene, id), [Stopping]);
    scene.pass(2_000);
    let active = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Active);
    let active = Take { started_at: Some(scene.now), ..active };
    takes(&mut scene, id, vec![active]);
    assert_eq!(told(&scene, id), [], "that it begins now is no news to anybody");
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!(told(&scene, id), [Completed]);
    assert_eq!(told_by(&scene.log, id), [Pending, Stopping, Completed]);
    let done = &live(&scene, id).recording;
    assert!(done.started_at <= done.ended_at);
}

#[test]
fn rc5_stopped_before_the_recorder_heard_of_it() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&ann, stop(id));
    takes(&mut scene, id, vec![]);
    assert_eq!(status(&scene, id), Stopping, "whatever is not said yet may come");
    missing(&mut scene, id, &["some"]);
    assert_eq!(status(&scene, id), Stopping);
    missing(&mut scene, id, &[]);
    assert_eq!(told(&scene, id), [Failed]);
    assert_eq!(error(&scene, id), "it was stopped before anything was recorded");
}

/// Case 49: stop answered with an error.
#[test]
fn rc5_to_stop_what_is_stopped_is_no_error() {
    let (mut scene, ann, _, id) = recorded();
    for state in [TakeState::Active, TakeState::Ending, TakeState::Complete] {
        scene.does(&ann, stop(id));
        seen(&mut scene, id, state);
        let before = scene.log.len();
        scene.does(&ann, stop(id));
        scene.operator(stop(id)).expect("no error");
        assert_eq!(scene.log.len(), before, "nor another event");
    }
    assert_eq!(status(&scene, id), Completed);
}

#[test]
fn rc5_all_are_stopped_where_none_is_named() {
    let Two { mut scene, ann, first, .. } = Two::open();
    let main = starts(&mut scene, &ann, StartRecording::default());
    let there = starts(&mut scene, &ann, in_room(first));
    let over = starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    scene.does(&ann, stop(over));
    assert_eq!((status(&scene, main), status(&scene, there)), (Pending, Pending), "only the one that is named");
    scene.operator(STOP_ALL).expect("stopped");
    assert_eq!((status(&scene, main), status(&scene, there)), (Stopping, Stopping));
    assert_eq!(told(&scene, over), []);
}

/// Case 48: closing the meeting without "stop" lost the recording.
#[test]
fn rc5_a_recording_ends_with_the_meeting_and_is_followed_after_it() {
    for is_recorded in [false, true] {
        let (mut scene, ann, _) = pair();
        let id = starts(&mut scene, &ann, StartRecording::default());
        if is_recorded {
            seen(&mut scene, id, TakeState::Active);
        }
        scene.does(&ann, END);
        assert_eq!(scene.kinds(), ["recording.changed", "meeting.ended"], "people hear of both");
        assert_eq!(told(&scene, id), [Stopping]);
        assert!(scene.state.is_busy(), "somebody has to look after it");
        // Case 51: what ended is told after the room has finished.
        scene.pass(60_000);
        seen(&mut scene, id, TakeState::Ending);
        assert_eq!(told(&scene, id), [Processing]);
        scene.pass(60_000);
        seen(&mut scene, id, TakeState::Complete);
        assert_eq!(told(&scene, id), [Completed]);
        assert!(!scene.state.is_busy());
        assert_eq!(deadlines::next_at(&scene.state, &scene.limits), None);
    }
}

#[test]
fn rc5_a_recording_ends_with_a_meeting_that_ends_by_itself() {
    let (mut scene, ann, _) = pair_with(|settings| settings.max_duration_s = Some(600));
    let id = starts(&mut scene, &ann, StartRecording::default());
    seen(&mut scene, id, TakeState::Active);
    scene.pass(600_000);
    assert_eq!(scene.kinds(), ["recording.changed", "meeting.ended"]);
    assert_eq!(status(&scene, id), Stopping);
    scene.pass(299_999);
    assert_eq!(status(&scene, id), Stopping);
    scene.pass(1);
    assert_eq!(told(&scene, id), [Failed], "its deadlines go on");
}

#[test]
fn rc5_a_recording_ends_with_its_room() {
    for is_recorded in [false, true] {
        let Two { mut scene, ann, first, second, .. } = Two::open();
        let ends = starts(&mut scene, &ann, in_room(first));
        let stays = starts(&mut scene, &ann, in_room(second));
        let main = starts(&mut scene, &ann, StartRecording::default());
        if is_recorded {
            for id in [ends, stays, main] {
                seen(&mut scene, id, TakeState::Active);
            }
        }
        scene.does(&ann, Command::CloseRooms { room: Some(first), now: false });
        assert_eq!(told(&scene, ends), [], "people are there for the grace period");
        scene.pass(200_000);
        let by_itself = scene.log.iter().any(|r| matches!(&r.event, Event::BreakoutClosed { .. }));
        assert!(by_itself);
        let now = [ends, stays, main].map(|id| live(&scene, id).is_running());
        assert_eq!(now, [false, is_recorded, is_recorded], "the others as they were, or did not begin in time");
    }
}

#[test]
fn rc5_a_recording_ends_with_the_merge_of_its_room() {
    let Two { mut scene, ann, first, second, .. } = Two::open();
    let from = starts(&mut scene, &ann, in_room(first));
    let into = starts(&mut scene, &ann, in_room(second));
    scene.does(&ann, Command::MergeRooms { from: vec![first], into: second });
    assert_eq!((told(&scene, from), told(&scene, into)), (vec![Stopping], vec![]));
    assert_eq!(live(&scene, from).recording.room, first, "it is what was recorded there");
    seen(&mut scene, from, TakeState::Complete);
    assert_eq!(status(&scene, from), Completed);
}

/// Case 48: a recording of an empty room went on for hours.
#[test]
fn rc5_a_recording_ends_when_the_room_was_empty() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    let rec = scene.enters("Rec", Role::Recorder);
    scene.does(&rec, crate::breakout::go(first));
    let id = starts(&mut scene, &ann, in_room(first));
    seen(&mut scene, id, TakeState::Active);
    let bobs = scene.id(&bob);
    scene.does(&ann, crate::breakout::move_to(&[to(bobs, RoomId::Main)]));
    assert_eq!(live(&scene, id).emptied_at, Some(scene.now), "a service is no company");
    scene.pass(29_999);
    assert_eq!(status(&scene, id), Recording);
    scene.does(&ann, crate::breakout::move_to(&[to(bobs, first)]));
    assert_eq!(live(&scene, id).emptied_at, None);
    scene.pass(60_000);
    assert_eq!(status(&scene, id), Recording);
    scene.does(&ann, crate::breakout::move_to(&[to(bobs, RoomId::Main)]));
    scene.pass(30_000);
    assert_eq!(told(&scene, id), [Stopping]);
    assert_eq!(scene.event("recording.changed").cause, None);
    assert_eq!(error(&scene, id), "");
}

#[test]
fn rc5_a_recording_of_a_room_that_is_empty_from_the_beginning() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    scene.does(&ann, crate::breakout::move_to(&[to(scene.id(&bob), RoomId::Main)]));
    let id = starts(&mut scene, &ann, in_room(first));
    assert_eq!(live(&scene, id).emptied_at, Some(scene.now));
    scene.pass(30_000);
    assert_eq!(told(&scene, id), [Stopping]);
}

#[test]
fn rc5_somebody_whose_connection_is_lost_is_in_the_room() {
    let (mut scene, ann, bob, id) = recorded();
    scene.lost(&ann);
    scene.lost(&bob);
    scene.pass(29_999);
    assert_eq!(live(&scene, id).emptied_at, None);
    scene.pass(1);
    assert_eq!(live(&scene, id).emptied_at, Some(scene.now));
    scene.pass(30_000);
    assert_eq!(told(&scene, id), [Stopping]);
}

#[test]
fn rc5_no_recording_is_longer_than_six_hours() {
    assert_eq!(Limits::default().recording_ms_max, 6 * 3_600_000);
    for kind in [RecordingKind::Composite, RecordingKind::Tracks] {
        let (mut scene, ann, _) = pair();
        let id = starts(&mut scene, &ann, of_kind(kind));
        seen(&mut scene, id, TakeState::Active);
        scene.pass(scene.limits.recording_ms_max - 1);
        assert_eq!(status(&scene, id), Recording);
        scene.pass(1);
        assert_eq!(told(&scene, id), [Stopping]);
        assert_eq!(running(&scene, RoomId::Main), []);
    }
}
