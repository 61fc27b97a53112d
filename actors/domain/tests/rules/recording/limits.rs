//! RC6, RC10: how long the recorder may take, and how much is remembered.

use super::*;
use RecordingStatus::*;

/// Case 50: starting for ever.
#[test]
fn rc6_the_recorder_begins_within_a_minute() {
    assert_eq!(Limits::default().recording_start_ms, 60_000);
    for kind in [RecordingKind::Composite, RecordingKind::Audio] {
        let (mut scene, ann, _) = pair();
        let id = starts(&mut scene, &ann, of_kind(kind));
        scene.pass(30_000);
        seen(&mut scene, id, TakeState::Starting);
        scene.pass(29_999);
        assert_eq!(status(&scene, id), Pending);
        scene.pass(1);
        assert_eq!(told(&scene, id), [Failed]);
        assert_eq!(error(&scene, id), "the recorder did not begin in time");
        assert_eq!(live(&scene, id).recording.ended_at, Some(scene.now));
        assert_eq!(scene.event("recording.changed").cause, None);
        // Case 47: nothing is left that would hinder the next.
        starts(&mut scene, &ann, of_kind(kind));
    }
}

#[test]
fn rc6_the_recorder_stops_within_five_minutes() {
    assert_eq!(Limits::default().recording_stop_ms, 300_000);
    let (mut scene, ann, _, id) = recorded();
    scene.does(&ann, stop(id));
    let stopped_at = scene.now;
    scene.pass(299_999);
    assert_eq!(status(&scene, id), Stopping);
    scene.pass(1);
    assert_eq!((told(&scene, id), error(&scene, id).as_str()), (vec![Failed], "the recorder did not stop in time"));
    assert_eq!(live(&scene, id).recording.ended_at, Some(stopped_at));
}

#[test]
fn rc6_the_files_are_finished_within_six_hours() {
    assert_eq!(Limits::default().recording_processing_ms, 6 * 3_600_000);
    let (mut scene, _, _, id) = recorded();
    seen(&mut scene, id, TakeState::Ending);
    scene.pass(6 * 3_600_000 - 1);
    assert_eq!(status(&scene, id), Processing);
    scene.pass(1);
    assert_eq!(told(&scene, id), [Failed]);
    assert_eq!(error(&scene, id), "the recorder did not finish the files in time");
}

#[test]
fn rc6_what_is_recorded_has_no_such_time() {
    let (mut scene, _, _, id) = recorded();
    scene.pass(3_600_000);
    assert_eq!(status(&scene, id), Recording);
    assert_eq!(live(&scene, id).lapsed_at, None);
}

/// Case 35 and its siblings: our own absence is nobody's fault.
#[test]
fn rc6_after_the_owner_s_death_these_times_start_anew() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    scene.now += 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    assert_eq!(scene.kinds(), ["meeting.recovered"]);
    scene.pass(59_999);
    assert_eq!(status(&scene, id), Pending);
    seen(&mut scene, id, TakeState::Active);
    scene.does(&ann, stop(id));
    scene.now += 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    scene.pass(299_999);
    assert_eq!(status(&scene, id), Stopping);
    scene.pass(1);
    assert_eq!(status(&scene, id), Failed);
}

#[test]
fn rc6_nor_is_it_in_a_meeting_that_is_over() {
    let (mut scene, ann, _, id) = recorded();
    scene.does(&ann, END);
    scene.now += 24 * 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    assert_eq!(scene.kinds(), ["meeting.recovered"]);
    seen(&mut scene, id, TakeState::Ending);
    scene.now += 24 * 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    scene.pass(6 * 3_600_000 - 1);
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!(status(&scene, id), Completed);
    scene.take(Input::Recovered).expect("recovered");
    assert!(scene.recorded.is_empty(), "nothing waits any more");
}

#[test]
fn rc6_an_empty_room_is_given_its_time_anew_and_the_longest_time_is_not() {
    let (mut scene, ann, bob, id) = recorded();
    scene.does(&ann, leave());
    scene.does(&bob, leave());
    scene.now += 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    assert_eq!(live(&scene, id).emptied_at, Some(scene.now));
    scene.pass(29_999);
    assert_eq!(status(&scene, id), Recording);
    scene.pass(1);
    assert_eq!(status(&scene, id), Stopping);
    let (mut scene, _, _, id) = recorded();
    scene.now += 6 * 3_600_000;
    scene.take(Input::Recovered).expect("recovered");
    scene.pass(0);
    assert_eq!(told(&scene, id), [Stopping], "it was as long as that all the same");
}

/// MT8: a turn that comes late finds what the earlier deadline left.
#[test]
fn rc6_of_two_times_the_earlier_one_counts() {
    for late_by in [0, 100_000] {
        let (mut scene, ann, bob) = pair();
        let id = starts(&mut scene, &ann, StartRecording::default());
        scene.pass(30_001);
        scene.does(&ann, leave());
        scene.does(&bob, leave());
        scene.pass(29_999 + late_by);
        assert_eq!(told(&scene, id), [Failed], "it did not begin, and that was first");
        let (mut scene, ann, bob) = pair();
        let id = starts(&mut scene, &ann, StartRecording::default());
        scene.pass(29_999);
        scene.does(&ann, leave());
        scene.does(&bob, leave());
        scene.pass(30_000 + late_by);
        assert_eq!(told(&scene, id), [Stopping], "the room was empty, and that was first");
    }
}

#[test]
fn rc10_the_latest_are_remembered() {
    assert_eq!(Limits::default().recordings_kept_max, 500);
    let (mut scene, ann, _) = pair();
    scene.limits.recordings_kept_max = 3;
    let first = starts(&mut scene, &ann, of_kind(RecordingKind::Tracks));
    let mut over = Vec::new();
    for _ in 0..4 {
        let id = starts(&mut scene, &ann, StartRecording::default());
        seen(&mut scene, id, TakeState::Complete);
        scene.pass(1);
        over.push(id);
    }
    let kept: Vec<RecordingId> = scene.state.recordings.keys().copied().collect();
    assert_eq!(kept, [first, over[2], over[3]], "the unfinished one always, though it is the oldest");
    for id in [first, over[3]] {
        scene.does(&ann, stop(id));
    }
    scene.refused(&ann, stop(over[0]), Code::NotFound);
    // What is said of a forgotten one is nothing, however late.
    let known = take(&scene, over[3], "run-1", &Part::Composite(0), TakeState::Active);
    takes(&mut scene, over[0], vec![known]);
    missing(&mut scene, over[0], &[]);
    assert!(scene.recorded.is_empty());
}

#[test]
fn rc10_more_that_are_unfinished_are_remembered_than_otherwise() {
    let (mut scene, ann, _) = pair();
    scene.limits.recordings_kept_max = 1;
    let kinds = [RecordingKind::Composite, RecordingKind::Tracks, RecordingKind::Audio];
    let ids = kinds.map(|kind| starts(&mut scene, &ann, of_kind(kind)));
    seen(&mut scene, ids[0], TakeState::Failed);
    assert!(!scene.state.recordings.contains_key(&ids[0]), "forgotten as soon as it is over");
    assert_eq!(scene.state.unfinished.len(), 2);
    assert!(ids[1..].iter().all(|id| scene.state.recordings.contains_key(id)));
}

#[test]
fn rc10_so_many_takes_of_each() {
    assert_eq!(Limits::default().takes_max, 1_000);
    let (mut scene, ann, bob) = pair();
    scene.limits.takes_max = 2;
    let id = starts(&mut scene, &ann, of_kind(RecordingKind::Tracks));
    let bobs = scene.id(&bob);
    for number in 0..4 {
        let part = Part::Track { participant: bobs, source: Source::Audio, track: format!("TR_{number}") };
        let at = take(&scene, id, &format!("run-{number}"), &part, TakeState::Active);
        takes(&mut scene, id, vec![at.clone()]);
        assert_eq!(live(&scene, id).takes.len(), 2.min(number + 1));
        takes(&mut scene, id, vec![Take { state: TakeState::Complete, ..at }]);
    }
    assert!(live(&scene, id).takes.values().all(|take| take.state == TakeState::Complete), "what is known is followed");
}
