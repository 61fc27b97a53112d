//! CM: a command's number, and its one effect.

use crate::common::*;
use convoke_domain::command::Nothing;
use convoke_domain::event::Cause;
use convoke_domain::shapes::Role;
use convoke_domain::turn::Reply;
use convoke_domain::*;

fn numbered(scene: &mut Scene, device: &Device, id: u64, command: Command) -> Result<Reply, Rejection> {
    scene.take(Input::Command { by: By::Session { session: device.session, id }, command })
}

fn last_id(scene: &Scene, device: &Device) -> u64 {
    scene.state.sessions[&device.session].last_id
}

#[test]
fn cm5_a_backends_request_that_comes_again_has_one_effect() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let request = uuid::Uuid::from_u128(77);
    let once = |title: &str| Input::Once {
        request,
        by: By::Operator,
        command: Command::UpdateMeeting { title: Some(title.to_owned()), settings: None, scheduled_at: None },
    };
    scene.take(once("First")).expect("taken");
    assert_eq!(scene.kinds(), ["meeting.updated"]);
    scene.take(once("Second")).expect("answered as the first time");
    assert!(scene.recorded.is_empty());
    assert_eq!(scene.state.info.title, "First");
    scene.does(&ann, say("sessions count on"));
    let refused = Input::Once { request: uuid::Uuid::from_u128(78), by: By::Operator, command: say("nobody") };
    scene.take(refused.clone()).expect_err("a backend is nobody who chats");
    scene.take(refused).expect_err("what was refused is not taken");
    assert_eq!(scene.state.requests, [request]);
}

#[test]
fn cm1_events_name_their_cause_and_deadlines_name_none() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    assert!(scene.recorded.iter().all(|recorded| recorded.cause.is_none()), "a join is not numbered");
    scene.lost(&bob);
    scene.now += 30_000;
    numbered(&mut scene, &ann, 1, say("hello")).expect("said");
    assert_eq!(scene.kinds(), ["session.closed", "participant.left", "chat.posted"]);
    let causes: Vec<Option<Cause>> = scene.recorded.iter().map(|recorded| recorded.cause).collect();
    assert_eq!(causes, [None, None, Some(Cause { session: ann.session, id: 1 })]);
    scene.operator(Command::LowerHand(all())).expect("lowered");
    scene.operator(Command::EndMeeting(Nothing {})).expect("ended");
    assert_eq!(scene.recorded[0].cause, None, "a backend is not numbered");
}

#[test]
fn cm2_the_numbers_are_in_the_log() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    numbered(&mut scene, &ann, 1, say("hello")).expect("said");
    numbered(&mut scene, &ann, 2, role(bobs, Role::Host)).expect("promoted");
    let seq = scene.log.last().expect("an event").seq;
    assert_eq!(last_id(&scene, &ann), 2);
    assert_eq!(scene.state.sessions[&ann.session].answers[&2], seq, "the last of its events");
}

#[test]
fn cm2_answers_are_kept_for_the_window() {
    let mut scene = Scene::limited(Limits { answers_kept_max: 3, ..Limits::default() }, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    for id in 1..=5 {
        numbered(&mut scene, &ann, id, say("hello")).expect("said");
    }
    let kept: Vec<u64> = scene.state.sessions[&ann.session].answers.keys().copied().collect();
    assert_eq!(kept, [3, 4, 5]);
    let forgotten = numbered(&mut scene, &ann, 1, say("hello")).expect_err("out of the window");
    assert_eq!(forgotten.code, Code::BadRequest, "nobody knows; to send it again might do it twice");
}

#[test]
fn cm3_a_number_has_one_effect() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    for _ in 0..3 {
        numbered(&mut scene, &ann, 1, say("hello")).expect("said");
    }
    assert_eq!(scene.state.messages.len(), 1);
    numbered(&mut scene, &ann, 2, say("hello")).expect("said");
    assert_eq!(scene.state.messages.len(), 2);
}

#[test]
fn cm3_a_refused_number_leaves_no_trace() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    numbered(&mut scene, &ann, 1, say("")).expect_err("refused");
    let rejection = Rejection::new(Code::UnknownType, "no such command");
    assert_eq!(scene.take(Input::Refused { rejection }).expect_err("refused").code, Code::UnknownType);
    assert_eq!(last_id(&scene, &ann), 0);
    numbered(&mut scene, &ann, 1, Command::ListParticipants { cursor: None }).expect("a page");
    assert_eq!(last_id(&scene, &ann), 0, "nor does one that changes nothing");
}

#[test]
fn cm3_a_session_that_is_not_there_has_no_commands() {
    let mut scene = Scene::new();
    let ann = scene.user("Ann", Role::Host);
    assert_eq!(numbered(&mut scene, &ann, 1, say("hello")).expect_err("unknown").code, Code::WrongState);
}

#[test]
fn cm4_a_lost_session_goes_on_counting_and_a_left_one_starts_anew() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    numbered(&mut scene, &bob, 1, say("hello")).expect("said");
    scene.lost(&bob);
    scene.pass(30_000);
    assert!(!scene.state.sessions.contains_key(&bob.session));
    scene.join(&bob).expect("back");
    assert_eq!(last_id(&scene, &bob), 1);
    numbered(&mut scene, &bob, 1, say("hello")).expect("answered as before");
    assert_eq!(scene.state.messages.len(), 1);
    numbered(&mut scene, &bob, 2, leave()).expect("left");
    scene.join(&bob).expect("back");
    assert_eq!(last_id(&scene, &bob), 0);
}

#[test]
fn cm4_another_persons_numbers_are_not_inherited() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    numbered(&mut scene, &bob, 1, say("hello")).expect("said");
    scene.lost(&bob);
    scene.pass(30_000);
    let guest = Device { user: None, ..bob.clone() };
    scene.join(&guest).expect("the id is free");
    assert_eq!(last_id(&scene, &guest), 0);
}

#[test]
fn cm4_numbers_of_lost_sessions_are_kept_within_a_limit() {
    let mut scene = Scene::limited(Limits { closed_sessions_max: 1, ..Limits::default() }, |_| {});
    scene.enters("Ann", Role::Host);
    for name in ["Bob", "Cid"] {
        let device = scene.enters(name, Role::Participant);
        scene.lost(&device);
        scene.pass(30_000);
    }
    assert_eq!(scene.state.closed.len(), 1);
}
