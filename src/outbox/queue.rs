//! The outbox as a queue, in either database. A row is leased by the database's clock before it is
//! delivered, and each lease counts as an attempt: a node that dies over a row has tried it. What is
//! said of a row afterwards holds only while its last attempt is still this one. The table has two
//! lanes, mail and webhooks, and a queue is one of them: neither waits for the other.

use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_u64, unavailable};
use crate::webhooks::{DELIVERED_KEPT, FAILED_KEPT, IN_FLIGHT_MAX};
use convoke_actors::ports::StoreError;
use convoke_domain::{MeetingId, Millis, Seq, TenantId};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use std::time::Duration;
use uuid::Uuid;

/// Mail that was delivered is remembered for a day, against a repetition; what was not, for a month.
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
    /// Whom a webhook goes to.
    pub target: Option<Target>,
}

#[derive(Clone, Debug)]
pub struct Target {
    pub endpoint: String,
    pub kind: String,
    /// The event that it tells of, where it is one.
    pub seq: Option<Seq>,
}

type LeasedRow = (i64, String, Uuid, String, String, String, i64, i32, Option<String>, Option<String>, Option<i64>);

/// Which rows a queue has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    Mail,
    Webhooks,
}

impl Lane {
    /// The condition of its rows.
    fn rows(self) -> &'static str {
        match self {
            Self::Mail => "endpoint IS NULL",
            Self::Webhooks => "endpoint IS NOT NULL",
        }
    }

    /// How long what was delivered is remembered, and what was given up.
    fn kept(self) -> (Duration, Duration) {
        match self {
            Self::Mail => (DONE_KEPT, DEAD_KEPT),
            Self::Webhooks => (DELIVERED_KEPT, FAILED_KEPT),
        }
    }
}

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
    lane: Lane,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Queue {
    pub fn mail(db: Db) -> Self {
        Self { db, lane: Lane::Mail }
    }

    pub fn webhooks(db: Db) -> Self {
        Self { db, lane: Lane::Webhooks }
    }

    pub fn lane(&self) -> Lane {
        self.lane
    }

    /// Of webhooks, the ids of what may be leased: the first few of each endpoint, those
    /// on their way included, so that an endpoint that is slow, or has very many, keeps nothing from
    /// the others; of one that fails, the first. Rows that are leased stand before those that are not,
    /// because they were due earlier. Endpoints are found by stepping through the index, each once.
    fn candidates(now: &str) -> String {
        let next = |after: &str| {
            format!(
                "(SELECT o.endpoint FROM outbox o WHERE o.done_at IS NULL AND o.dead_at IS NULL \
                 AND o.endpoint {after} ORDER BY o.endpoint LIMIT 1)"
            )
        };
        let nth = |nth: usize| {
            let fails = if nth == 0 { "" } else { " AND e.failing_since IS NULL" };
            format!(
                "SELECT (SELECT x.id FROM outbox x WHERE x.done_at IS NULL AND x.dead_at IS NULL \
                 AND x.endpoint = w.endpoint AND x.next_attempt_at <= {now} \
                 ORDER BY x.next_attempt_at, x.id LIMIT 1 OFFSET {nth}) AS id \
                 FROM waiting w LEFT JOIN webhook_endpoints e ON e.id = w.endpoint WHERE w.endpoint IS NOT NULL{fails}"
            )
        };
        let each: Vec<String> = (0..IN_FLIGHT_MAX).map(nth).collect();
        format!(
            "WITH RECURSIVE waiting (endpoint) AS (SELECT {} UNION ALL SELECT {} FROM waiting v \
             WHERE v.endpoint IS NOT NULL) SELECT c.id FROM ({}) c WHERE c.id IS NOT NULL",
            next("IS NOT NULL"),
            next("> v.endpoint"),
            each.join(" UNION ALL ")
        )
    }

    /// Takes rows that are due, each for this long. Other nodes pass over them.
    pub async fn lease(&self, most: u32, lease: Duration) -> Result<Vec<Leased>, StoreError> {
        let skip = match &self.db {
            Db::Sqlite { .. } => "",
            Db::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        };
        let clock = self.db.clock();
        // Looked at once, so that an index can be searched by it.
        let now = format!("(SELECT {clock})");
        let these = match self.lane {
            Lane::Mail => self.lane.rows().to_owned(),
            Lane::Webhooks => format!("id IN ({})", Self::candidates(&now)),
        };
        let sql = format!(
            "WITH due AS MATERIALIZED ( \
             SELECT id FROM outbox WHERE done_at IS NULL AND dead_at IS NULL AND next_attempt_at <= {now} AND {these} \
             AND (leased_until IS NULL OR leased_until <= {now}) ORDER BY next_attempt_at, id LIMIT $2{skip}) \
             UPDATE outbox SET attempts = attempts + 1, leased_until = {clock} + $1 \
             WHERE id IN (SELECT id FROM due) \
             RETURNING id, tenant, meeting, topic, idempotency_key, payload, created_at, attempts, endpoint, kind, seq"
        );
        let rows: Vec<LeasedRow> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(millis(lease))
                .bind(i64::from(most))
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        let leased = |row: LeasedRow| {
            let (row, tenant, meeting, topic, idempotency_key, payload, created_at, attempt, endpoint, kind, seq) = row;
            let target = |(endpoint, kind)| Target { endpoint, kind, seq: seq.map(|seq| Seq(to_u64(seq))) };
            Leased {
                row,
                tenant: TenantId(tenant),
                meeting: MeetingId(meeting),
                topic,
                idempotency_key,
                payload,
                created_at: to_u64(created_at),
                attempt,
                target: endpoint.zip(kind).map(target),
            }
        };
        Ok(rows.into_iter().map(leased).collect())
    }

    /// Says what became of an attempt, and what was answered, where that is a number. False: the lease
    /// ran out and another attempt is under way.
    pub async fn settle(
        &self,
        leased: &Leased,
        fate: Fate,
        why: Option<&str>,
        status: Option<u16>,
    ) -> Result<bool, StoreError> {
        let again = if let Fate::Again(after) = fate { millis(after) } else { 0 };
        let clock = self.db.clock();
        // What a mail said is not needed any more; a webhook can be sent again.
        let sql = format!(
            "UPDATE outbox SET leased_until = NULL, error = $3, status = $7, next_attempt_at = {clock} + $4, \
             done_at = CASE WHEN $5 THEN {clock} END, dead_at = CASE WHEN $6 THEN {clock} END, \
             payload = CASE WHEN $5 AND endpoint IS NULL THEN '' ELSE payload END \
             WHERE id = $1 AND attempts = $2 AND done_at IS NULL AND dead_at IS NULL"
        );
        let settled = on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(leased.row)
                .bind(leased.attempt)
                .bind(why)
                .bind(again)
                .bind(fate == Fate::Done)
                .bind(fate == Fate::Dead)
                .bind(status.map(i64::from))
                .execute(pool)
                .await
                .map_err(unavailable)?
                .rows_affected()
        });
        Ok(settled == 1)
    }

    /// How many wait, and, of mail, how many were given up. A tenant's endpoints may give up any
    /// number: that is its own affair, and it is not counted again and again.
    pub async fn counts(&self) -> Result<Counts, StoreError> {
        let open = if self.lane == Lane::Webhooks { " AND dead_at IS NULL" } else { "" };
        let sql = format!(
            "SELECT dead_at IS NOT NULL, COUNT(*) FROM outbox WHERE done_at IS NULL AND {}{open} GROUP BY 1",
            self.lane.rows()
        );
        let rows: Vec<(bool, i64)> = match &self.db {
            Db::Sqlite { read, .. } => query_as(AssertSqlSafe(sql)).fetch_all(read).await.map_err(unavailable)?,
            Db::Postgres(pool) => query_as(AssertSqlSafe(sql)).fetch_all(pool).await.map_err(unavailable)?,
        };
        let count = |is_dead| rows.iter().find(|(dead, _)| *dead == is_dead).map_or(0, |(_, count)| to_u64(*count));
        Ok(Counts { waiting: count(false), dead: count(true) })
    }

    /// Forgets what was delivered, and what was given up, long enough ago.
    pub async fn tidy(&self) -> Result<u64, StoreError> {
        let (clock, (done, dead)) = (self.db.clock(), self.lane.kept());
        let sql = format!(
            "DELETE FROM outbox WHERE {} AND (done_at < {clock} - $1 OR dead_at < {clock} - $2)",
            self.lane.rows()
        );
        Ok(on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(millis(done))
                .bind(millis(dead))
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
        let now = format!("(SELECT {})", self.db.clock());
        // The earliest, by its index: there may be any number that wait for later.
        let sql = format!(
            "SELECT COALESCE((SELECT next_attempt_at FROM outbox WHERE done_at IS NULL AND dead_at IS NULL AND {} \
             AND (leased_until IS NULL OR leased_until <= {now}) ORDER BY next_attempt_at, id LIMIT 1) <= {now}, FALSE)",
            self.lane.rows()
        );
        match &self.db {
            Db::Sqlite { read, .. } => query_scalar(AssertSqlSafe(sql)).fetch_one(read).await.map_err(unavailable),
            Db::Postgres(pool) => query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.map_err(unavailable),
        }
    }
}
