//! What leaves a meeting. Events, answers, notices, signals and closings leave in one queue, each
//! when the seq that it was decided on is durable, and travel as batches to the hubs. A batch is
//! numbered within its term, so a hub that missed one knows it.

use crate::ports::MeetingKey;
use bytestring::ByteString;
use convoke_domain::{Audience, CloseCode, ParticipantId, RoomId, Seq, Term};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

/// One socket in its life: given by the edge, never used again. A session's attachment is the
/// socket that the meeting last accepted for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SocketId(pub Uuid);

/// A hub of a process: whose sockets it has, and who answers for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HubId {
    pub process: Uuid,
    pub number: u64,
}

/// What a socket is shown from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    pub participant: ParticipantId,
    pub room: RoomId,
    pub leads: bool,
    /// Held in the lobby: hears nothing but notices.
    pub waiting: bool,
}

impl Place {
    /// Whether an event with this audience is shown here.
    pub fn sees(self, audience: &Audience) -> bool {
        if self.waiting {
            return false;
        }
        match audience {
            Audience::Nobody => false,
            Audience::Everyone => true,
            Audience::Leads => self.leads,
            Audience::Room(room) => *room == self.room,
            Audience::RoomAndLeads(room) => self.leads || *room == self.room,
            Audience::Only(people) => people.contains(&self.participant),
        }
    }
}

/// Why a socket is given a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Placing {
    /// It is new to the meeting; its numbering goes on after this.
    New { last_id: u64 },
    /// It attached again; what it missed stands beside.
    Again,
    /// Its participant went elsewhere or became another: for those who heard everything until then.
    Moved,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Item {
    Event {
        seq: Seq,
        audience: Audience,
        message: ByteString,
    },
    /// From here on this socket gets what its place may see.
    Place {
        socket: SocketId,
        place: Place,
        why: Placing,
    },
    /// These people see other things from here on. A socket of theirs that is given no place behind this
    /// is one that the meeting has let go of: it hears nothing more before it has attached again.
    Unseat {
        participants: BTreeSet<ParticipantId>,
    },
    /// An answer or a notice for one socket.
    Direct {
        socket: SocketId,
        message: ByteString,
        re: Option<u64>,
        seq: Option<Seq>,
        is_snapshot: bool,
    },
    /// The events that a socket missed, filtered for it already; nothing up to `upto` follows.
    Replay {
        socket: SocketId,
        events: Vec<(Seq, ByteString)>,
        upto: Seq,
    },
    Close {
        socket: SocketId,
        code: CloseCode,
    },
    CloseAll {
        code: CloseCode,
    },
    /// The meeting goes on elsewhere, or something was missed: everybody attaches again.
    Again,
    /// Ephemeral: one slot a key.
    Signal {
        room: RoomId,
        key: String,
        message: ByteString,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Batch {
    pub key: MeetingKey,
    pub term: Term,
    /// 1, 2, 3… within the term. The first says that another life of the meeting began: whoever
    /// is attached attaches again. A batch with 0 stands outside of the numbering: it has only
    /// `Again` or `CloseAll`.
    pub number: u64,
    /// The log is durable up to here.
    pub head: Seq,
    pub items: Vec<Item>,
}
