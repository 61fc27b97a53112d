//! CH: what is said, to whom, and what becomes of it.

use crate::common::*;
use convoke_domain::shapes::{ChatPolicy, Message, Role, SettingsPatch};
use convoke_domain::*;

fn cast() -> (Scene, Device, Device, Device) {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    (scene, ann, bob, cid)
}

fn posts(scene: &mut Scene, device: &Device, to: To, text: &str) -> MessageId {
    scene.does(device, Command::PostMessage { to, text: text.to_owned(), reply_to: None });
    scene.message_id()
}

fn edit(message: MessageId, text: &str) -> Command {
    Command::EditMessage { message, text: text.to_owned() }
}

fn delete(message: MessageId) -> Command {
    Command::DeleteMessage { message }
}

fn react(message: MessageId, emoji: &str, on: bool) -> Command {
    Command::ReactToMessage { message, emoji: emoji.to_owned(), on }
}

fn policy(chat: ChatPolicy) -> SettingsPatch {
    SettingsPatch { chat: Some(chat), ..SettingsPatch::default() }
}

fn message(scene: &Scene, id: MessageId) -> &Message {
    &scene.state.messages[&id].message
}

#[test]
fn ch1_the_policy_binds_posting_editing_and_reacting() {
    let (mut scene, ann, bob, _) = cast();
    let coco = scene.enters("Coco", Role::Cohost);
    let vic = scene.enters("Vic", Role::Viewer);
    posts(&mut scene, &vic, To::Room, "viewers chat by policy");
    let bobs = posts(&mut scene, &bob, To::Room, "hello");
    scene.settings(&ann, policy(ChatPolicy::Hosts));
    for command in [say("again"), edit(bobs, "hello!"), react(bobs, "👍", true)] {
        scene.refused(&bob, command, Code::NotPermitted);
    }
    scene.does(&coco, say("leads may"));
    scene.settings(&ann, policy(ChatPolicy::Off));
    scene.refused(&ann, say("off is off"), Code::NotPermitted);
    scene.does(&bob, delete(bobs));
}

#[test]
fn ch2_texts_have_limits() {
    let (mut scene, _, bob, _) = cast();
    scene.refused(&bob, say(" \n\t "), Code::BadRequest);
    scene.refused(&bob, say(&"é".repeat(4_001)), Code::TooLarge);
    scene.refused(&bob, say("bell\u{7}"), Code::BadRequest);
    scene.does(&bob, say(&format!("  {}\n", "é".repeat(4_000))));
    scene.does(&bob, say("two\nlines"));
}

#[test]
fn ch3_a_private_message_is_between_two() {
    let (mut scene, ann, bob, cid) = cast();
    let (bobs, cids) = (scene.id(&bob), scene.id(&cid));
    let secret = posts(&mut scene, &bob, To::Participant(cids), "psst");
    assert_eq!(scene.event("chat.posted").audience, Audience::Only([bobs, cids].into()));
    let reply = Command::PostMessage { to: To::Room, text: "what?".to_owned(), reply_to: Some(secret) };
    for command in [react(secret, "👀", true), delete(secret), reply] {
        scene.refused(&ann, command, Code::NotFound);
    }
    let readers: Vec<bool> = [&ann, &bob, &cid]
        .into_iter()
        .map(|device| !scene.state.readable_messages(scene.member(device), 50).is_empty())
        .collect();
    assert_eq!(readers, [false, true, true]);
    scene.does(&cid, react(secret, "👍", true));
    let to_self = Command::PostMessage { to: To::Participant(bobs), text: "me".to_owned(), reply_to: None };
    scene.refused(&bob, to_self, Code::BadRequest);
    scene.does(&cid, leave());
    let late = Command::PostMessage { to: To::Participant(cids), text: "still there?".to_owned(), reply_to: None };
    scene.refused(&bob, late, Code::NotFound);
    scene.does(&bob, edit(secret, "pst"));
    assert_eq!(scene.event("chat.edited").audience, Audience::Only([bobs].into()), "LG4");
}

#[test]
fn ch3_the_room_and_everyone_have_their_audiences() {
    let (mut scene, _, bob, _) = cast();
    posts(&mut scene, &bob, To::Room, "room");
    assert_eq!(scene.recorded[0].audience, Audience::Room(RoomId::Main));
    posts(&mut scene, &bob, To::Everyone, "everyone");
    assert_eq!(scene.recorded[0].audience, Audience::Everyone);
}

#[test]
fn ch3_a_reply_names_what_can_be_read() {
    let (mut scene, _, bob, cid) = cast();
    let first = posts(&mut scene, &bob, To::Room, "first");
    let reply = || Command::PostMessage { to: To::Room, text: "second".to_owned(), reply_to: Some(first) };
    scene.does(&cid, reply());
    scene.does(&bob, delete(first));
    scene.refused(&cid, reply(), Code::NotFound);
}

#[test]
fn ch4_one_edits_ones_own() {
    let (mut scene, ann, bob, _) = cast();
    let id = posts(&mut scene, &bob, To::Room, "helo");
    scene.refused(&ann, edit(id, "HELLO"), Code::NotPermitted);
    scene.now += 5;
    scene.does(&bob, edit(id, "hello"));
    assert_eq!((message(&scene, id).text.as_str(), message(&scene, id).edited_at), ("hello", Some(scene.now)));
    assert_eq!(message(&scene, id).at, START);
}

#[test]
fn ch5_authors_and_leads_delete() {
    let (mut scene, ann, bob, cid) = cast();
    let id = posts(&mut scene, &bob, To::Room, "oops");
    scene.does(&cid, react(id, "👍", true));
    scene.refused(&cid, delete(id), Code::NotPermitted);
    scene.does(&ann, delete(id));
    let deleted = message(&scene, id);
    assert!(deleted.deleted && deleted.text.is_empty() && deleted.reactions.is_empty());
    for command in [delete(id), edit(id, "back"), react(id, "👍", true)] {
        scene.refused(&bob, command, Code::NotFound);
    }
    scene.pass(1_000);
    assert!(scene.recorded.is_empty(), "no count of what is gone");
}

#[test]
fn ch6_a_reaction_is_on_or_off() {
    let limits = Limits { reactions_per_message_max: 2, ..Limits::default() };
    let mut scene = Scene::limited(limits, |_| {});
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    let id = posts(&mut scene, &bob, To::Room, "hello");
    scene.does(&cid, react(id, "👍", true));
    assert_eq!(scene.kinds(), ["chat.reaction_set"]);
    assert_eq!(scene.recorded[0].audience, Audience::Nobody);
    scene.now += 1_000;
    scene.does(&cid, react(id, "👍", true));
    assert_eq!(scene.kinds(), ["chat.reacted"], "the count of before, and nothing new");
    scene.does(&cid, react(id, "🎉", false));
    assert!(scene.recorded.is_empty());
    scene.does(&bob, react(id, "🎉", true));
    scene.refused(&bob, react(id, "👀", true), Code::Capacity);
    scene.does(&bob, react(id, "👍", true));
    scene.refused(&bob, react(id, &"x".repeat(17), true), Code::TooLarge);
}

#[test]
fn ch7_counts_are_told_at_most_twice_a_second_and_in_the_end() {
    let (mut scene, ann, bob, cid) = cast();
    let id = posts(&mut scene, &bob, To::Room, "hello");
    let mut told = Vec::new();
    for step in 0..20 {
        let device = [&ann, &bob, &cid][step % 3];
        let on = (step / 3) % 2 == 0;
        scene.does(device, react(id, "👍", on));
        told.extend(scene.recorded.iter().filter(|r| r.event.kind() == "chat.reacted").map(|r| r.at));
        scene.now += 100;
    }
    scene.pass(1_000);
    told.extend(scene.recorded.iter().filter(|r| r.event.kind() == "chat.reacted").map(|r| r.at));
    assert!(told.windows(2).all(|pair| pair[1] - pair[0] >= 500), "{told:?}");
    assert!(told.len() >= 4);
    let counted = message(&scene, id).reactions.get("👍").copied().unwrap_or(0);
    let actual = scene.state.messages[&id].reactors.get("👍").map_or(0, |who| who.len() as u32);
    assert_eq!(counted, actual, "the last count is told");
    assert_eq!(deadlines::next_at(&scene.state, &scene.limits), None);
}

#[test]
fn ch7_the_count_is_for_whom_the_message_is_for() {
    let (mut scene, _, bob, cid) = cast();
    let (bobs, cids) = (scene.id(&bob), scene.id(&cid));
    let id = posts(&mut scene, &bob, To::Participant(cids), "psst");
    scene.does(&cid, react(id, "👍", true));
    scene.pass(1);
    assert_eq!(scene.event("chat.reacted").audience, Audience::Only([bobs, cids].into()));
}

#[test]
fn ch8_old_messages_are_history() {
    let mut scene = Scene::limited(Limits { live_messages_max: 2, ..Limits::default() }, |_| {});
    let bob = scene.enters("Bob", Role::Participant);
    let old = posts(&mut scene, &bob, To::Room, "one");
    scene.does(&bob, react(old, "👍", true));
    posts(&mut scene, &bob, To::Room, "two");
    posts(&mut scene, &bob, To::Room, "three");
    scene.refused(&bob, edit(old, "1"), Code::NotFound);
    assert!(scene.state.counts_due.is_empty());
    scene.pass(1_000);
}
