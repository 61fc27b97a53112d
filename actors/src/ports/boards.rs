//! What is kept of whiteboards: for each a log of what was drawn, numbered from 1, and a state that stands
//! in the place of its beginning. A board is written under the term of its meeting, and by nobody else.

use super::MeetingKey;
use bytes::Bytes;
use convoke_domain::{Event, Millis, ParticipantId, Term, WhiteboardId};
use uuid::Uuid;

/// What an event of the meeting does to the log of a board, in the same transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BoardChange {
    /// A log begins: empty, or with all that the other board's log holds in this moment.
    Create { board: WhiteboardId, copy_of: Option<WhiteboardId> },
    /// The log is gone, with the states that were kept of it.
    Delete { board: WhiteboardId },
}

impl BoardChange {
    pub fn of(event: &Event) -> Option<Self> {
        match event {
            Event::WhiteboardCreated { whiteboard, copy_of, .. } => {
                Some(Self::Create { board: whiteboard.id, copy_of: *copy_of })
            }
            Event::WhiteboardDeleted { whiteboard, .. } => Some(Self::Delete { board: whiteboard.id }),
            _ => None,
        }
    }
}

/// One board's part of a transaction. It holds only where the meeting's head still says `term` and the board's
/// log ends with `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardCommit {
    pub key: MeetingKey,
    pub term: Term,
    pub board: WhiteboardId,
    pub after: u64,
    /// Updates in the encoding of Yjs, version 1.
    pub updates: Vec<Bytes>,
    /// The request of a restore that is among them: the board remembers the last one.
    pub restored: Option<Uuid>,
}

impl BoardCommit {
    /// The number that the log ends with after this commit.
    pub fn reaches(&self) -> u64 {
        self.after.saturating_add(u64::try_from(self.updates.len()).unwrap_or(u64::MAX))
    }

    pub fn bytes(&self) -> usize {
        self.updates.iter().map(Bytes::len).fold(0, usize::saturating_add)
    }
}

/// A board's log: a state as of a number, and the updates after it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoardLog {
    /// The state that the log begins with, and the number up to which it holds everything. None: it begins
    /// with the first update.
    pub state: Option<(u64, Bytes)>,
    /// The updates behind it, without a gap.
    pub updates: Vec<Bytes>,
    /// The request of the last restore.
    pub restored: Option<Uuid>,
}

impl BoardLog {
    /// The number of the last update.
    pub fn head(&self) -> u64 {
        let base = self.state.as_ref().map_or(0, |(upto, _)| *upto);
        base.saturating_add(u64::try_from(self.updates.len()).unwrap_or(u64::MAX))
    }

    pub fn bytes(&self) -> usize {
        let base = self.state.as_ref().map_or(0, |(_, state)| state.len());
        self.updates.iter().map(Bytes::len).fold(base, usize::saturating_add)
    }
}

/// A state of a board that is kept, to be looked at or restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoardSnapshot {
    pub id: Uuid,
    pub name: String,
    /// Who gave the name; None where the backend did.
    pub by: Option<ParticipantId>,
    /// When it was kept. A store puts it behind those that are kept already, whatever a clock says.
    pub at: Millis,
    /// Bytes of the state.
    pub bytes: u64,
}
