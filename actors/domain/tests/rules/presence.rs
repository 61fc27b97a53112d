//! PR: people, their sessions, and the doors they come in by.

use crate::common::*;
use convoke_domain::command::Nothing;
use convoke_domain::event::LeaveReason;
use convoke_domain::shapes::{Connection, LobbyPolicy, Role, SettingsPatch};
use convoke_domain::turn::Reply;
use convoke_domain::*;

fn state_of(scene: &Scene, device: &Device) -> Connection {
    scene.member(device).participant.state
}

#[test]
fn pr1_a_user_is_one_participant_on_all_devices() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    assert_eq!(scene.join(&ann.other(1)), Ok(Reply::Inside(scene.id(&ann))));
    assert_eq!(scene.kinds(), ["session.opened"]);
    assert_eq!(scene.state.people_inside(), 1);
}

#[test]
fn pr1_a_guest_is_their_session() {
    let mut scene = Scene::new();
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("in");
    let id = scene.id(&guest);
    scene.join(&guest.other(1)).expect("somebody else");
    assert_ne!(scene.id(&guest.other(1)), id);
    scene.does(&guest, leave());
    assert_eq!(scene.join(&guest), Ok(Reply::Inside(id)));
}

#[test]
fn pr2_the_record_wins_over_a_later_token() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, role(bobs, Role::Viewer));
    scene.does(&bob, leave());
    let better = Device { role: Role::Host, name: "Robert".to_owned(), ..bob.clone() };
    scene.join(&better).expect("back");
    assert_eq!(scene.role(&bob), Role::Viewer);
    assert_eq!(scene.member(&bob).participant.name, "Bob");
}

#[test]
fn pr2_the_meetings_own_host_is_host_again_unless_demoted() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let eve = scene.enters("Eve", Role::Host);
    let lesser = Device { role: Role::Participant, ..ann.clone() };
    scene.does(&ann, leave());
    scene.join(&lesser).expect("back");
    assert_eq!(scene.role(&ann), Role::Host);
    let eves = scene.id(&eve);
    scene.does(&ann, role(eves, Role::Participant));
    scene.does(&eve, leave());
    scene.join(&eve).expect("back");
    assert_eq!(scene.role(&eve), Role::Participant);
}

#[test]
fn pr3_joining_again_has_one_effect() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let again = scene.join(&ann);
    assert_eq!(again, Ok(Reply::Inside(scene.id(&ann))));
    assert!(scene.recorded.is_empty());
    scene.lost(&ann);
    scene.lost(&ann);
    assert!(scene.recorded.is_empty(), "lost once");
    scene.join(&ann).expect("back");
    assert_eq!(scene.kinds(), ["session.back", "participant.reconnected"]);
    scene.back(&ann).expect("is back");
    assert!(scene.recorded.is_empty());
}

#[test]
fn pr4_a_session_id_in_use_is_not_for_another() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let thief = Device { user: None, ..ann.clone() };
    assert_eq!(scene.join(&thief).expect_err("taken").code, Code::Conflict);
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("in");
    let thief = Device { session: guest.session, ..ann.other(1) };
    assert_eq!(scene.join(&thief).expect_err("taken").code, Code::Conflict);
    assert_eq!(scene.state.session_member(ann.session).expect("still hers").participant.id, scene.id(&ann));
}

#[test]
fn pr5_a_sixth_session_is_refused_while_all_are_connected() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    for number in 1..5 {
        scene.join(&ann.other(number)).expect("five devices");
    }
    let refusal = scene.join(&ann.other(5)).expect_err("one too many");
    assert_eq!((refusal.code, refusal.close), (Code::Capacity, None));
    assert_eq!(scene.join(&ann.other(4)), Ok(Reply::Inside(scene.id(&ann))), "an open one is no new one");
}

#[test]
fn pr5_a_sixth_session_takes_the_place_of_the_longest_lost() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    for number in 1..5 {
        scene.join(&ann.other(number)).expect("five devices");
    }
    scene.lost(&ann.other(3));
    scene.now += 1_000;
    scene.lost(&ann.other(1));
    scene.join(&ann.other(5)).expect("a place is free");
    assert_eq!(scene.kinds(), ["session.closed", "session.opened"]);
    assert_eq!(scene.closed(&ann.other(3)), Some(CloseCode::Replaced));
    assert!(scene.state.sessions.contains_key(&ann.other(1).session));
    assert_eq!(scene.member(&ann).sessions.len(), 5);
    assert_eq!(scene.back(&ann.other(3)).expect_err("over").code, Code::WrongState);
}

#[test]
fn pr6_a_person_is_disconnected_with_their_last_socket() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.join(&ann.other(1)).expect("a second device");
    scene.lost(&ann);
    assert_eq!(scene.kinds(), ["session.lost"]);
    assert_eq!(state_of(&scene, &ann), Connection::Connected);
    scene.lost(&ann.other(1));
    assert_eq!(scene.kinds(), ["session.lost", "participant.disconnected"]);
    scene.join(&ann.other(2)).expect("a third device");
    assert_eq!(scene.kinds(), ["session.opened", "participant.reconnected"]);
    assert_eq!(state_of(&scene, &ann), Connection::Connected);
}

#[test]
fn pr7_whoever_comes_back_within_the_grace_never_left() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let joined_at = scene.member(&ann).participant.joined_at;
    scene.lost(&ann);
    scene.pass(29_999);
    assert_eq!(scene.back(&ann), Ok(Reply::Inside(scene.id(&ann))));
    assert_eq!(scene.kinds(), ["session.back", "participant.reconnected"]);
    scene.pass(100_000);
    assert!(scene.recorded.is_empty());
    assert_eq!(scene.member(&ann).participant.joined_at, joined_at);
}

#[test]
fn pr7_the_last_grace_ends_the_presence() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.join(&ann.other(1)).expect("a second device");
    scene.lost(&ann);
    scene.now += 10_000;
    scene.lost(&ann.other(1));
    scene.pass(20_000);
    assert_eq!(scene.kinds(), ["session.closed"]);
    assert!(scene.is_inside(&ann));
    scene.pass(10_000);
    assert_eq!(scene.kinds(), ["session.closed", "participant.left"]);
    let left = &scene.event("participant.left").event;
    assert!(matches!(left, Event::ParticipantLeft { reason: LeaveReason::Lost, .. }));
    assert_eq!(scene.back(&ann).expect_err("over").code, Code::WrongState);
}

#[test]
fn pr8_leaving_ends_one_session_or_all() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.join(&ann.other(1)).expect("a second device");
    scene.does(&ann, leave());
    assert_eq!(scene.kinds(), ["session.closed"]);
    assert_eq!((scene.closed(&ann), scene.closed(&ann.other(1))), (Some(CloseCode::Left), None));
    assert!(scene.is_inside(&ann));
    scene.join(&ann).expect("again");
    scene.does(&ann, Command::Leave { all: true, transfer_to: None });
    assert_eq!(scene.kinds(), ["session.closed", "session.closed", "participant.left"]);
    assert_eq!((scene.closed(&ann), scene.closed(&ann.other(1))), (Some(CloseCode::Left), Some(CloseCode::Left)));
    assert!(!scene.is_inside(&ann));
}

#[test]
fn pr8_whoever_leaves_a_socketless_device_behind_is_disconnected() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.join(&ann.other(1)).expect("a second device");
    scene.lost(&ann);
    scene.does(&ann.other(1), leave());
    assert_eq!(scene.kinds(), ["session.closed", "participant.disconnected"]);
    assert_eq!(state_of(&scene, &ann), Connection::Disconnected);
}

#[test]
fn pr8_only_a_session_leaves() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    assert_eq!(scene.token(&ann, leave()).expect_err("no session").code, Code::NotPermitted);
    assert_eq!(scene.operator(leave()).expect_err("no session").code, Code::NotPermitted);
}

#[test]
fn pr9_the_same_user_is_the_same_participant_again() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let id = scene.id(&ann);
    scene.does(&ann, leave());
    assert_eq!(scene.join(&ann.other(1)), Ok(Reply::Inside(id)));
}

/// Case 26: a full room refused its own recorder, or the host.
#[test]
fn pr10_a_full_meeting_takes_leads_and_services_and_nobody_else() {
    let mut scene = Scene::with(|s| s.max_participants = 2);
    let bob = scene.enters("Bob", Role::Participant);
    scene.enters("Cid", Role::Viewer);
    let dan = scene.user("Dan", Role::Participant);
    let refusal = scene.join(&dan).expect_err("full");
    assert_eq!((refusal.code, refusal.close), (Code::Capacity, None), "the socket stays open to try again");
    assert!(scene.find(&dan).is_none(), "LG3");
    scene.enters("Rec", Role::Recorder);
    scene.enters("Agent", Role::Agent);
    scene.enters("Ann", Role::Host);
    scene.enters("Coco", Role::Cohost);
    scene.join(&bob.other(1)).expect("a further device takes no seat");
    scene.does(&bob, Command::Leave { all: true, transfer_to: None });
    assert_eq!(scene.join(&dan).expect_err("leads have taken the seats").code, Code::Capacity);
}

#[test]
fn pr10_services_take_no_seat() {
    let mut scene = Scene::with(|s| s.max_participants = 1);
    scene.enters("Rec", Role::Recorder);
    scene.enters("Bob", Role::Participant);
}

#[test]
fn pr11_a_locked_meeting_refuses_newcomers_and_those_who_left() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    scene.does(&cid, leave());
    scene.settings(&ann, SettingsPatch { locked: Some(true), ..SettingsPatch::default() });
    let dan = scene.user("Dan", Role::Participant);
    for device in [&cid, &dan] {
        let refusal = scene.join(device).expect_err("locked");
        assert_eq!((refusal.code, refusal.close), (Code::WrongState, Some(CloseCode::Denied)));
    }
    scene.lost(&bob);
    scene.join(&bob).expect("who is inside, is");
    scene.enters("Coco", Role::Cohost);
    scene.enters("Rec", Role::Recorder);
}

#[test]
fn pr12_a_banned_user_comes_in_by_no_session() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.join(&bob.other(1)).expect("a second device");
    let bobs = scene.id(&bob);
    scene.does(&ann, ban(bobs));
    assert_eq!(scene.closed(&bob), Some(CloseCode::Banned));
    assert_eq!(scene.closed(&bob.other(1)), Some(CloseCode::Banned));
    for device in [bob.clone(), bob.other(1), bob.other(2), Device { role: Role::Host, ..bob.other(3) }] {
        let refusal = scene.join(&device).expect_err("banned");
        assert_eq!((refusal.code, refusal.close), (Code::NotPermitted, Some(CloseCode::Banned)));
    }
    let start = Command::StartMeeting(Nothing {});
    assert_eq!(scene.token(&bob, start).expect_err("banned").code, Code::NotPermitted, "nor by REST");
}

#[test]
fn pr12_a_banned_guest_does_not_come_back_by_the_same_session() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("in");
    let id = scene.id(&guest);
    scene.does(&ann, ban(id));
    let refusal = scene.join(&guest).expect_err("banned");
    assert_eq!((refusal.code, refusal.close), (Code::NotPermitted, Some(CloseCode::Banned)));
}

#[test]
fn pr13_a_meeting_that_is_over_takes_nobody() {
    let mut scene = Scene::new();
    scene.operator(Command::EndMeeting(Nothing {})).expect("ended");
    let ann = scene.user("Ann", Role::Host);
    let refusal = scene.join(&ann).expect_err("over");
    assert_eq!((refusal.code, refusal.close), (Code::WrongState, Some(CloseCode::MeetingEnded)));
}

#[test]
fn pr14_those_gone_longest_are_forgotten_and_the_banned_last() {
    let mut scene = Scene::limited(Limits { gone_max: 2, bans_max: 1, ..Limits::default() }, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bad = scene.enters("Bad", Role::Participant);
    let bads = scene.id(&bad);
    scene.does(&ann, ban(bads));
    let passing: Vec<Device> = ["Bob", "Cid"]
        .into_iter()
        .map(|name| {
            let device = scene.enters(name, Role::Participant);
            scene.does(&device, leave());
            device
        })
        .collect();
    assert!(scene.find(&passing[0]).is_none(), "gone longest");
    assert!(scene.find(&passing[1]).is_some());
    assert!(scene.find(&bad).is_some_and(|member| member.banned));
}

#[test]
fn pr14_nobody_is_forgotten_on_the_way_to_the_lobby() {
    let mut scene = Scene::limited(Limits { gone_max: 1, bans_max: 1, ..Limits::default() }, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bad = scene.enters("Bad", Role::Participant);
    let bob = scene.enters("Bob", Role::Participant);
    let (bads, bobs) = (scene.id(&bad), scene.id(&bob));
    scene.does(&ann, ban(bads));
    scene.does(&ann, to_lobby(bobs));
    assert!(scene.is_waiting(&bob));
}

#[test]
fn names_are_checked_at_the_door() {
    let mut scene = Scene::new();
    for (name, code) in [("  ", Code::BadRequest), ("a\u{0}b", Code::BadRequest)] {
        let device = scene.user(name, Role::Participant);
        assert_eq!(scene.join(&device).expect_err("no name").code, code);
    }
    let long = scene.user(&"ü".repeat(129), Role::Participant);
    assert_eq!(scene.join(&long).expect_err("too long").code, Code::TooLarge);
    let fits = scene.enters(&format!(" {} ", "ü".repeat(128)), Role::Participant);
    assert_eq!(scene.member(&fits).participant.name.chars().count(), 128);
}

/// Case 22, inside the meeting: a reload keeps the place, whatever the lobby says.
#[test]
fn pr3_a_reload_keeps_the_place_inside() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::AdmitGuest(one(bobs)));
    scene.lost(&bob);
    assert_eq!(scene.join(&bob), Ok(Reply::Inside(bobs)));
}
