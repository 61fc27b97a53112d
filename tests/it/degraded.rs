//! What all nodes depend on goes away and comes back, or a node comes back too soon, with real
//! processes and with people who talk all the while. PostgreSQL is cut off from every node at once,
//! until each has lost its lease; and a node that dies is started again under its name while the
//! lease of its former life would have run on for minutes.

use crate::cluster::{Cluster, agree, becomes, cluster_with};
use crate::cuts::{Proxy, parts, through};
use crate::talk::Talk;
use crate::{meeting, ok};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use std::sync::Arc;
use std::time::Duration;

/// None, said aloud, where PostgreSQL or Redis is missing.
pub fn servers() -> Option<(String, String)> {
    let both = std::env::var("CONVOKE_TEST_POSTGRES_URL").ok().zip(std::env::var("CONVOKE_TEST_REDIS_URL").ok());
    if both.is_none() {
        println!("SKIPPED: PostgreSQL or Redis is missing; `cargo xtask test` brings them");
    }
    both
}

/// Who serves the only meeting, by the database: the node's name, its epoch, the term.
pub async fn head(database: &mut PgConnection) -> (String, i64, i64) {
    let head = sqlx::query_as("SELECT owner_node, owner_epoch, term FROM meeting_heads");
    head.fetch_one(database).await.unwrap()
}

/// A node's name, by which a test finds it again. Clusters that share a Redis share no names.
pub fn name(number: usize, database: &str) -> String {
    format!("{number}-{}", database.rsplit_once('/').unwrap().1)
}

pub fn number(name: &str) -> usize {
    name.split_once('-').unwrap().0.parse().unwrap()
}

/// Asks the database until this is so.
pub async fn holds(database: &mut PgConnection, question: &'static str) {
    let began = std::time::Instant::now();
    while !sqlx::query_scalar::<_, bool>(question).fetch_one(&mut *database).await.unwrap() {
        assert!(began.elapsed().as_secs() < 60, "it did not come to hold that {question}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn is_unready_for_want_of_its_database(node: &Server) {
    becomes(node, 503).await;
    assert_eq!(node.rest.send("GET", "/readyz", &[], None).await.unwrap().body, "no database\n");
    assert_eq!(node.rest.send("GET", "/healthz", &[], None).await.unwrap().status, 200, "it is alive");
}

/// One reacts until the other sees it. What is on its way to a meeting that just now tries to read
/// its log may be passed over, and a reaction is not worth being sent again by the server.
pub async fn a_signal_flows(from: &Client, to: &Client) {
    let before = to.record().signals;
    let seen = to.until("a signal", |record| (record.signals > before).then_some(()));
    let reacting = async {
        loop {
            from.send("reaction.send", json!({ "emoji": "👋" }));
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        seen = seen => seen.unwrap(),
        () = reacting => {}
    }
}

async fn nobody_was_lost(cluster: &Cluster, node: usize, id: &str) {
    let log = cluster.nodes[node].rest.log(id).await.unwrap();
    let lost =
        |event: &&serde_json::Value| event["type"] == "participant.disconnected" || event["type"] == "participant.left";
    assert_eq!(log.iter().find(lost), None);
}

#[tokio::test]
async fn while_the_database_is_away_from_all_nodes_signals_flow_and_afterwards_no_word_is_lost() {
    let Some((postgres, redis)) = servers() else { return };
    let to_database = Proxy::to(parts(&postgres).1.to_owned()).await;
    let cluster = cluster_with(2, |_, database| {
        vec![("CONVOKE_DATABASE_URL", through(&to_database, database)), ("CONVOKE_REDIS_URL", redis.clone())]
    });
    let cluster = cluster.await.unwrap();
    let mut database = PgConnection::connect(&cluster.database).await.unwrap();
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let first = Arc::new(cluster.client(0, &id, "first", "host"));
    let second = Arc::new(cluster.client(1, &id, "second", "participant"));
    first.joined().await.unwrap();
    second.joined().await.unwrap();
    let talk = Talk::begin(&[&first, &second]);
    talk.goes_on().await;

    to_database.cut();
    for node in &cluster.nodes {
        is_unready_for_want_of_its_database(node).await;
    }
    for client in [&first, &second] {
        let refused = client.until("a refusal", |record| record.refused.first().cloned()).await.unwrap();
        assert_eq!(refused.1["code"], "unavailable", "{refused:?}");
    }
    a_signal_flows(&first, &second).await;
    a_signal_flows(&second, &first).await;
    holds(&mut database, "SELECT max(lease_until) < extract(epoch FROM clock_timestamp()) * 1000 FROM nodes").await;
    let began = first.record().refused.len();
    first.until("a refusal", |record| (record.refused.len() > began).then_some(())).await.unwrap();
    a_signal_flows(&first, &second).await;
    a_signal_flows(&second, &first).await;
    let made = cluster.nodes[0].rest.api("POST", "/meetings", Some(json!({ "title": "Another" }))).await.unwrap();
    assert_eq!((made.status, made.json()["code"].as_str()), (503, Some("unavailable")), "{}", made.body);
    let newcomer = cluster.client(1, &id, "newcomer", "participant");
    newcomer.until("a refusal", |record| (record.reconnects > 1).then_some(())).await.unwrap();

    to_database.mend();
    for node in &cluster.nodes {
        becomes(node, 200).await;
    }
    newcomer.joined().await.unwrap();
    talk.goes_on().await;
    let (taken, refused) = talk.ends().await;
    println!("{taken} words were taken, {refused} were refused while the database was away");
    for client in [&first, &second] {
        assert!(client.record().refused.iter().all(|(_, error)| error["code"] == "unavailable"));
        assert_eq!(client.record().reconnects, 0, "the sockets stay");
    }
    ok(&newcomer, "chat.post", json!({ "to": "room", "text": "here too" })).await;
    nobody_was_lost(&cluster, 0, &id).await;
    agree(&cluster, 1, &id, &[&first, &second, &newcomer]).await;
}

#[tokio::test]
async fn a_node_that_is_back_under_its_name_at_once_is_not_kept_out_by_its_former_life() {
    let Some((_, redis)) = servers() else { return };
    // Nobody can wait until such a lease is over: it is the new life that ends the former one.
    let settings = |number: usize, database: &str| {
        vec![
            ("CONVOKE_DATABASE_URL", database.to_owned()),
            ("CONVOKE_REDIS_URL", redis.clone()),
            ("CONVOKE_NODE_ID", name(number, database)),
            ("CONVOKE_LEASE_S", "300".to_owned()),
        ]
    };
    let mut cluster = cluster_with(2, settings).await.unwrap();
    let mut database = PgConnection::connect(&cluster.database).await.unwrap();
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let first = Arc::new(cluster.client(0, &id, "first", "host"));
    let second = Arc::new(cluster.client(1, &id, "second", "participant"));
    first.joined().await.unwrap();
    second.joined().await.unwrap();
    let talk = Talk::begin(&[&first, &second]);
    talk.goes_on().await;
    // Whoever serves it by then is killed the second time.
    for _ in 0..2 {
        let (owner, epoch, term) = head(&mut database).await;
        let node = &mut cluster.nodes[number(&owner)];
        node.kill().unwrap();
        node.run().await.unwrap();
        talk.goes_on().await;
        let (now_owner, now_epoch, now_term) = head(&mut database).await;
        assert!(now_term > term, "a new life of the meeting");
        assert!(now_owner != owner || now_epoch > epoch, "served by {now_owner} in its life {now_epoch}");
        let lives: (i64,) = sqlx::query_as("SELECT epoch FROM nodes WHERE node = $1")
            .bind(&owner)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(lives.0, epoch + 1, "one start is one life");
    }
    talk.ends().await;
    agree(&cluster, 0, &id, &[&first, &second]).await;
    agree(&cluster, 1, &id, &[&first, &second]).await;
}
