//! Nodes that die under load, over one PostgreSQL and one Redis: a random one is killed, or told to
//! stop, every so often, and started again. Everybody talks all the while. At the end every
//! acknowledged command has to be in its meeting's log once, and every client has to have the log;
//! the report says how long each meeting took to answer again, and how long each client waited.

use super::{duration, meeting::print};
use clap::Args;
use convoke_loadtest::client::{Client, Options};
use convoke_loadtest::rest::{Failure, Key};
use convoke_loadtest::server::{Server, beside_me};
use convoke_loadtest::verify::verify;
use rand::Rng;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Arguments {
    /// A PostgreSQL database of its own, as postgres://…
    #[arg(long)]
    database_url: String,
    #[arg(long)]
    redis_url: String,
    #[arg(long, default_value_t = 3)]
    nodes: usize,
    #[arg(long, default_value_t = 10)]
    kills: u32,
    #[arg(long, value_parser = duration, default_value = "10s")]
    kill_every: Duration,
    /// SIGTERM in place of `kill -9`
    #[arg(long)]
    drain: bool,
    #[arg(long, default_value_t = 6)]
    meetings: usize,
    /// In each meeting
    #[arg(long, default_value_t = 4)]
    participants: usize,
    #[arg(long)]
    server_bin: Option<PathBuf>,
    #[arg(long)]
    json: bool,
}

/// A command that was answered: in which meeting, when it was sent, and when it was answered.
struct Answered {
    meeting: usize,
    sent: Instant,
    at: Instant,
}

struct Person {
    meeting: usize,
    client: Arc<Client>,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let binary = match &arguments.server_bin {
        Some(binary) => binary.clone(),
        None => beside_me()?,
    };
    let secret = format!("load:{}", uuid::Uuid::now_v7().simple());
    let keys = format!("acme/{secret}");
    let settings = [
        ("CONVOKE_DATABASE_URL", arguments.database_url.as_str()),
        ("CONVOKE_REDIS_URL", arguments.redis_url.as_str()),
        ("CONVOKE_API_KEYS", keys.as_str()),
    ];
    let mut nodes = Vec::new();
    for _ in 0..arguments.nodes {
        let mut node = Server::start(&binary, &settings).await?;
        node.rest.key = Key::parse(&secret)?;
        nodes.push(node);
    }
    let hosts: Vec<String> = nodes.iter().map(|node| node.rest.host.clone()).collect();
    let first = nodes.first().ok_or("at least one node")?.rest.clone();
    let mut ids = Vec::new();
    let mut people = Vec::new();
    for meeting in 0..arguments.meetings {
        let id = first.make_meeting(&format!("Meeting {meeting}"), json!({})).await?;
        for person in 0..arguments.participants {
            let role = if person == 0 { "host" } else { "participant" };
            let token = first.key.join_token(&id, Some(&format!("user-{person}")), "Somebody", role);
            let mut others = hosts.clone();
            let host = others.remove((meeting + person) % hosts.len());
            let backoff = Duration::from_millis(50);
            let client = Client::start(Options { backoff, others, ..Options::new(&host, token) });
            client.joined().await?;
            people.push(Person { meeting, client: Arc::new(client) });
        }
        ids.push(id);
    }
    let answered: Arc<Mutex<Vec<Answered>>> = Arc::default();
    let is_over = Arc::new(AtomicBool::new(false));
    let talking: Vec<_> = people
        .iter()
        .enumerate()
        .map(|(number, person)| {
            let (client, meeting) = (Arc::clone(&person.client), person.meeting);
            let (answered, is_over) = (Arc::clone(&answered), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut posts = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let text = format!("{number}.{posts}");
                    posts += 1;
                    let sent = Instant::now();
                    let answer = client.ask("chat.post", json!({ "to": "room", "text": text })).await;
                    if answer.is_ok_and(|answer| answer["ok"] == json!(true)) {
                        let at = Instant::now();
                        answered.lock().unwrap_or_else(PoisonError::into_inner).push(Answered { meeting, sent, at });
                    }
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        })
        .collect();
    let bar = indicatif::ProgressBar::new(u64::from(arguments.kills));
    let mut deaths = Vec::new();
    for _ in 0..arguments.kills {
        tokio::time::sleep(arguments.kill_every).await;
        let chosen = rand::rng().random_range(0..nodes.len());
        let Some(node) = nodes.get_mut(chosen) else { continue };
        deaths.push(Instant::now());
        if arguments.drain {
            tokio::task::block_in_place(|| node.terminate().map(drop))?
        } else {
            node.kill()?
        }
        // Another takes its meetings before it is back.
        tokio::time::sleep(arguments.kill_every.min(Duration::from_secs(9))).await;
        node.run().await?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_over.store(true, Ordering::Relaxed);
    for task in talking {
        task.await?;
    }
    let mut violations = Vec::new();
    let (mut acknowledged, mut refused, mut closes) = (0, 0, std::collections::BTreeMap::new());
    for (meeting, id) in ids.iter().enumerate() {
        let log = nodes.first().ok_or("no node")?.rest.log(id).await?;
        let seen = log.iter().filter(|event| event["audience"] == "everyone" || event["audience"]["room"] == "main");
        let head = seen.filter_map(|event| event["seq"].as_u64()).max().unwrap_or(0);
        for person in people.iter().filter(|person| person.meeting == meeting) {
            person.client.until("the end of the log", |record| (record.cursor >= head).then_some(())).await?;
            let record = person.client.record();
            violations.extend(verify(&format!("meeting {meeting}"), &record, &log));
            acknowledged += record.acknowledged.len();
            refused += record.refused.len();
            if let Some(code) = record.last_close {
                *closes.entry(code.to_string()).or_insert(0) += 1;
            }
        }
    }
    let answered = answered.lock().unwrap_or_else(PoisonError::into_inner);
    let mut takeovers: Vec<f64> = Vec::new();
    let mut pauses: Vec<f64> = Vec::new();
    for death in &deaths {
        for meeting in 0..arguments.meetings {
            let after = answered.iter().filter(|answered| answered.meeting == meeting && answered.at > *death);
            let first = after.filter(|answered| answered.sent > *death).map(|answered| answered.at).min();
            takeovers.extend(first.map(|at| (at - *death).as_secs_f64()));
        }
        let under_way =
            answered.iter().filter(|answered| answered.at > *death && answered.sent < *death + arguments.kill_every);
        pauses.extend(under_way.map(|answered| (answered.at - answered.sent).as_secs_f64()));
    }
    let report = json!({
        "nodes": arguments.nodes,
        "kills": arguments.kills,
        "signal": if arguments.drain { "SIGTERM" } else { "SIGKILL" },
        "meetings": arguments.meetings,
        "clients": people.len(),
        "acknowledged": acknowledged,
        "refused": refused,
        "last close codes": closes,
        "seconds from the signal to a meeting's next acknowledged command": spread(&mut takeovers),
        "seconds from sending to the answer, around the signals": spread(&mut pauses),
        "violations": violations,
    });
    print(&report, arguments.json)?;
    Ok(violations.is_empty())
}

fn spread(figures: &mut [f64]) -> serde_json::Value {
    figures.sort_by(f64::total_cmp);
    let at = |share: f64| figures.get(((figures.len().saturating_sub(1)) as f64 * share).round() as usize).copied();
    json!({ "count": figures.len(), "p50": at(0.5), "p90": at(0.9), "p99": at(0.99), "max": at(1.0) })
}
