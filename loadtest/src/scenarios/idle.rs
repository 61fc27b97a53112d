//! What an idle connection costs in memory: the server's resident bytes before and after many
//! people have joined and fallen silent. A first few warm the server (its caches, its threads'
//! arenas), so that what is counted is what one more connection costs.

use super::{Target, duration};
use clap::Args;
use convoke_loadtest::client::connect;
use convoke_loadtest::rest::Failure;
use convoke_loadtest::server::{Server, usage};
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio_tungstenite::tungstenite::Message;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// Connections that are there before the first look, and stay
    #[arg(long, default_value_t = 500)]
    warm: usize,
    /// People in one meeting
    #[arg(long, default_value_t = 50)]
    people: usize,
    /// How long to wait before a look
    #[arg(long, value_parser = duration, default_value = "5s")]
    settle: Duration,
}

/// Joins so many people, who answer pings from then on; `lost` counts those who are closed.
async fn join(server: &Server, count: usize, people: usize, lost: &Arc<AtomicUsize>) -> Result<(), Failure> {
    let mut meeting = String::new();
    for number in 0..count {
        if number % people.max(1) == 0 {
            meeting = server.rest.make_meeting("Idle", json!({})).await?;
        }
        let mut socket = connect(&server.rest.host).await?;
        let token = server.rest.key.join_token(&meeting, Some(&format!("u{number}")), "Somebody", "participant");
        let session = uuid::Uuid::now_v7();
        let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": session } });
        socket.send(Message::text(hello.to_string())).await?;
        let first = socket.next().await.ok_or("no snapshot")??;
        if !first.to_text().is_ok_and(|text| text.contains("\"resume_token\"")) {
            return Err(format!("connection {number} was not taken in").into());
        }
        let lost = Arc::clone(lost);
        tokio::spawn(async move {
            while let Some(Ok(_)) = socket.next().await {}
            lost.fetch_add(1, Ordering::Relaxed);
        });
    }
    Ok(())
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let server = arguments.target.spawn_with(&[]).await?;
    let pid = server.pid().ok_or("no process")?;
    let resident = || usage(pid).map(|usage| usage.1).ok_or("the server is gone");
    let lost = Arc::new(AtomicUsize::new(0));
    let cold = resident()?;
    join(&server, arguments.warm, arguments.people, &lost).await?;
    tokio::time::sleep(arguments.settle).await;
    let warm = resident()?;
    join(&server, arguments.connections, arguments.people, &lost).await?;
    tokio::time::sleep(arguments.settle).await;
    let after = resident()?;
    let each = after.saturating_sub(warm) as f64 / arguments.connections.max(1) as f64 / 1_024.0;
    println!(
        "resident MiB: {:.1} at the start, {:.1} with {} connections, {:.1} with {} more",
        mib(cold),
        mib(warm),
        arguments.warm,
        mib(after),
        arguments.connections
    );
    println!("{each:.1} KiB for one more idle connection (participant, session and meeting included)");
    let lost = lost.load(Ordering::Relaxed);
    if lost > 0 {
        println!("{lost} were closed meanwhile, so the figure is too small");
    }
    Ok(lost == 0)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / 1_048_576.0
}
