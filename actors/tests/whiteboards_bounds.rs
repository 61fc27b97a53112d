//! What a board bears: clients that say too much, too often or what is no message, and a board that is full.

mod common;

use bytes::Bytes;
use common::{Weather, board_bounds, run};
use convoke_actors::ports::Store;
use convoke_actors::whiteboard::SESSION_GUESTS_MAX;
use convoke_actors::whiteboard::protocol;
use convoke_actors::whiteboard::words::AskBoard;
use convoke_domain::CloseCode;
use serde_json::json;
use std::time::Duration;
use uuid::Uuid;
use yrs::{Map, Transact};

#[test]
fn what_is_no_message_closes_its_socket_and_no_other() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut good = world.painter(board, &host, 1).await;
        let large = "x".repeat(board_bounds().update_bytes_max);
        let long = format!("\"{}\"", "x".repeat(20_000));
        let cursor = protocol::Presence { client: 5, clock: 1, state: long };
        let bad: [(Bytes, &str); 6] = [
            (Bytes::from_static(&[9, 9]), "bad_request"),
            (Bytes::new(), "bad_request"),
            (protocol::update(&[1, 1, 1]), "bad_request"),
            (protocol::update(&good.paints("elsewhere", large)), "too_large"),
            (protocol::cursors([&cursor].into_iter()), "too_large"),
            (protocol::update(&[0xFF, 0xFF, 0xFF, 0xFF, 0x0F]), "bad_request"),
        ];
        for (number, (frame, code)) in bad.into_iter().enumerate() {
            let mut painter = world.painter(board, &host, 10 + u64::try_from(number).unwrap()).await;
            painter.says(frame).await.unwrap();
            painter.until_closed(CloseCode::ProtocolError).await;
            assert!(painter.denied.as_deref().unwrap().contains(code), "{number}: {:?}", painter.denied);
        }
        let mut other = world.painter(board, &host, 30).await;
        good = world.painter(board, &host, 31).await;
        good.draws("a", 1).await;
        other.until(|painter| painter.sees().len() == 1).await;
    });
}

/// What comes behind an offence is not taken, and what is said of the offence stays.
#[test]
fn whoever_is_sent_away_hears_why_though_they_said_more() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        // The word that sends it away waits for what was drawn before.
        world.store.forecast(&[Weather::Stalled]);
        one.sends(protocol::update(&one.paints("a", 1)));
        two.sends(Bytes::from_static(&[9, 9]));
        two.sends(protocol::update(&two.paints("behind", 1)));
        one.hears_for(Duration::from_millis(500)).await;
        world.store.forecast(&[]);
        two.until_closed(CloseCode::ProtocolError).await;
        one.until(|painter| painter.shown.len() == 1).await;
        assert!(!one.sees().contains_key("behind"));
    });
}

#[test]
fn what_an_update_builds_on_is_asked_for_once() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.paints("unsaid", 1);
        one.draws("said", 2).await;
        one.until(|painter| painter.shown.len() == 1).await;
        // More of it comes before the question is answered.
        let mut two = world.painter(board, &host, 2).await;
        two.until(|painter| painter.sees().len() == 2).await;
        two.paints("unsaid as well", 1);
        let (first, second) = (two.paints("x", 1), two.paints("y", 1));
        let ask =
            AskBoard::Frames { socket: two.socket, frames: vec![protocol::update(&first), protocol::update(&second)] };
        world.meetings.ask_board(&world.key, board, ask).await.unwrap();
        // The board's log, and then what it was asked for.
        two.until(|painter| painter.shown.len() == 2).await;
        one.until(|painter| painter.sees().len() == 5).await;
        assert_eq!(one.sees(), two.sees());
        // What hangs in the air is left out of all that somebody has.
        drop(two.paints("never", 1));
        let beyond = two.paints("beyond", 1);
        two.says(protocol::step_2(&beyond)).await.unwrap();
        one.draws("last", 1).await;
        two.until(|painter| painter.sees().contains_key("last")).await;
        one.until(|painter| painter.sees().contains_key("last")).await;
        assert!(two.closed.is_none() && !one.sees().contains_key("beyond"));
    });
}

#[test]
fn a_full_board_says_so_and_goes_on() {
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        let some = board_bounds().update_bytes_max - 1_000;
        // Erased at once, it takes no room when the log is joined.
        for n in 0..40 {
            one.draws("same", format!("{n}{}", "x".repeat(some))).await;
            one.hears_for(Duration::from_secs(6)).await;
            host.ask("participants.list", json!({})).await;
            assert_eq!(one.closed, None, "{n}: {:?}", one.denied);
        }
        for n in 0..40 {
            one.says(protocol::update(&one.paints(&format!("{n}"), "x".repeat(some)))).await.unwrap_or_default();
            one.hears_for(Duration::from_secs(6)).await;
            host.ask("participants.list", json!({})).await;
        }
        one.until_closed(CloseCode::ProtocolError).await;
        assert!(one.denied.as_deref().unwrap().contains("capacity"), "{:?}", one.denied);
        let log = world.store.board(&world.key, board).await.unwrap();
        assert!(log.bytes() <= board_bounds().board_bytes_max, "{}", log.bytes());
        let mut two = world.painter(board, &host, 2).await;
        two.draws("small", 1).await;
        two.until(|painter| painter.shown.len() == 1).await;
    });
}

/// As fast as it comes: a board whose log is long because nobody could join it yet keeps who draws waiting,
/// and sends nobody away.
#[test]
fn who_draws_faster_than_the_log_is_joined_waits() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        let some = "x".repeat(board_bounds().update_bytes_max - 1_000);
        let count = 4 * board_bounds().board_bytes_max / some.len();
        for n in 0..count {
            one.draws("same", format!("{n}{some}")).await;
            one.until(|painter| painter.shown.len() > n || painter.closed.is_some()).await;
            assert_eq!(one.closed, None, "{n}: {:?}", one.denied);
        }
        let log = world.store.board(&world.key, board).await.unwrap();
        assert!(log.bytes() <= board_bounds().board_bytes_max, "{}", log.bytes());
        assert_eq!(log.head(), u64::try_from(count).unwrap());
    });
}

/// A few bytes ask for the whole board: it is given once for all that ask in a moment.
#[test]
fn whoever_asks_again_and_again_is_answered_once_in_a_while() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let one = world.painter(board, &host, 1).await;
        one.draws("a", "x".repeat(1_000)).await;
        let mut two = world.painter(board, &host, 2).await;
        // Of a board that has somebody in it whom nobody knows.
        let ask = AskBoard::Frames { socket: two.socket, frames: vec![protocol::step_1(&[1, 99, 1]); 60] };
        two.hears_for(Duration::from_secs(2)).await;
        two.synced = 0;
        for _ in 0..20 {
            world.meetings.ask_board(&world.key, board, ask.clone()).await.unwrap();
        }
        two.hears_for(Duration::from_millis(500)).await;
        assert_eq!(two.synced, 1, "at once");
        two.hears_for(Duration::from_secs(5)).await;
        assert_eq!(two.synced, 2, "and once more, a moment later");
        assert_eq!(two.closed, None);
    });
}

#[test]
fn a_session_has_so_many_sockets_at_a_board_and_no_more() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut first = world.painter(board, &host, 1).await;
        let mut others = Vec::new();
        for client in 2..=u64::try_from(SESSION_GUESTS_MAX).unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
            others.push(world.painter(board, &host, client).await);
        }
        first.hears_for(Duration::from_millis(10)).await;
        assert_eq!(first.closed, None);
        let last = world.painter(board, &host, 1_000).await;
        first.until_closed(CloseCode::Replaced).await;
        last.draws("a", 1).await;
        others[0].until(|painter| painter.sees().len() == 1).await;
    });
}

/// A large board, or many at once after a node is gone: whoever comes waits, and has not to come again.
#[test]
fn a_board_that_is_long_in_being_read_is_waited_for() {
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let other = host.board(json!({ "name": "Other" })).await;
        *world.store.reads_boards_in.lock().unwrap() = Duration::from_secs(20);
        let mut one = world.painter(board, &host, 1).await;
        assert_eq!(one.closed, None);
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        // Longer than whoever waits can tell it from one that will say nothing more.
        *world.store.reads_boards_in.lock().unwrap() = Duration::from_secs(60);
        let mut two = world.easel(other, &host, 2);
        let _ = two.comes_again().await;
        two.until_closed(CloseCode::GoingAway).await;
    });
}

/// Each restore may be as large as a board: they do not add up.
#[test]
fn a_board_that_is_put_back_again_and_again_stays_within_bounds() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        let some = "x".repeat(board_bounds().update_bytes_max - 1_000);
        for n in 0..7 {
            one.draws(&n.to_string(), some.clone()).await;
        }
        let ask = async |ask: AskBoard| world.meetings.ask_board(&world.key, board, ask).await;
        let (full, empty) = (Uuid::now_v7(), Uuid::now_v7());
        ask(AskBoard::Keep { id: full, name: "full".into(), by: None }).await.unwrap();
        for n in 0..7 {
            let elements = one.doc.get_or_insert_map("elements");
            let erasure = {
                let mut txn = one.doc.transact_mut();
                elements.remove(&mut txn, &n.to_string());
                txn.encode_update_v1()
            };
            one.says(protocol::update(&erasure)).await.unwrap();
        }
        ask(AskBoard::Keep { id: empty, name: "empty".into(), by: None }).await.unwrap();
        let restore = |n: u32| AskBoard::Restore {
            request: Uuid::now_v7(),
            snapshot: if n.is_multiple_of(2) { full } else { empty },
        };
        let mut refused = 0;
        for n in 0..20 {
            if let Err(rejection) = ask(restore(n)).await {
                assert_eq!(rejection.code, convoke_domain::Code::Unavailable);
                refused += 1;
            }
        }
        let log = world.store.board(&world.key, board).await.unwrap();
        assert!(refused > 0 && log.bytes() <= 3 * board_bounds().board_bytes_max, "{} bytes", log.bytes());
        // The log is joined, and there is room again.
        one.hears_for(Duration::from_secs(2)).await;
        ask(restore(0)).await.unwrap();
        assert_eq!(one.closed, None, "{:?}", one.denied);
    });
}
