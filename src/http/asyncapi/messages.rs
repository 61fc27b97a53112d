//! What is said beside commands and events, as types that only the document is made from: the
//! greeting, snapshots, notices and signals. The actors write these by hand, for speed; a test holds
//! their names to what the actors say.

// They are shapes; nothing is ever made of them.
#![allow(dead_code, clippy::large_enum_variant)]

use crate::adapters::media::livekit::Presets;
use convoke_domain::breakout::{Breakout, Help};
use convoke_domain::caption::Caption;
use convoke_domain::poll::Poll;
use convoke_domain::question::Question;
use convoke_domain::recording::Recording;
use convoke_domain::shapes::{Hand, LobbyEntry, Media, MeetingInfo, Message, Participant, Quality, Room, Timer};
use convoke_domain::whiteboard::Whiteboard;
use convoke_domain::{Millis, ParticipantId, PollId, QuestionId, RecordingId, RoomId, Seq, SessionId};
use schemars::JsonSchema;
use serde_json::Value;
use std::collections::BTreeMap;

/// The first frame of a socket, under the number 0.
#[derive(JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum Hello {
    #[serde(rename = "join")]
    Join { token: String, session: SessionId, name: Option<String> },
    #[serde(rename = "resume")]
    Resume { resume_token: String, seq: Seq },
}

/// What the greeting is answered with.
#[derive(JsonSchema)]
#[serde(untagged)]
pub enum Welcome {
    Inside(Snapshot),
    /// Held in the lobby; `self.admitted` follows, or the socket is closed.
    Waiting {
        waiting: bool,
        last_id: u64,
        resume_token: String,
    },
    /// Exactly the missed events follow.
    Resumed {
        resumed: bool,
        last_id: u64,
        media: Credentials,
    },
}

#[derive(JsonSchema)]
pub struct Snapshot {
    pub server_at: Millis,
    /// No event at or below it follows.
    pub seq: Seq,
    /// The last number taken of this session.
    pub last_id: u64,
    pub resume_token: String,
    pub meeting: MeetingInfo,
    #[serde(rename = "self")]
    pub myself: Myself,
    /// The first 200; `participants_next` is the cursor of those after them.
    pub participants: Vec<Participant>,
    pub participants_next: Option<ParticipantId>,
    pub rooms: Vec<Room>,
    /// For hosts and cohosts.
    pub lobby: Option<Vec<LobbyEntry>>,
    pub breakout: Option<ShownBreakout>,
    pub view: View,
    /// Those that something is still to come of, and the latest 20 of the others.
    pub recordings: Vec<Recording>,
    pub timer: Option<Timer>,
    /// Who is to be seen first, in that order.
    pub spotlight: Vec<ParticipantId>,
    /// For hosts and cohosts: who would like to share their screen.
    pub screen_requests: Option<Vec<ParticipantId>>,
}

#[derive(JsonSchema)]
pub struct Myself {
    pub participant: Participant,
    pub session: SessionId,
    pub permissions: Vec<String>,
    /// What one said to being recorded, by recording, of those that are not over.
    pub consents: Option<BTreeMap<RecordingId, bool>>,
}

/// The present set of breakout rooms.
#[derive(JsonSchema)]
pub struct ShownBreakout {
    #[serde(flatten)]
    pub set: Breakout,
    /// For hosts and cohosts: who waits for one of them.
    pub help: Option<Vec<Help>>,
}

/// What belongs to the present room.
#[derive(JsonSchema)]
pub struct View {
    pub room: RoomId,
    pub hands: Vec<Hand>,
    /// The latest 50.
    pub messages: Vec<Message>,
    /// Those with the most votes first: what is open, and the latest 20 that are not. Hosts and cohosts in
    /// the main room are shown those of closed rooms, too.
    pub questions: Vec<Question>,
    /// What is open, and the latest 20 that are not; for hosts and cohosts as with questions.
    pub polls: Vec<Poll>,
    pub whiteboards: Vec<Whiteboard>,
    /// What one chose in polls that are open.
    pub votes: BTreeMap<PollId, Vec<u32>>,
    /// The open questions that one is for.
    pub upvotes: Vec<QuestionId>,
    /// What people in the room publish; whoever is not listed, nothing.
    pub states: Vec<MediaState>,
    pub media: Credentials,
}

/// Credentials for the media of the room.
#[derive(JsonSchema)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Credentials {
    /// Good until `expires_at`; new ones come before, as `media.granted`.
    Livekit {
        url: String,
        room: String,
        identity: SessionId,
        token: String,
        expires_at: Millis,
        presets: Presets,
    },
    /// Between the peers, who signal by `mesh.signal`.
    Mesh {
        ice_servers: Vec<IceServer>,
    },
    None,
}

#[derive(JsonSchema)]
pub struct IceServer {
    pub urls: Vec<String>,
}

#[derive(JsonSchema)]
pub struct Empty {}

/// Personal and reliable, without seq; whatever they tell is in the next snapshot too.
#[derive(JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum Notice {
    #[serde(rename = "lobby.message")]
    LobbyMessage { text: String, from: Option<ParticipantId> },
    #[serde(rename = "self.admitted")]
    Admitted { snapshot: Snapshot },
    #[serde(rename = "self.entered")]
    Entered {
        #[serde(rename = "self")]
        myself: Myself,
        /// For hosts and cohosts: calls for help stand in it.
        breakout: Option<ShownBreakout>,
        view: View,
        lobby: Option<Vec<LobbyEntry>>,
        /// For hosts and cohosts.
        screen_requests: Option<Vec<ParticipantId>>,
    },
    #[serde(rename = "self.waiting")]
    Waiting(Empty),
    /// For hosts and cohosts: somebody would like to share their screen.
    #[serde(rename = "screen.requested")]
    ScreenRequested { participant: ParticipantId },
    #[serde(rename = "media.granted")]
    MediaGranted { media: Credentials },
    #[serde(rename = "mesh.signal")]
    Mesh { from: SessionId, data: Value },
    /// Every ten seconds: the log's head, and the server's time.
    #[serde(rename = "tick")]
    Tick { head: Seq, server_at: Millis },
}

/// Ephemeral, without seq: one slot a key, merged or dropped under pressure.
#[derive(JsonSchema)]
#[serde(tag = "type", content = "data")]
pub enum Signal {
    #[serde(rename = "reaction.shown")]
    ReactionShown { participant: ParticipantId, emoji: String },
    #[serde(rename = "media.states")]
    MediaStates { states: Vec<MediaState> },
    /// How good somebody's connection is, as their device said.
    #[serde(rename = "media.quality")]
    QualityShown { participant: ParticipantId, quality: Quality },
    /// One slot a speaker and language; a final one is an event, too.
    #[serde(rename = "caption.shown")]
    CaptionShown { caption: Caption },
    /// For hosts and cohosts: who was moved to this room and has not arrived there in time. It is said
    /// again when that changes, also when nobody is missing any more.
    #[serde(rename = "room.arrivals")]
    RoomArrivals { room: RoomId, missing: Vec<ParticipantId> },
}

#[derive(JsonSchema)]
pub struct MediaState {
    pub participant: ParticipantId,
    pub media: Media,
}
