//! PostgreSQL: many nodes, one log. A commit is three statements however many meetings share it (a
//! fourth where there is an outbox): the heads are locked in one order (so two nodes cannot
//! deadlock), then updated where term and seq still hold, then the events are inserted from arrays.

use super::boards;
use super::bounded::Bounded;
use super::common::{HeadRow, LogRow, common_store, event_of, head_of, key_of, may_take, millis, seq_bind};
use super::{Db, Opened, to_i64, to_u64, unavailable};
use convoke_actors::ports::{
    BoardCommit, BoardLog, BoardSnapshot, Commit, EventRow, Head, MeetingKey, NodeLife, Peer, Snapshot, Store,
    StoreError, Taken,
};
use convoke_domain::event::Cause;
use convoke_domain::{Millis, Seq, SessionId, Term, WhiteboardId};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool, Postgres, Transaction, query, query_as, query_scalar};
use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const CONNECTIONS: u32 = 10;
const ACQUIRE: Duration = Duration::from_secs(3);

pub struct PostgresStore {
    write: PgPool,
    pub(super) read: PgPool,
}

pub async fn open(url: &str) -> Result<Opened, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(unavailable)?.application_name("convoke").options([
        ("statement_timeout", "5000"),
        ("lock_timeout", "5000"),
        // A node that is frozen between two statements keeps its connection, and with it the locks of
        // the transaction: its meetings could not be taken before it wakes.
        ("idle_in_transaction_session_timeout", "5000"),
        ("client_min_messages", "warning"),
    ]);
    let pool = PgPoolOptions::new().max_connections(CONNECTIONS).acquire_timeout(ACQUIRE);
    let pool = match pool.connect_with(options.clone()).await {
        Err(sqlx::Error::PoolTimedOut) => return Err(unreachable(&options).await),
        connected => connected.map_err(unavailable)?,
    };
    let store = Arc::new(Bounded::new(PostgresStore { write: pool.clone(), read: pool.clone() }));
    Ok(Opened { store, db: Db::Postgres(pool) })
}

/// Why there is no connection. The pool tries for a while, and then says only that it has; whoever
/// starts a server wants to know whether the address, the name or the password is wrong.
async fn unreachable(options: &PgConnectOptions) -> StoreError {
    match tokio::time::timeout(ACQUIRE, options.connect()).await {
        Ok(Err(error)) => unavailable(error),
        Ok(Ok(_)) | Err(_) => StoreError::Unavailable("the server does not answer in time".to_owned()),
    }
}

impl PostgresStore {
    pub(super) fn writing(&self) -> &PgPool {
        &self.write
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        self.write.begin().await.map_err(unavailable)
    }

    async fn heads_of(&self, keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
        let rows: Vec<(String, Uuid, i64, i64)> = query_as(
            "SELECT h.tenant, h.meeting, h.term, h.seq FROM meeting_heads h \
             JOIN unnest($1::text[], $2::uuid[]) AS c (tenant, meeting) \
             ON h.tenant = c.tenant AND h.meeting = c.meeting",
        )
        .bind(keys.iter().map(|key| key.tenant.0.clone()).collect::<Vec<String>>())
        .bind(keys.iter().map(|key| key.meeting.0).collect::<Vec<Uuid>>())
        .fetch_all(&self.read)
        .await
        .map_err(unavailable)?;
        let head = |(tenant, meeting, term, seq)| (key_of(tenant, meeting), Term(to_u64(term)), Seq(to_u64(seq)));
        Ok(rows.into_iter().map(head).collect())
    }

    async fn commit_all(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
        let mut transaction = self.begin().await?;
        let written = write_all(&mut transaction, commits, boards).await;
        if matches!(written, Err(StoreError::Fenced)) {
            transaction.rollback().await.map_err(unavailable)?;
            return written;
        }
        written?;
        // A connection that breaks here leaves the outcome unknown; the meeting takes itself again,
        // which waits for this transaction's locks, and reads what became of it.
        transaction.commit().await.map_err(unavailable)
    }
}

type Writing = Transaction<'static, Postgres>;

async fn write_all(transaction: &mut Writing, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
    move_heads(transaction, commits).await?;
    draw(transaction, boards).await?;
    PostgresStore::note_restores(transaction, boards).await?;
    insert_events(transaction, commits).await?;
    PostgresStore::change_boards(transaction, commits).await?;
    insert_outbox(transaction, commits).await
}

/// Meetings' heads are locked against each other's commits, in one order. What only draws holds the head
/// against a taking, and not against these.
async fn move_heads(transaction: &mut Writing, commits: &[Commit]) -> Result<(), StoreError> {
    if commits.is_empty() {
        return Ok(());
    }
    let tenants: Vec<String> = commits.iter().map(|c| c.key.tenant.0.clone()).collect();
    let meetings: Vec<Uuid> = commits.iter().map(|c| c.key.meeting.0).collect();
    let terms: Vec<i64> = commits.iter().map(|c| to_i64(c.term.0)).collect();
    let afters: Vec<i64> = commits.iter().map(|c| seq_bind(c.after)).collect();
    let reaches: Vec<i64> = commits.iter().map(|c| seq_bind(c.reaches())).collect();
    let wakes: Vec<Option<i64>> = commits.iter().map(|c| c.wake_at.map(to_i64)).collect();
    if commits.len() > 1 {
        query(
            "SELECT 1 FROM meeting_heads h JOIN unnest($1::text[], $2::uuid[]) AS c (tenant, meeting) \
             ON h.tenant = c.tenant AND h.meeting = c.meeting ORDER BY h.tenant, h.meeting FOR NO KEY UPDATE OF h",
        )
        .bind(&tenants)
        .bind(&meetings)
        .execute(&mut **transaction)
        .await
        .map_err(unavailable)?;
    }
    let done = query(
        "UPDATE meeting_heads h SET seq = c.reaches, wake_at = c.wake_at \
         FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) \
         AS c (tenant, meeting, term, after, reaches, wake_at) \
         WHERE h.tenant = c.tenant AND h.meeting = c.meeting AND h.term = c.term AND h.seq = c.after",
    )
    .bind(&tenants)
    .bind(&meetings)
    .bind(&terms)
    .bind(&afters)
    .bind(&reaches)
    .bind(&wakes)
    .execute(&mut **transaction)
    .await
    .map_err(unavailable)?;
    is_all(done.rows_affected(), commits.len())
}

fn is_all(rows: u64, wanted: usize) -> Result<(), StoreError> {
    if u64::try_from(wanted).is_ok_and(|wanted| wanted == rows) { Ok(()) } else { Err(StoreError::Fenced) }
}

/// The heads of the meetings stay locked, so a taking waits for this, and what is drawn under the old term is
/// in the log that is read next.
async fn draw(transaction: &mut Writing, boards: &[BoardCommit]) -> Result<(), StoreError> {
    if boards.is_empty() {
        return Ok(());
    }
    let meetings: BTreeSet<(&MeetingKey, Term)> = boards.iter().map(|board| (&board.key, board.term)).collect();
    let held = query(
        "SELECT 1 FROM meeting_heads h JOIN unnest($1::text[], $2::uuid[], $3::bigint[]) AS c (tenant, meeting, term) \
         ON h.tenant = c.tenant AND h.meeting = c.meeting AND h.term = c.term \
         ORDER BY h.tenant, h.meeting FOR KEY SHARE OF h",
    )
    .bind(meetings.iter().map(|(key, _)| key.tenant.0.clone()).collect::<Vec<String>>())
    .bind(meetings.iter().map(|(key, _)| key.meeting.0).collect::<Vec<Uuid>>())
    .bind(meetings.iter().map(|(_, term)| to_i64(term.0)).collect::<Vec<i64>>())
    .execute(&mut **transaction)
    .await
    .map_err(unavailable)?;
    is_all(held.rows_affected(), meetings.len())?;
    let moved = query(
        "UPDATE whiteboard_heads h SET number = c.reaches \
         FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::bigint[], $5::bigint[]) \
         AS c (tenant, meeting, whiteboard, after, reaches) \
         WHERE h.tenant = c.tenant AND h.whiteboard = c.whiteboard AND h.meeting = c.meeting AND h.number = c.after",
    )
    .bind(boards.iter().map(|board| board.key.tenant.0.clone()).collect::<Vec<String>>())
    .bind(boards.iter().map(|board| board.key.meeting.0).collect::<Vec<Uuid>>())
    .bind(boards.iter().map(|board| board.board.0).collect::<Vec<Uuid>>())
    .bind(boards.iter().map(|board| to_i64(board.after)).collect::<Vec<i64>>())
    .bind(boards.iter().map(|board| to_i64(board.reaches())).collect::<Vec<i64>>())
    .execute(&mut **transaction)
    .await
    .map_err(unavailable)?;
    is_all(moved.rows_affected(), boards.len())?;
    let rows = boards::rows_of(boards);
    for piece in boards::pieces(&rows) {
        let updates = || piece.iter().filter_map(|row| row.data.map(|data| (row, data)));
        query(
            "INSERT INTO whiteboard_updates (tenant, whiteboard, number, data) \
             SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bytea[])",
        )
        .bind(updates().map(|(row, _)| row.commit.key.tenant.0.clone()).collect::<Vec<String>>())
        .bind(updates().map(|(row, _)| row.commit.board.0).collect::<Vec<Uuid>>())
        .bind(updates().map(|(row, _)| row.number).collect::<Vec<i64>>())
        .bind(updates().map(|(_, data)| data).collect::<Vec<&[u8]>>())
        .execute(&mut **transaction)
        .await
        .map_err(unavailable)?;
    }
    Ok(())
}

/// Events turned on their side, for one INSERT from arrays.
#[derive(Default)]
struct Columns {
    tenants: Vec<String>,
    meetings: Vec<Uuid>,
    seqs: Vec<i64>,
    ats: Vec<i64>,
    kinds: Vec<String>,
    versions: Vec<i32>,
    audiences: Vec<String>,
    sessions: Vec<Option<Uuid>>,
    ids: Vec<Option<i64>>,
    datas: Vec<String>,
}

impl Columns {
    fn push(&mut self, key: &MeetingKey, event: &EventRow) {
        self.tenants.push(key.tenant.0.clone());
        self.meetings.push(key.meeting.0);
        self.seqs.push(seq_bind(event.seq));
        self.ats.push(to_i64(event.at));
        self.kinds.push(event.kind.clone());
        self.versions.push(i32::from(event.version));
        self.audiences.push(event.audience.clone());
        self.sessions.push(event.cause.map(|cause| cause.session.0));
        self.ids.push(event.cause.map(|cause| to_i64(cause.id)));
        self.datas.push(event.data.to_string());
    }
}

async fn insert_events(transaction: &mut Writing, commits: &[Commit]) -> Result<(), StoreError> {
    let mut columns = Columns::default();
    for commit in commits {
        for event in &commit.events {
            columns.push(&commit.key, event);
        }
    }
    if columns.seqs.is_empty() {
        return Ok(());
    }
    query(
        "INSERT INTO events (tenant, meeting, seq, at, kind, version, audience, cause_session, cause_id, data) \
         SELECT * FROM unnest($1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[], $6::int[], $7::text[], \
         $8::uuid[], $9::bigint[], $10::text[])",
    )
    .bind(columns.tenants)
    .bind(columns.meetings)
    .bind(columns.seqs)
    .bind(columns.ats)
    .bind(columns.kinds)
    .bind(columns.versions)
    .bind(columns.audiences)
    .bind(columns.sessions)
    .bind(columns.ids)
    .bind(columns.datas)
    .execute(&mut **transaction)
    .await
    .map_err(unavailable)?;
    Ok(())
}

/// A row whose idempotency key its tenant has used already is the same thing again: it is dropped.
async fn insert_outbox(transaction: &mut Writing, commits: &[Commit]) -> Result<(), StoreError> {
    let rows = || commits.iter().flat_map(|commit| commit.outbox.iter().map(|row| (&commit.key, row)));
    if rows().next().is_none() {
        return Ok(());
    }
    query(
        "INSERT INTO outbox (tenant, meeting, topic, idempotency_key, payload, created_at, next_attempt_at) \
         SELECT r.*, (extract(epoch FROM clock_timestamp()) * 1000)::bigint, 0 \
         FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::text[]) AS r ON CONFLICT DO NOTHING",
    )
    .bind(rows().map(|(key, _)| key.tenant.0.clone()).collect::<Vec<String>>())
    .bind(rows().map(|(key, _)| key.meeting.0).collect::<Vec<Uuid>>())
    .bind(rows().map(|(_, row)| row.topic.clone()).collect::<Vec<String>>())
    .bind(rows().map(|(_, row)| row.idempotency_key.clone()).collect::<Vec<String>>())
    .bind(rows().map(|(_, row)| row.payload.clone()).collect::<Vec<String>>())
    .execute(&mut **transaction)
    .await
    .map_err(unavailable)?;
    Ok(())
}

common_store!(
    PostgresStore,
    clock: "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    lock: " FOR UPDATE",
    hold: " FOR NO KEY UPDATE",
    share: " FOR SHARE"
);
