//! What can be asked of a meeting. [`Command`] is a client's or a backend's request by its wire
//! name; [`Input`] is everything that can reach the aggregate, people's comings and goings and the
//! passing of time included.

use crate::breakout::{Destination, OpenRooms};
use crate::caption::PublishCaption;
use crate::ids::{
    InvitationId, MeetingId, MessageId, Millis, ParticipantId, PollId, QuestionId, RecordingId, RoomId, SessionId,
    TenantId, To, UserId, WhiteboardId,
};
use crate::poll::OpenPoll;
use crate::recording::{Observation, StartRecording};
use crate::rejection::Rejection;
use crate::shapes::{Quality, Role, Settings, SettingsPatch, Source};
use crate::whiteboard::{CreateWhiteboard, WhiteboardAccess};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum By {
    /// A session's numbered command.
    Session { session: SessionId, id: u64 },
    /// The tenant's backend, with an API token.
    Operator,
    /// A join token over REST: it acts for its user, with the role that the meeting records, or,
    /// for somebody the meeting has not met, with the role of the token.
    Token { user: Option<UserId>, role: Role },
}

/// Somebody at the door, with a token that the edge has verified.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    pub session: SessionId,
    pub user: Option<UserId>,
    pub name: String,
    pub role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub tenant: TenantId,
    pub id: MeetingId,
    pub title: String,
    pub scheduled_at: Option<u64>,
    pub recurrence: Option<String>,
    pub settings: Settings,
    /// Breakout rooms to be opened later.
    pub breakout: Option<OpenRooms>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    Create(Create),
    Join(Join),
    /// A session has had no socket for longer than a drop may last.
    SessionLost(SessionId),
    /// A lost session has a socket again.
    SessionBack(SessionId),
    Command {
        by: By,
        command: Command,
    },
    /// A backend's request that may come again, under an id of its own: it has one effect.
    Once {
        request: Uuid,
        by: By,
        command: Command,
    },
    /// The edge refused a numbered command; the number is taken all the same.
    Refused {
        rejection: Rejection,
    },
    /// The meeting was taken over from an owner that died: deadlines of absence start anew.
    Recovered,
    /// What was seen of the media.
    Seen(Observation),
    /// Erasure of a person, by the tenant.
    Erase(UserId),
    /// Nothing but the passing of time.
    Tick,
}

/// Accepts an absent or `null` payload for commands that carry nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Nothing {}

/// One participant, or all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OneOrAll {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub participant: Option<ParticipantId>,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub all: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct One {
    pub participant: ParticipantId,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct NewInvitation {
    pub id: InvitationId,
    pub email: String,
    pub role: Role,
    pub code_digest: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "data")]
pub enum Command {
    #[serde(rename = "leave")]
    Leave {
        #[serde(default)]
        all: bool,
        #[serde(default)]
        transfer_to: Option<ParticipantId>,
    },
    #[serde(rename = "meeting.start")]
    StartMeeting(Nothing),
    #[serde(rename = "meeting.end")]
    EndMeeting(Nothing),
    /// Over REST only: a meeting that never took place.
    #[serde(rename = "meeting.cancel")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    CancelMeeting,
    #[serde(rename = "meeting.update")]
    UpdateMeeting {
        #[serde(default)]
        title: Option<String>,
        #[serde(default)]
        settings: Option<SettingsPatch>,
        /// Over REST only; ignored in a live meeting's log once it has started.
        #[serde(default)]
        scheduled_at: Option<u64>,
    },
    #[serde(rename = "lobby.admit")]
    AdmitGuest(OneOrAll),
    #[serde(rename = "lobby.deny")]
    DenyGuest(OneOrAll),
    #[serde(rename = "lobby.message")]
    MessageLobby { text: String },
    #[serde(rename = "participant.set_role")]
    SetRole { participant: ParticipantId, role: Role },
    #[serde(rename = "participant.rename")]
    Rename { participant: ParticipantId, name: String },
    #[serde(rename = "participant.mute")]
    Mute {
        #[serde(flatten)]
        whom: OneOrAll,
        source: Source,
    },
    #[serde(rename = "participant.permit")]
    Permit {
        #[serde(flatten)]
        whom: OneOrAll,
        source: Source,
        allowed: bool,
    },
    #[serde(rename = "participant.set_media")]
    SetMedia { audio: bool, video: bool, screen: bool },
    /// A media server tells it to nobody but the devices.
    #[serde(rename = "participant.set_quality")]
    SetQuality { quality: Quality },
    #[serde(rename = "participant.remove")]
    Remove {
        participant: ParticipantId,
        #[serde(default)]
        ban: bool,
    },
    #[serde(rename = "participant.to_lobby")]
    SendToLobby(One),
    #[serde(rename = "participants.list")]
    ListParticipants {
        #[serde(default)]
        cursor: Option<ParticipantId>,
    },
    #[serde(rename = "hand.raise")]
    RaiseHand(Nothing),
    #[serde(rename = "hand.lower")]
    LowerHand(OneOrAll),
    #[serde(rename = "reaction.send")]
    React { emoji: String },
    #[serde(rename = "chat.post")]
    PostMessage {
        to: To,
        text: String,
        #[serde(default)]
        reply_to: Option<MessageId>,
    },
    #[serde(rename = "chat.edit")]
    EditMessage { message: MessageId, text: String },
    #[serde(rename = "chat.delete")]
    DeleteMessage { message: MessageId },
    #[serde(rename = "chat.react")]
    ReactToMessage { message: MessageId, emoji: String, on: bool },
    #[serde(rename = "question.ask")]
    AskQuestion {
        text: String,
        #[serde(default)]
        anonymous: bool,
    },
    #[serde(rename = "question.vote")]
    VoteForQuestion { question: QuestionId, up: bool },
    #[serde(rename = "question.answer")]
    AnswerQuestion {
        question: QuestionId,
        #[serde(default)]
        text: Option<String>,
        #[serde(default)]
        live: bool,
    },
    #[serde(rename = "question.dismiss")]
    DismissQuestion { question: QuestionId },
    #[serde(rename = "poll.open")]
    OpenPoll(OpenPoll),
    #[serde(rename = "poll.vote")]
    Vote { poll: PollId, choices: Vec<u32> },
    #[serde(rename = "poll.close")]
    ClosePoll { poll: PollId },
    #[serde(rename = "timer.start")]
    StartTimer {
        duration_s: u32,
        #[serde(default)]
        title: Option<String>,
    },
    #[serde(rename = "timer.stop")]
    StopTimer(Nothing),
    #[serde(rename = "spotlight.set")]
    SetSpotlight { participants: Vec<ParticipantId> },
    #[serde(rename = "screen.request")]
    RequestScreen(Nothing),
    #[serde(rename = "caption.publish")]
    PublishCaption(PublishCaption),
    #[serde(rename = "breakout.plan")]
    PlanBreakout(OpenRooms),
    #[serde(rename = "breakout.open")]
    OpenBreakout(OpenRooms),
    #[serde(rename = "breakout.move")]
    MovePeople { moves: Vec<Destination> },
    #[serde(rename = "breakout.join")]
    JoinRoom { room: RoomId },
    #[serde(rename = "breakout.extend")]
    ExtendBreakout {
        #[serde(default)]
        by_s: Option<u32>,
        #[serde(default)]
        ends_at: Option<Millis>,
    },
    #[serde(rename = "breakout.add")]
    AddRoom { name: String },
    #[serde(rename = "breakout.rename")]
    RenameRoom { room: RoomId, name: String },
    #[serde(rename = "breakout.broadcast")]
    Broadcast { text: String },
    #[serde(rename = "breakout.help")]
    RequestHelp(Nothing),
    #[serde(rename = "breakout.merge")]
    MergeRooms { from: Vec<RoomId>, into: RoomId },
    #[serde(rename = "breakout.close")]
    CloseRooms {
        #[serde(default)]
        room: Option<RoomId>,
        #[serde(default)]
        now: bool,
    },
    #[serde(rename = "recording.start")]
    StartRecording(StartRecording),
    #[serde(rename = "recording.stop")]
    StopRecording {
        /// Over REST it may be absent: all of the meeting.
        #[serde(default)]
        recording: Option<RecordingId>,
    },
    #[serde(rename = "recording.consent")]
    ConsentToRecording { recording: RecordingId, given: bool },
    #[serde(rename = "whiteboard.create")]
    CreateWhiteboard(CreateWhiteboard),
    #[serde(rename = "whiteboard.update")]
    UpdateWhiteboard {
        whiteboard: WhiteboardId,
        #[serde(default)]
        name: Option<String>,
        #[serde(default)]
        access: Option<WhiteboardAccess>,
    },
    #[serde(rename = "whiteboard.delete")]
    DeleteWhiteboard { whiteboard: WhiteboardId },
    #[serde(rename = "whiteboard.open")]
    OpenWhiteboard { whiteboard: WhiteboardId },
    #[serde(rename = "whiteboard.copy")]
    CopyWhiteboard {
        whiteboard: WhiteboardId,
        /// Absent: every other breakout room that is open.
        #[serde(default)]
        rooms: Option<Vec<RoomId>>,
    },
    /// Over REST only: whether whoever asks may keep and restore states of the board.
    #[serde(rename = "whiteboard.keep")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    KeepWhiteboard { whiteboard: WhiteboardId },
    #[serde(rename = "media.request")]
    RequestMedia(Nothing),
    #[serde(rename = "mesh.signal")]
    MeshSignal { to: SessionId, data: MeshData },
    /// Over REST only.
    #[serde(rename = "invitations.create")]
    #[cfg_attr(feature = "schema", schemars(skip))]
    Invite { invitations: Vec<NewInvitation> },
}

/// What two peers of a mesh tell each other: opaque JSON text that the meeting passes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct MeshData(pub String);

/// The commands that a client may send, by their names on the wire.
pub const COMMAND_TYPES: &[&str] = &[
    "leave",
    "meeting.start",
    "meeting.end",
    "meeting.update",
    "lobby.admit",
    "lobby.deny",
    "lobby.message",
    "participant.set_role",
    "participant.rename",
    "participant.mute",
    "participant.permit",
    "participant.set_media",
    "participant.set_quality",
    "participant.remove",
    "participant.to_lobby",
    "participants.list",
    "hand.raise",
    "hand.lower",
    "reaction.send",
    "chat.post",
    "chat.edit",
    "chat.delete",
    "chat.react",
    "question.ask",
    "question.vote",
    "question.answer",
    "question.dismiss",
    "poll.open",
    "poll.vote",
    "poll.close",
    "timer.start",
    "timer.stop",
    "spotlight.set",
    "screen.request",
    "caption.publish",
    "breakout.plan",
    "breakout.open",
    "breakout.move",
    "breakout.join",
    "breakout.extend",
    "breakout.add",
    "breakout.rename",
    "breakout.broadcast",
    "breakout.help",
    "breakout.merge",
    "breakout.close",
    "recording.start",
    "recording.stop",
    "recording.consent",
    "whiteboard.create",
    "whiteboard.update",
    "whiteboard.delete",
    "whiteboard.open",
    "whiteboard.copy",
    "media.request",
    "mesh.signal",
];
