//! What is costly to draw: it is drawn aside, given up when it takes too long, and nobody draws more than their share.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::{Painter, Weather, World, board_bounds, hostile, run, run_with};
use convoke_actors::ports::Store;
use convoke_actors::whiteboard::DRAWN_ASIDE_AT_ONCE;
use convoke_actors::whiteboard::document::Bounds;
use convoke_actors::whiteboard::protocol;
use convoke_actors::whiteboard::words::AskBoard;
use convoke_domain::shapes::Role;
use convoke_domain::{CloseCode, WhiteboardId};
use serde_json::json;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use uuid::Uuid;
use yrs::{Map, Transact};

/// Two clients of whom each item of the one passes by all of the other.
fn awkward() -> Bytes {
    awkward_of(901, 800)
}

fn awkward_of(client: u32, count: u32) -> Bytes {
    protocol::update(&hostile::update(&[hostile::firsts(client + 1, count), hostile::chain(client, count)]))
}

impl World {
    /// Takes all the places where boards are drawn on aside: what is to be drawn there waits.
    async fn nothing_is_drawn_aside(&self) -> OwnedSemaphorePermit {
        let places = self.meetings.env().whiteboards.drawing.clone();
        places.acquire_many_owned(u32::try_from(DRAWN_ASIDE_AT_ONCE).unwrap()).await.unwrap()
    }

    async fn updates(&self, board: WhiteboardId) -> Vec<Bytes> {
        self.store.board(&self.key, board).await.unwrap().updates
    }
}

fn sends(painter: &Painter, frames: Vec<Bytes>) -> tokio::task::JoinHandle<()> {
    let ask = AskBoard::Frames { socket: painter.socket, frames };
    let (meetings, key, board) = (painter.meetings(), painter.key(), painter.board);
    actix::spawn(async move { meetings.ask_board(&key, board, ask).await.unwrap() })
}

#[test]
fn while_something_is_drawn_aside_its_thread_serves_others() {
    for kind in ["two clients in one update", "a few on a long list"] {
        run_with(Bounds { items_max: 100_000, ..board_bounds() }, |world| async move {
            let (mut host, board) = world.with_board().await;
            let other = host.board(json!({ "name": "Other" })).await;
            let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(other, &host, 2).await);
            let frame = match kind {
                "two clients in one update" => awkward(),
                _ => {
                    one.says(protocol::update(&hostile::update(&[hostile::chain(901, 3_000)]))).await.unwrap();
                    one.until(|painter| !painter.shown.is_empty()).await;
                    protocol::update(&hostile::update(&[hostile::firsts(902, 700)]))
                }
            };
            let before = world.updates(board).await.len();
            let places = world.nothing_is_drawn_aside().await;
            let sent = sends(&one, vec![frame]);
            // On another board, in the meeting, and on one that is read only now.
            two.draws("a", 1).await;
            two.until(|painter| painter.sees().len() == 1).await;
            host.ask("participants.list", json!({})).await;
            let third = host.board(json!({ "name": "Third" })).await;
            let mut three = world.painter(third, &host, 3).await;
            three.draws("a", 1).await;
            three.until(|painter| painter.sees().len() == 1).await;
            assert!(!sent.is_finished() && world.updates(board).await.len() == before, "{kind}");
            drop(places);
            sent.await.unwrap();
            assert!(world.updates(board).await.len() > before, "{kind}");
            assert_eq!(one.closed, None, "{:?}", one.denied);
        });
    }
}

/// Where time is simulated whatever is drawn takes longer than this, and a board is careful for a minute.
#[test]
fn a_board_that_was_kept_long_draws_aside_what_may_take_as_long() {
    run_with(Bounds { time_shared: Duration::ZERO, ..board_bounds() }, |world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        let places = world.nothing_is_drawn_aside().await;
        for n in 0..2 {
            for _ in 0..7 {
                one.hears_for(Duration::from_secs(10)).await;
                host.ask("participants.list", json!({})).await;
            }
            one.says(awkward_of(100 * n + 1, 300)).await.unwrap();
        }
        assert_eq!(world.updates(board).await.len(), 2, "drawn where the board is");
        let sent = sends(&one, vec![awkward_of(901, 300)]);
        one.hears_for(Duration::from_millis(100)).await;
        assert!(!sent.is_finished());
        drop(places);
        sent.await.unwrap();
        assert_eq!(world.updates(board).await.len(), 3);
        one.draws("a", 1).await;
        one.until(|painter| painter.sees().len() == 1).await;
    });
}

/// Where time is simulated each of them is more than this.
#[test]
fn between_strokes_that_are_much_together_others_have_their_turn() {
    run_with(Bounds { time_shared: Duration::ZERO, ..board_bounds() }, |world| async move {
        let (mut host, board) = world.with_board().await;
        let other = host.board(json!({ "name": "Other" })).await;
        let (mut one, mut same) = (world.painter(board, &host, 1).await, world.painter(board, &host, 3).await);
        let mut two = world.painter(other, &host, 2).await;
        let many: Vec<Bytes> = (0..200).map(|n| protocol::update(&one.paints(&format!("{n}"), n))).collect();
        let sent = sends(&one, many);
        tokio::task::yield_now().await;
        let behind = sends(&same, vec![protocol::update(&same.paints("behind", 1))]);
        two.draws("a", 1).await;
        two.until(|painter| painter.sees().len() == 1).await;
        host.ask("participants.list", json!({})).await;
        assert!(!sent.is_finished() && !behind.is_finished());
        assert!((1..150).contains(&world.updates(board).await.len()));
        sent.await.unwrap();
        behind.await.unwrap();
        assert_eq!(world.updates(board).await.len(), 201);
        for painter in [&mut one, &mut same] {
            painter.until(|painter| painter.shown.len() == 201).await;
        }
        assert_eq!(same.vector(), one.vector());
        assert_eq!(one.closed, None, "{:?}", one.denied);
    });
}

/// Twenty thousand shapes in one update, and what comes behind it.
#[test]
fn a_large_update_is_drawn_and_what_comes_behind_it_comes_behind_it() {
    let bounds = Bounds { board_bytes_max: 16 << 20, update_bytes_max: 1 << 20, ..board_bounds() };
    run_with(bounds, |world| async move {
        let (host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        let large = {
            let elements = one.doc.get_or_insert_map("elements");
            let mut txn = one.doc.transact_mut();
            for n in 0..20_000 {
                elements.insert(&mut txn, format!("{n}"), n);
            }
            protocol::update(&txn.encode_update_v1())
        };
        let behind = one.paints("behind", 1);
        let places = world.nothing_is_drawn_aside().await;
        let first = sends(&one, vec![large, protocol::update(&behind)]);
        let of_two = two.paints("of two", 1);
        let second = sends(&two, vec![protocol::update(&of_two)]);
        two.hears_for(Duration::from_millis(100)).await;
        assert!(two.shown.is_empty());
        world.store.forecast(&[Weather::Stalled]);
        drop(places);
        two.hears_for(Duration::from_millis(500)).await;
        assert!(!first.is_finished() && !second.is_finished(), "it is not kept yet");
        assert!(two.shown.is_empty() && world.updates(board).await.is_empty());
        world.store.forecast(&[]);
        first.await.unwrap();
        second.await.unwrap();
        let updates = world.updates(board).await;
        assert_eq!(updates[updates.len() - 2..], [behind, of_two], "in the order in which it came");
        for painter in [&mut one, &mut two] {
            painter.until(|painter| painter.sees().len() == 20_002).await;
            assert_eq!(painter.closed, None, "{:?}", painter.denied);
        }
        assert_eq!(one.vector(), two.vector());
        world.store.forecast(&[Weather::Stalled]);
        let alone = sends(&two, vec![awkward()]);
        two.hears_for(Duration::from_millis(100)).await;
        assert!(!alone.is_finished(), "it is not kept yet, and nothing comes behind it");
        world.store.forecast(&[]);
        alone.await.unwrap();
        let mut late = world.painter(board, &host, 3).await;
        late.until(|painter| painter.sees().len() == 20_002).await;
    });
}

#[test]
fn a_right_that_is_withdrawn_meanwhile_is_obeyed_behind_it() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &guest, 2).await);
        let places = world.nothing_is_drawn_aside().await;
        let sent = sends(&two, vec![awkward(), protocol::update(&two.paints("behind", 1))]);
        one.hears_for(Duration::from_millis(100)).await;
        let answer = host.ask("whiteboard.update", json!({ "whiteboard": board, "access": "hosts" })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        drop(places);
        sent.await.unwrap();
        two.until_closed(CloseCode::ProtocolError).await;
        assert!(two.denied.as_deref().unwrap().contains("not_permitted"), "{:?}", two.denied);
        one.draws("last", 1).await;
        // What was drawn before it stays.
        one.until(|painter| painter.shown.len() == 2).await;
        assert!(!one.sees().contains_key("behind"));
    });
}

#[test]
fn what_takes_too_long_is_given_up_and_others_go_on() {
    run_with(Bounds { update_time_max: Duration::ZERO, ..board_bounds() }, |world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        let mut bad = world.easel(board, &guest, 3);
        bad.is_mute = true;
        for n in 0..3_usize {
            bad.comes_again().await.unwrap();
            let places = world.nothing_is_drawn_aside().await;
            let sent = sends(&bad, vec![awkward(), protocol::update(&bad.paints("behind", 1))]);
            tokio::task::yield_now().await;
            // It comes while the other is drawn aside.
            let stroke = sends(&one, vec![protocol::update(&one.paints(&format!("a{n}"), 1))]);
            one.hears_for(Duration::from_millis(100)).await;
            drop(places);
            bad.until_closed(CloseCode::ProtocolError).await;
            assert!(bad.denied.as_deref().unwrap().contains("too_costly"), "{:?}", bad.denied);
            sent.await.unwrap();
            stroke.await.unwrap();
            two.draws(&format!("b{n}"), 1).await;
            for painter in [&mut one, &mut two] {
                painter.until(|painter| painter.sees().len() == 2 * (n + 1)).await;
            }
        }
        bad.comes_again().await.unwrap();
        bad.until_closed(CloseCode::Flooding).await;
        assert_eq!((one.closed, two.closed), (None, None));
        assert_eq!(one.vector(), two.vector());
        assert_eq!(world.updates(board).await.len(), 6, "nothing of it is kept");
        let mut fresh = world.painter(board, &host, 5).await;
        fresh.until(|painter| painter.sees() == two.sees()).await;
        assert_eq!(fresh.vector(), two.vector(), "and nothing is shown");
        // Also to somebody who has a part, for whom the document is asked.
        two.comes_again().await.unwrap();
        assert_eq!(fresh.vector(), two.vector());
    });
}

/// Where time is simulated an update takes a microsecond, and so does what a client answers when it comes.
#[test]
fn whose_drawing_takes_more_than_their_share_is_sent_away() {
    let share = Duration::from_micros(2);
    let bounds = Bounds { session_time_max: share, session_time_per_s: Duration::ZERO, ..board_bounds() };
    run_with(bounds, |world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let mut one = world.painter(board, &host, 1).await;
        let (mut bad, mut same) = (world.easel(board, &guest, 2), world.easel(board, &guest, 3));
        (bad.is_mute, same.is_mute) = (true, true);
        bad.comes_again().await.unwrap();
        same.comes_again().await.unwrap();
        for n in 0..3 {
            bad.draws(&n.to_string(), 1).await;
        }
        one.until(|painter| painter.sees().len() == 3).await;
        bad.draws("more", 1).await;
        for painter in [&mut bad, &mut same] {
            painter.until_closed(CloseCode::Flooding).await;
            assert!(painter.denied.as_deref().unwrap().contains("too_costly"), "{:?}", painter.denied);
        }
        one.draws("own", 1).await;
        one.until(|painter| painter.shown.len() == 4).await;
        assert_eq!((one.closed, one.sees().contains_key("more")), (None, false));
        // On another board of the node it is no better.
        let other = host.board(json!({ "name": "Other" })).await;
        let mut elsewhere = world.easel(other, &guest, 4);
        elsewhere.is_mute = true;
        elsewhere.comes_again().await.unwrap();
        elsewhere.draws("more", 1).await;
        elsewhere.until_closed(CloseCode::Flooding).await;
    });
}

/// What was drawn aside had no room; with what comes behind it, it waits for the log to be joined.
#[test]
fn what_has_no_room_when_it_is_drawn_aside_waits_for_it() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        let some = "x".repeat(board_bounds().update_bytes_max - 1_000);
        let full = board_bounds().board_bytes_max / some.len();
        world.store.forecast(&[Weather::Stalled]);
        let mut frames: Vec<Bytes> =
            (0..full).map(|n| protocol::update(&one.paints("same", format!("{n}{some}")))).collect();
        let large = {
            let elements = one.doc.get_or_insert_map("elements");
            let mut txn = one.doc.transact_mut();
            for n in 0..1_000 {
                elements.insert(&mut txn, format!("{n}"), "x".repeat(10));
            }
            protocol::update(&txn.encode_update_v1())
        };
        frames.extend([large, protocol::update(&one.paints("behind", 1))]);
        let sent = sends(&one, frames);
        one.hears_for(Duration::from_millis(100)).await;
        assert!(!sent.is_finished());
        world.store.forecast(&[]);
        sent.await.unwrap();
        let mut late = world.painter(board, &host, 2).await;
        late.until(|painter| painter.sees().len() == 1_002).await;
        assert_eq!(one.closed, None, "{:?}", one.denied);
    });
}

/// What is drawn aside takes as long there, and counts.
#[test]
fn what_is_drawn_aside_is_of_the_sessions_share() {
    let share = Duration::from_micros(2);
    let bounds = Bounds { session_time_max: share, session_time_per_s: Duration::ZERO, ..board_bounds() };
    run_with(bounds, |world| async move {
        let (host, board) = world.with_board().await;
        let mut bad = world.easel(board, &host, 2);
        bad.is_mute = true;
        bad.comes_again().await.unwrap();
        bad.says(awkward()).await.unwrap();
        bad.says(awkward()).await.unwrap();
        bad.draws("more", 1).await;
        bad.until_closed(CloseCode::Flooding).await;
        assert_eq!(world.updates(board).await.len(), 2, "the first, in two parts");
    });
}

/// To ask what one lacks takes time, too. Whoever has had their share is answered when they have some again.
#[test]
fn whoever_has_had_their_share_waits_for_what_they_asked_for() {
    let (share, again) = (Duration::from_micros(2), Duration::from_nanos(200));
    let bounds = Bounds { session_time_max: share, session_time_per_s: again, ..board_bounds() };
    run_with(bounds, |world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let mut one = world.painter(board, &guest, 1).await;
        one.hears_for(Duration::from_secs(10)).await;
        one.synced = 0;
        for _ in 0..3 {
            one.says(protocol::step_1(&[0])).await.unwrap();
            one.hears_for(Duration::from_millis(1_100)).await;
        }
        assert_eq!(one.synced, 3);
        one.says(protocol::step_1(&[0])).await.unwrap();
        one.hears_for(Duration::from_millis(500)).await;
        assert_eq!(one.synced, 3);
        let mut other = world.painter(board, &host, 2).await;
        other.draws("a", 1).await;
        other.until(|painter| painter.shown.len() == 1).await;
        one.hears_for(Duration::from_secs(5)).await;
        assert_eq!((one.synced, one.closed), (4, None), "though it did not ask again");
    });
}

#[test]
fn a_state_is_put_back_aside() {
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        let before = one.sees();
        let ask = |ask: AskBoard| {
            let (meetings, key) = (world.meetings.clone(), world.key.clone());
            actix::spawn(async move { meetings.ask_board(&key, board, ask).await.unwrap() })
        };
        let snapshot = Uuid::now_v7();
        ask(AskBoard::Keep { id: snapshot, name: "As it was".into(), by: None }).await.unwrap();
        one.draws("b", 2).await;
        one.until(|painter| painter.shown.len() == 2).await;
        let places = world.nothing_is_drawn_aside().await;
        let restored = ask(AskBoard::Restore { request: Uuid::now_v7(), snapshot });
        let other = host.board(json!({ "name": "Other" })).await;
        let mut two = world.painter(other, &host, 2).await;
        two.draws("c", 1).await;
        two.until(|painter| painter.shown.len() == 1).await;
        let stroke = sends(&one, vec![protocol::update(&one.paints("d", 1))]);
        two.hears_for(Duration::from_millis(100)).await;
        assert!(!restored.is_finished() && !stroke.is_finished());
        drop(places);
        restored.await.unwrap();
        stroke.await.unwrap();
        one.until(|painter| painter.shown.len() == 4).await;
        assert_eq!(one.sees().len(), before.len() + 1, "what was drawn meanwhile comes behind it");
        assert!(one.sees().contains_key("d") && !one.sees().contains_key("b"));
    });
}
