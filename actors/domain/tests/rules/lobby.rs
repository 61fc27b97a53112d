//! LB: the lobby, and every door that is not one.

use crate::common::*;
use convoke_domain::command::Nothing;
use convoke_domain::shapes::{Connection, LobbyPolicy, Role, SettingsPatch, Status};
use convoke_domain::turn::Reply;
use convoke_domain::*;

fn admit(id: ParticipantId) -> Command {
    Command::AdmitGuest(one(id))
}

fn with_lobby(policy: LobbyPolicy) -> Scene {
    Scene::with(|settings| settings.lobby = policy)
}

#[test]
fn lb1_the_policy_says_whom_the_lobby_holds() {
    for (policy, holds_guest, holds_user) in
        [(LobbyPolicy::Off, false, false), (LobbyPolicy::Guests, true, false), (LobbyPolicy::Everyone, true, true)]
    {
        let mut scene = with_lobby(policy);
        scene.enters("Ann", Role::Host);
        let (guest, user) = (scene.guest("Gus"), scene.user("Bob", Role::Viewer));
        scene.join(&guest).expect("at the door");
        scene.join(&user).expect("at the door");
        assert_eq!((scene.is_waiting(&guest), scene.is_waiting(&user)), (holds_guest, holds_user), "{policy:?}");
        assert_eq!((scene.is_inside(&guest), scene.is_inside(&user)), (!holds_guest, !holds_user), "{policy:?}");
    }
}

#[test]
fn lb2_leads_and_services_pass_by_their_recorded_role() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    for who in [Role::Host, Role::Cohost, Role::Agent, Role::Recorder] {
        scene.enters(who.as_str(), who);
    }
    // Case 20: no way round by coming back with a better token.
    let bob = scene.waits("Bob");
    let better = Device { role: Role::Cohost, ..bob.other(1) };
    assert!(matches!(scene.join(&better), Ok(Reply::Waiting(_))));
    scene.does(&bob, Command::Leave { all: true, transfer_to: None });
    assert!(matches!(scene.join(&better), Ok(Reply::Waiting(_))));
}

#[test]
fn lb3_whoever_was_admitted_returns_without_waiting() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    let bobs = scene.id(&bob);
    scene.does(&ann, admit(bobs));
    assert_eq!(scene.kinds(), ["lobby.admitted", "participant.joined"]);
    assert_eq!(scene.after, [Effect::Admitted(bobs)]);
    scene.lost(&bob);
    scene.pass(30_000);
    assert!(!scene.is_inside(&bob));
    assert_eq!(scene.join(&bob), Ok(Reply::Inside(bobs)));
}

#[test]
fn lb4_whoever_was_removed_always_waits() {
    let mut scene = with_lobby(LobbyPolicy::Off);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let coco = scene.enters("Coco", Role::Cohost);
    for device in [&bob, &coco] {
        let id = scene.id(device);
        scene.does(&ann, remove(id));
        assert_eq!(scene.closed(device), Some(CloseCode::Removed));
        assert_eq!(scene.join(device), Ok(Reply::Waiting(id)));
        assert_eq!(scene.join(&device.other(1)), Ok(Reply::Waiting(id)), "nor by another session");
        scene.does(device, Command::Leave { all: true, transfer_to: None });
        scene.join(&device.other(1)).ok();
        assert_eq!(scene.join(device), Ok(Reply::Waiting(id)), "nor by leaving first");
        scene.does(&ann, admit(id));
        assert!(scene.is_inside(device));
        scene.does(device, Command::Leave { all: true, transfer_to: None });
        assert_eq!(scene.join(device), Ok(Reply::Inside(id)), "an admission is one");
    }
}

#[test]
fn lb4_a_host_who_comes_does_not_let_in_the_removed() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, remove(bobs));
    scene.does(&ann, leave());
    assert_eq!(scene.join(&bob), Ok(Reply::Waiting(bobs)));
    scene.join(&ann).expect("back");
    assert!(scene.is_waiting(&bob));
}

#[test]
fn lb5_people_wait_for_a_host_where_the_setting_says_so() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    let bob = scene.waits("Bob");
    scene.enters("Rec", Role::Recorder);
    assert!(scene.is_waiting(&bob), "a service is no host");
    scene.enters("Coco", Role::Cohost);
    assert!(scene.is_inside(&bob), "a cohost is one for this");
    scene.enters("Cid", Role::Participant);
}

/// Case 19: everybody who came early was let in when the moderator logged in.
#[test]
fn lb6_a_hosts_arrival_lets_in_only_those_the_lobby_would() {
    let mut scene = Scene::with(|s| {
        s.join_before_host = false;
        s.lobby = LobbyPolicy::Guests;
    });
    let bob = scene.waits("Bob");
    let guest = scene.guest("Gus");
    assert!(matches!(scene.join(&guest), Ok(Reply::Waiting(_))));
    let ann = scene.enters("Ann", Role::Host);
    assert_eq!(
        scene.kinds(),
        ["session.opened", "meeting.started", "participant.joined", "lobby.admitted", "participant.joined"]
    );
    assert!(scene.is_inside(&bob));
    assert!(scene.is_waiting(&guest), "the lobby still holds the guest");
    let id = scene.id(&guest);
    scene.does(&ann, admit(id));
    assert!(scene.is_inside(&guest));
}

#[test]
fn lb6_a_lobby_raised_meanwhile_holds_them() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    let bob = scene.waits("Bob");
    let raise = SettingsPatch { lobby: Some(LobbyPolicy::Everyone), ..SettingsPatch::default() };
    scene.operator(update(raise)).expect("updated");
    scene.enters("Ann", Role::Host);
    assert!(scene.is_waiting(&bob));
}

#[test]
fn lb6_the_seats_and_the_lock_hold_too() {
    let mut scene = Scene::with(|s| {
        s.join_before_host = false;
        s.max_participants = 2;
    });
    let bob = scene.waits("Bob");
    scene.now += 1;
    let cid = scene.waits("Cid");
    let ann = scene.enters("Ann", Role::Host);
    assert!(scene.is_inside(&bob) && scene.is_waiting(&cid), "one seat was left, for who waited longer");
    let cids = scene.id(&cid);
    scene.refused(&ann, admit(cids), Code::Capacity);

    let mut scene = Scene::with(|s| s.join_before_host = false);
    let bob = scene.waits("Bob");
    let lock = SettingsPatch { locked: Some(true), ..SettingsPatch::default() };
    scene.operator(update(lock)).expect("locked");
    let ann = scene.enters("Ann", Role::Host);
    assert!(scene.is_waiting(&bob), "a locked meeting lets nobody in by itself");
    let bobs = scene.id(&bob);
    scene.does(&ann, admit(bobs));
    assert!(scene.is_inside(&bob));
}

#[test]
fn lb6_turning_the_setting_on_or_promoting_somebody_lets_them_in_too() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    let bob = scene.waits("Bob");
    let open = SettingsPatch { join_before_host: Some(true), ..SettingsPatch::default() };
    scene.operator(update(open)).expect("updated");
    assert!(scene.is_inside(&bob));
    assert_eq!(scene.state.info.status, Status::Live);

    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Off);
    let cid = scene.enters("Cid", Role::Participant);
    let close = SettingsPatch { join_before_host: Some(false), ..SettingsPatch::default() };
    scene.operator(update(close)).expect("updated");
    let dan = scene.waits("Dan");
    let cids = scene.id(&cid);
    scene.operator(role(cids, Role::Cohost)).expect("promoted");
    assert!(scene.is_inside(&dan));
}

#[test]
fn lb6_coming_in_with_the_host_is_no_admission() {
    let mut scene = Scene::with(|s| s.join_before_host = false);
    let bob = scene.waits("Bob");
    let ann = scene.enters("Ann", Role::Host);
    assert!(scene.is_inside(&bob));
    scene.settings(&ann, SettingsPatch { lobby: Some(LobbyPolicy::Everyone), ..SettingsPatch::default() });
    scene.does(&bob, leave());
    assert!(matches!(scene.join(&bob), Ok(Reply::Waiting(_))));
}

#[test]
fn mt10_opening_the_lobby_moves_nobody_by_itself() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    scene.settings(&ann, SettingsPatch { lobby: Some(LobbyPolicy::Off), ..SettingsPatch::default() });
    assert!(scene.is_waiting(&bob));
}

#[test]
fn lb7_all_are_admitted_in_order_as_far_as_there_are_seats() {
    let mut scene = Scene::with(|s| {
        s.lobby = LobbyPolicy::Everyone;
        s.max_participants = 3;
    });
    let ann = scene.enters("Ann", Role::Host);
    let waiting: Vec<Device> = ["Bob", "Cid", "Dan"]
        .into_iter()
        .map(|name| {
            scene.now += 1;
            scene.waits(name)
        })
        .collect();
    scene.does(&ann, Command::AdmitGuest(all()));
    let inside: Vec<bool> = waiting.iter().map(|device| scene.is_inside(device)).collect();
    assert_eq!(inside, [true, true, false]);
    scene.refused(&ann, Command::AdmitGuest(all()), Code::Capacity);
}

#[test]
fn lb7_a_lead_who_is_admitted_needs_no_seat_and_takes_one() {
    let mut scene = Scene::with(|s| s.max_participants = 3);
    let ann = scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    let id = scene.id(&coco);
    scene.does(&ann, to_lobby(id));
    scene.settings(&ann, SettingsPatch { lobby: Some(LobbyPolicy::Everyone), ..SettingsPatch::default() });
    let waiting: Vec<Device> = ["Bob", "Cid"]
        .into_iter()
        .map(|name| {
            scene.now += 1;
            scene.waits(name)
        })
        .collect();
    scene.does(&ann, Command::AdmitGuest(all()));
    assert!(scene.is_inside(&coco) && scene.is_inside(&waiting[0]));
    assert!(scene.is_waiting(&waiting[1]), "three seats for three");
    assert_eq!(scene.state.people_inside(), 3);
}

#[test]
fn lb7_a_full_meeting_still_admits_its_recorder() {
    let mut scene = Scene::with(|s| s.max_participants = 1);
    let ann = scene.enters("Ann", Role::Host);
    let recorder = scene.enters("Rec", Role::Recorder);
    let id = scene.id(&recorder);
    scene.operator(remove(id)).expect("removed");
    assert_eq!(scene.join(&recorder), Ok(Reply::Waiting(id)));
    scene.does(&ann, admit(id));
    assert!(scene.is_inside(&recorder));
}

#[test]
fn lb7_one_or_all_and_only_who_waits() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let anns = scene.id(&ann);
    scene.refused(&ann, admit(anns), Code::NotFound);
    let both = command::OneOrAll { participant: Some(anns), all: true };
    scene.refused(&ann, Command::AdmitGuest(both), Code::BadRequest);
    scene.does(&ann, Command::AdmitGuest(all()));
    assert!(scene.recorded.is_empty(), "nobody waits");
    let agent = scene.enters("Agent", Role::Agent);
    scene.refused(&agent, Command::AdmitGuest(all()), Code::NotPermitted);
}

#[test]
fn lb8_the_denied_are_sent_away_and_may_ask_again() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let (bob, cid) = (scene.waits("Bob"), scene.waits("Cid"));
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::DenyGuest(one(bobs)));
    assert_eq!(scene.kinds(), ["lobby.denied"]);
    assert_eq!((scene.closed(&bob), scene.closed(&cid)), (Some(CloseCode::Denied), None));
    assert!(!scene.is_waiting(&bob));
    assert_eq!(scene.join(&bob), Ok(Reply::Waiting(bobs)));
    scene.does(&ann, Command::DenyGuest(all()));
    assert!(scene.state.waiting.is_empty());
}

#[test]
fn lb9_a_message_reaches_those_who_wait_alone() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    scene.does(&ann, Command::MessageLobby { text: "Five minutes".to_owned() });
    let (bobs, anns) = (scene.id(&bob), scene.id(&ann));
    let told = Effect::LobbyMessage { to: vec![bobs], from: Some(anns), text: "Five minutes".to_owned() };
    assert_eq!(scene.effects, [told]);
    assert!(scene.recorded.is_empty());
}

/// Case 22: somebody who closed the tab stayed on the list; or reloaded and became invisible.
#[test]
fn lb10_a_closed_tab_goes_after_the_grace_and_a_reload_keeps_its_place() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    scene.enters("Ann", Role::Host);
    let (bob, cid) = (scene.waits("Bob"), scene.waits("Cid"));
    let since = scene.state.lobby();
    scene.lost(&bob);
    scene.lost(&cid);
    scene.pass(29_000);
    assert_eq!(scene.state.lobby(), since, "visible all the while");
    assert_eq!(scene.join(&cid), Ok(Reply::Waiting(scene.id(&cid))));
    assert_eq!(scene.kinds(), ["session.back"]);
    scene.pass(1_000);
    assert_eq!(scene.kinds(), ["session.closed", "lobby.left"]);
    assert!(!scene.is_waiting(&bob) && scene.is_waiting(&cid));
    assert_eq!(scene.back(&cid), Ok(Reply::Waiting(scene.id(&cid))));
}

/// Case 21: somebody admitted who was slow to connect was purged, and looped.
#[test]
fn lb10_whoever_is_admitted_while_away_has_the_grace_to_appear() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    let bobs = scene.id(&bob);
    scene.lost(&bob);
    scene.does(&ann, admit(bobs));
    assert_eq!(scene.kinds(), ["lobby.admitted", "participant.joined", "participant.disconnected"]);
    assert_eq!(scene.member(&bob).participant.state, Connection::Disconnected);
    scene.pass(29_999);
    assert_eq!(scene.join(&bob), Ok(Reply::Inside(bobs)));
    scene.lost(&bob);
    scene.pass(30_000);
    assert_eq!(scene.join(&bob), Ok(Reply::Inside(bobs)), "purged, and no loop either");
}

#[test]
fn lb11_whoever_waits_may_only_leave() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, say("hello"));
    let message = scene.message_id();
    let bob = scene.waits("Bob");
    let bobs = scene.id(&bob);
    for command in [
        say("let me in"),
        Command::RaiseHand(Nothing {}),
        Command::React { emoji: "👋".to_owned() },
        Command::ListParticipants { cursor: None },
        Command::Rename { participant: bobs, name: "Host".to_owned() },
        Command::SetMedia { audio: true, video: false, screen: false },
        Command::ReactToMessage { message, emoji: "👋".to_owned(), on: true },
        Command::RequestMedia(Nothing {}),
        Command::MeshSignal { to: ann.session, data: command::MeshData("{}".to_owned()) },
    ] {
        scene.refused(&bob, command, Code::WrongState);
    }
    scene.does(&bob, leave());
    assert_eq!(scene.kinds(), ["session.closed", "lobby.left"]);
    assert_eq!(scene.closed(&bob), Some(CloseCode::Left));
}

#[test]
fn lb11_a_removed_host_in_the_lobby_has_no_say() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let eve = scene.enters("Eve", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let (eves, bobs) = (scene.id(&eve), scene.id(&bob));
    scene.does(&ann, remove(eves));
    assert_eq!(scene.join(&eve), Ok(Reply::Waiting(eves)), "whoever was removed waits, a host too");
    let end = || Command::EndMeeting(Nothing {});
    scene.refused(&eve, end(), Code::WrongState);
    assert_eq!(scene.token(&eve, end()).expect_err("nor by REST").code, Code::WrongState);
    scene.refused(&eve, Command::AdmitGuest(all()), Code::WrongState);
    scene.refused(&eve, Command::Leave { all: false, transfer_to: Some(bobs) }, Code::NotPermitted);
    assert_eq!(scene.role(&bob), Role::Participant);
    scene.does(&eve, leave());
    assert_eq!(scene.token(&eve, end()).expect_err("nor when gone").code, Code::WrongState);
}

/// Case 23: those who wait received the meeting's broadcasts.
#[test]
fn lb11_the_lobbys_own_events_are_for_leads() {
    let mut scene = with_lobby(LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    assert_eq!(scene.event("lobby.entered").audience, Audience::Leads);
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::Rename { participant: bobs, name: "Bobby".to_owned() });
    assert_eq!(scene.event("participant.renamed").audience, Audience::Leads, "the others do not know of them");
    scene.does(&ann, remove(bobs));
    assert_eq!(scene.event("participant.removed").audience, Audience::Leads);
    scene.join(&bob).expect("waits");
    scene.does(&bob, leave());
    assert_eq!(scene.event("lobby.left").audience, Audience::Leads);
    scene.does(&ann, ban(bobs));
    assert_eq!(scene.event("participant.removed").audience, Audience::Leads, "nor of who has gone");
}

#[test]
fn lb12_the_lobby_has_its_limit() {
    let mut scene = Scene::limited(Limits { lobby_max: 1, ..Limits::default() }, |s| s.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    scene.waits("Bob");
    let cid = scene.user("Cid", Role::Participant);
    let refusal = scene.join(&cid).expect_err("full");
    assert_eq!((refusal.code, refusal.close), (Code::Capacity, None));
    let cocos = scene.id(&coco);
    scene.refused(&ann, to_lobby(cocos), Code::Capacity);
}

#[test]
fn lb13_being_sent_back_is_leaving_and_waiting() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&bob, Command::RaiseHand(Nothing {}));
    let bobs = scene.id(&bob);
    scene.does(&ann, to_lobby(bobs));
    assert_eq!(scene.kinds(), ["participant.left", "lobby.entered"]);
    let others = Effect::GrantMedia(scene.id(&ann));
    assert_eq!(scene.after, [others, Effect::Waiting(bobs)], "MD9: the room's media begins anew");
    assert_eq!(scene.closed(&bob), None, "the sockets stay open");
    assert!(scene.state.hands.is_empty());
    assert_eq!(scene.join(&bob), Ok(Reply::Waiting(bobs)));
    let anns = scene.id(&ann);
    scene.refused(&ann, to_lobby(anns), Code::Conflict);
    // By the backend, too, it holds.
    scene.does(&ann, admit(bobs));
    scene.operator(to_lobby(bobs)).expect("sent back");
    scene.does(&bob, leave());
    assert_eq!(scene.join(&bob), Ok(Reply::Waiting(bobs)));
}
