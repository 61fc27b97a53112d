//! SQLite: the embedded default. One connection writes (WAL, synchronous FULL), a few others read.
//! A lock file beside the database keeps a second process out, because the node's memory is the
//! only other place where its meetings are.

use super::boards;
use super::bounded::Bounded;
use super::common::{HeadRow, LogRow, common_store, event_of, head_of, key_of, may_take, millis, seq_bind};
use super::writer::{Turn, Writer};
use super::{Db, Opened, to_i64, to_u64, unavailable};
use convoke_actors::ports::{
    BoardCommit, BoardLog, BoardSnapshot, Commit, EventRow, Head, MeetingKey, NodeLife, Peer, Snapshot, Store,
    StoreError, Taken,
};
use convoke_domain::event::Cause;
use convoke_domain::{Millis, Seq, SessionId, Term, WhiteboardId};
use futures_util::TryStreamExt;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Executor, QueryBuilder, Sqlite, SqlitePool, Transaction, query, query_as, query_scalar};
use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Rows of one statement.
const ROWS: usize = 512;
/// Events of a commit that is prepared once and kept.
const KEPT_ROWS: usize = 8;
const STATEMENTS: usize = 256;
/// A checkpoint after 32 MiB of the write-ahead log: many meetings write the same pages over and
/// over, and each is copied into the database once a checkpoint.
const CHECKPOINT_PAGES: &str = "8000";
/// What SQLite calls a refusal by a trigger.
const CONSTRAINT_TRIGGER: &str = "1811";
/// The log as something to append to: each event moves its meeting's head by one where the term
/// holds and the event is the next, and fails the whole statement where not. A row without a kind
/// stands for a commit without events. The time of waking is
/// written only where it is another, so that most commits leave its index alone.
const APPEND: &str = "
    CREATE TEMP VIEW append (tenant, meeting, term, wake_at, seq, at, kind, version, audience,
        cause_session, cause_id, data) AS SELECT 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0;
    CREATE TEMP TRIGGER append_event INSTEAD OF INSERT ON append BEGIN
        UPDATE meeting_heads SET seq = new.seq
            WHERE tenant = new.tenant AND meeting = new.meeting AND term = new.term
                AND seq = new.seq - (new.kind IS NOT NULL);
        SELECT RAISE(ABORT, 'fenced') WHERE changes() = 0;
        UPDATE meeting_heads SET wake_at = new.wake_at
            WHERE tenant = new.tenant AND meeting = new.meeting AND wake_at IS NOT new.wake_at;
        INSERT INTO events (tenant, meeting, seq, at, kind, version, audience, cause_session, cause_id, data)
            SELECT new.tenant, new.meeting, new.seq, new.at, new.kind, new.version, new.audience,
                new.cause_session, new.cause_id, new.data WHERE new.kind IS NOT NULL;
    END";
/// The logs of boards as something to append to, in the same way: each update moves its board's head by one,
/// where the meeting's term holds. A row without data stands for a commit without updates.
const DRAW: &str = "
    CREATE TEMP VIEW draw (tenant, meeting, term, whiteboard, number, data) AS SELECT 0, 0, 0, 0, 0, 0;
    CREATE TEMP TRIGGER draw_update INSTEAD OF INSERT ON draw BEGIN
        UPDATE whiteboard_heads SET number = new.number
            WHERE tenant = new.tenant AND whiteboard = new.whiteboard AND meeting = new.meeting
                AND number = new.number - (new.data IS NOT NULL)
                AND EXISTS (SELECT 1 FROM meeting_heads
                    WHERE tenant = new.tenant AND meeting = new.meeting AND term = new.term);
        SELECT RAISE(ABORT, 'fenced') WHERE changes() = 0;
        INSERT INTO whiteboard_updates (tenant, whiteboard, number, data)
            SELECT new.tenant, new.whiteboard, new.number, new.data WHERE new.data IS NOT NULL;
    END";
const READERS: u32 = 4;
const ACQUIRE: Duration = Duration::from_secs(3);

pub struct SqliteStore {
    write: Writer,
    pub(super) read: SqlitePool,
    /// Held as long as the store lives.
    _lock: Option<File>,
}

pub async fn open(url: &str) -> Result<Opened, StoreError> {
    let options = SqliteConnectOptions::from_str(url)
        .map_err(unavailable)?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        // What was overwritten is not to be read in the file either.
        .pragma("secure_delete", "ON")
        // Migrations rename tables before others are made that the triggers of this connection name.
        .pragma("legacy_alter_table", "ON")
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
            // A file does not go away like a server does, and a test is another trip to its thread.
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
    };
    let write = pool(1)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                connection.execute(sqlx::raw_sql(APPEND)).await?;
                connection.execute(sqlx::raw_sql(DRAW)).await.map(drop)
            })
        })
        .connect_with(options.clone())
        .await
        .map_err(unavailable)?;
    let read =
        if is_memory { write.clone() } else { pool(READERS).connect_with(options).await.map_err(unavailable)? };
    // What reads shares the one connection of a database in memory.
    let write = if is_memory { Writer::from(write) } else { Writer::of_one(write) };
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
    pub(super) fn writing(&self) -> Turn<'_> {
        self.write.turn()
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.writing().begin_with("BEGIN IMMEDIATE").await.map_err(unavailable)
    }

    async fn heads_of(&self, keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
        let mut heads = Vec::with_capacity(keys.len());
        for key in keys {
            match self.head(key).await {
                Ok(head) => heads.push((head.key, head.term, head.seq)),
                Err(StoreError::NotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(heads)
    }

    /// Most commits are one statement, which is a transaction by itself and one trip to the
    /// connection's thread; a trip costs more than what is done there.
    async fn commit_all(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
        let mut rows: Vec<Row<'_>> = Vec::new();
        for commit in commits {
            if commit.events.is_empty() {
                rows.push((commit, None));
            }
            rows.extend(commit.events.iter().map(|event| (commit, Some(event))));
        }
        let drawn = boards::rows_of(boards);
        let pieces = boards::pieces(&drawn);
        let is_plain = commits.iter().all(|commit| commit.outbox.is_empty() && commit.boards.is_empty())
            && boards.iter().all(|commit| commit.restored.is_none());
        match (rows.len(), pieces.as_slice()) {
            (0, []) => return Ok(()),
            (1..=ROWS, []) if is_plain => return self.write_at_once(append(&rows), rows.len()).await,
            (0, [piece]) if is_plain => return self.write_at_once(draw(piece), piece.len()).await,
            _ => {}
        }
        let mut transaction = self.begin().await?;
        for chunk in rows.chunks(ROWS) {
            append(chunk).build().persistent(false).execute(&mut *transaction).await.map_err(failed_commit)?;
        }
        for piece in pieces {
            let is_kept = piece.len() <= KEPT_ROWS;
            draw(piece).build().persistent(is_kept).execute(&mut *transaction).await.map_err(failed_commit)?;
        }
        Self::note_restores(&mut transaction, boards).await?;
        Self::change_boards(&mut transaction, commits).await?;
        insert_outbox(&mut transaction, commits).await?;
        transaction.commit().await.map_err(unavailable)
    }

    async fn write_at_once(&self, mut insert: QueryBuilder<Sqlite>, rows: usize) -> Result<(), StoreError> {
        // A small one is prepared once and kept; a large one is worth preparing anew.
        let insert = insert.build().persistent(rows <= KEPT_ROWS);
        let mut connection = self.write.take().await.map_err(unavailable)?;
        // The first result is the only one; waiting for the end of them would be woken twice.
        connection.fetch_many(insert).try_next().await.map_err(failed_commit)?;
        self.write.keep(connection);
        Ok(())
    }
}

fn failed_commit(error: sqlx::Error) -> StoreError {
    let code = error.as_database_error().and_then(|database| database.code().map(Cow::into_owned));
    if code.as_deref() == Some(CONSTRAINT_TRIGGER) { StoreError::Fenced } else { unavailable(error) }
}

type Row<'a> = (&'a Commit, Option<&'a EventRow>);

fn append(rows: &[Row<'_>]) -> QueryBuilder<Sqlite> {
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO temp.append ");
    insert.push_values(rows, |mut row, (commit, event)| {
        row.push_bind(&commit.key.tenant.0)
            .push_bind(commit.key.meeting.0)
            .push_bind(to_i64(commit.term.0))
            .push_bind(commit.wake_at.map(to_i64))
            .push_bind(seq_bind(event.map_or(commit.after, |event| event.seq)))
            .push_bind(event.map(|event| to_i64(event.at)))
            .push_bind(event.map(|event| event.kind.as_str()))
            .push_bind(event.map(|event| i32::from(event.version)))
            .push_bind(event.map(|event| event.audience.as_str()))
            .push_bind(event.and_then(|event| event.cause).map(|cause| cause.session.0))
            .push_bind(event.and_then(|event| event.cause).map(|cause| to_i64(cause.id)))
            .push_bind(event.map(|event| &*event.data));
    });
    insert
}

fn draw(rows: &[boards::Row<'_>]) -> QueryBuilder<Sqlite> {
    let mut insert = QueryBuilder::<Sqlite>::new("INSERT INTO temp.draw ");
    insert.push_values(rows, |mut row, update| {
        row.push_bind(&update.commit.key.tenant.0)
            .push_bind(update.commit.key.meeting.0)
            .push_bind(to_i64(update.commit.term.0))
            .push_bind(update.commit.board.0)
            .push_bind(update.number)
            .push_bind(update.data);
    });
    insert
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

common_store!(SqliteStore, clock: "CAST(unixepoch('subsec') * 1000 AS INTEGER)", lock: "", hold: "", share: "");
