//! Boards: what was shown is kept and what is kept is shown; who may draw is asked for every message; and one
//! client that is broken, or means harm, harms nobody.

mod common;

use common::{Weather, board_bounds, run, run_with};
use convoke_actors::ports::Store;
use convoke_actors::whiteboard::document::Bounds;
use convoke_actors::whiteboard::protocol;
use convoke_actors::whiteboard::words::AskBoard;
use convoke_domain::CloseCode;
use convoke_domain::shapes::Role;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use uuid::Uuid;
use yrs::any;

#[test]
fn what_one_draws_the_others_see() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &guest, 2).await);
        one.draws("a", any!({ "type": "line", "x": 1.5 })).await;
        two.until(|painter| painter.sees().len() == 1).await;
        two.draws("b", 2).await;
        one.until(|painter| painter.sees().len() == 2).await;
        assert_eq!(one.sees(), two.sees());
        let mut late = world.painter(board, &guest, 3).await;
        late.until(|painter| painter.sees().len() == 2).await;
        assert_eq!(late.sees(), one.sees());
        let log = world.store.board(&world.key, board).await.unwrap();
        assert_eq!(log.updates.len(), 2, "what brings nothing new is not kept");
    });
}

#[test]
fn the_way_to_a_board_is_told_to_whoever_sees_it() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let mut viewer = world.join("eve", Role::Viewer).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let way = host.ask("whiteboard.open", json!({ "whiteboard": board })).await;
        assert_eq!(way["data"]["writable"], true, "{way}");
        assert!(way["data"]["url"].as_str().unwrap().ends_with(&format!("/ws/whiteboards/{board}")));
        assert!(way["data"]["token"].is_string());
        let way = viewer.ask("whiteboard.open", json!({ "whiteboard": board })).await;
        assert_eq!(way["data"]["writable"], false, "{way}");
        let unknown = viewer.ask("whiteboard.open", json!({ "whiteboard": Uuid::now_v7() })).await;
        assert_eq!(unknown["error"]["code"], "not_found");
    });
}

#[test]
fn nothing_is_shown_before_it_is_kept() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        world.store.forecast(&[Weather::Stalled]);
        one.sends(protocol::update(&one.paints("a", 1)));
        two.hears_for(Duration::from_millis(500)).await;
        assert!(two.sees().is_empty() && one.shown.is_empty());
        // Also who asks for all of it is told no more than is kept.
        two.sends(protocol::step_1(&[0]));
        two.hears_for(Duration::from_millis(500)).await;
        assert!(two.sees().is_empty());
        world.store.forecast(&[]);
        two.until(|painter| painter.sees().len() == 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
    });
}

#[test]
fn what_could_not_be_kept_is_shown_to_nobody_and_comes_again() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        one.draws("kept", 1).await;
        two.until(|painter| painter.sees().len() == 1).await;
        world.store.forecast(&[Weather::Away]);
        one.sends(protocol::update(&one.paints("lost", 2)));
        two.until_closed(CloseCode::GoingAway).await;
        assert_eq!(two.sees().len(), 1);
        one.until_closed(CloseCode::GoingAway).await;
        two.comes_again().await.unwrap();
        assert_eq!(two.sees().len(), 1);
        one.comes_again().await.unwrap();
        two.until(|painter| painter.sees().len() == 2).await;
        assert_eq!(one.sees(), two.sees(), "whoever drew it still has it, and brings it");
    });
}

#[test]
fn who_may_draw_is_asked_for_every_message() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let viewer = world.join("eve", Role::Viewer).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &guest, 2).await);
        let mut reader = world.painter(board, &viewer, 3).await;
        one.draws("a", 1).await;
        reader.until(|painter| painter.sees().len() == 1).await;
        reader.says(protocol::update(&reader.paints("mine", 1))).await.unwrap();
        reader.until_closed(CloseCode::ProtocolError).await;
        assert!(reader.denied.as_deref().unwrap().contains("not_permitted"));
        two.draws("b", 1).await;
        one.until(|painter| painter.sees().len() == 2).await;
        let answer = host.ask("whiteboard.update", json!({ "whiteboard": board, "access": "hosts" })).await;
        assert_eq!(answer["ok"], true, "{answer}");
        two.until(|painter| painter.sees().len() == 2).await;
        // It was open a moment ago; and what is known already is no offence.
        two.says(protocol::update(&two.shown.last().unwrap().clone())).await.unwrap();
        two.draws("c", 1).await;
        two.until_closed(CloseCode::ProtocolError).await;
        one.draws("d", 1).await;
        one.until(|painter| painter.shown.len() == 3).await;
        assert_eq!(one.sees().len(), 3);
        // With what it drew it is not let in, and told to load afresh.
        two.comes_again().await.unwrap();
        two.until_closed(CloseCode::ProtocolError).await;
        let mut fresh = world.painter(board, &guest, 4).await;
        fresh.until(|painter| painter.sees().len() == 3).await;
        assert_eq!(fresh.sees(), one.sees());
        let log = world.store.board(&world.key, board).await.unwrap();
        assert_eq!(log.updates.len(), 3);
    });
}

#[test]
fn whoever_goes_from_the_meeting_goes_from_its_boards() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        let cy = world.join("cy", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let mut left = world.painter(board, &bob, 1).await;
        let mut removed = world.painter(board, &cy, 2).await;
        bob.command("leave", json!({})).await;
        left.until_closed(CloseCode::Left).await;
        assert!(left.comes_again().await.is_err(), "the token went with the session");
        host.ask("participant.remove", json!({ "participant": cy.id() })).await;
        removed.until_closed(CloseCode::Removed).await;
        let mut own = world.painter(board, &host, 3).await;
        host.ask("whiteboard.delete", json!({ "whiteboard": board })).await;
        own.until_closed(CloseCode::Denied).await;
        let another = host.board(json!({ "name": "Another" })).await;
        let mut own = world.painter(another, &host, 3).await;
        host.command("meeting.end", json!({})).await;
        own.until_closed(CloseCode::MeetingEnded).await;
    });
}

#[test]
fn a_board_of_another_room_is_not_open() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let bob = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let mut painter = world.painter(board, &bob, 1).await;
        let rooms = json!([{ "name": "A", "participants": [bob.id()] }]);
        host.ask("breakout.open", json!({ "rooms": rooms, "assign": "manual" })).await;
        painter.until_closed(CloseCode::Denied).await;
        assert!(painter.comes_again().await.is_err());
        // Whoever leads sees the boards of all rooms, wherever they are.
        let mut own = world.painter(board, &host, 2).await;
        own.draws("a", 1).await;
        own.until(|painter| painter.shown.len() == 1).await;
    });
}

#[test]
fn nobody_speaks_for_another() {
    run(|world| async move {
        let mut host = world.join("ada", Role::Host).await;
        let guest = world.join("bob", Role::Participant).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        let (one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &guest, 2).await);
        one.points(1, 1, "\"ada\"").await;
        two.until(|painter| painter.cursors.len() == 1).await;
        two.points(1, 9, "\"not ada\"").await;
        two.points(2, 1, "\"bob\"").await;
        two.until(|painter| painter.cursors.len() == 2).await;
        assert_eq!(two.cursors[&1], "\"ada\"");
        let mut late = world.painter(board, &guest, 3).await;
        late.until(|painter| painter.cursors.len() == 2).await;
        one.outlet.hang_up();
        let gone = AskBoard::Gone { socket: one.socket };
        world.meetings.ask_board(&world.key, board, gone).await.unwrap();
        two.until(|painter| painter.cursors.len() == 1).await;
        assert!(!two.cursors.contains_key(&1));
    });
}

/// An edit that comes while a state is made of the log is behind it.
#[test]
fn nothing_is_lost_while_the_log_is_joined() {
    run_with(Bounds { tail_updates_max: 1_024, ..board_bounds() }, |world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        for n in 0..9_000_i64 {
            one.draws(&format!("e{}", n % 50), n).await;
            if n % 500 == 0 {
                one.hears_for(Duration::from_secs(6)).await;
                host.ask("participants.list", json!({})).await;
            }
        }
        one.until(|painter| painter.shown.len() == 9_000).await;
        let log = world.store.board(&world.key, board).await.unwrap();
        let (upto, _) = log.state.clone().expect("it was joined");
        assert!(upto >= 1_024 && log.head() == 9_000, "{upto} {}", log.head());
        let mut two = world.painter(board, &host, 2).await;
        two.until(|painter| painter.sees() == one.sees()).await;
        assert_eq!(two.vector(), one.vector());
    });
}

#[test]
fn a_board_that_nobody_has_open_is_put_away_and_read_again() {
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        one.goes().await;
        assert!(world.meetings.env().whiteboards.find(board).is_some());
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            host.ask("participants.list", json!({})).await;
        }
        assert!(world.meetings.env().whiteboards.find(board).is_none());
        let mut two = world.painter(board, &host, 2).await;
        two.until(|painter| painter.sees().len() == 1).await;
    });
}

/// So it is soon read when it is woken. What is little stays as it is.
#[test]
fn a_board_that_is_put_away_is_joined_first() {
    run_with(Bounds { tail_updates_max: 80, ..board_bounds() }, |world| async move {
        let (mut host, little) = world.with_board().await;
        let much = host.board(json!({ "name": "Much" })).await;
        for (board, strokes) in [(little, 9_i64), (much, 10)] {
            let mut one = world.painter(board, &host, 1).await;
            for n in 0..strokes {
                one.draws("a", n).await;
            }
            one.until(|painter| painter.shown.len() == usize::try_from(strokes).unwrap()).await;
            assert_eq!(world.store.board(&world.key, board).await.unwrap().state, None);
            one.goes().await;
        }
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            host.ask("participants.list", json!({})).await;
        }
        for (board, upto) in [(little, None), (much, Some(10))] {
            assert!(world.meetings.env().whiteboards.find(board).is_none());
            let log = world.store.board(&world.key, board).await.unwrap();
            assert_eq!(log.state.map(|(upto, _)| upto), upto);
            let mut two = world.painter(board, &host, 2).await;
            two.until(|painter| painter.sees().len() == 1).await;
        }
    });
}

/// The meeting goes as soon as the board, and takes it along.
#[test]
fn a_board_that_is_left_with_its_meeting_is_joined_first() {
    run_with(Bounds { tail_updates_max: 80, ..board_bounds() }, |world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        for n in 0..10 {
            one.draws("a", n).await;
        }
        one.until(|painter| painter.shown.len() == 10).await;
        one.goes().await;
        host.hang_up().await;
        drop(host);
        tokio::time::sleep(Duration::from_secs(180)).await;
        assert!(!world.meetings.is_active(&world.key));
        let log = world.store.board(&world.key, board).await.unwrap();
        assert_eq!(log.state.map(|(upto, _)| upto), Some(10));
    });
}

/// Of many that are left at once, whoever cannot have the place goes without.
#[test]
fn boards_that_are_left_are_joined_one_at_a_time() {
    run_with(Bounds { tail_updates_max: 80, ..board_bounds() }, |world| async move {
        let (mut host, board) = world.with_board().await;
        let place = world.meetings.env().whiteboards.leaving.clone().acquire_owned().await.unwrap();
        let mut one = world.painter(board, &host, 1).await;
        for n in 0..10 {
            one.draws("a", n).await;
        }
        one.until(|painter| painter.shown.len() == 10).await;
        one.goes().await;
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            host.ask("participants.list", json!({})).await;
        }
        assert!(world.meetings.env().whiteboards.find(board).is_none());
        assert_eq!(world.store.board(&world.key, board).await.unwrap().state, None);
        // One that somebody looks at needs no such place.
        let mut two = world.painter(board, &host, 2).await;
        for n in 0..80 {
            two.draws("a", n).await;
        }
        two.until(|painter| painter.shown.len() >= 80).await;
        two.hears_for(Duration::from_secs(6)).await;
        assert!(world.store.board(&world.key, board).await.unwrap().state.is_some());
        drop(place);
    });
}

/// While the database is away it is put away as it is.
#[test]
fn a_board_that_cannot_be_joined_is_put_away_all_the_same() {
    run_with(Bounds { tail_updates_max: 8, ..board_bounds() }, |world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        one.goes().await;
        world.store.forecast(&[Weather::Away]);
        for _ in 0..9 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            host.ask("participants.list", json!({})).await;
        }
        assert!(world.meetings.env().whiteboards.find(board).is_none());
        world.store.forecast(&[]);
        assert_eq!(world.store.board(&world.key, board).await.unwrap().state, None);
    });
}

#[test]
fn a_hub_that_missed_a_word_has_its_clients_come_again() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        world.bus.loses_shown.store(1, Ordering::SeqCst);
        one.draws("a", 1).await;
        two.until_closed(CloseCode::GoingAway).await;
        one.until_closed(CloseCode::GoingAway).await;
        two.comes_again().await.unwrap();
        two.until(|painter| painter.sees().len() == 1).await;
        // And a board that says nothing more is left.
        world.bus.loses_shown.store(u32::MAX, Ordering::SeqCst);
        two.until_closed(CloseCode::GoingAway).await;
    });
}

#[test]
fn a_meeting_that_is_read_anew_has_its_boards_come_again() {
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        world.store.forecast(&[Weather::Away]);
        host.post("the commit fails").await;
        one.until_closed(CloseCode::GoingAway).await;
        one.paints("away", 2);
        one.comes_again().await.unwrap();
        one.until(|painter| painter.shown.len() == 2).await;
        let log = world.store.board(&world.key, board).await.unwrap();
        assert_eq!(log.updates.len(), 2);
    });
}

#[test]
fn a_copy_begins_with_what_is_there_and_goes_its_own_way() {
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        let copy = host.board(json!({ "name": "Copy", "copy_of": board })).await;
        one.draws("later", 1).await;
        let mut two = world.painter(copy, &host, 2).await;
        two.until(|painter| painter.sees().len() == 1).await;
        two.draws("own", 1).await;
        two.until(|painter| painter.shown.len() == 1).await;
        one.until(|painter| painter.shown.len() == 2).await;
        assert!(one.sees().contains_key("later") && !one.sees().contains_key("own"));
        assert!(two.sees().contains_key("own") && !two.sees().contains_key("later"));
    });
}

#[test]
fn what_was_kept_comes_back_for_everybody() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        let before = one.sees();
        let id = Uuid::now_v7();
        let keep = AskBoard::Keep { id, name: "As it was".into(), by: None };
        world.meetings.ask_board(&world.key, board, keep).await.unwrap();
        let kept = world.store.board_snapshots(&world.key, board).await.unwrap();
        assert_eq!((kept[0].id, kept[0].name.as_str()), (id, "As it was"));
        two.draws("a", 2).await;
        two.draws("b", 2).await;
        two.until(|painter| painter.shown.len() == 3).await;
        let restore = AskBoard::Restore { request: Uuid::now_v7(), snapshot: id };
        world.meetings.ask_board(&world.key, board, restore).await.unwrap();
        one.until(|painter| painter.sees() == before).await;
        two.until(|painter| painter.sees() == before).await;
        let unknown = AskBoard::Restore { request: Uuid::now_v7(), snapshot: Uuid::now_v7() };
        let refused = world.meetings.ask_board(&world.key, board, unknown).await.unwrap_err();
        assert_eq!(refused.code, convoke_domain::Code::NotFound);
    });
}

/// What was drawn since a restore was gone once its answer was lost, and it was asked for again.
#[test]
fn a_restore_that_is_asked_for_again_is_drawn_once() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        let snapshot = Uuid::now_v7();
        let ask = async |ask: AskBoard| world.meetings.ask_board(&world.key, board, ask).await;
        ask(AskBoard::Keep { id: snapshot, name: "As it was".into(), by: None }).await.unwrap();
        let restore = |request| AskBoard::Restore { request, snapshot };
        // There is nothing to be drawn: that counts, too.
        let nothing = Uuid::now_v7();
        ask(restore(nothing)).await.unwrap();
        one.draws("b", 2).await;
        one.until(|painter| painter.shown.len() == 2).await;
        ask(restore(nothing)).await.unwrap();
        assert_eq!(world.store.board(&world.key, board).await.unwrap().updates.len(), 2);
        // Twice at once.
        let request = Uuid::now_v7();
        let (first, second) = tokio::join!(ask(restore(request)), ask(restore(request)));
        first.and(second).unwrap();
        one.until(|painter| !painter.sees().contains_key("b")).await;
        one.draws("c", 3).await;
        one.until(|painter| painter.shown.len() == 4).await;
        ask(restore(request)).await.unwrap();
        assert_eq!(world.store.board(&world.key, board).await.unwrap().updates.len(), 4);
        // It is written, nobody hears of it, and the board is read anew.
        let request = Uuid::now_v7();
        world.store.forecast(&[Weather::Unknown]);
        ask(restore(request)).await.unwrap();
        one.comes_again().await.unwrap();
        assert!(!one.sees().contains_key("c"));
        one.draws("d", 4).await;
        one.until(|painter| painter.shown.len() == 5).await;
        world.store.forecast(&[Weather::Away]);
        one.sends(protocol::update(&one.paints("e", 5)));
        one.until(|painter| painter.closed.is_some()).await;
        one.comes_again().await.unwrap();
        ask(restore(request)).await.unwrap();
        let mut late = world.painter(board, &host, 2).await;
        late.until(|painter| painter.sees().len() == 3).await;
        assert!(late.sees().contains_key("d") && late.sees().contains_key("e"));
        assert_eq!(world.store.board(&world.key, board).await.unwrap().restored, Some(request));
    });
}

#[test]
fn one_snapshot_is_kept_at_a_time_and_few_wait() {
    run(|world| async move {
        let (host, board) = world.with_board().await;
        let mut one = world.painter(board, &host, 1).await;
        one.draws("a", 1).await;
        one.until(|painter| painter.shown.len() == 1).await;
        let keep = |name: String| {
            let ask = AskBoard::Keep { id: Uuid::now_v7(), name, by: None };
            world.meetings.ask_board(&world.key, board, ask)
        };
        let answers = futures_util::future::join_all((0..8).map(|n| keep(n.to_string()))).await;
        let kept = world.store.board_snapshots(&world.key, board).await.unwrap();
        let refused: Vec<_> = answers.into_iter().filter_map(Result::err).map(|error| error.code).collect();
        assert_eq!((kept.len(), refused), (5, vec![convoke_domain::Code::Unavailable; 3]));
        let names: Vec<&str> = kept.iter().map(|snapshot| snapshot.name.as_str()).collect();
        assert_eq!(names, ["4", "3", "2", "1", "0"], "in their turn, whatever the clock says");
        keep("after".into()).await.unwrap();
    });
}
