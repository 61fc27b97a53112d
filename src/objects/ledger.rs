//! What storage knows by itself, in either database: names that were given later, holds, what was deleted
//! and why, where files were moved to, policies, and the lines of the audit. None of it can be rebuilt from
//! the log. A recording is *claimed* before its objects are deleted, and that claim and a hold exclude each
//! other in one statement; it is marked deleted afterwards, with the line that says so.

mod audit;
mod files;
mod policies;

pub use audit::{AuditLine, NewLine};
pub use files::FileOf;

use super::policy::{Policy, Subject};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::recording::Recording;
use convoke_domain::shapes::RoomKind;
use convoke_domain::{MeetingId, Millis, RecordingId, RoomId, TenantId};
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use uuid::Uuid;

/// Whether a policy holds the recording that these columns or parameters name, as SQL.
fn held_by_policy(tenant: &str, recording: &str) -> String {
    format!(
        "EXISTS (SELECT 1 FROM storage_policies p JOIN recording_jobs h ON h.tenant = p.tenant \
         WHERE p.tenant = {tenant} AND h.id = {recording} AND p.enabled = 1 AND p.legal_hold = 1 \
         AND (p.meeting IS NULL OR p.meeting = h.meeting) AND (p.kind IS NULL OR p.kind = h.kind) \
         AND (p.room IS NULL OR p.room = CASE WHEN h.room = 'main' THEN 'main' ELSE 'breakout' END))"
    )
}

/// Locks the row of a recording within a transaction, and makes it where there is none: what holds, deletes,
/// erases or moves comes one after the other. False: it is being deleted, or the condition is not true of it.
macro_rules! lock {
    ($transaction:expr, $of:expr, $condition:literal) => {{
        let of: &$crate::objects::Named = $of;
        let locked = sqlx::query(concat!(
            "INSERT INTO recording_objects (tenant, recording, meeting) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, recording) DO UPDATE SET meeting = excluded.meeting \
             WHERE recording_objects.deleting_at IS NULL",
            $condition
        ))
        .bind(&of.key.tenant.0)
        .bind(of.recording.0)
        .bind(of.key.meeting.0)
        .execute(&mut *$transaction)
        .await
        .map_err($crate::adapters::store::unavailable)?;
        locked.rows_affected() == 1
    }};
}
use lock;

#[derive(Clone)]
pub struct Ledger {
    pub(super) db: Db,
}

/// A recording, named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub key: MeetingKey,
    pub recording: RecordingId,
}

impl Named {
    pub fn new(key: MeetingKey, recording: RecordingId) -> Self {
        Self { key, recording }
    }

    fn of_row((tenant, meeting, recording): (String, Uuid, Uuid)) -> Self {
        let key = MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
        Self { key, recording: RecordingId(recording) }
    }
}

impl Ledger {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    /// The database's clock.
    pub async fn now(&self) -> Result<Millis, StoreError> {
        let sql = format!("SELECT {}", self.db.clock());
        let now: i64 = on_pool!(&self.db, pool => {
            query_scalar(AssertSqlSafe(sql)).fetch_one(pool).await.map_err(unavailable)?
        });
        Ok(to_u64(now))
    }

    pub async fn rename(&self, of: &Named, name: &str) -> Result<(), StoreError> {
        on_pool!(&self.db, pool => {
            query(
                "INSERT INTO recording_objects (tenant, recording, meeting, name) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (tenant, recording) DO UPDATE SET name = excluded.name",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .bind(of.key.meeting.0)
            .bind(name)
            .execute(pool)
            .await
            .map_err(unavailable)?;
        });
        Ok(())
    }

    /// Puts a recording under a hold, or ends that; says so where it was not so before. False: it is being
    /// deleted, or a file of it is, and no hold can be on it.
    pub async fn hold(&self, of: &Named, held: bool, line: &NewLine) -> Result<bool, StoreError> {
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            if !lock!(transaction, of, "") {
                return Ok(false);
            }
            let erasing: Option<(i64,)> = query_as(
                "SELECT CAST(1 AS BIGINT) FROM recording_files WHERE tenant = $1 AND recording = $2 \
                 AND erasing_at IS NOT NULL AND deleted_at IS NULL LIMIT 1",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(unavailable)?;
            if held && erasing.is_some() {
                return Ok(false);
            }
            let changed = query(
                "UPDATE recording_objects SET legal_hold = $3 WHERE tenant = $1 AND recording = $2 AND legal_hold <> $3",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .bind(i64::from(held))
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
            if changed.rows_affected() == 1 {
                audit::insert!(transaction, self.db, &of.key.tenant, line);
            }
            transaction.commit().await.map_err(unavailable)?;
            true
        }))
    }

    /// From here on its objects are deleted, by whoever gets to it, until they are gone. False: there is no
    /// such recording that is over, or it is under a hold of its own or of a policy, or it is gone already.
    pub async fn claim(&self, of: &Named, by: &str) -> Result<bool, StoreError> {
        self.claim_by(of, by, None).await
    }

    /// The same, if the policy that wants it is as it was when it was read.
    pub async fn claim_by(&self, of: &Named, by: &str, policy: Option<&Policy>) -> Result<bool, StoreError> {
        let clock = self.db.clock();
        let held = held_by_policy("$1", "$2");
        let sql = format!(
            "INSERT INTO recording_objects (tenant, recording, meeting, deleting_at, deleted_by) \
             SELECT tenant, id, meeting, {clock}, $4 FROM recording_jobs \
             WHERE tenant = $1 AND id = $2 AND meeting = $3 AND status IN ('completed', 'failed') \
             AND NOT {held} AND ($5 IS NULL OR EXISTS (SELECT 1 FROM storage_policies q \
             WHERE q.tenant = $1 AND q.id = $5 AND q.enabled = 1 AND q.updated_at = $6)) \
             ON CONFLICT (tenant, recording) DO UPDATE SET \
             deleted_by = CASE WHEN recording_objects.deleting_at IS NULL THEN excluded.deleted_by \
             ELSE recording_objects.deleted_by END, \
             deleting_at = COALESCE(recording_objects.deleting_at, excluded.deleting_at) \
             WHERE recording_objects.legal_hold = 0 AND recording_objects.deleted_at IS NULL"
        );
        let claimed = on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&of.key.tenant.0)
                .bind(of.recording.0)
                .bind(of.key.meeting.0)
                .bind(by)
                .bind(policy.map(|policy| policy.id))
                .bind(policy.map(|policy| to_i64(policy.updated_at)))
                .execute(pool)
                .await
                .map_err(unavailable)?
                .rows_affected()
        });
        Ok(claimed == 1)
    }

    /// What was claimed and is not gone yet, the earliest first.
    pub async fn unfinished(&self, limit: u32) -> Result<Vec<Named>, StoreError> {
        let rows: Vec<(String, Uuid, Uuid)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT tenant, meeting, recording FROM recording_objects \
                 WHERE deleting_at IS NOT NULL AND deleted_at IS NULL ORDER BY deleting_at LIMIT $1",
            )
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(Named::of_row).collect())
    }

    /// Its objects are gone: says so, once. What was transcribed of it goes along.
    pub async fn gone(&self, of: &Named, detail: &str) -> Result<bool, StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "UPDATE recording_objects SET deleted_at = {clock}, thumbnail = NULL, look_at = NULL \
             WHERE tenant = $1 AND recording = $2 AND deleting_at IS NOT NULL AND deleted_at IS NULL \
             RETURNING deleted_by"
        );
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let by: Option<(Option<String>,)> = query_as(AssertSqlSafe(sql))
                .bind(&of.key.tenant.0)
                .bind(of.recording.0)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?;
            let Some((by,)) = by else { return Ok(false) };
            // The rows of what is to be done first: whoever writes segments at this moment holds one of them.
            for sql in [
                "DELETE FROM transcription_jobs WHERE tenant = $1 AND recording = $2",
                "DELETE FROM transcription_segments WHERE tenant = $1 AND recording = $2",
            ] {
                query(sql)
                    .bind(&of.key.tenant.0)
                    .bind(of.recording.0)
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
            }
            let line = NewLine::new(by.unwrap_or_default(), "recording.deleted", of.recording, detail);
            audit::insert!(transaction, self.db, &of.key.tenant, &line);
            transaction.commit().await.map_err(unavailable)?;
            true
        }))
    }

    /// All its files are in this tier.
    pub async fn tiered(&self, of: &Named, tier: &str, line: &NewLine) -> Result<(), StoreError> {
        on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            query(
                "INSERT INTO recording_objects (tenant, recording, meeting, tier) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (tenant, recording) DO UPDATE SET tier = excluded.tier \
                 WHERE recording_objects.deleting_at IS NULL",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .bind(of.key.meeting.0)
            .bind(tier)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
            audit::insert!(transaction, self.db, &of.key.tenant, line);
            transaction.commit().await.map_err(unavailable)?;
        });
        Ok(())
    }

    /// A tenant's recordings that are over, ended by then, and are neither held nor deleted, in the order of
    /// their ids. None: what is written of one cannot be read.
    pub async fn over(
        &self,
        tenant: &TenantId,
        by: Millis,
        after: Uuid,
        limit: u32,
    ) -> Result<Vec<(Named, Option<Subject>)>, StoreError> {
        type Row = (Uuid, Uuid, String, i64, Option<String>);
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT j.id, j.meeting, j.data, COALESCE(j.ended_at, j.asked_at), o.tier FROM recording_jobs j \
                 LEFT JOIN recording_objects o ON o.tenant = j.tenant AND o.recording = j.id \
                 WHERE j.tenant = $1 AND j.status IN ('completed', 'failed') \
                 AND COALESCE(j.ended_at, j.asked_at) <= $2 AND COALESCE(o.legal_hold, 0) = 0 \
                 AND o.deleting_at IS NULL AND j.id > $3 ORDER BY j.id LIMIT $4",
            )
            .bind(&tenant.0)
            .bind(to_i64(by))
            .bind(after)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let read = |(id, meeting, data, since, tier): Row| {
            let recording: Option<Recording> = serde_json::from_str(&data).ok();
            let key = MeetingKey { tenant: tenant.clone(), meeting: MeetingId(meeting) };
            let subject = recording.map(|recording| subject(&recording, key.meeting, to_u64(since), false, tier));
            (Named::new(key, RecordingId(id)), subject)
        };
        Ok(rows.into_iter().map(read).collect())
    }
}

/// A recording as policies see it.
pub fn subject(
    recording: &Recording,
    meeting: MeetingId,
    since: Millis,
    legal_hold: bool,
    tier: Option<String>,
) -> Subject {
    let room = if recording.room == RoomId::Main { RoomKind::Main } else { RoomKind::Breakout };
    Subject { meeting, kind: recording.kind, room, status: recording.status, since, legal_hold, tier }
}
