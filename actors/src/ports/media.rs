//! What the actors need of a media server: credentials for those who are let in, rooms that are as the
//! meeting wants them, and a recorder. All of it is asked for by level: every call may be repeated, one
//! about what is not there is no error, and what is there is found by looking. Who is in a room is told
//! by session: each device is an identity of its own.

use super::MeetingKey;
use async_trait::async_trait;
use convoke_domain::recording::{Format, Part, Take};
use convoke_domain::shapes::{Media as Sources, Role, Source};
use convoke_domain::{ParticipantId, RecordingId, RoomId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A room of the media server. Its name there holds the generation: credentials cannot be taken
/// back, so whom they must not let in any more is shut out by another generation of the room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct MediaRoom {
    pub key: MeetingKey,
    pub room: RoomId,
    pub generation: u32,
}

/// A participant's way into the media of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaRequest {
    pub room: MediaRoom,
    pub participant: ParticipantId,
    pub session: SessionId,
    pub name: String,
    pub role: Role,
    /// What this person may publish.
    pub may: Sources,
}

/// Gives credentials for the media, as the JSON that the contract names `media`.
pub trait Media: Send + Sync + 'static {
    fn credentials(&self, request: &MediaRequest) -> String;

    /// How long credentials are good for; they are renewed before. None: for as long as they are needed.
    fn lifetime(&self) -> Option<Duration> {
        None
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the media server: {0}")]
pub struct MediaError(pub String);

/// A track that a device publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    /// The media server's name for it.
    pub id: String,
    pub source: Source,
    pub is_muted: bool,
}

/// A device in a room, as the media server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guest {
    pub may: Sources,
    pub tracks: Vec<Track>,
}

impl Guest {
    /// What is heard and seen of it.
    pub fn publishes(&self) -> Sources {
        let on = |source| self.tracks.iter().any(|track| track.source == source && !track.is_muted);
        Sources { audio: on(Source::Audio), video: on(Source::Video), screen: on(Source::Screen) }
    }
}

/// A meeting's rooms from afar: each with its generation, and how many devices are in it.
pub type Glance = BTreeMap<(RoomId, u32), u32>;

/// The rooms of a media server, each made to be as it is wanted.
#[async_trait]
pub trait MediaRooms: Send + Sync + 'static {
    /// The room exists.
    async fn ensure(&self, room: &MediaRoom) -> Result<(), MediaError>;
    /// Nobody is in the room, and it does not exist.
    async fn delete(&self, room: &MediaRoom) -> Result<(), MediaError>;
    /// The meeting's rooms as the latest listing of all rooms has them. One listing, at most as old as this,
    /// does for all rooms of a node. None: it does not say.
    async fn glance(&self, key: &MeetingKey, age_max: Duration) -> Result<Option<Glance>, MediaError>;
    /// Who is there, just now. None: it does not say.
    async fn present(&self, room: &MediaRoom) -> Result<Option<BTreeMap<SessionId, Guest>>, MediaError>;
    /// This device is not there any more.
    async fn remove(&self, room: &MediaRoom, session: SessionId) -> Result<(), MediaError>;
    /// This device may publish this, and nothing else; what it publishes besides is taken down.
    async fn permit(&self, room: &MediaRoom, session: SessionId, may: Sources) -> Result<(), MediaError>;
    /// This track is muted. Its device may unmute it.
    async fn mute(&self, room: &MediaRoom, session: SessionId, track: &str) -> Result<(), MediaError>;
    /// Whether its word, and not a socket's place, says who has arrived.
    fn reports_presence(&self) -> bool {
        false
    }
}

/// A take that is to be begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakeOrder {
    pub room: MediaRoom,
    pub recording: RecordingId,
    pub part: Part,
    pub format: Format,
    /// What its file is called among the objects, with folders and without an ending. It names the recording
    /// and the part (`owner_of`), so a take that was begun twice is found by it.
    pub path: String,
}

/// The takes of a meeting, as the recorder lists them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Takes {
    pub by_recording: BTreeMap<RecordingId, Vec<Take>>,
}

/// Records rooms.
#[async_trait]
pub trait Recorder: Send + Sync + 'static {
    /// Whether there is one at all.
    fn is_there(&self) -> bool;
    /// Begins a take. It may be asked for twice, where the answer was lost; both are in the listing then.
    async fn begin(&self, order: &TakeOrder) -> Result<Take, MediaError>;
    /// This take is to end. One that has ended, or is not known, is no error.
    async fn end(&self, take: &str) -> Result<(), MediaError>;
    /// The takes of these rooms' meeting: those that run, and for a while those that have ended. One
    /// listing, at most as old as this, does for all meetings of a node.
    async fn takes(&self, key: &MeetingKey, age_max: Duration) -> Result<Takes, MediaError>;
}

/// News of the media server about one meeting: that something changed, and at most a hint of what. It is
/// a reason to look; nothing is believed for having been said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaNews {
    /// Rooms in which people or tracks changed.
    pub rooms: BTreeSet<RoomId>,
    /// The takes that changed, as they were said to be.
    pub takes: Vec<(RecordingId, Take)>,
}
