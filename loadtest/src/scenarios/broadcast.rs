//! What a delivery costs: rooms of people, so many messages a second in all, as durable chat, as
//! signals, and through the plain broadcaster, by turns in one run. The figure is the server's CPU
//! time a delivery; the ratio to the floor is what can be compared between machines. With more than
//! one node every room is spread over all of them, and the figure is theirs together: beside that of
//! one node over the same database it is what the bus costs.

use super::{Target, duration, median};
use clap::Args;
use convoke_loadtest::client::connect;
use convoke_loadtest::rest::{Failure, Key};
use convoke_loadtest::server::{Server, usage};
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 20)]
    rooms: usize,
    #[arg(long, default_value_t = 50)]
    people: usize,
    /// Messages a second, in all rooms together
    #[arg(long, default_value_t = 100)]
    rate: u32,
    /// How long each turn lasts
    #[arg(long, value_parser = duration, default_value = "10s")]
    duration: Duration,
    /// Turns of each
    #[arg(long, default_value_t = 3)]
    turns: u32,
    /// Nodes that each room is spread over; more than one need PostgreSQL and Redis
    #[arg(long, default_value_t = 1)]
    nodes: usize,
    #[arg(long)]
    redis_url: Option<String>,
}

type Sink = SplitSink<WebSocketStream<TcpStream>, Message>;

/// The sockets of one side; what they receive is counted by its mark.
struct Side {
    pids: Vec<u32>,
    sinks: Vec<Sink>,
    ids: Vec<u64>,
    received: Arc<AtomicU64>,
}

impl Side {
    fn new(pids: Vec<u32>) -> Self {
        Self { pids, sinks: Vec::new(), ids: Vec::new(), received: Arc::default() }
    }

    fn add(&mut self, socket: WebSocketStream<TcpStream>, mark: &'static str) {
        let (sink, mut source) = socket.split();
        let received = Arc::clone(&self.received);
        tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                if let Message::Text(text) = message {
                    let count = u64::try_from(text.matches(mark).count()).unwrap_or(0);
                    received.fetch_add(count, Ordering::Relaxed);
                }
            }
        });
        self.sinks.push(sink);
        self.ids.push(0);
    }

    /// CPU seconds of all its processes.
    fn cpu(&self) -> Result<f64, Failure> {
        let each = self.pids.iter().map(|pid| usage(*pid).map(|usage| usage.0));
        Ok(each.sum::<Option<f64>>().ok_or("a server is gone")?)
    }

    /// One turn: CPU microseconds a delivery, and how many there were.
    async fn turn(&mut self, arguments: &Arguments, message: impl Fn(u64) -> String) -> Result<(f64, u64), Failure> {
        let before = self.cpu()?;
        let deliveries = self.received.load(Ordering::Relaxed);
        let began = Instant::now();
        let gap = Duration::from_secs(1) / arguments.rate.max(1);
        let total = u32::try_from(arguments.duration.as_millis() / gap.as_millis().max(1)).unwrap_or(u32::MAX);
        for number in 0..total {
            tokio::time::sleep_until((began + gap * number).into()).await;
            // Senders take turns over all rooms, so nobody meets the limit of a session.
            let chosen = (usize::try_from(number).unwrap_or(0) * (arguments.people + 1)) % self.sinks.len().max(1);
            if let (Some(sink), Some(id)) = (self.sinks.get_mut(chosen), self.ids.get_mut(chosen)) {
                *id += 1;
                sink.send(Message::text(message(*id))).await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        let deliveries = self.received.load(Ordering::Relaxed) - deliveries;
        let cpu = self.cpu()? - before;
        Ok((cpu * 1e6 / deliveries.max(1) as f64, deliveries))
    }
}

async fn servers(arguments: &Arguments) -> Result<Vec<Server>, Failure> {
    let secret = format!("load:{}", uuid::Uuid::now_v7().simple());
    let keys = format!("acme/{secret}");
    let mut settings = vec![("CONVOKE_API_KEYS", keys.as_str())];
    settings.extend(arguments.redis_url.as_deref().map(|url| ("CONVOKE_REDIS_URL", url)));
    let mut servers = Vec::new();
    for _ in 0..arguments.nodes.max(1) {
        let mut server = arguments.target.spawn_with(&settings).await?;
        server.rest.key = Key::parse(&secret)?;
        servers.push(server);
    }
    Ok(servers)
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let servers = servers(&arguments).await?;
    let first = servers.first().ok_or("at least one node")?.rest.clone();
    let pids: Option<Vec<u32>> = servers.iter().map(Server::pid).collect();
    let mut convoke = Side::new(pids.ok_or("no process")?);
    for room in 0..arguments.rooms {
        let meeting = first.make_meeting(&format!("Room {room}"), json!({})).await?;
        for (person, server) in (0..arguments.people).zip(servers.iter().cycle()) {
            let mut socket = connect(&server.rest.host).await?;
            let token = first.key.join_token(&meeting, Some(&format!("u{person}")), "Somebody", "participant");
            let session = uuid::Uuid::now_v7();
            let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": session } });
            socket.send(Message::text(hello.to_string())).await?;
            convoke.add(socket, "broadcast-payload");
        }
    }
    let executable = std::env::current_exe()?;
    let mut floor_server = tokio::process::Command::new(executable)
        .arg("floor-server")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut port = String::new();
    let output = floor_server.stdout.take().ok_or("no output")?;
    BufReader::new(output).read_line(&mut port).await?;
    let mut floor = Side::new(vec![floor_server.id().ok_or("no process")?]);
    for room in 0..arguments.rooms {
        for _ in 0..arguments.people {
            let stream = TcpStream::connect(format!("127.0.0.1:{}", port.trim())).await?;
            stream.set_nodelay(true)?;
            let request = format!("ws://127.0.0.1/{room}").into_client_request()?;
            floor.add(tokio_tungstenite::client_async(request, stream).await?.0, "broadcast-payload");
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let padding = "x".repeat(60);
    let chat = |id: u64| {
        json!({ "id": id, "type": "chat.post", "data": { "to": "room", "text": format!("broadcast-payload {padding}") } })
            .to_string()
    };
    let signal =
        |id: u64| json!({ "id": id, "type": "reaction.send", "data": { "emoji": "broadcast-payl" } }).to_string();
    // As long as the event that Convoke sends for a chat message.
    let plain = |_: u64| format!(r#"[{{"seq":100,"text":"broadcast-payload {}"}}]"#, "y".repeat(270));
    let (mut floors, mut chats) = (Vec::new(), Vec::new());
    for _ in 0..arguments.turns {
        let (cost, deliveries) = floor.turn(&arguments, plain).await?;
        println!("floor   {cost:8.2} us a delivery, {deliveries} deliveries");
        floors.push(cost);
        let (cost, deliveries) = convoke.turn(&arguments, chat).await?;
        println!("chat    {cost:8.2} us a delivery, {deliveries} deliveries");
        chats.push(cost);
    }
    let mut signals = Vec::new();
    for _ in 0..arguments.turns {
        let started = convoke.cpu()?;
        convoke.turn(&arguments, signal).await?;
        let cpu = convoke.cpu()? - started;
        // Signals are counted by what was sent: nothing is merged at this rate.
        let sent = f64::from(arguments.rate) * arguments.duration.as_secs_f64() * arguments.people as f64;
        signals.push(cpu * 1e6 / sent);
    }
    let floor = median(&mut floors);
    let (chat, signal) = (median(&mut chats), median(&mut signals));
    println!(
        "median  floor {floor:.2} us, chat {chat:.2} us ({:.2} x), signals {signal:.2} us ({:.2} x)",
        chat / floor,
        signal / floor
    );
    Ok(true)
}
