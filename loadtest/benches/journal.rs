//! What the journal writes: events a second through its actor into a SQLite file, synced, from
//! meetings that each wait for their commit before they append the next command's events.
//! `cargo bench --bench journal`

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::cast_precision_loss, clippy::as_conversions)]

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

/// So many meetings, each appending commands of so many events: events a second.
async fn run(store: &Arc<dyn Store>, meetings: u64, command: u64) -> f64 {
    let life = store.boot("bench", Duration::from_secs(600)).await.unwrap();
    let shared = Arc::clone(store);
    let journal = Journal::start_in_arbiter(&actix::Arbiter::new().handle(), |_| Journal::new(shared));
    let mut keys = Vec::new();
    for _ in 0..meetings {
        let key = MeetingKey { tenant: TenantId("bench".to_owned()), meeting: MeetingId(Uuid::now_v7()) };
        assert!(store.create(&key, &event(Seq(1)), None).await.unwrap());
        let term = store.take(&key, &life).await.unwrap().term;
        keys.push((key, term));
    }
    let began = Instant::now();
    let mut all = Vec::new();
    for (key, term) in keys {
        let (done, finished) = oneshot::channel();
        let (journal, left) = (journal.clone(), COMMANDS * command);
        Writer { journal, key, term, after: Seq(1), left, command, done: Some(done) }.start();
        all.push(finished);
    }
    futures_util::future::join_all(all).await;
    (meetings * COMMANDS * command) as f64 / began.elapsed().as_secs_f64()
}

fn main() {
    let folder = std::env::temp_dir().join(format!("convoke-bench-{}", Uuid::now_v7()));
    actix::System::new().block_on(async {
        let opened = store::open(&format!("sqlite://{}/a.db", folder.display())).await.unwrap();
        opened.db.migrate().await.unwrap();
        for (meetings, command) in [(1, 1), (20, 1), (512, 1), (64, 8), (1, 512)] {
            let rate = run(&opened.store, meetings, command).await;
            println!("{meetings:4} meetings, {command:3} events a command: {rate:8.0} events/s");
        }
        opened.db.close().await;
    });
    let _ = std::fs::remove_dir_all(folder);
}
