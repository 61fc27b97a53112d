//! HD: raised hands and passing reactions.

use crate::common::*;
use convoke_domain::command::{Nothing, OneOrAll};
use convoke_domain::effect::Signal;
use convoke_domain::shapes::Role;
use convoke_domain::*;

const RAISE: Command = Command::RaiseHand(Nothing {});
const LOWER: Command = Command::LowerHand(OneOrAll { participant: None, all: false });

fn raised(scene: &Scene) -> Vec<ParticipantId> {
    scene.state.hands.iter().map(|hand| hand.participant).collect()
}

#[test]
fn hd1_hands_stand_in_the_order_the_meeting_heard_of_them() {
    let mut scene = Scene::new();
    let devices: Vec<Device> = ["Ann", "Bob", "Cid"].into_iter().map(|n| scene.enters(n, Role::Participant)).collect();
    for index in [2, 0, 1] {
        scene.does(&devices[index], RAISE);
    }
    let order: Vec<ParticipantId> = [2, 0, 1].into_iter().map(|index| scene.id(&devices[index])).collect();
    assert_eq!(raised(&scene), order);
    scene.now += 1_000;
    scene.does(&devices[2], RAISE);
    assert!(scene.recorded.is_empty());
    assert_eq!(raised(&scene), order, "raising again keeps the place");
    assert_eq!(scene.member(&devices[2]).participant.hand_at, Some(START));
    let vic = scene.enters("Vic", Role::Viewer);
    scene.does(&vic, RAISE);
}

/// Case 28: a hand was dropped when one of two devices left, or lost by a reconnect.
#[test]
fn hd2_a_hand_outlives_a_device_and_a_reconnect() {
    let mut scene = Scene::new();
    scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    scene.join(&bob.other(1)).expect("a second device");
    scene.does(&bob, RAISE);
    let bobs = scene.id(&bob);
    scene.does(&bob, leave());
    assert_eq!(raised(&scene), [bobs], "one of two devices left");
    scene.join(&bob).expect("again");
    scene.lost(&bob.other(1));
    scene.pass(30_000);
    assert_eq!(raised(&scene), [bobs], "one of two devices was lost for good");
    scene.lost(&bob);
    scene.pass(29_000);
    scene.join(&bob).expect("back");
    assert_eq!(raised(&scene), [bobs], "a reconnect");
    assert!(scene.member(&bob).participant.hand_at.is_some());
}

#[test]
fn hd3_one_lowers_ones_own_and_leads_all() {
    let mut scene = Scene::new();
    let ann = scene.enters("Ann", Role::Host);
    let bob = scene.enters("Bob", Role::Participant);
    let cid = scene.enters("Cid", Role::Participant);
    for device in [&ann, &bob, &cid] {
        scene.does(device, RAISE);
    }
    let (bobs, cids) = (scene.id(&bob), scene.id(&cid));
    scene.refused(&bob, Command::LowerHand(one(cids)), Code::NotPermitted);
    scene.refused(&bob, Command::LowerHand(all()), Code::NotPermitted);
    scene.does(&bob, LOWER);
    assert_eq!(scene.recorded[0].audience, Audience::Room(RoomId::Main));
    scene.does(&bob, LOWER);
    assert!(scene.recorded.is_empty());
    scene.does(&ann, Command::LowerHand(one(cids)));
    assert!(!raised(&scene).contains(&cids));
    scene.does(&bob, RAISE);
    scene.does(&bob, Command::LowerHand(one(bobs)));
    scene.does(&bob, RAISE);
    scene.does(&ann, Command::LowerHand(all()));
    assert!(raised(&scene).is_empty());
    assert_eq!(scene.kinds(), ["hands.lowered"]);
    scene.does(&bob, RAISE);
    scene.operator(Command::LowerHand(all())).expect("lowered");
    assert!(raised(&scene).is_empty());
}

#[test]
fn hd4_a_hand_goes_with_its_owner_and_does_not_come_back() {
    for way in 0..3 {
        let mut scene = Scene::new();
        let ann = scene.enters("Ann", Role::Host);
        let bob = scene.enters("Bob", Role::Participant);
        scene.does(&bob, RAISE);
        let bobs = scene.id(&bob);
        match way {
            0 => scene.does(&bob, leave()),
            1 => scene.does(&ann, remove(bobs)),
            _ => {
                scene.lost(&bob);
                scene.pass(30_000);
            }
        }
        assert!(raised(&scene).is_empty());
        scene.join(&bob).expect("back");
        if scene.is_waiting(&bob) {
            scene.does(&ann, Command::AdmitGuest(one(bobs)));
        }
        assert!(scene.is_inside(&bob) && raised(&scene).is_empty());
        assert_eq!(scene.member(&bob).participant.hand_at, None);
    }
}

#[test]
fn hd5_a_reaction_is_a_signal() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    scene.does(&bob, Command::React { emoji: "🎉".to_owned() });
    let participant = scene.id(&bob);
    let signal = Signal::ReactionShown { participant, emoji: "🎉".to_owned() };
    assert_eq!(scene.effects, [Effect::Signal { room: RoomId::Main, signal }]);
    assert!(scene.recorded.is_empty());
    scene.refused(&bob, Command::React { emoji: "x".repeat(17) }, Code::TooLarge);
}

#[test]
fn md11_how_good_a_connection_is_is_a_signal_to_the_room() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    let quality = shapes::Quality::Poor;
    scene.does(&bob, Command::SetQuality { quality });
    let signal = Signal::QualityShown { participant: scene.id(&bob), quality };
    assert_eq!(scene.effects, [Effect::Signal { room: RoomId::Main, signal }]);
    assert!(scene.recorded.is_empty());
    let rec = scene.enters("Rec", Role::Recorder);
    scene.refused(&rec, Command::SetQuality { quality }, Code::NotPermitted);
    let command = Command::SetQuality { quality };
    let session = bob.session;
    assert!(decide::passing(&scene.state, session, &command, scene.now, &scene.limits).is_some(), "and goes on alone");
}
