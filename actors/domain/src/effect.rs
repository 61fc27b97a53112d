//! What leaves a turn, in one order: events, and the effects that go with them. Effects are told
//! once and have no place in the log; whatever they tell is in the next snapshot too.

use crate::caption::Caption;
use crate::event::Recorded;
use crate::ids::{ParticipantId, RoomId, SessionId};
use crate::shapes::{Media, Quality};
use serde::{Deserialize, Serialize};

/// Why a socket is closed, as the contract numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CloseCode {
    GoingAway,
    SlowConsumer,
    HeartbeatTimeout,
    InternalError,
    ProtocolError,
    Unauthenticated,
    Removed,
    Banned,
    MeetingEnded,
    Denied,
    Replaced,
    Flooding,
    Left,
}

impl CloseCode {
    pub const ALL: [Self; 13] = [
        Self::GoingAway,
        Self::SlowConsumer,
        Self::HeartbeatTimeout,
        Self::InternalError,
        Self::ProtocolError,
        Self::Unauthenticated,
        Self::Removed,
        Self::Banned,
        Self::MeetingEnded,
        Self::Denied,
        Self::Replaced,
        Self::Flooding,
        Self::Left,
    ];

    pub fn number(self) -> u16 {
        match self {
            Self::GoingAway => 4001,
            Self::SlowConsumer => 4002,
            Self::HeartbeatTimeout => 4003,
            Self::InternalError => 4004,
            Self::ProtocolError => 4500,
            Self::Unauthenticated => 4501,
            Self::Removed => 4502,
            Self::Banned => 4503,
            Self::MeetingEnded => 4504,
            Self::Denied => 4505,
            Self::Replaced => 4506,
            Self::Flooding => 4507,
            Self::Left => 4508,
        }
    }
    pub fn reason(self) -> &'static str {
        match self {
            Self::GoingAway => "going_away",
            Self::SlowConsumer => "slow_consumer",
            Self::HeartbeatTimeout => "heartbeat_timeout",
            Self::InternalError => "internal_error",
            Self::ProtocolError => "protocol_error",
            Self::Unauthenticated => "unauthenticated",
            Self::Removed => "removed",
            Self::Banned => "banned",
            Self::MeetingEnded => "meeting_ended",
            Self::Denied => "denied",
            Self::Replaced => "replaced",
            Self::Flooding => "flooding",
            Self::Left => "left",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// A message from the hosts to those who wait.
    LobbyMessage {
        to: Vec<ParticipantId>,
        from: Option<ParticipantId>,
        text: String,
    },
    /// This person was let in: their sockets are given a snapshot and then the events.
    Admitted(ParticipantId),
    /// This person waits now; their sockets stay open and hear nothing of the meeting.
    Waiting(ParticipantId),
    /// This person sees other things than before (another role, another room).
    Entered(ParticipantId),
    /// These sessions are over; their sockets are closed.
    Close {
        sessions: Vec<SessionId>,
        code: CloseCode,
    },
    /// Everybody's socket is closed, with those who wait.
    CloseAll(CloseCode),
    /// Those who lead are told that this person would like to share their screen.
    ScreenRequested(ParticipantId),
    /// The participant's credentials for the media are to be renewed.
    GrantMedia(ParticipantId),
    Signal {
        room: RoomId,
        signal: Signal,
    },
    Mesh {
        to: SessionId,
        from: SessionId,
        data: String,
    },
}

/// Ephemeral: may be dropped or merged, one slot a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    ReactionShown { participant: ParticipantId, emoji: String },
    MediaStates { participant: ParticipantId, media: Media },
    CaptionShown { caption: Caption },
    QualityShown { participant: ParticipantId, quality: Quality },
}

// Outputs live for one turn; a box for every event would cost more than the room it saves.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    Event(Recorded),
    Effect(Effect),
}
