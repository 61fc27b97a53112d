//! Secrets that the node makes for itself at its first start and keeps in its database: one API
//! key, where none is configured, and the key that resume tokens are signed with.

use super::{Db, unavailable};
use crate::auth::ApiKey;
use convoke_actors::ports::StoreError;
use convoke_domain::TenantId;
use rand::Rng;
use sqlx::{query, query_as, query_scalar};

macro_rules! on_pool {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            Db::Sqlite { write, .. } => {
                let turn = write.turn();
                let $pool = &*turn;
                $body
            }
            Db::Postgres($pool) => $body,
        }
    };
}
pub(crate) use on_pool;

/// 32 hexadecimal digits a word, from the operating system's generator.
fn random_hex(words: usize) -> String {
    let mut rng = rand::rng();
    (0..words).map(|_| format!("{:032x}", rng.random::<u128>())).collect()
}

impl Db {
    /// A named secret; made at the first call, the same ever after, on every node.
    pub async fn secret(&self, name: &str) -> Result<String, StoreError> {
        on_pool!(self, pool => {
            query("INSERT INTO server_secrets (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                .bind(name)
                .bind(random_hex(2))
                .execute(pool)
                .await
                .map_err(unavailable)?;
            query_scalar("SELECT value FROM server_secrets WHERE name = $1")
                .bind(name)
                .fetch_one(pool)
                .await
                .map_err(unavailable)
        })
    }

    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<(String, String, String)> = on_pool!(self, pool => {
            query_as("SELECT tenant, key, secret FROM api_keys ORDER BY created_at")
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        let key = |(tenant, key, secret): (String, String, String)| ApiKey {
            tenant: TenantId(tenant),
            key,
            secret: secret.into(),
        };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Makes the first API key, unless somebody else has.
    pub async fn make_api_key(&self, now: u64) -> Result<(), StoreError> {
        on_pool!(self, pool => {
            query(
                "INSERT INTO api_keys (key, tenant, secret, created_at) \
                 SELECT 'default', 'default', $1, $2 WHERE NOT EXISTS (SELECT 1 FROM api_keys)",
            )
            .bind(random_hex(1))
            .bind(super::to_i64(now))
            .execute(pool)
            .await
            .map_err(unavailable)?;
        });
        Ok(())
    }
}
