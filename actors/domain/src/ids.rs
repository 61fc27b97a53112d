//! Names of things. Each id is a type of its own, so that a session can never be taken for a
//! participant; times are Unix milliseconds in UTC, and sequence numbers never mix with terms.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Unix milliseconds, UTC.
pub type Millis = u64;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    };
}

uuid_id!(
    /// A meeting, the aggregate: one roster, one log, one clock.
    MeetingId
);
uuid_id!(
    /// A person in a meeting; survives sockets, devices and nodes.
    ParticipantId
);
uuid_id!(
    /// One device of a participant: an id that the client chose and keeps.
    SessionId
);
uuid_id!(
    /// A chat message.
    MessageId
);
uuid_id!(
    /// A question to whoever leads.
    QuestionId
);
uuid_id!(
    /// A poll.
    PollId
);
uuid_id!(
    /// A recording of a room.
    RecordingId
);
uuid_id!(
    /// An invitation to a meeting.
    InvitationId
);
uuid_id!(
    /// A whiteboard of a room.
    WhiteboardId
);

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

text_id!(
    /// An integrating application. It sees only its own meetings.
    TenantId
);
text_id!(
    /// A person as the tenant knows them: the `sub` of their tokens.
    UserId
);

/// Position of an event in its meeting's log: 1, 2, 3… Zero stands before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How often a meeting has been taken by an owner; a commit under an older term is fenced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Term(pub u64);

/// Where people talk. The main room has a name of its own; breakout rooms have ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoomId {
    #[default]
    Main,
    Breakout(Uuid),
}

impl fmt::Display for RoomId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Main => f.write_str("main"),
            Self::Breakout(id) => id.hyphenated().fmt(f),
        }
    }
}

impl FromStr for RoomId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "main" { Ok(Self::Main) } else { Uuid::parse_str(text).map(Self::Breakout) }
    }
}

/// Whom a chat message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum To {
    Room,
    Everyone,
    Participant(ParticipantId),
}

impl fmt::Display for To {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room => f.write_str("room"),
            Self::Everyone => f.write_str("everyone"),
            Self::Participant(id) => id.fmt(f),
        }
    }
}

impl FromStr for To {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "room" => Ok(Self::Room),
            "everyone" => Ok(Self::Everyone),
            other => ParticipantId::from_str(other).map(Self::Participant),
        }
    }
}

macro_rules! serde_as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        #[cfg(feature = "schema")]
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" })
            }
        }
    };
}

serde_as_text!(RoomId);
serde_as_text!(To);
