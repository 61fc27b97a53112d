//! What was said in a recording, in writing: what was transcribed, joined with the captions that the meeting
//! had meanwhile in the recorded room. One statement does it, a page at a time. A caption is left out where a
//! segment of the same speaker and language overlaps it in time: it would say the same twice. A segment whose
//! speaker is a number may be anybody's, so it counts as everybody's.

use super::jobs::{Jobs, Transcript};
use super::{SEGMENT_MS_MAX, SEGMENTS_MAX};
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use crate::objects::Named;
use crate::projections::{Page, Spoken};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{Millis, ParticipantId, RoomId};
use serde::Serialize;
use sqlx::{AssertSqlSafe, query_as, query_scalar};
use uuid::Uuid;

/// What is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Captions,
    Transcription,
    Both,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Caption,
    Transcription,
}

/// A part of what was said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = TranscriptSegment)]
pub struct Said {
    /// Who spoke; absent where that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub participant: Option<ParticipantId>,
    /// The name that they have now, or had last; or `Speaker 1`.
    pub name: String,
    /// One of several who are told apart and not known, from 1 on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speaker: Option<u64>,
    pub origin: Origin,
    /// A language tag, such as `en` or `pt-BR`; `und` where it is not known.
    pub lang: String,
    pub text: String,
    /// Unix milliseconds, UTC.
    pub start_at: Millis,
    pub end_at: Millis,
    #[serde(skip)]
    pub place: u64,
}

/// Which part of it is read.
#[derive(Clone, Debug)]
pub struct Chosen {
    pub named: Named,
    /// The language of the transcript, as it was asked for; none: captions alone.
    pub transcript: Option<String>,
    /// Of captions; none: no captions.
    pub room: Option<RoomId>,
    /// When the recording began and ended.
    pub from: Millis,
    pub to: Millis,
    /// What is spoken: a tag in lower case, or the beginning of one.
    pub lang: Option<String>,
}

/// What there is for a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This transcript, as it was asked for.
    Transcript(String),
    /// It is being made.
    NotYet,
    Failed(Option<String>),
    Nothing,
}

/// The transcript for a language: one that was made in it, or else one in which it is spoken (`spoken` names
/// those). The earliest that is completed counts; where there is none, what may still become one.
pub fn find(transcripts: &[Transcript], spoken: &[String], wanted: Option<&str>) -> Found {
    let is_named = |transcript: &Transcript, wanted: &str| {
        let language = transcript.language.to_ascii_lowercase();
        language.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let named = transcripts.iter().filter(|one| wanted.is_none_or(|wanted| is_named(one, wanted)));
    let named: Vec<&Transcript> = named.collect();
    // Several languages can be in what was asked for without one.
    let is_open =
        |one: &&Transcript| matches!(one.language.as_str(), super::DETECT | "multi") && one.status != "completed";
    let other = transcripts.iter().filter(|one| spoken.contains(&one.language) || is_open(one));
    let all: Vec<&Transcript> = named.iter().copied().chain(other).collect();
    if let Some(one) = all.iter().find(|one| one.status == "completed") {
        return Found::Transcript(one.language.clone());
    }
    if all.iter().any(|one| one.status != "failed") {
        return Found::NotYet;
    }
    match named.first() {
        Some(one) => Found::Failed(one.error.clone()),
        None => Found::Nothing,
    }
}

/// The name of somebody's latest stay, as in the transcript of a meeting.
macro_rules! name_of {
    ($of:literal) => {
        concat!(
            "(SELECT a.name FROM attendances a WHERE a.tenant = ",
            $of,
            ".tenant AND a.meeting = ",
            $of,
            ".meeting AND a.participant = ",
            $of,
            ".participant ORDER BY +a.seq DESC LIMIT 1)"
        )
    };
}

type Row = (i64, i64, Option<Uuid>, Option<String>, Option<i64>, String, String, i64, i64);

fn said((start_at, place, participant, name, speaker, lang, text, end_at, origin): Row) -> Said {
    let speaker = speaker.map(|speaker| to_u64(speaker).saturating_add(1));
    Said {
        participant: participant.map(ParticipantId),
        name: speaker.map_or_else(|| name.unwrap_or_default(), |speaker| format!("Speaker {speaker}")),
        speaker,
        origin: if origin == 0 { Origin::Caption } else { Origin::Transcription },
        lang,
        text,
        start_at: to_u64(start_at),
        end_at: to_u64(end_at),
        place: to_u64(place),
    }
}

impl Jobs {
    /// A page of what was said, behind a place.
    pub async fn said(&self, chosen: &Chosen, after: Spoken, limit: usize) -> Result<Page<Said>, StoreError> {
        let sql = format!(
            "SELECT start_at, place, participant, name, speaker, lang, text, end_at, origin FROM (\
             SELECT s.start_at, s.place * 2 + 1 AS place, s.participant, {} AS name, s.speaker, s.lang, s.text, \
             s.end_at, CAST(1 AS BIGINT) AS origin FROM transcription_segments s \
             WHERE s.tenant = $1 AND s.recording = $2 AND s.language = $3 \
             AND ($8 IS NULL OR lower(s.lang) = $8 OR lower(s.lang) LIKE $8 || '-%') \
             UNION ALL \
             SELECT c.start_at, c.seq * 2, c.participant, {}, CAST(NULL AS BIGINT), c.lang, c.text, c.end_at, \
             CAST(0 AS BIGINT) FROM captions_view c \
             WHERE c.tenant = $1 AND c.meeting = $4 AND c.text <> '' \
             AND ((c.trail IS NULL AND c.room = $5) OR c.trail = $5 OR c.trail LIKE $5 || ' %') \
             AND c.end_at >= $6 AND c.start_at <= $7 \
             AND ($8 IS NULL OR lower(c.lang) = $8 OR lower(c.lang) LIKE $8 || '-%') \
             AND NOT EXISTS (SELECT 1 FROM transcription_segments d WHERE d.tenant = $1 AND d.recording = $2 \
             AND d.language = $3 AND d.start_at < c.end_at AND d.start_at >= c.start_at - {SEGMENT_MS_MAX} \
             AND d.end_at > c.start_at AND (d.participant IS NULL OR d.participant = c.participant) \
             AND (d.base = '' OR lower(c.lang) = d.base OR lower(c.lang) LIKE d.base || '-%'))\
             ) said WHERE (start_at, place) > ($9, $10) ORDER BY start_at, place LIMIT $11",
            name_of!("s"),
            name_of!("c"),
        );
        macro_rules! rows {
            ($pool:expr) => {
                query_as::<_, Row>(AssertSqlSafe(sql))
                    .bind(&chosen.named.key.tenant.0)
                    .bind(chosen.named.recording.0)
                    .bind(chosen.transcript.as_deref())
                    .bind(chosen.named.key.meeting.0)
                    .bind(chosen.room.map(|room| room.to_string()))
                    .bind(to_i64(chosen.from))
                    .bind(to_i64(chosen.to))
                    .bind(chosen.lang.as_deref())
                    .bind(to_i64(after.start_at))
                    .bind(to_i64(after.seq))
                    .bind(i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX))
                    .fetch_all($pool)
                    .await
                    .map_err(unavailable)?
            };
        }
        let rows = match &self.db {
            Db::Sqlite { read, .. } => rows!(read),
            Db::Postgres(pool) => rows!(pool),
        };
        let place = |said: &Said| Spoken { start_at: said.start_at, seq: said.place }.to_string();
        Ok(Page::cut(rows.into_iter().map(said).collect(), limit, place))
    }

    /// The transcripts of a recording in which a language is spoken: a tag in lower case, or the beginning of one.
    pub async fn spoken(&self, of: &Named, lang: &str) -> Result<Vec<String>, StoreError> {
        macro_rules! languages {
            ($pool:expr) => {
                query_scalar(
                    "SELECT DISTINCT language FROM transcription_segments WHERE tenant = $1 AND recording = $2 \
                     AND (lower(lang) = $3 OR lower(lang) LIKE $3 || '-%')",
                )
                .bind(&of.key.tenant.0)
                .bind(of.recording.0)
                .bind(lang)
                .fetch_all($pool)
                .await
                .map_err(unavailable)?
            };
        }
        Ok(match &self.db {
            Db::Sqlite { read, .. } => languages!(read),
            Db::Postgres(pool) => languages!(pool),
        })
    }

    /// All that somebody said in recordings of a meeting, as far as it is known to be theirs.
    pub async fn said_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Said>, StoreError> {
        const SQL: &str = concat!(
            "SELECT s.start_at, s.place, s.participant, ",
            name_of!("s"),
            ", s.speaker, s.lang, s.text, s.end_at, CAST(1 AS BIGINT) FROM transcription_segments s \
             WHERE s.tenant = $1 AND s.meeting = $2 AND s.participant = $3 \
             ORDER BY s.recording, s.language, s.start_at, s.place"
        );
        macro_rules! rows {
            ($pool:expr) => {
                query_as::<_, Row>(SQL)
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(who.0)
                    .fetch_all($pool)
                    .await
                    .map_err(unavailable)?
            };
        }
        let rows = match &self.db {
            Db::Sqlite { read, .. } => rows!(read),
            Db::Postgres(pool) => rows!(pool),
        };
        Ok(rows.into_iter().map(said).collect())
    }
}

/// Places of all files fit a number of the database.
const _: () = assert!(SEGMENTS_MAX < 1 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    fn made(language: &str, status: &str) -> Transcript {
        let error = (status == "failed").then(|| "no".to_owned());
        let (language, status) = (language.to_owned(), status.to_owned());
        Transcript { language, status, files: 1, failed: 0, error, created_at: 1, finished_at: None }
    }

    fn one(name: &str) -> Found {
        Found::Transcript(name.to_owned())
    }

    #[test]
    fn a_transcript_is_found_by_its_language_or_by_what_is_spoken_in_it() {
        let detect = [made("detect", "completed")];
        assert_eq!(find(&detect, &[], None), one("detect"));
        assert_eq!(find(&detect, &["detect".into()], Some("de")), one("detect"));
        assert_eq!(find(&detect, &[], Some("fr")), Found::Nothing);
        let both = [made("detect", "completed"), made("de-CH", "completed")];
        assert_eq!(find(&both, &["detect".into(), "de-CH".into()], Some("de")), one("de-CH"));
        assert_eq!(find(&both, &[], None), one("detect"), "the earliest");
        assert_eq!(find(&both, &[], Some("d")), Found::Nothing, "a tag begins with whole parts");
    }

    #[test]
    fn what_is_under_way_and_what_failed_is_told() {
        assert_eq!(find(&[made("de", "pending")], &[], Some("de")), Found::NotYet);
        assert_eq!(find(&[made("detect", "running")], &[], Some("de")), Found::NotYet, "it may turn out to be that");
        assert_eq!(find(&[made("fr", "running")], &[], Some("de")), Found::Nothing);
        assert_eq!(find(&[made("de", "failed")], &[], Some("de")), Found::Failed(Some("no".into())));
        let retried = [made("de", "failed"), made("detect", "completed")];
        assert_eq!(find(&retried, &["detect".into()], Some("de")), one("detect"));
        assert_eq!(find(&[], &[], None), Found::Nothing);
    }
}
