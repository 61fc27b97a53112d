//! People in meetings: they join, chat at a given rate, raise hands, drop and resume. Sends are
//! scheduled in advance and latency is counted from the scheduled moment, so a server that stalls
//! cannot hide it. At the end every client's record is held against the log.

use super::{Target, duration};
use clap::Args;
use convoke_loadtest::client::{Client, Options, Record};
use convoke_loadtest::rest::Failure;
use convoke_loadtest::server::usage;
use convoke_loadtest::verify::verify;
use hdrhistogram::Histogram;
use rand::Rng;
use serde_json::{Value, json};
use std::sync::PoisonError;
use std::time::{Duration, Instant};

#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// People in all meetings together
    #[arg(long, default_value_t = 200)]
    participants: usize,
    #[arg(long, default_value_t = 4)]
    meetings: usize,
    #[arg(long, value_parser = duration, default_value = "30s")]
    duration: Duration,
    /// Chat messages a second, in all meetings together
    #[arg(long, default_value_t = 40.0)]
    rate: f64,
    /// How often somebody's socket is dropped; 0s never
    #[arg(long, value_parser = duration, default_value = "1s")]
    drop_every: Duration,
    #[arg(long)]
    json: bool,
}

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let loaded = arguments.target.open().await?;
    let rest = &loaded.rest;
    let mut meetings = Vec::new();
    for number in 0..arguments.meetings.max(1) {
        meetings.push(rest.make_meeting(&format!("Load {number}"), json!({})).await?);
    }
    let mut clients = Vec::new();
    for number in 0..arguments.participants {
        let at = number % meetings.len();
        let meeting = meetings.get(at).ok_or("no meeting")?;
        let role = if number < meetings.len() { "host" } else { "participant" };
        let name = format!("Person {number}");
        let token = rest.key.join_token(meeting, Some(&format!("user-{number}")), &name, role);
        clients.push((at, Client::start(Options::new(&rest.host, token))));
    }
    for (_, client) in &clients {
        client.joined().await?;
    }
    let before = loaded.pid.and_then(usage);
    let began = Instant::now();
    drive(&arguments, &clients, began).await;
    // Everything sent is answered before the books are closed.
    for (_, client) in &clients {
        client.ask("hand.lower", json!({})).await?;
    }
    let after = loaded.pid.and_then(usage);
    let elapsed = began.elapsed();

    let mut logs = Vec::new();
    for meeting in &meetings {
        logs.push(rest.log(meeting).await?);
    }
    for (at, client) in &clients {
        let head = logs.get(*at).map(|log| last_visible(log)).unwrap_or(0);
        client.until("the end of the log", |record| (record.cursor >= head).then_some(())).await?;
    }
    let mut violations = Vec::new();
    let mut latency = Histogram::<u64>::new_with_bounds(1, 60_000_000, 3)?;
    let mut totals = Totals::default();
    for (number, (at, client)) in clients.into_iter().enumerate() {
        let record = client.stop().await;
        let record = record.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = logs.get(at) {
            violations.extend(verify(&format!("client {number}"), &record, log));
        }
        totals.add(&record);
        measure(&record, began, &mut latency);
    }
    let cpu = before.zip(after).map(|(before, after)| after.0 - before.0);
    let report = json!({
        "participants": arguments.participants,
        "meetings": meetings.len(),
        "elapsed_s": elapsed.as_secs_f64(),
        "deliveries": totals.deliveries,
        "deliveries_per_s": totals.deliveries as f64 / elapsed.as_secs_f64(),
        "latency_ms": {
            "p50": latency.value_at_quantile(0.5) as f64 / 1e3,
            "p99": latency.value_at_quantile(0.99) as f64 / 1e3,
            "p99.9": latency.value_at_quantile(0.999) as f64 / 1e3,
        },
        "acknowledged": totals.acknowledged,
        "refused": totals.refused,
        "reconnects": totals.reconnects,
        "resumes": { "replayed": totals.replayed, "snapshot": totals.snapshots },
        "server_cpu_s_per_million_deliveries": cpu.map(|cpu| cpu * 1e6 / totals.deliveries.max(1) as f64),
        "server_memory_mib": after.map(|(_, resident)| resident as f64 / f64::from(1 << 20)),
        "violations": violations,
    });
    print(&report, arguments.json)?;
    Ok(violations.is_empty())
}

/// The last seq that everybody hears of.
fn last_visible(log: &[Value]) -> u64 {
    let visible = log.iter().filter(|event| event.get("audience").and_then(Value::as_str) != Some("nobody"));
    visible.filter_map(|event| event.get("seq").and_then(Value::as_u64)).max().unwrap_or(0)
}

async fn drive(arguments: &Arguments, clients: &[(usize, Client)], began: Instant) {
    let bar = indicatif::ProgressBar::new(arguments.duration.as_secs());
    let gap = Duration::from_secs_f64(1.0 / arguments.rate.max(0.01));
    let mut sends = 0_u32;
    let mut dropped_at = began;
    loop {
        let scheduled = gap * sends;
        if scheduled >= arguments.duration {
            bar.finish_and_clear();
            return;
        }
        tokio::time::sleep_until((began + scheduled).into()).await;
        let chosen = |count: usize| rand::rng().random_range(0..count.max(1));
        if let Some((_, client)) = clients.get(chosen(clients.len())) {
            let text = format!("{sends} at {}", scheduled.as_micros());
            client.send("chat.post", json!({ "to": "room", "text": text }));
            if sends.is_multiple_of(10) {
                client.send("hand.raise", json!({}));
            }
        }
        if !arguments.drop_every.is_zero() && dropped_at.elapsed() >= arguments.drop_every {
            dropped_at = Instant::now();
            if let Some((_, client)) = clients.get(chosen(clients.len())) {
                client.drop_socket();
            }
        }
        sends += 1;
        bar.set_position(began.elapsed().as_secs());
    }
}

fn measure(record: &Record, began: Instant, latency: &mut Histogram<u64>) {
    for heard in record.heard.iter().filter(|heard| heard.kind == "chat.posted") {
        let text = heard.data.get("message").and_then(|m| m.get("text")).and_then(Value::as_str).unwrap_or("");
        let scheduled = text.rsplit_once(" at ").and_then(|(_, micros)| micros.parse::<u64>().ok());
        if let Some(scheduled) = scheduled {
            let received = u64::try_from(heard.received.duration_since(began).as_micros()).unwrap_or(u64::MAX);
            // A figure beyond the histogram's bounds is counted at its bound.
            latency.saturating_record(received.saturating_sub(scheduled).max(1));
        }
    }
}

#[derive(Default)]
struct Totals {
    deliveries: u64,
    acknowledged: usize,
    refused: usize,
    reconnects: u64,
    replayed: u64,
    snapshots: u64,
}

impl Totals {
    fn add(&mut self, record: &Record) {
        self.deliveries += record.events;
        self.acknowledged += record.acknowledged.len();
        self.refused += record.refused.len();
        self.reconnects += record.reconnects;
        self.replayed += record.resumes_replayed;
        self.snapshots += record.resumes_snapshot;
    }
}

/// As JSON, or as lines of names and figures.
pub fn print(report: &Value, as_json: bool) -> Result<(), Failure> {
    if as_json {
        println!("{}", serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    for (name, value) in report.as_object().into_iter().flatten() {
        println!("{name:40} {value}");
    }
    Ok(())
}
