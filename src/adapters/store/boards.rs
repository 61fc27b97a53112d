//! Whiteboards' logs, the same SQL in both databases. A board's head row is its lock: whoever changes what
//! stands for the beginning of a log, or copies a log, holds it. Locks are taken in one order, that of the
//! tables here: the meeting's head, the board's head, updates and snapshots, and what boards share, updates and
//! states, at the very end, by their ids. So nobody waits in a circle, and of two that let go of one state the
//! second sees what the first has done. Large states are written before any lock is taken: nobody draws behind
//! them.

mod changes;

use super::postgres::PostgresStore;
use super::sqlite::SqliteStore;
use super::{to_i64, to_u64, unavailable};
use bytes::Bytes;
use convoke_actors::ports::{BoardCommit, BoardLog, BoardSnapshot, MeetingKey, StoreError};
use convoke_domain::{ParticipantId, TenantId, Term, WhiteboardId};
use sqlx::{Postgres, Sqlite, Transaction, query, query_as, query_scalar};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Updates of one statement.
pub(super) const ROWS: usize = 512;
/// Bytes of updates in one statement, unless a single one has more: a statement holds a copy of them, and is
/// to end long before the database's limit.
pub(super) const BYTES: usize = 8 << 20;

/// An update to be written. One without data stands for a commit without updates.
#[derive(Clone, Copy)]
pub(super) struct Row<'a> {
    pub commit: &'a BoardCommit,
    pub number: i64,
    pub data: Option<&'a [u8]>,
}

pub(super) fn rows_of(boards: &[BoardCommit]) -> Vec<Row<'_>> {
    let mut rows = Vec::with_capacity(boards.iter().map(|commit| commit.updates.len()).sum());
    for commit in boards {
        if commit.updates.is_empty() {
            rows.push(Row { commit, number: to_i64(commit.after), data: None });
        }
        let numbers = commit.after.saturating_add(1)..=commit.reaches();
        let numbered = numbers.zip(&commit.updates);
        rows.extend(numbered.map(|(number, data)| Row { commit, number: to_i64(number), data: Some(data) }));
    }
    rows
}

/// These rows in pieces, each for one statement.
pub(super) fn pieces<'a, 'b>(rows: &'b [Row<'a>]) -> Vec<&'b [Row<'a>]> {
    let mut pieces = Vec::new();
    let mut rest = rows;
    while !rest.is_empty() {
        let mut bytes = 0_usize;
        let fits = |row: &&Row<'_>| {
            bytes = bytes.saturating_add(row.data.map_or(0, <[u8]>::len));
            bytes <= BYTES
        };
        let count = rest.iter().take(ROWS).take_while(fits).count().max(1);
        let (piece, more) = rest.split_at(count);
        pieces.push(piece);
        rest = more;
    }
    pieces
}

type HeadRow = (i64, i64, Option<Uuid>, Option<Uuid>, Option<Uuid>);

/// A board's head row.
struct Head {
    /// Of the last update.
    number: i64,
    /// Up to which the state, if there is one, stands for the updates.
    upto: i64,
    state: Option<Uuid>,
    /// The first updates behind it, where they are shared with copies.
    tail: Option<Uuid>,
    restored: Option<Uuid>,
}

/// What lost a reference, to go if that was the last.
#[derive(Default)]
struct Loose {
    tails: BTreeSet<(TenantId, Uuid)>,
    states: BTreeSet<(TenantId, Uuid)>,
}

impl Loose {
    fn of(tenant: &TenantId, tails: impl IntoIterator<Item = Uuid>, states: impl IntoIterator<Item = Uuid>) -> Self {
        let of_tenant = |id| (tenant.clone(), id);
        Self { tails: tails.into_iter().map(of_tenant).collect(), states: states.into_iter().map(of_tenant).collect() }
    }

    fn and(&mut self, more: Self) {
        self.tails.extend(more.tails);
        self.states.extend(more.states);
    }
}

fn log_of(head: &Head, state: Option<Vec<u8>>, tail: Vec<(i64, Vec<u8>)>) -> Result<BoardLog, StoreError> {
    let Head { number, upto, restored, .. } = *head;
    let is_next = |(expected, (number, _)): (i64, &(i64, Vec<u8>))| expected == *number;
    let has_no_gap = (upto.saturating_add(1)..=i64::MAX).zip(&tail).all(is_next);
    let state = state.map(|state| (to_u64(upto), Bytes::from(state)));
    let has_begin = state.is_some() == (upto > 0);
    let log = BoardLog { state, updates: tail.into_iter().map(|(_, data)| Bytes::from(data)).collect(), restored };
    if has_no_gap && has_begin && log.head() == to_u64(number) {
        Ok(log)
    } else {
        Err(StoreError::Corrupt(format!("the log of a whiteboard has a gap before its update {number}")))
    }
}

macro_rules! board_store {
    ($store:ty, $database:ty, reading: $reading:literal, key: $key:literal, hold: $hold:literal) => {
        impl $store {
            pub(super) async fn read_board(
                &self,
                key: &MeetingKey,
                board: WhiteboardId,
            ) -> Result<BoardLog, StoreError> {
                let mut transaction = self.read.begin_with($reading).await.map_err(unavailable)?;
                let head = Self::board_head(&mut transaction, HEAD, key, board).await?;
                let state: Option<Vec<u8>> = match head.state {
                    Some(state) => query_scalar("SELECT data FROM whiteboard_states WHERE tenant = $1 AND state = $2")
                        .bind(&key.tenant.0)
                        .bind(state)
                        .fetch_optional(&mut *transaction)
                        .await
                        .map_err(unavailable)?,
                    None => None,
                };
                let tail: Vec<(i64, Vec<u8>)> = query_as(
                    "SELECT number, data FROM whiteboard_updates \
                     WHERE tenant = $1 AND whiteboard IN ($2, $3) AND number > $4 ORDER BY number",
                )
                .bind(&key.tenant.0)
                .bind(board.0)
                .bind(head.tail.unwrap_or(board.0))
                .bind(head.upto)
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
                transaction.commit().await.map_err(unavailable)?;
                log_of(&head, state, tail)
            }

            async fn board_head(
                transaction: &mut Transaction<'static, $database>,
                sql: &'static str,
                key: &MeetingKey,
                board: WhiteboardId,
            ) -> Result<Head, StoreError> {
                let row: Option<HeadRow> = query_as(sql)
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(board.0)
                    .fetch_optional(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                let (number, upto, state, tail, restored) = row.ok_or(StoreError::NotFound)?;
                Ok(Head { number, upto, state, tail, restored })
            }

            async fn check_term(
                transaction: &mut Transaction<'static, $database>,
                sql: &'static str,
                key: &MeetingKey,
                term: Term,
            ) -> Result<(), StoreError> {
                let held: Option<i64> = query_scalar(sql)
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(to_i64(term.0))
                    .fetch_optional(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                held.map(drop).ok_or(StoreError::Fenced)
            }

            async fn insert_state(
                transaction: &mut Transaction<'static, $database>,
                key: &MeetingKey,
                data: &[u8],
            ) -> Result<Uuid, StoreError> {
                let state = Uuid::now_v7();
                query("INSERT INTO whiteboard_states (tenant, state, data) VALUES ($1, $2, $3)")
                    .bind(&key.tenant.0)
                    .bind(state)
                    .bind(data)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                Ok(state)
            }

            pub(super) async fn put_state(
                &self,
                key: &MeetingKey,
                term: Term,
                board: WhiteboardId,
                upto: u64,
                data: &[u8],
            ) -> Result<(), StoreError> {
                let upto = to_i64(upto);
                let mut transaction = self.begin().await?;
                Self::check_term(&mut transaction, TERM, key, term).await?;
                if Self::board_head(&mut transaction, HEAD, key, board).await?.upto >= upto {
                    return Ok(());
                }
                let state = Self::insert_state(&mut transaction, key, data).await?;
                Self::check_term(&mut transaction, concat_term!($key), key, term).await?;
                let former = Self::board_head(&mut transaction, concat_head!($hold), key, board).await?;
                if former.upto >= upto {
                    return Ok(());
                }
                if former.number < upto {
                    // The state holds what was never written: whoever made it knows another log.
                    return Err(StoreError::Fenced);
                }
                query(
                    "UPDATE whiteboard_heads SET state = $4, state_number = $5, \
                     tail = CASE WHEN EXISTS (SELECT 1 FROM whiteboard_updates u WHERE u.tenant = $1 \
                     AND u.whiteboard = whiteboard_heads.tail AND u.number > $5) THEN tail END \
                     WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(board.0)
                .bind(state)
                .bind(upto)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                query("DELETE FROM whiteboard_updates WHERE tenant = $1 AND whiteboard = $2 AND number <= $3")
                    .bind(&key.tenant.0)
                    .bind(board.0)
                    .bind(upto)
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                Self::drop_loose(&mut transaction, Loose::of(&key.tenant, former.tail, former.state)).await?;
                transaction.commit().await.map_err(unavailable)
            }

            pub(super) async fn keep_state(
                &self,
                key: &MeetingKey,
                term: Term,
                board: WhiteboardId,
                snapshot: &BoardSnapshot,
                (upto, data): (u64, &[u8]),
                most: u32,
            ) -> Result<(), StoreError> {
                let mut transaction = self.begin().await?;
                Self::check_term(&mut transaction, TERM, key, term).await?;
                let begins_with_it = |head: Head| head.state.filter(|_| head.upto == to_i64(upto));
                let mut state = begins_with_it(Self::board_head(&mut transaction, HEAD, key, board).await?);
                if state.is_some() {
                    // It is there, and stays while the head is held.
                    Self::check_term(&mut transaction, concat_term!($key), key, term).await?;
                    let head = Self::board_head(&mut transaction, concat_head!($hold), key, board).await?;
                    state = begins_with_it(head);
                }
                let state = match state {
                    Some(state) => state,
                    None => {
                        let state = Self::insert_state(&mut transaction, key, data).await?;
                        Self::check_term(&mut transaction, concat_term!($key), key, term).await?;
                        // The board is not deleted meanwhile; drawing goes on.
                        Self::board_head(&mut transaction, concat_head!($key), key, board).await?;
                        state
                    }
                };
                let newest: Option<i64> = query_scalar(
                    "SELECT MAX(at) FROM whiteboard_snapshots WHERE tenant = $1 AND whiteboard = $2",
                )
                .bind(&key.tenant.0)
                .bind(board.0)
                .fetch_one(&mut *transaction)
                .await
                .map_err(unavailable)?;
                // With a clock that is behind, it would be the one that gives way.
                let at = newest.map_or(0, |newest| newest.saturating_add(1)).max(to_i64(snapshot.at));
                let inserted = query(
                    "INSERT INTO whiteboard_snapshots (tenant, whiteboard, snapshot, name, at, state, bytes, made_by) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
                )
                .bind(&key.tenant.0)
                .bind(board.0)
                .bind(snapshot.id)
                .bind(&snapshot.name)
                .bind(at)
                .bind(state)
                .bind(to_i64(snapshot.bytes))
                .bind(snapshot.by.map(|by| by.0))
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                if inserted.rows_affected() == 0 {
                    // It is kept already: the answer to the first try was lost.
                    return Ok(());
                }
                let kept: Vec<(Uuid, Uuid)> = query_as(
                    "SELECT snapshot, state FROM whiteboard_snapshots WHERE tenant = $1 AND whiteboard = $2 \
                     ORDER BY at DESC, snapshot DESC",
                )
                .bind(&key.tenant.0)
                .bind(board.0)
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
                let mut loose = Loose::default();
                for (snapshot, state) in kept.into_iter().skip(usize::try_from(most).unwrap_or(usize::MAX)) {
                    query(
                        "DELETE FROM whiteboard_snapshots WHERE tenant = $1 AND whiteboard = $2 AND snapshot = $3",
                    )
                    .bind(&key.tenant.0)
                    .bind(board.0)
                    .bind(snapshot)
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                    loose.and(Loose::of(&key.tenant, None, [state]));
                }
                Self::drop_loose(&mut transaction, loose).await?;
                transaction.commit().await.map_err(unavailable)
            }

            /// The boards' heads are held: it comes behind what is drawn in the same transaction.
            pub(super) async fn note_restores(
                transaction: &mut Transaction<'static, $database>,
                boards: &[BoardCommit],
            ) -> Result<(), StoreError> {
                for commit in boards {
                    let Some(request) = commit.restored else { continue };
                    query(
                        "UPDATE whiteboard_heads SET last_restore = $4 \
                         WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3",
                    )
                    .bind(&commit.key.tenant.0)
                    .bind(commit.key.meeting.0)
                    .bind(commit.board.0)
                    .bind(request)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                }
                Ok(())
            }

            pub(super) async fn snapshots_of_board(
                &self,
                key: &MeetingKey,
                board: WhiteboardId,
            ) -> Result<Vec<BoardSnapshot>, StoreError> {
                let rows: Vec<(Uuid, String, i64, i64, Option<Uuid>)> = query_as(
                    "SELECT s.snapshot, s.name, s.at, s.bytes, s.made_by \
                     FROM whiteboard_snapshots s JOIN whiteboard_heads h \
                     ON h.tenant = s.tenant AND h.whiteboard = s.whiteboard \
                     WHERE h.tenant = $1 AND h.meeting = $2 AND h.whiteboard = $3 ORDER BY s.at DESC, s.snapshot DESC",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(board.0)
                .fetch_all(&self.read)
                .await
                .map_err(unavailable)?;
                let snapshot = |(id, name, at, bytes, by): (_, _, _, _, Option<Uuid>)| {
                    let (at, bytes, by) = (to_u64(at), to_u64(bytes), by.map(ParticipantId));
                    BoardSnapshot { id, name, by, at, bytes }
                };
                Ok(rows.into_iter().map(snapshot).collect())
            }

            pub(super) async fn snapshot_of_board(
                &self,
                key: &MeetingKey,
                board: WhiteboardId,
                snapshot: Uuid,
            ) -> Result<Option<Vec<u8>>, StoreError> {
                query_scalar(
                    "SELECT d.data FROM whiteboard_heads h \
                     JOIN whiteboard_snapshots s ON s.tenant = h.tenant AND s.whiteboard = h.whiteboard \
                     JOIN whiteboard_states d ON d.tenant = s.tenant AND d.state = s.state \
                     WHERE h.tenant = $1 AND h.meeting = $2 AND h.whiteboard = $3 AND s.snapshot = $4",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(board.0)
                .bind(snapshot)
                .fetch_optional(&self.read)
                .await
                .map_err(unavailable)
            }
        }
    };
}

macro_rules! concat_term {
    ($lock:literal) => {
        concat!("SELECT term FROM meeting_heads WHERE tenant = $1 AND meeting = $2 AND term = $3", $lock)
    };
}

macro_rules! concat_head {
    ($lock:literal) => {
        concat!(
            "SELECT number, state_number, state, tail, last_restore FROM whiteboard_heads ",
            "WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3",
            $lock
        )
    };
}

const TERM: &str = concat_term!("");
const HEAD: &str = concat_head!("");

board_store!(SqliteStore, Sqlite, reading: "BEGIN", key: "", hold: "");
board_store!(
    PostgresStore,
    Postgres,
    reading: "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
    key: " FOR KEY SHARE",
    hold: " FOR NO KEY UPDATE"
);
