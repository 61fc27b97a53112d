//! A thousand people in fifty breakout rooms: opened, shuffled, merged pairwise and closed, while
//! sockets are lost and resume. For each step: how long until everybody was told, and what the plain
//! broadcaster takes for as many bytes to as many sockets. At the end every client has to have
//! heard all that is for everybody, once and in order, and to have been shown the room it is in.

use super::{Target, median};
use clap::Args;
use convoke_loadtest::client::{Client, Options, connect};
use convoke_loadtest::rest::{Failure, Rest};
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use rand::seq::SliceRandom;
use serde_json::{Value, json};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// How long anybody may take to be told, before the run gives up.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1_000)]
    people: usize,
    #[arg(long, default_value_t = 50)]
    rooms: usize,
    #[arg(long, default_value_t = 10)]
    shuffles: usize,
    /// Sockets that are lost before each step, of a hundred
    #[arg(long, default_value_t = 2)]
    drops: usize,
}

/// What a person was given. Frames are searched and not parsed: the tester's own work is not what is
/// measured.
#[derive(Default)]
struct Heard {
    seqs: Vec<u64>,
    skipped: Vec<(u64, u64)>,
    cursor: u64,
    /// The room that was shown last, and after which event.
    room: String,
    shown_at_seq: u64,
    told_at: Option<Instant>,
    resume_token: String,
    resumes: u64,
    snapshots: u64,
    closed: Vec<u16>,
    violations: Vec<String>,
}

struct Person {
    id: String,
    heard: Arc<Mutex<Heard>>,
    drop: mpsc::UnboundedSender<()>,
    /// Lost its socket just now, and comes back when it has waited a little.
    is_away: bool,
}

impl Person {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The text behind a mark, up to the closing quote.
fn quoted<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.rsplit_once(mark)?.1.split('"').next()
}

fn number(text: &str) -> Option<u64> {
    text.split(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()
}

impl Heard {
    fn take(&mut self, text: &str) {
        if text.starts_with(r#"[{"re":0"#) {
            self.greeted(text);
        }
        for event in text.split(r#"{"seq":"#).skip(1) {
            let Some(seq) = number(event) else { continue };
            if seq <= self.cursor {
                self.violations.push(format!("event {seq} came after {}", self.cursor));
            }
            self.seqs.push(seq);
            self.cursor = self.cursor.max(seq);
        }
        if let Some(entered) = text.rfind(r#""type":"self.entered""#).and_then(|at| text.get(at..)) {
            self.room = quoted(entered, r#""view":{"room":""#).unwrap_or_default().to_owned();
            self.shown_at_seq = self.cursor;
        }
        // Signals and ticks tell of nothing.
        if text.contains(r#""seq":"#) || text.contains(r#""self.entered""#) {
            self.told_at = Some(Instant::now());
        }
    }

    fn greeted(&mut self, text: &str) {
        if text.contains(r#""resumed":true"#) {
            self.resumes += 1;
            return;
        }
        let Some(token) = quoted(text, r#""resume_token":""#) else {
            return self.violations.push(format!("not let in: {}", text.get(..200).unwrap_or(text)));
        };
        token.clone_into(&mut self.resume_token);
        self.snapshots += 1;
        if let Some(seq) = text.split_once(r#""seq":"#).and_then(|(_, behind)| number(behind)) {
            self.skipped.push((self.cursor, seq));
            self.cursor = seq;
        }
        self.room = quoted(text, r#""view":{"room":""#).unwrap_or_default().to_owned();
        self.shown_at_seq = self.cursor;
    }
}

async fn live(
    host: String,
    hello: Value,
    heard: Arc<Mutex<Heard>>,
    mut orders: mpsc::UnboundedReceiver<()>,
    changed: Arc<watch::Sender<()>>,
) -> Result<(), Failure> {
    let note = |change: &mut dyn FnMut(&mut Heard)| change(&mut heard.lock().unwrap_or_else(PoisonError::into_inner));
    let mut hello = hello;
    loop {
        let mut socket = connect(&host).await?;
        socket.send(Message::text(hello.to_string())).await?;
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(()) => break,
                    None => return Ok(()),
                },
                message = socket.next() => match message {
                    Some(Ok(Message::Text(text))) => {
                        note(&mut |heard| heard.take(&text));
                        changed.send_replace(());
                    }
                    Some(Ok(Message::Close(frame))) => {
                        let code = frame.map_or(1005, |frame| u16::from(frame.code));
                        note(&mut |heard| heard.closed.push(code));
                        if (4500..4600).contains(&code) {
                            return Ok(());
                        }
                        break;
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => break,
                },
            }
        }
        let pause = rand::rng().random_range(50..500);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        note(&mut |heard| {
            hello = json!({ "id": 0, "type": "resume", "data": { "resume_token": heard.resume_token, "seq": heard.cursor } });
        });
    }
}

struct Run {
    arguments: Arguments,
    rest: Rest,
    meeting: String,
    host: Client,
    people: Vec<Person>,
    changed: Arc<watch::Sender<()>>,
    floor: Floor,
    figures: Vec<(String, f64, f64)>,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let target = arguments.target.open().await?;
    let rest = target.rest.clone();
    let meeting = rest.make_meeting("Breakout", json!({ "max_participants": 1_000 })).await?;
    let host = Client::start(Options::new(&rest.host, rest.key.join_token(&meeting, Some("host"), "Host", "host")));
    host.joined().await?;
    let changed = Arc::new(watch::Sender::new(()));
    let mut people = Vec::new();
    for number in 0..arguments.people.saturating_sub(1) {
        people.push(person(&rest, &meeting, number, &changed).await?);
    }
    let floor = Floor::start(arguments.people).await?;
    let mut run = Run { arguments, rest, meeting, host, people, changed, floor, figures: Vec::new() };
    run.settle().await?;
    run.learn_ids().await?;
    run.open().await?;
    for _ in 0..run.arguments.shuffles {
        run.lose_some();
        run.shuffle().await?;
    }
    run.lose_some();
    run.merge().await?;
    run.lose_some();
    run.close().await?;
    run.report().await
}

async fn person(
    rest: &Rest,
    meeting: &str,
    number: usize,
    changed: &Arc<watch::Sender<()>>,
) -> Result<Person, Failure> {
    let token = rest.key.join_token(meeting, Some(&format!("u{number}")), &format!("Person {number}"), "participant");
    let session = uuid::Uuid::now_v7();
    let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": session } });
    let heard: Arc<Mutex<Heard>> = Arc::default();
    let (drop, orders) = mpsc::unbounded_channel();
    let mut seen = changed.subscribe();
    tokio::spawn(live(rest.host.clone(), hello, Arc::clone(&heard), orders, Arc::clone(changed)));
    let person = Person { id: String::new(), heard, drop, is_away: false };
    let is_in = async {
        while person.heard().snapshots == 0 {
            if seen.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, is_in).await.map_err(|_| "somebody is not let in")?;
    Ok(person)
}

impl Run {
    /// Waits until everybody has heard of this event, and, where they were moved, was shown their room.
    /// The time is that of the last of those who had not just lost their socket.
    async fn told(&self, seq: u64, are_moved: bool) -> Result<Instant, Failure> {
        let mut changed = self.changed.subscribe();
        let is_told = |person: &Person| {
            let heard = person.heard();
            heard.cursor >= seq && (!are_moved || heard.shown_at_seq >= seq)
        };
        let waiting = async {
            for person in &self.people {
                while !is_told(person) {
                    if changed.changed().await.is_err() {
                        return;
                    }
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| format!("not everybody heard of {seq}"))?;
        let connected = self.people.iter().filter(|person| !person.is_away);
        Ok(connected.filter_map(|person| person.heard().told_at).max().unwrap_or_else(Instant::now))
    }

    async fn head(&self) -> Result<u64, Failure> {
        let last = self.rest.log(&self.meeting).await?;
        Ok(last.last().and_then(|event| event.get("seq")).and_then(Value::as_u64).unwrap_or(0))
    }

    /// Everything that went before has reached everybody.
    async fn settle(&self) -> Result<(), Failure> {
        let head = self.rest.log(&self.meeting).await?;
        let for_all = head.iter().rev().find(|event| event.get("audience").is_some_and(|who| who == "everyone"));
        let seq = for_all.and_then(|event| event.get("seq")).and_then(Value::as_u64).unwrap_or(0);
        self.told(seq, false).await.map(|_| ())
    }

    async fn learn_ids(&mut self) -> Result<(), Failure> {
        for event in self.rest.log(&self.meeting).await? {
            let participant = event.pointer("/data/participant");
            let user = participant.and_then(|who| who.get("user")).and_then(Value::as_str).unwrap_or_default();
            let number = user.strip_prefix('u').and_then(|number| number.parse::<usize>().ok());
            if let Some(person) = number.and_then(|number| self.people.get_mut(number)) {
                let id = participant.and_then(|who| who.get("id")).and_then(Value::as_str).unwrap_or_default();
                id.clone_into(&mut person.id);
            }
        }
        Ok(())
    }

    /// Some sockets are lost; those people are told when they are back.
    fn lose_some(&mut self) {
        let mut chance = rand::rng();
        for person in &mut self.people {
            person.is_away = chance.random_range(0..100) < self.arguments.drops;
            if person.is_away {
                let _ = person.drop.send(());
            }
        }
    }

    /// A step: what it takes, and what the floor takes for the event that everybody is told.
    async fn step(&mut self, name: &str, asked: Instant, are_moved: bool) -> Result<(), Failure> {
        let log = self.rest.log(&self.meeting).await?;
        let moved = log.iter().rev().find(|event| event.get("type").is_some_and(|kind| kind == "participants.moved"));
        let moved = moved.ok_or("nobody was moved")?;
        let seq = moved.get("seq").and_then(Value::as_u64).unwrap_or(0);
        let told = self.told(seq, are_moved).await?;
        let took = told.saturating_duration_since(asked).as_secs_f64();
        let bytes = moved.get("data").map(Value::to_string).map_or(0, |data| data.len());
        let floor = self.floor.broadcast(bytes).await?;
        println!("{name:10} {took:7.3} s, the floor {floor:7.3} s for {bytes} bytes to everybody");
        self.figures.push((name.to_owned(), took, floor));
        self.settle().await
    }

    async fn ask(&self, kind: &str, data: Value) -> Result<(), Failure> {
        let answer = self.host.ask(kind, data).await?;
        if answer.get("ok").is_some_and(|ok| ok == true) { Ok(()) } else { Err(format!("{kind}: {answer}").into()) }
    }

    fn open_rooms(&self) -> Vec<String> {
        let record = self.host.record();
        let opened = record.heard.iter().rev().find(|heard| heard.kind == "breakout.opened");
        let rooms = opened.and_then(|heard| heard.data.get("rooms")).and_then(Value::as_array);
        rooms.into_iter().flatten().filter_map(|room| room.get("id")?.as_str().map(ToOwned::to_owned)).collect()
    }

    async fn open(&mut self) -> Result<(), Failure> {
        let rooms: Vec<Value> = (0..self.arguments.rooms).map(|n| json!({ "name": format!("Room {n}") })).collect();
        let asked = Instant::now();
        self.ask("breakout.open", json!({ "rooms": rooms, "assign": "automatic", "duration_s": 3_600 })).await?;
        self.step("open", asked, true).await
    }

    /// Everybody into another room, in one request.
    async fn shuffle(&mut self) -> Result<(), Failure> {
        let rooms = self.open_rooms();
        let mut order: Vec<&Person> = self.people.iter().collect();
        order.shuffle(&mut rand::rng());
        let next = |room: &str| rooms.iter().position(|other| other == room).map_or(0, |place| place + 1);
        let moves: Vec<Value> = order
            .iter()
            .map(|person| {
                let present = person.heard().room.clone();
                json!({ "participant": person.id, "room": rooms.get(next(&present) % rooms.len().max(1)) })
            })
            .collect();
        let asked = Instant::now();
        let path = format!("/meetings/{}/breakout/move", self.meeting);
        let answer = self.rest.api("POST", &path, Some(json!({ "moves": moves }))).await?;
        if answer.status >= 300 {
            return Err(format!("{} {}", answer.status, answer.body).into());
        }
        self.step("shuffle", asked, true).await
    }

    /// Each odd room into the even one before it.
    async fn merge(&mut self) -> Result<(), Failure> {
        let rooms = self.open_rooms();
        let asked = Instant::now();
        for pair in rooms.chunks_exact(2) {
            if let [into, from] = pair {
                self.ask("breakout.merge", json!({ "from": [from], "into": into })).await?;
            }
        }
        self.step("merge", asked, false).await
    }

    async fn close(&mut self) -> Result<(), Failure> {
        let asked = Instant::now();
        self.ask("breakout.close", json!({ "now": true })).await?;
        self.step("close", asked, true).await
    }

    async fn report(mut self) -> Result<bool, Failure> {
        let head = self.head().await?;
        let log = self.rest.log(&self.meeting).await?;
        let mut violations = Vec::new();
        let for_all: Vec<u64> = log
            .iter()
            .filter(|event| event.get("audience").is_some_and(|who| who == "everyone"))
            .filter_map(|event| event.get("seq").and_then(Value::as_u64))
            .collect();
        let (mut resumes, mut snapshots, mut slow) = (0, 0, 0);
        for person in &self.people {
            let heard = person.heard();
            let mut say = |what: String| violations.push(format!("{}: {what}", person.id));
            heard.violations.iter().cloned().for_each(&mut say);
            for seq in &for_all {
                let times = heard.seqs.iter().filter(|other| *other == seq).count();
                let is_skipped = heard.skipped.iter().any(|(from, to)| from < seq && seq <= to);
                if times > 1 || (times == 0 && !is_skipped) {
                    say(format!("event {seq} came {times} times"));
                }
            }
            if heard.room != "main" {
                say(format!("is shown in {} at the end", heard.room));
            }
            resumes += heard.resumes;
            snapshots += heard.snapshots.saturating_sub(1);
            slow += heard.closed.iter().filter(|code| **code == 4_002).count();
        }
        let moves = |least: usize| {
            let moved = log.iter().filter_map(|event| event.pointer("/data/moves")?.as_array());
            moved.filter(|moves| moves.len() >= least).count()
        };
        let whole = moves(self.people.len());
        let mut ratios: Vec<f64> =
            self.figures.iter().filter(|(name, ..)| name == "shuffle").map(|(_, took, floor)| took / floor).collect();
        println!(
            "{} people, {} rooms, {head} events, {whole} of them moved everybody at once; {resumes} resumes by replay, \
             {snapshots} by snapshot; {slow} closed as slow; shuffles at {:.2} times the floor (median)",
            self.people.len() + 1,
            self.arguments.rooms,
            median(&mut ratios),
        );
        for violation in violations.iter().take(20) {
            println!("VIOLATION {violation}");
        }
        println!("{} violations", violations.len());
        self.people.clear();
        Ok(violations.is_empty() && slow == 0 && whole == self.arguments.shuffles + 1)
    }
}

/// The plain broadcaster, with as many sockets.
struct Floor {
    _server: tokio::process::Child,
    sender: tokio_tungstenite::WebSocketStream<TcpStream>,
    received: Arc<AtomicU64>,
    changed: watch::Receiver<()>,
    sockets: u64,
}

impl Floor {
    async fn start(sockets: usize) -> Result<Self, Failure> {
        let mut server = tokio::process::Command::new(std::env::current_exe()?)
            .arg("floor-server")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut port = String::new();
        BufReader::new(server.stdout.take().ok_or("no output")?).read_line(&mut port).await?;
        let received = Arc::new(AtomicU64::new(0));
        let (change, changed) = watch::channel(());
        let change = Arc::new(change);
        let open = async || -> Result<_, Failure> {
            let stream = TcpStream::connect(format!("127.0.0.1:{}", port.trim())).await?;
            stream.set_nodelay(true)?;
            let request = "ws://127.0.0.1/all".into_client_request()?;
            Ok(tokio_tungstenite::client_async(request, stream).await?.0)
        };
        for _ in 0..sockets {
            let mut socket = open().await?;
            let (received, change) = (Arc::clone(&received), Arc::clone(&change));
            tokio::spawn(async move {
                while let Some(Ok(_)) = socket.next().await {
                    received.fetch_add(1, Ordering::Relaxed);
                    change.send_replace(());
                }
            });
        }
        let sender = open().await?;
        Ok(Self { _server: server, sender, received, changed, sockets: u64::try_from(sockets)? })
    }

    /// Seconds until everybody has a message of so many bytes.
    async fn broadcast(&mut self, bytes: usize) -> Result<f64, Failure> {
        let wanted = self.received.load(Ordering::Relaxed) + self.sockets;
        let began = Instant::now();
        self.sender.send(Message::text("x".repeat(bytes))).await?;
        let drain = async {
            while self.received.load(Ordering::Relaxed) < wanted {
                tokio::select! {
                    // It hears itself, too.
                    _ = self.sender.next() => {}
                    changed = self.changed.changed() => if changed.is_err() { return },
                }
            }
        };
        tokio::time::timeout(PATIENCE, drain).await.map_err(|_| "the floor did not deliver")?;
        Ok(began.elapsed().as_secs_f64())
    }
}
