//! RO: who may do what, and to whom.

use crate::common::*;
use convoke_domain::command::{MeshData, Nothing};
use convoke_domain::shapes::{Role, SettingsPatch, Source};
use convoke_domain::*;
use uuid::Uuid;

/// The contract's table, written down a second time: command, who has it.
const WHO: &[(&str, &[Role])] = {
    use Role::{Agent, Cohost, Host, Participant, Recorder, Viewer};
    const LEADS: &[Role] = &[Host, Cohost];
    const ANY: &[Role] = &[Host, Cohost, Participant, Viewer, Agent, Recorder];
    const PEOPLE: &[Role] = &[Host, Cohost, Participant, Viewer];
    &[
        ("leave", ANY),
        ("meeting.start", LEADS),
        ("meeting.end", &[Host]),
        ("meeting.update", LEADS),
        ("lobby.admit", LEADS),
        ("lobby.deny", LEADS),
        ("lobby.message", LEADS),
        ("participant.set_role", LEADS),
        ("participant.rename", PEOPLE),
        ("participant.mute", LEADS),
        ("participant.permit", LEADS),
        ("participant.set_media", ANY),
        ("participant.set_quality", PEOPLE),
        ("participant.remove", LEADS),
        ("participant.to_lobby", LEADS),
        ("participants.list", ANY),
        ("hand.raise", PEOPLE),
        ("hand.lower", PEOPLE),
        ("reaction.send", &[Host, Cohost, Participant]),
        ("chat.post", ANY),
        ("chat.edit", ANY),
        ("chat.delete", ANY),
        ("chat.react", PEOPLE),
        ("question.ask", &[Host, Cohost, Participant]),
        ("question.vote", &[Host, Cohost, Participant]),
        ("question.answer", LEADS),
        ("question.dismiss", LEADS),
        ("poll.open", LEADS),
        ("poll.vote", &[Host, Cohost, Participant]),
        ("poll.close", LEADS),
        ("timer.start", LEADS),
        ("timer.stop", LEADS),
        ("spotlight.set", LEADS),
        ("screen.request", &[Host, Cohost, Participant]),
        ("caption.publish", &[Host, Cohost, Participant, Agent, Recorder]),
        ("breakout.plan", LEADS),
        ("breakout.open", LEADS),
        ("breakout.move", LEADS),
        ("breakout.extend", LEADS),
        ("breakout.add", LEADS),
        ("breakout.rename", LEADS),
        ("breakout.broadcast", LEADS),
        ("breakout.merge", LEADS),
        ("breakout.close", LEADS),
        ("breakout.join", ANY),
        ("breakout.help", PEOPLE),
        ("recording.start", LEADS),
        ("recording.stop", LEADS),
        ("recording.consent", PEOPLE),
        ("whiteboard.create", &[Host, Cohost, Participant]),
        ("whiteboard.update", &[Host, Cohost, Participant]),
        ("whiteboard.delete", &[Host, Cohost, Participant]),
        ("whiteboard.open", ANY),
        ("whiteboard.copy", LEADS),
        ("whiteboard.draw", &[Host, Cohost, Participant]),
        ("media.request", ANY),
        ("mesh.signal", ANY),
        ("invitations.create", LEADS),
        ("no.such.thing", &[]),
    ]
};

#[test]
fn ro1_the_table_says_what_the_contract_says() {
    for (action, who) in WHO {
        for asked in [Role::Host, Role::Cohost, Role::Participant, Role::Viewer, Role::Agent, Role::Recorder] {
            assert_eq!(rights::may(asked, action), who.contains(&asked), "{asked:?} {action}");
            assert_eq!(rights::of(asked).contains(action), who.contains(&asked), "{asked:?} {action}");
        }
    }
    assert!(command::COMMAND_TYPES.iter().all(|name| WHO.iter().any(|(action, _)| action == name)));
}

#[test]
fn ro1_the_table_is_asked_for_every_command() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let anns = scene.id(&ann);
    let message = MessageId(Uuid::from_u128(9));
    for command in [
        Command::StartMeeting(Nothing {}),
        Command::EndMeeting(Nothing {}),
        Command::CancelMeeting,
        update(SettingsPatch::default()),
        Command::AdmitGuest(all()),
        Command::DenyGuest(all()),
        Command::MessageLobby { text: "x".to_owned() },
        role(anns, Role::Viewer),
        Command::Mute { whom: all(), source: Source::Audio },
        Command::Permit { whom: all(), source: Source::Audio, allowed: false },
        remove(anns),
        ban(anns),
        to_lobby(anns),
        Command::Invite { invitations: Vec::new() },
    ] {
        scene.refused(&bob, command, Code::NotPermitted);
    }
    let vic = scene.enters("Vic", Role::Viewer);
    scene.refused(&vic, Command::React { emoji: "👋".to_owned() }, Code::NotPermitted);
    let agent = scene.enters("Agent", Role::Agent);
    for command in [
        Command::RaiseHand(Nothing {}),
        Command::LowerHand(command::OneOrAll { participant: None, all: false }),
        Command::React { emoji: "👋".to_owned() },
        Command::ReactToMessage { message, emoji: "👋".to_owned(), on: true },
        Command::Rename { participant: anns, name: "x".to_owned() },
    ] {
        scene.refused(&agent, command, Code::NotPermitted);
    }
    let signal = Command::MeshSignal { to: ann.session, data: MeshData("{}".to_owned()) };
    scene.does(&vic, signal);
}

#[test]
fn ro2_roles_are_given_and_shown_at_once() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    scene.does(&ann, role(bobs, Role::Cohost));
    assert_eq!(scene.kinds(), ["participant.role_changed"]);
    assert_eq!(scene.effects, [Effect::Entered(bobs)], "they are shown what they see now");
    assert!(scene.state.leads.contains(&bobs));
    scene.does(&ann, role(bobs, Role::Cohost));
    assert!(scene.recorded.is_empty());
    scene.does(&ann, role(bobs, Role::Host));
    assert_eq!(scene.kinds(), ["participant.role_changed", "meeting.host_changed"]);
    let by = |recorded: &Recorded| match &recorded.event {
        Event::RoleChanged { by, .. } => *by,
        other => panic!("{other:?}"),
    };
    assert_eq!(by(scene.event("participant.role_changed")), Some(anns));
    scene.operator(role(bobs, Role::Viewer)).expect("demoted");
    assert_eq!(by(scene.event("participant.role_changed")), None, "a backend is nobody");
}

#[test]
fn ro2_a_cohost_gives_up_to_cohost() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    let bob = scene.enters("Bob", Role::Participant);
    let (cocos, bobs) = (scene.id(&coco), scene.id(&bob));
    scene.refused(&coco, role(bobs, Role::Host), Code::NotPermitted);
    scene.refused(&coco, role(cocos, Role::Host), Code::NotPermitted);
    scene.does(&coco, role(bobs, Role::Cohost));
    scene.does(&bob, role(cocos, Role::Participant));
}

#[test]
fn ro2_services_are_neither_made_nor_targets() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let recorder = scene.enters("Rec", Role::Recorder);
    let (anns, services) = (scene.id(&ann), scene.id(&recorder));
    scene.refused(&ann, role(anns, Role::Recorder), Code::BadRequest);
    for command in [
        role(services, Role::Participant),
        to_lobby(services),
        Command::Mute { whom: one(services), source: Source::Audio },
        Command::Rename { participant: services, name: "x".to_owned() },
        Command::PostMessage { to: To::Participant(services), text: "hi".to_owned(), reply_to: None },
    ] {
        scene.refused(&ann, command, Code::NotFound);
    }
}

#[test]
fn ro2_roles_are_for_people_inside() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&bob, leave());
    scene.refused(&ann, role(bobs, Role::Cohost), Code::NotFound);
}

/// Case 25: a moderator kicked the owner.
#[test]
fn ro3_a_cohost_cannot_act_against_a_host() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    let bob = scene.enters("Bob", Role::Participant);
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    scene.does(&ann, role(bobs, Role::Host));
    scene.does(&ann, Command::RaiseHand(Nothing {}));
    scene.does(&bob, Command::RaiseHand(Nothing {}));
    for target in [anns, bobs] {
        for command in [
            remove(target),
            ban(target),
            to_lobby(target),
            role(target, Role::Viewer),
            Command::Mute { whom: one(target), source: Source::Audio },
            Command::Permit { whom: one(target), source: Source::Audio, allowed: false },
            Command::Rename { participant: target, name: "x".to_owned() },
            Command::LowerHand(one(target)),
        ] {
            scene.refused(&coco, command, Code::NotPermitted);
        }
    }
}

#[test]
fn ro3_the_meetings_own_host_is_out_of_reach_for_a_made_one() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    scene.does(&ann, role(bobs, Role::Host));
    for command in [remove(anns), ban(anns), role(anns, Role::Viewer), to_lobby(anns)] {
        scene.refused(&bob, command, Code::NotPermitted);
    }
    scene.does(&ann, role(bobs, Role::Participant));
    scene.operator(remove(anns)).expect("the backend may");
    // Leaving first is no way to be banned by a lesser one, either.
    scene.join(&ann).expect("waits");
    scene.refused(&bob, ban(anns), Code::NotPermitted);
}

#[test]
fn ro3_nobody_bans_a_host_who_has_gone() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    let anns = scene.id(&ann);
    scene.does(&ann, leave());
    assert_eq!(scene.role(&coco), Role::Host, "stands in");
    scene.refused(&coco, ban(anns), Code::NotPermitted);
}

#[test]
fn ro4_the_last_host_is_not_demoted() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let anns = scene.id(&ann);
    scene.refused(&ann, role(anns, Role::Participant), Code::Conflict);
    scene.enters("Eve", Role::Host);
    scene.does(&ann, role(anns, Role::Participant));
    scene.does(&ann, leave());
    scene.join(&ann).expect("back");
    assert_eq!(scene.role(&ann), Role::Participant, "who stepped down is not host again by returning");
}
