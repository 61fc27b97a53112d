//! `kill -9` while many vote and ask: whatever was acknowledged counts once, on one node that starts
//! again and on a second one that takes over.

use super::{logged, opened, until_told};
use crate::cluster::{Cluster, cluster};
use crate::{client, meeting, ok, server};
use convoke_loadtest::client::Client;
use convoke_loadtest::server::Server;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

const PEOPLE: usize = 50;
const OPTIONS: usize = 4;

/// Where the meeting is served, and how it dies.
pub enum Served {
    Alone(Box<Server>),
    Twice(Cluster),
}

impl Served {
    pub async fn alone() -> Self {
        Self::Alone(Box::new(server(&[]).await))
    }

    /// None where PostgreSQL or Redis is missing.
    pub async fn twice() -> Option<Self> {
        Some(Self::Twice(cluster(2).await?))
    }

    /// A node that is there now.
    pub fn node(&self) -> &Server {
        match self {
            Self::Alone(server) => server,
            Self::Twice(cluster) => cluster.nodes.iter().find(|node| node.pid().is_some()).unwrap(),
        }
    }

    pub fn client(&self, number: usize, meeting: &str, user: &str, role: &str) -> Client {
        match self {
            Self::Alone(server) => client(server, meeting, Some(user), user, role),
            Self::Twice(cluster) => cluster.client(number % 2, meeting, user, role),
        }
    }

    /// The snapshot that follows this event is lost, so that the log alone tells what was. (Alone, it is
    /// told by both.)
    pub async fn loses_its_snapshot(&self, since: u64) {
        let Self::Twice(cluster) = self else { return };
        let mut database = PgConnection::connect(&cluster.database).await.unwrap();
        let lose = "DELETE FROM snapshots WHERE seq >= $1";
        let (since, began) = (i64::try_from(since).unwrap(), Instant::now());
        while sqlx::query(lose).bind(since).execute(&mut database).await.unwrap().rows_affected() == 0 {
            assert!(began.elapsed().as_secs() < 60, "no snapshot is taken");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Whoever serves the meeting is killed. Alone it starts again; otherwise another node takes over.
    pub async fn crash(&mut self) {
        match self {
            Self::Alone(server) => {
                server.kill().unwrap();
                server.run().await.unwrap();
            }
            Self::Twice(cluster) => {
                for node in &mut cluster.nodes {
                    if node.pid().is_none() {
                        node.run().await.unwrap();
                    }
                }
                let owner = cluster.owner().await;
                cluster.nodes[owner].kill().unwrap();
            }
        }
    }
}

/// The commands of one kind that were acknowledged, in order.
fn taken(client: &Client, kind: &str) -> Vec<Value> {
    let record = client.record();
    record.acknowledged.iter().filter(|one| one.kind == kind).map(|one| one.data.clone()).collect()
}

/// How the votes of a poll must stand: of everybody the last one that was acknowledged.
fn tally(people: &[Client], poll: &str) -> (Vec<u64>, usize) {
    let (mut counts, mut voters) = (vec![0; OPTIONS], 0);
    for person in people {
        let votes = taken(person, "poll.vote");
        let Some(last) = votes.iter().rfind(|data| data["poll"] == poll) else { continue };
        voters += 1;
        for choice in last["choices"].as_array().unwrap() {
            counts[usize::try_from(choice.as_u64().unwrap()).unwrap()] += 1;
        }
    }
    (counts, voters)
}

async fn counts_everybody_once(mut served: Served, kills: usize) {
    let id = meeting(served.node(), json!({})).await;
    let ada = served.client(0, &id, "ada", "host");
    ada.joined().await.unwrap();
    let people: Vec<Client> =
        (0..PEOPLE).map(|number| served.client(number, &id, &format!("user-{number}"), "participant")).collect();
    for person in &people {
        person.joined().await.unwrap();
    }
    let mut polls = Vec::new();
    for anonymous in [false, true] {
        let options: Vec<String> = (0..OPTIONS).map(|number| format!("option {number}")).collect();
        let poll = json!({ "question": "Which?", "options": options, "multiple": true, "results": "closed", "anonymous": anonymous });
        polls.push(opened(&ada, poll).await);
    }
    let mut sent = 0;
    for kill in 0..kills {
        for round in 0..3 {
            for (number, person) in people.iter().enumerate() {
                for (place, poll) in polls.iter().enumerate() {
                    let choice = (number + round + kill + place) % OPTIONS;
                    let mut choices = vec![choice];
                    choices.extend((number % 3 == 0).then_some((choice + 1) % OPTIONS));
                    person.send("poll.vote", json!({ "poll": poll, "choices": choices }));
                }
                if round == 2 {
                    let text = format!("question {number} of {kill}");
                    person.send("question.ask", json!({ "text": text, "anonymous": number % 2 == 0 }));
                }
            }
            sent += 1;
            // Of the last round something is under way when the server dies; of the others, all is answered.
            let witness = &people[sent * 7 % PEOPLE];
            let enough = sent * 2;
            witness
                .until("its answers", |record| {
                    (record.acknowledged.len() + record.refused.len() >= enough).then_some(())
                })
                .await
                .unwrap();
        }
        served.crash().await;
    }
    for person in &people {
        let all = kills * 7;
        person
            .until("all answers", |record| {
                let refused = record.refused.iter().filter(|(kind, _)| kind != "hello").count();
                (record.acknowledged.len() + refused >= all).then_some(())
            })
            .await
            .unwrap();
    }
    for (place, poll) in polls.iter().enumerate() {
        ok(&ada, "poll.close", json!({ "poll": poll })).await;
        let closed = until_told(&ada, "poll.closed", |data| data["poll"]["id"] == *poll).await;
        let (counts, voters) = tally(&people, poll);
        assert_eq!((&closed["poll"]["counts"], &closed["poll"]["voters"]), (&json!(counts), &json!(voters)), "{place}");
        assert!(voters > PEOPLE / 2);
    }
    let mut stand = BTreeMap::<String, usize>::new();
    for event in logged(served.node(), &id, "question.asked").await {
        *stand.entry(event["data"]["question"]["text"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    assert!(stand.values().all(|times| *times == 1), "{stand:?}");
    let text = |data: &Value| data["text"].as_str().unwrap().to_owned();
    let asked: BTreeSet<String> =
        people.iter().flat_map(|person| taken(person, "question.ask")).map(|data| text(&data)).collect();
    assert_eq!(stand.into_keys().collect::<BTreeSet<_>>(), asked, "all that was acknowledged, and nothing else");
    for client in people.iter().chain([&ada]) {
        assert_eq!(client.record().violations, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_server_killed_while_many_vote_counts_everybody_once() {
    counts_everybody_once(Served::alone().await, 3).await;
}

#[tokio::test]
async fn a_node_that_takes_over_counts_everybody_once() {
    let Some(served) = Served::twice().await else { return };
    counts_everybody_once(served, 1).await;
}

/// A deadline that passes while nobody serves the meeting, and a timer that does not.
#[tokio::test]
async fn deadlines_hold_across_a_kill() {
    let mut served = Served::alone().await;
    let id = meeting(served.node(), json!({})).await;
    let ada = served.client(0, &id, "ada", "host");
    ada.joined().await.unwrap();
    ok(&ada, "timer.start", json!({ "duration_s": 600 })).await;
    let timer = ada.event("timer.started").await.unwrap().data["timer"].clone();
    let asking = json!({ "question": "Quick?", "options": ["Yes", "No"], "results": "live", "duration_s": 1 });
    let poll = opened(&ada, asking).await;
    let vote = ada.ask("poll.vote", json!({ "poll": poll, "choices": [1] })).await.unwrap();
    served.crash().await;
    let closed = until_told(&ada, "poll.closed", |_| true).await;
    // Where everything is slow the deadline comes before the vote.
    let votes = u32::from(vote["ok"] == json!(true));
    assert_eq!((&closed["poll"]["counts"], &closed["by"]), (&json!([0, votes]), &Value::Null));
    let late = served.client(0, &id, "late", "participant").joined().await.unwrap();
    assert_eq!(late["timer"], timer);
    assert_eq!(logged(served.node(), &id, "poll.closed").await.len(), 1);
}
