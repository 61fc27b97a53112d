//! What was sent to an endpoint, as the outbox knows it, and sending it again.

use super::handler::Webhooks;
use super::{REPLAY_MAX, TEST, TOPIC};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use crate::projections::Page;
use convoke_actors::ports::StoreError;
use convoke_domain::{Millis, TenantId};
use serde::Serialize;
use serde_json::json;
use sqlx::{AssertSqlSafe, query, query_as};
use uuid::Uuid;

/// One message to one endpoint.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Delivery {
    /// Its `webhook-id`.
    pub id: String,
    #[serde(rename = "type")]
    pub kind: String,
    /// `pending`, `delivered` or `failed`.
    pub status: &'static str,
    pub attempts: i32,
    /// What the endpoint answered last; absent where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_status: Option<i64>,
    /// Why the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// When what it tells of happened.
    pub at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<Millis>,
    #[serde(skip)]
    pub row: i64,
}

type Row = (i64, String, String, i32, Option<i64>, Option<String>, i64, i64, Option<i64>, Option<i64>);

impl From<Row> for Delivery {
    fn from(row: Row) -> Self {
        let (row, key, kind, attempts, last_status, error, at, next_attempt_at, done_at, dead_at) = row;
        let status = match (done_at, dead_at) {
            (Some(_), _) => "delivered",
            (None, Some(_)) => "failed",
            (None, None) => "pending",
        };
        Self {
            id: message_id(&key),
            kind,
            status,
            attempts,
            last_status,
            error,
            at: to_u64(at),
            next_attempt_at: (status == "pending").then(|| to_u64(next_attempt_at)),
            row,
        }
    }
}

/// The `webhook-id` of a row: the same for every attempt, and for every endpoint that is told the same.
pub(super) fn message_id(idempotency_key: &str) -> String {
    let told = idempotency_key.splitn(3, ':').last().unwrap_or_default();
    format!("msg_{}", told.replace(':', "_"))
}

/// What is to be sent again, by when it happened.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    pub since_at: Millis,
    pub until_at: Option<Millis>,
    /// What was delivered, too.
    pub all: bool,
}

#[derive(Clone, Copy, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Replayed {
    /// Messages that are sent again.
    pub count: usize,
    /// Where there are more than are sent at once: ask again, with this as `since_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_since_at: Option<Millis>,
}

impl Webhooks {
    /// The messages to an endpoint, the latest first.
    pub async fn deliveries(
        &self,
        tenant: &TenantId,
        endpoint: &str,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Page<Delivery>, StoreError> {
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT id, idempotency_key, COALESCE(kind, ''), attempts, status, error, created_at, next_attempt_at, \
                 done_at, dead_at FROM outbox WHERE tenant = $1 AND endpoint = $2 AND id < $3 ORDER BY id DESC LIMIT $4",
            )
            .bind(&tenant.0)
            .bind(endpoint)
            .bind(before.unwrap_or(i64::MAX))
            .bind(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let items = rows.into_iter().map(Delivery::from).collect();
        Ok(Page::cut(items, limit, |delivery: &Delivery| delivery.row.to_string()))
    }

    /// Sends again what failed, or everything, as the same messages. Only what is kept is found, and
    /// what waits to be sent is left alone.
    pub async fn replay(&self, tenant: &TenantId, endpoint: &str, window: Window) -> Result<Replayed, StoreError> {
        let clock = self.db.clock();
        let over = if window.all { "(dead_at IS NOT NULL OR done_at IS NOT NULL)" } else { "dead_at IS NOT NULL" };
        let most = i64::try_from(REPLAY_MAX).unwrap_or(i64::MAX);
        let found = format!(
            "SELECT id, created_at FROM outbox WHERE tenant = $1 AND endpoint = $2 AND {over} \
             AND created_at >= $3 AND created_at < $4 ORDER BY created_at, id LIMIT $5"
        );
        let again = format!(
            "UPDATE outbox SET done_at = NULL, dead_at = NULL, error = NULL, attempts = 0, leased_until = NULL, \
             next_attempt_at = {clock} WHERE tenant = $1 AND endpoint = $2 AND {over} AND created_at >= $3 \
             AND (created_at < $4 OR (created_at = $4 AND id <= $5))"
        );
        let until = to_i64(window.until_at.unwrap_or(u64::MAX));
        let replayed = on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let mut rows: Vec<(i64, i64)> = query_as(AssertSqlSafe(found))
                .bind(&tenant.0)
                .bind(endpoint)
                .bind(to_i64(window.since_at))
                .bind(until)
                .bind(most.saturating_add(1))
                .fetch_all(&mut *transaction)
                .await
                .map_err(unavailable)?;
            let more = if rows.len() > REPLAY_MAX { rows.pop() } else { None };
            let mut replayed = Replayed { count: 0, next_since_at: more.map(|(_, at)| to_u64(at)) };
            if let Some((last, at)) = rows.last() {
                let done = query(AssertSqlSafe(again))
                    .bind(&tenant.0)
                    .bind(endpoint)
                    .bind(to_i64(window.since_at))
                    .bind(at)
                    .bind(last)
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                replayed.count = usize::try_from(done.rows_affected()).unwrap_or(usize::MAX);
            }
            transaction.commit().await.map_err(unavailable)?;
            replayed
        });
        self.wake();
        Ok(replayed)
    }

    /// Sends one message to this endpoint alone, whatever types it asked for. Answers its id.
    pub async fn test(&self, tenant: &TenantId, endpoint: &str, id: Uuid) -> Result<String, StoreError> {
        let clock = self.db.clock();
        let key = format!("webhook:{endpoint}:test:{id}");
        let sql = format!(
            "INSERT INTO outbox (tenant, meeting, topic, idempotency_key, payload, created_at, next_attempt_at, \
             endpoint, kind) VALUES ($1, $2, '{TOPIC}', $3, $4, {clock}, {clock}, $5, '{TEST}') ON CONFLICT DO NOTHING"
        );
        on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&tenant.0)
                .bind(Uuid::nil())
                .bind(&key)
                .bind(json!({ "endpoint": endpoint }).to_string())
                .bind(endpoint)
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        self.wake();
        Ok(message_id(&key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_one_id_wherever_it_goes() {
        assert_eq!(message_id("webhook:one:meeting:7"), "msg_meeting_7");
        assert_eq!(message_id("webhook:other:meeting:7"), message_id("webhook:one:meeting:7"));
        assert_eq!(message_id("webhook:one:transcript"), "msg_transcript");
    }
}
