//! The bus by a Redis Cluster and by Sentinels, with real servers that die: what was said meanwhile
//! is in the log, and afterwards the bus is as it was, without anybody having done anything.

use crate::cluster::{Cluster, agree, becomes, cluster_of, figure};
use crate::redis_server::{self, Redis};
use crate::{meeting, ok};
use convoke_loadtest::client::Client;
use serde_json::json;

/// Of the servers, and of the Sentinel.
const PASSWORDS: [&str; 2] = ["hunter-two", "hunter-three"];

/// Two nodes that say all they can about themselves.
async fn two_nodes(url: &str) -> Option<Cluster> {
    let settings = [("CONVOKE_LOG_LEVEL", "debug".to_owned())];
    cluster_of(2, &settings, |_, database| (database, url.to_owned())).await
}

fn no_password_is_told(cluster: &Cluster) {
    for node in &cluster.nodes {
        let log = node.log();
        assert!(log.contains("a connection to Redis broke"), "{log}");
        assert!(PASSWORDS.iter().all(|password| !log.contains(password)), "{log}");
    }
}

/// A meeting with somebody on the node that serves it, and somebody on the other.
struct Talk<'a> {
    cluster: &'a Cluster,
    id: String,
    owner: usize,
    here: Client,
    there: Client,
}

impl<'a> Talk<'a> {
    async fn begin(cluster: &'a Cluster) -> Self {
        let id = meeting(&cluster.nodes[0], json!({})).await;
        let first = cluster.client(0, &id, "first", "host");
        first.joined().await.unwrap();
        let owner = cluster.owner().await;
        let here = cluster.client(owner, &id, "here", "participant");
        let there = cluster.client(1 - owner, &id, "there", "participant");
        here.joined().await.unwrap();
        there.joined().await.unwrap();
        ok(&first, "leave", json!({})).await;
        Self { cluster, id, owner, here, there }
    }

    fn channel(&self) -> String {
        format!("convoke:meeting:acme/{}", self.id)
    }

    /// Batches that the other node has heard over the bus.
    async fn heard(&self) -> u64 {
        figure(&self.cluster.nodes[1 - self.owner], "convoke_bus_lag_seconds_count").await
    }

    /// What is said on either node is heard on the other, and over the bus: not only because the
    /// log is read when nothing comes.
    async fn crosses(&self, when: &str, clients: &[&Client]) {
        let before = self.heard().await;
        for (number, client) in clients.iter().enumerate() {
            ok(client, "chat.post", json!({ "to": "room", "text": format!("{when} {number}") })).await;
        }
        agree(self.cluster, self.owner, &self.id, clients).await;
        assert!(self.heard().await > before, "{when}: nothing came over the bus");
    }

    /// Somebody who comes to the node that does not serve the meeting, once it has a bus.
    async fn another(&self, name: &str) -> Client {
        for node in &self.cluster.nodes {
            becomes(node, 200).await;
        }
        let client = self.cluster.client(1 - self.owner, &self.id, name, "participant");
        client.joined().await.unwrap();
        client
    }
}

/// Three masters, each a third of the slots, no replicas.
async fn three_masters() -> Vec<Redis> {
    let own = ["--cluster-enabled", "yes", "--cluster-node-timeout", "5000", "--save", ""];
    let masters: Vec<Redis> = (0..3).map(|_| Redis::guarded(PASSWORDS[0], "", &own)).collect();
    let mut create = vec!["--cluster".to_owned(), "create".to_owned()];
    for master in &masters {
        create.push(format!("127.0.0.1:{}", master.port));
    }
    create.extend(["--cluster-replicas", "0", "--cluster-yes"].map(str::to_owned));
    let made = masters[0].ask(&create.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(made.contains("All 16384 slots covered"), "{made}");
    for master in &masters {
        master.until(&["cluster", "info"], |answer| answer.contains("cluster_state:ok")).await;
    }
    masters
}

/// Which of them has the slot of a channel.
fn shard(masters: &[Redis], channel: &str) -> usize {
    let serves = |master: &Redis| !master.ask(&["spublish", channel, ""]).starts_with("MOVED");
    masters.iter().position(serves).unwrap()
}

/// Gives a channel's slot to another master; no keys are in it. Whoever has imported a slot is believed
/// by the others, so that is said first.
fn move_slot(masters: &[Redis], channel: &str, from: usize, to: usize) {
    let slot = masters[to].ask(&["cluster", "keyslot", channel]);
    let [giver, taker] = [from, to].map(|number| masters[number].ask(&["cluster", "myid"]));
    let set = |number: usize, words: [&str; 2]| {
        let told = masters[number].ask(&["cluster", "setslot", slot.trim(), words[0], words[1].trim()]);
        assert!(told.starts_with("OK"), "{told}");
    };
    set(to, ["importing", &giver]);
    set(from, ["migrating", &taker]);
    let rest = (0..masters.len()).filter(|number| ![from, to].contains(number));
    for number in [to, from].into_iter().chain(rest) {
        set(number, ["node", &taker]);
    }
}

#[tokio::test]
async fn through_a_redis_cluster_a_meeting_crosses_nodes_also_when_its_shard_was_away() {
    if !redis_server::is_here(7) {
        return;
    }
    let mut masters = three_masters().await;
    let [secret, _] = PASSWORDS;
    let url = format!("redis+cluster://:{secret}@127.0.0.1:{},127.0.0.1:{}", masters[0].port, masters[1].port);
    let Some(cluster) = two_nodes(&url).await else { return };
    let talk = Talk::begin(&cluster).await;
    talk.crosses("through a shard", &[&talk.here, &talk.there]).await;
    let channel = talk.channel();
    let shard = shard(&masters, &channel);
    masters[shard].kill();
    for number in 0..5 {
        ok(&talk.here, "chat.post", json!({ "to": "room", "text": format!("without the shard {number}") })).await;
    }
    masters[shard].run_again();
    let late = talk.another("late").await;
    // Both nodes hear the meeting's channel again.
    masters[shard].until(&["pubsub", "shardnumsub", &channel], |answer| answer.lines().nth(1) == Some("2")).await;
    talk.crosses("through the shard that is back", &[&talk.here, &talk.there, &late]).await;
    // The slot moves to another master, as it does when a Cluster grows.
    let target = (shard + 1) % masters.len();
    move_slot(&masters, &channel, shard, target);
    let later = talk.another("later").await;
    masters[target].until(&["pubsub", "shardnumsub", &channel], |answer| answer.lines().nth(1) == Some("2")).await;
    talk.crosses("through another shard", &[&talk.here, &late, &later]).await;
    no_password_is_told(&cluster);
}

struct Watched {
    master: Redis,
    replica: Redis,
    sentinel: Redis,
}

impl Watched {
    /// A master, its replica, and one Sentinel, which decides alone.
    async fn start() -> Self {
        let [secret, secret_of_sentinel] = PASSWORDS;
        let own = ["--save", "", "--masterauth", secret];
        let master = Redis::guarded(secret, "", &own);
        let replica = Redis::guarded(secret, &format!("replicaof 127.0.0.1 {}\n", master.port), &own);
        replica.until(&["role"], |answer| answer.contains("connected")).await;
        let text = format!(
            "sentinel monitor main 127.0.0.1 {} 1\nsentinel auth-pass main {secret}\n\
             sentinel down-after-milliseconds main 3000\nsentinel failover-timeout main 3000\n",
            master.port
        );
        let sentinel = Redis::guarded(secret_of_sentinel, &text, &["--sentinel"]);
        let port = replica.port.to_string();
        sentinel.until(&["sentinel", "replicas", "main"], |answer| answer.lines().any(|line| line == port)).await;
        Self { master, replica, sentinel }
    }

    /// Waits until this one is the master, and both nodes have come to it.
    async fn are_on(&self, master: &Redis) {
        let port = master.port.to_string();
        let ask = ["sentinel", "get-master-addr-by-name", "main"];
        self.sentinel.until(&ask, |answer| answer.lines().nth(1) == Some(&port)).await;
        master.until(&["pubsub", "channels", "convoke:node:*"], |answer| answer.lines().count() == 2).await;
    }
}

#[tokio::test]
async fn with_sentinels_the_bus_follows_the_master() {
    if !redis_server::is_here(6) {
        return;
    }
    let mut servers = Watched::start().await;
    let ([secret, secret_of_sentinel], port) = (PASSWORDS, servers.sentinel.port);
    let url =
        format!("redis+sentinel://:{secret}@127.0.0.1:{port}/?master=main&sentinel_password={secret_of_sentinel}");
    let Some(cluster) = two_nodes(&url).await else { return };
    let talk = Talk::begin(&cluster).await;
    talk.crosses("by the first master", &[&talk.here, &talk.there]).await;
    let channel = talk.channel();
    servers.master.kill();
    for number in 0..5 {
        ok(&talk.here, "chat.post", json!({ "to": "room", "text": format!("without a master {number}") })).await;
        ok(&talk.there, "chat.post", json!({ "to": "room", "text": format!("by whichever way {number}") })).await;
    }
    servers.are_on(&servers.replica).await;
    let late = talk.another("late").await;
    let is_heard_twice = |answer: &str| answer.lines().nth(1) == Some("2");
    servers.replica.until(&["pubsub", "numsub", &channel], is_heard_twice).await;
    talk.crosses("by the second master", &[&talk.here, &talk.there, &late]).await;

    // The first comes back, as a replica, and is made the master again without anybody dying.
    servers.master.run_again();
    servers.master.until(&["role"], |answer| answer.starts_with("slave") && answer.contains("connected")).await;
    servers.sentinel.until(&["sentinel", "failover", "main"], |answer| answer.starts_with("OK")).await;
    servers.are_on(&servers.master).await;
    let later = talk.another("later").await;
    servers.master.until(&["pubsub", "numsub", &channel], is_heard_twice).await;
    talk.crosses("by the first master again", &[&talk.here, &late, &later]).await;

    // It falls silent without a connection breaking.
    let port = servers.replica.port.to_string();
    let is_ready = |answer: &str| answer.starts_with("slave") && answer.contains("connected");
    servers.replica.until(&["role"], is_ready).await;
    servers.sentinel.until(&["sentinel", "replicas", "main"], |answer| answer.lines().any(|line| line == port)).await;
    servers.master.signal("-STOP");
    servers.are_on(&servers.replica).await;
    let last = talk.another("last").await;
    servers.replica.until(&["pubsub", "numsub", &channel], is_heard_twice).await;
    talk.crosses("by the second master again", &[&talk.here, &last]).await;
    no_password_is_told(&cluster);
}
