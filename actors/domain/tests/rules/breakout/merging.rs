//! BR14: rooms that become one, with their people and what was said.

use super::*;

fn merge(from: &[RoomId], into: RoomId) -> Command {
    Command::MergeRooms { from: from.to_vec(), into }
}

fn texts(scene: &Scene, device: &Device) -> Vec<String> {
    let messages = scene.state.readable_messages(scene.member(device), 50);
    messages.into_iter().map(|message| message.text.clone()).collect()
}

#[test]
fn br14_people_and_histories_become_one_in_time_order() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    for (device, text) in [(&bob, "one"), (&cid, "two"), (&bob, "three"), (&ann, "main")] {
        scene.now += 5;
        scene.does(device, say(text));
    }
    scene.does(&ann, merge(&[first], second));
    assert_eq!(scene.kinds(), ["breakout.merged", "participants.moved"]);
    assert_eq!((room_of(&scene, &bob), room_of(&scene, &cid)), (second, second));
    assert_eq!(state_of(&scene, first), RoomState::Closed);
    assert_eq!(texts(&scene, &cid), ["one", "two", "three"]);
    let origins: Vec<Option<RoomId>> = scene.state.messages.values().map(|live| live.message.origin).collect();
    assert_eq!(origins, [Some(first), None, Some(first), None]);
    // Into main, a second time: a message keeps the room it was said in.
    scene.does(&ann, merge(&[second], RoomId::Main));
    assert_eq!(texts(&scene, &bob), ["one", "two", "three", "main"]);
    let origins: Vec<Option<RoomId>> = scene.state.messages.values().map(|live| live.message.origin).collect();
    assert_eq!(origins, [Some(first), Some(second), Some(first), None]);
    assert!(scene.state.breakout.is_none(), "no room is left");
    assert_eq!(room_of(&scene, &bob), RoomId::Main);
}

#[test]
fn br14_what_cannot_be_merged_changes_nothing() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    let nowhere = RoomId::Breakout(uuid::Uuid::from_u128(98));
    for (from, into, code) in [
        (vec![], second, Code::BadRequest),
        (vec![first], first, Code::BadRequest),
        (vec![first, second], second, Code::BadRequest),
        (vec![first, first], second, Code::BadRequest),
        (vec![RoomId::Main], first, Code::BadRequest),
        (vec![nowhere], first, Code::NotFound),
        (vec![first], nowhere, Code::NotFound),
    ] {
        scene.refused(&ann, merge(&from, into), code);
    }
    scene.refused(&bob, merge(&[first], second), Code::NotPermitted);
    scene.does(&ann, Command::CloseRooms { room: Some(second), now: false });
    scene.refused(&ann, merge(&[first], second), Code::WrongState);
    scene.does(&ann, merge(&[second], first));
    scene.refused(&ann, merge(&[second], first), Code::WrongState);
    assert_eq!(scene.state.people_in(first).count(), 2, "a closing room can still be merged");
}

#[test]
fn br14_whoever_is_expected_goes_along() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    scene.does(&bob, leave());
    scene.does(&ann, merge(&[first], second));
    scene.join(&bob).expect("back");
    assert_eq!(room_of(&scene, &bob), second, "where the room that was left has gone");

    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&bob, leave());
    scene.does(&ann, open(rooms(&[named("First", &[bobs]), named("Second", &[])])));
    let [first, second] = ids(&scene)[..] else { panic!() };
    scene.does(&ann, merge(&[first], second));
    scene.join(&bob).expect("late");
    assert_eq!(room_of(&scene, &bob), second);
}

#[test]
fn br14_a_merge_keeps_the_deadline_of_the_set() {
    let Two { mut scene, ann, first, second, .. } = Two::with(lasting(100, OpenRooms::default()));
    scene.does(&ann, merge(&[first], second));
    scene.pass(40_000);
    assert_eq!(scene.kinds(), ["breakout.ending_soon"]);
    scene.pass(60_000);
    assert_eq!(state_of(&scene, second), RoomState::Closing);
    assert_eq!(state_of(&scene, first), RoomState::Closed);
}
