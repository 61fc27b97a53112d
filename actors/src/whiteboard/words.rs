//! What sockets, hubs, the meeting and a board say to each other.

use crate::release::{HubId, SocketId};
use bytes::Bytes;
use convoke_domain::whiteboard::BoardRight;
use convoke_domain::{CloseCode, Millis, ParticipantId, SessionId, WhiteboardId};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use uuid::Uuid;
use yrs::StateVector;

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
    /// What it asked for and was not answered yet.
    pub wants: Wants,
    /// When it was answered last, and when it was looked whether it erases what it may not.
    pub answered_at: Option<Instant>,
    pub is_to_be_answered: bool,
    pub looked_at: Option<Instant>,
}

/// What a socket asks for: answered once, however often it asks.
#[derive(Clone, Debug, Default)]
pub struct Wants {
    /// What is not in this.
    pub beyond: Option<StateVector>,
    pub cursors: bool,
}

impl Wants {
    pub fn is_empty(&self) -> bool {
        self.beyond.is_none() && !self.cursors
    }
}
