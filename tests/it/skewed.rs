//! Nodes whose clocks are ten seconds apart, one five ahead of the database and one five behind it.
//! They are real processes under libfaketime, which is given to them alone and leaves monotonic time
//! as it is; without it the test says that it is skipped. What is asserted are times in the log
//! against the database's clock, with more room than the way to it takes and less than the skew.

use crate::cluster::{Cluster, agree, cluster_with, figure};
use crate::cuts::served_by;
use crate::degraded::{name, servers};
use crate::ok;
use convoke_loadtest::client::Client;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::path::PathBuf;
use std::time::Duration;

/// Less than the skew, and more than any answer of the database is late.
const ROOM_MS: i64 = 2_000;
const SKEWS: [&str; 3] = ["+5", "-5", "+0"];

/// Where Debian and its kin keep it. None, said aloud, where it is not.
fn libfaketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|entry| entry.path());
    let found = folders.map(|folder| folder.join("faketime/libfaketimeMT.so.1")).find(|path| path.is_file());
    if found.is_none() {
        println!("SKIPPED: libfaketime is not installed; `apt-get install faketime`");
    }
    found
}

async fn three() -> Option<Cluster> {
    let (_, redis) = servers()?;
    let library = libfaketime()?.display().to_string();
    let cluster = cluster_with(3, |number, database| {
        vec![
            ("CONVOKE_DATABASE_URL", database.to_owned()),
            ("CONVOKE_REDIS_URL", redis.clone()),
            ("CONVOKE_NODE_ID", name(number, database)),
            ("CONVOKE_LOG_LEVEL", "info".to_owned()),
            ("LD_PRELOAD", library.clone()),
            ("FAKETIME", format!("{}s", SKEWS[number])),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
            ("DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    });
    let cluster = cluster.await?;
    for (node, skew) in cluster.nodes.iter().zip(SKEWS) {
        let log = node.log();
        let told = log.lines().filter(|line| line.contains("this machine's clock differs from the database's"));
        let mut differences = told.map(|line| {
            let line: Value = serde_json::from_str(line).unwrap();
            line["fields"]["difference_ms"].as_i64().unwrap()
        });
        // A busy machine's answers take their time, too; what nobody tells of is no difference.
        let error_ms = differences.next_back().unwrap_or(0) + skew.parse::<i64>().unwrap() * 1_000;
        assert!(error_ms.abs() < 2_000, "the clock is as it was to be: {log}");
    }
    Some(cluster)
}

async fn now(database: &mut PgConnection) -> i64 {
    let now = sqlx::query_scalar("SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint");
    now.fetch_one(database).await.unwrap()
}

/// Everybody says something, and the log says that it was when it was.
async fn all_speak_in_time(database: &mut PgConnection, cluster: &Cluster, id: &str, people: &[&Client]) {
    for client in people {
        let before = now(database).await;
        let answer = ok(client, "chat.post", json!({ "to": "room", "text": uuid::Uuid::now_v7() })).await;
        let after = now(database).await;
        let log = cluster.nodes[2].rest.log(id).await.unwrap();
        let at = at(log.iter().find(|event| event["seq"] == answer["seq"]).unwrap());
        let is_right = (before - ROOM_MS..=after + ROOM_MS).contains(&at);
        assert!(is_right, "between {before} and {after}, and written as {at}");
    }
}

fn at(event: &Value) -> i64 {
    event["at"].as_i64().unwrap()
}

/// Each node has renewed its lease so often: whoever thinks that one of the others is dead has had
/// the time to show it.
async fn leases_are_renewed(database: &mut PgConnection, times: usize) {
    let until = "SELECT lease_until FROM nodes ORDER BY node";
    let mut known: Vec<i64> = sqlx::query_scalar(until).fetch_all(&mut *database).await.unwrap();
    let mut renewed = vec![0; known.len()];
    while renewed.iter().any(|count| *count < times) {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let present: Vec<i64> = sqlx::query_scalar(until).fetch_all(&mut *database).await.unwrap();
        for ((count, known), present) in renewed.iter_mut().zip(&mut known).zip(present) {
            *count += usize::from(*known != present);
            *known = present;
        }
    }
}

/// The host has the meeting end soon, and it does: once, and not before its time.
async fn ends_in_time(database: &mut PgConnection, cluster: &Cluster, id: &str, host: &Client, people: &[&Client]) {
    let mut lasts = 0;
    let ends_at = loop {
        lasts += 4;
        let settings = json!({ "settings": { "max_duration_s": lasts } });
        let answer = host.ask("meeting.update", settings).await.unwrap();
        if answer["ok"] == true {
            let log = cluster.nodes[2].rest.log(id).await.unwrap();
            let started = log.iter().find(|event| event["type"] == "meeting.started").unwrap();
            break at(started) + lasts * 1_000;
        }
        // It has lasted longer already.
        assert_eq!(answer["error"]["code"], "conflict", "{answer}");
    };
    for client in people {
        client.event("meeting.ended").await.unwrap();
    }
    let heard = now(database).await;
    let log = cluster.nodes[2].rest.log(id).await.unwrap();
    let ends: Vec<i64> = log.iter().filter(|event| event["type"] == "meeting.ended").map(at).collect();
    assert_eq!(ends.len(), 1, "it ends once");
    assert!(ends[0] >= ends_at, "it ended at {}, and was to at {ends_at}", ends[0]);
    assert!(heard >= ends_at - ROOM_MS, "it was over at {heard} by the database, and was to be at {ends_at}");
    assert!(log.is_sorted_by_key(at), "time does not run backwards");
    agree(cluster, 2, id, people).await;
}

#[tokio::test]
async fn nodes_whose_clocks_are_far_apart_agree_on_the_databases() {
    let Some(mut cluster) = three().await else { return };
    let mut database = PgConnection::connect(&cluster.database).await.unwrap();
    let of_ahead = served_by(&cluster, 0).await;
    let of_behind = served_by(&cluster, 1).await;
    let person = |node, id: &str, name: &str, role| cluster.client(node, id, name, role);
    let host = person(2, &of_ahead, "host", "host");
    let (ahead, behind) = (person(0, &of_ahead, "ahead", "participant"), person(1, &of_ahead, "behind", "participant"));
    let other_host = person(1, &of_behind, "host", "host");
    let guest = person(2, &of_behind, "guest", "participant");
    for client in [&host, &ahead, &behind, &other_host, &guest] {
        client.joined().await.unwrap();
    }
    all_speak_in_time(&mut database, &cluster, &of_ahead, &[&host, &ahead, &behind]).await;
    all_speak_in_time(&mut database, &cluster, &of_behind, &[&other_host, &guest]).await;
    leases_are_renewed(&mut database, 3).await;
    for node in &cluster.nodes {
        assert_eq!(figure(node, "convoke_takeovers_total").await, 0, "nobody takes from the living");
        assert_eq!(figure(node, "convoke_lease_lost_total").await, 0);
    }
    cluster.nodes[0].kill().unwrap();
    all_speak_in_time(&mut database, &cluster, &of_ahead, &[&host, &ahead, &behind]).await;
    ends_in_time(&mut database, &cluster, &of_ahead, &host, &[&host, &ahead, &behind]).await;
    ends_in_time(&mut database, &cluster, &of_behind, &other_host, &[&other_host, &guest]).await;
}
