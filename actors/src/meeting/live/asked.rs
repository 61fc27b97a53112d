//! What is asked of the meeting: numbered commands, requests that came over REST, and words of its
//! rooms. A number has one effect and one answer, however often it comes.

use super::effects::signal_item;
use super::{Leaving, Live};
use crate::frame;
use crate::meeting::render::roster_page;
use crate::meeting::{Numbered, Outcome, RequestInput};
use crate::node::Done;
use crate::release::{Item, SocketId};
use crate::room::words::Word;
use bytestring::ByteString;
use convoke_domain::command::Input;
use convoke_domain::turn::Reply;
use convoke_domain::{By, Cause, Effect, Rejection, RoomId, SessionId, decide};
use tokio::sync::oneshot;

impl Live {
    pub fn command(&mut self, numbered: Numbered) {
        let Numbered { socket, session, id, after, command, span, .. } = numbered;
        if self.socket_of(session) != Some(socket) {
            return;
        }
        let last = self.last_id(session);
        if id <= last {
            let answer = self.answer_again(session, id);
            return self.answer(socket, id, answer);
        }
        if after > last {
            // The one before it was lost with a former life; the session sends both again.
            return;
        }
        self.active_at = self.env.clock.now();
        self.numbers.entry(session).or_default().last = id;
        let before = self.state.seq;
        let input = match command {
            Ok(command) => Input::Command { by: By::Session { session, id }, command },
            Err(rejection) => Input::Refused { rejection },
        };
        let (reply, effects) = span.in_scope(|| tracing::info_span!("decide").in_scope(|| self.execute(input)));
        // What was done anonymously has no seq: nobody is to know where in the log it stands.
        let own = Some(Cause { session, id });
        let caused = self.unsent.iter().rev().find(|row| row.seq > before && row.cause == own).map(|row| row.seq);
        let message = match &reply {
            Ok(Reply::Roster { after }) => frame::answer(id, None, &roster_page(&self.state, *after)),
            Ok(Reply::Whiteboard { id: board, writable }) => {
                frame::answer(id, None, &self.way_to_board(session, *board, *writable))
            }
            Ok(_) => frame::answer(id, caused, "{}"),
            Err(rejection) => frame::refusal(id, rejection),
        };
        if self.state.seq > before {
            self.unsent_spans.push(span);
        }
        let outcome = reply.as_ref().map_or_else(|rejection| rejection.code.as_str(), |_| "ok");
        metrics::counter!("convoke_commands_total", "outcome" => outcome).increment(1);
        let numbers = self.numbers.entry(session).or_default();
        numbers.answers.push_back((id, message.clone()));
        if numbers.answers.len() > self.env.limits.answers_kept_max {
            numbers.answers.pop_front();
        }
        self.answer(socket, id, message);
        self.effects(effects);
    }

    pub(super) fn answer(&mut self, socket: SocketId, id: u64, message: ByteString) {
        self.leave(Item::Direct { socket, message, re: Some(id), seq: None, is_snapshot: false });
    }

    /// The answer of the first time: from memory, or from the log; a number that is in neither had
    /// no effect, and says so.
    pub(super) fn answer_again(&self, session: SessionId, id: u64) -> ByteString {
        let remembered = self.numbers.get(&session).and_then(|n| n.answers.iter().find(|(other, _)| *other == id));
        if let Some((_, message)) = remembered {
            return message.clone();
        }
        match self.state.outcome_of(session, id, &self.env.limits) {
            Ok(seq) => frame::answer(id, seq, "{}"),
            Err(rejection) => frame::refusal(id, &rejection),
        }
    }

    pub fn request(&mut self, input: RequestInput, reply: oneshot::Sender<Outcome>) {
        self.active_at = self.env.clock.now();
        let input = match input {
            RequestInput::Command { by, command } => Input::Command { by, command },
            RequestInput::Once { request, by, command } => Input::Once { request, by, command },
            RequestInput::Erase(user) => Input::Erase(user),
        };
        let is_erasure = matches!(input, Input::Erase(_));
        let (outcome, after) = self.execute(input);
        if is_erasure {
            // What is to be forgotten is not replayed, and leaves the snapshot with the next one.
            self.ring.forget(self.state.seq);
            self.snapshot_wanted = true;
        }
        let done = outcome.map(|_| Done { seq: self.state.seq, meeting: self.state.info.clone() });
        self.leave_at(self.state.seq, Leaving::Reply(reply, done));
        self.effects(after);
    }

    /// The log is out of reach: signals flow by what was known last, all else is refused. What may
    /// have had its effect before is not answered now; it is asked for again when the log is back.
    pub fn while_away(&mut self, numbered: &Numbered) {
        let may_be_done = numbered.is_retry || numbered.id <= self.last_id(numbered.session);
        if may_be_done || self.socket_of(numbered.session) != Some(numbered.socket) {
            return;
        }
        let socket = numbered.socket;
        let (now, limits) = (self.env.clock.now(), &self.env.limits);
        let passing = |command| decide::passing(&self.state, numbered.session, command, now, limits);
        let signal = numbered.command.as_ref().ok().and_then(passing).map(|(room, signal)| signal_item(room, &signal));
        let message = match &signal {
            Some(_) => frame::answer(numbered.id, None, "{}"),
            None => frame::refusal(numbered.id, &Rejection::unavailable("the database is out of reach")),
        };
        let answer = Item::Direct { socket, message, re: Some(numbered.id), seq: None, is_snapshot: false };
        self.publish(signal.into_iter().chain([answer]).collect());
    }

    /// A room says something. Who is missing there is for those who lead; whoever of them has a socket
    /// all the same may need other credentials.
    pub fn hear(&mut self, room: RoomId, word: Word) {
        if let Word::Seen(seen) = word {
            return seen.into_iter().for_each(|seen| self.input(Input::Seen(seen)));
        }
        let Some(missing) = self.rooms.hear(room, word) else { return };
        let data = format!(r#"{{"room":"{room}","missing":{}}}"#, frame::json(&missing.all));
        let message = frame::notice("room.arrivals", &data);
        self.tell_leads(&message);
        self.effects(missing.late.into_iter().map(Effect::GrantMedia).collect());
    }
}
