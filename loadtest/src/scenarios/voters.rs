//! A thousand people in one meeting who all vote within a second, and then all react five times a
//! second. What votes cost the server stands beside as many chat messages in the same run: those that
//! everybody is told, and private ones, which only two are told. What reactions cost everybody else is
//! bounded: so many signals a second and no more, and chat goes on beside them.

use super::{Target, median};
use clap::Args;
use convoke_loadtest::client::connect;
use convoke_loadtest::rest::{Failure, Rest};
use convoke_loadtest::server::usage;
use futures_util::stream::SplitSink;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

/// How long anything may take before the run gives up.
const PATIENCE: Duration = Duration::from_secs(120);
/// Each person's reactions a second.
const REACTIONS_PER_S: u32 = 5;
/// Chat messages that are timed, one after another.
const PROBES: u32 = 40;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 1_000)]
    people: usize,
    /// Turns of votes and chat
    #[arg(long, default_value_t = 3)]
    turns: u32,
    /// How long everybody reacts, in seconds
    #[arg(long, default_value_t = 10)]
    reacting_s: u32,
}

/// What all of them were given, together. Frames are searched and not parsed.
#[derive(Default)]
struct Heard {
    bytes: AtomicU64,
    answers: AtomicU64,
    refusals: AtomicU64,
    chats: AtomicU64,
    counts: AtomicU64,
    closes: AtomicU64,
    signals: AtomicU64,
    /// The last poll that one of them was told of; and the ids that a snapshot and an event gave.
    poll: Mutex<Option<Value>>,
    news: Notify,
}

impl Heard {
    fn take(&self, text: &str) {
        self.bytes.fetch_add(u64::try_from(text.len()).unwrap_or(0), Ordering::Relaxed);
        for (mark, count) in [
            (r#""ok":true"#, &self.answers),
            (r#""ok":false"#, &self.refusals),
            (r#""type":"chat.posted""#, &self.chats),
            (r#""type":"poll.counted""#, &self.counts),
            (r#""type":"poll.closed""#, &self.closes),
            (r#""type":"reaction.shown""#, &self.signals),
        ] {
            count.fetch_add(u64::try_from(text.matches(mark).count()).unwrap_or(0), Ordering::Relaxed);
        }
        self.news.notify_waiters();
    }

    /// The poll that the first of them hears of is kept whole.
    fn take_poll(&self, text: &str) {
        let messages: Vec<Value> = serde_json::from_str(text).unwrap_or_default();
        for message in messages {
            if let Some(poll) = message.get("data").and_then(|data| data.get("poll")) {
                *self.poll.lock().unwrap_or_else(PoisonError::into_inner) = Some(poll.clone());
            }
        }
    }

    fn of(count: &AtomicU64) -> u64 {
        count.load(Ordering::Relaxed)
    }

    async fn until(&self, what: &str, is_there: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let waiting = async {
            loop {
                let news = self.news.notified();
                if is_there(self) {
                    return;
                }
                let _ = tokio::time::timeout(Duration::from_millis(100), news).await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.map_err(|_| format!("waited in vain for {what}").into())
    }
}

struct Person {
    sink: SplitSink<WebSocketStream<TcpStream>, Message>,
    participant: String,
    id: u64,
}

impl Person {
    async fn ask(&mut self, kind: &str, data: Value) -> Result<(), Failure> {
        self.id += 1;
        Ok(self.sink.send(Message::text(json!({ "id": self.id, "type": kind, "data": data }).to_string())).await?)
    }
}

struct Crowd {
    pid: u32,
    people: Vec<Person>,
    heard: Arc<Heard>,
}

async fn join(rest: &Rest, meeting: &str, number: usize, heard: &Arc<Heard>) -> Result<Person, Failure> {
    let role = if number == 0 { "host" } else { "participant" };
    let token = rest.key.join_token(meeting, Some(&format!("u{number}")), "Somebody", role);
    let mut socket = connect(&rest.host).await?;
    let hello = json!({ "id": 0, "type": "join", "data": { "token": token, "session": uuid::Uuid::now_v7() } });
    socket.send(Message::text(hello.to_string())).await?;
    let (sink, mut source) = socket.split();
    let participant = loop {
        let Some(Ok(message)) = source.next().await else { return Err("a socket was closed".into()) };
        let Message::Text(text) = message else { continue };
        if let Some((_, own)) = text.split_once(r#""self":{"participant":{"id":""#) {
            break own.split('"').next().unwrap_or_default().to_owned();
        }
    };
    let heard = Arc::clone(heard);
    tokio::spawn(async move {
        while let Some(Ok(message)) = source.next().await {
            if let Message::Text(text) = message {
                if number == 0 && text.contains(r#""type":"poll."#) {
                    heard.take_poll(&text);
                }
                heard.take(&text);
            }
        }
    });
    Ok(Person { sink, participant, id: 0 })
}

impl Crowd {
    fn cpu(&self) -> Result<f64, Failure> {
        Ok(usage(self.pid).ok_or("the server is gone")?.0)
    }

    /// Everybody asks once within a second; the server's CPU seconds until all of it is done.
    async fn everybody(
        &mut self,
        kind: &str,
        data: impl Fn(usize, &str) -> Value,
        told: impl Fn(&Heard) -> bool,
    ) -> Result<f64, Failure> {
        let (before, began) = (self.cpu()?, Instant::now());
        let answers = Heard::of(&self.heard.answers) + u64::try_from(self.people.len())?;
        let gap = Duration::from_secs(1) / u32::try_from(self.people.len().max(1))?;
        let others: Vec<String> = self.people.iter().map(|person| person.participant.clone()).collect();
        for (number, person) in self.people.iter_mut().enumerate() {
            tokio::time::sleep_until((began + gap * u32::try_from(number)?).into()).await;
            let other = others.get((number + 1) % others.len()).map_or("", String::as_str);
            person.ask(kind, data(number, other)).await?;
        }
        self.heard.until(kind, |heard| Heard::of(&heard.answers) >= answers && told(heard)).await?;
        Ok(self.cpu()? - before)
    }

    async fn poll(&mut self) -> Result<String, Failure> {
        let answers = Heard::of(&self.heard.answers);
        let host = self.people.first_mut().ok_or("nobody is there")?;
        let data = json!({ "question": "Which?", "options": ["a", "b", "c"], "results": "live", "anonymous": true });
        host.ask("poll.open", data).await?;
        let is_open = |heard: &Heard| Heard::of(&heard.answers) > answers && heard.id_of_open().is_some();
        self.heard.until("a poll", is_open).await?;
        self.heard.id_of_open().ok_or_else(|| "no poll".into())
    }

    /// One chat message after another, each until everybody has it: milliseconds.
    async fn probe(&mut self) -> Result<f64, Failure> {
        let mut took = Vec::new();
        for number in 0..PROBES {
            let chats = Heard::of(&self.heard.chats) + u64::try_from(self.people.len())?;
            let chosen = usize::try_from(number)? % self.people.len();
            let began = Instant::now();
            let person = self.people.get_mut(chosen).ok_or("nobody is there")?;
            person.ask("chat.post", json!({ "to": "room", "text": "probe" })).await?;
            self.heard.until("a probe", |heard| Heard::of(&heard.chats) >= chats).await?;
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        Ok(median(&mut took))
    }
}

impl Heard {
    fn id_of_open(&self) -> Option<String> {
        let poll = self.poll.lock().unwrap_or_else(PoisonError::into_inner);
        let poll = poll.as_ref().filter(|poll| poll.get("state").and_then(Value::as_str) == Some("open"))?;
        poll.get("id").and_then(Value::as_str).map(str::to_owned)
    }
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let loaded = arguments.target.open().await?;
    let pid = loaded.pid.ok_or("name the server's process with --pid, or use --spawn")?;
    let meeting = loaded.rest.make_meeting("Voters", json!({})).await?;
    let heard: Arc<Heard> = Arc::default();
    let mut crowd = Crowd { pid, people: Vec::new(), heard };
    for number in 0..arguments.people {
        crowd.people.push(join(&loaded.rest, &meeting, number, &crowd.heard).await?);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let holds = vote(&mut crowd, arguments.turns).await?;
    let bounded = react(&mut crowd, arguments.reacting_s).await?;
    Ok(holds && bounded)
}

/// Votes, chat for everybody, and private chat, by turns.
async fn vote(crowd: &mut Crowd, turns: u32) -> Result<bool, Failure> {
    let people = u64::try_from(crowd.people.len())?;
    let (mut votes, mut chats, mut whispers) = (Vec::new(), Vec::new(), Vec::new());
    let mut holds = true;
    for _ in 0..turns {
        let poll = crowd.poll().await?;
        let (counts, began) = (Heard::of(&crowd.heard.counts), Instant::now());
        let choice = |number: usize, _: &str| json!({ "poll": poll, "choices": [number % 3] });
        let cpu = crowd.everybody("poll.vote", choice, |_| true).await?;
        votes.push(cpu);
        let (closes, seconds) = (Heard::of(&crowd.heard.closes), began.elapsed().as_secs_f64());
        let told = (Heard::of(&crowd.heard.counts) - counts) as f64 / people as f64;
        let host = crowd.people.first_mut().ok_or("nobody is there")?;
        host.ask("poll.close", json!({ "poll": poll })).await?;
        crowd.heard.until("the end of the poll", |heard| Heard::of(&heard.closes) >= closes + people).await?;
        let result = crowd.heard.poll.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap_or_default();
        let exact: Vec<u64> = (0..3).map(|option| (people + 2 - option) / 3).collect();
        let is_exact = result.get("voters") == Some(&json!(people)) && result.get("counts") == Some(&json!(exact));
        let is_seldom = told <= seconds * 2.0 + 1.0;
        holds &= is_exact && is_seldom;
        println!(
            "votes   {:7.1} ms of CPU; counts told {told:.1} times in {seconds:.2} s{}; {}",
            cpu * 1e3,
            if is_seldom { "" } else { ": too often" },
            if is_exact { "exact at the close".to_owned() } else { format!("NOT exact: {result}") },
        );
        let wanted = Heard::of(&crowd.heard.chats) + people * people;
        let text = |number: usize, _: &str| json!({ "to": "room", "text": format!("message {number}") });
        let cpu = crowd.everybody("chat.post", text, |heard| Heard::of(&heard.chats) >= wanted).await?;
        println!("chat    {:7.1} ms of CPU, to everybody", cpu * 1e3);
        chats.push(cpu);
        let wanted = Heard::of(&crowd.heard.chats) + people * 2;
        let private = |number: usize, other: &str| json!({ "to": other, "text": format!("message {number}") });
        let cpu = crowd.everybody("chat.post", private, |heard| Heard::of(&heard.chats) >= wanted).await?;
        println!("private {:7.1} ms of CPU, to one", cpu * 1e3);
        whispers.push(cpu);
    }
    let (votes, chats, whispers) = (median(&mut votes), median(&mut chats), median(&mut whispers));
    println!("median  votes are {:.2} x chat to everybody, {:.2} x private chat", votes / chats, votes / whispers);
    Ok(holds)
}

/// Everybody reacts all the time; what that is to everybody else.
async fn react(crowd: &mut Crowd, reacting_s: u32) -> Result<bool, Failure> {
    let quiet = crowd.probe().await?;
    let people = u32::try_from(crowd.people.len())?;
    let (before, began) = (crowd.cpu()?, Instant::now());
    let (bytes, signals, refusals) =
        (Heard::of(&crowd.heard.bytes), Heard::of(&crowd.heard.signals), Heard::of(&crowd.heard.refusals));
    let gap = Duration::from_secs(1) / (people * REACTIONS_PER_S).max(1);
    let total = people * REACTIONS_PER_S * reacting_s;
    let half = total / 2;
    let mut probed = Vec::new();
    let mut probe: Option<(Instant, u64)> = None;
    for number in 0..total {
        tokio::time::sleep_until((began + gap * number).into()).await;
        let chosen = usize::try_from(number % people)?;
        let person = crowd.people.get_mut(chosen).ok_or("nobody is there")?;
        person.ask("reaction.send", json!({ "emoji": "👍" })).await?;
        // From time to time a chat message in between, until everybody has it.
        match probe {
            None if number.is_multiple_of((half / PROBES).max(1)) => {
                probe = Some((Instant::now(), Heard::of(&crowd.heard.chats) + u64::from(people)));
                let person = crowd.people.get_mut(chosen).ok_or("nobody is there")?;
                person.ask("chat.post", json!({ "to": "room", "text": "probe" })).await?;
            }
            Some((sent, wanted)) if Heard::of(&crowd.heard.chats) >= wanted => {
                probed.push(sent.elapsed().as_secs_f64() * 1e3);
                probe = None;
            }
            _ => {}
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    let each = |now: u64, before: u64| (now - before) as f64 / f64::from(people) / seconds;
    let (signals, bytes) = (each(Heard::of(&crowd.heard.signals), signals), each(Heard::of(&crowd.heard.bytes), bytes));
    let refused = Heard::of(&crowd.heard.refusals) - refusals;
    let cpu = (crowd.cpu()? - before) / seconds;
    // Thirty flushes a second of sixty-four slots a room.
    let bound = 30.0 * 64.0 * 1.1;
    let is_bounded = signals <= bound;
    println!(
        "react   {:.0} reactions a second were sent; each is told {signals:.0} signals and {:.0} KiB a second{}",
        f64::from(total) / seconds,
        bytes / 1024.0,
        if is_bounded { "" } else { ": more than the bound" },
    );
    println!(
        "        {:.0} % of a core, {refused} refused; chat to everybody in {:.1} ms beside {quiet:.1} ms in quiet",
        cpu * 100.0,
        median(&mut probed)
    );
    Ok(is_bounded && refused == 0)
}
