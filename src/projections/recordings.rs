//! What happens to recordings, as statements. The rows here are the log's word; what storage knows by
//! itself stands in tables that a rebuild leaves alone, and of those this makes one row, once: a
//! recording that is completed is to be looked at.

use super::sql::{Statement, of_meeting};
use convoke_actors::frame::json;
use convoke_actors::ports::MeetingKey;
use convoke_domain::recording::{Recording, RecordingStatus, Take, TakeState};
use convoke_domain::{Millis, ParticipantId, RecordingId};

pub fn state(state: TakeState) -> &'static str {
    match state {
        TakeState::Starting => "starting",
        TakeState::Active => "active",
        TakeState::Ending => "ending",
        TakeState::Complete => "complete",
        TakeState::Failed => "failed",
    }
}

pub fn changed(key: &MeetingKey, recording: &Recording) -> Vec<Statement> {
    let row = of_meeting!(
        key,
        "INSERT INTO recording_jobs (tenant, meeting, id, room, status, kind, format, name, automatic, consent, \
         asked_at, started_at, ended_at, error, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
         ON CONFLICT (tenant, id) DO UPDATE SET status = excluded.status, started_at = excluded.started_at, \
         ended_at = excluded.ended_at, error = excluded.error, data = excluded.data \
         WHERE recording_jobs.meeting = excluded.meeting",
        recording.id.0,
        recording.room.to_string(),
        recording.status.as_str(),
        recording.kind.as_str(),
        recording.format.as_str(),
        recording.name.as_str(),
        u64::from(recording.automatic),
        u64::from(recording.consent),
        recording.asked_at,
        recording.started_at,
        recording.ended_at,
        recording.error.clone(),
        json(recording)
    );
    let look = (recording.status == RecordingStatus::Completed).then(|| {
        of_meeting!(
            key,
            "INSERT INTO recording_objects (tenant, meeting, recording, look_at) VALUES ($1, $2, $3, 0) \
             ON CONFLICT (tenant, recording) DO UPDATE SET look_at = 0 \
             WHERE recording_objects.look_at IS NULL AND recording_objects.looks = 0",
            recording.id.0
        )
    });
    [row].into_iter().chain(look).collect()
}

/// The log has takes merged already: the last word of one counts.
pub fn taken(key: &MeetingKey, recording: RecordingId, take: &Take) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO recording_tracks (tenant, meeting, recording, take, part, participant, source, state, file, \
         bytes, duration_ms, started_at, ended_at, error) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
         ON CONFLICT (tenant, recording, take) DO UPDATE SET part = excluded.part, \
         participant = excluded.participant, source = excluded.source, state = excluded.state, \
         file = excluded.file, bytes = excluded.bytes, duration_ms = excluded.duration_ms, \
         started_at = excluded.started_at, ended_at = excluded.ended_at, error = excluded.error \
         WHERE recording_tracks.meeting = excluded.meeting",
        recording.0,
        take.id.as_str(),
        take.part.as_str(),
        take.participant.map(|id| id.0),
        take.source.map(|source| source.as_str().to_owned()),
        state(take.state),
        take.file.as_str(),
        take.bytes,
        take.duration_ms,
        take.started_at,
        take.ended_at,
        take.error.clone()
    )
}

pub fn consented(
    key: &MeetingKey,
    recording: RecordingId,
    participant: ParticipantId,
    given: bool,
    at: Millis,
) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO recording_consents (tenant, meeting, recording, participant, given, at) \
         VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (tenant, recording, participant) DO UPDATE SET \
         given = excluded.given, at = excluded.at",
        recording.0,
        participant.0,
        u64::from(given),
        at
    )
}
