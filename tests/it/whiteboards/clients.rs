//! The real Yjs with its real provider at one board, and a client in Rust beside it.

use super::painter::{PATIENCE, Painter};
use super::{Way, person};
use crate::yjs::{Yjs, converged};
use crate::{meeting, ok, server};
use convoke_loadtest::board::door::make_board;
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::json;
use std::time::{Duration, Instant};

/// A meeting with a board, and two at it with the real Yjs. None, said aloud, where there is none.
struct Two {
    server: Server,
    host: Client,
    guest: Client,
    board: String,
    ada: Yjs,
    bob: Yjs,
}

async fn two() -> Option<Two> {
    if std::env::var("CONVOKE_TEST_YJS").is_err() {
        println!("SKIPPED: there is no Yjs: CONVOKE_TEST_YJS is not set; `cargo xtask test` brings it where it can");
        return None;
    }
    let server = server(&[]).await;
    let id = meeting(&server, json!({})).await;
    let host = person(&server, &id, "ada", "host").await;
    let guest = person(&server, &id, "bob", "participant").await;
    let board = make_board(&host, "Plan").await.unwrap();
    let mut ada = at(&Way::ask(&host, &board).await, "ada");
    let mut bob = at(&Way::ask(&guest, &board).await, "bob");
    ada.synced().await;
    bob.synced().await;
    Some(Two { server, host, guest, board, ada, bob })
}

pub fn at(way: &Way, name: &str) -> Yjs {
    Yjs::start(&way.url, &way.token, name).unwrap()
}

fn element(id: &str, says: &str) -> serde_json::Value {
    json!({ "id": id, "says": says })
}

/// All three have the same, down to what was deleted.
async fn agree(ada: &mut Yjs, bob: &mut Yjs, eve: &Painter) {
    let until = Instant::now() + PATIENCE;
    loop {
        // A stroke of eve's may be on its way when the two are asked, who agree without it: then they are asked again.
        let (document, eves) = (converged(&mut [ada, bob]).await, eve.seen().document());
        if document == eves {
            return;
        }
        assert!(Instant::now() < until, "two have {document}, and the third {eves}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whoever copies it from the documentation has a client that draws, sees, and is told of the end.
#[tokio::test]
async fn the_example_of_the_documentation_is_a_client() {
    let Some(Two { server: _server, host, guest, board, mut ada, .. }) = two().await else { return };
    let Way { url, token, .. } = Way::ask(&guest, &board).await;
    let mut example = Yjs::example(&url, &board, &token).unwrap();
    example.synced().await;
    ada.sees("example", json!({ "type": "rectangle" })).await;
    ada.set(element("answer", "ada's")).await;
    example.until("sees", |line| line["element"] == "answer").await;
    ok(&host, "whiteboard.delete", json!({ "whiteboard": board })).await;
    assert_eq!(example.until("lost", |_| true).await["code"], 4505);
}

#[tokio::test]
async fn what_is_drawn_at_once_and_away_comes_together_and_outlives_kill_9() {
    let Some(Two { mut server, host, guest, board, mut ada, mut bob }) = two().await else { return };
    let way = Way::ask(&guest, &board).await;
    let eve = Painter::new(&way).await;
    // Who is there is seen by the others, and that they go.
    ada.others(|others| others.iter().any(|other| other["user"]["name"] == "bob")).await;
    bob.shows(json!({ "user": { "name": "bob" }, "pointer": { "x": 7 } })).await;
    ada.others(|others| others.iter().any(|other| other["pointer"]["x"] == 7)).await;

    // At once: each an element of their own, and all of them the same one.
    ada.set(element("a", "ada's")).await;
    bob.set(element("b", "bob's")).await;
    eve.draws("e", "eve's");
    ada.set(element("common", "by ada")).await;
    bob.set(element("common", "by bob")).await;
    eve.draws("common", "by eve");
    for key in ["a", "b", "e"] {
        ada.sees(key, json!({})).await;
        bob.sees(key, json!({})).await;
        eve.sees(key).await;
    }
    agree(&mut ada, &mut bob, &eve).await;

    // Away: what one deletes and draws, and the others meanwhile.
    bob.disconnect().await;
    ada.others(|others| others.iter().all(|other| other["user"]["name"] != "bob")).await;
    bob.delete("a").await;
    bob.set(element("away", "drawn alone")).await;
    ada.set(element("meanwhile", "drawn by the others")).await;
    eve.erases("e");
    bob.connect().await;
    ada.misses("a").await;
    ada.sees("away", json!({ "says": "drawn alone" })).await;
    bob.sees("meanwhile", json!({})).await;
    bob.misses("e").await;
    agree(&mut ada, &mut bob, &eve).await;

    // What was shown before the kill is there afterwards, also for who was never here before.
    ada.set(element("last", "before the kill")).await;
    bob.sees("last", json!({})).await;
    eve.sees("last").await;
    let before = eve.seen().document();
    server.kill().unwrap();
    assert_eq!(eve.closed().await, 1006);
    ada.set(element("without a server", "by ada")).await;
    server.run().await.unwrap();
    let fresh = Painter::new(&Way::ask(&host, &board).await).await;
    fresh.sees("last").await;
    fresh.sees("without a server").await;
    let after = fresh.seen().document();
    for (key, element) in before["elements"].as_object().unwrap() {
        assert_eq!(&after["elements"][key], element);
    }
    assert_eq!(after["deleted"], before["deleted"], "nothing comes back that was deleted");
    bob.sees("without a server", json!({})).await;
    let eve = eve.again(&way).await.unwrap();
    agree(&mut ada, &mut bob, &eve).await;
}

#[tokio::test]
async fn undo_takes_back_only_what_one_drew_oneself() {
    let Some(Two { server: _server, host: _host, guest: _guest, mut ada, mut bob, .. }) = two().await else { return };
    ada.set(element("a1", "first")).await;
    bob.sees("a1", json!({})).await;
    bob.set(element("b1", "bob's")).await;
    ada.sees("b1", json!({})).await;
    ada.set(element("a2", "second")).await;
    ada.set(element("b1", "moved by ada")).await;
    bob.sees("b1", json!({ "says": "moved by ada" })).await;
    bob.set(element("b2", "bob's too")).await;
    bob.set(element("a1", "moved by bob")).await;
    ada.sees("a1", json!({ "says": "moved by bob" })).await;
    ada.sees("b2", json!({})).await;
    // The last that was drawn here, though others have drawn since.
    ada.undo().await;
    bob.sees("b1", json!({ "says": "bob's" })).await;
    ada.undo().await;
    bob.misses("a2").await;
    ada.redo().await;
    bob.sees("a2", json!({ "says": "second" })).await;
    // There is one of ada's left, and bob has drawn over it.
    for _ in 0..5 {
        ada.undo().await;
    }
    bob.misses("a2").await;
    let document = converged(&mut [&mut ada, &mut bob]).await;
    assert_eq!(document["elements"]["a1"]["says"], "moved by bob");
    assert_eq!(document["elements"]["b1"]["says"], "bob's");
    assert_eq!(document["elements"]["b2"]["says"], "bob's too");
    // And bob takes back his own.
    bob.undo().await;
    ada.sees("a1", json!({ "says": "first" })).await;
    bob.undo().await;
    ada.misses("b2").await;
    ada.sees("b1", json!({ "says": "bob's" })).await;
    converged(&mut [&mut ada, &mut bob]).await;
}
