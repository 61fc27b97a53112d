//! Whiteboards: what a meeting knows of them. What is drawn on one is not here: a board has a log of its
//! own, because it is written many times a second and read by nobody who was not let in here.

use crate::ids::{ParticipantId, RoomId, WhiteboardId};
use crate::state::{Meeting, Member};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Who draws on a board. Whoever may not draw may look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum WhiteboardAccess {
    #[default]
    Everyone,
    /// Hosts and cohosts.
    Hosts,
    Nobody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Whiteboard {
    pub id: WhiteboardId,
    pub room: RoomId,
    pub name: String,
    pub access: WhiteboardAccess,
    /// Who made it; absent where the backend did.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<ParticipantId>,
    /// Who gave it the name it has; absent where that is whoever made it, or the backend.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub named_by: Option<ParticipantId>,
}

impl Whiteboard {
    /// Whether it is somebody's, or has a name of theirs: that may say who they are.
    pub fn tells_of(&self, id: ParticipantId) -> bool {
        [self.by, self.named_by].contains(&Some(id))
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct CreateWhiteboard {
    pub name: String,
    /// Absent: the room that whoever asks is in.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub room: Option<RoomId>,
    /// It begins with what is on that board.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub copy_of: Option<WhiteboardId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub access: Option<WhiteboardAccess>,
}

/// What somebody may do on a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoardRight {
    Look,
    Draw,
}

impl Meeting {
    pub fn whiteboards_in(&self, room: RoomId) -> impl Iterator<Item = &Whiteboard> {
        self.whiteboards.values().filter(move |board| board.room == room)
    }

    /// The boards that somebody sees, the earliest first.
    pub fn whiteboards_for(&self, member: &Member) -> impl Iterator<Item = &Whiteboard> {
        self.whiteboards.values().filter(|board| self.board_right(member, board).is_some())
    }

    /// Who sees other things than before when these rooms are merged into another, and is not moved by it:
    /// whoever is there, and, where boards go over, whoever leads elsewhere.
    pub fn shown_merge(&self, from: &[RoomId], into: RoomId) -> BTreeSet<ParticipantId> {
        let mut shown: BTreeSet<ParticipantId> = self.inside_of(into).into_iter().collect();
        if self.whiteboards.values().any(|board| from.contains(&board.room)) {
            let is_moved = |id: &ParticipantId| self.member(*id).is_some_and(|m| from.contains(&m.participant.room));
            shown.extend(self.leads.iter().filter(|id| !is_moved(id)));
        }
        shown
    }

    /// What somebody may do on a board now. None: they do not see it. Whoever leads sees the boards of all
    /// rooms, others those of the room they are in.
    pub fn board_right(&self, member: &Member, board: &Whiteboard) -> Option<BoardRight> {
        let role = member.participant.role;
        let leads = member.leads();
        if !member.is_inside() || !(leads || member.participant.room == board.room) {
            return None;
        }
        let may_draw = match board.access {
            WhiteboardAccess::Everyone => crate::rights::may(role, "whiteboard.draw"),
            WhiteboardAccess::Hosts => leads,
            WhiteboardAccess::Nobody => false,
        };
        Some(if may_draw { BoardRight::Draw } else { BoardRight::Look })
    }
}
