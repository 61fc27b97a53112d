//! One board and several nodes: people draw while the node that has the board is killed, stopped, or loses
//! Redis. What anybody was shown is kept, and all come to have the same.

use super::Way;
use super::clients::at;
use super::painter::Painter;
use super::party::Party;
use crate::cluster::{Cluster, becomes, cluster, cluster_of, signal};
use crate::meeting;
use crate::redis_server::{self, Redis};
use crate::yjs::{Yjs, converged};
use convoke_loadtest::board::door::{Door, make_board};
use convoke_loadtest::client::Client;
use serde_json::json;

/// A board that everybody draws on, wherever they are.
struct Place {
    meeting: String,
    board: String,
    host: Client,
    party: Party,
    owner: usize,
}

/// Two people who draw at each node, beside a host at the first.
async fn place(cluster: &Cluster) -> Place {
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let host = cluster.client(0, &id, "host", "host");
    host.joined().await.unwrap();
    let board = make_board(&host, "Plan").await.unwrap();
    let mut doors = Vec::new();
    for number in 0..2 * cluster.nodes.len() {
        let name = format!("person-{number}");
        let client = cluster.client(number % cluster.nodes.len(), &id, &name, "participant");
        client.joined().await.unwrap();
        doors.push(Door::of(client, &board));
    }
    let party = Party::comes(doors, 20.0, None).await;
    let owner = cluster.owner().await;
    Place { meeting: id, board, host, party, owner }
}

impl Place {
    /// Somebody who was never here, at each node that is left.
    async fn agrees(&self, cluster: &Cluster, gone: Option<usize>) {
        for node in (0..cluster.nodes.len()).filter(|node| Some(*node) != gone) {
            let client = cluster.client(node, &self.meeting, &format!("fresh-{node}"), "viewer");
            client.joined().await.unwrap();
            let way = Way::ask(&client, &self.board).await;
            assert!(!way.is_writable);
            self.party.agrees(&Painter::new(&way).await).await;
        }
    }
}

#[tokio::test]
async fn a_board_outlives_the_node_that_had_it() {
    let Some(mut cluster) = cluster(3).await else { return };
    let place = place(&cluster).await;
    place.party.draws();
    place.party.goes_on().await;
    cluster.nodes[place.owner].kill().unwrap();
    place.party.until("strokes without a node", |record, at| at % 3 != place.owner || record.drawn_offline > 0).await;
    place.party.goes_on().await;
    place.agrees(&cluster, Some(place.owner)).await;
    // And once more, with the last that is left.
    place.party.draws();
    place.party.goes_on().await;
    place.party.settles().await;
    let next = (0..3).find(|node| *node != place.owner).unwrap();
    cluster.nodes[place.owner].run().await.unwrap();
    cluster.nodes[next].kill().unwrap();
    place.party.draws();
    place.party.goes_on().await;
    place.agrees(&cluster, Some(next)).await;
    place.party.ends().await;
}

#[tokio::test]
async fn a_node_that_stops_loses_nobody_and_nothing() {
    let Some(mut cluster) = cluster(2).await else { return };
    let place = place(&cluster).await;
    place.party.draws();
    place.party.goes_on().await;
    let mut stopping = cluster.nodes.remove(place.owner);
    let stopped = tokio::task::spawn_blocking(move || stopping.terminate().map(|_| ()).map_err(|e| e.to_string()));
    place.party.goes_on().await;
    stopped.await.unwrap().unwrap();
    place.party.goes_on().await;
    place.agrees(&cluster, None).await;
    // Everybody was told why, and came again.
    let closes = place.party.told(|record| record.last_close);
    assert!(closes.iter().all(|code| *code == Some(4001)), "{closes:?}");
    place.party.ends().await;
}

#[tokio::test]
async fn while_redis_is_away_whoever_is_with_the_owner_draws_on_and_afterwards_all_agree() {
    if !redis_server::is_here(6) {
        return;
    }
    let mut redis = Redis::new(&["--save", ""]);
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let Some(cluster) = cluster_of(2, &[], |_, database| (database, url.clone())).await else { return };
    let place = place(&cluster).await;
    place.party.draws();
    place.party.goes_on().await;
    redis.kill();
    becomes(&cluster.nodes[1 - place.owner], 503).await;
    let is_with_owner = |number: usize| number % 2 == place.owner;
    place.party.go_on(is_with_owner).await;
    place.party.until("strokes without a way", |record, at| is_with_owner(at) || record.drawn_offline > 0).await;
    redis.run_again();
    for node in &cluster.nodes {
        becomes(node, 200).await;
    }
    place.party.goes_on().await;
    place.agrees(&cluster, None).await;
    place.party.ends().await;
}

#[tokio::test]
async fn a_node_that_slept_with_a_board_wakes_to_what_was_drawn_without_it() {
    let Some(cluster) = cluster(2).await else { return };
    let place = place(&cluster).await;
    place.party.draws();
    place.party.goes_on().await;
    signal(&cluster.nodes[place.owner], "-STOP");
    place.party.go_on(|number| number % 2 != place.owner).await;
    signal(&cluster.nodes[place.owner], "-CONT");
    place.party.goes_on().await;
    place.agrees(&cluster, None).await;
    place.party.ends().await;
}

/// What somebody drew while they were away goes from node to node in one message.
#[tokio::test]
async fn megabytes_pass_between_nodes() {
    let Some(cluster) = cluster(2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let host = cluster.client(0, &id, "host", "host");
    host.joined().await.unwrap();
    let board = make_board(&host, "Plan").await.unwrap();
    let guest = cluster.client(1, &id, "guest", "participant");
    guest.joined().await.unwrap();
    let ways = [Way::ask(&host, &board).await, Way::ask(&guest, &board).await];
    assert_ne!(ways[0].url, ways[1].url, "each by their own node");
    for (from, to) in [(0, 1), (1, 0)] {
        let (away, stays) = (Painter::new(&ways[from]).await, Painter::new(&ways[to]).await);
        for number in 0..4 {
            away.paints(&format!("from {from} {number}"), &format!("{number}").repeat(900_000));
        }
        let back = away.again(&ways[from]).await.unwrap();
        stays.sees(&format!("from {from} 3")).await;
        stays.draws(&format!("answer to {from}"), "seen");
        back.sees(&format!("answer to {from}")).await;
        let fresh = Painter::new(&ways[to]).await;
        fresh.until("what is there", |seen| (seen.shows() == back.seen().shows()).then_some(())).await;
        assert_eq!((back.seen().closed, stays.seen().closed, fresh.seen().closed), (None, None, None));
    }
}

/// The real Yjs at the node that dies, and at one that does not.
#[tokio::test]
async fn browsers_come_again_at_the_node_that_is_left() {
    if std::env::var("CONVOKE_TEST_YJS").is_err() {
        println!("SKIPPED: there is no Yjs: CONVOKE_TEST_YJS is not set; `cargo xtask test` brings it where it can");
        return;
    }
    let Some(mut cluster) = cluster(2).await else { return };
    let Place { meeting, board, host, party, owner } = place(&cluster).await;
    party.draws();
    let mut people = Vec::new();
    for (node, name) in ["ada", "bob"].into_iter().enumerate() {
        let client = cluster.client(node, &meeting, name, "participant");
        client.joined().await.unwrap();
        let mut yjs: Yjs = at(&Way::ask(&client, &board).await, name);
        yjs.synced().await;
        people.push((client, yjs));
    }
    people[0].1.set(json!({ "id": "before", "says": "ada" })).await;
    people[1].1.sees("before", json!({})).await;
    cluster.nodes[owner].kill().unwrap();
    people[0].1.set(json!({ "id": "meanwhile", "says": "ada" })).await;
    people[1].1.set(json!({ "id": "at once", "says": "bob" })).await;
    // Whoever was at the dead node asks for the way again.
    let (client, yjs) = &mut people[owner];
    let way = Way::ask(client, &board).await;
    yjs.goes_by(&way.url, &way.token).await;
    for key in ["before", "meanwhile", "at once"] {
        people[0].1.sees(key, json!({})).await;
        people[1].1.sees(key, json!({})).await;
    }
    party.goes_on().await;
    let all = party.settles().await;
    let [(_, ada), (_, bob)] = &mut people[..] else { panic!("there are two") };
    let document = converged(&mut [ada, bob]).await;
    let fresh = Painter::new(&Way::ask(&host, &board).await).await;
    fresh.until("what all have", |seen| (seen.shows() == all).then_some(())).await;
    fresh.until("what browsers have", |seen| (seen.document()["vector"] == document["vector"]).then_some(())).await;
    party.ends().await;
}
