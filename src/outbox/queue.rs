//! The outbox as a queue, in either database. A row is leased by the database's clock before it is
//! delivered, and each lease counts as an attempt: a node that dies over a row has tried it. What is
//! said of a row afterwards holds only while its last attempt is still this one.

use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::ports::StoreError;
use convoke_domain::{MeetingId, Millis, TenantId};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use std::time::Duration;
use uuid::Uuid;

const SQLITE_CLOCK: &str = "CAST(unixepoch('subsec') * 1000 AS INTEGER)";
const POSTGRES_CLOCK: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// What was delivered is remembered for a day, against a repetition; what was not, for a month.
const DONE_KEPT: Duration = Duration::from_secs(24 * 3_600);
const DEAD_KEPT: Duration = Duration::from_secs(30 * 24 * 3_600);

/// A row that this node may deliver, for as long as its lease lasts.
#[derive(Clone, Debug)]
pub struct Leased {
    pub row: i64,
    pub tenant: TenantId,
    pub meeting: MeetingId,
    pub topic: String,
    pub idempotency_key: String,
    pub payload: String,
    pub created_at: Millis,
    /// 1 for the first.
    pub attempt: i32,
}

type LeasedRow = (i64, String, Uuid, String, String, String, i64, i32);

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Delivered: what it said is not needed any more.
    Done,
    /// To be tried again after this.
    Again(Duration),
    /// Given up.
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub waiting: u64,
    pub dead: u64,
}

#[derive(Clone)]
pub struct Queue {
    db: Db,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Runs this on the pool that writes, with the database's clock put in the place of `{clock}`.
macro_rules! with_clock {
    ($self:ident, $clock:ident, $pool:ident => $body:expr) => {
        match &$self.db {
            Db::Sqlite { write: $pool, .. } => {
                let $clock = SQLITE_CLOCK;
                $body
            }
            Db::Postgres($pool) => {
                let $clock = POSTGRES_CLOCK;
                $body
            }
        }
    };
}

impl Queue {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    /// Takes rows that are due, each for this long. Other nodes pass over them.
    pub async fn lease(&self, most: u32, lease: Duration) -> Result<Vec<Leased>, StoreError> {
        let skip = match &self.db {
            Db::Sqlite { .. } => "",
            Db::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        };
        let rows: Vec<LeasedRow> = with_clock!(self, clock, pool => {
            query_as(AssertSqlSafe(format!(
                "WITH due AS MATERIALIZED ( \
                 SELECT id FROM outbox WHERE done_at IS NULL AND dead_at IS NULL AND next_attempt_at <= {clock} \
                 AND (leased_until IS NULL OR leased_until <= {clock}) ORDER BY next_attempt_at, id LIMIT $2{skip}) \
                 UPDATE outbox SET attempts = attempts + 1, leased_until = {clock} + $1 \
                 WHERE id IN (SELECT id FROM due) \
                 RETURNING id, tenant, meeting, topic, idempotency_key, payload, created_at, attempts"
            )))
            .bind(millis(lease))
            .bind(i64::from(most))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let leased = |(row, tenant, meeting, topic, idempotency_key, payload, created_at, attempt): LeasedRow| Leased {
            row,
            tenant: TenantId(tenant),
            meeting: MeetingId(meeting),
            topic,
            idempotency_key,
            payload,
            created_at: to_u64(created_at),
            attempt,
        };
        Ok(rows.into_iter().map(leased).collect())
    }

    /// Says what became of an attempt. False: the lease ran out and another attempt is under way.
    pub async fn settle(&self, leased: &Leased, fate: Fate, why: Option<&str>) -> Result<bool, StoreError> {
        let again = if let Fate::Again(after) = fate { millis(after) } else { 0 };
        let settled = with_clock!(self, clock, pool => {
            query(AssertSqlSafe(format!(
                "UPDATE outbox SET leased_until = NULL, error = $3, next_attempt_at = {clock} + $4, \
                 done_at = CASE WHEN $5 THEN {clock} END, dead_at = CASE WHEN $6 THEN {clock} END, \
                 payload = CASE WHEN $5 THEN '' ELSE payload END \
                 WHERE id = $1 AND attempts = $2 AND done_at IS NULL AND dead_at IS NULL"
            )))
            .bind(leased.row)
            .bind(leased.attempt)
            .bind(why)
            .bind(again)
            .bind(fate == Fate::Done)
            .bind(fate == Fate::Dead)
            .execute(pool)
            .await
            .map_err(unavailable)?
            .rows_affected()
        });
        Ok(settled == 1)
    }

    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let sql = "SELECT dead_at IS NOT NULL, COUNT(*) FROM outbox WHERE done_at IS NULL GROUP BY 1";
        let rows: Vec<(bool, i64)> = match &self.db {
            Db::Sqlite { read, .. } => query_as(sql).fetch_all(read).await.map_err(unavailable)?,
            Db::Postgres(pool) => query_as(sql).fetch_all(pool).await.map_err(unavailable)?,
        };
        let count = |is_dead| rows.iter().find(|(dead, _)| *dead == is_dead).map_or(0, |(_, count)| to_u64(*count));
        Ok(Counts { waiting: count(false), dead: count(true) })
    }

    /// Forgets what was delivered a day ago and given up a month ago.
    pub async fn tidy(&self) -> Result<u64, StoreError> {
        Ok(with_clock!(self, clock, pool => {
            query(AssertSqlSafe(format!(
                "DELETE FROM outbox WHERE done_at < {clock} - $1 OR dead_at < {clock} - $2"
            )))
            .bind(millis(DONE_KEPT))
            .bind(millis(DEAD_KEPT))
            .execute(pool)
            .await
            .map_err(unavailable)?
            .rows_affected()
        }))
    }

    /// What a meeting is called, and whether it is over.
    pub async fn meeting(&self, tenant: &TenantId, meeting: MeetingId) -> Result<Option<(String, bool)>, StoreError> {
        let sql = "SELECT title, status IN ('ended', 'cancelled') FROM meetings_view WHERE tenant = $1 AND id = $2";
        Ok(match &self.db {
            Db::Sqlite { read, .. } => {
                query_as(sql).bind(&tenant.0).bind(meeting.0).fetch_optional(read).await.map_err(unavailable)?
            }
            Db::Postgres(pool) => {
                query_as(sql).bind(&tenant.0).bind(meeting.0).fetch_optional(pool).await.map_err(unavailable)?
            }
        })
    }

    /// Whether anything is due, asked without writing.
    pub async fn is_due(&self) -> Result<bool, StoreError> {
        let sql = |clock: &str| {
            AssertSqlSafe(format!(
                "SELECT EXISTS (SELECT 1 FROM outbox WHERE done_at IS NULL AND dead_at IS NULL \
                 AND next_attempt_at <= {clock} AND (leased_until IS NULL OR leased_until <= {clock}))"
            ))
        };
        match &self.db {
            Db::Sqlite { read, .. } => query_scalar(sql(SQLITE_CLOCK)).fetch_one(read).await.map_err(unavailable),
            Db::Postgres(pool) => query_scalar(sql(POSTGRES_CLOCK)).fetch_one(pool).await.map_err(unavailable),
        }
    }
}
