//! The shapes that clients see, exactly as the wire contract names them. Events carry them whole,
//! so the bytes that are stored are the bytes that are sent.

use crate::ids::{InvitationId, MeetingId, MessageId, Millis, ParticipantId, RoomId, To, UserId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Host,
    Cohost,
    Participant,
    Viewer,
    /// A service that takes part, such as a captioner; hidden, never counted against limits.
    Agent,
    /// A service that records; hidden, never counted against limits.
    Recorder,
}

impl Role {
    /// Hosts and cohosts run the meeting.
    pub fn leads(self) -> bool {
        matches!(self, Self::Host | Self::Cohost)
    }
    pub fn is_service(self) -> bool {
        matches!(self, Self::Agent | Self::Recorder)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Cohost => "cohost",
            Self::Participant => "participant",
            Self::Viewer => "viewer",
            Self::Agent => "agent",
            Self::Recorder => "recorder",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Status {
    #[default]
    Scheduled,
    Live,
    Ended,
    Cancelled,
}

impl Status {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Ended | Self::Cancelled)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Live => "live",
            Self::Ended => "ended",
            Self::Cancelled => "cancelled",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum LobbyPolicy {
    #[default]
    Off,
    Guests,
    Everyone,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ChatPolicy {
    #[default]
    Everyone,
    Hosts,
    Off,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WhiteboardPolicy {
    #[default]
    Everyone,
    Hosts,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Settings {
    pub lobby: LobbyPolicy,
    pub join_before_host: bool,
    pub locked: bool,
    pub max_participants: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_absent_end_s: Option<u32>,
    /// The main room is recorded while people are in it.
    pub auto_record: bool,
    /// It begins when so many are there.
    pub auto_record_min_participants: u32,
    /// Whoever is recorded publishes nothing before they have consented.
    pub recording_consent: bool,
    pub chat: ChatPolicy,
    pub allow_unmute: bool,
    pub allow_screen_share: bool,
    pub allow_rename: bool,
    pub whiteboard: WhiteboardPolicy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            lobby: LobbyPolicy::Off,
            join_before_host: true,
            locked: false,
            max_participants: 1_000,
            max_duration_s: None,
            host_absent_end_s: None,
            auto_record: false,
            auto_record_min_participants: 1,
            recording_consent: false,
            chat: ChatPolicy::Everyone,
            allow_unmute: true,
            allow_screen_share: true,
            allow_rename: true,
            whiteboard: WhiteboardPolicy::Everyone,
        }
    }
}

/// A change of some settings. `null` takes an optional one away; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct SettingsPatch {
    pub lobby: Option<LobbyPolicy>,
    pub join_before_host: Option<bool>,
    pub locked: Option<bool>,
    pub max_participants: Option<u32>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub max_duration_s: Option<Option<u32>>,
    #[serde(deserialize_with = "nullable", skip_serializing_if = "Option::is_none")]
    pub host_absent_end_s: Option<Option<u32>>,
    pub auto_record: Option<bool>,
    pub auto_record_min_participants: Option<u32>,
    pub recording_consent: Option<bool>,
    pub chat: Option<ChatPolicy>,
    pub allow_unmute: Option<bool>,
    pub allow_screen_share: Option<bool>,
    pub allow_rename: Option<bool>,
    pub whiteboard: Option<WhiteboardPolicy>,
}

fn nullable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::<u32>::deserialize(from).map(Some)
}

impl Settings {
    pub fn patched(&self, patch: &SettingsPatch) -> Self {
        Self {
            lobby: patch.lobby.unwrap_or(self.lobby),
            join_before_host: patch.join_before_host.unwrap_or(self.join_before_host),
            locked: patch.locked.unwrap_or(self.locked),
            max_participants: patch.max_participants.unwrap_or(self.max_participants),
            max_duration_s: patch.max_duration_s.unwrap_or(self.max_duration_s),
            host_absent_end_s: patch.host_absent_end_s.unwrap_or(self.host_absent_end_s),
            auto_record: patch.auto_record.unwrap_or(self.auto_record),
            auto_record_min_participants: patch
                .auto_record_min_participants
                .unwrap_or(self.auto_record_min_participants),
            recording_consent: patch.recording_consent.unwrap_or(self.recording_consent),
            chat: patch.chat.unwrap_or(self.chat),
            allow_unmute: patch.allow_unmute.unwrap_or(self.allow_unmute),
            allow_screen_share: patch.allow_screen_share.unwrap_or(self.allow_screen_share),
            allow_rename: patch.allow_rename.unwrap_or(self.allow_rename),
            whiteboard: patch.whiteboard.unwrap_or(self.whiteboard),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MeetingInfo {
    pub id: MeetingId,
    pub title: String,
    pub status: Status,
    pub created_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub scheduled_at: Option<Millis>,
    /// An iCalendar RRULE, kept for the integrator and shown back; occurrences are theirs to make.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recurrence: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Millis>,
    /// The deadline that `max_duration_s` sets once the meeting is live.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ends_at: Option<Millis>,
    pub settings: Settings,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Connection {
    Connected,
    Disconnected,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Media {
    pub audio: bool,
    pub video: bool,
    pub screen: bool,
}

/// How good a device's connection to the media server is, as that tells the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Quality {
    Excellent,
    Good,
    Poor,
    Lost,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Audio,
    Video,
    Screen,
}

impl Media {
    pub fn set(&mut self, source: Source, on: bool) {
        match source {
            Source::Audio => self.audio = on,
            Source::Video => self.video = on,
            Source::Screen => self.screen = on,
        }
    }

    pub fn has(self, source: Source) -> bool {
        match source {
            Source::Audio => self.audio,
            Source::Video => self.video,
            Source::Screen => self.screen,
        }
    }
}

impl Source {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Screen => "screen",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        [Self::Audio, Self::Video, Self::Screen].into_iter().find(|source| source.as_str() == name)
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Participant {
    pub id: ParticipantId,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    pub name: String,
    pub role: Role,
    pub room: RoomId,
    pub state: Connection,
    pub joined_at: Millis,
    pub media: Media,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hand_at: Option<Millis>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RoomKind {
    Main,
    Breakout,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RoomState {
    Open,
    Closing,
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Room {
    pub id: RoomId,
    pub name: String,
    pub kind: RoomKind,
    pub state: RoomState,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ends_at: Option<Millis>,
}

impl Room {
    pub fn main() -> Self {
        Self { id: RoomId::Main, name: "Main".to_owned(), kind: RoomKind::Main, state: RoomState::Open, ends_at: None }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Message {
    pub id: MessageId,
    /// Absent where the tenant's backend spoke.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub from: Option<ParticipantId>,
    pub to: To,
    /// The room it belongs to.
    pub room: RoomId,
    /// The room it was said in, where that was merged into another since.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<RoomId>,
    pub text: String,
    pub at: Millis,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reply_to: Option<MessageId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub edited_at: Option<Millis>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub deleted: bool,
    #[serde(default)]
    pub reactions: BTreeMap<String, u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LobbyEntry {
    pub participant: ParticipantId,
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    pub since_at: Millis,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Hand {
    pub participant: ParticipantId,
    pub at: Millis,
}

/// A countdown that everybody sees. Both times are absolute, so no client's drifts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Timer {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub title: Option<String>,
    pub started_at: Millis,
    pub ends_at: Millis,
}

/// An invitation as the log keeps it: the code itself is a secret and only its digest is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Invitation {
    pub id: InvitationId,
    pub email: String,
    pub role: Role,
    pub code_digest: String,
    pub created_at: Millis,
}
