//! The lines of the audit: who did what to recordings and policies. People stand in them by the ids that
//! they have in a meeting, so that erasing somebody leaves nothing to be taken out.

use super::Ledger;
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::ports::StoreError;
use convoke_domain::{Millis, TenantId};
use serde::Serialize;
use sqlx::query_as;
use std::fmt::Display;
use uuid::Uuid;

/// A line to be added.
#[derive(Clone, Debug)]
pub struct NewLine {
    pub who: String,
    pub action: &'static str,
    pub subject: String,
    pub detail: String,
}

impl NewLine {
    pub fn new(who: impl Into<String>, action: &'static str, subject: impl Display, detail: impl Into<String>) -> Self {
        Self { who: who.into(), action, subject: subject.to_string(), detail: detail.into() }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct AuditLine {
    pub id: Uuid,
    pub at: Millis,
    /// `api`, `participant:` and an id, `policy:` and an id, or `erasure`.
    pub who: String,
    pub action: String,
    /// The id of the recording or the policy.
    pub subject: String,
    pub detail: String,
}

/// Adds a line within a transaction.
macro_rules! insert {
    ($transaction:expr, $db:expr, $tenant:expr, $line:expr) => {{
        let line: &$crate::objects::NewLine = $line;
        let sql = format!(
            "INSERT INTO audit (tenant, id, at, who, action, subject, detail) VALUES ($1, $2, {}, $3, $4, $5, $6)",
            $db.clock()
        );
        sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(&$tenant.0)
            .bind(uuid::Uuid::now_v7())
            .bind(&line.who)
            .bind(line.action)
            .bind(&line.subject)
            .bind(&line.detail)
            .execute(&mut *$transaction)
            .await
            .map_err($crate::adapters::store::unavailable)?;
    }};
}
pub(super) use insert;

type Row = (Uuid, i64, String, String, String, String);

impl Ledger {
    /// The tenant's lines, newest first.
    pub async fn audit(
        &self,
        tenant: &TenantId,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditLine>, StoreError> {
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT id, at, who, action, subject, detail FROM audit WHERE tenant = $1 \
                 AND ($2 IS NULL OR id < $2) ORDER BY id DESC LIMIT $3",
            )
            .bind(&tenant.0)
            .bind(before)
            .bind(i64::try_from(limit).unwrap_or(i64::MAX))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let line = |(id, at, who, action, subject, detail): Row| AuditLine {
            id,
            at: to_u64(at),
            who,
            action,
            subject,
            detail,
        };
        Ok(rows.into_iter().map(line).collect())
    }
}
