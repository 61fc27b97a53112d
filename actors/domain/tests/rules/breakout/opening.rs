//! BR1, BR3, BR4, BR5, BR17, BR18: how rooms are opened, and who is where then.

use super::*;
use convoke_domain::breakout::Layout;
use std::collections::BTreeMap;

#[test]
fn br1_a_set_is_opened_and_told_whole() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::with(lasting(600, OpenRooms::default()));
    let Event::BreakoutOpened { rooms, breakout, ends_at, by } = &scene.event("breakout.opened").event else {
        panic!("not opened")
    };
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["First", "Second"]);
    assert!(rooms.iter().all(|room| room.state == RoomState::Open && room.ends_at == *ends_at));
    assert_eq!((*ends_at, *by), (Some(START + 600_000), Some(scene.id(&ann))));
    assert_eq!((breakout.grace_s, breakout.allow_return), (10, true));
    assert_eq!(breakout.warn_s, [60, 10]);
    let opened = scene.event("breakout.opened").seq;
    assert_eq!(scene.event("participants.moved").seq, opened.next());
    assert_eq!(scene.event("participants.moved").audience, Audience::Everyone);
    assert_eq!(room_of(&scene, &bob), first);
    assert_eq!(room_of(&scene, &ann), RoomId::Main);
    assert_ne!(first, second);
    scene.refused(&ann, open(automatic(1)), Code::WrongState);
    scene.refused(&bob, open(automatic(1)), Code::NotPermitted);
}

#[test]
fn br1_what_is_wrong_with_one_refuses_the_whole() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    let unknown = ParticipantId(uuid::Uuid::from_u128(99));
    let long = "x".repeat(129);
    let whole = |last: PlannedRoom| rooms(&[named("Fine", &[]), last]);
    for (wanted, code) in [
        (rooms(&[]), Code::BadRequest),
        (whole(named(" ", &[])), Code::BadRequest),
        (whole(named(&long, &[])), Code::TooLarge),
        (whole(named("Room", &[unknown])), Code::NotFound),
        (whole(named("Room", &[bobs, bobs])), Code::BadRequest),
        (rooms(&[named("One", &[bobs]), named("Two", &[bobs])]), Code::BadRequest),
        (automatic(101), Code::Capacity),
        (lasting(0, automatic(2)), Code::BadRequest),
        (lasting(u32::MAX, automatic(2)), Code::BadRequest),
        (OpenRooms { grace_s: Some(601), ..automatic(2) }, Code::BadRequest),
        (OpenRooms { warn_s: Some(vec![0]), ..automatic(2) }, Code::BadRequest),
        (OpenRooms { warn_s: Some((1..=11).collect()), ..automatic(2) }, Code::BadRequest),
        (OpenRooms { from: Some(Layout::Plan), ..automatic(2) }, Code::BadRequest),
        (OpenRooms { from: Some(Layout::Plan), ..OpenRooms::default() }, Code::WrongState),
        (OpenRooms { from: Some(Layout::Last), ..OpenRooms::default() }, Code::WrongState),
    ] {
        scene.refused(&ann, open(wanted), code);
    }
    let twice = PlannedRoom { users: vec![UserId("user-Bob".to_owned())], ..named("Two", &[]) };
    scene.refused(&ann, open(rooms(&[named("One", &[bobs]), twice])), Code::BadRequest);
    assert!(scene.state.breakout.is_none());
    assert_eq!(scene.state.rooms.len(), 1);
    scene.does(&ann, open(automatic(100)));
    assert_eq!(ids(&scene).len(), 100, "a hundred is no more than the limit");
    scene.refused(&ann, Command::AddRoom { name: "One more".to_owned() }, Code::Capacity);
}

#[test]
fn br1_only_a_live_meeting_has_breakout_rooms() {
    let mut scene = Scene::new();
    let refusal = scene.operator(open(automatic(2))).expect_err("not started");
    assert_eq!(refusal.code, Code::WrongState);
}

#[test]
fn br3_automatic_assignment_is_even_and_leaves_the_hosts() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let cob = scene.enters("Cob", Role::Cohost);
    let mut agent = scene.user("Agent", Role::Agent);
    agent.user = None;
    scene.join(&agent).expect("an agent");
    for number in 0..23 {
        scene.enters(&format!("P{number}"), Role::Participant);
    }
    scene.does(&ann, open(automatic(5)));
    let mut sizes: BTreeMap<RoomId, usize> = BTreeMap::new();
    for member in scene.state.people() {
        *sizes.entry(member.participant.room).or_default() += 1;
    }
    assert_eq!(sizes.remove(&RoomId::Main), Some(2), "the host and the cohost");
    let mut sizes: Vec<usize> = sizes.into_values().collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [4, 4, 5, 5, 5]);
    assert_eq!((room_of(&scene, &ann), room_of(&scene, &cob)), (RoomId::Main, RoomId::Main));
    assert_eq!(room_of(&scene, &agent), RoomId::Main);
    assert_eq!(scene.kinds(), ["breakout.opened", "participants.moved"], "one move for everybody");
    assert_eq!(entered(&scene).len(), 23);
}

#[test]
fn br3_who_is_listed_counts_in_an_automatic_assignment() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let people: Vec<Device> = (0..4).map(|n| scene.enters(&format!("P{n}"), Role::Participant)).collect();
    let full: Vec<ParticipantId> = people[..2].iter().map(|device| scene.id(device)).collect();
    let wanted = OpenRooms { assign: Some(Assign::Automatic), ..rooms(&[named("A", &full), named("B", &[])]) };
    scene.does(&ann, open(wanted));
    let [first, second] = ids(&scene)[..] else { panic!() };
    assert_eq!(scene.state.people_in(first).collect::<Vec<_>>(), full);
    assert_eq!(scene.state.people_in(second).count(), 2);
}

/// Case 2: a person assigned to a room who never went there was in limbo at close.
#[test]
fn br4_who_is_not_there_is_expected_and_never_in_limbo() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&bob, leave());
    let dan = UserId("user-Dan".to_owned());
    let second = PlannedRoom { users: vec![dan.clone()], ..named("Second", &[]) };
    scene.does(&ann, open(rooms(&[named("First", &[bobs]), second])));
    assert_eq!(scene.kinds(), ["breakout.opened", "breakout.assigned"], "nobody is moved");
    assert_eq!(scene.event("breakout.assigned").audience, Audience::Nobody);
    let [first, second] = ids(&scene)[..] else { panic!() };
    scene.join(&bob).expect("late, and expected");
    assert_eq!(room_of(&scene, &bob), first);
    let dans = scene.enters("Dan", Role::Participant);
    assert_eq!(room_of(&scene, &dans), second);
    let set = scene.state.breakout.as_ref().expect("a set");
    assert!(set.expected.is_empty() && set.expected_users.is_empty(), "nobody is waited for any more");

    scene.does(&ann, CLOSE_NOW);
    scene.does(&bob, leave());
    scene.does(&ann, open(rooms(&[named("Third", &[bobs])])));
    scene.does(&ann, CLOSE_NOW);
    scene.join(&bob).expect("after the close");
    assert_eq!(room_of(&scene, &bob), RoomId::Main);
}

#[test]
fn br4_who_waits_in_the_lobby_is_in_no_room_until_they_are_let_in() {
    let mut scene = Scene::with(|settings| settings.lobby = convoke_domain::shapes::LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Bob");
    let bobs = scene.id(&bob);
    scene.refused(&ann, move_to(&[to(bobs, RoomId::Main)]), Code::WrongState);
    let wanted = OpenRooms { assign: Some(Assign::Automatic), ..rooms(&[named("Room", &[bobs])]) };
    scene.does(&ann, open(wanted));
    let [only] = ids(&scene)[..] else { panic!() };
    assert_eq!(scene.state.people_in(only).count(), 0);
    scene.refused(&ann, move_to(&[to(bobs, only)]), Code::NotFound);
    scene.refused(&bob, go(only), Code::WrongState);
    scene.does(&ann, Command::AdmitGuest(one(bobs)));
    assert_eq!(room_of(&scene, &bob), only, "let in, they come in by their room's door");
    let cid = scene.waits("Cid");
    let cids = scene.id(&cid);
    scene.does(&ann, Command::AdmitGuest(one(cids)));
    assert_eq!(room_of(&scene, &cid), RoomId::Main, "nobody meant them");
}

#[test]
fn br4_the_removed_the_banned_and_services_have_no_room() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let agent = scene.enters("Agent", Role::Agent);
    let (bobs, agents) = (scene.id(&bob), scene.id(&agent));
    scene.does(&ann, ban(bobs));
    for id in [bobs, agents] {
        scene.refused(&ann, open(rooms(&[named("Room", &[id])])), Code::NotFound);
    }
}

/// Case 3: somebody who joined late was shown the full duration.
#[test]
fn br5_late_joiners_come_to_main_and_see_the_absolute_end() {
    let Two { mut scene, bob, cid, first, second, ann, .. } = Two::with(lasting(600, OpenRooms::default()));
    scene.pass(100_000);
    let dan = scene.enters("Dan", Role::Participant);
    assert_eq!(room_of(&scene, &dan), RoomId::Main);
    assert_eq!(scene.state.breakout.as_ref().unwrap().shown.ends_at, Some(START + 600_000));

    scene.does(&bob, leave());
    scene.join(&bob).expect("again");
    assert_eq!(room_of(&scene, &bob), first, "who left comes back to the room");
    scene.lost(&cid);
    scene.pass(30_000);
    scene.join(&cid).expect("after the grace");
    assert_eq!(room_of(&scene, &cid), second, "who was lost comes back to the room");

    let cids = scene.id(&cid);
    scene.does(&ann, to_lobby(cids));
    scene.does(&ann, Command::AdmitGuest(one(cids)));
    assert_eq!(room_of(&scene, &cid), RoomId::Main, "who was sent to the lobby comes to main");
    let bobs = scene.id(&bob);
    scene.does(&ann, remove(bobs));
    scene.join(&bob).expect("waits");
    scene.does(&ann, Command::AdmitGuest(one(bobs)));
    assert_eq!(room_of(&scene, &bob), RoomId::Main, "who was removed comes to main");
}

#[test]
fn br17_rooms_are_added_and_renamed_while_the_set_is_open() {
    let Two { mut scene, ann, bob, first, .. } = Two::with(lasting(600, OpenRooms::default()));
    scene.does(&ann, Command::AddRoom { name: " Third ".to_owned() });
    let Event::BreakoutChanged { rooms, .. } = &scene.event("breakout.changed").event else { panic!() };
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["First", "Second", "Third"]);
    let third = ids(&scene)[2];
    assert_eq!(room(&scene, third).ends_at, Some(START + 600_000));
    let bobs = scene.id(&bob);
    scene.does(&ann, move_to(&[to(bobs, third)]));
    let rename = |room, name: &str| Command::RenameRoom { room, name: name.to_owned() };
    scene.does(&ann, rename(first, "Better"));
    assert_eq!(room(&scene, first).name, "Better");
    scene.does(&ann, rename(first, "Better"));
    assert!(scene.recorded.is_empty(), "the same name changes nothing");
    scene.refused(&ann, rename(RoomId::Main, "Lobby"), Code::BadRequest);
    scene.refused(&ann, rename(RoomId::Breakout(uuid::Uuid::from_u128(5)), "x"), Code::NotFound);
    scene.refused(&ann, rename(first, ""), Code::BadRequest);
    scene.does(&ann, Command::CloseRooms { room: Some(first), now: true });
    scene.refused(&ann, rename(first, "Late"), Code::WrongState);
    scene.does(&ann, CLOSE);
    scene.refused(&ann, Command::AddRoom { name: "Late".to_owned() }, Code::WrongState);
}

/// Case 16: ids were list indexes and got used again.
#[test]
fn br17_ids_are_never_used_again_and_old_rooms_are_forgotten() {
    let limits = Limits { rooms_kept_max: 7, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..6 {
        scene.does(&ann, open(automatic(3)));
        for id in ids(&scene) {
            assert!(seen.insert(id), "an id is used again");
        }
        assert!(scene.state.rooms.len() <= 7);
        assert!(scene.state.rooms.contains_key(&RoomId::Main));
        scene.does(&ann, CLOSE_NOW);
    }
    scene.does(&ann, open(automatic(3)));
    let more = || Command::AddRoom { name: "More".to_owned() };
    for _ in 0..4 {
        scene.does(&ann, more());
    }
    scene.refused(&ann, more(), Code::Capacity);
    // What is merged away is forgotten, too.
    let into = ids(&scene)[0];
    for _ in 0..10 {
        let from = vec![ids(&scene)[1]];
        scene.does(&ann, Command::MergeRooms { from, into });
        scene.does(&ann, more());
        assert!(scene.state.rooms.len() <= 8, "{}", scene.state.rooms.len());
    }
}

#[test]
fn br18_a_plan_is_stored_with_the_meeting_and_opened_later() {
    let mut scene = Scene::new();
    let user = |name: &str| UserId(format!("user-{name}"));
    let first = PlannedRoom { users: vec![user("Bob"), user("Dan")], ..named(" First ", &[]) };
    let plan = OpenRooms { rooms: vec![first, named("Second", &[])], duration_s: Some(300), ..OpenRooms::default() };
    scene.operator(Command::PlanBreakout(plan)).expect("before it starts");
    assert_eq!(scene.event("breakout.planned").audience, Audience::Leads);
    let refusal = scene.operator(Command::PlanBreakout(automatic(101))).expect_err("too many");
    assert_eq!(refusal.code, Code::Capacity);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&ann, open(OpenRooms { from: Some(Layout::Plan), grace_s: Some(0), ..OpenRooms::default() }));
    let [first, _] = ids(&scene)[..] else { panic!() };
    assert_eq!(room(&scene, first).name, "First");
    assert_eq!(room_of(&scene, &bob), first);
    let shown = &scene.state.breakout.as_ref().unwrap().shown;
    assert_eq!((shown.ends_at, shown.grace_s), (Some(START + 300_000), 0));
    let dan = scene.enters("Dan", Role::Participant);
    assert_eq!(room_of(&scene, &dan), first, "planned for, and met only now");
    scene.does(&ann, Command::PlanBreakout(OpenRooms::default()));
    assert!(scene.state.breakout_plan.is_none(), "no rooms take the plan back");
}

#[test]
fn br18_the_last_layout_is_of_the_rooms_that_were_there_last() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, open(automatic(100)));
    let first = ids(&scene)[0];
    scene.does(&ann, Command::CloseRooms { room: Some(first), now: true });
    scene.does(&ann, Command::AddRoom { name: "Late".to_owned() });
    scene.does(&ann, CLOSE_NOW);
    scene.does(&ann, open(OpenRooms { from: Some(Layout::Last), ..OpenRooms::default() }));
    assert_eq!(ids(&scene).len(), 100, "the one that was closed before is not opened again");
}

#[test]
fn br18_a_plan_can_be_opened_though_somebody_of_it_was_erased() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::PlanBreakout(rooms(&[named("Room", &[bobs])])));
    scene.take(Input::Erase(UserId("user-Bob".to_owned()))).expect("erased");
    scene.does(&ann, open(OpenRooms { from: Some(Layout::Plan), ..OpenRooms::default() }));
}

#[test]
fn br18_whoever_is_erased_before_they_came_stands_on_no_list() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let dan = UserId("user-Dan".to_owned());
    let listed = || PlannedRoom { users: vec![dan.clone()], ..named("Room", &[]) };
    scene.does(&ann, Command::PlanBreakout(rooms(&[listed()])));
    scene.does(&ann, open(rooms(&[listed()])));
    scene.take(Input::Erase(dan.clone())).expect("erased");
    assert_eq!(scene.kinds(), ["breakout.planned", "breakout.assigned"]);
    let state = serde_json::to_string(&scene.state).expect("a state");
    assert!(!state.contains("user-Dan"), "{state}");
    let dans = scene.enters("Dan", Role::Participant);
    assert_eq!(room_of(&scene, &dans), RoomId::Main);
}

#[test]
fn br18_the_last_layout_is_used_again() {
    let Two { mut scene, ann, bob, cid, second, .. } = Two::open();
    let bobs = scene.id(&bob);
    scene.does(&ann, move_to(&[to(bobs, second)]));
    scene.does(&ann, CLOSE_NOW);
    scene.does(&cid, leave());
    scene.does(&ann, open(OpenRooms { from: Some(Layout::Last), ..OpenRooms::default() }));
    let [first, again] = ids(&scene)[..] else { panic!() };
    assert_ne!(again, second, "new rooms of the old names");
    assert_eq!((room(&scene, first).name.as_str(), room(&scene, again).name.as_str()), ("First", "Second"));
    assert_eq!(room_of(&scene, &bob), again, "as they were last");
    scene.join(&cid).expect("later");
    assert_eq!(room_of(&scene, &cid), again);
}
