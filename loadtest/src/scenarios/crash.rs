//! `kill -9` at random moments under load. After each, the server is started again on the same
//! database; the clients come back by themselves. At the end every acknowledged command has to be
//! in the log once, and every client has to have the log.

use super::{Target, meeting::print};
use clap::Args;
use convoke_loadtest::client::{Client, Options};
use convoke_loadtest::rest::Failure;
use convoke_loadtest::verify::verify;
use rand::Rng;
use serde_json::json;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 50)]
    kills: u32,
    #[arg(long, default_value_t = 10)]
    participants: usize,
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let mut server = arguments.target.spawn_with(&[("CONVOKE_NODE_ID", "crash")]).await?;
    let rest = server.rest.clone();
    let meeting = rest.make_meeting("Crashes", json!({})).await?;
    let mut clients = Vec::new();
    for number in 0..arguments.participants {
        let role = if number == 0 { "host" } else { "participant" };
        let token = rest.key.join_token(&meeting, Some(&format!("user-{number}")), &format!("Person {number}"), role);
        let options = Options { backoff: Duration::from_millis(50), ..Options::new(&rest.host, token) };
        clients.push(Client::start(options));
    }
    for client in &clients {
        client.joined().await?;
    }
    let bar = indicatif::ProgressBar::new(u64::from(arguments.kills));
    let mut posts = 0_u64;
    for _ in 0..arguments.kills {
        let until = Instant::now() + Duration::from_millis(rand::rng().random_range(20..400));
        while Instant::now() < until {
            for client in &clients {
                client.send("chat.post", json!({ "to": "room", "text": format!("post {posts}") }));
                posts += 1;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.kill()?;
        server.run().await?;
        for client in &clients {
            // An answer is the proof that nobody is stuck.
            client.ask("hand.lower", json!({})).await?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let log = rest.log(&meeting).await?;
    let head = log.iter().filter(|event| event["audience"] == "everyone" || event["audience"]["room"] == "main");
    let head = head.filter_map(|event| event["seq"].as_u64()).max().unwrap_or(0);
    let mut violations = Vec::new();
    let (mut acknowledged, mut refused, mut replayed, mut snapshots) = (0, 0, 0, 0);
    for (number, client) in clients.into_iter().enumerate() {
        client.until("the end of the log", |record| (record.cursor >= head).then_some(())).await?;
        let record = client.stop().await;
        let record = record.lock().unwrap_or_else(PoisonError::into_inner);
        violations.extend(verify(&format!("client {number}"), &record, &log));
        acknowledged += record.acknowledged.len();
        refused += record.refused.len();
        replayed += record.resumes_replayed;
        snapshots += record.resumes_snapshot;
    }
    let report = json!({
        "kills": arguments.kills,
        "posts": posts,
        "acknowledged": acknowledged,
        "refused": refused,
        "resumes": { "replayed": replayed, "snapshot": snapshots },
        "log": log.len(),
        "violations": violations,
    });
    print(&report, arguments.json)?;
    Ok(violations.is_empty())
}
