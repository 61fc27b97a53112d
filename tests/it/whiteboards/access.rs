//! Who may draw: taken away while strokes are on their way, while somebody is away, and from whoever leaves.

use super::clients::at;
use super::painter::Painter;
use super::{Way, person};
use crate::{meeting, ok, server};
use convoke_loadtest::board::door::make_board;
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::json;

struct Place {
    server: Server,
    meeting: String,
    host: Client,
    guest: Client,
    board: String,
}

async fn place() -> Place {
    let server = server(&[]).await;
    let meeting = meeting(&server, json!({})).await;
    let host = person(&server, &meeting, "ada", "host").await;
    let guest = person(&server, &meeting, "bob", "participant").await;
    let board = make_board(&host, "Plan").await.unwrap();
    Place { server, meeting, host, guest, board }
}

async fn only_hosts(host: &Client, board: &str) {
    ok(host, "whiteboard.update", json!({ "whiteboard": board, "access": "hosts" })).await;
}

/// Strokes that were drawn after write access was taken away stayed on the drawer's screen.
#[tokio::test]
async fn strokes_on_their_way_when_access_ends_are_a_beginning_and_no_more() {
    let Place { server: _server, host, guest, board, .. } = place().await;
    let (mine, theirs) = (Way::ask(&guest, &board).await, Way::ask(&host, &board).await);
    assert!(mine.is_writable && theirs.is_writable);
    let (guests, hosts) = (Painter::new(&mine).await, Painter::new(&theirs).await);
    guests.draws("before", "may");
    hosts.sees("before").await;
    let changing = only_hosts(&host, &board);
    let drawing = async {
        // As fast as they go: some find the door open, some do not.
        for number in 0.. {
            if guests.seen().closed.is_some() {
                return number;
            }
            guests.draws(&format!("{number:06}"), "perhaps");
            tokio::task::yield_now().await;
        }
        0
    };
    let ((), drawn) = tokio::join!(changing, drawing);
    assert_eq!(guests.closed().await, 4500);
    hosts.draws("after", "may");
    let again = Way::ask(&guest, &board).await;
    assert!(!again.is_writable);
    let fresh = Painter::new(&again).await;
    fresh.sees("after").await;
    hosts.sees("after").await;
    let all = hosts.seen().elements();
    assert_eq!(fresh.seen().elements(), all, "whoever comes anew sees what all see");
    let taken: Vec<usize> = all.keys().filter_map(|key| key.parse().ok()).collect();
    assert!(taken.len() < drawn, "the last that was drawn is not there");
    assert_eq!(taken, (0..taken.len()).collect::<Vec<_>>(), "they are the first of those that were drawn");
    // With what they have they are not let in again; whoever only looks stays, as long as they only look.
    let back = guests.again(&again).await.unwrap();
    assert_eq!(back.closed().await, 4500);
    fresh.draws("as a reader", "may not");
    assert_eq!(fresh.closed().await, 4500);
    hosts.draws("in the end", "may");
    let fresh = Painter::new(&again).await;
    fresh.sees("in the end").await;
    assert!(!fresh.seen().has("as a reader"));
    assert_eq!(fresh.seen().elements(), hosts.seen().elements());
}

#[tokio::test]
async fn what_was_drawn_away_when_access_ended_is_taken_by_nobody() {
    if std::env::var("CONVOKE_TEST_YJS").is_err() {
        println!("SKIPPED: there is no Yjs: CONVOKE_TEST_YJS is not set; `cargo xtask test` brings it where it can");
        return;
    }
    let Place { server: _server, host, guest, board, .. } = place().await;
    let hosts = Painter::new(&Way::ask(&host, &board).await).await;
    let way = Way::ask(&guest, &board).await;
    let mut bob = at(&way, "bob");
    bob.synced().await;
    bob.set(json!({ "id": "before", "says": "may" })).await;
    hosts.sees("before").await;
    bob.disconnect().await;
    bob.set(json!({ "id": "away", "says": "may not" })).await;
    bob.delete("before").await;
    only_hosts(&host, &board).await;
    bob.ask(json!({ "do": "connect" })).await;
    // The first was that of leaving.
    while bob.closed().await != 4500 {}
    hosts.draws("after", "may");
    let mut fresh = at(&Way::ask(&guest, &board).await, "bob");
    fresh.sees("after", json!({})).await;
    let shown = fresh.document().await;
    assert_eq!(shown["elements"].as_object().unwrap().keys().collect::<Vec<_>>(), ["after", "before"]);
    let hosts = hosts.seen();
    assert!(hosts.has("before") && !hosts.has("away"));
}

#[tokio::test]
async fn whoever_leaves_the_meeting_leaves_its_boards_and_does_not_return_by_the_same_way() {
    let Place { server, meeting, host, guest, board } = place().await;
    let way = Way::ask(&guest, &board).await;
    let (guests, hosts) = (Painter::new(&way).await, Painter::new(&Way::ask(&host, &board).await).await);
    guests.draws("before", "may");
    hosts.sees("before").await;
    guest.send("leave", json!({}));
    assert_eq!(guests.closed().await, 4508);
    let late = guests.again(&way).await.unwrap();
    late.draws("after", "may not");
    let code = late.closed().await;
    assert!((4500..4600).contains(&code), "not to come back: {code}");
    // Somebody who is removed, and a board that is deleted.
    let eve = person(&server, &meeting, "eve", "participant").await;
    let removed = Painter::new(&Way::ask(&eve, &board).await).await;
    ok(&host, "participant.remove", json!({ "participant": crate::id_of(&eve) })).await;
    assert_eq!(removed.closed().await, 4502);
    hosts.draws("after all", "may");
    hosts.until("its own", |seen| (seen.updates == 2).then_some(())).await;
    assert!(!hosts.seen().has("after"));
    ok(&host, "whiteboard.delete", json!({ "whiteboard": board })).await;
    let code = hosts.closed().await;
    assert!((4500..4600).contains(&code), "there is nothing to come back to: {code}");
}
