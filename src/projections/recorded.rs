//! Recordings as REST and storage read them: what the log says, and with it what storage knows by itself.
//! What was deleted is in none of these answers.

use super::Projections;
use super::read::{Page, ask, containing, more};
use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::recording::Recording;
use convoke_domain::{MeetingId, Millis, ParticipantId, RecordingId, TenantId};
use serde::Serialize;
use sqlx::query_as;
use uuid::Uuid;

/// A recording whose files are not deleted.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = StoredRecording)]
pub struct Kept {
    #[schema(value_type = String)]
    pub meeting: MeetingId,
    /// The meeting's title.
    pub title: String,
    /// With the name that it was given last.
    #[serde(flatten)]
    #[schema(value_type = Object)]
    pub recording: Recording,
    /// It is not deleted while this holds.
    pub legal_hold: bool,
    /// Where its files were moved to; absent: nowhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tier: Option<String>,
    /// Of its longest file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// Of all its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Whether there is a picture: a link for the file `thumbnail`.
    pub thumbnail: bool,
    /// Its files are being deleted.
    pub deleting: bool,
    /// What its files are called.
    #[serde(skip)]
    pub stem: String,
    /// Where the picture is.
    #[serde(skip)]
    pub picture: Option<String>,
}

impl Kept {
    pub fn key(&self, tenant: &TenantId) -> MeetingKey {
        MeetingKey { tenant: tenant.clone(), meeting: self.meeting }
    }
}

type Row = (
    Uuid,
    Option<String>,
    String,
    Option<String>,
    Option<i64>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<i64>,
);

fn kept(row: Row) -> Option<Kept> {
    let (meeting, title, data, name, hold, tier, seen_ms, longest_ms, bytes, picture, deleting_at) = row;
    let mut recording: Recording = serde_json::from_str(&data).ok()?;
    let stem = recording.name.clone();
    recording.name = name.unwrap_or(recording.name);
    Some(Kept {
        meeting: MeetingId(meeting),
        title: title.unwrap_or_default(),
        recording,
        legal_hold: hold.unwrap_or(0) != 0,
        tier,
        duration_ms: seen_ms.max(longest_ms).map(to_u64),
        bytes: bytes.map(to_u64),
        thumbnail: picture.is_some(),
        deleting: deleting_at.is_some(),
        stem,
        picture,
    })
}

/// One file of a recording.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = RecordingFile)]
pub struct File {
    /// What a link is asked for with.
    pub id: String,
    /// What it is of: the whole room, or a track.
    pub part: String,
    /// Whose it is; absent: the room's.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub participant: Option<ParticipantId>,
    /// `audio`, `video` or `screen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `starting`, `active`, `ending`, `complete` or `failed`; `erased` where the person was.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// As the recorder has it: to be checked before anything is done with it.
    #[serde(skip)]
    pub path: String,
    /// Where storage has moved it to.
    #[serde(skip)]
    pub location: Option<String>,
}

impl File {
    pub fn is_complete(&self) -> bool {
        self.state == "complete"
    }
}

type FileRow = (
    String,
    String,
    Option<Uuid>,
    Option<String>,
    String,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    String,
    Option<String>,
    Option<i64>,
);

fn file(row: FileRow) -> File {
    let (id, part, participant, source, state, bytes, duration, from, to, error, path, location, deleted_at) = row;
    File {
        id,
        part,
        participant: participant.map(ParticipantId),
        source,
        state: if deleted_at.is_some() { "erased".to_owned() } else { state },
        bytes: bytes.map(to_u64),
        duration_ms: duration.map(to_u64),
        started_at: from.map(to_u64),
        ended_at: to.map(to_u64),
        error,
        path,
        location,
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = RecordingConsent)]
pub struct Consent {
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    pub given: bool,
    pub at: Millis,
}

/// Which recordings are asked for.
#[derive(Clone, Debug, Default)]
pub struct Listed {
    pub meeting: Option<MeetingId>,
    pub status: Option<String>,
    /// Part of a name, or of a meeting's title.
    pub text: Option<String>,
    pub before: Option<Uuid>,
}

macro_rules! recordings {
    ($rest:literal) => {
        concat!(
            "SELECT j.meeting, m.title, j.data, o.name, o.legal_hold, o.tier, o.duration_ms, \
             (SELECT MAX(t.duration_ms) FROM recording_tracks t WHERE t.tenant = j.tenant AND t.recording = j.id), \
             (SELECT CAST(SUM(t.bytes) AS BIGINT) FROM recording_tracks t \
             WHERE t.tenant = j.tenant AND t.recording = j.id), o.thumbnail, o.deleting_at \
             FROM recording_jobs j \
             LEFT JOIN recording_objects o ON o.tenant = j.tenant AND o.recording = j.id \
             LEFT JOIN meetings_view m ON m.tenant = j.tenant AND m.id = j.meeting \
             WHERE j.tenant = $1 AND o.deleted_at IS NULL ",
            $rest
        )
    };
}

impl Projections {
    pub async fn recording(&self, tenant: &TenantId, id: RecordingId) -> Result<Option<Kept>, StoreError> {
        let row: Option<Row> = ask!(self, fetch_optional, query_as(recordings!("AND j.id = $2")), &tenant.0, id.0);
        Ok(row.and_then(kept))
    }

    /// The tenant's recordings, newest first.
    pub async fn recordings(&self, tenant: &TenantId, listed: &Listed, limit: usize) -> Result<Page<Kept>, StoreError> {
        let rows: Vec<Row> = ask!(
            self,
            fetch_all,
            query_as(recordings!(
                "AND ($2 IS NULL OR j.meeting = $2) AND ($3 IS NULL OR j.status = $3) \
                 AND ($4 IS NULL OR lower(COALESCE(o.name, j.name)) LIKE $4 ESCAPE '!' \
                 OR lower(m.title) LIKE $4 ESCAPE '!') \
                 AND ($5 IS NULL OR j.id < $5) ORDER BY j.id DESC LIMIT $6"
            )),
            &tenant.0,
            listed.meeting.map(|id| id.0),
            listed.status.as_deref(),
            listed.text.as_deref().map(containing),
            listed.before,
            more(limit)
        );
        let rows = rows.into_iter().filter_map(kept).collect();
        Ok(Page::cut(rows, limit, |kept: &Kept| kept.recording.id.to_string()))
    }

    /// The files of a recording: what is of the whole room first, in the order in which they began.
    pub async fn files(&self, tenant: &TenantId, recording: RecordingId) -> Result<Vec<File>, StoreError> {
        let rows: Vec<FileRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT t.take, t.part, t.participant, t.source, t.state, t.bytes, t.duration_ms, t.started_at, \
                 t.ended_at, t.error, t.file, f.location, f.deleted_at FROM recording_tracks t \
                 LEFT JOIN recording_files f \
                 ON f.tenant = t.tenant AND f.recording = t.recording AND f.take = t.take \
                 WHERE t.tenant = $1 AND t.recording = $2 \
                 ORDER BY t.participant IS NOT NULL, COALESCE(t.started_at, 0), t.take"
            ),
            &tenant.0,
            recording.0
        );
        Ok(rows.into_iter().map(file).collect())
    }

    pub async fn consents(&self, tenant: &TenantId, recording: RecordingId) -> Result<Vec<Consent>, StoreError> {
        let rows: Vec<(Uuid, i64, i64)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT participant, given, at FROM recording_consents WHERE tenant = $1 AND recording = $2 \
                 ORDER BY at, participant"
            ),
            &tenant.0,
            recording.0
        );
        let consent = |(who, given, at)| Consent { participant: ParticipantId(who), given: given != 0, at: to_u64(at) };
        Ok(rows.into_iter().map(consent).collect())
    }

    /// The recordings in which somebody has tracks of their own, with those.
    pub async fn tracks_of(
        &self,
        key: &MeetingKey,
        who: ParticipantId,
    ) -> Result<Vec<(RecordingId, File)>, StoreError> {
        type Own = (Uuid, String, String, Option<String>, String, Option<i64>, Option<i64>, Option<i64>, Option<i64>);
        let rows: Vec<Own> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT t.recording, t.take, t.part, t.source, t.state, t.bytes, t.duration_ms, t.started_at, \
                 t.ended_at FROM recording_tracks t WHERE t.tenant = $1 AND t.meeting = $2 AND t.participant = $3 \
                 AND NOT EXISTS (SELECT 1 FROM recording_objects o WHERE o.tenant = t.tenant \
                 AND o.recording = t.recording AND o.deleted_at IS NOT NULL) \
                 AND NOT EXISTS (SELECT 1 FROM recording_files f WHERE f.tenant = t.tenant \
                 AND f.recording = t.recording AND f.take = t.take AND f.deleted_at IS NOT NULL) \
                 ORDER BY t.recording, t.take"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        let own = |(recording, take, part, source, state, bytes, duration, from, to): Own| {
            let rest = (None, String::new(), None, None);
            let row =
                (take, part, Some(who.0), source, state, bytes, duration, from, to, rest.0, rest.1, rest.2, rest.3);
            (RecordingId(recording), file(row))
        };
        Ok(rows.into_iter().map(own).collect())
    }
}
