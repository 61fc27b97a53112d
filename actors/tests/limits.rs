//! What one session may send: its rate, its patience, its first frame. The limits of a meeting are
//! the domain's, those of the node the edge's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::{Socket, World, hello, run};
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::session::Pace;
use convoke_domain::CloseCode;
use convoke_domain::shapes::Role;
use serde_json::json;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::task::Poll;
use uuid::Uuid;

const ONE: NonZeroU32 = NonZeroU32::MIN;

async fn bob(world: &World, pace: Pace) -> Socket {
    let mut socket = world.socket_of(pace);
    socket.say(hello(&world.key, "bob", Role::Participant, Uuid::now_v7())).await;
    socket.answer(0).await;
    socket
}

#[test]
fn commands_beyond_the_rate_are_refused_and_take_their_number() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let pace = Pace { commands_per_s: ONE, ..Pace::default() };
        let mut bob = bob(&world, pace).await;
        let mut refused = 0;
        // The rate is a second's, by the real clock: a pause of the machine may let one more through.
        while refused == 0 {
            let post = bob.post("again").await;
            let answer = bob.answer(post).await;
            if answer["ok"] != true {
                assert_eq!(answer["error"]["code"], "rate_limited");
                let wait = answer["error"]["retry_after_ms"].as_u64().unwrap();
                assert!((1..=1_000).contains(&wait), "{wait}");
                refused += 1;
            }
        }
        assert!(bob.texts().len() >= 60, "the burst was {}", bob.texts().len());
        let last = bob.post("with the next number").await;
        let answer = bob.answer(last).await;
        assert!(answer["ok"] == true || answer["error"]["code"] == "rate_limited", "no gap: {answer}");
        assert_eq!(world.store.texts(&world.key), bob.texts(), "what was refused had no effect");
        // It is a session's rate: his other device and everybody else go on.
        let mut phone = world.join("bob", Role::Participant).await;
        for socket in [&mut phone, &mut ada] {
            let post = socket.post("unhindered").await;
            assert_eq!(socket.answer(post).await["ok"], true);
        }
    });
}

#[test]
fn whoever_floods_is_closed_and_nobody_else() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let few = NonZeroU32::new(10).unwrap();
        let mut bob = bob(&world, Pace { flood_per_s: ONE, flood_burst: few, ..Pace::default() }).await;
        for _ in 0..100 {
            // What is no command, and is not counted as one.
            bob.say(json!({ "id": 1_000, "type": "chat.post", "data": {} })).await;
        }
        assert_eq!(bob.close().await, CloseCode::Flooding);
        assert!(bob.heard.len() >= 10, "patience has its measure too");
        let post = ada.post("unharmed").await;
        assert_eq!(ada.answer(post).await["ok"], true);
    });
}

#[test]
fn whoever_says_nothing_first_is_turned_away() {
    run(|world| async move {
        let mut silent = world.socket();
        let began = tokio::time::Instant::now();
        assert_eq!(silent.close().await, CloseCode::Unauthenticated);
        assert_eq!(began.elapsed().as_secs(), 5, "by the paused clock");
        let mut early = world.socket();
        let post = early.post("before hello").await;
        assert_eq!(early.answer(post).await["error"]["code"], "unauthenticated");
    });
}

#[test]
fn nothing_more_is_read_while_so_many_are_unanswered() {
    run(|_| async move {
        let most = Pace::default().in_flight_max;
        assert_eq!(most, 64);
        let outlet = Outlet::new(Bounds::default());
        let has_room = || poll_fn(|cx| Poll::Ready(outlet.poll_room(cx, most).is_ready()));
        for id in 1..=64 {
            assert!(has_room().await, "before {id}");
            outlet.take(id, tracing::Span::none());
        }
        assert!(!has_room().await);
        outlet.settle(30);
        assert!(has_room().await, "whichever is answered makes room");
    });
}
