//! BR10, BR11, BR12, BR13, BR19: deadlines, warnings, and the way back.

use super::*;
use convoke_domain::shapes::{SettingsPatch, Status};

fn told(scene: &Scene) -> Option<Millis> {
    scene.state.breakout.as_ref().and_then(|set| set.shown.ends_at)
}

#[test]
fn br10_at_the_deadline_rooms_are_closing_and_then_closed() {
    let Two { mut scene, bob, cid, first, second, ann, .. } = Two::with(lasting(100, OpenRooms::default()));
    scene.does(&ann, go(first));
    scene.pass(100_000);
    assert_eq!(scene.kinds(), ["breakout.ending_soon", "breakout.ending_soon", "breakout.changed"]);
    assert_eq!((state_of(&scene, first), state_of(&scene, second)), (RoomState::Closing, RoomState::Closing));
    assert_eq!(room(&scene, first).ends_at, Some(START + 110_000), "when it is closed");
    assert_eq!(room_of(&scene, &bob), first, "still there for the grace period");
    scene.pass(9_999);
    assert!(scene.recorded.is_empty());
    scene.pass(1);
    assert_eq!(scene.kinds(), ["breakout.closed", "participants.moved"]);
    for device in [&ann, &bob, &cid] {
        assert_eq!(room_of(&scene, device), RoomId::Main);
    }
    assert_eq!((state_of(&scene, first), room(&scene, first).ends_at), (RoomState::Closed, None));
    assert!(scene.state.breakout.is_none());
    scene.pass(1_000_000);
    assert!(!scene.kinds().iter().any(|kind| kind.starts_with("breakout")), "each once");
}

#[test]
fn br10_without_grace_rooms_close_at_once() {
    let Two { mut scene, bob, .. } = Two::with(lasting(5, OpenRooms { grace_s: Some(0), ..OpenRooms::default() }));
    scene.pass(5_000);
    assert_eq!(scene.kinds(), ["breakout.closed", "participants.moved"]);
    assert_eq!(room_of(&scene, &bob), RoomId::Main);
}

/// Case 4: the breakout deadline lay behind the end of the meeting itself.
#[test]
fn br10_no_deadline_is_behind_the_meetings_own() {
    let mut scene = Scene::with(|settings| settings.max_duration_s = Some(300));
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, open(lasting(600, automatic(2))));
    assert_eq!(told(&scene), Some(START + 300_000));
    scene.refused(&ann, Command::ExtendBreakout { by_s: Some(60), ends_at: None }, Code::Conflict);
    let duration = |s| SettingsPatch { max_duration_s: Some(Some(s)), ..SettingsPatch::default() };
    scene.settings(&ann, duration(200));
    assert_eq!(scene.kinds(), ["meeting.updated", "breakout.changed"]);
    assert_eq!(told(&scene), Some(START + 200_000));
    scene.settings(&ann, duration(900));
    assert_eq!(scene.kinds(), ["meeting.updated"]);
    scene.does(&ann, Command::ExtendBreakout { by_s: Some(3_600), ends_at: None });
    assert_eq!(told(&scene), Some(START + 900_000), "as far as the meeting goes");
    scene.pass(900_000);
    assert!(scene.kinds().ends_with(&["breakout.changed", "meeting.ended"]), "{:?}", scene.kinds());
}

#[test]
fn br10_a_set_without_a_duration_ends_with_the_meeting_and_warns() {
    let mut scene = Scene::with(|settings| settings.max_duration_s = Some(300));
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, open(automatic(1)));
    assert_eq!(told(&scene), Some(START + 300_000));
    scene.pass(240_000);
    assert_eq!(scene.kinds(), ["breakout.ending_soon"]);
}

/// Case 15: expiry came with no notice at all; extending looked like closing.
#[test]
fn br11_each_warning_once_and_anew_for_a_new_deadline() {
    let Two { mut scene, ann, .. } = Two::with(lasting(100, OpenRooms::default()));
    scene.pass(40_000);
    assert!(matches!(scene.event("breakout.ending_soon").event,
        Event::BreakoutEndingSoon { ends_at, warn_s: 60 } if ends_at == START + 100_000));
    assert_eq!(scene.event("breakout.ending_soon").audience, Audience::Everyone);
    scene.pass(1_000);
    assert!(scene.recorded.is_empty(), "once");
    scene.does(&ann, Command::AddRoom { name: "Third".to_owned() });
    scene.pass(1_000);
    assert!(scene.recorded.is_empty(), "another room is no other deadline");
    scene.does(&ann, Command::ExtendBreakout { by_s: Some(100), ends_at: None });
    assert_eq!(scene.kinds(), ["breakout.changed"]);
    assert!(scene.state.set_rooms().all(|room| room.state == RoomState::Open && room.ends_at == told(&scene)));
    scene.pass(98_000);
    assert_eq!(scene.kinds(), ["breakout.ending_soon"], "the new deadline warns anew");

    let Two { mut scene, .. } = Two::with(lasting(30, OpenRooms::default()));
    scene.pass(19_999);
    assert!(scene.recorded.is_empty(), "a minute before had passed when it began");
    scene.pass(1);
    assert_eq!(scene.kinds(), ["breakout.ending_soon"]);
}

#[test]
fn br12_a_deadline_is_moved_later_or_earlier_and_not_into_the_past() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    let extend = |by_s, ends_at| Command::ExtendBreakout { by_s, ends_at };
    scene.refused(&ann, extend(Some(60), None), Code::WrongState);
    scene.refused(&ann, extend(None, None), Code::BadRequest);
    scene.refused(&ann, extend(Some(1), Some(START + 9)), Code::BadRequest);
    scene.refused(&ann, extend(Some(0), None), Code::BadRequest);
    scene.refused(&ann, extend(None, Some(START)), Code::BadRequest);
    scene.refused(&ann, extend(None, Some(u64::MAX)), Code::BadRequest);
    scene.refused(&bob, extend(Some(60), None), Code::NotPermitted);
    scene.does(&ann, extend(None, Some(START + 200_000)));
    assert_eq!(told(&scene), Some(START + 200_000));
    scene.does(&ann, extend(None, Some(START + 50_000)));
    assert_eq!(room(&scene, first).ends_at, Some(START + 50_000), "earlier");
    scene.does(&ann, extend(None, Some(START + 50_000)));
    assert!(scene.recorded.is_empty());
    scene.does(&ann, CLOSE);
    scene.refused(&ann, extend(Some(60), None), Code::WrongState);
    scene.does(&ann, CLOSE_NOW);
    scene.refused(&ann, extend(Some(60), None), Code::WrongState);
}

/// Cases 12 and 13: people of a deleted room were stranded; ending the rooms ended the meeting.
#[test]
fn br13_one_room_closes_and_the_others_go_on() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let close = |room, now| Command::CloseRooms { room: Some(room), now };
    scene.refused(&ann, close(RoomId::Main, true), Code::BadRequest);
    scene.refused(&ann, close(RoomId::Breakout(uuid::Uuid::from_u128(5)), true), Code::NotFound);
    scene.does(&ann, close(first, false));
    assert_eq!(scene.kinds(), ["breakout.changed"]);
    assert_eq!((state_of(&scene, first), state_of(&scene, second)), (RoomState::Closing, RoomState::Open));
    scene.does(&ann, close(first, false));
    assert!(scene.recorded.is_empty(), "closing already");
    scene.pass(10_000);
    assert_eq!((room_of(&scene, &bob), room_of(&scene, &cid)), (RoomId::Main, second));
    scene.refused(&ann, close(first, true), Code::WrongState);
    assert!(scene.state.breakout.is_some());
    scene.does(&ann, close(second, true));
    assert_eq!(scene.kinds(), ["breakout.closed", "participants.moved"]);
    assert!(scene.state.breakout.is_none(), "with its last room the set is over");
    assert_eq!(scene.state.info.status, Status::Live);
    scene.refused(&ann, CLOSE, Code::WrongState);
}

/// Case 1: the meeting ended, and the rooms lived on.
#[test]
fn br19_with_the_meeting_its_rooms_are_closed() {
    let Two { mut scene, ann, first, second, .. } = Two::with(lasting(600, OpenRooms::default()));
    scene.does(&ann, Command::EndMeeting(command::Nothing {}));
    assert_eq!((state_of(&scene, first), state_of(&scene, second)), (RoomState::Closed, RoomState::Closed));
    assert!(scene.state.breakout.is_none());
    assert_eq!(deadlines::next_at(&scene.state, &scene.limits), None);
}

#[test]
fn br10_deadlines_that_passed_meanwhile_fire_once_in_their_order() {
    let Two { mut scene, bob, .. } = Two::with(lasting(100, OpenRooms::default()));
    scene.now += 1_000_000;
    scene.take(Input::Recovered).expect("taken over");
    scene.take(Input::Tick).expect("time");
    assert_eq!(scene.kinds(), ["breakout.ending_soon", "breakout.ending_soon", "breakout.changed"]);
    scene.pass(10_000);
    assert_eq!(scene.kinds(), ["breakout.closed", "participants.moved"], "with notice, though late");
    assert_eq!(room_of(&scene, &bob), RoomId::Main);
}
