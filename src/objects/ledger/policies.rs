//! A tenant's policies. Each change of one is a line of the audit, in the same transaction.

use super::Ledger;
use super::audit::{self, NewLine};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use crate::objects::policy::{Policy, Scope};
use convoke_actors::ports::StoreError;
use convoke_domain::{MeetingId, TenantId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

type Row = (Uuid, String, i64, Option<String>, i64, Option<Uuid>, Option<String>, Option<String>, i64, i64, i64);

fn word<T: DeserializeOwned>(text: Option<String>) -> Result<Option<T>, StoreError> {
    let read = |text| serde_json::from_value(serde_json::Value::String(text));
    text.map(read).transpose().map_err(|error| StoreError::Corrupt(error.to_string()))
}

fn text<T: Serialize>(word: Option<T>) -> Option<String> {
    serde_json::to_value(word?).ok()?.as_str().map(ToOwned::to_owned)
}

fn policy(row: Row) -> Result<Policy, StoreError> {
    let (id, name, days, tier, hold, meeting, kind, room, enabled, created_at, updated_at) = row;
    Ok(Policy {
        id,
        name,
        days: to_u64(days),
        tier,
        legal_hold: hold != 0,
        scope: Scope { meeting: meeting.map(MeetingId), kind: word(kind)?, room: word(room)? },
        enabled: enabled != 0,
        created_at: to_u64(created_at),
        updated_at: to_u64(updated_at),
    })
}

impl Ledger {
    /// All of a tenant's policies, in the order in which they were made.
    pub async fn policies(&self, tenant: &TenantId) -> Result<Vec<Policy>, StoreError> {
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT id, name, days, tier, legal_hold, meeting, kind, room, enabled, created_at, updated_at \
                 FROM storage_policies WHERE tenant = $1 ORDER BY id",
            )
            .bind(&tenant.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        rows.into_iter().map(policy).collect()
    }

    /// Tenants that something is to be done for.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, StoreError> {
        let rows: Vec<String> = on_pool!(&self.db, pool => {
            query_scalar("SELECT DISTINCT tenant FROM storage_policies WHERE enabled = 1 ORDER BY tenant")
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(TenantId).collect())
    }

    /// Writes a policy, in place of the one with its id.
    pub async fn put_policy(&self, tenant: &TenantId, policy: &Policy, line: &NewLine) -> Result<(), StoreError> {
        let Policy { id, name, days, tier, legal_hold, scope, enabled, created_at, updated_at } = policy;
        on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            query(
                "INSERT INTO storage_policies (tenant, id, name, days, tier, legal_hold, meeting, kind, room, enabled, \
                 created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                 ON CONFLICT (tenant, id) DO UPDATE SET name = excluded.name, days = excluded.days, \
                 tier = excluded.tier, legal_hold = excluded.legal_hold, meeting = excluded.meeting, \
                 kind = excluded.kind, room = excluded.room, enabled = excluded.enabled, \
                 updated_at = excluded.updated_at",
            )
            .bind(&tenant.0)
            .bind(id)
            .bind(name)
            .bind(to_i64(*days))
            .bind(tier.as_deref())
            .bind(i64::from(*legal_hold))
            .bind(scope.meeting.map(|meeting| meeting.0))
            .bind(text(scope.kind))
            .bind(text(scope.room))
            .bind(i64::from(*enabled))
            .bind(to_i64(*created_at))
            .bind(to_i64(*updated_at))
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
            audit::insert!(transaction, self.db, tenant, line);
            transaction.commit().await.map_err(unavailable)?;
        });
        Ok(())
    }

    /// False: there is none of this id.
    pub async fn remove_policy(&self, tenant: &TenantId, id: Uuid, line: &NewLine) -> Result<bool, StoreError> {
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let removed = query("DELETE FROM storage_policies WHERE tenant = $1 AND id = $2")
                .bind(&tenant.0)
                .bind(id)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            if removed.rows_affected() == 0 {
                return Ok(false);
            }
            audit::insert!(transaction, self.db, tenant, line);
            transaction.commit().await.map_err(unavailable)?;
            true
        }))
    }
}
