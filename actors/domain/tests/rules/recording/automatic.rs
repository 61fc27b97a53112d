//! RC7: recordings that begin by themselves.

use super::*;
use RecordingStatus::*;

const MAIN: RoomId = RoomId::Main;

fn auto(on: bool) -> SettingsPatch {
    SettingsPatch { auto_record: Some(on), ..SettingsPatch::default() }
}

fn from(people: u32) -> SettingsPatch {
    SettingsPatch { auto_record_min_participants: Some(people), ..SettingsPatch::default() }
}

/// The only recording of the main room that runs.
fn runs(scene: &Scene) -> RecordingId {
    let [id] = running(scene, MAIN)[..] else { panic!("one recording: {:?}", running(scene, MAIN)) };
    id
}

fn fails(scene: &mut Scene) {
    let id = runs(scene);
    seen(scene, id, TakeState::Failed);
    assert_eq!(status(scene, id), Failed);
}

#[test]
fn rc7_the_main_room_is_recorded_from_so_many_people_on() {
    let mut scene = Scene::with(|settings| {
        settings.auto_record = true;
        settings.auto_record_min_participants = 2;
    });
    scene.enters("Rec", Role::Recorder);
    scene.enters("Ann", Role::Host);
    assert!(scene.state.recordings.is_empty(), "a service is not counted");
    let bob = scene.enters("Bob", Role::Participant);
    let id = runs(&scene);
    let begun = &live(&scene, id).recording;
    assert_eq!((begun.automatic, begun.kind, begun.room), (true, RecordingKind::Composite, MAIN));
    assert_eq!(scene.event("recording.changed").cause, None);
    seen(&mut scene, id, TakeState::Active);
    scene.does(&bob, leave());
    scene.pass(600_000);
    assert_eq!(status(&scene, id), Recording, "fewer are enough for it to go on");
    scene.enters("Cid", Role::Participant);
    assert_eq!(runs(&scene), id, "it is recorded already");
}

#[test]
fn rc7_the_number_of_people_has_a_range() {
    let (mut scene, ann, _) = pair();
    for wrong in [0, 10_001] {
        scene.refused(&ann, update(from(wrong)), Code::BadRequest);
        let settings = shapes::Settings { auto_record_min_participants: wrong, ..shapes::Settings::default() };
        let now = Now { at: START, entropy: 1 };
        let refusal = turn::begin(create_with(settings), now, &Limits::default()).expect_err("out of range");
        assert_eq!(refusal.code, Code::BadRequest);
    }
    for right in [1, 10_000] {
        scene.settings(&ann, from(right));
        assert_eq!(scene.state.info.settings.auto_record_min_participants, right);
    }
}

#[test]
fn rc7_turned_on_or_made_to_suit_during_the_meeting() {
    let (mut scene, ann, _) = pair();
    scene.settings(&ann, from(3));
    scene.settings(&ann, auto(true));
    assert!(scene.state.recordings.is_empty());
    scene.settings(&ann, from(2));
    let id = runs(&scene);
    scene.settings(&ann, auto(false));
    assert_eq!(status(&scene, id), Stopping, "taken back: at once");
    scene.settings(&ann, auto(true));
    assert_ne!(runs(&scene), id, "nobody stopped it");
    let by_hand = {
        scene.settings(&ann, auto(false));
        starts(&mut scene, &ann, StartRecording::default())
    };
    scene.settings(&ann, from(3));
    assert_eq!(runs(&scene), by_hand, "what somebody asked for goes on");
}

#[test]
fn rc7_nothing_without_a_recorder_or_a_live_meeting() {
    let mut scene = Scene::with(|settings| settings.auto_record = true);
    scene.limits.has_recorder = false;
    let ann = scene.enters("Ann", Role::Host);
    assert!(scene.state.recordings.is_empty());
    scene.limits.has_recorder = true;
    scene.enters("Bob", Role::Participant);
    let id = runs(&scene);
    scene.does(&ann, END);
    assert_eq!(scene.state.recordings.len(), 1, "nothing begins in a meeting that is over");
    seen(&mut scene, id, TakeState::Failed);
    assert_eq!(scene.state.recordings.len(), 1);
    scene.pass(600_000);
    assert_eq!(scene.state.recordings.len(), 1);
}

#[test]
fn rc7_each_breakout_room_from_its_first_person() {
    let Two { mut scene, ann, bob, cid, first, second } =
        Two::with(OpenRooms { record: Some(true), ..OpenRooms::default() });
    assert_eq!((running(&scene, first).len(), running(&scene, second).len()), (1, 1));
    assert_eq!(running(&scene, MAIN), [], "the main room is another matter");
    scene.does(&ann, Command::AddRoom { name: "Third".to_owned() });
    let third = crate::breakout::ids(&scene)[2];
    assert_eq!(running(&scene, third), []);
    scene.does(&ann, crate::breakout::move_to(&[to(scene.id(&bob), third)]));
    assert_eq!(running(&scene, third).len(), 1);
    let [old] = running(&scene, first)[..] else { panic!("one") };
    scene.pass(30_000);
    assert_eq!(status(&scene, old), Stopping, "nobody is there any more");
    scene.does(&ann, crate::breakout::move_to(&[to(scene.id(&cid), first)]));
    assert_eq!(running(&scene, first).len(), 1, "and recorded again");
    scene.does(&ann, Command::CloseRooms { room: None, now: false });
    let [last] = running(&scene, first)[..] else { panic!("one, as long as people are there") };
    seen(&mut scene, last, TakeState::Complete);
    assert_eq!(running(&scene, first), [], "a room that closes is not recorded anew");
    scene.does(&ann, Command::CloseRooms { room: None, now: true });
    assert!(scene.state.unfinished().all(|live| !live.is_running()));
}

#[test]
fn rc7_breakout_rooms_that_are_not_to_be_recorded_are_not() {
    let Two { mut scene, ann, first, .. } = Two::open();
    scene.settings(&ann, auto(true));
    assert_eq!(running(&scene, first), []);
    runs(&scene);
}

#[test]
fn rc7_one_that_failed_is_tried_again_twice() {
    let (mut scene, ann, _) = pair_with(|settings| settings.auto_record = true);
    let waits = [30_000, 60_000];
    for wait in waits {
        fails(&mut scene);
        assert_eq!(running(&scene, MAIN), [], "not at once");
        assert_eq!(deadlines::next_at(&scene.state, &scene.limits), Some(scene.now + wait));
        scene.enters(&format!("Person {wait}"), Role::Participant);
        assert_eq!(running(&scene, MAIN), [], "nor by somebody's coming");
        scene.pass(wait - 1);
        assert_eq!(running(&scene, MAIN), []);
        scene.pass(1);
        assert_eq!(scene.event("recording.changed").cause, None);
    }
    fails(&mut scene);
    scene.enters("Cid", Role::Participant);
    scene.pass(24 * 3_600_000);
    assert_eq!(running(&scene, MAIN), [], "and then no more");
    let by_hand = starts(&mut scene, &ann, StartRecording::default());
    assert_eq!(runs(&scene), by_hand, "somebody may still ask for one");
}

#[test]
fn rc7_one_that_began_and_failed_has_failed_like_any_other() {
    let (mut scene, ..) = pair_with(|settings| settings.auto_record = true);
    for wait in [30_000, 60_000, 24 * 3_600_000] {
        let id = runs(&scene);
        seen(&mut scene, id, TakeState::Active);
        fails(&mut scene);
        scene.pass(wait);
    }
    assert_eq!(running(&scene, MAIN), []);
    assert_eq!(scene.state.recordings.len(), 3);
}

#[test]
fn rc7_one_that_was_completed_ends_a_row_of_failures() {
    let (mut scene, ..) = pair_with(|settings| settings.auto_record = true);
    for _ in 0..4 {
        for wait in [30_000, 60_000] {
            fails(&mut scene);
            scene.pass(wait);
        }
        let id = runs(&scene);
        seen(&mut scene, id, TakeState::Complete);
        assert_eq!(running(&scene, MAIN), [], "it ended by itself: the next waits");
        scene.pass(30_000);
        assert_ne!(runs(&scene), id);
    }
}

#[test]
fn rc7_an_empty_room_has_no_failures() {
    let (mut scene, ann, bob) = pair_with(|settings| settings.auto_record = true);
    for wait in [30_000, 60_000] {
        fails(&mut scene);
        scene.pass(wait);
    }
    fails(&mut scene);
    scene.does(&ann, leave());
    scene.does(&bob, leave());
    assert!(scene.state.automatic.is_empty());
    scene.join(&bob).expect("back");
    runs(&scene);
}

/// It failed only after the last person had left.
#[test]
fn rc7_nor_has_a_room_that_was_empty_when_it_failed() {
    let (mut scene, ann, bob) = pair_with(|settings| settings.auto_record = true);
    scene.does(&ann, leave());
    scene.does(&bob, leave());
    fails(&mut scene);
    assert!(scene.state.automatic.is_empty());
    scene.join(&bob).expect("back");
    runs(&scene);
}

#[test]
fn rc7_one_that_somebody_stopped_does_not_begin_again() {
    for by_backend in [false, true] {
        let (mut scene, ann, bob) = pair_with(|settings| settings.auto_record = true);
        let id = runs(&scene);
        if by_backend {
            scene.operator(STOP_ALL).expect("stopped");
        } else {
            scene.does(&ann, stop(id));
        }
        assert!(matches!(scene.event("recording.changed").event, Event::RecordingChanged { held: true, .. }));
        seen(&mut scene, id, TakeState::Complete);
        let cid = scene.enters("Cid", Role::Participant);
        scene.settings(&ann, auto(false));
        scene.settings(&ann, auto(true));
        scene.pass(600_000);
        assert_eq!(running(&scene, MAIN), [], "somebody did not want it");
        scene.does(&ann, leave());
        scene.does(&bob, leave());
        assert_eq!(running(&scene, MAIN), [], "as long as anybody of that time is there");
        scene.does(&cid, leave());
        scene.join(&ann).expect("back");
        runs(&scene);
    }
}

#[test]
fn rc7_stopped_when_nobody_was_there_is_nothing_held_against_the_next() {
    let (mut scene, ann, bob) = pair_with(|settings| settings.auto_record = true);
    scene.does(&ann, leave());
    scene.does(&bob, leave());
    scene.operator(STOP_ALL).expect("stopped");
    scene.join(&bob).expect("back");
    runs(&scene);
}

/// What a room was recorded by is one, whoever asked for it.
#[test]
fn rc7_none_begins_beside_one_that_somebody_asked_for() {
    let (mut scene, ann, _) = pair();
    let by_hand = starts(&mut scene, &ann, StartRecording::default());
    scene.settings(&ann, auto(true));
    assert_eq!(runs(&scene), by_hand, "RC1: one of a kind");
    scene.does(&ann, stop(by_hand));
    assert_eq!(running(&scene, MAIN), [], "nor does one begin in its place: somebody stopped it");
    let (mut scene, ann, _) = pair();
    starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    scene.settings(&ann, auto(true));
    assert_eq!(running(&scene, MAIN).len(), 2, "the sound is another kind");
    scene.refused(&ann, record(StartRecording::default()), Code::Conflict);
    let (mut scene, ann, _) = pair();
    let by_hand = starts(&mut scene, &ann, StartRecording::default());
    scene.settings(&ann, auto(true));
    seen(&mut scene, by_hand, TakeState::Failed);
    assert!(live(&scene, runs(&scene)).recording.automatic, "one that failed is followed by the automatic one");
}

#[test]
fn rc7_to_stop_what_the_settings_do_not_ask_for_holds_nothing() {
    let (mut scene, ann, _) = pair();
    let by_hand = starts(&mut scene, &ann, StartRecording::default());
    scene.does(&ann, stop(by_hand));
    scene.settings(&ann, auto(true));
    runs(&scene);
    let (mut scene, ann, _) = pair_with(|settings| settings.auto_record = true);
    let sound = starts(&mut scene, &ann, of_kind(RecordingKind::Audio));
    scene.does(&ann, stop(sound));
    let id = runs(&scene);
    seen(&mut scene, id, TakeState::Complete);
    scene.pass(30_000);
    runs(&scene);
}

#[test]
fn rc7_after_six_hours_another_one_begins() {
    let (mut scene, ..) = pair_with(|settings| settings.auto_record = true);
    let id = runs(&scene);
    seen(&mut scene, id, TakeState::Active);
    scene.pass(6 * 3_600_000);
    assert_eq!(status(&scene, id), Stopping);
    assert_ne!(runs(&scene), id);
}

#[test]
fn rc7_no_more_than_may_be_under_way() {
    let mut scene = Scene::limited(Limits { recordings_at_once_max: 1, ..Limits::default() }, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bobs = scene.enters("Bob", Role::Participant);
    let cids = scene.enters("Cid", Role::Participant);
    let rooms = vec![named("First", &[scene.id(&bobs)]), named("Second", &[scene.id(&cids)])];
    scene.does(&ann, crate::breakout::open(OpenRooms { rooms, record: Some(true), ..OpenRooms::default() }));
    assert_eq!(scene.state.unfinished.len(), 1, "both rooms have people at once, and there is place for one");
    let first = *scene.state.unfinished.first().expect("one");
    seen(&mut scene, first, TakeState::Complete);
    assert_eq!(scene.state.unfinished.len(), 1, "and another when there is place again");
}

#[test]
fn rc7_tried_again_only_while_enough_are_there() {
    let (mut scene, ann, bob) = pair_with(|settings| {
        settings.auto_record = true;
        settings.auto_record_min_participants = 2;
    });
    fails(&mut scene);
    scene.does(&bob, leave());
    scene.pass(30_000);
    assert_eq!(running(&scene, MAIN), []);
    scene.join(&bob).expect("back");
    runs(&scene);
    fails(&mut scene);
    scene.settings(&ann, auto(false));
    scene.pass(600_000);
    assert_eq!(running(&scene, MAIN), []);
}
