//! The way to the meeting's boards.

use super::{Leaving, Live};
use crate::frame;
use crate::ports::Ticket;
use crate::room::calls::Leash;
use crate::whiteboard::BoardActor;
use crate::whiteboard::words::{FromMeeting, Visit};
use actix::{Actor, Addr};
use convoke_domain::{Rejection, SessionId, WhiteboardId};
use std::sync::Arc;
use tokio::sync::watch;

impl Live {
    /// Somebody comes to a board. It hears of them when what let them in is durable.
    pub fn visit(&mut self, visit: Visit) -> Result<(), Rejection> {
        self.active_at = self.env.clock.now();
        let (board, word) = self.boards.visit(&self.state, visit)?;
        self.leave_at(self.state.seq, Leaving::Board(board, word));
        Ok(())
    }

    pub fn find_board(&mut self, board: WhiteboardId) -> Result<Addr<BoardActor>, Rejection> {
        if !self.state.whiteboards.contains_key(&board) {
            return Err(Rejection::not_found("no such whiteboard"));
        }
        self.active_at = self.env.clock.now();
        let make = self.making(board);
        Ok(self.boards.find(board, make))
    }

    /// What a session needs to connect to a board.
    pub(super) fn way_to_board(&self, session: SessionId, board: WhiteboardId, writable: bool) -> String {
        let base = self.attached.get(&session).map_or("", |attachment| &*attachment.base);
        let participant = self.state.session_member(session).map(|member| member.participant.id);
        let ticket = participant.map(|participant| Ticket { key: self.key.clone(), session, participant });
        let token = ticket.map(|ticket| self.env.doors.board_token(&ticket, board));
        let url = frame::json(&format!("{base}/ws/whiteboards/{board}"));
        format!(r#"{{"url":{url},"token":{},"writable":{writable}}}"#, frame::json(&token))
    }

    pub(super) fn stage_boards(&mut self) {
        for (board, word) in self.boards.stage(&self.state) {
            self.leave_at(self.state.seq, Leaving::Board(board, word));
        }
    }

    pub(super) fn tell_board(&mut self, board: WhiteboardId, word: FromMeeting) {
        let make = self.making(board);
        self.boards.send(board, word, make);
    }

    fn making(&self, board: WhiteboardId) -> impl FnOnce(watch::Receiver<()>) -> Addr<BoardActor> + use<> {
        let (key, term, env, mine) = (self.key.clone(), self.term, self.env.clone(), self.life.clone());
        move |meeting| {
            let leash = Leash { life: Arc::clone(&env.life), mine, meeting };
            BoardActor::new(key, board, term, env, leash).start()
        }
    }
}
