//! One contract, two stores: what the port promises, asked of SQLite (in memory and in a file) and
//! of PostgreSQL. Every test has databases of its own. PostgreSQL takes part where
//! `CONVOKE_TEST_POSTGRES_URL` names a server on which databases may be created; `cargo xtask test`
//! sets it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod anonymity;
mod captions;
#[path = "../hooks/mod.rs"]
mod hooks;
mod log;
mod outbox;
mod ownership;
mod peers;
mod polls;
mod postgres;
mod questions;
mod races;
mod read_models;
mod rebuilding;
mod recordings;
mod report;
mod rooms;
#[path = "../smtp/mod.rs"]
mod smtp;
mod sqlite;
#[path = "../tape/mod.rs"]
mod tape;
mod transcriptions;
mod webhooks;
mod whiteboards;
#[path = "../whole/mod.rs"]
mod whole;

use convoke::adapters::store::{self, Opened};
use convoke_actors::ports::{Commit, EventRow, MeetingKey, NodeLife, Store, StoreError};
use convoke_domain::event::Cause;
use convoke_domain::{MeetingId, Seq, SessionId, TenantId, Term};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// So long that it does not run out during a test.
const LEASE: Duration = Duration::from_secs(600);

/// A folder that goes with its test.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("convoke-store-{}", Uuid::now_v7())))
    }

    fn url(&self) -> String {
        format!("sqlite://{}/deeper/a.db", self.0.display())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A PostgreSQL database, made for one test.
struct Database {
    server: String,
    name: String,
}

impl Database {
    /// None, said aloud, where there is no server.
    async fn new() -> Option<Self> {
        static SAY: Once = Once::new();
        let Ok(server) = std::env::var("CONVOKE_TEST_POSTGRES_URL") else {
            // Not by `println!`, which the test runner keeps to itself.
            SAY.call_once(|| {
                let _ = writeln!(std::io::stderr(), "SKIPPED for PostgreSQL: CONVOKE_TEST_POSTGRES_URL is not set");
            });
            return None;
        };
        let name = format!("store_{}", Uuid::now_v7().simple());
        let database = Self { server, name };
        database.on_server(format!("CREATE DATABASE {}", database.name)).await;
        Some(database)
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server.rsplit_once('/').unwrap().0, self.name)
    }

    async fn on_server(&self, sql: String) {
        let mut connection = PgConnection::connect(&self.server).await.unwrap();
        sqlx::query(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    }

    async fn drop(self) {
        self.on_server(format!("DROP DATABASE {} WITH (FORCE)", self.name)).await;
    }
}

async fn ready(url: &str) -> Opened {
    let opened = store::open(url).await.unwrap();
    opened.db.migrate().await.unwrap();
    opened
}

/// Runs a test on each store, with the store's name for its messages.
async fn each<T: Future<Output = ()>>(test: impl Fn(&'static str, Arc<dyn Store>) -> T) {
    test("memory", ready("sqlite::memory:").await.store).await;
    let folder = Folder::new();
    test("file", ready(&folder.url()).await.store).await;
    if let Some(database) = Database::new().await {
        test("postgres", ready(&database.url()).await.store).await;
        database.drop().await;
    }
}

fn key() -> MeetingKey {
    MeetingKey { tenant: TenantId("acme".into()), meeting: MeetingId(Uuid::now_v7()) }
}

fn cause(id: u64) -> Cause {
    Cause { session: SessionId(Uuid::from_u128(7)), id }
}

fn row(seq: u64, text: &str) -> EventRow {
    EventRow {
        seq: Seq(seq),
        at: 1_000 + seq,
        kind: "chat.posted".into(),
        version: 3,
        audience: "\"everyone\"".into(),
        cause: seq.is_multiple_of(2).then(|| cause(seq)),
        data: format!("{{ \"text\" : \"{text} \\u0000 ü\" }}").into(),
    }
}

fn commit(key: &MeetingKey, term: Term, after: u64, events: u64) -> Commit {
    Commit {
        key: key.clone(),
        term,
        after: Seq(after),
        events: (1..=events).map(|n| row(after + n, "words")).collect(),
        wake_at: None,
        outbox: Vec::new(),
        boards: Vec::new(),
    }
}

/// Makes a meeting and takes it.
async fn taken(store: &dyn Store, key: &MeetingKey, life: &NodeLife) -> Term {
    assert!(store.create(key, &row(1, "first"), None).await.unwrap());
    store.take(key, life).await.unwrap().term
}

async fn seqs(store: &dyn Store, key: &MeetingKey) -> Vec<u64> {
    store.events(key, Seq(0), 10_000).await.unwrap().iter().map(|event| event.seq.0).collect()
}

fn is_fenced<T>(outcome: &Result<T, StoreError>) -> bool {
    matches!(outcome, Err(StoreError::Fenced))
}
