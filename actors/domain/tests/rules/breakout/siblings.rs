//! BR15, BR16, BR20: what is said across rooms, and what stays in one.

use super::*;
use convoke_domain::command::Nothing;

const HELP: Command = Command::RequestHelp(Nothing {});

#[test]
fn br15_a_broadcast_reaches_all_rooms_and_those_who_come_later() {
    let Two { mut scene, ann, bob, .. } = Two::open();
    let broadcast = |text: &str| Command::Broadcast { text: text.to_owned() };
    scene.refused(&ann, broadcast(" "), Code::BadRequest);
    scene.refused(&ann, broadcast(&"x".repeat(4_001)), Code::TooLarge);
    scene.refused(&bob, broadcast("mine"), Code::NotPermitted);
    scene.does(&ann, broadcast("five minutes"));
    assert_eq!(scene.event("breakout.broadcast").audience, Audience::Everyone);
    scene.operator(broadcast("from the backend")).expect("the backend");
    let dan = scene.enters("Dan", Role::Participant);
    for device in [&dan, &bob] {
        let messages = scene.state.readable_messages(scene.member(device), 50);
        let told: Vec<(&str, Option<ParticipantId>)> = messages.iter().map(|m| (m.text.as_str(), m.from)).collect();
        assert_eq!(told, [("five minutes", Some(scene.id(&ann))), ("from the backend", None)]);
    }
    scene.does(&ann, CLOSE_NOW);
    scene.refused(&ann, broadcast("late"), Code::WrongState);
}

#[test]
fn br16_a_call_for_help_reaches_the_hosts_wherever_they_are() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    scene.refused(&ann, HELP, Code::WrongState);
    scene.does(&bob, HELP);
    let asked = scene.event("breakout.help_requested");
    assert_eq!(asked.audience, Audience::Leads);
    assert!(matches!(asked.event, Event::BreakoutHelpRequested { room, by } if room == first && by.is_some()));
    scene.does(&bob, HELP);
    assert!(scene.recorded.is_empty(), "once");
    let help = |scene: &Scene| scene.state.breakout.as_ref().unwrap().help.len();
    scene.does(&ann, go(first));
    assert_eq!(help(&scene), 0, "a host has come");
    scene.does(&ann, go(RoomId::Main));
    scene.does(&bob, HELP);
    scene.does(&cid, HELP);
    assert_eq!(help(&scene), 2);
    scene.does(&bob, go(RoomId::Main));
    scene.does(&cid, leave());
    assert_eq!(help(&scene), 0, "those who asked have gone");
}

#[test]
fn br20_what_is_said_in_a_room_is_for_those_in_it() {
    let Two { mut scene, ann, bob, cid, first, .. } = Two::open();
    scene.does(&bob, say("between us"));
    let said = scene.message_id();
    assert_eq!(scene.event("chat.posted").audience, Audience::Room(first));
    let read = |scene: &Scene, device: &Device| scene.state.readable_messages(scene.member(device), 50).len();
    assert_eq!((read(&scene, &bob), read(&scene, &cid), read(&scene, &ann)), (1, 0, 0));
    scene.refused(&cid, Command::DeleteMessage { message: said }, Code::NotFound);
    scene.refused(&cid, Command::ReactToMessage { message: said, emoji: "👍".to_owned(), on: true }, Code::NotFound);
    scene.does(&ann, CLOSE_NOW);
    assert_eq!(read(&scene, &bob), 0, "the main room's view is the main room's");
    scene.does(&bob, Command::DeleteMessage { message: said });

    let Two { mut scene, ann, bob, .. } = Two::open();
    scene.does(&bob, say("between us"));
    let said = scene.message_id();
    scene.does(&ann, Command::DeleteMessage { message: said });
}

/// Case 5: after a moderator was demoted, closed rooms still showed as open.
#[test]
fn br20_rooms_are_told_to_everybody() {
    let Two { mut scene, ann, bob, .. } = Two::open();
    let bobs = scene.id(&bob);
    scene.does(&ann, role(bobs, Role::Cohost));
    scene.does(&ann, role(bobs, Role::Participant));
    scene.does(&ann, CLOSE_NOW);
    assert_eq!(scene.event("breakout.closed").audience, Audience::Everyone);
}
