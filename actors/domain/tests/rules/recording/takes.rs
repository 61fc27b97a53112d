//! RC3, RC4: the status follows from the takes, in whatever order they are told.

use super::*;
use RecordingStatus::*;

const STATES: [TakeState; 5] =
    [TakeState::Starting, TakeState::Active, TakeState::Ending, TakeState::Complete, TakeState::Failed];

/// Every order of every choice of these, the empty one included.
fn orders(states: &[TakeState]) -> Vec<Vec<TakeState>> {
    let mut found = vec![vec![]];
    for (place, first) in states.iter().enumerate() {
        let mut others = states.to_vec();
        others.remove(place);
        found.extend(orders(&others).into_iter().map(|rest| [vec![*first], rest].concat()));
    }
    found
}

/// How far a take has come after it was told so: never back, and not on once it is over.
fn come(told: &[TakeState]) -> Option<TakeState> {
    told.iter().fold(None, |known, next| match known {
        Some(known) if known == TakeState::Complete || known == TakeState::Failed => Some(known),
        known => known.max(Some(*next)),
    })
}

fn status_of(known: Option<TakeState>, is_stopped: bool) -> RecordingStatus {
    match known {
        Some(TakeState::Complete) => Completed,
        Some(TakeState::Failed) => Failed,
        Some(TakeState::Ending) => Processing,
        _ if is_stopped => Stopping,
        Some(TakeState::Active) => Recording,
        Some(TakeState::Starting) | None => Pending,
    }
}

fn rank(status: RecordingStatus) -> usize {
    [Pending, Recording, Stopping, Processing].iter().position(|other| *other == status).unwrap_or(4)
}

/// Cases 50 and 51: in whatever order, doubled, or some never.
#[test]
fn rc3_a_take_s_states_come_in_any_order_twice_or_never() {
    let orders = orders(&STATES);
    assert_eq!(orders.len(), 326);
    for order in orders {
        for stopped_before in 0..=order.len() + 1 {
            let (mut scene, ann, _) = pair();
            let id = starts(&mut scene, &ann, StartRecording::default());
            for (place, state) in order.iter().enumerate() {
                if place == stopped_before {
                    scene.does(&ann, stop(id));
                }
                seen(&mut scene, id, *state);
                let expected = status_of(come(&order[..=place]), stopped_before <= place);
                assert_eq!(status(&scene, id), expected, "{order:?} up to {place}, stopped before {stopped_before}");
                seen(&mut scene, id, *state);
                assert!(scene.recorded.is_empty(), "being told again changes nothing: {order:?}");
            }
            if stopped_before == order.len() {
                scene.does(&ann, stop(id));
                assert_eq!(status(&scene, id), status_of(come(&order), true), "{order:?} and then stopped");
            }
            let ranks: Vec<usize> = told_by(&scene.log, id).into_iter().map(rank).collect();
            assert!(ranks.is_sorted_by(|one, next| one < next), "RC2: each once: {order:?} {ranks:?}");
        }
    }
}

#[test]
fn rc3_what_is_over_stays_so() {
    let (mut scene, _, _, id) = recorded();
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!(status(&scene, id), Completed);
    for state in STATES {
        seen(&mut scene, id, state);
        missing(&mut scene, id, &["run-1"]);
        missing(&mut scene, id, &[]);
        unreachable(&mut scene, RoomId::Main);
        assert_eq!((status(&scene, id), live(&scene, id).takes["run-1"].state), (Completed, TakeState::Complete));
    }
    let (mut scene, _, _, id) = recorded();
    seen(&mut scene, id, TakeState::Failed);
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!((status(&scene, id), live(&scene, id).takes["run-1"].state), (Failed, TakeState::Failed));
}

#[test]
fn rc2_a_file_that_comes_after_the_meeting_gave_up_changes_no_status() {
    let (mut scene, ann, _, id) = recorded();
    scene.does(&ann, stop(id));
    scene.pass(scene.limits.recording_stop_ms);
    assert_eq!(told(&scene, id), [Failed]);
    seen(&mut scene, id, TakeState::Complete);
    assert_eq!(scene.kinds(), ["recording.take_changed"], "the file is written down: it is somebody's");
    assert_eq!(status(&scene, id), Failed, "failed is final");
}

#[test]
fn rc3_another_run_that_comes_after_the_end_is_written_down_and_starts_nothing() {
    let (mut scene, _, _, id) = recorded();
    seen(&mut scene, id, TakeState::Complete);
    seen_in(&mut scene, id, 0, "run-2", TakeState::Active);
    assert_eq!(scene.kinds(), ["recording.take_changed"]);
    assert_eq!(status(&scene, id), Completed);
    assert!(scene.state.unfinished.is_empty());
}

/// A start that was repeated, because its answer was lost.
#[test]
fn rc4_two_runs_of_the_same_part() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    let [mut one, mut other] =
        ["run-1", "run-2"].map(|run| take(&scene, id, run, &Part::Composite(0), TakeState::Starting));
    takes(&mut scene, id, vec![one.clone(), other.clone()]);
    one.state = TakeState::Failed;
    takes(&mut scene, id, vec![one.clone(), other.clone()]);
    assert_eq!(status(&scene, id), Pending, "the other may begin yet");
    other.state = TakeState::Active;
    takes(&mut scene, id, vec![one, other.clone()]);
    assert_eq!(told(&scene, id), [Recording]);
    other.state = TakeState::Complete;
    takes(&mut scene, id, vec![other]);
    assert_eq!(told(&scene, id), [Completed], "with one file at least");
}

#[test]
fn rc4_one_of_two_runs_ends_and_the_other_goes_on() {
    for ended in [TakeState::Ending, TakeState::Complete, TakeState::Failed] {
        let (mut scene, _, _, id) = recorded();
        seen_in(&mut scene, id, 0, "run-2", TakeState::Active);
        seen(&mut scene, id, ended);
        assert_eq!(status(&scene, id), Recording);
        seen_in(&mut scene, id, 0, "run-2", TakeState::Failed);
        let expected = match ended {
            TakeState::Ending => Processing,
            TakeState::Complete => Completed,
            _ => Failed,
        };
        assert_eq!(status(&scene, id), expected);
    }
}

#[test]
fn rc4_without_a_file_it_failed_and_says_why() {
    let (mut scene, ann, _, id) = recorded();
    scene.does(&ann, stop(id));
    seen(&mut scene, id, TakeState::Failed);
    assert_eq!((status(&scene, id), error(&scene, id)), (Failed, "the recorder made nothing of it".to_owned()));
}

#[test]
fn rc4_tracks_and_screens_come_and_go() {
    let (mut scene, ann, bob) = pair();
    let bobs = scene.id(&bob);
    for kind in [RecordingKind::Tracks, RecordingKind::Screen] {
        let id = starts(&mut scene, &ann, of_kind(kind));
        let part = |track: &str| Part::Track { participant: bobs, source: Source::Screen, track: track.to_owned() };
        for (run, track) in [("run-a", "TR_a"), ("run-b", "TR_b")] {
            let at = take(&scene, id, run, &part(track), TakeState::Active);
            assert_eq!((at.participant, at.source), (Some(bobs), Some(Source::Screen)));
            takes(&mut scene, id, vec![at.clone()]);
            assert_eq!(status(&scene, id), Recording);
            takes(&mut scene, id, vec![Take { state: TakeState::Complete, ..at }]);
            assert_eq!(status(&scene, id), Recording, "another may come");
            scene.pass(120_000);
            assert_eq!(status(&scene, id), Recording);
        }
        let last = take(&scene, id, "run-c", &part("TR_c"), TakeState::Active);
        takes(&mut scene, id, vec![last.clone()]);
        scene.does(&ann, stop(id));
        assert_eq!(status(&scene, id), Stopping);
        takes(&mut scene, id, vec![Take { state: TakeState::Ending, ..last.clone() }]);
        assert_eq!(status(&scene, id), Processing);
        takes(&mut scene, id, vec![Take { state: TakeState::Failed, ..last }]);
        assert_eq!(told(&scene, id), [Completed], "two of three");
    }
}

/// Nobody shared anything while it ran.
#[test]
fn rc5_tracks_that_never_came() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, of_kind(RecordingKind::Screen));
    scene.pass(600_000);
    assert_eq!(status(&scene, id), Pending, "screens may wait");
    scene.does(&ann, stop(id));
    missing(&mut scene, id, &[]);
    assert_eq!(status(&scene, id), Failed);
}

#[test]
fn rc4_a_composite_s_end_ends_what_runs_besides() {
    let (mut scene, ann, bob) = pair();
    let wanted = StartRecording { audio_tracks: true, ..StartRecording::default() };
    let id = starts(&mut scene, &ann, wanted);
    let part = Part::Track { participant: scene.id(&bob), source: Source::Audio, track: "TR_a".to_owned() };
    let whole = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Active);
    let track = take(&scene, id, "run-2", &part, TakeState::Active);
    takes(&mut scene, id, vec![whole.clone(), track.clone()]);
    takes(&mut scene, id, vec![Take { state: TakeState::Complete, ..whole }]);
    assert_eq!(told(&scene, id), [Stopping], "the track's run is to end too");
    takes(&mut scene, id, vec![Take { state: TakeState::Ending, ..track.clone() }]);
    assert_eq!(told(&scene, id), [Processing]);
    // What begins too late to be stopped takes no status back.
    let late = take(&scene, id, "run-3", &Part::Composite(0), TakeState::Active);
    takes(&mut scene, id, vec![late.clone()]);
    assert_eq!(told(&scene, id), []);
    takes(&mut scene, id, vec![Take { state: TakeState::Failed, ..track }, Take { state: TakeState::Failed, ..late }]);
    assert_eq!(told(&scene, id), [Completed]);
}

#[test]
fn rc3_another_recording_s_file_is_not_believed() {
    let (mut scene, ann, _, id) = recorded();
    let other = starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    let own = take(&scene, id, "run-2", &Part::Composite(1), TakeState::Active);
    let of_another = take(&scene, other, "run-2", &Part::Composite(1), TakeState::Active);
    let name = live(&scene, id).recording.name.clone();
    let elsewhere = MeetingId(uuid::Uuid::from_u128(8));
    let wrong = [
        of_another.file,
        path_of(&scene.state.tenant, elsewhere, &name, &Part::Composite(1)),
        path_of(&scene.state.tenant, scene.state.info.id, &name, &Part::Composite(2)),
        path_of(&scene.state.tenant, scene.state.info.id, &name, &Part::Audio(1)),
        String::new(),
        "../../etc/passwd".to_owned(),
        "/".repeat(5_000),
        format!("{}{}", "a/".repeat(1_000), own.file),
    ];
    for file in wrong {
        takes(&mut scene, id, vec![Take { file: file.clone(), ..own.clone() }]);
        assert!(scene.recorded.is_empty(), "{file}");
    }
    for name in [String::new(), "é".repeat(201)] {
        takes(&mut scene, id, vec![Take { id: name, ..own.clone() }]);
        assert!(scene.recorded.is_empty(), "no name of a run");
    }
    for part in ["", "composite", "composite.-1", "composite.99999999999", "\0", "audio.1"] {
        takes(&mut scene, id, vec![Take { part: part.to_owned(), ..own.clone() }]);
        assert!(scene.recorded.is_empty(), "{part}");
    }
    // Nor does a lie about a known run change it.
    takes(&mut scene, id, vec![Take { id: "run-1".to_owned(), file: "x".to_owned(), state: TakeState::Failed, ..own }]);
    assert_eq!(status(&scene, id), Recording);
}

#[test]
fn rc3_absurd_texts_are_cut() {
    let (mut scene, _, _, id) = recorded();
    let failed = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Failed);
    let error_text = format!("\u{1b}[31m{}\0\n{}", "é".repeat(200), "x".repeat(10_000));
    let odd = Take { error: Some(error_text), bytes: Some(u64::MAX), started_at: Some(u64::MAX), ..failed };
    takes(&mut scene, id, vec![Take { ended_at: Some(0), duration_ms: Some(u64::MAX), ..odd }]);
    let shown = error(&scene, id);
    assert_eq!(shown.chars().count(), 300);
    assert!(shown.starts_with("[31mé") && !shown.chars().any(char::is_control));
}

#[test]
fn rc3_what_nobody_knows_is_nothing() {
    let (mut scene, _, _, id) = recorded();
    let nothing = RecordingId(uuid::Uuid::from_u128(9));
    let own = take(&scene, id, "run-1", &Part::Composite(0), TakeState::Failed);
    takes(&mut scene, nothing, vec![own]);
    assert!(scene.recorded.is_empty());
    missing(&mut scene, nothing, &[]);
    missing(&mut scene, id, &["run-9"]);
    unreachable(&mut scene, RoomId::Breakout(uuid::Uuid::from_u128(4)));
    assert!(scene.recorded.is_empty());
    assert_eq!(status(&scene, id), Recording);
}

#[test]
fn rc6_what_the_recorder_does_not_know_any_more_is_lost() {
    for all in [false, true] {
        let (mut scene, _, _, id) = recorded();
        seen_in(&mut scene, id, 0, "run-2", TakeState::Complete);
        missing(&mut scene, id, if all { &[] } else { &["run-1", "run-2"] });
        assert_eq!(told(&scene, id), [Completed], "there is a file");
        let lost = &live(&scene, id).takes["run-1"];
        assert_eq!((lost.state, lost.ended_at), (TakeState::Failed, Some(scene.now)));
        assert_eq!(live(&scene, id).takes["run-2"].state, TakeState::Complete, "what is over stays so");
        let (mut scene, _, _, id) = recorded();
        missing(&mut scene, id, if all { &[] } else { &["run-1"] });
        assert_eq!(told(&scene, id), [Failed]);
        assert_eq!(error(&scene, id), "the recorder does not know it any more");
    }
    let (mut scene, _, _, id) = recorded();
    missing(&mut scene, id, &["run-9"]);
    assert_eq!(status(&scene, id), Recording, "of others nothing is said");
}

#[test]
fn rc6_nothing_is_known_of_what_was_just_asked_for() {
    let (mut scene, ann, _) = pair();
    let id = starts(&mut scene, &ann, StartRecording::default());
    missing(&mut scene, id, &[]);
    assert_eq!(status(&scene, id), Pending, "it has its 60 s");
}
