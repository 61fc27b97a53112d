//! The promise, held against crashes of every actor and every kind of weather in the store.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Weather, run};
use convoke_domain::CloseCode;
use convoke_domain::shapes::Role;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// The first test: how an actor is tested.
#[test]
fn what_is_said_is_heard_by_everybody_in_one_order() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.post("one").await;
        let second = bob.post("two").await;
        let answer = bob.answer(second).await;
        ada.until("the second", |message| message["seq"] == answer["seq"]).await;
        assert_eq!(ada.texts(), ["one", "two"]);
        assert_eq!(bob.texts(), ["one", "two"]);
        assert_eq!(world.store.texts(&world.key), ["one", "two"]);
    });
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.event("participant.joined").await;
        world.store.forecast(&[Weather::Stalled]);
        let post = bob.post("held back").await;
        let refused = bob.command("meeting.end", json!({})).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert!(ada.texts().is_empty());
        assert!(!bob.heard.iter().any(|m| m["re"] == post || m["re"] == refused), "not even the refusal after it");
        world.store.forecast(&[]);
        assert_eq!(bob.answer(post).await["ok"], true);
        assert_eq!(bob.answer(refused).await["error"]["code"], "not_permitted");
        ada.event("chat.posted").await;
    });
}

#[test]
fn a_commit_of_unknown_outcome_has_one_effect() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        for weather in [Weather::Unknown, Weather::Away] {
            world.store.forecast(&[weather]);
            let post = bob.post(&format!("{weather:?}")).await;
            // A database that is away stays so for a while: the forecast is used up by the commit.
            assert_eq!(bob.answer(post).await["ok"], true, "{weather:?}");
            ada.until("the event", |m| m["data"]["message"]["text"] == format!("{weather:?}")).await;
        }
        assert_eq!(world.store.texts(&world.key), ["Unknown", "Away"]);
        assert_eq!(ada.texts(), ["Unknown", "Away"]);
        assert_eq!(bob.texts(), ["Unknown", "Away"]);
    });
}

#[test]
fn a_panic_in_the_journal_loses_and_doubles_nothing() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        for round in 0..3 {
            world.store.forecast(&[Weather::Panic]);
            let first = ada.post(&format!("{round} first")).await;
            let second = ada.post(&format!("{round} second")).await;
            assert_eq!(ada.answer(first).await["ok"], true);
            assert_eq!(ada.answer(second).await["ok"], true);
        }
        let expected = ["0 first", "0 second", "1 first", "1 second", "2 first", "2 second"];
        assert_eq!(world.store.texts(&world.key), expected);
        assert_eq!(ada.texts(), expected);
    });
}

#[test]
fn a_command_that_kills_is_refused_the_third_time_and_the_meeting_goes_on() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let other_key = convoke_actors::ports::MeetingKey {
            meeting: convoke_domain::MeetingId(uuid::Uuid::now_v7()),
            ..world.key.clone()
        };
        world.make(&other_key).await;
        let mut eve = world.join_in(&other_key, "eve", Role::Host).await;
        world.media.panics.store(100, Ordering::SeqCst);
        let killer = bob.command("media.request", json!({})).await;
        let answer = bob.answer(killer).await;
        assert_eq!(answer["error"]["code"], "internal");
        assert_eq!(world.media.panics.swap(0, Ordering::SeqCst), 98, "it was tried twice");
        let post = ada.post("we go on").await;
        assert_eq!(ada.answer(post).await["ok"], true);
        bob.event("chat.posted").await;
        let untouched = eve.post("nothing happened here").await;
        assert_eq!(eve.answer(untouched).await["ok"], true);
    });
}

#[test]
fn a_panic_in_the_meetings_timer_is_survived() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let bob = world.join("bob", Role::Participant).await;
        bob.hang_up().await;
        // The timer of the lost socket reads the clock first of all.
        tokio::time::sleep(Duration::from_millis(2_900)).await;
        world.clock.panics.store(1, Ordering::SeqCst);
        ada.event("participant.disconnected").await;
        assert_eq!(world.clock.panics.load(Ordering::SeqCst), 0);
        ada.event("participant.left").await;
        let post = ada.post("still here").await;
        assert_eq!(ada.answer(post).await["ok"], true);
    });
}

#[test]
fn a_lost_batch_is_noticed_and_made_good() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.event("participant.joined").await;
        world.bus.loses.store(1, Ordering::SeqCst);
        let lost = ada.post("lost on the way").await;
        let next = ada.post("and the next").await;
        assert_eq!(ada.answer(lost).await["ok"], true);
        assert_eq!(ada.answer(next).await["ok"], true);
        bob.until("the next", |m| m["data"]["message"]["text"] == "and the next").await;
        assert_eq!(bob.texts(), ["lost on the way", "and the next"]);
        assert_eq!(ada.texts(), ["lost on the way", "and the next"]);
    });
}

#[test]
fn a_panic_in_the_hub_is_survived() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.event("participant.joined").await;
        // The hub's check, each second, reads the clock; nothing else does while nobody speaks.
        world.clock.panics.store(1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(world.clock.panics.load(Ordering::SeqCst), 0);
        let post = bob.post("after the crash").await;
        assert_eq!(bob.answer(post).await["ok"], true);
        ada.event("chat.posted").await;
        assert_eq!(ada.texts(), ["after the crash"]);
    });
}

#[test]
fn a_panic_in_a_session_closes_its_socket_only_and_the_client_resumes() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut broken = world.socket();
        broken
            .say(json!({ "id": 0, "type": "join", "data": { "token": "panic", "session": uuid::Uuid::now_v7() } }))
            .await;
        assert_eq!(broken.close().await, CloseCode::InternalError);
        let post = ada.post("untouched").await;
        assert_eq!(ada.answer(post).await["ok"], true);
    });
}

#[test]
fn whoever_is_fenced_stops_and_writes_nothing_more() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        world.store.steal(&world.key);
        ada.post("too late").await;
        assert_eq!(ada.close().await, CloseCode::GoingAway);
        assert!(world.store.texts(&world.key).is_empty());
        assert!(ada.texts().is_empty(), "what was not written was not said");
    });
}

#[test]
fn with_the_database_away_commands_are_refused_signals_flow_and_nothing_is_lost() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.event("participant.joined").await;
        world.store.forecast(&[Weather::Away; 1_000]);
        let unknown = bob.post("on its way when it went").await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        let refused = bob.post("while away").await;
        assert_eq!(bob.answer(refused).await["error"]["code"], "unavailable");
        let wave = bob.command("reaction.send", json!({ "emoji": "👋" })).await;
        assert_eq!(bob.answer(wave).await["ok"], true);
        ada.event("reaction.shown").await;
        world.store.forecast(&[]);
        assert_eq!(bob.answer(unknown).await["ok"], true);
        let after = bob.post("back again").await;
        assert_eq!(bob.answer(after).await["ok"], true);
        assert_eq!(world.store.texts(&world.key), ["on its way when it went", "back again"]);
        ada.until("the last", |m| m["data"]["message"]["text"] == "back again").await;
        assert_eq!(ada.texts(), ["on its way when it went", "back again"]);
    });
}

#[test]
fn an_idle_meeting_is_put_away_and_found_again_unchanged() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let post = ada.post("before").await;
        ada.answer(post).await;
        let leave = ada.command("leave", json!({})).await;
        assert_eq!(ada.answer(leave).await["ok"], true);
        assert_eq!(ada.close().await, CloseCode::Left);
        assert_eq!(world.meetings.count(), 1);
        tokio::time::sleep(Duration::from_secs(70)).await;
        assert_eq!(world.meetings.count(), 0);
        let ada = world.join("ada", Role::Host).await;
        let snapshot = ada.heard.iter().find(|m| m["re"] == 0).unwrap();
        assert_eq!(snapshot["data"]["view"]["messages"][0]["text"], "before");
    });
}

#[test]
fn an_absence_has_its_grace_and_an_empty_meeting_its_end() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let bob = world.join("bob", Role::Participant).await;
        bob.hang_up().await;
        ada.event("participant.disconnected").await;
        ada.event("participant.left").await;
        ada.hang_up().await;
        // Three seconds, thirty of grace, three hundred of emptiness; then it is over and put away.
        tokio::time::sleep(Duration::from_secs(500)).await;
        let late = world.socket();
        let token = json!({ "meeting": world.key.meeting, "user": "late", "role": "participant" }).to_string();
        late.say(json!({ "id": 0, "type": "join", "data": { "token": token, "session": uuid::Uuid::now_v7() } })).await;
        let mut late = late;
        assert_eq!(late.close().await, CloseCode::MeetingEnded);
        tokio::time::sleep(Duration::from_secs(70)).await;
        assert_eq!(world.meetings.count(), 0, "what is over does not stay in memory");
    });
}
