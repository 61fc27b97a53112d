//! Recordings over REST: begun and ended, as over a socket by the same commands of the meeting, which
//! decides about them.

use super::caused::caused;
use super::post::Post;
use super::reads::stored;
use super::{Edge, Problem};
use crate::projections::Kept;
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use convoke_actors::ports::MeetingKey;
use convoke_domain::recording::{Format, Recording, RecordingKind, StartRecording};
use convoke_domain::{Command, RecordingId, RoomId, Seq};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

/// Where nothing ran nothing is found. A repetition after a crash looks that far back.
const STOP_PAGES_MAX: usize = 10;

#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecordingOptions {
    /// `composite` (the room as one picture), `tracks`, `audio` or `screen`; `composite` if absent.
    #[schema(value_type = Option<String>)]
    pub kind: RecordingKind,
    /// `mp4` or `webm`; `mp4` if absent. Sound alone and single tracks have formats of their own.
    #[schema(value_type = Option<String>)]
    pub format: Format,
    /// Each participant's sound in a file of its own, besides.
    pub include_audio_tracks: bool,
    /// Each screen that is shared in a file of its own, besides.
    pub include_screen_share: bool,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewRecording {
    pub meeting_id: String,
    /// `main`, or a breakout room's id. Absent: with a join token the room that its person is in, otherwise
    /// the main room.
    #[schema(value_type = Option<String>)]
    pub room: Option<RoomId>,
    #[serde(default)]
    pub options: RecordingOptions,
}

#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RecordingStop {
    pub meeting_id: String,
    /// Absent: all that run in the meeting.
    #[schema(value_type = Option<String>)]
    pub recording_id: Option<RecordingId>,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Started {
    /// The position in the meeting's log at which it was done.
    #[schema(value_type = u64)]
    pub seq: Seq,
    pub recording: Kept,
}

#[derive(Serialize, utoipa::ToSchema)]
pub struct Stopped {
    /// The position in the meeting's log at which it was done.
    #[schema(value_type = u64)]
    pub seq: Seq,
    /// Those that are to end by this, and the one that was named, even if it had ended before.
    pub recordings: Vec<Kept>,
}

/// The recordings that a request changed, newest first.
async fn changed_by(
    edge: &Edge,
    key: &MeetingKey,
    request: Uuid,
    up_to: Seq,
    pages_max: usize,
) -> Result<Vec<RecordingId>, Problem> {
    #[derive(Deserialize)]
    struct Changed {
        recording: Recording,
    }
    let rows = caused(edge, key, "recording.changed", request, up_to, pages_max).await?;
    let changed = rows.iter().filter_map(|row| serde_json::from_str::<Changed>(&row.data).ok());
    Ok(changed.map(|changed| changed.recording.id).collect())
}

async fn kept(edge: &Edge, key: &MeetingKey, id: RecordingId) -> Result<Kept, Problem> {
    edge.projections.recording(&key.tenant, id).await.map_err(stored)?.ok_or_else(Problem::not_found)
}

/// Begins to record a room. It is `pending` until the recorder was seen to record; `recording.changed` tells
/// of that over the sockets and by webhook. With a join token: as its person may, who is in the meeting.
#[utoipa::path(post, path = "/api/v1/recordings/start", tag = "recordings", request_body = NewRecording,
    responses((status = 201, description = "the recording, which is asked for", body = Started),
        (status = 400, description = "`bad_request`: the body is not JSON"),
        (status = 403, description = "`not_permitted`: a join token of neither a host nor a cohost"),
        (status = 404, description = "`not_found`: an unknown meeting or room, or another tenant's"),
        (status = 409, description = "`wrong_state`: the meeting has not started or is over, the room is closing or closed, \
            the person is not inside, or this server has no recorder; `conflict`: the room is recorded so already, or an \
            Idempotency-Key with another body; `capacity`: too many recordings of the meeting are under way"),
        (status = 422, description = "`bad_request`: wrong data")))]
pub async fn start(post: Post) -> Result<HttpResponse, Problem> {
    let NewRecording { meeting_id, room, options } = post.body()?;
    let (post, key) = (&post, &post.caller.meeting(&meeting_id)?);
    let wanted = StartRecording {
        room,
        kind: options.kind,
        format: options.format,
        audio_tracks: options.include_audio_tracks,
        screen_share: options.include_screen_share,
    };
    post.once(|request| async move {
        let done = post.run(key, request, Command::StartRecording(wanted)).await?;
        let begun = changed_by(&post.edge, key, request, done.seq, usize::MAX).await?;
        let id = begun.first().copied().ok_or_else(Problem::not_found)?;
        let recording = kept(&post.edge, key, id).await?;
        Ok((StatusCode::CREATED, json!(Started { seq: done.seq, recording })))
    })
    .await
}

/// Ends a recording, or all of a meeting. Its files are finished after that: it is `stopping`, then `processing`,
/// and in the end `completed` or `failed`. To stop what has ended is no error.
#[utoipa::path(post, path = "/api/v1/recordings/stop", tag = "recordings", request_body = RecordingStop,
    responses((status = 200, description = "what is stopped", body = Stopped),
        (status = 400, description = "`bad_request`: the body is not JSON"),
        (status = 403, description = "`not_permitted`: a join token of neither a host nor a cohost"),
        (status = 404, description = "`not_found`: an unknown meeting or recording, or another tenant's"),
        (status = 409, description = "`wrong_state`: the meeting is over, or the person is not inside; `conflict`: an \
            Idempotency-Key with another body"),
        (status = 422, description = "`bad_request`: wrong data")))]
pub async fn stop(post: Post) -> Result<HttpResponse, Problem> {
    let RecordingStop { meeting_id, recording_id } = post.body()?;
    let (post, key) = (&post, &post.caller.meeting(&meeting_id)?);
    post.once(|request| async move {
        let done = post.run(key, request, Command::StopRecording { recording: recording_id }).await?;
        let ids = match recording_id {
            Some(id) => vec![id],
            None => changed_by(&post.edge, key, request, done.seq, STOP_PAGES_MAX).await?,
        };
        let mut recordings = Vec::new();
        for id in ids {
            recordings.push(kept(&post.edge, key, id).await?);
        }
        Ok((StatusCode::OK, json!(Stopped { seq: done.seq, recordings })))
    })
    .await
}
