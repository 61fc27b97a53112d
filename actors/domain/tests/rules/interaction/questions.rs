//! QU: questions to whoever leads.

use super::*;
use crate::breakout::{Two, go};
use convoke_domain::command::Nothing;
use convoke_domain::question::QuestionState;
use convoke_domain::shapes::Role;

fn cast() -> (Scene, Device, Device, Device) {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    (scene, ann, bob, cid)
}

fn shown(scene: &Scene, device: &Device) -> Vec<Question> {
    let member = scene.member(device);
    scene.state.questions_in(member.participant.room, member.leads(), 20)
}

#[test]
fn qu1_a_question_has_a_text_and_a_room() {
    let (mut scene, _, bob, _) = cast();
    let vic = scene.enters("Vic", Role::Viewer);
    scene.refused(&bob, ask("  ", false), Code::BadRequest);
    scene.refused(&bob, ask(&"é".repeat(501), false), Code::TooLarge);
    scene.refused(&vic, ask("May I?", false), Code::NotPermitted);
    let id = asks(&mut scene, &bob, &format!(" {} ", "é".repeat(500)), false);
    let question = asked(&scene, "question.asked");
    assert_eq!((question.id, question.by, question.votes), (id, Some(scene.id(&bob)), 0));
    assert_eq!((question.state, question.room), (QuestionState::Open, RoomId::Main));
    assert_eq!(scene.event("question.asked").audience, Audience::Room(RoomId::Main));
}

#[test]
fn qu1_a_room_and_a_person_have_so_many_open_questions() {
    let limits = Limits { questions_open_max: 3, questions_of_one_max: 2, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    let first = asks(&mut scene, &bob, "one", true);
    asks(&mut scene, &bob, "two", false);
    scene.refused(&bob, ask("three", false), Code::Capacity);
    scene.refused(&bob, ask("three", true), Code::Capacity);
    asks(&mut scene, &cid, "three", true);
    scene.refused(&cid, ask("four", true), Code::Capacity);
    scene.does(&ann, Command::DismissQuestion { question: first });
    asks(&mut scene, &bob, "four", true);
}

#[test]
fn qu2_one_vote_a_person_however_many_devices() {
    let (mut scene, _, bob, cid) = cast();
    let other = cid.other(7);
    scene.join(&other).expect("another device");
    let id = asks(&mut scene, &bob, "Why?", false);
    for device in [&cid, &other, &cid] {
        scene.does(device, up(id, true));
    }
    assert!(scene.recorded.is_empty(), "it is set already");
    assert_eq!(scene.state.questions[&id].votes, 1);
    scene.does(&other, up(id, false));
    assert_eq!(scene.state.questions[&id].votes, 0);
    scene.does(&bob, up(id, true));
    scene.refused(&bob, up(QuestionId(uuid::Uuid::from_u128(9)), true), Code::NotFound);
}

#[test]
fn qu2_votes_come_from_the_room_it_was_asked_in() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    let id = asks(&mut scene, &bob, "In here?", false);
    assert_eq!(scene.event("question.asked").audience, Audience::Room(first));
    scene.refused(&cid, up(id, true), Code::NotFound);
    scene.refused(&ann, up(id, true), Code::NotFound);
    scene.does(&ann, go(first));
    scene.does(&ann, up(id, true));
}

#[test]
fn qu3_it_is_answered_or_dismissed_once_by_those_who_lead() {
    let (mut scene, ann, bob, cid) = cast();
    let id = asks(&mut scene, &bob, "Why?", false);
    scene.refused(&cid, answer(id, "Because."), Code::NotPermitted);
    let both = Command::AnswerQuestion { question: id, text: Some("so".to_owned()), live: true };
    let neither = Command::AnswerQuestion { question: id, text: None, live: false };
    scene.refused(&ann, both, Code::BadRequest);
    scene.refused(&ann, neither, Code::BadRequest);
    scene.refused(&ann, answer(id, &"é".repeat(4_001)), Code::TooLarge);
    scene.does(&cid, up(id, true));
    scene.does(&ann, answer(id, "Because."));
    let question = asked(&scene, "question.answered");
    assert_eq!((question.state, question.votes), (QuestionState::Answered, 1));
    assert_eq!((question.answer.as_deref(), question.live), (Some("Because."), false));
    for late in [answer(id, "No."), Command::DismissQuestion { question: id }, up(id, false)] {
        scene.refused(&ann, late, Code::WrongState);
    }
    let live = asks(&mut scene, &bob, "How?", false);
    scene.does(&ann, Command::AnswerQuestion { question: live, text: None, live: true });
    let question = asked(&scene, "question.answered");
    assert_eq!((question.answer, question.live), (None, true));
    let gone = asks(&mut scene, &bob, "Who?", false);
    scene.operator(Command::DismissQuestion { question: gone }).expect("the backend may");
    assert_eq!(asked(&scene, "question.dismissed").state, QuestionState::Dismissed);
    scene.refused(&cid, up(gone, true), Code::WrongState);
}

#[test]
fn qu4_votes_are_told_at_most_twice_a_second_and_exactly_in_the_end() {
    let (mut scene, ann, bob, _) = cast();
    let id = asks(&mut scene, &bob, "Why?", false);
    let many: Vec<Device> = (0..10).map(|n| scene.enters(&format!("P{n}"), Role::Participant)).collect();
    let mut told = Vec::new();
    for device in &many {
        scene.now += 100;
        scene.does(device, up(id, true));
        told.extend(scene.recorded.iter().filter(|r| r.event.kind() == "question.voted").map(|r| r.at));
    }
    assert!(told.len() >= 2 && told.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{told:?}");
    scene.does(&ann, answer(id, "Because."));
    assert_eq!(asked(&scene, "question.answered").votes, 10, "what was not told yet is in it");
    assert_eq!(deadlines::next_at(&scene.state, &scene.limits), None, "nothing is left to tell");
}

#[test]
fn qu4_the_end_of_the_meeting_tells_what_was_not_told() {
    let (mut scene, ann, bob, cid) = cast();
    let id = asks(&mut scene, &bob, "Why?", true);
    scene.does(&bob, up(id, true));
    scene.pass(1);
    scene.does(&cid, up(id, true));
    scene.does(&ann, Command::EndMeeting(Nothing {}));
    assert_eq!(scene.kinds(), ["question.voted", "anonymity.ended", "meeting.ended"]);
    assert_eq!(asked(&scene, "question.voted").votes, 2);
    assert_eq!(scene.state.questions[&id].counted().votes, 2);
}

#[test]
fn qu5_the_order_is_of_votes_then_of_asking() {
    let (mut scene, ann, bob, cid) = cast();
    let ids: Vec<QuestionId> = ["a", "b", "c"].iter().map(|text| asks(&mut scene, &bob, text, false)).collect();
    scene.does(&bob, up(ids[2], true));
    scene.does(&cid, up(ids[2], true));
    scene.does(&cid, up(ids[1], true));
    let order = |scene: &Scene| shown(scene, &ann).iter().map(|q| q.text.clone()).collect::<Vec<_>>();
    assert_eq!(order(&scene), ["c", "b", "a"]);
    scene.does(&bob, up(ids[2], false));
    assert_eq!(order(&scene), ["b", "c", "a"], "as many votes: the earlier first");
}

#[test]
fn qu5_questions_outlive_their_room_and_go_with_a_merge() {
    let Two { mut scene, ann, bob, cid, first, second } = Two::open();
    let bobs = asks(&mut scene, &bob, "first", false);
    let cids = asks(&mut scene, &cid, "second", true);
    scene.does(&ann, Command::MergeRooms { from: vec![first], into: second });
    assert_eq!(scene.state.questions[&bobs].question.room, second);
    assert!(scene.effects.contains(&Effect::Entered(scene.id(&cid))), "who was there is shown what came");
    scene.does(&cid, up(bobs, true));
    scene.does(&ann, crate::breakout::CLOSE_NOW);
    assert_eq!(scene.state.questions_in(RoomId::Main, true, 20).len(), 2, "leads find them in the main room");
    assert_eq!(scene.state.questions_in(RoomId::Main, false, 20), []);
    scene.does(&ann, answer(cids, "from the main room"));
    let anns = scene.id(&ann);
    assert_eq!(scene.event("question.answered").audience, Audience::Only([anns].into()), "those who are shown it");
}

#[test]
fn qu5_a_view_shows_so_many_open_questions_and_those_with_the_most_votes() {
    let limits = Limits { questions_open_max: 300, questions_of_one_max: 300, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let asked: Vec<QuestionId> = (0..250).map(|_| asks(&mut scene, &ann, "Why?", false)).collect();
    scene.does(&ann, up(asked[249], true));
    let shown: Vec<QuestionId> = shown(&scene, &ann).iter().map(|question| question.id).collect();
    assert_eq!(shown.len(), 200);
    assert_eq!((shown[0], shown[1], shown[199]), (asked[249], asked[0], asked[198]));
}

#[test]
fn qu5_the_latest_are_remembered_and_open_ones_always() {
    let limits = Limits { questions_kept_max: 2, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let ann = scene.enters("Ann", Role::Host);
    let open = asks(&mut scene, &ann, "open", false);
    let settled: Vec<QuestionId> = (0..3)
        .map(|_| {
            let id = asks(&mut scene, &ann, "settled", false);
            scene.does(&ann, Command::DismissQuestion { question: id });
            id
        })
        .collect();
    let known: Vec<QuestionId> = scene.state.questions.keys().copied().collect();
    assert_eq!(known, [open, settled[2]]);
}
