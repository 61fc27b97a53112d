//! Several nodes over one PostgreSQL and one Redis: meetings that outlive the node they run on.

use crate::degraded::a_signal_flows;
use crate::redis_server::{self, Redis};
use crate::rest::fresh_database;
use crate::talk::Talk;
use crate::{meeting, ok, server};
use convoke_loadtest::client::{Client, Options};
use convoke_loadtest::server::Server;
use convoke_loadtest::verify::verify;
use serde_json::json;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const KEYS: &str = "acme/load:0123456789abcdef0123456789abcdef";

pub struct Cluster {
    pub nodes: Vec<Server>,
    /// The way to the database that nothing stands in.
    pub database: String,
}

/// None, said aloud, where PostgreSQL or Redis is missing.
pub async fn cluster(size: usize) -> Option<Cluster> {
    let Ok(redis) = std::env::var("CONVOKE_TEST_REDIS_URL") else {
        println!("SKIPPED: CONVOKE_TEST_REDIS_URL is not set; `cargo xtask test` sets it");
        return None;
    };
    cluster_over(&redis, size).await
}

async fn cluster_over(redis: &str, size: usize) -> Option<Cluster> {
    cluster_of(size, &[], |_, database| (database, redis.to_owned())).await
}

/// Each node with its own way to the database and to Redis.
pub async fn cluster_of(
    size: usize,
    settings: &[(&str, String)],
    ways: impl Fn(usize, String) -> (String, String),
) -> Option<Cluster> {
    cluster_with(size, |number, database| {
        let (database, redis) = ways(number, database.to_owned());
        let mut all = vec![("CONVOKE_DATABASE_URL", database), ("CONVOKE_REDIS_URL", redis)];
        all.extend(settings.iter().cloned());
        all
    })
    .await
}

/// Each node with settings of its own, over one fresh database.
pub async fn cluster_with<'a>(
    size: usize,
    settings: impl Fn(usize, &str) -> Vec<(&'a str, String)>,
) -> Option<Cluster> {
    let Ok(postgres) = std::env::var("CONVOKE_TEST_POSTGRES_URL") else {
        println!("SKIPPED: CONVOKE_TEST_POSTGRES_URL is not set; `cargo xtask test` sets it");
        return None;
    };
    let database = fresh_database(&postgres).await;
    let mut nodes = Vec::new();
    for number in 0..size {
        let own = settings(number, &database);
        let mut all = vec![("CONVOKE_API_KEYS", KEYS)];
        all.extend(own.iter().map(|(name, value)| (*name, value.as_str())));
        let mut node = server(&all).await;
        node.rest.key = convoke_loadtest::rest::Key::parse(KEYS.split_once('/').unwrap().1).unwrap();
        nodes.push(node);
    }
    Some(Cluster { nodes, database })
}

impl Cluster {
    /// A client of one node, that knows of the others.
    pub fn client(&self, node: usize, meeting: &str, user: &str, role: &str) -> Client {
        let token = self.nodes[node].rest.key.join_token(meeting, Some(user), user, role);
        let others = self.nodes.iter().map(|node| node.rest.host.clone());
        let others = others.filter(|host| *host != self.nodes[node].rest.host).collect();
        let backoff = Duration::from_millis(50);
        Client::start(Options { backoff, others, ..Options::new(&self.nodes[node].rest.host, token) })
    }

    /// Which node serves the only meeting.
    pub async fn owner(&self) -> usize {
        for (number, node) in self.nodes.iter().enumerate().filter(|(_, node)| node.pid().is_some()) {
            let metrics = node.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
            if metrics.contains("convoke_meetings_owned 1") {
                return number;
            }
        }
        panic!("nobody serves the meeting");
    }
}

/// Every client has what the log has, once and in order, and in its words.
pub async fn agree(cluster: &Cluster, node: usize, id: &str, clients: &[&Client]) {
    let log = cluster.nodes[node].rest.log(id).await.unwrap();
    let seen = log.iter().filter(|event| event["audience"] == "everyone" || event["audience"]["room"] == "main");
    let head = seen.filter_map(|event| event["seq"].as_u64()).max().unwrap();
    for client in clients {
        client.until("the end of the log", |record| (record.cursor >= head).then_some(())).await.unwrap();
        let record = client.record();
        assert_eq!(verify("client", &record, &log), Vec::<String>::new());
        for heard in &record.heard {
            let stored = log.iter().find(|event| event["seq"] == heard.seq);
            assert_eq!(stored.map(|event| &event["data"]), Some(&heard.data), "{} {}", heard.seq, heard.kind);
        }
    }
}

#[tokio::test]
async fn people_on_different_nodes_are_in_one_meeting() {
    let Some(cluster) = cluster(2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({ "lobby": "guests" })).await;
    let ada = cluster.client(0, &id, "ada", "host");
    ada.joined().await.unwrap();
    let bob = cluster.client(1, &id, "bob", "participant");
    bob.joined().await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "from the first node" })).await;
    ok(&bob, "chat.post", json!({ "to": "room", "text": "from the second" })).await;
    a_signal_flows(&bob, &ada).await;
    agree(&cluster, 1, &id, &[&ada, &bob]).await;
    // REST is answered by any node, and reaches the meeting where it is served.
    for node in &cluster.nodes {
        let path = format!("/meetings/{id}");
        let changed = node.rest.api("PATCH", &path, Some(json!({ "title": node.rest.host }))).await.unwrap();
        assert_eq!((changed.status, &changed.json()["title"]), (200, &json!(node.rest.host)));
    }
    assert_eq!((ada.record().reconnects, bob.record().reconnects), (0, 0));
}

#[tokio::test]
async fn a_meeting_outlives_the_node_that_served_it() {
    let Some(mut cluster) = cluster(2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let ada = cluster.client(0, &id, "ada", "host");
    let bob = cluster.client(1, &id, "bob", "participant");
    ada.joined().await.unwrap();
    bob.joined().await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "before" })).await;
    let owner = cluster.owner().await;
    for (number, client) in [&ada, &bob].into_iter().enumerate() {
        client.send("chat.post", json!({ "to": "room", "text": format!("while it dies {number}") }));
    }
    cluster.nodes[owner].kill().unwrap();
    for (number, client) in [&ada, &bob].into_iter().enumerate() {
        ok(client, "chat.post", json!({ "to": "room", "text": format!("after {number}") })).await;
    }
    let (stayed, moved) = if owner == 0 { (&bob, &ada) } else { (&ada, &bob) };
    assert_eq!(stayed.record().reconnects, 0, "the sockets of the other node stay");
    moved
        .until("a resume", |record| (record.resumes_replayed + record.resumes_snapshot > 0).then_some(()))
        .await
        .unwrap();
    agree(&cluster, 1 - owner, &id, &[&ada, &bob]).await;
}

#[tokio::test]
async fn a_node_that_stops_hands_its_meetings_over() {
    let Some(mut cluster) = cluster(2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let ada = cluster.client(0, &id, "ada", "host");
    let bob = cluster.client(1, &id, "bob", "participant");
    ada.joined().await.unwrap();
    bob.joined().await.unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "before" })).await;
    let owner = cluster.owner().await;
    let mut stopping = cluster.nodes.remove(owner);
    let stopped = tokio::task::spawn_blocking(move || stopping.terminate().map(|_| ()).map_err(|e| e.to_string()));
    for number in 0..50 {
        ok(&ada, "chat.post", json!({ "to": "room", "text": format!("ada {number}") })).await;
        ok(&bob, "chat.post", json!({ "to": "room", "text": format!("bob {number}") })).await;
    }
    stopped.await.unwrap().unwrap();
    ok(&ada, "chat.post", json!({ "to": "room", "text": "after" })).await;
    let (stayed, moved) = if owner == 0 { (&bob, &ada) } else { (&ada, &bob) };
    assert_eq!(stayed.record().reconnects, 0, "the sockets of the other node stay");
    moved.until("going_away", |record| (record.last_close == Some(4001)).then_some(())).await.unwrap();
    ok(moved, "chat.post", json!({ "to": "room", "text": "from the other node" })).await;
    agree(&cluster, 0, &id, &[&ada, &bob]).await;
}

#[tokio::test]
async fn whoever_was_on_a_dead_node_and_does_not_return_is_let_go() {
    let Some(mut cluster) = cluster(2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let ada = cluster.client(0, &id, "ada", "host");
    ada.joined().await.unwrap();
    let owner = cluster.owner().await;
    let bob = cluster.client(1 - owner, &id, "bob", "participant");
    bob.joined().await.unwrap();
    let eve = cluster.client(owner, &id, "eve", "participant");
    eve.joined().await.unwrap();
    // Bob's node dies, and Bob does not come back.
    let _ = bob.stop().await;
    cluster.nodes[1 - owner].kill().unwrap();
    eve.event("participant.disconnected").await.unwrap();
}

pub fn signal(node: &Server, name: &str) {
    let pid = node.pid().unwrap().to_string();
    assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
}

pub async fn figure(node: &Server, name: &str) -> u64 {
    let metrics = node.rest.send("GET", "/metrics", &[], None).await.unwrap().body;
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).unwrap_or("0");
    line.parse().unwrap()
}

#[tokio::test]
async fn a_node_that_slept_through_its_lease_writes_nothing_more_and_rejoins() {
    let Some(cluster) = cluster(2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let ada = cluster.client(0, &id, "ada", "host");
    ada.joined().await.unwrap();
    let owner = cluster.owner().await;
    let (sleeper, other) = (&cluster.nodes[owner], &cluster.nodes[1 - owner]);
    // One on each node: what the sleeping one is told, it takes when it wakes.
    let asleep = Client::start(Options::new(
        &sleeper.rest.host,
        sleeper.rest.key.join_token(&id, Some("asleep"), "asleep", "participant"),
    ));
    let awake = cluster.client(1 - owner, &id, "awake", "participant");
    asleep.joined().await.unwrap();
    awake.joined().await.unwrap();
    signal(sleeper, "-STOP");
    asleep.send("chat.post", json!({ "to": "room", "text": "said to a sleeper" }));
    // It is answered by the other node, once the lease is over.
    ok(&awake, "chat.post", json!({ "to": "room", "text": "taken over" })).await;
    signal(sleeper, "-CONT");
    asleep.until("its answer", |record| (!record.acknowledged.is_empty()).then_some(())).await.unwrap();
    ok(&asleep, "chat.post", json!({ "to": "room", "text": "through the woken node" })).await;
    assert!(
        figure(sleeper, "convoke_commits_fenced_total").await + figure(sleeper, "convoke_lease_lost_total").await > 0
    );
    assert_eq!(figure(other, "convoke_commits_fenced_total").await, 0);
    agree(&cluster, 1 - owner, &id, &[&awake, &asleep]).await;
    let log = other.rest.log(&id).await.unwrap();
    let said = log.iter().filter(|event| event["data"]["message"]["text"] == "said to a sleeper").count();
    assert_eq!(said, 1, "said once, though two nodes were told");
}

pub async fn becomes(node: &Server, status: u16) {
    let began = Instant::now();
    while node.rest.send("GET", "/readyz", &[], None).await.unwrap().status != status {
        assert!(began.elapsed().as_secs() < 30, "the node did not become {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn without_redis_owners_serve_and_when_it_is_back_empty_all_agree() {
    if !redis_server::is_here(6) {
        return;
    }
    let mut redis = Redis::new(&["--save", ""]);
    let Some(cluster) = cluster_over(&format!("redis://127.0.0.1:{}", redis.port), 2).await else { return };
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let ada = Arc::new(cluster.client(0, &id, "ada", "host"));
    ada.joined().await.unwrap();
    let owner = cluster.owner().await;
    let here = Arc::new(cluster.client(owner, &id, "here", "participant"));
    let there = Arc::new(cluster.client(1 - owner, &id, "there", "participant"));
    here.joined().await.unwrap();
    there.joined().await.unwrap();
    let talk = Talk::begin(&[&ada, &here, &there]);
    talk.goes_on().await;
    redis.kill();
    for number in 0..20 {
        ok(&here, "chat.post", json!({ "to": "room", "text": format!("without a bus {number}") })).await;
    }
    // Whoever is served over the bus is sent to where the meeting is.
    there.until("4001", |record| (record.last_close == Some(4001)).then_some(())).await.unwrap();
    becomes(&cluster.nodes[1 - owner], 503).await;
    talk.goes_on().await;
    assert_eq!(here.record().reconnects, 0, "whoever is with the owner notices nothing");
    redis.run_again();
    let began = Instant::now();
    becomes(&cluster.nodes[0], 200).await;
    becomes(&cluster.nodes[1], 200).await;
    let ready = began.elapsed();
    let late = Arc::new(cluster.client(1 - owner, &id, "late", "participant"));
    late.joined().await.unwrap();
    let talk_there = Talk::begin(&[&late]);
    talk_there.goes_on().await;
    talk.goes_on().await;
    let all = [&*ada, &*here, &*there, &*late];
    let head = all.iter().map(|client| client.record().cursor).max().unwrap();
    for client in all {
        client.until("the others", |record| (record.cursor >= head).then_some(())).await.unwrap();
    }
    let coherent = began.elapsed();
    println!("Redis is back: all nodes are ready after {ready:.1?}, all have what all say after {coherent:.1?}");
    ok(&late, "chat.post", json!({ "to": "room", "text": "over the bus again" })).await;
    let told = [talk.ends().await, talk_there.ends().await];
    println!("taken and refused, of those who talked all the while and of the newcomer: {told:?}");
    agree(&cluster, 1 - owner, &id, &all).await;
}
