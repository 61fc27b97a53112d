//! Many joins into one meeting at once: how long until everybody has been told of everybody.

use super::Target;
use clap::Args;
use convoke_loadtest::client::connect;
use convoke_loadtest::rest::Failure;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::time::Instant;
use tokio_tungstenite::tungstenite::Message;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1_000)]
    participants: usize,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let server = arguments.target.spawn_with(&[]).await?;
    let rest = &server.rest;
    let meeting =
        rest.make_meeting("Everybody", json!({ "max_participants": arguments.participants.min(1_000) })).await?;
    let mut sockets = Vec::new();
    for number in 0..arguments.participants {
        let token =
            rest.key.join_token(&meeting, Some(&format!("u{number}")), &format!("Person {number}"), "participant");
        let session = uuid::Uuid::now_v7();
        let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": session } }).to_string();
        sockets.push((connect(&rest.host).await?, hello));
    }
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for (mut socket, hello) in sockets {
        tasks.spawn(async move {
            socket.send(Message::text(hello)).await?;
            // The log ends with the last join, and every join is two events: told of the last seq
            // of all, in a snapshot or as an event, one has been told of everybody.
            let mut last = 0;
            let mut answered = None;
            while let Ok(Some(Ok(message))) =
                tokio::time::timeout(std::time::Duration::from_secs(2), socket.next()).await
            {
                let Message::Text(text) = message else { continue };
                // Found without parsing: the tester's own work is not what is measured.
                if let Some(seq) = last_seq(&text) {
                    last = last.max(seq);
                    answered = Some(Instant::now());
                }
            }
            Ok::<_, Failure>((last, answered))
        });
    }
    let (mut heads, mut latest) = (Vec::new(), began);
    while let Some(done) = tasks.join_next().await {
        let (last, at) = done??;
        heads.push(last);
        latest = latest.max(at.unwrap_or(began));
    }
    let informed = heads.iter().min() == heads.iter().max();
    println!("{} joins, everybody informed: {informed}, within {:.3} s", heads.len(), (latest - began).as_secs_f64());
    Ok(informed)
}

/// The seq that stands last in a frame: events come in order, behind the snapshot.
fn last_seq(text: &str) -> Option<u64> {
    let (_, behind) = text.rsplit_once("\"seq\":")?;
    behind.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}
