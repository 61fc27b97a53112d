//! People at whiteboards, with Yjs's documents: they draw, delete, show cursors, drop and come back, and the
//! server may be killed meanwhile. In the end everybody has the same document, and so has somebody who comes
//! new; it has all that was ever broadcast. Latency is counted from the scheduled moment of drawing to
//! receipt by each of the others.

mod age;
mod beside;
mod opening;
mod painter;
mod reference;

use super::meeting::print;
use super::{Target, duration};
use clap::Args;
use convoke_loadtest::board::door::{Address, Door, make_board};
use convoke_loadtest::board::person::{Options, Person, Phase};
use convoke_loadtest::board::record::Record;
use convoke_loadtest::board::{Made, Shown};
use convoke_loadtest::client::{self, Client};
use convoke_loadtest::rest::{Failure, Rest};
use convoke_loadtest::server::{Server, usage};
use hdrhistogram::Histogram;
use rand::Rng;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long everybody may take to be brought up to date when nobody draws any more.
const SETTLE: Duration = Duration::from_secs(60);

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// A server that speaks y-websocket's protocol instead, as ws://host:port/room
    #[arg(long)]
    plain: Option<String>,
    /// People, on all boards together
    #[arg(long, default_value_t = 20)]
    clients: u16,
    #[arg(long, default_value_t = 1)]
    boards: u16,
    /// Updates a second, of each
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// Cursors a second, of each
    #[arg(long, default_value_t = 5.0)]
    cursors: f64,
    /// How long they draw; with --beside and --age, how long a turn lasts
    #[arg(long, value_parser = duration, default_value = "20s")]
    duration: Duration,
    /// After how long a socket is dropped, on the average; 0s never
    #[arg(long, value_parser = duration, default_value = "5s")]
    drop_every: Duration,
    /// Kill and restart the server that was started, at random
    #[arg(long, requires = "spawn")]
    kill: bool,
    /// Measure beside other servers and a bare relay, by turns
    #[arg(long)]
    beside: bool,
    /// With --beside: which; each may be left out
    #[arg(long, value_delimiter = ',', default_value = "relay,syncing-relay,convoke,y-websocket,hocuspocus")]
    servers: Vec<String>,
    /// Where Yjs's servers are, or are installed
    #[arg(long, env = "CONVOKE_LOADTEST_YJS", default_value = "target/tools/yjs-servers")]
    yjs: PathBuf,
    /// Turns of each
    #[arg(long, default_value_t = 3)]
    turns: u32,
    /// Elements of the board that is opened
    #[arg(long, default_value_t = 20_000)]
    shapes: u32,
    /// Measure what an update costs on a board that had few, and on one that had many
    #[arg(long)]
    age: bool,
    #[arg(long, default_value_t = 10_000)]
    young: u32,
    #[arg(long, default_value_t = 500_000)]
    old: u32,
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    if arguments.beside {
        return beside::run(&arguments).await;
    }
    if arguments.age {
        return age::run(&arguments).await;
    }
    let mut place = Place::open(&arguments).await?;
    let mut boards = Vec::new();
    for number in 0..arguments.boards.max(1) {
        boards.push(place.board(&format!("board-{number}")).await?);
    }
    let (phases, phase) = watch::channel(Phase::Settle);
    let mut people = Vec::new();
    for number in 0..arguments.clients {
        let at = number % arguments.boards.max(1);
        let options = Options {
            author: number / arguments.boards.max(1),
            authors: arguments.clients.div_ceil(arguments.boards.max(1)),
            rate: arguments.rate,
            cursors: arguments.cursors,
            drop_every: Some(arguments.drop_every).filter(|every| !every.is_zero()),
        };
        let door = place.door(boards.get(usize::from(at)).ok_or("no board")?, &format!("person-{number}")).await?;
        people.push((usize::from(at), Person::start(options, door, phase.clone())?));
    }
    // Nobody draws before everybody is there: what they would be shown at first is no delivery.
    let absent = settle(&people, boards.len()).await?;
    if !absent.is_empty() {
        return Err(format!("not everybody could come in: {}", absent.join("; ")).into());
    }
    phases.send_replace(Phase::Draw);
    let (kills, cpu) = place.rest_of(arguments.duration, arguments.kill).await?;
    phases.send_replace(Phase::Settle);
    let mut violations = settle(&people, boards.len()).await?;
    for (at, board) in boards.iter().enumerate() {
        violations.extend(look_anew(&mut place, board, at, &people).await?);
    }
    phases.send_replace(Phase::Stop);
    for (_, person) in &mut people {
        person.ended().await;
    }
    let report = report(&arguments, &people, kills, cpu, violations)?;
    print(&report, arguments.json)?;
    Ok(report["violations"].as_array().is_some_and(Vec::is_empty))
}

/// Where the boards are.
pub enum Place {
    Plain { url: String, pid: Option<u32> },
    Meeting { rest: Rest, meeting: String, host: Box<Client>, pid: Option<u32>, own: Option<Box<Server>> },
}

impl Place {
    async fn open(arguments: &Arguments) -> Result<Self, Failure> {
        if let Some(url) = &arguments.plain {
            return Ok(Self::Plain { url: url.trim_end_matches('/').to_owned(), pid: arguments.target.pid });
        }
        let (rest, pid, own) = if arguments.target.spawns() {
            let mut settings = vec![("CONVOKE_NODE_ID", "boards")];
            if arguments.age {
                // A board is aged faster than people draw.
                settings.push(("CONVOKE_WHITEBOARD_MESSAGES_PER_S", "100000"));
                settings.push(("CONVOKE_WHITEBOARD_MESSAGES_BURST", "100000"));
            }
            let server = arguments.target.spawn_with(&settings).await?;
            (server.rest.clone(), server.pid(), Some(Box::new(server)))
        } else {
            let loaded = arguments.target.open().await?;
            (loaded.rest, loaded.pid, None)
        };
        let meeting = rest.make_meeting("Boards", json!({})).await?;
        let token = rest.key.join_token(&meeting, Some("host"), "Host", "host");
        let host = Client::start(client::Options::new(&rest.host, token));
        host.joined().await?;
        Ok(Self::Meeting { rest, meeting, host: Box::new(host), pid, own })
    }

    async fn board(&self, name: &str) -> Result<String, Failure> {
        match self {
            Self::Plain { url, .. } => Ok(format!("{url}-{name}")),
            Self::Meeting { host, .. } => make_board(host, name).await,
        }
    }

    /// Where it can be known.
    fn pid(&self) -> Option<u32> {
        match self {
            Self::Plain { pid, .. } | Self::Meeting { pid, .. } => *pid,
        }
    }

    async fn door(&self, board: &str, user: &str) -> Result<Door, Failure> {
        match self {
            Self::Plain { .. } => Ok(Door::Straight(Address::parse(board)?)),
            Self::Meeting { rest, meeting, .. } => {
                let token = rest.key.join_token(meeting, Some(user), user, "participant");
                let backoff = Duration::from_millis(50);
                let client = Client::start(client::Options { backoff, ..client::Options::new(&rest.host, token) });
                client.joined().await?;
                Ok(Door::of(client, board))
            }
        }
    }

    /// Waits for so long, killing the server now and then if it is to be killed: how often that was, and
    /// the server's CPU seconds, where they can be known.
    async fn rest_of(&mut self, time: Duration, kills: bool) -> Result<(u32, Option<f64>), Failure> {
        let cpu = |pid: Option<u32>| pid.and_then(usage).map(|usage| usage.0);
        let (until, mut killed, mut spent) = (Instant::now() + time, 0, 0.0);
        let mut pid = self.pid();
        let mut before = cpu(pid);
        while kills && let Self::Meeting { own: Some(server), .. } = self {
            let alive = Duration::from_millis(rand::rng().random_range(1_000..4_000));
            if Instant::now() + alive >= until {
                break;
            }
            tokio::time::sleep(alive).await;
            spent += cpu(pid).zip(before).map_or(0.0, |(now, before)| now - before);
            server.kill()?;
            killed += 1;
            server.run().await?;
            (pid, before) = (server.pid(), Some(0.0));
        }
        tokio::time::sleep_until(until.into()).await;
        Ok((killed, cpu(pid).zip(before).map(|(now, before)| spent + now - before)))
    }
}

/// Waits until everybody at a board has the same; what is different after that is a violation.
async fn settle(people: &[(usize, Person)], boards: usize) -> Result<Vec<String>, Failure> {
    let until = Instant::now() + SETTLE;
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut violations = Vec::new();
        for board in 0..boards {
            let there: Vec<&Person> = people.iter().filter(|(at, _)| *at == board).map(|(_, who)| who).collect();
            let Some(first) = there.first().map(|first| Shown::of(&first.doc)) else { continue };
            let unsynced = there.iter().filter(|who| !who.record().is_synced).count();
            let different = there.iter().filter(|who| Shown::of(&who.doc) != first).count();
            if unsynced + different > 0 {
                let of = there.len();
                let mut text = format!("board {board}: {different} of {of} differ, {unsynced} are not synced");
                let refusal = there.iter().find_map(|who| {
                    let record = who.record();
                    record.last_refusal.clone().filter(|_| !record.is_synced)
                });
                if let Some(refusal) = refusal {
                    text.push_str(&format!(": {refusal}"));
                }
                violations.push(text);
            }
        }
        if violations.is_empty() || Instant::now() > until {
            return Ok(violations);
        }
    }
}

/// Somebody who comes new, and what they are shown: the same, with all that was ever broadcast.
async fn look_anew(
    place: &mut Place,
    board: &str,
    at: usize,
    people: &[(usize, Person)],
) -> Result<Vec<String>, Failure> {
    let (_phases, phase) = watch::channel(Phase::Settle);
    let options = Options { author: u16::MAX, authors: 1, rate: 1.0, cursors: 1.0, drop_every: None };
    let newcomer = Person::start(options, place.door(board, "newcomer").await?, phase)?;
    let first = people.iter().find(|(other, _)| *other == at).map(|(_, person)| Shown::of(&person.doc));
    let until = Instant::now() + SETTLE;
    // What comes first may be a state, with updates behind it.
    while !newcomer.record().is_synced || Some(Shown::of(&newcomer.doc)) != first {
        if Instant::now() > until {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let shown = Shown::of(&newcomer.doc);
    let mut violations = Vec::new();
    let mut made = Made::default();
    for (number, (_, person)) in people.iter().enumerate().filter(|(_, (other, _))| *other == at) {
        made.merge(&person.record().acknowledged);
        if Shown::of(&person.doc) != shown {
            violations.push(format!("board {at}: person {number} has another document than somebody who comes new"));
        }
    }
    violations.extend(shown.missing(&made).map(|missing| format!("board {at}: acknowledged and lost: {missing}")));
    println!("board {at}: {} elements", shown.count());
    Ok(violations)
}

fn report(
    arguments: &Arguments,
    people: &[(usize, Person)],
    kills: u32,
    cpu: Option<f64>,
    mut violations: Vec<String>,
) -> Result<serde_json::Value, Failure> {
    let mut latency = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3)?;
    let sum = |figure: fn(&Record) -> u64| -> u64 { people.iter().map(|(_, person)| figure(&person.record())).sum() };
    for (_, person) in people {
        let record = person.record();
        latency.add(&record.latency)?;
        violations.extend(record.violations.iter().cloned());
    }
    let milliseconds = |quantile: f64| latency.value_at_quantile(quantile) as f64 / 1e3;
    let drawn = sum(|record| record.drawn);
    Ok(json!({
        "clients": arguments.clients,
        "boards": arguments.boards,
        "updates": drawn,
        "updates_offline": sum(|record| record.drawn_offline),
        "echoed": sum(|record| record.echoed),
        "deliveries": sum(|record| record.deliveries),
        "latency_ms": {
            "p50": milliseconds(0.5),
            "p99": milliseconds(0.99),
            "p99.9": milliseconds(0.999),
        },
        "cursors": sum(|record| record.cursors),
        "drops": sum(|record| record.drops),
        "lost_sockets": sum(|record| record.lost),
        "syncs": sum(|record| record.syncs),
        "kills": kills,
        "server_cpu_us_an_update": cpu.map(|cpu| cpu * 1e6 / drawn.max(1) as f64),
        "violations": violations,
    }))
}
