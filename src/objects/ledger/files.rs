//! What storage knows of single files: where they were moved to, whose erasure takes them away, and which
//! paths anybody knows at all.

use super::audit::{self, NewLine};
use super::{Ledger, Named};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{ParticipantId, TenantId};
use sqlx::{AssertSqlSafe, QueryBuilder, query, query_as};
use std::collections::HashSet;
use uuid::Uuid;

/// One file of a recording, and every place where it may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileOf {
    pub named: Named,
    pub take: String,
    /// As the recorder has it.
    pub told: String,
    pub location: Option<String>,
    pub moving: Option<String>,
}

type Row = (String, Uuid, Uuid, String, String, Option<String>, Option<String>);

fn file(row: Row) -> FileOf {
    let (tenant, meeting, recording, take, told, location, moving) = row;
    FileOf { named: Named::of_row((tenant, meeting, recording)), take, told, location, moving }
}

/// The columns of a file.
macro_rules! files {
    ($rest:literal) => {
        concat!(
            "SELECT t.tenant, t.meeting, t.recording, t.take, t.file, f.location, f.moving FROM recording_tracks t \
             LEFT JOIN recording_files f ON f.tenant = t.tenant AND f.recording = t.recording AND f.take = t.take ",
            $rest
        )
    };
}

impl Ledger {
    /// The files of a recording that are not deleted by themselves.
    pub async fn files(&self, of: &Named) -> Result<Vec<FileOf>, StoreError> {
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(files!("WHERE t.tenant = $1 AND t.recording = $2 AND f.deleted_at IS NULL ORDER BY t.take"))
                .bind(&of.key.tenant.0)
                .bind(of.recording.0)
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(file).collect())
    }

    /// Where the picture of a recording is.
    pub async fn thumbnail(&self, of: &Named) -> Result<Option<String>, StoreError> {
        let row: Option<(Option<String>,)> = on_pool!(&self.db, pool => {
            query_as("SELECT thumbnail FROM recording_objects WHERE tenant = $1 AND recording = $2")
                .bind(&of.key.tenant.0)
                .bind(of.recording.0)
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(row.and_then(|(thumbnail,)| thumbnail))
    }

    /// A copy of this file is being made: so it is known, whatever becomes of it.
    pub async fn moving(&self, file: &FileOf, to: &str) -> Result<(), StoreError> {
        self.place(file, "moving = excluded.moving", None, Some(to)).await
    }

    /// The copy is the file from here on.
    pub async fn moved(&self, file: &FileOf, to: &str) -> Result<(), StoreError> {
        self.place(file, "location = excluded.location, moving = NULL", Some(to), None).await
    }

    async fn place(
        &self,
        file: &FileOf,
        set: &str,
        location: Option<&str>,
        moving: Option<&str>,
    ) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO recording_files (tenant, recording, take, location, moving) VALUES ($1, $2, $3, $4, $5) \
             ON CONFLICT (tenant, recording, take) DO UPDATE SET {set}"
        );
        on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&file.named.key.tenant.0)
                .bind(file.named.recording.0)
                .bind(&file.take)
                .bind(location)
                .bind(moving)
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        Ok(())
    }

    /// The tracks of somebody's own are to be deleted, now or when that can be; what was transcribed of them goes
    /// at once, also where a hold keeps the file. Answers how many tracks there are.
    pub async fn want_erased(&self, key: &MeetingKey, who: ParticipantId) -> Result<u64, StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "INSERT INTO recording_files (tenant, recording, take, erase_at) \
             SELECT tenant, recording, take, {clock} FROM recording_tracks \
             WHERE tenant = $1 AND meeting = $2 AND participant = $3 \
             ON CONFLICT (tenant, recording, take) DO UPDATE SET \
             erase_at = COALESCE(recording_files.erase_at, excluded.erase_at)"
        );
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let tracks = query(AssertSqlSafe(sql))
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(who.0)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?
                .rows_affected();
            // The rows of what is to be done first: whoever writes segments at this moment holds one of them.
            for sql in [
                "DELETE FROM transcription_jobs WHERE tenant = $1 AND meeting = $2 AND participant = $3",
                "DELETE FROM transcription_segments WHERE tenant = $1 AND meeting = $2 AND participant = $3",
            ] {
                query(sql)
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(who.0)
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
            }
            transaction.commit().await.map_err(unavailable)?;
            tracks
        }))
    }

    /// Files that an erasure takes away and that may be: their takes are over, and nothing holds them.
    pub async fn to_erase(&self, limit: u32) -> Result<Vec<FileOf>, StoreError> {
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(files!(
                "LEFT JOIN recording_objects o ON o.tenant = t.tenant AND o.recording = t.recording \
                 WHERE f.erase_at IS NOT NULL AND f.deleted_at IS NULL AND t.state IN ('complete', 'failed') \
                 AND COALESCE(o.legal_hold, 0) = 0 AND o.deleting_at IS NULL \
                 AND NOT EXISTS (SELECT 1 FROM storage_policies p JOIN recording_jobs j \
                 ON j.tenant = t.tenant AND j.id = t.recording WHERE p.tenant = t.tenant AND p.enabled = 1 \
                 AND p.legal_hold = 1 AND (p.meeting IS NULL OR p.meeting = t.meeting) \
                 AND (p.kind IS NULL OR p.kind = j.kind) \
                 AND (p.room IS NULL OR p.room = CASE WHEN j.room = 'main' THEN 'main' ELSE 'breakout' END)) \
                 ORDER BY f.erase_at, t.take LIMIT $1"
            ))
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(file).collect())
    }

    /// A file is gone: says so, once.
    pub async fn erased(&self, file: &FileOf, line: &NewLine) -> Result<bool, StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "UPDATE recording_files SET deleted_at = {clock} \
             WHERE tenant = $1 AND recording = $2 AND take = $3 AND deleted_at IS NULL"
        );
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let marked = query(AssertSqlSafe(sql))
                .bind(&file.named.key.tenant.0)
                .bind(file.named.recording.0)
                .bind(&file.take)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            if marked.rows_affected() == 0 {
                return Ok(false);
            }
            audit::insert!(transaction, self.db, &file.named.key.tenant, line);
            transaction.commit().await.map_err(unavailable)?;
            true
        }))
    }

    /// Those of these paths that some row knows, of whatever tenant. What was deleted is known no more: an
    /// object of it is one that nobody has.
    pub async fn known(&self, paths: &[String]) -> Result<HashSet<String>, StoreError> {
        let mut known = HashSet::new();
        for (column, table, take) in [
            ("file", "recording_tracks", "k.take"),
            ("location", "recording_files", "k.take"),
            ("moving", "recording_files", "k.take"),
            ("thumbnail", "recording_objects", "''"),
        ] {
            if paths.is_empty() {
                break;
            }
            macro_rules! found {
                ($pool:expr) => {{
                    let mut sql = QueryBuilder::new(format!(
                        "SELECT {column} FROM {table} k WHERE NOT EXISTS (SELECT 1 FROM recording_objects o \
                         WHERE o.tenant = k.tenant AND o.recording = k.recording AND o.deleted_at IS NOT NULL) \
                         AND NOT EXISTS (SELECT 1 FROM recording_files f WHERE f.tenant = k.tenant \
                         AND f.recording = k.recording AND f.take = {take} AND f.deleted_at IS NOT NULL) \
                         AND {column} IN ("
                    ));
                    let mut places = sql.separated(", ");
                    // A tenant whose name leaves no folder has paths that begin with a slash.
                    for path in paths {
                        places.push_bind(path.as_str());
                        places.push_bind(format!("/{path}"));
                    }
                    sql.push(")");
                    sql.build_query_scalar::<String>().persistent(false).fetch_all($pool).await.map_err(unavailable)?
                }};
            }
            let rows = match &self.db {
                Db::Sqlite { read, .. } => found!(read),
                Db::Postgres(pool) => found!(pool),
            };
            known.extend(rows.into_iter().map(|path| path.trim_start_matches('/').to_owned()));
        }
        Ok(known)
    }

    /// A stretch of the files that are said to be there, of one tenant or of all, behind this one.
    pub async fn complete(
        &self,
        tenant: Option<&TenantId>,
        after: Option<&FileOf>,
        limit: u32,
    ) -> Result<Vec<FileOf>, StoreError> {
        let (from, recording, take) = after.map_or(("", Uuid::nil(), ""), |file| {
            (file.named.key.tenant.0.as_str(), file.named.recording.0, file.take.as_str())
        });
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(files!(
                "LEFT JOIN recording_objects o ON o.tenant = t.tenant AND o.recording = t.recording \
                 WHERE ($1 IS NULL OR t.tenant = $1) AND (t.tenant, t.recording, t.take) > ($2, $3, $4) \
                 AND t.state = 'complete' AND f.deleted_at IS NULL AND o.deleting_at IS NULL \
                 ORDER BY t.tenant, t.recording, t.take LIMIT $5"
            ))
            .bind(tenant.map(|tenant| tenant.0.as_str()))
            .bind(from)
            .bind(recording)
            .bind(take)
            .bind(i64::from(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(file).collect())
    }

    /// Whether a meeting is the tenant's.
    pub async fn is_meeting_of(&self, tenant: &TenantId, meeting: Uuid) -> Result<bool, StoreError> {
        let row: Option<(i64,)> = on_pool!(&self.db, pool => {
            query_as("SELECT CAST(1 AS BIGINT) FROM meetings_view WHERE tenant = $1 AND id = $2")
                .bind(&tenant.0)
                .bind(meeting)
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(row.is_some())
    }
}
