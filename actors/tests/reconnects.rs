//! Coming back: what somebody is shown who was away for a moment, for longer, or comes late; and
//! what the others are told of them.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, hello, run};
use convoke_actors::session::Pace;
use convoke_domain::shapes::{LobbyPolicy, Role, Settings};
use convoke_domain::{CloseCode, Seq};
use serde_json::json;
use std::num::NonZeroU32;
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;

fn raised(socket: &Socket) -> Vec<serde_json::Value> {
    let hands = socket.snapshot()["view"]["hands"].clone();
    hands.as_array().unwrap().iter().map(|hand| hand["participant"].clone()).collect()
}

fn messages(socket: &Socket) -> Vec<String> {
    let messages = socket.snapshot()["view"]["messages"].clone();
    messages.as_array().unwrap().iter().map(|message| message["text"].as_str().unwrap().to_owned()).collect()
}

/// A raised hand was lost for the others and still shown locally; or dropped with one of two devices.
#[test]
fn a_hand_is_the_same_for_everybody_whoever_comes_and_goes() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut phone = world.join("bob", Role::Participant).await;
        let laptop = world.join("bob", Role::Participant).await;
        let raise = phone.command("hand.raise", json!({})).await;
        assert_eq!(phone.answer(raise).await["ok"], true);
        let leave = phone.command("leave", json!({})).await;
        phone.answer(leave).await;
        let late = world.join("late", Role::Participant).await;
        assert_eq!(raised(&late), [laptop.id()], "it stays with the other device");
        // The other device is away for a moment, and the hand is lowered for it meanwhile.
        laptop.hang_up().await;
        let lower = ada.command("hand.lower", json!({ "participant": laptop.id() })).await;
        assert_eq!(ada.answer(lower).await["ok"], true);
        let mut back = world.resume(&laptop).await;
        back.event("hands.lowered").await;
        assert_eq!(raised(&world.join("later", Role::Participant).await), Vec::<serde_json::Value>::new());
    });
}

/// Chat was not shown after a reconnect; missed events were never sent again.
#[test]
fn what_was_missed_comes_exactly_or_in_a_snapshot() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let first = ada.post("heard").await;
        ada.answer(first).await;
        bob.event("chat.posted").await;
        bob.hang_up().await;
        for text in ["missed", "missed too"] {
            let post = ada.post(text).await;
            ada.answer(post).await;
        }
        let mut again = world.resume(&bob).await;
        assert_eq!(again.heard[0]["data"]["resumed"], true);
        again.until("the last", |message| message["data"]["message"]["text"] == "missed too").await;
        assert_eq!(again.kinds(), ["chat.posted", "chat.posted"], "exactly those");
        let beyond = world.resume_at(&bob, 1_000_000).await;
        assert_eq!(messages(&beyond), ["heard", "missed", "missed too"], "a cursor beyond the log is none");
        // A role that changed meanwhile changes what may be seen of the time between.
        beyond.hang_up().await;
        for role in ["cohost", "participant"] {
            let change = ada.command("participant.set_role", json!({ "participant": bob.id(), "role": role })).await;
            ada.answer(change).await;
        }
        let post = ada.post("and more").await;
        ada.answer(post).await;
        let changed = world.resume(&beyond).await;
        assert_eq!(messages(&changed), ["heard", "missed", "missed too", "and more"]);
        assert_eq!(changed.kinds(), Vec::<&str>::new(), "nothing of it comes twice");
    });
}

#[test]
fn whoever_is_too_far_behind_is_given_a_snapshot() {
    run(|world| async move {
        let mut ada = world.socket_of(Pace { burst: NonZeroU32::new(1_000).unwrap(), ..Pace::default() });
        ada.say(hello(&world.key, "ada", Role::Host, Uuid::now_v7())).await;
        ada.answer(0).await;
        let bob = world.join("bob", Role::Participant).await;
        bob.hang_up().await;
        // More than two MiB of words: beyond what is kept for those who come back.
        let text = "x".repeat(3_900);
        for number in 0..600 {
            let post = ada.post(&format!("{number} {text}")).await;
            assert_eq!(ada.answer(post).await["ok"], true);
        }
        let back = world.resume(&bob).await;
        let shown = messages(&back);
        assert_eq!((shown.len(), back.snapshot()["seq"].as_u64()), (50, Some(ada.cursor())));
        assert!(shown[0].starts_with("550 ") && shown[49].starts_with("599 "), "the latest, oldest first");
    });
}

/// Pings were sent and missing pongs ignored: the dead looked present.
#[test]
fn whoever_falls_silent_is_closed_and_seen_to_be_gone() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        // He reads up to here, and from now on nothing.
        let post = bob.post("the last of him").await;
        bob.answer(post).await;
        ada.event("participant.disconnected").await;
        let code = bob.outlet.closed().unwrap();
        assert!(matches!(code, CloseCode::SlowConsumer | CloseCode::HeartbeatTimeout), "{code:?}");
        ada.event("participant.left").await;
        // That was his socket's end and not his: a new one is welcome.
        world.join("bob", Role::Participant).await;
    });
}

/// A late joiner did not get what was under way.
#[test]
fn whoever_comes_late_is_shown_what_is_under_way() {
    run(|world| async move {
        let guarded = Settings { lobby: LobbyPolicy::Everyone, ..Settings::default() };
        let key = world.another(guarded).await;
        let mut ada = world.join_in(&key, "ada", Role::Host).await;
        let mut bob = world.join_in(&key, "bob", Role::Cohost).await;
        let waiting = world.join_in(&key, "waiting", Role::Participant).await;
        assert_eq!(waiting.heard[0]["data"]["waiting"], true);
        for number in 0..60 {
            let post = ada.post(&number.to_string()).await;
            ada.answer(post).await;
        }
        let raise = bob.command("hand.raise", json!({})).await;
        bob.answer(raise).await;
        let media =
            bob.command("participant.set_media", json!({ "audio": true, "video": false, "screen": false })).await;
        bob.answer(media).await;
        bob.hang_up().await;
        ada.event("participant.disconnected").await;
        let late = world.join_in(&key, "late", Role::Cohost).await;
        let shown = late.snapshot();
        let texts: Vec<String> = (10..60).map(|number: u32| number.to_string()).collect();
        assert_eq!(messages(&late), texts);
        assert_eq!(raised(&late), [bob.id()]);
        assert_eq!(shown["lobby"][0]["name"], "waiting");
        assert_eq!(shown["meeting"]["status"], "live");
        assert_eq!(shown["meeting"]["settings"]["lobby"], "everyone");
        let people = shown["participants"].as_array().unwrap();
        let bobs = people.iter().find(|person| person["id"] == bob.id()).unwrap();
        assert_eq!((&bobs["state"], &bobs["media"]["audio"]), (&json!("disconnected"), &json!(true)));
        assert!(people.iter().any(|person| person["id"] == late.id()), "the own arrival is in it");
        assert_eq!(shown["self"]["participant"]["role"], "cohost");
    });
}

/// Somebody admitted who was slow to connect was purged, and looped.
#[test]
fn whoever_is_admitted_while_away_comes_back_inside() {
    run(|world| async move {
        let key = world.another(Settings { lobby: LobbyPolicy::Everyone, ..Settings::default() }).await;
        let mut ada = world.join_in(&key, "ada", Role::Host).await;
        let bob = world.join_in(&key, "bob", Role::Participant).await;
        bob.hang_up().await;
        tokio::time::sleep(Duration::from_secs(10)).await;
        let admit = ada.command("lobby.admit", json!({ "all": true })).await;
        assert_eq!(ada.answer(admit).await["ok"], true);
        tokio::time::sleep(Duration::from_secs(10)).await;
        let mut back = world.resume(&bob).await;
        assert_eq!(back.snapshot()["self"]["participant"]["name"], "bob");
        let post = back.post("here I am").await;
        assert_eq!(back.answer(post).await["ok"], true);
    });
}

/// Somebody who closed the tab stayed on the waiting list; or reloaded and became invisible.
#[test]
fn a_reload_in_the_lobby_keeps_the_place_and_a_closed_tab_gives_it_up() {
    run(|world| async move {
        let key = world.another(Settings { lobby: LobbyPolicy::Everyone, ..Settings::default() }).await;
        let mut ada = world.join_in(&key, "ada", Role::Host).await;
        let session = Uuid::now_v7();
        let bob = world.join_as(&key, "bob", Role::Participant, session).await;
        let entered = ada.event("lobby.entered").await;
        bob.hang_up().await;
        let mut again = world.join_as(&key, "bob", Role::Participant, session).await;
        let other = world.join_in(&key, "other", Role::Cohost).await;
        assert_eq!(other.snapshot()["lobby"], json!([entered["data"]["entry"]]), "one entry, and the same");
        let tell = ada.command("lobby.message", json!({ "text": "one moment" })).await;
        ada.answer(tell).await;
        again.event("lobby.message").await;
        again.hang_up().await;
        ada.event("lobby.left").await;
        let later = world.join_in(&key, "later", Role::Cohost).await;
        assert_eq!(later.snapshot()["lobby"], json!([]));
    });
}

/// A crash left the participant's id locked, with no expiry.
#[test]
fn after_a_crash_everybody_can_join_as_if_for_the_first_time() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let session = Uuid::now_v7();
        let bob = world.join_as(&world.key, "bob", Role::Participant, session).await;
        bob.hang_up().await;
        world.media.panics.store(1, Ordering::SeqCst);
        let crash = ada.command("media.request", json!({})).await;
        ada.answer(crash).await;
        // Not resumed: joined, under the same session and under a new one.
        for session in [session, Uuid::now_v7()] {
            let mut again = world.join_as(&world.key, "bob", Role::Participant, session).await;
            assert_eq!(again.id(), bob.id());
            let post = again.post("back").await;
            assert_eq!(again.answer(post).await["ok"], true);
        }
        let stranger = world.socket();
        stranger.say(hello(&world.key, "eve", Role::Participant, session)).await;
        let mut stranger = stranger;
        assert_eq!(stranger.answer(0).await["error"]["code"], "conflict", "it is his while he is here");
    });
}

/// The end of what was sent is lost, and nothing follows that would show the gap.
#[test]
fn a_lost_tail_is_made_good_without_another_word() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.event("participant.joined").await;
        world.bus.loses.store(1, Ordering::SeqCst);
        world.bus.overrun_next();
        bob.post("nobody speaks after this").await;
        ada.event("chat.posted").await;
        bob.event("chat.posted").await;
        assert_eq!((ada.texts().len(), bob.texts().len()), (1, 1));
    });
}

/// A meeting that cannot be read stays closed, visibly, and harms no other; repaired, it opens.
#[test]
fn a_meeting_that_cannot_be_read_is_marked_and_can_be_repaired() {
    run(|world| async move {
        let broken = world.another(Settings::default()).await;
        let mut eve = world.join_in(&broken, "eve", Role::Host).await;
        let post = eve.post("before").await;
        eve.answer(post).await;
        let leave = eve.command("leave", json!({})).await;
        eve.answer(leave).await;
        tokio::time::sleep(Duration::from_secs(70)).await;
        let lost = world.store.tear_out(&broken, Seq(2));
        for _ in 0..2 {
            let mut refused = world.socket();
            refused.say(hello(&broken, "eve", Role::Host, Uuid::now_v7())).await;
            assert_eq!(refused.answer(0).await["error"]["code"], "internal");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        assert!(world.store.failure(&broken).unwrap().contains("goes on with"));
        let mut ada = world.join("ada", Role::Host).await;
        let post = ada.post("untouched").await;
        assert_eq!(ada.answer(post).await["ok"], true);
        world.store.repair(&broken, lost);
        let eve = world.join_in(&broken, "eve", Role::Host).await;
        assert_eq!(messages(&eve), ["before"]);
    });
}
