//! A board that grows old: many who draw and drop, ten thousand strokes, states that are made of the log while
//! people draw, and strokes that are too large.

use super::clients::at;
use super::painter::Painter;
use super::party::Party;
use super::{Way, person};
use crate::{client, meeting, server};
use convoke_loadtest::board::door::{Door, make_board};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::json;
use sqlx::{Connection, PgConnection, SqliteConnection};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A meeting, its host, and a board of it.
async fn opened(server: &Server) -> (String, Client, String) {
    let id = meeting(server, json!({})).await;
    let host = person(server, &id, "host", "host").await;
    let board = make_board(&host, "Plan").await.unwrap();
    (id, host, board)
}

async fn party(server: &Server, meeting: &str, board: &str, many: usize, drop_every: Option<Duration>) -> Party {
    let mut doors = Vec::new();
    for number in 0..many {
        let name = format!("person-{number}");
        let client = client(server, meeting, Some(&name), &name, "participant");
        client.joined().await.unwrap();
        doors.push(Door::of(client, board));
    }
    Party::comes(doors, 30.0, drop_every).await
}

/// A database whose tables the test may look into.
struct Looked {
    url: String,
    /// Of a database in a file.
    folder: Option<PathBuf>,
}

impl Looked {
    fn file() -> Self {
        let folder = std::env::temp_dir().join(format!("convoke-board-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder).unwrap();
        Self { url: format!("sqlite://{}/convoke.db", folder.display()), folder: Some(folder) }
    }

    async fn number(&self, question: &'static str) -> i64 {
        if self.folder.is_some() {
            let mut database = SqliteConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(question).fetch_one(&mut database).await.unwrap()
        } else {
            let mut database = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(question).fetch_one(&mut database).await.unwrap()
        }
    }

    async fn until(&self, question: &'static str, is_it: impl Fn(i64) -> bool) -> i64 {
        let began = Instant::now();
        loop {
            let number = self.number(question).await;
            if is_it(number) {
                return number;
            }
            assert!(began.elapsed().as_secs() < 120, "{question} went on saying {number}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Looked {
    fn drop(&mut self) {
        if let Some(folder) = &self.folder {
            let _ = std::fs::remove_dir_all(folder);
        }
    }
}

/// Somebody who comes back draws on before they are asked what they drew meanwhile.
#[tokio::test]
async fn whoever_comes_back_may_draw_at_once() {
    let server = server(&[]).await;
    let (_, host, board) = opened(&server).await;
    let way = Way::ask(&host, &board).await;
    let (away, stays) = (Painter::new(&way).await, Painter::new(&way).await);
    away.paints("away", "unsaid");
    let back = away.again(&way).await.unwrap();
    for number in 0..20 {
        back.draws(&format!("e{number}"), "at once");
    }
    stays.until("all of it", |seen| (seen.elements().len() == 21).then_some(())).await;
    assert_eq!(back.seen().closed, None);
}

/// Rows behind the state, and how many updates it stands for.
const ROWS: &str = "SELECT count(*) FROM whiteboard_updates";
const JOINED: &str = "SELECT max(state_number) FROM whiteboard_heads";
const STATES: &str = "SELECT count(*) FROM whiteboard_states";

/// Some clients never saw some strokes.
#[tokio::test]
async fn everybody_sees_every_stroke_however_often_they_drop() {
    let server = server(&[]).await;
    let (id, host, board) = opened(&server).await;
    let party = party(&server, &id, &board, 6, Some(Duration::from_secs(1))).await;
    party.draws();
    party.until("strokes and drops", |record, _| record.drawn >= 100 && record.drops >= 3).await;
    let fresh = Painter::new(&Way::ask(&host, &board).await).await;
    party.agrees(&fresh).await;
    party.ends().await;
}

/// The cost of a board grew with its age.
#[tokio::test]
async fn after_ten_thousand_strokes_the_log_is_short_and_so_is_the_way_in() {
    let looked = Looked::file();
    let fast = ("CONVOKE_WHITEBOARD_MESSAGES_PER_S", "1000000");
    let short = ("CONVOKE_WHITEBOARD_LOG_UPDATES_MAX", "4096");
    let server = server(&[("CONVOKE_DATABASE_URL", &looked.url), fast, short]).await;
    let (_, host, board) = opened(&server).await;
    let way = Way::ask(&host, &board).await;
    let (ada, bob) = (Painter::new(&way).await, Painter::new(&way).await);
    const ALL: usize = 10_000;
    for number in 0..ALL {
        ada.draws(&format!("e{}", number % 20), &format!("stroke {number}"));
    }
    ada.until("every stroke", |seen| (seen.updates == ALL).then_some(())).await;
    bob.until("every stroke", |seen| (seen.updates == ALL).then_some(())).await;
    // Rows give way to a state, and the state says no more than what is there.
    let rows = looked.until(ROWS, |rows| rows <= 4_096).await;
    let joined = looked.number(JOINED).await;
    assert_eq!(joined + rows, i64::try_from(ALL).unwrap(), "none is missing and none is there twice");
    assert_eq!(looked.number(STATES).await, 1, "one state has taken the other's place");
    ada.draws("e0", "the last");
    bob.until("the last", |seen| (seen.updates > ALL).then_some(())).await;
    let fresh = Painter::new(&way).await;
    fresh.until("what ada has", |seen| (seen.document() == ada.seen().document()).then_some(())).await;
    let seen = fresh.seen();
    assert_eq!(seen.elements().len(), 20);
    assert!(seen.updates <= 4_097, "{} updates behind the state", seen.updates);
}

/// An edit that was made while the document was being saved was lost.
async fn is_kept_while_it_is_joined(looked: &Looked) {
    // So that there is soon enough to be joined again.
    let short = ("CONVOKE_WHITEBOARD_LOG_UPDATES_MAX", "64");
    let settings = [("CONVOKE_DATABASE_URL", looked.url.as_str()), ("CONVOKE_NODE_ID", "joining"), short];
    let mut server = server(&settings).await;
    let (id, host, board) = opened(&server).await;
    let party = party(&server, &id, &board, 6, None).await;
    // So that it takes a while.
    let way = Way::ask(&host, &board).await;
    let heavy = Painter::new(&way).await;
    party.draws();
    let mut joined = 0;
    for round in 0..4 {
        for number in 0..4 {
            heavy.draws(&format!("heavy {number}"), &format!("{round}{}", "x".repeat(300_000)));
        }
        let before = joined;
        joined = looked.until(JOINED, |joined| joined > before).await;
        party.goes_on().await;
    }
    assert_eq!(heavy.seen().closed, None);
    let shown = heavy.seen().shown.clone();
    server.kill().unwrap();
    server.run().await.unwrap();
    party.goes_on().await;
    let fresh = Painter::new(&Way::ask(&host, &board).await).await;
    party.agrees(&fresh).await;
    assert_eq!(fresh.seen().shows().missing(&shown), None);
    party.ends().await;
}

#[tokio::test]
async fn what_is_drawn_while_the_log_is_joined_is_kept() {
    is_kept_while_it_is_joined(&Looked::file()).await;
}

#[tokio::test]
async fn what_is_drawn_while_the_log_is_joined_is_kept_on_postgres() {
    let Ok(url) = std::env::var("CONVOKE_TEST_POSTGRES_URL") else {
        println!("SKIPPED: CONVOKE_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return;
    };
    let url = crate::rest::fresh_database(&url).await;
    is_kept_while_it_is_joined(&Looked { url, folder: None }).await;
}

/// One update of more than a megabyte killed the socket, again and again.
#[tokio::test]
async fn what_is_too_large_closes_one_socket_and_its_client_can_begin_afresh() {
    let server = server(&[]).await;
    let (id, host, board) = opened(&server).await;
    let guest = person(&server, &id, "bob", "participant").await;
    let (mine, theirs) = (Way::ask(&guest, &board).await, Way::ask(&host, &board).await);
    let (offender, other) = (Painter::new(&mine).await, Painter::new(&theirs).await);
    let second = Painter::new(&mine).await;
    offender.draws("small", "first");
    other.sees("small").await;
    offender.draws("large", &"x".repeat(1 << 20));
    assert_eq!(offender.closed().await, 4500);
    other.draws("of another", "goes on");
    second.sees("of another").await;
    second.draws("of the same person", "goes on");
    other.sees("of the same person").await;
    // With nothing in hand they are let in, and can draw.
    let afresh = Painter::new(&mine).await;
    afresh.sees("of another").await;
    assert!(!afresh.seen().has("large"));
    afresh.draws("afresh", "it goes");
    other.sees("afresh").await;
    assert!(!other.seen().has("large"));
    // What is just within is taken.
    afresh.draws("at the edge", &"x".repeat((1 << 20) - 1_000));
    other.sees("at the edge").await;
}

/// What somebody drew while they were away comes in one message, and is shown to all in one. Whoever read all
/// that was before is not thrown out for it.
#[tokio::test]
async fn megabytes_that_were_drawn_away_reach_everybody_where_they_are() {
    let server = server(&[]).await;
    let (_, host, board) = opened(&server).await;
    let way = Way::ask(&host, &board).await;
    let (away, stays) = (Painter::new(&way).await, Painter::new(&way).await);
    for number in 0..5 {
        away.paints(&format!("e{number}"), &format!("{number}").repeat(700_000));
    }
    let back = away.again(&way).await.unwrap();
    stays.until("all of it", |seen| (seen.elements().len() == 5).then_some(())).await;
    assert_eq!(stays.seen().updates, 1);
    // And as many at once, each in a message of its own.
    for number in 5..10 {
        back.draws(&format!("e{number}"), &format!("{number}").repeat(700_000));
    }
    stays.until("all of it", |seen| (seen.elements().len() == 10).then_some(())).await;
    stays.draws("last", "of all");
    back.sees("last").await;
    assert_eq!((back.seen().closed, stays.seen().closed), (None, None));
}

/// The same with the real Yjs, which comes again by itself, with a message that is too large for a board.
#[tokio::test]
async fn a_browser_with_too_much_harms_nobody_and_one_that_is_loaded_afresh_draws() {
    if std::env::var("CONVOKE_TEST_YJS").is_err() {
        println!("SKIPPED: there is no Yjs: CONVOKE_TEST_YJS is not set; `cargo xtask test` brings it where it can");
        return;
    }
    let server = server(&[]).await;
    let (id, host, board) = opened(&server).await;
    let guest = person(&server, &id, "bob", "participant").await;
    let other = Painter::new(&Way::ask(&host, &board).await).await;
    let way = Way::ask(&guest, &board).await;
    let mut bob = at(&way, "bob");
    bob.synced().await;
    bob.set(json!({ "id": "large", "says": "x".repeat(5 << 20) })).await;
    for _ in 0..3 {
        assert_eq!(bob.closed().await, 4500);
        other.draws("of another", "goes on");
    }
    drop(bob);
    let mut afresh = at(&way, "bob");
    afresh.synced().await;
    afresh.sees("of another", json!({})).await;
    afresh.set(json!({ "id": "afresh", "says": "it goes" })).await;
    other.sees("afresh").await;
    assert!(!other.seen().has("large"));
    assert_eq!(other.seen().closed, None);
}
