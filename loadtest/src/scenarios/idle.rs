//! What an idle connection costs in memory: the server's resident bytes before and after many
//! people have joined and fallen silent.

use super::Target;
use clap::Args;
use convoke_loadtest::client::connect;
use convoke_loadtest::rest::Failure;
use convoke_loadtest::server::usage;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 2_000)]
    connections: usize,
    /// People in one meeting
    #[arg(long, default_value_t = 50)]
    people: usize,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let server = arguments.target.spawn_with(&[]).await?;
    let pid = server.pid().ok_or("no process")?;
    let before = usage(pid).ok_or("the server is gone")?.1;
    let mut open = Vec::new();
    let mut meeting = String::new();
    for number in 0..arguments.connections {
        if number % arguments.people.max(1) == 0 {
            meeting = server.rest.make_meeting("Idle", json!({})).await?;
        }
        let mut socket = connect(&server.rest.host).await?;
        let token = server.rest.key.join_token(&meeting, Some(&format!("u{number}")), "Somebody", "participant");
        let session = uuid::Uuid::now_v7();
        let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": session } });
        socket.send(Message::text(hello.to_string())).await?;
        socket.next().await.ok_or("no snapshot")??;
        open.push(socket);
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let after = usage(pid).ok_or("the server is gone")?.1;
    let each = after.saturating_sub(before) as f64 / open.len().max(1) as f64 / 1_024.0;
    println!("{} idle connections, {each:.1} KiB each (participant, session and meeting included)", open.len());
    Ok(true)
}
