//! LG: the log, what it folds to, and what is taken out of it. That it has no gap, folds to the
//! state and holds nothing of a refused input is checked by the scene with every input.

use crate::common::*;
use convoke_domain::command::{Join, Nothing};
use convoke_domain::shapes::{LobbyPolicy, Role};
use convoke_domain::turn::begin;
use convoke_domain::*;

fn folded(log: &[Recorded], limits: &Limits) -> Meeting {
    let mut state = apply::create(&log[0]).expect("a meeting");
    for recorded in &log[1..] {
        apply::apply(&mut state, recorded, limits);
    }
    state
}

/// The log as it is after the overwriting that its last event asks for.
fn overwritten(log: &[Recorded], change: impl Fn(&mut Event) -> bool) -> Vec<Recorded> {
    let mut log = log.to_vec();
    for recorded in &mut log {
        change(&mut recorded.event);
    }
    log
}

#[test]
fn lg2_a_snapshot_and_the_log_after_it_give_the_state() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Guests);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("waits");
    scene.does(&bob, say("hello"));
    let message = scene.message_id();
    scene.does(&ann, Command::ReactToMessage { message, emoji: "👍".to_owned(), on: true });
    scene.lost(&bob);
    let text = serde_json::to_string(&scene.state).expect("a snapshot");
    let mut state: Meeting = serde_json::from_str(&text).expect("a snapshot is read");
    assert_eq!(state, scene.state);
    let from = scene.log.len();
    scene.does(&ann, Command::AdmitGuest(all()));
    scene.pass(60_000);
    for recorded in &scene.log[from..] {
        apply::apply(&mut state, recorded, &scene.limits);
    }
    assert_eq!(state, scene.state);
}

#[test]
fn lg2_a_log_begins_with_a_meeting() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    assert!(apply::create(&scene.log[1]).is_none());
    assert!(scene.log.iter().all(|recorded| {
        let value = serde_json::to_value(recorded).expect("an event");
        value["type"] == recorded.event.kind()
    }));
}

#[test]
fn lg4_audiences() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    assert_eq!(scene.event("session.opened").audience, Audience::Nobody);
    assert_eq!(scene.event("meeting.started").audience, Audience::Everyone);
    assert_eq!(scene.event("participant.joined").audience, Audience::Everyone);
    let recorder = scene.enters("Rec", Role::Recorder);
    assert_eq!(scene.event("participant.joined").audience, Audience::Nobody, "services are hidden");
    scene.lost(&recorder);
    assert_eq!(scene.event("participant.disconnected").audience, Audience::Nobody);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, remove(bobs));
    assert_eq!(scene.event("participant.removed").audience, Audience::Everyone);
}

#[test]
fn lg6_a_deleted_message_leaves_the_log() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, say("a secret"));
    let id = scene.message_id();
    scene.does(&ann, Command::ReactToMessage { message: id, emoji: "👍".to_owned(), on: true });
    scene.pass(1_000);
    scene.does(&ann, Command::EditMessage { message: id, text: "a secret indeed".to_owned() });
    scene.does(&ann, say("something else"));
    scene.does(&ann, Command::DeleteMessage { message: id });
    let log = overwritten(&scene.log, |event| redact::message(event, id));
    let text = serde_json::to_string(&log).expect("a log");
    assert!(!text.contains("secret") && text.contains("something else"));
    assert_eq!(folded(&log, &scene.limits), scene.state);
    let again = overwritten(&log, |event| redact::message(event, id));
    assert_eq!(again, log, "overwriting twice is overwriting once");
}

#[test]
fn lg6_lg7_an_erased_person_leaves_the_log() {
    let mut scene = Scene::with(|s| s.lobby = LobbyPolicy::Everyone);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.waits("Robert");
    let bobs = scene.id(&bob);
    scene.does(&ann, Command::AdmitGuest(one(bobs)));
    scene.does(&bob, say("my address is"));
    scene.does(&bob, Command::Rename { participant: bobs, name: "Robertson".to_owned() });
    scene.lost(&bob);
    scene.back(&bob).expect("back");
    scene.does(&ann, role(bobs, Role::Cohost));
    scene.take(Input::Erase(bob.user.clone().expect("a user"))).expect("erased");
    assert_eq!(scene.kinds(), ["participant.removed", "participant.erased"]);
    assert_eq!(scene.closed(&bob), Some(CloseCode::Removed));
    let erased = &scene.state.members[&bobs].participant;
    assert_eq!((erased.name.as_str(), erased.user.as_ref()), (redact::ERASED_NAME, None));
    let log = overwritten(&scene.log, |event| redact::person(event, bobs));
    for text in [serde_json::to_string(&log), serde_json::to_string(&scene.state)] {
        let text = text.expect("written down");
        assert!(!text.contains("Robert") && !text.contains("address"), "{text}");
    }
    assert_eq!(folded(&log, &scene.limits), scene.state);
    scene.take(Input::Erase(bob.user.clone().expect("a user"))).expect("erased already");
    assert!(scene.recorded.is_empty());
}

#[test]
fn lg7_whoever_was_erased_comes_again_as_somebody_new() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&ann, ban(bobs));
    scene.take(Input::Erase(bob.user.clone().expect("a user"))).expect("erased");
    assert_eq!(scene.kinds(), ["participant.erased"]);
    scene.join(&bob).expect("somebody new");
    assert_ne!(scene.id(&bob), bobs);
}

/// An erased user's session id may be a guest's identity too: overwriting must not touch theirs.
#[test]
fn lg6_erasing_a_user_keeps_the_guest_who_had_the_same_session() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let guest = scene.guest("Gus");
    scene.join(&guest).expect("in");
    scene.does(&guest, leave());
    let user = Device { user: Some(UserId("u".to_owned())), name: "Uma".to_owned(), ..guest.clone() };
    scene.join(&user).expect("in");
    let (uma, gus) = (scene.id(&user), scene.id(&guest));
    assert_ne!(uma, gus);
    scene.take(Input::Erase(UserId("u".to_owned()))).expect("erased");
    let log = overwritten(&scene.log, |event| redact::person(event, uma));
    assert_eq!(folded(&log, &scene.limits), scene.state);
    assert_eq!(scene.join(&guest), Ok(turn::Reply::Inside(gus)));
}

#[test]
fn lg8_the_same_input_gives_the_same_turn_and_ids_are_ordered() {
    let limits = Limits::default();
    let now = Now { at: START, entropy: 42 };
    let run = || {
        let (mut state, first) = begin(create_with(shapes::Settings::default()), now, &limits).expect("a meeting");
        let mut outputs = vec![Output::Event(first)];
        for number in 1..20 {
            let join = Join { session: session(number), user: None, name: "Gus".to_owned(), role: Role::Participant };
            outputs.extend(execute(&mut state, Input::Join(join), now, &limits).outputs);
        }
        (state, outputs)
    };
    let (state, outputs) = run();
    assert_eq!(run(), (state.clone(), outputs));
    let in_order: Vec<ParticipantId> = (1..20).map(|n| state.guests[&session(n)]).collect();
    assert!(in_order.is_sorted(), "ids follow the order of the log, within a millisecond too");
    assert!(in_order.iter().all(|id| id.0.get_version_num() == 7));
}

#[test]
fn lg3_the_end_is_final() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, Command::EndMeeting(Nothing {}));
    for input in [Input::Recovered, Input::Tick, Input::SessionLost(ann.session)] {
        scene.take(input).expect("nothing to do");
        assert!(scene.recorded.is_empty());
    }
    assert_eq!(scene.back(&ann).expect_err("over").code, Code::WrongState);
}
