//! What sockets, hubs, the meeting and a board say to each other.

use crate::release::{HubId, SocketId};
use bytes::Bytes;
use convoke_domain::whiteboard::BoardRight;
use convoke_domain::{CloseCode, Millis, ParticipantId, SessionId, WhiteboardId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Where sockets of boards are: a hub of a thread, and the channel that its process is told things by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Desk {
    pub hub: HubId,
    pub channel: String,
}

/// A socket comes to a board. The meeting says whether it may.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Visit {
    pub board: WhiteboardId,
    pub socket: SocketId,
    pub session: SessionId,
    /// Whom the session was of when the board was opened to it.
    pub participant: ParticipantId,
    pub desk: Desk,
}

/// What is asked of a board.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AskBoard {
    /// What a socket sent, in order.
    Frames { socket: SocketId, frames: Vec<Bytes> },
    /// A socket is gone.
    Gone { socket: SocketId },
    /// The sockets that a hub has of this board.
    Present { hub: HubId, sockets: Vec<SocketId> },
    /// Keeps what is on the board now, under this name, which is a participant's or the backend's.
    Keep { id: Uuid, name: String, by: Option<ParticipantId> },
    /// Draws what was kept, in the place of what is there: once for a request, however often that is asked.
    Restore { request: Uuid, snapshot: Uuid },
}

/// What the meeting tells a board, in its one queue.
#[derive(Clone, Debug)]
pub enum FromMeeting {
    Visit(Visit, BoardRight),
    /// What a session may do from now on; or why it may nothing any more.
    Right(SessionId, Result<BoardRight, CloseCode>),
    Deleted,
}

/// What a hub shows its sockets of a board.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Show {
    pub board: WhiteboardId,
    /// The life of the board's actor, and the number of this word to this hub: 1, 2, 3…
    pub life: Uuid,
    pub number: u64,
    pub items: Vec<Shown>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Shown {
    /// To all who are at the board.
    All(Bytes),
    /// To all, and dropped first.
    Latest(Bytes),
    /// One comes to the board: what it lacks, in order. From here on it is shown what all are.
    Come {
        socket: SocketId,
        messages: Vec<Bytes>,
    },
    /// To one: what it asked for.
    One {
        socket: SocketId,
        messages: Vec<Bytes>,
    },
    Close {
        socket: SocketId,
        code: CloseCode,
    },
}

/// Somebody who is at the board.
#[derive(Clone, Debug)]
pub struct Guest {
    pub session: SessionId,
    pub desk: Desk,
    pub came_at: Millis,
}
