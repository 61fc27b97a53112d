//! SQLite: the embedded default. One connection writes (WAL, synchronous FULL), a few others read.
//! A lock file beside the database keeps a second process out, because the node's memory is the
//! only other place where its meetings are.

use super::bounded::Bounded;
use super::common::{HeadRow, LogRow, common_store, event_of, head_of, key_of, may_take, millis, seq_bind};
use super::{Db, Opened, to_i64, to_u64, unavailable};
use convoke_actors::ports::{Commit, EventRow, Head, MeetingKey, NodeLife, Snapshot, Store, StoreError, Taken};
use convoke_domain::event::Cause;
use convoke_domain::{Millis, Seq, SessionId, Term};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{QueryBuilder, Sqlite, SqlitePool, Transaction, query, query_as, query_scalar};
use std::fs::{File, TryLockError};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Rows of one statement. Each number of rows is prepared once and kept.
const ROWS: usize = 100;
/// Room for every size of the two statements that many rows share, and all others.
const STATEMENTS: usize = 2 * ROWS + 56;
const READERS: u32 = 4;
const ACQUIRE: Duration = Duration::from_secs(3);

pub struct SqliteStore {
    write: SqlitePool,
    read: SqlitePool,
    /// Held as long as the store lives.
    _lock: Option<File>,
}

pub async fn open(url: &str) -> Result<Opened, StoreError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(unavailable)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(STATEMENTS);
    let is_memory = url.contains(":memory:") || url.contains("mode=memory");
    let lock = if is_memory { None } else { Some(lock(options.get_filename())?) };
    let pool = |connections: u32| {
        SqlitePoolOptions::new()
            .max_connections(connections)
            .min_connections(1)
            .acquire_timeout(ACQUIRE)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let write = pool(1).connect_with(options.clone()).await.map_err(unavailable)?;
    let read =
        if is_memory { write.clone() } else { pool(READERS).connect_with(options).await.map_err(unavailable)? };
    let store = Arc::new(Bounded::new(SqliteStore { write: write.clone(), read: read.clone(), _lock: lock }));
    Ok(Opened { store, db: Db::Sqlite { write, read } })
}

/// Takes the lock of a database file, making its folder where needed.
fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("{what} {}: {error}", path.display()))
    };
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|error| failed("cannot make the folder of", &error))?;
    }
    // The same file by another way (a link, a relative path) is the same lock.
    let mut name = path.canonicalize().unwrap_or_else(|_| path.to_owned()).into_os_string();
    name.push(".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&name)
        .map_err(|error| failed("cannot open the lock of", &error))?;
    file.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => failed("another process uses", &"stop it first"),
        TryLockError::Error(error) => failed("cannot lock", &error),
    })?;
    Ok(file)
}

impl SqliteStore {
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.write.begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)
    }

    async fn commit_all(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        for chunk in commits.chunks(ROWS) {
            if update_heads(&mut transaction, chunk).await? != u64::try_from(chunk.len()).unwrap_or(u64::MAX) {
                transaction.rollback().await.map_err(unavailable)?;
                return Err(StoreError::Fenced);
            }
        }
        insert_events(&mut transaction, commits).await?;
        insert_outbox(&mut transaction, commits).await?;
        transaction.commit().await.map_err(unavailable)
    }
}

/// Moves the heads on where term and seq still hold; answers how many did.
async fn update_heads(transaction: &mut Transaction<'static, Sqlite>, commits: &[Commit]) -> Result<u64, StoreError> {
    let mut update =
        QueryBuilder::<Sqlite>::new("UPDATE meeting_heads SET seq = c.column5, wake_at = c.column6 FROM (");
    update.push_values(commits, |mut row, commit| {
        row.push_bind(&commit.key.tenant.0)
            .push_bind(commit.key.meeting.0)
            .push_bind(to_i64(commit.term.0))
            .push_bind(seq_bind(commit.after))
            .push_bind(seq_bind(commit.reaches()))
            .push_bind(commit.wake_at.map(to_i64));
    });
    update.push(
        ") AS c WHERE meeting_heads.tenant = c.column1 AND meeting_heads.meeting = c.column2 \
         AND meeting_heads.term = c.column3 AND meeting_heads.seq = c.column4",
    );
    let done = update.build().persistent(true).execute(&mut **transaction).await.map_err(unavailable)?;
    Ok(done.rows_affected())
}

async fn insert_events(transaction: &mut Transaction<'static, Sqlite>, commits: &[Commit]) -> Result<(), StoreError> {
    let rows: Vec<(&MeetingKey, &EventRow)> =
        commits.iter().flat_map(|commit| commit.events.iter().map(|event| (&commit.key, event))).collect();
    for chunk in rows.chunks(ROWS) {
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO events (tenant, meeting, seq, at, kind, version, audience, cause_session, cause_id, data) ",
        );
        insert.push_values(chunk, |mut row, (key, event)| {
            row.push_bind(&key.tenant.0)
                .push_bind(key.meeting.0)
                .push_bind(seq_bind(event.seq))
                .push_bind(to_i64(event.at))
                .push_bind(&event.kind)
                .push_bind(i32::from(event.version))
                .push_bind(&event.audience)
                .push_bind(event.cause.map(|cause| cause.session.0))
                .push_bind(event.cause.map(|cause| to_i64(cause.id)))
                .push_bind(&*event.data);
        });
        insert.build().persistent(true).execute(&mut **transaction).await.map_err(unavailable)?;
    }
    Ok(())
}

/// A row whose idempotency key its tenant has used already is the same thing again: it is dropped.
async fn insert_outbox(transaction: &mut Transaction<'static, Sqlite>, commits: &[Commit]) -> Result<(), StoreError> {
    for commit in commits {
        for row in &commit.outbox {
            query(
                "INSERT INTO outbox (tenant, meeting, topic, idempotency_key, payload, created_at, next_attempt_at) \
                 VALUES ($1, $2, $3, $4, $5, CAST(unixepoch('subsec') * 1000 AS INTEGER), 0) ON CONFLICT DO NOTHING",
            )
            .bind(&commit.key.tenant.0)
            .bind(commit.key.meeting.0)
            .bind(&row.topic)
            .bind(&row.idempotency_key)
            .bind(&row.payload)
            .execute(&mut **transaction)
            .await
            .map_err(unavailable)?;
        }
    }
    Ok(())
}

common_store!(SqliteStore, clock: "CAST(unixepoch('subsec') * 1000 AS INTEGER)", lock: "", share: "");
