//! One node of two is cut off: from Redis but not from the database, from the database but not from
//! Redis. A small proxy of the test's own stands between.

use crate::cluster::{Cluster, agree, becomes, cluster_of};
use crate::{meeting, ok};
use convoke_loadtest::client::Client;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// Passes connections on, until it is cut: then those that are open end, and new ones with them.
pub struct Proxy {
    port: u16,
    is_open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub async fn to(target: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let is_open = Arc::new(watch::Sender::new(true));
        let gate = Arc::clone(&is_open);
        tokio::spawn(async move {
            loop {
                let (mut near, _) = listener.accept().await.unwrap();
                let (mut cut, target) = (gate.subscribe(), target.clone());
                tokio::spawn(async move {
                    if !*cut.borrow() {
                        return;
                    }
                    let Ok(mut far) = TcpStream::connect(target).await else { return };
                    tokio::select! {
                        _ = copy_bidirectional(&mut near, &mut far) => {}
                        _ = cut.wait_for(|is_open| !*is_open) => {}
                    }
                });
            }
        });
        Self { port, is_open }
    }

    pub fn cut(&self) {
        self.is_open.send_replace(false);
    }

    pub fn mend(&self) {
        self.is_open.send_replace(true);
    }
}

/// Host and port of a URL, and what stands before and behind them.
pub fn parts(url: &str) -> (&str, &str, &str) {
    let start = url.rfind('@').map_or_else(|| url.find("://").unwrap() + 3, |at| at + 1);
    let end = url[start..].find('/').map_or(url.len(), |length| start + length);
    (&url[..start], &url[start..end], &url[end..])
}

pub fn through(proxy: &Proxy, url: &str) -> String {
    let (before, _, behind) = parts(url);
    format!("{before}127.0.0.1:{}{behind}", proxy.port)
}

/// Two nodes, of which the second goes to Redis and to the database through proxies.
async fn two() -> Option<(Cluster, Proxy, Proxy)> {
    let (Ok(postgres), Ok(redis)) =
        (std::env::var("CONVOKE_TEST_POSTGRES_URL"), std::env::var("CONVOKE_TEST_REDIS_URL"))
    else {
        println!("SKIPPED: PostgreSQL or Redis is missing; `cargo xtask test` brings them");
        return None;
    };
    let to_redis = Proxy::to(parts(&redis).1.to_owned()).await;
    let to_database = Proxy::to(parts(&postgres).1.to_owned()).await;
    let cluster = cluster_of(2, &[], |number, database| {
        if number == 0 {
            return (database, redis.clone());
        }
        (through(&to_database, &database), through(&to_redis, &redis))
    })
    .await?;
    Some((cluster, to_redis, to_database))
}

/// A meeting that this node serves: meetings are made until it takes one.
pub async fn served_by(cluster: &Cluster, node: usize) -> String {
    let rest = &cluster.nodes[node].rest;
    for _ in 0..20 {
        let before = owned(cluster, node).await;
        let id = meeting(&cluster.nodes[node], json!({})).await;
        let started = rest.api("POST", &format!("/meetings/{id}/start"), Some(json!({}))).await.unwrap();
        assert_eq!(started.status, 200, "{}", started.body);
        if owned(cluster, node).await > before {
            return id;
        }
        // The nodes hear of each other's number of meetings every two seconds.
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    panic!("the node takes no meeting");
}

async fn owned(cluster: &Cluster, node: usize) -> u64 {
    let metrics = cluster.nodes[node].rest.send("GET", "/metrics", &[], None).await.unwrap().body;
    let figure = metrics.lines().find_map(|line| line.strip_prefix("convoke_meetings_owned "));
    figure.unwrap_or("0").parse().unwrap()
}

/// Says it until it is taken: `unavailable` means that nothing happened.
pub async fn insist(client: &Client, text: &str) {
    for attempt in 0..200 {
        let answer =
            client.ask("chat.post", json!({ "to": "room", "text": format!("{text} {attempt}") })).await.unwrap();
        if answer["ok"] == json!(true) {
            return;
        }
        assert_eq!(answer["error"]["code"], "unavailable", "{answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("it was never taken");
}

#[tokio::test]
async fn cut_off_from_redis_a_node_serves_what_it_owns_and_sends_the_others_away() {
    let Some((cluster, to_redis, _)) = two().await else { return };
    let own = served_by(&cluster, 1).await;
    let others = served_by(&cluster, 0).await;
    let here = cluster.client(1, &own, "here", "host");
    let guest = cluster.client(1, &others, "guest", "host");
    here.joined().await.unwrap();
    guest.joined().await.unwrap();
    to_redis.cut();
    ok(&here, "chat.post", json!({ "to": "room", "text": "served as before" })).await;
    guest.until("4001", |record| (record.last_close == Some(4001)).then_some(())).await.unwrap();
    ok(&guest, "chat.post", json!({ "to": "room", "text": "from the node that serves it" })).await;
    becomes(&cluster.nodes[1], 503).await;
    to_redis.mend();
    becomes(&cluster.nodes[1], 200).await;
    let late = cluster.client(1, &others, "late", "participant");
    late.joined().await.unwrap();
    ok(&late, "chat.post", json!({ "to": "room", "text": "over the bus again" })).await;
    assert_eq!(here.record().reconnects, 0);
    agree(&cluster, 0, &others, &[&guest, &late]).await;
    agree(&cluster, 1, &own, &[&here]).await;
}

#[tokio::test]
async fn cut_off_from_the_database_a_node_loses_its_meetings_and_nobody_loses_a_word() {
    let Some((cluster, _, to_database)) = two().await else { return };
    let id = served_by(&cluster, 1).await;
    let here = cluster.client(1, &id, "here", "host");
    let there = cluster.client(0, &id, "there", "participant");
    here.joined().await.unwrap();
    there.joined().await.unwrap();
    ok(&here, "chat.post", json!({ "to": "room", "text": "before" })).await;
    to_database.cut();
    here.send("chat.post", json!({ "to": "room", "text": "on its way when it went" }));
    becomes(&cluster.nodes[1], 503).await;
    insist(&there, "taken over").await;
    insist(&here, "from elsewhere").await;
    to_database.mend();
    becomes(&cluster.nodes[1], 200).await;
    let late = cluster.client(1, &id, "late", "participant");
    late.joined().await.unwrap();
    ok(&late, "chat.post", json!({ "to": "room", "text": "through the node that came back" })).await;
    agree(&cluster, 0, &id, &[&here, &there, &late]).await;
}
