//! A storm of LiveKit's webhooks beside a meeting that goes on. Some people talk, each message once the one
//! before it was acknowledged by the server and a pause has gone by; how long that takes in quiet stands
//! beside how long it takes while ten thousand signed webhooks arrive within ten seconds, by turns in one
//! run. They are of this meeting, of rooms of others, and of meetings that nobody has.

use super::Target;
use clap::Args;
use convoke_loadtest::client::{Client, Options};
use convoke_loadtest::rest::{Failure, Rest};
use convoke_loadtest::server::usage;
use convoke_loadtest::webhook::{LIVEKIT, PATH, of_room};
use hdrhistogram::Histogram;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Connections that the webhooks come by, as LiveKit keeps some open.
const CONNECTIONS: u32 = 16;
/// Each person's pause between an acknowledgement and the next message.
const PAUSE: Duration = Duration::from_millis(100);
/// What the 99th percentile may at most be, in a storm, of what it is in quiet.
const RATIO_MAX: f64 = 2.0;

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[arg(long, default_value_t = 20)]
    people: usize,
    /// Webhooks of one storm
    #[arg(long, default_value_t = 10_000)]
    webhooks: u32,
    /// How long a storm lasts, and each quiet before it, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u32,
    /// Turns of quiet and storm
    #[arg(long, default_value_t = 5)]
    turns: u32,
}

/// Everybody talks for so long: how long each message took to be acknowledged, in microseconds.
async fn talk(people: &[Client], lasts: Duration) -> Result<Histogram<u64>, Failure> {
    let took = Mutex::new(Histogram::<u64>::new(3)?);
    let until = Instant::now() + lasts;
    let talking = people.iter().map(|person| async {
        while Instant::now() < until {
            let began = Instant::now();
            let answer = person.ask("chat.post", json!({ "to": "room", "text": "as if nothing were" })).await?;
            if answer.get("ok") != Some(&Value::Bool(true)) {
                return Err::<(), Failure>(format!("a message was refused: {answer}").into());
            }
            let micros = u64::try_from(began.elapsed().as_micros())?;
            took.lock().unwrap_or_else(PoisonError::into_inner).record(micros)?;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    });
    futures_util::future::try_join_all(talking).await?;
    Ok(took.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Webhooks of this meeting, of another application's rooms, and of meetings that nobody has: as requests,
/// signed beforehand, because that is LiveKit's work and not the server's.
fn request(number: u32, meeting: &str, host: &str) -> String {
    let id = format!("EV_{}", uuid::Uuid::now_v7().simple());
    let events = ["participant_joined", "track_published", "track_unpublished", "participant_left"];
    let event = events.get(usize::try_from(number % 4).unwrap_or(0)).copied().unwrap_or("room_started");
    let mut said = match number % 10 {
        0 => of_room(event, &id, &uuid::Uuid::now_v7().to_string()),
        _ => of_room(event, &id, meeting),
    };
    if number % 10 == 1
        && let Some(name) = said.pointer_mut("/room/name")
    {
        *name = json!("a room of somebody else");
    }
    let (body, mut head) = (said.to_string(), format!("POST {PATH} HTTP/1.1\r\nhost: {host}\r\n"));
    head.push_str(&format!("authorization: {}\r\n", LIVEKIT.token(&body)));
    format!("{head}content-type: application/webhook+json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One connection: sends every so-manieth webhook at its moment, and reads each answer. How many were taken.
async fn connection(host: String, requests: Arc<Vec<String>>, first: u32, gap: Duration) -> Result<u32, Failure> {
    let mut stream = BufReader::new(TcpStream::connect(&host).await?);
    stream.get_ref().set_nodelay(true)?;
    let began = Instant::now();
    let mut taken = 0;
    for (number, request) in (0_u32..).zip(requests.iter()).filter(|(number, _)| number % CONNECTIONS == first) {
        tokio::time::sleep_until((began + gap * number).into()).await;
        stream.write_all(request.as_bytes()).await?;
        taken += u32::from(answer(&mut stream).await? == 200);
    }
    Ok(taken)
}

/// Reads one answer to its end.
async fn answer(stream: &mut BufReader<TcpStream>) -> Result<u16, Failure> {
    let (mut status, mut length) = (0, 0_usize);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 {
            return Err("the server closed a connection".into());
        }
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest.split(' ').next().unwrap_or("").parse()?;
        } else if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.parse()?;
        } else if line.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(status)
}

/// How many were taken, and how long it took.
async fn storm(host: &str, requests: Arc<Vec<String>>, lasts: Duration) -> Result<(u32, f64), Failure> {
    let gap = lasts / u32::try_from(requests.len())?.max(1);
    let began = Instant::now();
    let all =
        (0..CONNECTIONS).map(|first| tokio::spawn(connection(host.to_owned(), Arc::clone(&requests), first, gap)));
    let mut taken = 0;
    for one in all.collect::<Vec<_>>() {
        taken += one.await??;
    }
    Ok((taken, began.elapsed().as_secs_f64()))
}

/// A gauge, or zero where it is not there yet.
async fn gauge(rest: &Rest, name: &str) -> Result<u32, Failure> {
    let metrics = rest.send("GET", "/metrics", &[], None).await?.body;
    let figure = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(figure.map_or(Ok(0), str::parse)?)
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    if !arguments.target.spawns() {
        return Err("webhooks are signed with a secret of its own: use --spawn".into());
    }
    let server = arguments.target.spawn_with(&LIVEKIT.settings()).await?;
    let pid = server.pid().ok_or("the server is gone")?;
    let rest = server.rest.clone();
    let meeting = rest.make_meeting("A storm", json!({})).await?;
    let mut people = Vec::new();
    for number in 0..arguments.people {
        let (user, role) = (format!("u{number}"), if number == 0 { "host" } else { "participant" });
        let token = rest.key.join_token(&meeting, Some(&user), &user, role);
        let person = Client::start(Options::new(&rest.host, token));
        person.joined().await?;
        person.record().keep_events = false;
        people.push(person);
    }
    let lasts = Duration::from_secs(u64::from(arguments.seconds));
    talk(&people, Duration::from_secs(2)).await?;
    let resident = || usage(pid).map(|(_, bytes)| bytes as f64 / 1_048_576.0).ok_or("the server is gone");
    let cpu = || usage(pid).map(|(seconds, _)| seconds).ok_or("the server is gone");
    // All turns together: a disk that is slow for a moment weighs as it does, whichever side it meets.
    let (mut all_quiet, mut all_loud, mut holds) = (Histogram::<u64>::new(3)?, Histogram::<u64>::new(3)?, true);
    let most = AtomicU32::new(0);
    println!("memory  {:.1} MiB before", resident()?);
    for _ in 0..arguments.turns {
        let before = cpu()?;
        let quiet = talk(&people, lasts).await?;
        let (calm, calm_bytes) = (cpu()? - before, resident()?);
        let requests = (0..arguments.webhooks).map(|number| request(number, &meeting, &rest.host));
        let requests: Arc<Vec<String>> = Arc::new(requests.collect());
        let before = cpu()?;
        let watching = async {
            loop {
                most.fetch_max(gauge(&rest, "convoke_livekit_webhooks_pending").await?, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            #[allow(unreachable_code)]
            Ok::<(), Failure>(())
        };
        let both = async { tokio::try_join!(talk(&people, lasts), storm(&rest.host, requests, lasts)) };
        let (loud, (taken, took)) = tokio::select! {
            both = both => both?,
            ended = watching => return ended.map(|()| false),
        };
        let figures = |took: &Histogram<u64>| [0.5, 0.99].map(|at| took.value_at_quantile(at) as f64 / 1e3);
        let ([quiet_p50, quiet_p99], [loud_p50, loud_p99]) = (figures(&quiet), figures(&loud));
        println!(
            "quiet   p50 {quiet_p50:6.1} ms, p99 {quiet_p99:6.1} ms of {:5} messages; {calm:.1} s of CPU; {calm_bytes:.1} MiB",
            quiet.len()
        );
        println!(
            "storm   p50 {loud_p50:6.1} ms, p99 {loud_p99:6.1} ms of {:5} messages; {:.1} s of CPU; {taken} of {} webhooks taken in {took:.1} s; {:.1} MiB",
            loud.len(),
            cpu()? - before,
            arguments.webhooks,
            resident()?
        );
        holds &= taken == arguments.webhooks;
        all_quiet.add(&quiet)?;
        all_loud.add(&loud)?;
    }
    let ratio = |at: f64| all_loud.value_at_quantile(at) as f64 / all_quiet.value_at_quantile(at).max(1) as f64;
    let (p50, p99) = (ratio(0.5), ratio(0.99));
    println!(
        "all     p50 {p50:.2} x, p99 {p99:.2} x of what it is in quiet; at most {} meetings waited to be told",
        most.into_inner()
    );
    Ok(holds && p99 <= RATIO_MAX)
}
