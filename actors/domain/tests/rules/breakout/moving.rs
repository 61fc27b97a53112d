//! BR2, BR6, BR7, BR8, BR9: who goes where, and what goes along.

use super::*;
use convoke_domain::command::{Nothing, OneOrAll};
use convoke_domain::shapes::{SettingsPatch, Source};

const RAISE: Command = Command::RaiseHand(Nothing {});

#[test]
fn br6_any_set_of_people_is_moved_in_one_event() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let (anns, bobs, cids) = (scene.id(&ann), scene.id(&bob), scene.id(&cid));
    scene.does(&ann, move_to(&[to(bobs, second), to(cids, RoomId::Main), to(anns, RoomId::Main)]));
    let Event::ParticipantsMoved { moves, by } = &scene.event("participants.moved").event else { panic!() };
    assert_eq!(*by, Some(anns));
    let told: Vec<_> = moves.iter().map(|m| (m.participant, m.from, m.to)).collect();
    assert_eq!(told, [(bobs, first, second), (cids, second, RoomId::Main)], "who stays is not told of");
    assert_eq!(entered(&scene), [bobs, cids]);
    scene.does(&ann, move_to(&[to(bobs, second)]));
    assert!(scene.recorded.is_empty(), "there already");
}

#[test]
fn br6_all_or_nobody() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let (bobs, cids) = (scene.id(&bob), scene.id(&cid));
    let nobody = ParticipantId(uuid::Uuid::from_u128(99));
    let nowhere = RoomId::Breakout(uuid::Uuid::from_u128(98));
    scene.does(&ann, Command::CloseRooms { room: Some(second), now: false });
    for (moves, code) in [
        (vec![], Code::BadRequest),
        (vec![to(bobs, RoomId::Main), to(nobody, first)], Code::NotFound),
        (vec![to(bobs, RoomId::Main), to(cids, nowhere)], Code::NotFound),
        (vec![to(bobs, RoomId::Main), to(bobs, first)], Code::BadRequest),
        (vec![to(cids, first), to(bobs, second)], Code::WrongState),
    ] {
        scene.refused(&ann, move_to(&moves), code);
    }
    assert_eq!((room_of(&scene, &bob), room_of(&scene, &cid)), (first, second));
    scene.refused(&bob, move_to(&[to(cids, first)]), Code::NotPermitted);
    scene.does(&ann, CLOSE_NOW);
    scene.refused(&ann, move_to(&[to(cids, RoomId::Main)]), Code::WrongState);
}

/// Case 6: the same person was in one room twice, by a race of two requests.
#[test]
fn br7_joining_twice_is_being_there_once() {
    let Two { mut scene, bob, first, second, .. } =
        Two::with(OpenRooms { assign: Some(Assign::Themselves), ..OpenRooms::default() });
    scene.join(&bob.other(1)).expect("a second device");
    scene.does(&bob, go(second));
    assert_eq!(scene.kinds(), ["participants.moved"]);
    scene.does(&bob.other(1), go(second));
    assert!(scene.recorded.is_empty());
    assert_eq!(scene.state.people_in(second).count(), 2);
    assert_eq!(scene.state.people_in(first).count(), 0);
    scene.does(&bob, go(first));
    scene.does(&bob, go(RoomId::Main));
}

#[test]
fn br7_without_choice_one_only_returns_and_only_if_allowed() {
    let Two { mut scene, bob, cid, second, .. } = Two::open();
    scene.refused(&bob, go(second), Code::NotPermitted);
    scene.does(&bob, go(RoomId::Main));
    scene.refused(&bob, go(second), Code::NotPermitted);
    scene.refused(&cid, go(RoomId::Breakout(uuid::Uuid::from_u128(5))), Code::NotFound);

    let Two { mut scene, ann, bob, first, second, .. } =
        Two::with(OpenRooms { allow_return: Some(false), ..OpenRooms::default() });
    scene.refused(&bob, go(RoomId::Main), Code::NotPermitted);
    assert_eq!(room_of(&scene, &bob), first);
    // Case 8: a moderator who listened in was trapped.
    scene.does(&ann, go(first));
    scene.does(&ann, go(second));
    scene.does(&ann, go(RoomId::Main));
    scene.does(&ann, Command::CloseRooms { room: Some(first), now: false });
    scene.does(&bob, go(RoomId::Main));
    scene.refused(&ann, go(first), Code::WrongState);
}

#[test]
fn br2_services_are_in_a_room_too_and_move_unseen() {
    let Two { mut scene, ann, first, .. } = Two::open();
    let agent = scene.enters("Agent", Role::Agent);
    scene.does(&agent, go(first));
    assert_eq!(scene.event("participants.moved").audience, Audience::Nobody);
    scene.does(&ann, CLOSE_NOW);
    let audiences: Vec<&Audience> = scene
        .recorded
        .iter()
        .filter(|recorded| recorded.event.kind() == "participants.moved")
        .map(|recorded| &recorded.audience)
        .collect();
    assert_eq!(audiences, [&Audience::Everyone, &Audience::Nobody]);
    assert_eq!(room_of(&scene, &agent), RoomId::Main);
}

#[test]
fn br8_a_move_lowers_the_hand_where_it_was_raised() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    let bobs = scene.id(&bob);
    scene.does(&bob, RAISE);
    assert_eq!(scene.event("hand.raised").audience, Audience::Room(first));
    scene.does(&ann, move_to(&[to(bobs, RoomId::Main)]));
    assert_eq!(scene.kinds(), ["hands.lowered", "participants.moved"]);
    assert_eq!(scene.event("hands.lowered").audience, Audience::Room(first), "told to those who saw it");
    assert!(scene.state.hands.is_empty() && scene.member(&bob).participant.hand_at.is_none());
}

/// Case 9: everybody became moderator inside a breakout room.
#[test]
fn br8_nobody_has_other_rights_in_another_room() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    let (bobs, cids) = (scene.id(&bob), scene.id(&cid));
    assert_eq!(scene.role(&bob), Role::Participant);
    for command in
        [CLOSE, move_to(&[to(bobs, RoomId::Main)]), remove(cids), Command::Broadcast { text: "x".to_owned() }]
    {
        scene.refused(&bob, command, Code::NotPermitted);
    }
    // Host rights hold in every room, wherever the host is.
    scene.does(&ann, Command::Mute { whom: one(bobs), source: Source::Audio });
    scene.does(&ann, go(first));
    scene.does(&ann, remove(cids));
    assert!(!scene.is_inside(&cid));
}

/// Case 17: mute crossed rooms, or failed to.
#[test]
fn br9_all_means_the_room_of_whoever_says_it() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    let on = Command::SetMedia { audio: true, video: false, screen: false };
    scene.does(&bob, on.clone());
    scene.does(&cid, on);
    scene.does(&ann, go(first));
    scene.does(&ann, Command::Mute { whom: all(), source: Source::Audio });
    let audio = |scene: &Scene, device: &Device| scene.member(device).participant.media.audio;
    assert_eq!((audio(&scene, &bob), audio(&scene, &cid)), (false, true));
    let cids = scene.id(&cid);
    scene.does(&ann, Command::Mute { whom: one(cids), source: Source::Audio });
    assert!(!audio(&scene, &cid), "by name it reaches any room");
    scene.does(&bob, RAISE);
    scene.does(&cid, RAISE);
    scene.does(&ann, Command::LowerHand(OneOrAll { participant: None, all: true }));
    assert_eq!(scene.state.hands.len(), 1);
    scene.operator(Command::Mute { whom: all(), source: Source::Video }).expect("the backend");
    assert!(matches!(&scene.event("participants.muted").event,
        Event::ParticipantsMuted { participants, .. } if participants.len() == 2));
}

/// Case 10: a lock on microphones set in the main room made unmuting impossible in a breakout room.
#[test]
fn br9_a_lock_of_the_main_room_does_not_silence_the_others() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let people = ["Bob", "Cid", "Dan"].map(|name| scene.enters(name, Role::Participant));
    let [bobs, cids, dans] = [0, 1, 2].map(|number: usize| scene.id(&people[number]));
    let permit = |whom: OneOrAll, allowed| Command::Permit { whom, source: Source::Audio, allowed };
    let on = Command::SetMedia { audio: true, video: false, screen: false };
    scene.settings(&ann, SettingsPatch { allow_unmute: Some(false), ..SettingsPatch::default() });
    scene.does(&ann, permit(all(), false));
    scene.does(&ann, permit(one(dans), false));
    scene.refused(&people[0], on.clone(), Code::NotPermitted);
    scene.does(&ann, open(rooms(&[named("Room", &[bobs, cids, dans])])));
    scene.does(&people[0], on.clone());
    scene.does(&people[1], on.clone());
    scene.refused(&people[2], on.clone(), Code::NotPermitted);
    // Case 7: back in main the lock holds again for what is turned on, and nobody lost their sound.
    scene.does(&ann, CLOSE_NOW);
    assert!(scene.member(&people[0]).participant.media.audio);
    scene.does(&people[0], Command::SetMedia { audio: false, video: false, screen: false });
    scene.refused(&people[0], on, Code::NotPermitted);
}

#[test]
fn br8_what_was_said_to_a_room_ends_with_the_stay_however_it_ends() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    scene.settings(&ann, SettingsPatch { allow_screen_share: Some(false), ..SettingsPatch::default() });
    let share = Command::SetMedia { audio: false, video: false, screen: true };
    scene.does(&ann, go(first));
    scene.does(&ann, Command::Permit { whom: all(), source: Source::Screen, allowed: true });
    scene.does(&bob, share.clone());
    scene.refused(&cid, share.clone(), Code::NotPermitted);
    let bobs = scene.id(&bob);
    scene.does(&ann, remove(bobs));
    scene.join(&bob).expect("waits");
    scene.does(&ann, Command::AdmitGuest(one(bobs)));
    scene.refused(&bob, share, Code::NotPermitted);
}

#[test]
fn br8_several_sessions_of_one_person_move_together() {
    let Two { mut scene, ann, bob, .. } = Two::open();
    scene.join(&bob.other(1)).expect("a second device");
    let bobs = scene.id(&bob);
    scene.does(&ann, move_to(&[to(bobs, RoomId::Main)]));
    assert_eq!(entered(&scene), [bobs], "shown to the person, and so to each device");
    scene.lost(&bob.other(1));
    scene.does(&bob, say("still here"));
}

#[test]
fn br6_the_disconnected_are_moved_like_anybody() {
    let Two { mut scene, ann, bob, second, .. } = Two::open();
    scene.lost(&bob);
    let bobs = scene.id(&bob);
    scene.does(&ann, move_to(&[to(bobs, second)]));
    scene.back(&bob).expect("back");
    assert_eq!(room_of(&scene, &bob), second);
}
