//! What the journal writes: events a second through its actor into a SQLite file, synced, from
//! meetings that each wait for their commit before they append the next command's events.
//! `cargo bench --bench journal`, or into a PostgreSQL database of its own, by one node or several at
//! once: `cargo bench --bench journal -- postgres://…`

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, clippy::as_conversions)]
#![allow(clippy::indexing_slicing)]

use actix::{Actor, Addr, AsyncContext, Context, Handler};
use convoke::adapters::store;
use convoke_actors::journal::{Append, Committed, Journal};
use convoke_actors::ports::{Commit, EventRow, MeetingKey, Store};
use convoke_domain::{MeetingId, Seq, TenantId, Term};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use uuid::Uuid;

/// Commands of each meeting.
const COMMANDS: u64 = 400;

/// A meeting's side of the journal.
struct Writer {
    journal: Addr<Journal>,
    key: MeetingKey,
    term: Term,
    after: Seq,
    left: u64,
    /// Events of one command.
    command: u64,
    done: Option<oneshot::Sender<()>>,
}

/// As long as the event of a short chat message.
fn event(seq: Seq) -> EventRow {
    EventRow {
        seq,
        at: 1_795_219_200_123,
        kind: "chat.posted".to_owned(),
        version: 1,
        audience: r#"{"room":"main"}"#.to_owned(),
        cause: None,
        data: format!(r#"{{"message":{{"text":"{}"}}}}"#, "x".repeat(280)).into(),
    }
}

impl Writer {
    fn append(&mut self, ctx: &mut Context<Self>) {
        if self.left == 0 {
            let _ = self.done.take().map(|done| done.send(()));
            return;
        }
        let count = self.command.min(self.left);
        self.left -= count;
        let events: Vec<EventRow> = (1..=count).map(|n| event(Seq(self.after.0 + n))).collect();
        let commit = Commit {
            key: self.key.clone(),
            term: self.term,
            after: self.after,
            events,
            wake_at: Some(0),
            outbox: Vec::new(),
            boards: Vec::new(),
        };
        self.after = commit.reaches();
        self.journal.try_send(Append { commit, spans: Vec::new(), reply: ctx.address().recipient() }).unwrap();
    }
}

impl Actor for Writer {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.append(ctx);
    }
}

impl Handler<Committed> for Writer {
    type Result = ();

    fn handle(&mut self, committed: Committed, ctx: &mut Self::Context) {
        assert!(committed.outcome.is_ok(), "{committed:?}");
        self.append(ctx);
    }
}

/// So many meetings, spread over a journal for each of these stores, each appending commands of so
/// many events: events a second in all.
async fn run(stores: &[Arc<dyn Store>], meetings: u64, command: u64) -> f64 {
    let mut nodes = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let life = store.boot(&format!("bench-{number}"), Duration::from_secs(600)).await.unwrap();
        let shared = Arc::clone(store);
        let journal = Journal::start_in_arbiter(&actix::Arbiter::new().handle(), |_| Journal::new(shared));
        nodes.push((store, life, journal));
    }
    let mut keys = Vec::new();
    for (_, (store, life, journal)) in (0..meetings).zip(nodes.iter().cycle()) {
        let key = MeetingKey { tenant: TenantId("bench".to_owned()), meeting: MeetingId(Uuid::now_v7()) };
        assert!(store.create(&key, &event(Seq(1)), None).await.unwrap());
        let term = store.take(&key, life).await.unwrap().term;
        keys.push((key, term, journal.clone()));
    }
    let began = Instant::now();
    let mut all = Vec::new();
    for (key, term, journal) in keys {
        let (done, finished) = oneshot::channel();
        let left = COMMANDS * command;
        Writer { journal, key, term, after: Seq(1), left, command, done: Some(done) }.start();
        all.push(finished);
    }
    futures_util::future::join_all(all).await;
    (meetings * COMMANDS * command) as f64 / began.elapsed().as_secs_f64()
}

async fn measure(url: &str, nodes: usize) {
    let mut opened = Vec::new();
    for _ in 0..nodes {
        opened.push(store::open(url).await.unwrap());
    }
    opened[0].db.migrate().await.unwrap();
    let stores: Vec<_> = opened.iter().map(|opened| Arc::clone(&opened.store)).collect();
    for (meetings, command) in [(1, 1), (20, 1), (512, 1), (64, 8), (1, 512)] {
        let rate = run(&stores, meetings, command).await;
        println!("{nodes} nodes, {meetings:4} meetings, {command:3} events a command: {rate:8.0} events/s");
    }
    for opened in opened {
        opened.db.close().await;
    }
}

fn main() {
    let folder = std::env::temp_dir().join(format!("convoke-bench-{}", Uuid::now_v7()));
    let postgres = std::env::args().find(|argument| argument.starts_with("postgres"));
    actix::System::new().block_on(async {
        match postgres {
            Some(url) => {
                for nodes in [1, 2, 4] {
                    measure(&url, nodes).await;
                }
            }
            None => measure(&format!("sqlite://{}/a.db", folder.display()), 1).await,
        }
    });
    let _ = std::fs::remove_dir_all(folder);
}
