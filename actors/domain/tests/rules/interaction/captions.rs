//! CP: captions.

use super::*;
use crate::breakout::{Two, move_to, to};
use convoke_domain::caption::PublishCaption;
use convoke_domain::effect::Signal;
use convoke_domain::shapes::Role;

fn caption(scene: &Scene, speaker: &Device) -> PublishCaption {
    PublishCaption {
        participant: scene.id(speaker),
        lang: "en".to_owned(),
        text: "Good morning.".to_owned(),
        start_at: scene.now - 1_000,
        end_at: scene.now,
        is_final: true,
    }
}

fn publish(caption: PublishCaption) -> Command {
    Command::PublishCaption(caption)
}

fn shown(scene: &Scene) -> Vec<&str> {
    let texts = scene.effects.iter().filter_map(|effect| match effect {
        Effect::Signal { signal: Signal::CaptionShown { caption }, .. } => Some(caption.text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn cp1_a_service_writes_down_anybody_and_a_person_themselves() {
    let Two { mut scene, bob, cid, second, .. } = Two::open();
    let agent = scene.enters("Captioner", Role::Agent);
    let vic = scene.enters("Vic", Role::Viewer);
    scene.now += 5_000;
    let (bobs, cids, vics) = (caption(&scene, &bob), caption(&scene, &cid), caption(&scene, &vic));
    scene.refused(&vic, publish(vics), Code::NotPermitted);
    scene.refused(&bob, publish(cids.clone()), Code::NotPermitted);
    let nobody = PublishCaption { participant: ParticipantId(uuid::Uuid::from_u128(9)), ..cids.clone() };
    scene.refused(&agent, publish(nobody), Code::NotFound);
    scene.does(&bob, publish(bobs));
    scene.does(&agent, publish(cids));
    assert_eq!(scene.event("caption.recorded").audience, Audience::Room(second), "the speaker's room");
    let own = caption(&scene, &agent);
    scene.does(&agent, publish(own));
}

/// A captioner that lags must not carry what was said in one room into another.
#[test]
fn cp1_a_late_caption_stays_in_the_room_it_was_said_in() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    let agent = scene.enters("Captioner", Role::Agent);
    scene.now += 10_000;
    let said = caption(&scene, &bob);
    scene.now += 1_000;
    let between = caption(&scene, &bob);
    scene.does(&ann, move_to(&[to(scene.id(&bob), second)]));
    scene.now += 5_000;
    scene.does(&ann, move_to(&[to(scene.id(&bob), RoomId::Main)]));
    scene.now += 5_000;
    let now = caption(&scene, &bob);
    for (caption, room) in [(said, first), (between.clone(), first), (now, RoomId::Main)] {
        scene.does(&agent, publish(caption));
        assert_eq!(scene.event("caption.recorded").audience, Audience::Room(room));
    }
    let (start_at, end_at) = (between.start_at + 2_000, between.end_at + 2_000);
    scene.does(&agent, publish(PublishCaption { start_at, end_at, ..between }));
    assert_eq!(scene.event("caption.recorded").audience, Audience::Room(second));
}

/// By whatever way somebody came to another room, what they said stays where they said it.
#[test]
fn cp1_rooms_are_remembered_by_whatever_way_they_were_left() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    let agent = scene.enters("Captioner", Role::Agent);
    scene.now += 10_000;
    let said = caption(&scene, &bob);
    scene.does(&ann, to_lobby(scene.id(&bob)));
    scene.now += 1_000;
    scene.does(&ann, Command::AdmitGuest(one(scene.id(&bob))));
    scene.now += 1_000;
    scene.does(&agent, publish(said));
    assert_eq!(scene.event("caption.recorded").audience, Audience::Room(first));
}

#[test]
fn cp1_a_room_that_closed_behind_somebody_is_remembered() {
    let Two { mut scene, ann, bob, first, .. } = Two::open();
    let agent = scene.enters("Captioner", Role::Agent);
    scene.now += 10_000;
    let said = caption(&scene, &bob);
    scene.does(&bob, leave());
    scene.does(&ann, crate::breakout::CLOSE_NOW);
    scene.join(&bob).expect("in the main room");
    scene.does(&agent, publish(said));
    assert_eq!(scene.event("caption.recorded").audience, Audience::Room(first));
}

#[test]
fn cp1_what_comes_late_of_a_merged_room_belongs_to_the_other() {
    let Two { mut scene, ann, bob, first, second, .. } = Two::open();
    let agent = scene.enters("Captioner", Role::Agent);
    scene.now += 10_000;
    let said = caption(&scene, &bob);
    scene.does(&ann, Command::MergeRooms { from: vec![first], into: second });
    scene.does(&agent, publish(said));
    assert_eq!(scene.event("caption.recorded").audience, Audience::Room(second));
}

#[test]
fn cp1_nobody_guesses_where_it_was_said() {
    let Two { mut scene, ann, bob, second, .. } = Two::open();
    let agent = scene.enters("Captioner", Role::Agent);
    scene.now += 10_000;
    let said = caption(&scene, &bob);
    for turn in 0..20 {
        scene.now += 1_000;
        let room = if turn % 2 == 0 { second } else { RoomId::Main };
        scene.does(&ann, move_to(&[to(scene.id(&bob), room)]));
    }
    scene.refused(&agent, publish(said), Code::BadRequest);
}

/// Whoever was sent from a room does not go on writing there.
#[test]
fn cp3_a_person_writes_of_the_present() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    let agent = scene.enters("Captioner", Role::Agent);
    scene.now += 60_000;
    let said = caption(&scene, &bob);
    scene.now += 30_001;
    scene.refused(&bob, publish(said.clone()), Code::BadRequest);
    scene.does(&agent, publish(said));
}

#[test]
fn cp2_partial_ones_pass_and_final_ones_stay() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    let partial = PublishCaption { is_final: false, text: "Good".to_owned(), ..caption(&scene, &bob) };
    scene.does(&bob, publish(partial));
    assert_eq!((shown(&scene), scene.kinds()), (vec!["Good"], vec![]));
    let whole = caption(&scene, &bob);
    scene.does(&bob, publish(whole));
    assert_eq!((shown(&scene), scene.kinds()), (vec!["Good morning."], vec!["caption.recorded"]));
}

#[test]
fn cp3_what_is_no_caption() {
    let mut scene = Scene::new();
    let bob = scene.enters("Bob", Role::Participant);
    let good = caption(&scene, &bob);
    let with = |change: &dyn Fn(&mut PublishCaption)| {
        let mut wrong = good.clone();
        change(&mut wrong);
        publish(wrong)
    };
    for lang in ["", "e", "en_US", "en--US", "-en", "123", "en-verylongpart", &"en-".repeat(12), "e\"n"] {
        scene.refused(&bob, with(&|c| c.lang = lang.to_owned()), Code::BadRequest);
    }
    scene.refused(&bob, with(&|c| c.text = " ".to_owned()), Code::BadRequest);
    scene.refused(&bob, with(&|c| c.text = "é".repeat(1_001)), Code::TooLarge);
    scene.refused(&bob, with(&|c| c.end_at = c.start_at - 1), Code::BadRequest);
    scene.refused(&bob, with(&|c| c.start_at = c.end_at - 300_001), Code::BadRequest);
    scene.refused(&bob, with(&|c| (c.start_at, c.end_at) = (0, 1)), Code::BadRequest);
    scene.refused(&bob, with(&|c| c.end_at += 60_001), Code::BadRequest);
    scene.refused(&bob, with(&|c| (c.start_at, c.end_at) = (u64::MAX, u64::MAX)), Code::BadRequest);
    for lang in ["en", "pt-BR", "zh-Hant-TW", "de-DE-1996"] {
        scene.does(&bob, with(&|c| c.lang = lang.to_owned()));
    }
}
