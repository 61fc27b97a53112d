//! What somebody may do in a room of the LiveKit server: by their role, and by what the meeting lets
//! them publish. Credentials give it and `permit` changes it, so both are made from this. Sources are
//! always named one by one: an empty list there would mean all of them.

use convoke_domain::shapes::{Media as Sources, Role};
use livekit_api::access_token::VideoGrants;
use livekit_protocol::{ParticipantPermission, TrackSource};

/// What the meeting calls a source, as LiveKit's sources. The sound of a screen belongs to the screen.
fn track_sources(may: Sources) -> Vec<(&'static str, TrackSource)> {
    let mut sources = Vec::new();
    if may.audio {
        sources.push(("microphone", TrackSource::Microphone));
    }
    if may.video {
        sources.push(("camera", TrackSource::Camera));
    }
    if may.screen {
        sources.push(("screen_share", TrackSource::ScreenShare));
        sources.push(("screen_share_audio", TrackSource::ScreenShareAudio));
    }
    sources
}

/// Everybody hears and sees. Nobody administers anything: that is the meeting's alone. Services are
/// hidden, and marked as what they are, so that LiveKit does not count them as people who keep a room
/// open. Data is sent by services only: what people say goes by the meeting, past whose rules, log and
/// moderation it would go here.
pub fn grants(room: String, role: Role, may: Sources) -> VideoGrants {
    let names: Vec<String> = track_sources(may).into_iter().map(|(name, _)| name.to_owned()).collect();
    VideoGrants {
        room_join: true,
        room,
        can_subscribe: Some(true),
        can_publish: Some(!names.is_empty()),
        can_publish_sources: names,
        can_publish_data: Some(role.is_service()),
        can_update_own_metadata: Some(false),
        hidden: role.is_service(),
        recorder: role == Role::Recorder,
        agent: role == Role::Agent,
        ..VideoGrants::default()
    }
}

/// The same permission with other sources; what credentials gave besides stays.
pub fn permitted(before: ParticipantPermission, may: Sources) -> ParticipantPermission {
    let sources: Vec<i32> = track_sources(may).into_iter().map(|(_, source)| source.into()).collect();
    ParticipantPermission { can_publish: !sources.is_empty(), can_publish_sources: sources, ..before }
}

/// What a permission lets somebody publish, in the meeting's words.
pub fn may_of(permission: &ParticipantPermission) -> Sources {
    let may = |source: TrackSource| {
        let sources = &permission.can_publish_sources;
        permission.can_publish && (sources.is_empty() || sources.contains(&source.into()))
    };
    Sources {
        audio: may(TrackSource::Microphone),
        video: may(TrackSource::Camera),
        screen: may(TrackSource::ScreenShare),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> impl Iterator<Item = Sources> {
        (0..8).map(|bits| Sources { audio: bits & 1 != 0, video: bits & 2 != 0, screen: bits & 4 != 0 })
    }

    #[test]
    fn what_is_permitted_reads_as_it_was_given() {
        for may in all() {
            let before = ParticipantPermission { hidden: true, can_subscribe: true, ..Default::default() };
            let after = permitted(before.clone(), may);
            assert_eq!(may_of(&after), may);
            assert_eq!(after.can_publish, may != Sources::default(), "an empty list would mean everything");
            assert!(after.hidden && after.can_subscribe && !after.can_publish_data);
            assert_eq!(permitted(after.clone(), may), after, "nothing to change");
        }
    }

    #[test]
    fn an_empty_list_is_read_as_everything() {
        let permission = ParticipantPermission { can_publish: true, ..Default::default() };
        assert_eq!(may_of(&permission), Sources { audio: true, video: true, screen: true });
        assert_eq!(may_of(&ParticipantPermission::default()), Sources::default());
    }
}
