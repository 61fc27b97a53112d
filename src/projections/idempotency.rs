//! Answers of POSTs, kept a day a key: a repetition is answered as the first time.

use super::Projections;
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, unavailable};
use convoke_actors::ports::StoreError;
use convoke_domain::{Millis, TenantId};
use sqlx::{query, query_as};
use uuid::Uuid;

const KEPT_MS: Millis = 24 * 3_600 * 1_000;

pub enum Reserved {
    Do { resource: Uuid, is_new: bool },
    Answered { status: i32, response: String },
    OtherBody,
}

impl Projections {
    /// Reserves an idempotency key, or tells what stands behind it.
    pub async fn reserve(
        &self,
        tenant: &TenantId,
        route: &str,
        key: &str,
        digest: &str,
        resource: Uuid,
        now: Millis,
    ) -> Result<Reserved, StoreError> {
        let row: (String, Uuid, Option<i32>, Option<String>, bool) = on_pool!(&self.db, pool => {
            query("DELETE FROM idempotency_keys WHERE created_at < $1")
                .bind(to_i64(now.saturating_sub(KEPT_MS)))
                .execute(pool)
                .await
                .map_err(unavailable)?;
            let made = query(
                "INSERT INTO idempotency_keys (tenant, route, key, body_digest, resource, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(&tenant.0)
            .bind(route)
            .bind(key)
            .bind(digest)
            .bind(resource)
            .bind(to_i64(now))
            .execute(pool)
            .await
            .map_err(unavailable)?;
            let (digest, resource, status, response) = query_as::<_, (String, Uuid, Option<i32>, Option<String>)>(
                "SELECT body_digest, resource, status, response FROM idempotency_keys \
                 WHERE tenant = $1 AND route = $2 AND key = $3",
            )
            .bind(&tenant.0)
            .bind(route)
            .bind(key)
            .fetch_one(pool)
            .await
            .map_err(unavailable)?;
            (digest, resource, status, response, made.rows_affected() == 1)
        });
        let (known, resource, status, response, is_new) = row;
        Ok(match (status, response) {
            _ if known != digest => Reserved::OtherBody,
            (Some(status), Some(response)) => Reserved::Answered { status, response },
            // Reserved and never answered: the node died in between, or is still at it. The effect
            // bears the reserved id, so doing it again has one effect.
            _ => Reserved::Do { resource, is_new },
        })
    }

    pub async fn keep_answer(
        &self,
        tenant: &TenantId,
        route: &str,
        key: &str,
        status: u16,
        response: &str,
    ) -> Result<(), StoreError> {
        on_pool!(&self.db, pool => {
            query(
                "UPDATE idempotency_keys SET status = $4, response = $5 WHERE tenant = $1 AND route = $2 AND key = $3",
            )
            .bind(&tenant.0)
            .bind(route)
            .bind(key)
            .bind(i32::from(status))
            .bind(response)
            .execute(pool)
            .await
            .map_err(unavailable)?;
        });
        Ok(())
    }
}
