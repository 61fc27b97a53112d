//! What happened: durable, numbered facts, named in the past tense. An event's serialized `data`
//! is what is stored and also what is sent, so public events hold the contract's shapes whole.
//! Events whose audience is nobody are the meeting's own bookkeeping; clients never see them.

use crate::breakout::{Breakout, Move, OpenRooms};
use crate::caption::Caption;
use crate::ids::{
    MessageId, Millis, ParticipantId, PollId, QuestionId, RecordingId, RoomId, Seq, SessionId, TenantId, UserId,
    WhiteboardId,
};
use crate::poll::Poll;
use crate::question::Question;
use crate::recording::{Recording, Take};
use crate::shapes::{
    Hand, Invitation, LobbyEntry, Media, MeetingInfo, Message, Participant, Role, Room, Source, Timer,
};
use crate::whiteboard::Whiteboard;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The version that new events are written in; old logs replay under new code by this number.
pub const EVENT_VERSION: u16 = 1;

/// The command that caused an event: what makes a retry have one effect. A backend's request stands in
/// place of a session, with the number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cause {
    pub session: SessionId,
    pub id: u64,
}

/// Who gets an event, as resolved when it happened. A room stands for those who were in it then:
/// whoever moves or changes role is given a new view, never a replay across the move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    Nobody,
    Everyone,
    /// Hosts and cohosts, in whatever room.
    Leads,
    Room(RoomId),
    /// Whoever is in the room, and hosts and cohosts, in whatever room.
    RoomAndLeads(RoomId),
    Only(BTreeSet<ParticipantId>),
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    pub seq: Seq,
    pub at: Millis,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<Cause>,
    pub audience: Audience,
    #[serde(flatten)]
    pub event: Event,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A host or the backend ended it.
    Ended,
    Empty,
    HostAbsent,
    MaxDuration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    Left,
    /// The grace period ran out.
    Lost,
    ToLobby,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum SessionEnd {
    /// Its person left; the id starts anew.
    Left,
    /// The grace period ran out; its numbers are remembered.
    Lost,
    /// A newer device took its place.
    Displaced,
}

/// Somebody the meeting meets for the first time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Person {
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub user: Option<UserId>,
    pub name: String,
    pub role: Role,
    /// Their identity was overwritten; nobody is found by it any more.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub erased: bool,
}

type ById = Option<ParticipantId>;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "type", content = "data")]
pub enum Event {
    #[serde(rename = "meeting.created")]
    MeetingCreated {
        tenant: TenantId,
        meeting: MeetingInfo,
        /// Breakout rooms to be opened later.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        breakout: Option<OpenRooms>,
    },
    #[serde(rename = "meeting.started")]
    MeetingStarted {
        meeting: MeetingInfo,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "meeting.updated")]
    MeetingUpdated {
        meeting: MeetingInfo,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "meeting.ended")]
    MeetingEnded {
        meeting: MeetingInfo,
        reason: EndReason,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "meeting.cancelled")]
    MeetingCancelled { meeting: MeetingInfo },
    /// The meeting has another host than before, by transfer, succession or return.
    #[serde(rename = "meeting.host_changed")]
    HostChanged {
        host: ParticipantId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// The meeting's owner died and another took over; periods of absence start anew.
    #[serde(rename = "meeting.recovered")]
    MeetingRecovered {},

    #[serde(rename = "session.opened")]
    SessionOpened {
        session: SessionId,
        participant: ParticipantId,
        /// Present when the meeting did not know this person.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        person: Option<Person>,
    },
    #[serde(rename = "session.lost")]
    SessionLost { session: SessionId },
    #[serde(rename = "session.back")]
    SessionBack { session: SessionId },
    #[serde(rename = "session.closed")]
    SessionClosed { session: SessionId, end: SessionEnd },

    #[serde(rename = "lobby.entered")]
    LobbyEntered {
        entry: LobbyEntry,
        participant: ParticipantId,
        /// Waiting only because no host is there yet.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        awaits_host: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// Somebody who was waiting went away.
    #[serde(rename = "lobby.left")]
    LobbyLeft { participant: ParticipantId },
    #[serde(rename = "lobby.admitted")]
    LobbyAdmitted {
        participant: ParticipantId,
        /// Came in because a host did; nobody looked at them.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        with_host: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "lobby.denied")]
    LobbyDenied {
        participant: ParticipantId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },

    #[serde(rename = "participant.joined")]
    ParticipantJoined { participant: Participant },
    #[serde(rename = "participant.left")]
    ParticipantLeft {
        participant: Participant,
        reason: LeaveReason,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "participant.disconnected")]
    ParticipantDisconnected { participant: Participant },
    #[serde(rename = "participant.reconnected")]
    ParticipantReconnected { participant: Participant },
    #[serde(rename = "participant.role_changed")]
    RoleChanged {
        participant: Participant,
        /// A stand-in for an absent host, who gives the role back when the host returns.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        acting: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "participant.renamed")]
    Renamed {
        participant: Participant,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "participants.muted")]
    ParticipantsMuted {
        participants: BTreeSet<ParticipantId>,
        source: Source,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "participants.permitted")]
    ParticipantsPermitted {
        participants: BTreeSet<ParticipantId>,
        source: Source,
        allowed: bool,
        /// Said to everybody in a room: it holds as long as they are there.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        all: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "participant.removed")]
    ParticipantRemoved {
        participant: Participant,
        banned: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// What a participant's devices publish; clients are told by the signal `media.states`.
    #[serde(rename = "media.set")]
    MediaSet { participant: ParticipantId, media: Media },

    #[serde(rename = "hand.raised")]
    HandRaised { hand: Hand },
    #[serde(rename = "hands.lowered")]
    HandsLowered {
        hands: BTreeSet<ParticipantId>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },

    #[serde(rename = "chat.posted")]
    ChatPosted { message: Message },
    #[serde(rename = "chat.edited")]
    ChatEdited { message: Message },
    #[serde(rename = "chat.deleted")]
    ChatDeleted {
        message: Message,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// One participant's reaction; clients are told the counts by `chat.reacted`.
    #[serde(rename = "chat.reaction_set")]
    ReactionSet { message: MessageId, participant: ParticipantId, emoji: String, on: bool },
    #[serde(rename = "chat.reacted")]
    ChatReacted { message: Message },

    /// What is to be opened later; absent where that was taken back.
    #[serde(rename = "breakout.planned")]
    BreakoutPlanned {
        #[serde(skip_serializing_if = "Option::is_none", default)]
        plan: Option<OpenRooms>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "breakout.opened")]
    BreakoutOpened {
        rooms: Vec<Room>,
        breakout: Breakout,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        ends_at: Option<Millis>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// Everybody who has a room and is not here yet; users are those the meeting has not met.
    #[serde(rename = "breakout.assigned")]
    BreakoutAssigned { participants: BTreeMap<ParticipantId, RoomId>, users: BTreeMap<UserId, RoomId> },
    #[serde(rename = "participants.moved")]
    ParticipantsMoved {
        moves: Vec<Move>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "breakout.changed")]
    BreakoutChanged {
        /// All rooms of the set.
        rooms: Vec<Room>,
        breakout: Breakout,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        ends_at: Option<Millis>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "breakout.ending_soon")]
    BreakoutEndingSoon {
        ends_at: Millis,
        /// The warning that is due, in seconds before the end.
        warn_s: u32,
    },
    #[serde(rename = "breakout.help_requested")]
    BreakoutHelpRequested {
        room: RoomId,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// The rooms that are merged are closed by this; what was said there belongs to the other now.
    #[serde(rename = "breakout.merged")]
    BreakoutMerged {
        from: Vec<RoomId>,
        into: RoomId,
        /// What is left of the set, if anything is.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        breakout: Option<Breakout>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "breakout.closed")]
    BreakoutClosed {
        /// Those that were closed.
        rooms: Vec<Room>,
        /// What is left of the set, if anything is.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        breakout: Option<Breakout>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "breakout.broadcast")]
    BreakoutBroadcast {
        message: Message,
        text: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },

    #[serde(rename = "question.asked")]
    QuestionAsked { question: Question },
    /// One person's vote for a question; clients are told the number by `question.voted`.
    #[serde(rename = "question.vote_set")]
    QuestionVoteSet {
        question: QuestionId,
        /// The participant, or the pseudonym where the question was asked anonymously.
        voter: Uuid,
        up: bool,
    },
    #[serde(rename = "question.voted")]
    QuestionVoted { question: Question },
    #[serde(rename = "question.answered")]
    QuestionAnswered {
        question: Question,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "question.dismissed")]
    QuestionDismissed {
        question: Question,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },

    #[serde(rename = "poll.opened")]
    PollOpened {
        poll: Poll,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// One person's vote; clients are told the counts by `poll.counted`.
    #[serde(rename = "poll.voted")]
    PollVoted {
        poll: PollId,
        /// The participant, or the pseudonym where the poll is anonymous.
        voter: Uuid,
        choices: Vec<u32>,
    },
    #[serde(rename = "poll.counted")]
    PollCounted { poll: Poll },
    #[serde(rename = "poll.closed")]
    PollClosed {
        poll: Poll,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },

    /// The key of the pseudonyms that this poll or question is kept under. It is overwritten when that is
    /// closed.
    #[serde(rename = "anonymity.begun")]
    AnonymityBegun { of: Uuid, key: Uuid },
    /// The keys are destroyed, and with them who it was. Which of the latest numbers of every session had
    /// an effect is told of all alike, in runs from a number to a number.
    #[serde(rename = "anonymity.ended")]
    AnonymityEnded { of: BTreeSet<Uuid>, numbers: BTreeMap<SessionId, Vec<(u64, u64)>> },

    #[serde(rename = "timer.started")]
    TimerStarted {
        timer: Timer,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "timer.ended")]
    TimerEnded {
        timer: Timer,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "spotlight.changed")]
    SpotlightChanged {
        participants: Vec<ParticipantId>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// Somebody would like to share their screen; those who lead are told by a notice.
    #[serde(rename = "screen.asked")]
    ScreenAsked { participant: ParticipantId },
    #[serde(rename = "caption.recorded")]
    CaptionRecorded { caption: Caption },

    #[serde(rename = "recording.changed")]
    RecordingChanged {
        recording: Recording,
        /// Somebody stopped it where the settings ask for it: none begins by itself before the room was empty.
        #[serde(skip_serializing_if = "std::ops::Not::not", default)]
        held: bool,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    /// What the recorder made, or makes, of a recording.
    #[serde(rename = "recording.take_changed")]
    TakeChanged { recording: RecordingId, take: Take },
    #[serde(rename = "recording.consented")]
    RecordingConsented { recording: RecordingId, participant: ParticipantId, given: bool },

    #[serde(rename = "whiteboard.created")]
    WhiteboardCreated {
        whiteboard: Whiteboard,
        /// It began with what was on that board.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        copy_of: Option<WhiteboardId>,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "whiteboard.updated")]
    WhiteboardUpdated {
        whiteboard: Whiteboard,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },
    #[serde(rename = "whiteboard.deleted")]
    WhiteboardDeleted {
        whiteboard: Whiteboard,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        by: ById,
    },

    #[serde(rename = "invitation.created")]
    InvitationCreated { invitation: Invitation },
    #[serde(rename = "participant.erased")]
    PersonErased { participant: ParticipantId },
}

impl Event {
    /// The event's name on the wire and in the log.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::MeetingCreated { .. } => "meeting.created",
            Self::MeetingStarted { .. } => "meeting.started",
            Self::MeetingUpdated { .. } => "meeting.updated",
            Self::MeetingEnded { .. } => "meeting.ended",
            Self::MeetingCancelled { .. } => "meeting.cancelled",
            Self::HostChanged { .. } => "meeting.host_changed",
            Self::MeetingRecovered {} => "meeting.recovered",
            Self::SessionOpened { .. } => "session.opened",
            Self::SessionLost { .. } => "session.lost",
            Self::SessionBack { .. } => "session.back",
            Self::SessionClosed { .. } => "session.closed",
            Self::LobbyEntered { .. } => "lobby.entered",
            Self::LobbyLeft { .. } => "lobby.left",
            Self::LobbyAdmitted { .. } => "lobby.admitted",
            Self::LobbyDenied { .. } => "lobby.denied",
            Self::ParticipantJoined { .. } => "participant.joined",
            Self::ParticipantLeft { .. } => "participant.left",
            Self::ParticipantDisconnected { .. } => "participant.disconnected",
            Self::ParticipantReconnected { .. } => "participant.reconnected",
            Self::RoleChanged { .. } => "participant.role_changed",
            Self::Renamed { .. } => "participant.renamed",
            Self::ParticipantsMuted { .. } => "participants.muted",
            Self::ParticipantsPermitted { .. } => "participants.permitted",
            Self::ParticipantRemoved { .. } => "participant.removed",
            Self::MediaSet { .. } => "media.set",
            Self::HandRaised { .. } => "hand.raised",
            Self::HandsLowered { .. } => "hands.lowered",
            Self::ChatPosted { .. } => "chat.posted",
            Self::ChatEdited { .. } => "chat.edited",
            Self::ChatDeleted { .. } => "chat.deleted",
            Self::ReactionSet { .. } => "chat.reaction_set",
            Self::ChatReacted { .. } => "chat.reacted",
            Self::BreakoutPlanned { .. } => "breakout.planned",
            Self::BreakoutOpened { .. } => "breakout.opened",
            Self::BreakoutAssigned { .. } => "breakout.assigned",
            Self::ParticipantsMoved { .. } => "participants.moved",
            Self::BreakoutChanged { .. } => "breakout.changed",
            Self::BreakoutEndingSoon { .. } => "breakout.ending_soon",
            Self::BreakoutHelpRequested { .. } => "breakout.help_requested",
            Self::BreakoutMerged { .. } => "breakout.merged",
            Self::BreakoutClosed { .. } => "breakout.closed",
            Self::BreakoutBroadcast { .. } => "breakout.broadcast",
            Self::QuestionAsked { .. } => "question.asked",
            Self::QuestionVoteSet { .. } => "question.vote_set",
            Self::QuestionVoted { .. } => "question.voted",
            Self::QuestionAnswered { .. } => "question.answered",
            Self::QuestionDismissed { .. } => "question.dismissed",
            Self::PollOpened { .. } => "poll.opened",
            Self::PollVoted { .. } => "poll.voted",
            Self::PollCounted { .. } => "poll.counted",
            Self::PollClosed { .. } => "poll.closed",
            Self::AnonymityBegun { .. } => "anonymity.begun",
            Self::AnonymityEnded { .. } => "anonymity.ended",
            Self::TimerStarted { .. } => "timer.started",
            Self::TimerEnded { .. } => "timer.ended",
            Self::SpotlightChanged { .. } => "spotlight.changed",
            Self::ScreenAsked { .. } => "screen.asked",
            Self::CaptionRecorded { .. } => "caption.recorded",
            Self::RecordingChanged { .. } => "recording.changed",
            Self::TakeChanged { .. } => "recording.take_changed",
            Self::RecordingConsented { .. } => "recording.consented",
            Self::WhiteboardCreated { .. } => "whiteboard.created",
            Self::WhiteboardUpdated { .. } => "whiteboard.updated",
            Self::WhiteboardDeleted { .. } => "whiteboard.deleted",
            Self::InvitationCreated { .. } => "invitation.created",
            Self::PersonErased { .. } => "participant.erased",
        }
    }

    /// Whether somebody is in another room after it, in or out.
    pub fn moves_people(&self) -> bool {
        matches!(
            self,
            Self::ParticipantJoined { .. }
                | Self::ParticipantLeft { .. }
                | Self::ParticipantRemoved { .. }
                | Self::ParticipantsMoved { .. }
                | Self::MeetingEnded { .. }
        )
    }

    /// Whether something may have to be recorded after it that was not.
    pub fn asks_for_recording(&self) -> bool {
        self.moves_people()
            || matches!(
                self,
                Self::MeetingStarted { .. }
                    | Self::MeetingUpdated { .. }
                    | Self::BreakoutOpened { .. }
                    | Self::RecordingChanged { .. }
            )
    }

    /// What this is a part of that may be veiled: its cause is covered if it is.
    pub fn veiled_by(&self) -> Option<Uuid> {
        match self {
            Self::PollVoted { poll, .. } => Some(poll.0),
            Self::QuestionAsked { question } => Some(question.id.0),
            Self::QuestionVoteSet { question, .. } => Some(question.0),
            _ => None,
        }
    }
}
