//! A run of LiveKit Egress as a take. Whose it is stands in the path of its file, which is in the
//! request from the beginning and in the result at the end; so a run is known from any word about it,
//! also one that was begun by a call whose answer was lost.

use super::calls::readable;
use super::names::room_of;
use convoke_domain::recording::{Take, TakeState, owner_of};
use convoke_domain::{MeetingId, Millis, RecordingId};
use livekit_protocol::{EgressInfo, EgressStatus, FileInfo, egress_info, track_egress_request};

/// How many folders a path among the objects has, the file counted: tenant, meeting, file.
const FOLDERS: usize = 3;

/// None: it is not a take of ours.
pub fn take_of(info: &EgressInfo) -> Option<(MeetingId, RecordingId, Take)> {
    let result = result_of(info);
    let path = result.map(|file| file.filename.as_str()).filter(|path| !path.is_empty());
    let path = among_objects(path.or_else(|| asked_for(info))?)?;
    let (meeting, recording, part) = owner_of(path)?;
    if room_of(&info.room_name).is_some_and(|(of, _, _)| of != meeting) {
        return None;
    }
    let mut take = Take::of(info.egress_id.clone(), &part, path.to_owned());
    take.state = state_of(info.status(), result);
    take.started_at = millis(info.started_at);
    take.ended_at = millis(info.ended_at);
    if let Some(file) = result {
        take.bytes = u64::try_from(file.size).ok().filter(|bytes| *bytes > 0);
        take.duration_ms = millis(file.duration);
    }
    if take.state == TakeState::Failed {
        let told = readable(&info.error);
        take.error = Some(if told.is_empty() { info.status().as_str_name().to_lowercase() } else { told });
    }
    Some((meeting, recording, take))
}

fn state_of(status: EgressStatus, result: Option<&FileInfo>) -> TakeState {
    match status {
        EgressStatus::EgressStarting => TakeState::Starting,
        EgressStatus::EgressActive => TakeState::Active,
        EgressStatus::EgressEnding => TakeState::Ending,
        EgressStatus::EgressComplete => TakeState::Complete,
        // The limit is LiveKit's; what was recorded until then is kept.
        EgressStatus::EgressLimitReached if result.is_some_and(|file| file.size > 0) => TakeState::Complete,
        EgressStatus::EgressLimitReached | EgressStatus::EgressFailed | EgressStatus::EgressAborted => {
            TakeState::Failed
        }
    }
}

fn result_of(info: &EgressInfo) -> Option<&FileInfo> {
    let only = match &info.result {
        // Older servers tell of one file, here.
        #[allow(deprecated)]
        Some(egress_info::Result::File(file)) => Some(file),
        _ => None,
    };
    info.file_results.first().or(only)
}

/// The path that was asked for.
fn asked_for(info: &EgressInfo) -> Option<&str> {
    match info.request.as_ref()? {
        egress_info::Request::RoomComposite(request) => {
            request.file_outputs.first().map(|output| output.filepath.as_str())
        }
        egress_info::Request::Track(request) => match request.output.as_ref()? {
            track_egress_request::Output::File(output) => Some(output.filepath.as_str()),
            track_egress_request::Output::WebsocketUrl(_) => None,
        },
        _ => None,
    }
}

/// The path among the objects, without what stands before it where Egress sees it.
fn among_objects(path: &str) -> Option<&str> {
    let at = path.rmatch_indices('/').nth(FOLDERS.saturating_sub(1));
    match at {
        Some((at, _)) => path.get(at.saturating_add(1)..),
        None => Some(path),
    }
}

/// LiveKit counts nanoseconds, and says zero for what it does not know.
fn millis(nanos: i64) -> Option<Millis> {
    u64::try_from(nanos / 1_000_000).ok().filter(|millis| *millis > 0)
}

#[cfg(test)]
mod tests;
