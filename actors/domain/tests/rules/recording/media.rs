//! MD9, MD10, RC4: a room's media begun anew, and what is seen of what people publish.

use super::*;
use RecordingStatus::*;

#[test]
fn md9_whoever_is_shut_out_is_left_with_credentials_for_nothing() {
    for is_banned in [true, false] {
        let Two { mut scene, ann, bob, cid, first, second } = Two::open();
        let dan = scene.enters("Dan", Role::Participant);
        scene.does(&ann, crate::breakout::move_to(&[to(scene.id(&dan), first)]));
        let bobs = scene.id(&bob);
        scene.does(&ann, if is_banned { ban(bobs) } else { to_lobby(bobs) });
        assert_eq!([RoomId::Main, first, second].map(|room| scene.state.generation(room)), [0, 1, 0]);
        let granted = granted(&scene);
        assert!(granted.contains(&scene.id(&dan)), "whoever is there goes along");
        assert!(!granted.contains(&scene.id(&cid)) && !granted.contains(&scene.id(&ann)), "others have no need to");
        scene.does(&ann, ban(scene.id(&dan)));
        assert_eq!(scene.state.generation(first), 2);
    }
}

#[test]
fn md9_only_somebody_inside_who_is_kept_out_makes_it_begin_anew() {
    let mut scene = Scene::with(|settings| settings.lobby = shapes::LobbyPolicy::Guests);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, remove(bobs));
    assert!(granted(&scene).is_empty(), "whoever is removed may come again");
    scene.does(&ann, ban(bobs));
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("waits");
    scene.does(&ann, ban(scene.id(&guest)));
    scene.does(&cid, leave());
    assert_eq!(scene.state.generation(RoomId::Main), 0, "gone, waiting, or gone by themselves");
    assert!(granted(&scene).is_empty());
}

#[test]
fn md9_without_a_media_server_there_are_no_credentials() {
    let (mut scene, ann, bob) = pair();
    scene.limits.has_media_server = false;
    scene.does(&ann, ban(scene.id(&bob)));
    assert!(granted(&scene).is_empty());
}

/// The old run ends, the new one goes on, the recording is one.
#[test]
fn rc4_a_room_begun_anew_is_one_recording() {
    let (mut scene, ann, bob, id) = recorded();
    let cid = scene.enters("Cid", Role::Participant);
    scene.does(&ann, ban(scene.id(&bob)));
    assert_eq!(live(&scene, id).lapsed_at, Some(scene.now));
    seen(&mut scene, id, TakeState::Ending);
    assert_eq!(status(&scene, id), Recording, "the end of the old run is not the recording's");
    seen_in(&mut scene, id, 1, "run-2", TakeState::Starting);
    seen(&mut scene, id, TakeState::Complete);
    scene.pass(30_000);
    seen_in(&mut scene, id, 1, "run-2", TakeState::Active);
    assert_eq!(live(&scene, id).lapsed_at, None);
    scene.pass(600_000);
    assert_eq!(status(&scene, id), Recording);
    scene.does(&ann, to_lobby(scene.id(&cid)));
    seen_in(&mut scene, id, 2, "run-3", TakeState::Active);
    assert_eq!(status(&scene, id), Recording);
    seen_in(&mut scene, id, 1, "run-2", TakeState::Failed);
    assert_eq!(status(&scene, id), Recording);
    seen_in(&mut scene, id, 2, "run-3", TakeState::Complete);
    assert_eq!(told(&scene, id), [Completed]);
    assert_eq!(live(&scene, id).takes.len(), 3);
    assert_eq!(told_by(&scene.log, id), [Pending, Recording, Completed]);
}

/// Case 54: a light that is on while nothing is recorded.
#[test]
fn rc6_a_room_begun_anew_that_nothing_records_is_not_shown_as_recorded_for_long() {
    for next in [None, Some(TakeState::Starting)] {
        let (mut scene, ann, bob, id) = recorded();
        scene.pass(5_000);
        scene.does(&ann, ban(scene.id(&bob)));
        seen(&mut scene, id, TakeState::Complete);
        if let Some(state) = next {
            seen_in(&mut scene, id, 1, "run-2", state);
        }
        scene.pass(59_999);
        assert_eq!(status(&scene, id), Recording);
        scene.pass(1);
        assert_eq!(told(&scene, id), [Stopping]);
        seen_in(&mut scene, id, 1, "run-2", TakeState::Failed);
        assert_eq!(told(&scene, id), [Completed], "with what there is");
        assert_eq!(error(&scene, id), "the recorder did not begin again in time", "and says why");
    }
}

#[test]
fn rc6_another_room_s_media_is_no_concern() {
    let Two { mut scene, ann, bob, .. } = Two::open();
    let id = starts(&mut scene, &ann, StartRecording::default());
    seen(&mut scene, id, TakeState::Active);
    scene.does(&ann, ban(scene.id(&bob)));
    assert_eq!(live(&scene, id).lapsed_at, None);
}

#[test]
fn rc6_after_the_owner_s_death_a_room_begun_anew_has_its_time_anew() {
    let (mut scene, ann, bob, id) = recorded();
    scene.does(&ann, ban(scene.id(&bob)));
    scene.now += 600_000;
    scene.take(Input::Recovered).expect("recovered");
    scene.pass(59_999);
    assert_eq!(status(&scene, id), Recording);
    seen_in(&mut scene, id, 1, "run-2", TakeState::Active);
    scene.pass(60_000);
    assert_eq!(status(&scene, id), Recording);
}

#[test]
fn rc4_one_that_begins_in_a_later_generation() {
    let (mut scene, ann, bob) = pair();
    scene.does(&ann, ban(scene.id(&bob)));
    let id = starts(&mut scene, &ann, StartRecording::default());
    seen_in(&mut scene, id, 1, "run-1", TakeState::Active);
    assert_eq!(status(&scene, id), Recording);
    seen_in(&mut scene, id, 1, "run-1", TakeState::Complete);
    assert_eq!(status(&scene, id), Completed);
}

#[test]
fn md10_what_is_seen_to_be_published_is_a_fact() {
    let (mut scene, _, bob) = pair();
    let bobs = scene.id(&bob);
    publishing(&mut scene, &bob, ALL);
    assert_eq!(media(&scene, &bob), ALL);
    assert_eq!(shown_media(&scene), [(RoomId::Main, bobs, ALL)]);
    publishing(&mut scene, &bob, ALL);
    assert!(scene.recorded.is_empty() && scene.effects.is_empty(), "no news");
    publishing(&mut scene, &bob, SILENT);
    assert_eq!(media(&scene, &bob), SILENT);
}

#[test]
fn md10_as_far_as_they_may_publish_it() {
    let (mut scene, ann, bob) = pair_with(|settings| settings.allow_screen_share = false);
    let vic = scene.enters("Vic", Role::Viewer);
    publishing(&mut scene, &bob, ALL);
    assert_eq!(media(&scene, &bob), Media { screen: false, ..ALL });
    publishing(&mut scene, &vic, ALL);
    assert!(scene.recorded.is_empty(), "a viewer publishes nothing");
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::Permit { whom: one(bobs), source: Source::Video, allowed: false });
    publishing(&mut scene, &bob, ALL);
    assert_eq!(media(&scene, &bob), TALKS);
    publishing(&mut scene, &ann, ALL);
    assert_eq!(media(&scene, &ann), ALL, "a lead publishes all");
}

#[test]
fn md10_of_people_inside() {
    let mut scene = Scene::with(|settings| settings.lobby = shapes::LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    publishing(&mut scene, &bob, ALL);
    assert!(scene.recorded.is_empty(), "whoever waits publishes nothing");
    let participant = ParticipantId(uuid::Uuid::from_u128(9));
    scene.take(Input::Seen(Observation::Publishing { participant, media: ALL })).expect("nobody");
    assert!(scene.recorded.is_empty());
    scene.does(&ann, END);
    publishing(&mut scene, &ann, ALL);
    assert!(scene.recorded.is_empty(), "nor does anybody when it is over");
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let rec = scene.enters("Rec", Role::Agent);
    publishing(&mut scene, &rec, TALKS);
    assert!(shown_media(&scene).is_empty(), "services are hidden");
}

/// It was muted, and the server says late that it was on before.
#[test]
fn md10_whatever_order_it_is_said_in() {
    let (mut scene, ann, bob) = pair();
    let bobs = scene.id(&bob);
    publishing(&mut scene, &bob, TALKS);
    scene.does(&ann, Command::Mute { whom: one(bobs), source: Source::Audio });
    publishing(&mut scene, &bob, SILENT);
    assert_eq!(media(&scene, &bob), SILENT);
    publishing(&mut scene, &bob, TALKS);
    publishing(&mut scene, &bob, SILENT);
    assert_eq!(media(&scene, &bob), SILENT, "the last word holds");
}
