//! A tenant's endpoints: where it is told of what. What an endpoint's deliveries come to stands here
//! too: since when they have failed, and why nothing is sent any more.

use super::handler::Webhooks;
use super::{ENDPOINTS_MAX, FAILING_MAX, ROTATION, millis};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::ports::StoreError;
use convoke_domain::{Millis, TenantId};
use serde::Serialize;
use sqlx::{AssertSqlSafe, query, query_as};
use uuid::Uuid;

/// Why an endpoint is disabled.
pub mod disabled {
    pub const ON_REQUEST: &str = "on request";
    pub const GONE: &str = "the endpoint answered 410 Gone";
    pub const FAILING: &str = "nothing was delivered for five days";
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Endpoint {
    pub id: String,
    pub url: String,
    /// The types of message that are sent; none: all.
    pub types: Vec<String>,
    pub description: String,
    pub disabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disabled_reason: Option<String>,
    /// Since when every attempt has failed; absent where the last one did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failing_since: Option<Millis>,
    pub created_at: Millis,
    pub updated_at: Millis,
}

type Row = (String, String, String, String, Option<i64>, Option<String>, Option<i64>, i64, i64);

const COLUMNS: &str =
    "id, url, types, description, disabled_at, disabled_reason, failing_since, created_at, updated_at";

impl From<Row> for Endpoint {
    fn from(row: Row) -> Self {
        let (id, url, types, description, disabled_at, disabled_reason, failing_since, created_at, updated_at) = row;
        Self {
            id,
            url,
            types: types.split_whitespace().map(str::to_owned).collect(),
            description,
            disabled: disabled_at.is_some(),
            disabled_at: disabled_at.map(to_u64),
            disabled_reason,
            failing_since: failing_since.map(to_u64),
            created_at: to_u64(created_at),
            updated_at: to_u64(updated_at),
        }
    }
}

/// What signs an endpoint's messages now.
#[derive(Clone, Debug)]
pub struct Signing {
    pub endpoint: String,
    pub key: String,
    pub former: Option<String>,
}

/// An endpoint to be made.
pub struct New {
    pub id: Uuid,
    pub url: String,
    pub types: Vec<String>,
    pub description: String,
}

pub enum Made {
    Endpoint(Box<Endpoint>),
    /// The tenant has as many as it may.
    TooMany,
}

/// What is to be different; what is absent stays.
#[derive(Default)]
pub struct Change {
    pub url: Option<String>,
    pub types: Option<Vec<String>>,
    pub description: Option<String>,
    pub disabled: Option<bool>,
}

/// A list of types as it is kept, to be searched by SQL.
fn kept(types: &[String]) -> String {
    if types.is_empty() { String::new() } else { format!(" {} ", types.join(" ")) }
}

impl Webhooks {
    /// Makes an endpoint, or finds that this one was made already.
    pub async fn make(&self, tenant: &TenantId, new: &New) -> Result<Made, StoreError> {
        let clock = self.db.clock();
        let insert = AssertSqlSafe(format!(
            "INSERT INTO webhook_endpoints (id, tenant, url, types, description, signing_key, created_at, updated_at) \
             SELECT $2, $1, $3, $4, $5, $2, {clock}, {clock} \
             WHERE (SELECT COUNT(*) FROM webhook_endpoints WHERE tenant = $1) < {ENDPOINTS_MAX} ON CONFLICT DO NOTHING"
        ));
        match &self.db {
            Db::Sqlite { write, .. } => {
                let insert = query(insert).bind(&tenant.0).bind(new.id.to_string()).bind(&new.url);
                insert
                    .bind(kept(&new.types))
                    .bind(&new.description)
                    .execute(&*write.turn())
                    .await
                    .map_err(unavailable)?;
            }
            Db::Postgres(pool) => {
                let mut transaction = pool.begin().await.map_err(unavailable)?;
                // One at a time for each tenant, or two at once would both see room for one more.
                query("SELECT pg_advisory_xact_lock(hashtextextended('webhook_endpoints ' || $1, 0))")
                    .bind(&tenant.0)
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                let insert = query(insert).bind(&tenant.0).bind(new.id.to_string()).bind(&new.url);
                let insert = insert.bind(kept(&new.types)).bind(&new.description);
                insert.execute(&mut *transaction).await.map_err(unavailable)?;
                transaction.commit().await.map_err(unavailable)?;
            }
        }
        let made = self.endpoint(tenant, &new.id.to_string()).await?;
        Ok(made.map_or(Made::TooMany, |endpoint| Made::Endpoint(Box::new(endpoint))))
    }

    pub async fn endpoint(&self, tenant: &TenantId, id: &str) -> Result<Option<Endpoint>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_endpoints WHERE tenant = $1 AND id = $2");
        let row: Option<Row> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql)).bind(&tenant.0).bind(id).fetch_optional(pool).await.map_err(unavailable)?
        });
        Ok(row.map(Endpoint::from))
    }

    /// All of a tenant's, the oldest first.
    pub async fn endpoints(&self, tenant: &TenantId) -> Result<Vec<Endpoint>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_endpoints WHERE tenant = $1 ORDER BY created_at, id");
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql)).bind(&tenant.0).fetch_all(pool).await.map_err(unavailable)?
        });
        Ok(rows.into_iter().map(Endpoint::from).collect())
    }

    pub async fn change(&self, tenant: &TenantId, id: &str, change: &Change) -> Result<Option<Endpoint>, StoreError> {
        let clock = self.db.clock();
        // Whoever enables it says that it works again; whoever disables it twice has disabled it once.
        let sql = format!(
            "UPDATE webhook_endpoints SET url = COALESCE($3, url), types = COALESCE($4, types), \
             description = COALESCE($5, description), \
             disabled_at = CASE WHEN $6 = 0 THEN NULL WHEN $6 = 1 THEN COALESCE(disabled_at, {clock}) ELSE disabled_at END, \
             disabled_reason = CASE WHEN $6 = 0 THEN NULL WHEN $6 = 1 THEN COALESCE(disabled_reason, $7) \
             ELSE disabled_reason END, \
             failing_since = CASE WHEN $6 = 0 OR $3 <> url THEN NULL ELSE failing_since END, updated_at = {clock} \
             WHERE tenant = $1 AND id = $2"
        );
        on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&tenant.0)
                .bind(id)
                .bind(change.url.as_deref())
                .bind(change.types.as_deref().map(kept))
                .bind(change.description.as_deref())
                .bind(change.disabled.map(i64::from))
                .bind(disabled::ON_REQUEST)
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        self.endpoint(tenant, id).await
    }

    /// Removes it, and what was to be sent to it. False: there is none.
    pub async fn remove(&self, tenant: &TenantId, id: &str) -> Result<bool, StoreError> {
        let removed = on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let endpoint = query("DELETE FROM webhook_endpoints WHERE tenant = $1 AND id = $2").bind(&tenant.0).bind(id);
            let removed = endpoint.execute(&mut *transaction).await.map_err(unavailable)?.rows_affected();
            let rows = query("DELETE FROM outbox WHERE tenant = $1 AND endpoint = $2").bind(&tenant.0).bind(id);
            rows.execute(&mut *transaction).await.map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            removed
        });
        Ok(removed == 1)
    }

    /// Gives it another secret, made from this key; the one before signs too for a day. Done again
    /// with the same key it is done once.
    pub async fn rotate(&self, tenant: &TenantId, id: &str, key: Uuid) -> Result<Option<String>, StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "UPDATE webhook_endpoints SET former_key = signing_key, former_until = {clock} + {}, signing_key = $3, \
             updated_at = {clock} WHERE tenant = $1 AND id = $2 AND signing_key <> $3",
            millis(ROTATION)
        );
        on_pool!(&self.db, pool => {
            let rotate = query(AssertSqlSafe(sql)).bind(&tenant.0).bind(id).bind(key.to_string());
            rotate.execute(pool).await.map_err(unavailable)?;
        });
        Ok(self.endpoint(tenant, id).await?.and_then(|_| self.secrets.secret(tenant, id, &key.to_string())))
    }

    /// What signs its messages at this moment.
    pub(super) async fn signing(&self, tenant: &TenantId, id: &str) -> Result<Option<Signing>, StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "SELECT id, signing_key, CASE WHEN former_until > {clock} THEN former_key END FROM webhook_endpoints \
             WHERE tenant = $1 AND id = $2"
        );
        let row: Option<(String, String, Option<String>)> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql)).bind(&tenant.0).bind(id).fetch_optional(pool).await.map_err(unavailable)?
        });
        Ok(row.map(|(endpoint, key, former)| Signing { endpoint, key, former }))
    }

    /// Something was delivered: whatever failed before is forgiven.
    pub(super) async fn works(&self, tenant: &TenantId, endpoint: &Endpoint) -> Result<(), StoreError> {
        // Another attempt may have failed since it was read; then the next success forgives that.
        if endpoint.failing_since.is_none() {
            return Ok(());
        }
        on_pool!(&self.db, pool => {
            query("UPDATE webhook_endpoints SET failing_since = NULL WHERE tenant = $1 AND id = $2")
                .bind(&tenant.0)
                .bind(&endpoint.id)
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        Ok(())
    }

    /// Something was not delivered. True: it has failed for so long that it is disabled now.
    pub(super) async fn fails(&self, tenant: &TenantId, endpoint: &Endpoint) -> Result<bool, StoreError> {
        let clock = self.db.clock();
        if endpoint.failing_since.is_none() {
            let sql = format!(
                "UPDATE webhook_endpoints SET failing_since = {clock} \
                 WHERE tenant = $1 AND id = $2 AND failing_since IS NULL"
            );
            on_pool!(&self.db, pool => {
                let begun = query(AssertSqlSafe(sql)).bind(&tenant.0).bind(&endpoint.id);
                begun.execute(pool).await.map_err(unavailable)?;
            });
            return Ok(false);
        }
        let too_long = format!("failing_since < {clock} - {}", millis(FAILING_MAX));
        self.disable(tenant, endpoint, disabled::FAILING, &too_long).await
    }

    /// The endpoint said that it is gone. True: it is disabled now.
    pub(super) async fn gone(&self, tenant: &TenantId, endpoint: &Endpoint) -> Result<bool, StoreError> {
        self.disable(tenant, endpoint, disabled::GONE, "url = url").await
    }

    /// Disables it where it still is as it was seen; another URL is another endpoint.
    async fn disable(&self, tenant: &TenantId, endpoint: &Endpoint, why: &str, also: &str) -> Result<bool, StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "UPDATE webhook_endpoints SET disabled_at = {clock}, disabled_reason = $4 \
             WHERE tenant = $1 AND id = $2 AND url = $3 AND disabled_at IS NULL AND {also}"
        );
        let disabled = on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&tenant.0)
                .bind(&endpoint.id)
                .bind(&endpoint.url)
                .bind(why)
                .execute(pool)
                .await
                .map_err(unavailable)?
                .rows_affected()
        });
        Ok(disabled == 1)
    }
}
