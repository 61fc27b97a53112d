//! The rules of `SPEC.md`, one test or more each, named by the rule's id. [`first`] shows how a
//! test is written: who comes, what they ask, what the meeting is then. Cases named "case 19" and
//! so on are failures that people met in other meeting systems.

// In a test, whatever should not be may crash; helpers outside of test functions included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]

#[path = "../common/mod.rs"]
mod common;

mod breakout;
mod chat;
mod endings;
mod hands;
mod interaction;
mod lifecycle;
mod lobby;
mod log;
mod moderation;
mod numbers;
mod presence;
mod recording;
mod roles;
mod stand_ins;
mod whiteboards;

mod first {
    use crate::common::*;
    use convoke_domain::shapes::Role;
    use convoke_domain::{Code, Event};

    /// How a test is written.
    #[test]
    fn a_scene_in_twenty_lines() {
        let mut scene = Scene::with(|settings| settings.join_before_host = true);
        let ann = scene.enters("Ann", Role::Host);
        let bob = scene.enters("Bob", Role::Participant);
        scene.does(&bob, say("hello"));
        assert_eq!(scene.kinds(), ["chat.posted"]);
        assert!(matches!(&scene.event("chat.posted").event, Event::ChatPosted { message } if message.text == "hello"));

        let bobs = scene.id(&bob);
        scene.refused(&bob, remove(scene.id(&ann)), Code::NotPermitted);
        scene.does(&ann, remove(bobs));
        assert!(!scene.is_inside(&bob));

        scene.lost(&ann);
        scene.pass(scene.limits.grace_ms);
        assert_eq!(scene.kinds(), ["session.closed", "participant.left"]);
    }
}
