//! Rows that are somebody's for a while: leased by the database's clock, settled by who has them, and told of
//! when the last file of a transcript is over. Whoever comes too late, because their lease was taken over, the
//! recording is deleted or the person erased, leaves nothing behind.

use super::{Failure, Jobs, SEGMENTS_MAX, Segment, UNKNOWN};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use crate::objects::Named;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{MeetingId, Millis, RecordingId, TenantId};
use sqlx::{AssertSqlSafe, QueryBuilder, query, query_as};
use std::time::Duration;
use uuid::Uuid;

/// Rows of one statement: each has a dozen values, and SQLite takes some 32,000.
const ROWS: usize = 500;
/// Transcripts that are told of at a time.
const UNTOLD_MAX: u32 = 100;

/// A file that is to be transcribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leased {
    pub named: Named,
    pub take: String,
    pub language: String,
    pub participant: Option<Uuid>,
    pub ordinal: i64,
    pub attempt: i64,
}

/// The file of a take, where it may be transcribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// As the recorder has it.
    pub told: String,
    pub location: Option<String>,
    pub started_at: Millis,
}

/// A transcript that is over and that nobody was told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untold {
    pub named: Named,
    pub language: String,
    pub completed: u64,
    pub failed: u64,
    pub error: Option<String>,
    pub finished_at: Millis,
}

/// What captions in the same language have in common with it.
fn base(lang: &str) -> String {
    let first = lang.split('-').next().unwrap_or_default().to_ascii_lowercase();
    if first == UNKNOWN { String::new() } else { first }
}

impl Jobs {
    /// Takes the file that has been due for longest.
    pub async fn lease(&self, lease: Duration) -> Result<Option<Leased>, StoreError> {
        let clock = self.db.clock();
        let skip = match &self.db {
            Db::Sqlite { .. } => "",
            Db::Postgres(_) => " FOR UPDATE SKIP LOCKED",
        };
        let sql = format!(
            "WITH due AS MATERIALIZED (SELECT tenant, recording, language, take FROM transcription_jobs \
             WHERE due_at <= {clock} AND (leased_until IS NULL OR leased_until <= {clock}) \
             ORDER BY due_at, created_at, ordinal LIMIT 1{skip}) \
             UPDATE transcription_jobs SET status = 'running', attempts = attempts + 1, leased_until = {clock} + $1 \
             WHERE (tenant, recording, language, take) IN (SELECT tenant, recording, language, take FROM due) \
             RETURNING tenant, meeting, recording, take, language, participant, ordinal, attempts"
        );
        type Row = (String, Uuid, Uuid, String, String, Option<Uuid>, i64, i64);
        let row: Option<Row> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql)).bind(Self::ms(lease)).fetch_optional(pool).await.map_err(unavailable)?
        });
        Ok(row.map(|(tenant, meeting, recording, take, language, participant, ordinal, attempt)| {
            let key = MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
            Leased { named: Named::new(key, RecordingId(recording)), take, language, participant, ordinal, attempt }
        }))
    }

    /// The file of a row. None: it was deleted, or is about to be.
    pub(super) async fn file(&self, of: &Leased) -> Result<Option<Found>, StoreError> {
        let row: Option<(String, Option<String>, i64)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT t.file, f.location, COALESCE(t.started_at, j.started_at, j.asked_at) FROM recording_tracks t \
                 JOIN recording_jobs j ON j.tenant = t.tenant AND j.id = t.recording \
                 LEFT JOIN recording_files f ON f.tenant = t.tenant AND f.recording = t.recording AND f.take = t.take \
                 LEFT JOIN recording_objects o ON o.tenant = t.tenant AND o.recording = t.recording \
                 WHERE t.tenant = $1 AND t.recording = $2 AND t.take = $3 AND t.state = 'complete' \
                 AND f.erase_at IS NULL AND f.deleted_at IS NULL AND o.deleting_at IS NULL",
            )
            .bind(&of.named.key.tenant.0)
            .bind(of.named.recording.0)
            .bind(&of.take)
            .fetch_optional(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(row.map(|(told, location, started_at)| Found { told, location, started_at: to_u64(started_at) }))
    }

    /// Writes down what was said, and that this file is done. False: it is not ours any more, or may not be there.
    pub async fn complete(&self, of: &Leased, zero: Millis, segments: &[Segment]) -> Result<bool, StoreError> {
        let clock = self.db.clock();
        let done = format!(
            "UPDATE transcription_jobs SET status = 'completed', due_at = NULL, leased_until = NULL, error = NULL, \
             finished_at = {clock} WHERE tenant = $1 AND recording = $2 AND language = $3 AND take = $4 \
             AND attempts = $5 AND status = 'running' AND NOT EXISTS (SELECT 1 FROM recording_objects o \
             WHERE o.tenant = $1 AND o.recording = $2 AND o.deleting_at IS NOT NULL) \
             AND NOT EXISTS (SELECT 1 FROM recording_files f WHERE f.tenant = $1 AND f.recording = $2 \
             AND f.take = $4 AND f.erase_at IS NOT NULL)"
        );
        let first = of.ordinal.saturating_mul(i64::try_from(SEGMENTS_MAX).unwrap_or(i64::MAX));
        let place = |number: usize| first.saturating_add(i64::try_from(number).unwrap_or(i64::MAX));
        Ok(on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let marked = query(AssertSqlSafe(done))
                .bind(&of.named.key.tenant.0)
                .bind(of.named.recording.0)
                .bind(&of.language)
                .bind(&of.take)
                .bind(of.attempt)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            if marked.rows_affected() == 0 {
                return Ok(false);
            }
            for (chunk, rows) in segments.iter().take(SEGMENTS_MAX).collect::<Vec<_>>().chunks(ROWS).enumerate() {
                let mut statement = QueryBuilder::new(
                    "INSERT INTO transcription_segments (tenant, recording, language, place, take, meeting, participant, \
                     speaker, lang, base, text, start_at, end_at) ",
                );
                statement.push_values(rows.iter().enumerate(), |mut row, (number, segment)| {
                    let number = chunk.saturating_mul(ROWS).saturating_add(number);
                    row.push_bind(&of.named.key.tenant.0);
                    row.push_bind(of.named.recording.0);
                    row.push_bind(&of.language);
                    row.push_bind(place(number));
                    row.push_bind(&of.take);
                    row.push_bind(of.named.key.meeting.0);
                    row.push_bind(of.participant);
                    // Whose track it is is known: whatever was told apart in it is that person.
                    row.push_bind(segment.speaker.filter(|_| of.participant.is_none()).map(i64::from));
                    row.push_bind(&segment.lang);
                    row.push_bind(base(&segment.lang));
                    row.push_bind(&segment.text);
                    row.push_bind(to_i64(zero.saturating_add(segment.start_ms)));
                    row.push_bind(to_i64(zero.saturating_add(segment.end_ms)));
                });
                statement.build().persistent(false).execute(&mut *transaction).await.map_err(unavailable)?;
            }
            transaction.commit().await.map_err(unavailable)?;
            true
        }))
    }

    /// It was not done: for now, where there is a time to try again, or for good.
    pub async fn fail(&self, of: &Leased, failure: &Failure, again: Option<Duration>) -> Result<(), StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "UPDATE transcription_jobs SET status = CASE WHEN $7 IS NULL THEN 'failed' ELSE 'pending' END, \
             due_at = CASE WHEN $7 IS NULL THEN NULL ELSE {clock} + $7 END, leased_until = NULL, error = $6, \
             finished_at = CASE WHEN $7 IS NULL THEN {clock} END \
             WHERE tenant = $1 AND recording = $2 AND language = $3 AND take = $4 AND attempts = $5 \
             AND status = 'running'"
        );
        on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&of.named.key.tenant.0)
                .bind(of.named.recording.0)
                .bind(&of.language)
                .bind(&of.take)
                .bind(of.attempt)
                .bind(failure.why)
                .bind(again.map(Self::ms))
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        Ok(())
    }

    /// Transcripts that are over, all their files, and that nobody was told of yet.
    pub async fn untold(&self) -> Result<Vec<Untold>, StoreError> {
        type Row = (String, Uuid, Uuid, String, i64, i64, Option<String>, i64);
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT tenant, meeting, recording, language, COUNT(CASE WHEN status = 'completed' THEN 1 END), \
                 COUNT(CASE WHEN status = 'failed' THEN 1 END), MAX(error), MAX(COALESCE(finished_at, 0)) \
                 FROM transcription_jobs WHERE (tenant, recording, language) IN \
                 (SELECT tenant, recording, language FROM transcription_jobs WHERE told = 0) \
                 GROUP BY tenant, meeting, recording, language HAVING COUNT(due_at) = 0 \
                 ORDER BY MAX(finished_at) LIMIT $1",
            )
            .bind(i64::from(UNTOLD_MAX))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let untold = |(tenant, meeting, recording, language, completed, failed, error, at): Row| {
            let key = MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
            Untold {
                named: Named::new(key, RecordingId(recording)),
                language,
                completed: to_u64(completed),
                failed: to_u64(failed),
                error,
                finished_at: to_u64(at),
            }
        };
        Ok(rows.into_iter().map(untold).collect())
    }

    /// Integrators were told of it as it was.
    pub async fn told(&self, of: &Untold) -> Result<(), StoreError> {
        on_pool!(&self.db, pool => {
            query(
                "UPDATE transcription_jobs SET told = 1 WHERE tenant = $1 AND recording = $2 AND language = $3 \
                 AND due_at IS NULL AND finished_at <= $4",
            )
            .bind(&of.named.key.tenant.0)
            .bind(of.named.recording.0)
            .bind(&of.language)
            .bind(to_i64(of.finished_at))
            .execute(pool)
            .await
            .map_err(unavailable)?;
        });
        Ok(())
    }
}
