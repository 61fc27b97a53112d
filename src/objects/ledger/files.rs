//! What storage knows of single files: where they were moved to, whose erasure takes them away, and which
//! paths anybody knows at all.

use super::audit::{self, NewLine};
use super::{Ledger, Named, held_by_policy, lock};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, unavailable};
use crate::objects::policy::Policy;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{Millis, ParticipantId, TenantId};
use sqlx::{AssertSqlSafe, QueryBuilder, query, query_as, query_scalar};
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

/// What reads much does so beside what writes.
macro_rules! on_read {
    ($db:expr, $pool:ident => $body:expr) => {
        match $db {
            Db::Sqlite { read: $pool, .. } => $body,
            Db::Postgres($pool) => $body,
        }
    };
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

    /// The files of a recording that is over, by one look at the read models, and whether these are at the end
    /// of its meeting's log. None: they do not know it, because they are being built anew.
    pub async fn whole(&self, of: &Named) -> Result<Option<(Vec<FileOf>, bool)>, StoreError> {
        type Row = (Option<String>, Option<String>, Option<String>, Option<String>, i64);
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT t.take, t.file, f.location, f.moving, CAST(CASE WHEN c.seq >= h.seq THEN 1 ELSE 0 END AS BIGINT) \
                 FROM recording_jobs j JOIN meeting_heads h ON h.tenant = j.tenant AND h.meeting = j.meeting \
                 JOIN projection_cursors c ON c.tenant = j.tenant AND c.meeting = j.meeting \
                 LEFT JOIN recording_tracks t ON t.tenant = j.tenant AND t.recording = j.id \
                 LEFT JOIN recording_files f ON f.tenant = t.tenant AND f.recording = t.recording AND f.take = t.take \
                 WHERE j.tenant = $1 AND j.id = $2 AND j.meeting = $3 AND j.status IN ('completed', 'failed') \
                 ORDER BY t.take",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .bind(of.key.meeting.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let Some(is_at_the_end) = rows.first().map(|row| row.4 == 1) else { return Ok(None) };
        let read = |(take, told, location, moving, _): Row| {
            take.zip(told).map(|(take, told)| FileOf { named: of.clone(), take, told, location, moving })
        };
        Ok(Some((rows.into_iter().filter_map(read).collect(), is_at_the_end)))
    }

    /// The tiers that files of a recording may be in, whatever the read models know of them.
    pub async fn tiers(&self, of: &Named) -> Result<Vec<String>, StoreError> {
        Ok(on_pool!(&self.db, pool => {
            query_scalar(
                "SELECT tier FROM storage_policies WHERE tenant = $1 AND tier IS NOT NULL \
                 UNION SELECT tier FROM recording_objects WHERE tenant = $1 AND recording = $2 AND tier IS NOT NULL",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        }))
    }

    /// Where files of a recording are or were to be moved to, whatever the read models know of them.
    pub async fn locations(&self, of: &Named) -> Result<Vec<String>, StoreError> {
        Ok(on_pool!(&self.db, pool => {
            query_scalar(
                "SELECT location FROM recording_files WHERE tenant = $1 AND recording = $2 AND location IS NOT NULL \
                 UNION SELECT moving FROM recording_files WHERE tenant = $1 AND recording = $2 AND moving IS NOT NULL",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        }))
    }

    /// A stretch of the recordings that were deleted less than so long ago, behind this one.
    pub async fn lately_deleted(
        &self,
        within: Millis,
        after: Option<&Named>,
        limit: u32,
    ) -> Result<Vec<Named>, StoreError> {
        let (tenant, recording) = after.map_or(("", Uuid::nil()), |of| (of.key.tenant.0.as_str(), of.recording.0));
        let sql = format!(
            "SELECT tenant, meeting, recording FROM recording_objects WHERE deleted_at > {} - $1 \
             AND (tenant, recording) > ($2, $3) ORDER BY tenant, recording LIMIT $4",
            self.db.clock()
        );
        let rows: Vec<(String, Uuid, Uuid)> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(to_i64(within))
                .bind(tenant)
                .bind(recording)
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(Named::of_row).collect())
    }

    /// A stretch of the files that were deleted by themselves less than so long ago, behind this one.
    pub async fn lately_erased(
        &self,
        within: Millis,
        after: Option<&FileOf>,
        limit: u32,
    ) -> Result<Vec<FileOf>, StoreError> {
        let (tenant, recording, take) = after.map_or(("", Uuid::nil(), ""), |file| {
            (file.named.key.tenant.0.as_str(), file.named.recording.0, file.take.as_str())
        });
        let sql = format!(
            files!(
                "WHERE f.deleted_at > {} - $1 AND (t.tenant, t.recording, t.take) > ($2, $3, $4) \
                    ORDER BY t.tenant, t.recording, t.take LIMIT $5"
            ),
            self.db.clock()
        );
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(to_i64(within))
                .bind(tenant)
                .bind(recording)
                .bind(take)
                .bind(i64::from(limit))
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

    /// Those that may be moved: no erasure takes them away.
    pub async fn movable(&self, of: &Named) -> Result<Vec<FileOf>, StoreError> {
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(files!(
                "WHERE t.tenant = $1 AND t.recording = $2 AND f.deleted_at IS NULL AND f.erase_at IS NULL \
                 ORDER BY t.take"
            ))
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(file).collect())
    }

    /// A copy of this file is being made: so it is known, whatever becomes of it. False: the recording is held
    /// or being deleted, the file is to be erased, or the policy is not what it was when it was read.
    pub async fn moving(&self, file: &FileOf, to: &str, policy: Option<&Policy>) -> Result<bool, StoreError> {
        let held = held_by_policy("$1", "$2");
        let sql = format!(
            "INSERT INTO recording_files (tenant, recording, take, moving) SELECT $1, $2, $3, $4 WHERE NOT {held} \
             AND ($5 IS NULL OR EXISTS (SELECT 1 FROM storage_policies q \
             WHERE q.tenant = $1 AND q.id = $5 AND q.enabled = 1 AND q.updated_at = $6)) \
             ON CONFLICT (tenant, recording, take) DO UPDATE SET moving = excluded.moving \
             WHERE recording_files.erase_at IS NULL AND recording_files.deleted_at IS NULL"
        );
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            if !lock!(transaction, &file.named, " AND recording_objects.legal_hold = 0") {
                return Ok(false);
            }
            let moving = query(AssertSqlSafe(sql))
                .bind(&file.named.key.tenant.0)
                .bind(file.named.recording.0)
                .bind(&file.take)
                .bind(to)
                .bind(policy.map(|policy| policy.id))
                .bind(policy.map(|policy| to_i64(policy.updated_at)))
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            moving.rows_affected() == 1
        }))
    }

    /// The copy is the file from here on. False: it is not, because the recording is held or being deleted by
    /// now, or the file is to be erased, or somebody else has moved it or given that up.
    pub async fn moved(&self, file: &FileOf, to: &str) -> Result<bool, StoreError> {
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            if !lock!(transaction, &file.named, " AND recording_objects.legal_hold = 0") {
                return Ok(false);
            }
            let moved = query(
                "UPDATE recording_files SET location = $4, moving = NULL WHERE tenant = $1 AND recording = $2 \
                 AND take = $3 AND moving = $4 AND erase_at IS NULL AND deleted_at IS NULL",
            )
            .bind(&file.named.key.tenant.0)
            .bind(file.named.recording.0)
            .bind(&file.take)
            .bind(to)
            .execute(&mut *transaction)
            .await
            .map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            moved.rows_affected() == 1
        }))
    }

    /// The copy is not to be the file: it is whoever says so first that deletes it, and nobody where it is the
    /// file already.
    pub async fn not_moved(&self, file: &FileOf, to: &str) -> Result<bool, StoreError> {
        let given_up = on_pool!(&self.db, pool => {
            query(
                "UPDATE recording_files SET moving = NULL WHERE tenant = $1 AND recording = $2 AND take = $3 \
                 AND moving = $4 AND (location IS NULL OR location <> $4)",
            )
            .bind(&file.named.key.tenant.0)
            .bind(file.named.recording.0)
            .bind(&file.take)
            .bind(to)
            .execute(pool)
            .await
            .map_err(unavailable)?
            .rows_affected()
        });
        Ok(given_up == 1)
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

    /// Files that an erasure takes away and that may be: their takes are over, or their recordings are, and
    /// nothing holds them. Of one person in a meeting, or of all.
    pub async fn to_erase(
        &self,
        of: Option<(&MeetingKey, ParticipantId)>,
        limit: u32,
    ) -> Result<Vec<FileOf>, StoreError> {
        let held = held_by_policy("t.tenant", "t.recording");
        let sql = format!(
            files!(
                "JOIN recording_jobs j ON j.tenant = t.tenant AND j.id = t.recording \
                 LEFT JOIN recording_objects o ON o.tenant = t.tenant AND o.recording = t.recording \
                 WHERE f.erase_at IS NOT NULL AND f.deleted_at IS NULL \
                 AND (t.state IN ('complete', 'failed') OR j.status IN ('completed', 'failed')) \
                 AND o.deleting_at IS NULL \
                 AND (f.erasing_at IS NOT NULL OR (COALESCE(o.legal_hold, 0) = 0 AND NOT {})) \
                 AND ($1 IS NULL OR (t.tenant = $1 AND t.meeting = $2 AND t.participant = $3)) \
                 ORDER BY f.erase_at, t.take LIMIT $4"
            ),
            held
        );
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql))
                .bind(of.map(|(key, _)| key.tenant.0.as_str()))
                .bind(of.map(|(key, _)| key.meeting.0))
                .bind(of.map(|(_, who)| who.0))
                .bind(i64::from(limit))
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(file).collect())
    }

    /// From here on this file is deleted, and no hold can come in between. False: one did, or the recording is
    /// being deleted as a whole.
    pub async fn claim_erasing(&self, file: &FileOf) -> Result<bool, StoreError> {
        let (clock, held) = (self.db.clock(), held_by_policy("$1", "$2"));
        let sql = format!(
            "UPDATE recording_files SET erasing_at = COALESCE(erasing_at, {clock}) \
             WHERE tenant = $1 AND recording = $2 AND take = $3 AND erase_at IS NOT NULL AND deleted_at IS NULL \
             AND (erasing_at IS NOT NULL OR (NOT {held} AND NOT EXISTS (SELECT 1 FROM recording_objects o \
             WHERE o.tenant = $1 AND o.recording = $2 AND o.legal_hold = 1)))"
        );
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            if !lock!(transaction, &file.named, "") {
                return Ok(false);
            }
            let claimed = query(AssertSqlSafe(sql))
                .bind(&file.named.key.tenant.0)
                .bind(file.named.recording.0)
                .bind(&file.take)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            transaction.commit().await.map_err(unavailable)?;
            claimed.rows_affected() == 1
        }))
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
        let rows: Vec<Row> = on_read!(&self.db, pool => {
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
        let row: Option<(i64,)> = on_read!(&self.db, pool => {
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
