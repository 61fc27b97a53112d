//! RO5 to RO8: who runs the meeting while its host is away.

use crate::common::*;
use convoke_domain::shapes::{Role, SettingsPatch};
use convoke_domain::*;

fn hosts(scene: &Scene) -> Vec<ParticipantId> {
    let is_host = |id: &&ParticipantId| scene.state.member(**id).is_some_and(|m| m.participant.role == Role::Host);
    scene.state.inside.iter().filter(is_host).copied().collect()
}

#[test]
fn ro5_a_cohost_stands_in_before_anybody_else() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.now += 1_000;
    let coco = scene.enters("Coco", Role::Cohost);
    scene.does(&ann, leave());
    assert_eq!(
        scene.kinds(),
        ["session.closed", "participant.left", "participant.role_changed", "meeting.host_changed"]
    );
    assert_eq!(hosts(&scene), [scene.id(&coco)]);
}

#[test]
fn ro5_else_the_connected_participant_who_is_there_longest() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Vic", Role::Viewer);
    scene.enters("Agent", Role::Agent);
    let away = scene.enters("Away", Role::Participant);
    scene.now += 1_000;
    let bob = scene.enters("Bob", Role::Participant);
    scene.now += 1_000;
    scene.enters("Cid", Role::Participant);
    scene.lost(&away);
    scene.does(&ann, leave());
    assert_eq!(hosts(&scene), [scene.id(&bob)]);
}

#[test]
fn ro5_a_viewer_or_service_never_stands_in() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let vic = scene.enters("Vic", Role::Viewer);
    scene.enters("Agent", Role::Agent);
    scene.does(&ann, leave());
    assert!(hosts(&scene).is_empty());
    // The first who can, does: by being given the role, or by coming in.
    let vics = scene.id(&vic);
    scene.operator(role(vics, Role::Participant)).expect("promoted");
    assert_eq!(hosts(&scene), [vics]);
}

#[test]
fn ro5_the_first_who_comes_stands_in_where_nobody_could() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.does(&ann, leave());
    let bob = scene.enters("Bob", Role::Participant);
    assert_eq!(hosts(&scene), [scene.id(&bob)]);
    scene.enters("Cid", Role::Participant);
    assert_eq!(hosts(&scene), [scene.id(&bob)]);
    scene.join(&ann).expect("back");
    assert_eq!(hosts(&scene), [scene.id(&ann)]);
}

#[test]
fn ro5_removal_grace_and_sending_back_are_goings_too() {
    for way in 0..3 {
        let mut scene = Scene::new();
        let ann = scene.enters("Ann", Role::Host);
        let bob = scene.enters("Bob", Role::Participant);
        let anns = scene.id(&ann);
        match way {
            0 => drop(scene.operator(remove(anns)).expect("removed")),
            1 => drop(scene.operator(to_lobby(anns)).expect("sent back")),
            _ => {
                scene.lost(&ann);
                assert_eq!(hosts(&scene), [anns], "a host within the grace is host");
                scene.pass(30_000);
            }
        }
        assert_eq!(hosts(&scene), [scene.id(&bob)], "way {way}");
    }
}

#[test]
fn ro5_a_meeting_that_never_had_a_host_gets_none() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    scene.enters("Cid", Role::Participant);
    scene.does(&bob, leave());
    assert!(hosts(&scene).is_empty());
}

#[test]
fn ro5_a_made_host_leaves_the_meeting_to_somebody_too() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    let bobs = scene.id(&bob);
    scene.operator(role(bobs, Role::Host)).expect("made host");
    scene.does(&bob, leave());
    assert_eq!(hosts(&scene), [scene.id(&cid)]);
}

#[test]
fn ro5_two_hosts_one_leaves_nobody_steps_in() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let eve = scene.enters("Eve", Role::Host);
    scene.enters("Coco", Role::Cohost);
    scene.does(&ann, leave());
    assert_eq!(hosts(&scene), [scene.id(&eve)]);
}

/// Case 27: two presenters after a reconnect.
#[test]
fn ro6_a_host_who_returns_is_the_only_one() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.lost(&ann);
    scene.pass(30_000);
    assert_eq!(hosts(&scene), [scene.id(&bob)]);
    scene.join(&ann).expect("back");
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    assert_eq!(hosts(&scene), [anns]);
    assert_eq!(scene.role(&bob), Role::Participant);
    assert!(matches!(&scene.event("meeting.host_changed").event, Event::HostChanged { host, .. } if *host == anns));
    assert_eq!(scene.effects, [Effect::Entered(bobs)]);
}

#[test]
fn ro6_a_cohost_who_stood_in_is_cohost_again() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let coco = scene.enters("Coco", Role::Cohost);
    scene.does(&ann, leave());
    scene.join(&ann).expect("back");
    assert_eq!(scene.role(&coco), Role::Cohost);
}

#[test]
fn ro6_a_reconnect_within_the_grace_changes_nothing() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Bob", Role::Participant);
    scene.lost(&ann);
    scene.pass(29_000);
    scene.join(&ann).expect("back");
    assert_eq!(hosts(&scene), [scene.id(&ann)]);
    assert!(!scene.kinds().contains(&"meeting.host_changed"));
}

#[test]
fn ro6_a_stand_in_who_goes_takes_the_former_role_along() {
    for way in 0..4 {
        let mut scene = Scene::new();
        let ann = scene.enters("Ann", Role::Host);
        let bob = scene.enters("Bob", Role::Participant);
        scene.now += 1_000;
        let cid = scene.enters("Cid", Role::Participant);
        scene.does(&ann, leave());
        let bobs = scene.id(&bob);
        assert_eq!(hosts(&scene), [bobs]);
        match way {
            0 => scene.does(&bob, leave()),
            1 => drop(scene.operator(remove(bobs)).expect("removed")),
            2 => drop(scene.operator(to_lobby(bobs)).expect("sent back")),
            _ => drop(scene.take(Input::Erase(bob.user.clone().expect("a user"))).expect("erased")),
        }
        assert_eq!(scene.state.member(bobs).map(|m| m.participant.role), Some(Role::Participant), "way {way}");
        assert_eq!(hosts(&scene), [scene.id(&cid)], "way {way}");
    }
}

#[test]
fn ro6_a_stand_in_cannot_keep_the_host_out() {
    let mut scene = Scene::with(|s| s.max_participants = 2);
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let anns = scene.id(&ann);
    scene.does(&ann, leave());
    scene.refused(&bob, ban(anns), Code::NotPermitted);
    scene.enters("Cid", Role::Participant);
    let shut =
        SettingsPatch { locked: Some(true), lobby: Some(shapes::LobbyPolicy::Everyone), ..SettingsPatch::default() };
    scene.settings(&bob, shut);
    scene.join(&ann).expect("back, by lock, lobby and a full house");
    assert_eq!(hosts(&scene), [anns]);
}

#[test]
fn ro7_a_host_hands_over_and_goes() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    scene.enters("Coco", Role::Cohost);
    let bob = scene.enters("Bob", Role::Participant);
    let (anns, bobs) = (scene.id(&ann), scene.id(&bob));
    scene.refused(&bob, Command::Leave { all: false, transfer_to: Some(anns) }, Code::NotPermitted);
    scene.refused(&ann, Command::Leave { all: false, transfer_to: Some(anns) }, Code::BadRequest);
    scene.does(&ann, Command::Leave { all: true, transfer_to: Some(bobs) });
    assert_eq!(
        scene.kinds(),
        ["participant.role_changed", "meeting.host_changed", "session.closed", "participant.left"]
    );
    assert_eq!(hosts(&scene), [bobs]);
    scene.join(&ann).expect("back");
    assert_eq!(hosts(&scene).len(), 2, "handed over is handed over, and the meeting's own host is host");
}

#[test]
fn ro7_only_somebody_inside_can_be_handed_to() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let bobs = scene.id(&bob);
    scene.does(&bob, leave());
    scene.refused(&ann, Command::Leave { all: true, transfer_to: Some(bobs) }, Code::NotFound);
    assert!(scene.is_inside(&ann));
}

#[test]
fn ro7_a_stand_ins_heir_stands_in_too() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.now += 1_000;
    let cid = scene.enters("Cid", Role::Participant);
    scene.does(&ann, leave());
    let cids = scene.id(&cid);
    scene.does(&bob, Command::Leave { all: true, transfer_to: Some(cids) });
    assert_eq!(hosts(&scene), [cids]);
    scene.join(&ann).expect("back");
    assert_eq!(hosts(&scene), [scene.id(&ann)]);
    assert_eq!(scene.role(&cid), Role::Participant);
}

#[test]
fn ro8_only_cohosts_stand_in_where_absence_ends_the_meeting() {
    let mut scene = Scene::with(|s| s.host_absent_end_s = Some(600));
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&ann, leave());
    assert!(hosts(&scene).is_empty());
    let coco = scene.enters("Coco", Role::Cohost);
    assert_eq!(hosts(&scene), [scene.id(&coco)]);
    scene.does(&coco, leave());
    assert!(hosts(&scene).is_empty());
    let never = SettingsPatch { host_absent_end_s: Some(None), ..SettingsPatch::default() };
    scene.operator(update(never)).expect("updated");
    assert_eq!(hosts(&scene), [scene.id(&bob)], "now somebody may");
}
