//! What rooms and files are called at LiveKit.

use convoke_domain::recording::{Take, TakeState, owner_of};
use convoke_domain::{MeetingId, RecordingId, RoomId};
use livekit_protocol::{EgressInfo, EgressStatus};

pub fn name_of(meeting: MeetingId, room: RoomId, generation: u32) -> String {
    format!("{meeting}_{room}_{generation}")
}

pub fn room_of(name: &str) -> Option<(MeetingId, RoomId, u32)> {
    let mut parts = name.split('_');
    let (meeting, room) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    let generation = parts.next()?.parse().ok()?;
    (name_of(meeting, room, generation) == name).then_some((meeting, room, generation))
}

pub fn take_of(info: &EgressInfo) -> Option<(MeetingId, RecordingId, Take)> {
    let file = info.file_results.first()?;
    let (meeting, recording, part) = owner_of(&file.filename)?;
    let mut take = Take::of(info.egress_id.clone(), &part, file.filename.clone());
    take.state = match info.status() {
        EgressStatus::EgressStarting => TakeState::Starting,
        EgressStatus::EgressActive => TakeState::Active,
        EgressStatus::EgressEnding => TakeState::Ending,
        EgressStatus::EgressComplete | EgressStatus::EgressLimitReached => TakeState::Complete,
        EgressStatus::EgressFailed | EgressStatus::EgressAborted => TakeState::Failed,
    };
    Some((meeting, recording, take))
}
