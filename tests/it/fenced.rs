//! The fence, seen from outside: a node that takes itself for the owner, with its lease running,
//! writes when another term has begun. Chance seldom brings that about between real processes, so
//! the test does what a takeover does, in SQL, at the very moment that a commit is under way. The
//! other half is a node that is frozen with a transaction open: nothing of it may be waited for.

use crate::cluster::{agree, cluster_with, figure, signal};
use crate::cuts::insist;
use crate::degraded::{head, holds, name, number, servers};
use crate::{meeting, ok};
use convoke_loadtest::client::{Client, Options};
use serde_json::json;
use sqlx::{Connection, PgConnection};

/// Some connection of this database waits for a lock.
const WAITS: &str = "SELECT EXISTS (SELECT FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event_type = 'Lock')";
const HEAD: &str = "SELECT 1 FROM meeting_heads FOR UPDATE";

fn named(redis: &str) -> impl Fn(usize, &str) -> Vec<(&'static str, String)> {
    move |number, database| {
        vec![
            ("CONVOKE_DATABASE_URL", database.to_owned()),
            ("CONVOKE_REDIS_URL", redis.to_owned()),
            ("CONVOKE_NODE_ID", name(number, database)),
        ]
    }
}

#[tokio::test]
async fn a_commit_under_an_older_term_is_fenced_and_counted_and_told_to_nobody() {
    let Some((_, redis)) = servers() else { return };
    let cluster = cluster_with(2, named(&redis)).await.unwrap();
    let mut database = PgConnection::connect(&cluster.database).await.unwrap();
    let mut taking = PgConnection::connect(&cluster.database).await.unwrap();
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let clients = [cluster.client(0, &id, "zero", "host"), cluster.client(1, &id, "one", "participant")];
    for (number, client) in clients.iter().enumerate() {
        client.joined().await.unwrap();
        ok(client, "chat.post", json!({ "to": "room", "text": format!("before {number}") })).await;
    }
    // First one node is taken in the act, then the other.
    for round in 0..2 {
        let (owner, _, term) = head(&mut database).await;
        let owner = number(&owner);
        let (owners, others) = (&cluster.nodes[owner], &cluster.nodes[1 - owner]);
        let before = figure(owners, "convoke_commits_fenced_total").await;
        let before_elsewhere = figure(others, "convoke_commits_fenced_total").await;
        let told: Vec<usize> = clients.iter().map(|client| client.record().acknowledged.len()).collect();
        let mut transaction = taking.begin().await.unwrap();
        sqlx::query(HEAD).execute(&mut *transaction).await.unwrap();
        for (number, client) in clients.iter().enumerate() {
            client.send("chat.post", json!({ "to": "room", "text": format!("under way {round} {number}") }));
        }
        holds(&mut database, WAITS).await;
        let other = name(1 - owner, &cluster.database);
        let taken = sqlx::query(
            "UPDATE meeting_heads SET term = term + 1, owner_node = node, owner_epoch = epoch \
             FROM nodes WHERE node = $1",
        );
        assert_eq!(taken.bind(&other).execute(&mut *transaction).await.unwrap().rows_affected(), 1);
        transaction.commit().await.unwrap();
        for (client, told) in clients.iter().zip(told) {
            client.until("its answer", |record| (record.acknowledged.len() > told).then_some(())).await.unwrap();
        }
        assert!(figure(owners, "convoke_commits_fenced_total").await > before);
        assert_eq!(figure(others, "convoke_commits_fenced_total").await, before_elsewhere);
        let (now, _, now_term) = head(&mut database).await;
        assert_eq!(now, other, "it is served by whoever has taken it");
        assert!(now_term > term + 1, "who has begun a life of it");
    }
    for (client, node) in clients.iter().zip(&cluster.nodes) {
        assert_eq!(client.record().refused, [], "nobody was refused");
        assert_eq!(client.record().reconnects, 0, "and no socket lost");
        assert_eq!(figure(node, "convoke_lease_lost_total").await, 0, "it was the fence, and no lease");
    }
    agree(&cluster, 0, &id, &clients.each_ref()).await;
}

#[tokio::test]
async fn a_node_frozen_in_the_middle_of_a_commit_does_not_keep_its_meeting() {
    let Some((_, redis)) = servers() else { return };
    let cluster = cluster_with(2, named(&redis)).await.unwrap();
    let mut database = PgConnection::connect(&cluster.database).await.unwrap();
    let mut lock = PgConnection::connect(&cluster.database).await.unwrap();
    let id = meeting(&cluster.nodes[0], json!({})).await;
    let host = cluster.client(0, &id, "host", "host");
    host.joined().await.unwrap();
    let owner = number(&head(&mut database).await.0);
    let sleeper = &cluster.nodes[owner];
    let token = sleeper.rest.key.join_token(&id, Some("asleep"), "asleep", "participant");
    let asleep = Client::start(Options::new(&sleeper.rest.host, token));
    let awake = cluster.client(1 - owner, &id, "awake", "participant");
    asleep.joined().await.unwrap();
    awake.joined().await.unwrap();
    // Its commit waits for the head, the node is frozen, and then the commit has the head and waits
    // for the node.
    let mut transaction = lock.begin().await.unwrap();
    sqlx::query(HEAD).execute(&mut *transaction).await.unwrap();
    asleep.send("chat.post", json!({ "to": "room", "text": "half written" }));
    holds(&mut database, WAITS).await;
    signal(sleeper, "-STOP");
    transaction.rollback().await.unwrap();
    insist(&awake, "taken over").await;
    signal(sleeper, "-CONT");
    asleep.until("its answer", |record| (!record.acknowledged.is_empty()).then_some(())).await.unwrap();
    insist(&asleep, "through the woken node").await;
    agree(&cluster, 1 - owner, &id, &[&awake, &asleep]).await;
    let log = cluster.nodes[1 - owner].rest.log(&id).await.unwrap();
    let said = log.iter().filter(|event| event["data"]["message"]["text"] == "half written").count();
    assert_eq!(said, 1, "said once, though it was written twice");
}
