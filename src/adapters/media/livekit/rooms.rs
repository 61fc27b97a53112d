//! The rooms at the LiveKit server, made to be as the meeting wants them. What is asked about somebody
//! who is not there is done. Who is there is told by identity: ours are session ids, and whatever else
//! is in a room (LiveKit's own recorder, say) is nobody's device.

use super::calls::{counted, done_or_gone};
use super::names::{name_of, room_of};
use super::{LiveKit, grants};
use async_trait::async_trait;
use convoke_actors::ports::{Glance, Guest, MediaError, MediaRoom, MediaRooms, Track};
use convoke_domain::SessionId;
use convoke_domain::shapes::{Media as Sources, Source};
use livekit_api::access_token::VideoGrants;
use livekit_api::services::room::{CreateRoomOptions, RemoveParticipantOptions, UpdateParticipantOptions};
use livekit_protocol::participant_info::{Kind, State};
use livekit_protocol::{
    MuteRoomTrackRequest, MuteRoomTrackResponse, ParticipantInfo, TrackInfo, TrackSource, TrackType,
};
use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long LiveKit keeps a room that nobody has come to: as long as it keeps one by itself. One that
/// is wanted longer is made again.
const EMPTY_S: u32 = 300;
/// How long it keeps one that everybody has left: longer than a client takes to come back.
const DEPARTED_S: u32 = 60;
/// The meeting counts its people; this is only to be more than it ever lets in, with all their devices.
const DEVICES_MAX: u32 = 100_000;

#[async_trait]
impl MediaRooms for LiveKit {
    async fn ensure(&self, room: &MediaRoom) -> Result<(), MediaError> {
        let options = CreateRoomOptions {
            empty_timeout: EMPTY_S,
            departure_timeout: DEPARTED_S,
            max_participants: DEVICES_MAX,
            ..CreateRoomOptions::default()
        };
        counted("create_room", self.rooms.create_room(&name(room), options)).await?;
        Ok(())
    }

    async fn delete(&self, room: &MediaRoom) -> Result<(), MediaError> {
        done_or_gone(counted("delete_room", self.rooms.delete_room(&name(room))).await)
    }

    async fn glance(&self, room: &MediaRoom, age_max: Duration) -> Result<Option<Glance>, MediaError> {
        let listed = self.listed.get(age_max, || self.list()).await?;
        let devices = listed.get(&name(room));
        Ok(Some(Glance { exists: devices.is_some(), devices: devices.copied().unwrap_or_default() }))
    }

    async fn present(&self, room: &MediaRoom) -> Result<Option<BTreeMap<SessionId, Guest>>, MediaError> {
        let there = counted("list_participants", self.rooms.list_participants(&name(room))).await;
        match there {
            Ok(there) => Ok(Some(there.iter().filter_map(guest_of).collect())),
            Err(failed) => done_or_gone::<()>(Err(failed)).map(|()| Some(BTreeMap::new())),
        }
    }

    async fn remove(&self, room: &MediaRoom, session: SessionId) -> Result<(), MediaError> {
        // Servers that know how to refuse the tokens of before this moment are asked to; left out, it
        // would be a minute from now, and would refuse somebody who is let in again at once.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let options = RemoveParticipantOptions { revoke_token_ts: i64::try_from(now.as_secs()).unwrap_or(i64::MAX) };
        let (room, identity) = (name(room), session.to_string());
        let call = self.rooms.remove_participant_with_options(&room, &identity, options);
        done_or_gone(counted("remove_participant", call).await)
    }

    /// What the credentials gave besides stays, so it is read first.
    async fn permit(&self, room: &MediaRoom, session: SessionId, may: Sources) -> Result<(), MediaError> {
        let (room, identity) = (name(room), session.to_string());
        let found = counted("get_participant", self.rooms.get_participant(&room, &identity)).await;
        let before = match found {
            Ok(participant) => participant.permission.unwrap_or_default(),
            Err(failed) => return done_or_gone::<()>(Err(failed)),
        };
        let permission = grants::permitted(before.clone(), may);
        if permission == before {
            return Ok(());
        }
        let options = UpdateParticipantOptions { permission: Some(permission), ..UpdateParticipantOptions::default() };
        done_or_gone(counted("update_participant", self.rooms.update_participant(&room, &identity, options)).await)
    }

    async fn mute(&self, room: &MediaRoom, session: SessionId, track: &str) -> Result<(), MediaError> {
        let grants = VideoGrants { room_admin: true, room: name(room), ..VideoGrants::default() };
        let question = MuteRoomTrackRequest {
            room: name(room),
            identity: session.to_string(),
            track_sid: track.to_owned(),
            muted: true,
        };
        let call = self.twirp.call::<_, MuteRoomTrackResponse>("RoomService/MutePublishedTrack", grants, &question);
        done_or_gone(counted("mute_published_track", call).await)
    }

    fn reports_presence(&self) -> bool {
        true
    }
}

impl LiveKit {
    /// All rooms of ours. LiveKit gives them in one answer, without pages.
    async fn list(&self) -> Result<HashMap<String, u32>, MediaError> {
        let rooms = counted("list_rooms", self.rooms.list_rooms(Vec::new())).await?;
        let ours = rooms.into_iter().filter(|room| room_of(&room.name).is_some());
        Ok(ours.map(|room| (room.name, room.num_participants)).collect())
    }
}

fn name(room: &MediaRoom) -> String {
    name_of(room.key.meeting, room.room, room.generation)
}

/// Somebody's device. The meeting's services are told of too, though they are hidden from people: one
/// that is not wanted any more has to go like anybody else.
fn guest_of(participant: &ParticipantInfo) -> Option<(SessionId, Guest)> {
    let session: SessionId = participant.identity.parse().ok()?;
    let is_ours = session.to_string() == participant.identity && participant.kind() != Kind::Egress;
    if !is_ours || participant.state() == State::Disconnected {
        return None;
    }
    let may = participant.permission.as_ref().map(grants::may_of).unwrap_or_default();
    Some((session, Guest { may, tracks: participant.tracks.iter().filter_map(track_of).collect() }))
}

fn track_of(track: &TrackInfo) -> Option<Track> {
    let source = match (track.source(), track.r#type()) {
        (TrackSource::Microphone, _) | (TrackSource::Unknown, TrackType::Audio) => Source::Audio,
        (TrackSource::Camera, _) | (TrackSource::Unknown, TrackType::Video) => Source::Video,
        (TrackSource::ScreenShare | TrackSource::ScreenShareAudio, _) => Source::Screen,
        (TrackSource::Unknown, TrackType::Data) => return None,
    };
    Some(Track { id: track.sid.clone(), source, is_muted: track.muted })
}

#[cfg(test)]
mod tests {
    use super::*;
    use livekit_protocol::ParticipantPermission;
    use uuid::Uuid;

    fn participant(identity: &str) -> ParticipantInfo {
        let track = |sid: &str, source: TrackSource, kind: TrackType, muted| TrackInfo {
            sid: sid.to_owned(),
            source: source.into(),
            r#type: kind.into(),
            muted,
            ..TrackInfo::default()
        };
        ParticipantInfo {
            identity: identity.to_owned(),
            state: State::Active.into(),
            permission: Some(grants::permitted(
                ParticipantPermission::default(),
                Sources { audio: true, video: false, screen: true },
            )),
            tracks: vec![
                track("TR_A", TrackSource::Microphone, TrackType::Audio, true),
                track("TR_S", TrackSource::ScreenShareAudio, TrackType::Audio, false),
                track("TR_U", TrackSource::Unknown, TrackType::Video, false),
                track("TR_D", TrackSource::Unknown, TrackType::Data, false),
            ],
            ..ParticipantInfo::default()
        }
    }

    #[test]
    fn a_device_is_told_with_what_it_may_and_does() {
        let session = SessionId(Uuid::from_u128(7));
        let (told, guest) = guest_of(&participant(&session.to_string())).unwrap();
        assert_eq!(told, session);
        assert_eq!(guest.may, Sources { audio: true, video: false, screen: true });
        assert_eq!(guest.publishes(), Sources { audio: false, video: true, screen: true });
        let ids: Vec<&str> = guest.tracks.iter().map(|track| track.id.as_str()).collect();
        assert_eq!(ids, ["TR_A", "TR_S", "TR_U"]);
    }

    #[test]
    fn who_is_no_device_of_ours_is_not_told() {
        let ours = SessionId(Uuid::from_u128(0xabc)).to_string();
        for identity in ["EG_abcdef", "", &ours.to_uppercase(), &ours.replace('-', "")] {
            assert!(guest_of(&participant(identity)).is_none(), "{identity}");
        }
        let mut gone = participant(&ours);
        gone.state = State::Disconnected.into();
        assert!(guest_of(&gone).is_none());
        let recorder = ParticipantInfo { kind: Kind::Egress.into(), ..participant(&ours) };
        assert!(guest_of(&recorder).is_none());
        let hidden = ParticipantPermission { hidden: true, ..ParticipantPermission::default() };
        let service = ParticipantInfo { permission: Some(hidden), ..participant(&ours) };
        assert!(guest_of(&service).is_some(), "the meeting's own services can be sent away");
    }
}
