//! The meeting's boards that are awake: an actor for each that somebody has open. What a session may do on a
//! board is decided here, when it comes and whenever that changes, and told in the meeting's one queue: so the
//! board knows before anybody hears of it.

use crate::whiteboard::words::{FromMeeting, Visit};
use crate::whiteboard::{BoardActor, Told};
use actix::Addr;
use convoke_domain::state::{Member, Standing};
use convoke_domain::whiteboard::BoardRight;
use convoke_domain::{CloseCode, Event, Meeting, ParticipantId, Rejection, SessionId, WhiteboardId};
use std::collections::BTreeMap;
use tokio::sync::watch;

/// Somebody who came, and what they were told that they may do.
struct Visitor {
    participant: ParticipantId,
    right: BoardRight,
}

struct Handle {
    address: Option<Addr<BoardActor>>,
    visitors: BTreeMap<SessionId, Visitor>,
    /// Dropped with this, which ends the board.
    leash: watch::Sender<()>,
}

#[derive(Default)]
pub struct Boards {
    boards: BTreeMap<WhiteboardId, Handle>,
    has_changed: bool,
}

impl Boards {
    /// Notes what may mean that somebody may do more or less than before.
    pub fn note(&mut self, event: &Event) {
        self.has_changed |= !self.boards.is_empty()
            && matches!(
                event,
                Event::ParticipantJoined { .. }
                    | Event::ParticipantLeft { .. }
                    | Event::ParticipantRemoved { .. }
                    | Event::ParticipantsMoved { .. }
                    | Event::RoleChanged { .. }
                    | Event::SessionClosed { .. }
                    | Event::WhiteboardUpdated { .. }
                    | Event::WhiteboardDeleted { .. }
                    | Event::BreakoutMerged { .. }
                    | Event::MeetingEnded { .. }
                    | Event::MeetingCancelled { .. }
            );
    }

    /// What the boards are to be told as of the present state.
    pub fn stage(&mut self, state: &Meeting) -> Vec<(WhiteboardId, FromMeeting)> {
        if !std::mem::take(&mut self.has_changed) {
            return Vec::new();
        }
        let mut words = Vec::new();
        for (id, handle) in &mut self.boards {
            if !state.whiteboards.contains_key(id) {
                handle.visitors.clear();
                words.push((*id, FromMeeting::Deleted));
                continue;
            }
            handle.visitors.retain(|session, visitor| {
                let now = right(state, *session, visitor.participant, *id);
                if now != Ok(visitor.right) {
                    words.push((*id, FromMeeting::Right(*session, now)));
                }
                visitor.right = now.unwrap_or(visitor.right);
                now.is_ok()
            });
        }
        words
    }

    /// Whether a session may come to a board.
    pub fn visit(&mut self, state: &Meeting, visit: Visit) -> Result<(WhiteboardId, FromMeeting), Rejection> {
        let (board, session) = (visit.board, visit.session);
        let right = right(state, session, visit.participant, board)
            .map_err(|code| Rejection::not_permitted("the whiteboard is not open to you").closing(code))?;
        self.handle(board).visitors.insert(session, Visitor { participant: visit.participant, right });
        Ok((board, FromMeeting::Visit(visit, right)))
    }

    fn handle(&mut self, board: WhiteboardId) -> &mut Handle {
        self.boards.entry(board).or_insert_with(|| Handle {
            address: None,
            visitors: BTreeMap::new(),
            leash: watch::Sender::new(()),
        })
    }

    /// The board's actor, which is made if there is none.
    pub fn find(
        &mut self,
        board: WhiteboardId,
        make: impl FnOnce(watch::Receiver<()>) -> Addr<BoardActor>,
    ) -> Addr<BoardActor> {
        let handle = self.handle(board);
        let present = handle.address.take().filter(Addr::connected);
        let address = present.unwrap_or_else(|| make(handle.leash.subscribe()));
        handle.address = Some(address.clone());
        address
    }

    pub fn send(
        &mut self,
        board: WhiteboardId,
        word: FromMeeting,
        make: impl FnOnce(watch::Receiver<()>) -> Addr<BoardActor>,
    ) {
        let is_last = matches!(word, FromMeeting::Deleted);
        let is_awake = self.boards.get(&board).and_then(|handle| handle.address.as_ref()).is_some_and(Addr::connected);
        // Nobody is woken to be told that somebody may not come.
        if !is_awake && !matches!(word, FromMeeting::Visit(..)) {
            if is_last {
                self.boards.remove(&board);
            }
            return;
        }
        let is_told = self.find(board, make).try_send(Told(word)).is_ok();
        // One that is too busy to hear who may do what is ended: its clients come again.
        if is_last || !is_told {
            self.boards.remove(&board);
        }
    }
}

/// Why a session of this person is over.
fn gone(state: &Meeting, participant: ParticipantId) -> CloseCode {
    match state.member(participant) {
        _ if state.info.status.is_over() => CloseCode::MeetingEnded,
        Some(member) if member.banned => CloseCode::Banned,
        Some(member) if matches!(member.standing, Standing::Removed { .. }) => CloseCode::Removed,
        _ => CloseCode::Left,
    }
}

/// What a session may do on a board; or how its socket is closed.
fn right(
    state: &Meeting,
    session: SessionId,
    participant: ParticipantId,
    board: WhiteboardId,
) -> Result<BoardRight, CloseCode> {
    // The session's id may have begun anew, with somebody else.
    let is_theirs = |member: &&Member| member.participant.id == participant && !state.info.status.is_over();
    let member = state.session_member(session).filter(is_theirs).ok_or_else(|| gone(state, participant))?;
    let board = state.whiteboards.get(&board).ok_or(CloseCode::Denied)?;
    state.board_right(member, board).ok_or(CloseCode::Denied)
}
