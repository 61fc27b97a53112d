//! What is to be transcribed: rows that are made once for each file and language, by request or for every
//! recording that is completed, and what has become of them. Files of an erased person get none, and where
//! there are tracks the file of the whole room is not taken instead: it has the same voices.

use super::{DETECT, JOBS_MAX, LANGUAGES_MAX};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use crate::objects::Named;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{MeetingId, Millis, RecordingId, TenantId};
use serde::Serialize;
use sqlx::{AssertSqlSafe, query, query_as, query_scalar};
use std::time::Duration;
use uuid::Uuid;

/// What was completed longer ago is transcribed on request alone: or the day on which somebody has everything
/// transcribed would be one on which everything that there is is.
const LATELY: Duration = Duration::from_secs(2 * 24 * 3_600);
/// Recordings that are found at a time.
const FOUND_MAX: u32 = 100;

#[derive(Clone)]
pub struct Jobs {
    pub(super) db: Db,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// There are rows for it, made now or before.
    There,
    /// The recording has as many languages or files as can be.
    TooMany,
    /// It has no file with sound of anybody who was not erased.
    Nothing,
}

/// One transcript of a recording: all its files, in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Transcript {
    /// As it was asked for: a tag, or `detect`.
    pub language: String,
    /// `pending`, `running`, `completed` or `failed`: completed where any of its files is.
    pub status: String,
    pub files: u64,
    pub failed: u64,
    /// Why a file failed, or did so far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    pub created_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Millis>,
}

/// A take, as it is chosen from.
struct Candidate {
    take: String,
    participant: Option<Uuid>,
    is_audio: bool,
    is_complete: bool,
    is_erased: bool,
}

/// The takes that are transcribed, with their places: tracks where there are any.
fn chosen(all: &[Candidate]) -> Vec<(usize, &Candidate)> {
    let is_track = |one: &Candidate| one.participant.is_some() && one.is_audio && one.is_complete;
    let has_tracks = all.iter().any(is_track);
    let is_wanted = |one: &Candidate| match has_tracks {
        true => is_track(one) && !one.is_erased,
        false => one.participant.is_none() && one.is_complete && !one.is_erased,
    };
    all.iter().enumerate().filter(|(_, one)| is_wanted(one)).collect()
}

type TakeRow = (String, Option<Uuid>, Option<String>, String, Option<i64>, Option<i64>);

impl Jobs {
    pub fn new(db: Db) -> Self {
        Self { db }
    }

    pub fn db(&self) -> &Db {
        &self.db
    }

    /// Makes what there is to do of a recording in a language. What is there already stays, and what failed is
    /// tried again.
    pub async fn make(&self, of: &Named, language: &str) -> Result<Made, StoreError> {
        let rows: Vec<TakeRow> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT t.take, t.participant, t.source, t.state, f.erase_at, f.deleted_at FROM recording_tracks t \
                 LEFT JOIN recording_files f ON f.tenant = t.tenant AND f.recording = t.recording AND f.take = t.take \
                 WHERE t.tenant = $1 AND t.recording = $2 ORDER BY t.take",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let candidate = |(take, participant, source, state, erase_at, deleted_at): TakeRow| Candidate {
            take,
            participant,
            is_audio: source.as_deref() == Some("audio"),
            is_complete: state == "complete",
            is_erased: erase_at.is_some() || deleted_at.is_some(),
        };
        let all: Vec<Candidate> = rows.into_iter().map(candidate).collect();
        let chosen = chosen(&all);
        let there = self.transcripts(of).await?;
        let is_new = !there.iter().any(|transcript| transcript.language == language);
        let files = there.iter().fold(0_u64, |files, transcript| files.saturating_add(transcript.files));
        let files = usize::try_from(files).unwrap_or(usize::MAX).saturating_add(chosen.len());
        if is_new && (there.len() >= LANGUAGES_MAX || files > JOBS_MAX) {
            return Ok(Made::TooMany);
        }
        if chosen.is_empty() {
            return Ok(Made::Nothing);
        }
        let clock = self.db.clock();
        let sql = format!(
            "INSERT INTO transcription_jobs (tenant, meeting, recording, take, language, participant, ordinal, status, \
             due_at, created_at) SELECT $1, $2, $3, $4, $5, $6, $7, 'pending', 0, {clock} WHERE NOT EXISTS \
             (SELECT 1 FROM recording_objects o WHERE o.tenant = $1 AND o.recording = $3 AND o.deleting_at IS NOT NULL) \
             ON CONFLICT (tenant, recording, language, take) DO UPDATE SET status = 'pending', attempts = 0, due_at = 0, \
             leased_until = NULL, error = NULL, told = 0, finished_at = NULL WHERE transcription_jobs.status = 'failed'"
        );
        on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            query("DELETE FROM transcription_jobs WHERE tenant = $1 AND recording = $2 AND take = ''")
                .bind(&of.key.tenant.0)
                .bind(of.recording.0)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
            for (ordinal, one) in &chosen {
                query(AssertSqlSafe(sql.clone()))
                    .bind(&of.key.tenant.0)
                    .bind(of.key.meeting.0)
                    .bind(of.recording.0)
                    .bind(&one.take)
                    .bind(language)
                    .bind(one.participant)
                    .bind(i64::try_from(*ordinal).unwrap_or(i64::MAX))
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
            }
            transaction.commit().await.map_err(unavailable)?;
        });
        Ok(Made::There)
    }

    /// Makes what is to be done for recordings that were completed lately. Answers how many there were.
    pub async fn make_all(&self, languages: &[String]) -> Result<u32, StoreError> {
        let clock = self.db.clock();
        let lately = i64::try_from(LATELY.as_millis()).unwrap_or(i64::MAX);
        let sql = format!(
            "SELECT j.tenant, j.meeting, j.id FROM recording_jobs j WHERE j.status = 'completed' \
             AND j.ended_at > {clock} - $1 AND NOT EXISTS (SELECT 1 FROM transcription_jobs t \
             WHERE t.tenant = j.tenant AND t.recording = j.id) AND NOT EXISTS (SELECT 1 FROM recording_objects o \
             WHERE o.tenant = j.tenant AND o.recording = j.id AND o.deleting_at IS NOT NULL) \
             ORDER BY j.ended_at LIMIT $2"
        );
        let rows: Vec<(String, Uuid, Uuid)> = on_pool!(&self.db, pool => {
            query_as(AssertSqlSafe(sql)).bind(lately).bind(i64::from(FOUND_MAX)).fetch_all(pool).await.map_err(unavailable)?
        });
        let mut found = 0_u32;
        for (tenant, meeting, recording) in rows {
            let key = MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
            let named = Named::new(key, RecordingId(recording));
            let mut is_any = false;
            for language in languages {
                is_any |= self.make(&named, language).await? == Made::There;
            }
            if !is_any {
                self.pass_over(&named).await?;
            }
            found = found.saturating_add(1);
        }
        Ok(found)
    }

    /// Nothing of it can be transcribed: that is kept, so that it is not found again.
    async fn pass_over(&self, of: &Named) -> Result<(), StoreError> {
        let clock = self.db.clock();
        let sql = format!(
            "INSERT INTO transcription_jobs (tenant, meeting, recording, take, language, ordinal, status, error, \
             created_at, finished_at) VALUES ($1, $2, $3, '', '{DETECT}', 0, 'failed', \
             'there is nothing to transcribe', {clock}, {clock}) ON CONFLICT DO NOTHING"
        );
        on_pool!(&self.db, pool => {
            query(AssertSqlSafe(sql))
                .bind(&of.key.tenant.0)
                .bind(of.key.meeting.0)
                .bind(of.recording.0)
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        Ok(())
    }

    /// What there is of a recording, in the order in which it was asked for.
    pub async fn transcripts(&self, of: &Named) -> Result<Vec<Transcript>, StoreError> {
        type Row = (String, i64, i64, i64, i64, i64, Option<String>, i64, Option<i64>);
        let rows: Vec<Row> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT language, COUNT(*), COUNT(CASE WHEN status = 'pending' THEN 1 END), \
                 COUNT(CASE WHEN status = 'running' THEN 1 END), COUNT(CASE WHEN status = 'completed' THEN 1 END), \
                 COUNT(CASE WHEN status = 'failed' THEN 1 END), MAX(error), MIN(created_at), MAX(finished_at) \
                 FROM transcription_jobs WHERE tenant = $1 AND recording = $2 GROUP BY language \
                 ORDER BY MIN(created_at), language",
            )
            .bind(&of.key.tenant.0)
            .bind(of.recording.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let transcript =
            |(language, files, pending, running, completed, failed, error, created_at, finished_at): Row| {
                let status = match (running, pending, completed) {
                    (1.., _, _) => "running",
                    (_, 1.., _) => "pending",
                    (_, _, 1..) => "completed",
                    _ => "failed",
                };
                let is_over = running == 0 && pending == 0;
                Transcript {
                    language,
                    status: status.to_owned(),
                    files: to_u64(files),
                    failed: to_u64(failed),
                    error,
                    created_at: to_u64(created_at),
                    finished_at: finished_at.filter(|_| is_over).map(to_u64),
                }
            };
        Ok(rows.into_iter().map(transcript).collect())
    }

    /// What waits to be done.
    pub async fn waiting(&self) -> Result<u64, StoreError> {
        let count: i64 = on_pool!(&self.db, pool => {
            query_scalar("SELECT COUNT(*) FROM transcription_jobs WHERE due_at IS NOT NULL")
                .fetch_one(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(to_u64(count))
    }

    /// For how long a wait is, as the database counts.
    pub(super) fn ms(duration: Duration) -> i64 {
        to_i64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(take: &str, participant: bool, is_audio: bool, is_complete: bool, is_erased: bool) -> Candidate {
        let participant = participant.then(Uuid::now_v7);
        Candidate { take: take.to_owned(), participant, is_audio, is_complete, is_erased }
    }

    fn names(all: &[Candidate]) -> Vec<(usize, String)> {
        chosen(all).into_iter().map(|(place, one)| (place, one.take.clone())).collect()
    }

    #[test]
    fn tracks_come_before_the_file_of_the_whole_room() {
        let whole = || take("whole", false, false, true, false);
        let (ada, screen) = (take("ada", true, true, true, false), take("screen", true, false, true, false));
        assert_eq!(names(&[whole(), ada, screen]), [(1, "ada".to_owned())]);
        assert_eq!(names(&[take("screen", true, false, true, false), whole()]), [(1, "whole".to_owned())]);
        assert_eq!(names(&[take("lost", true, true, false, false), whole()]), [(1, "whole".to_owned())]);
        assert!(names(&[take("whole", false, false, false, false)]).is_empty());
    }

    #[test]
    fn a_voice_that_was_erased_is_not_taken_from_elsewhere() {
        let all = [take("whole", false, false, true, false), take("bob", true, true, true, true)];
        assert!(names(&all).is_empty());
    }
}
