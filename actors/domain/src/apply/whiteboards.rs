//! Folding whiteboards: which there are, and in which room.

use crate::event::Event;
use crate::ids::RoomId;
use crate::state::Meeting;

pub fn fold(state: &mut Meeting, event: &Event) {
    match event {
        Event::WhiteboardCreated { whiteboard, .. } | Event::WhiteboardUpdated { whiteboard, .. } => {
            state.whiteboards.insert(whiteboard.id, whiteboard.clone());
        }
        Event::WhiteboardDeleted { whiteboard, .. } => {
            state.whiteboards.remove(&whiteboard.id);
        }
        _ => {}
    }
}

/// The boards of rooms that are merged go over to the other room, all of them: none is lost to a limit.
pub fn merge(state: &mut Meeting, from: &[RoomId], into: RoomId) {
    for board in state.whiteboards.values_mut().filter(|board| from.contains(&board.room)) {
        board.room = into;
    }
}
