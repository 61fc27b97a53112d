//! What sockets say to a board, and what it makes of it. Every message is held against what its session may do
//! now: the meeting's word that it may do less stands before what comes after it.

use super::document::{Document, Refusal};
use super::protocol::{self, Message};
use super::words::{AskBoard, Guest, Shown, Visit, Wants};
use super::{ANSWER_REST, GUESTS_MAX, OFFENCES_MAX, PRESENT_MARGIN_MS, SESSION_GUESTS_MAX};
use super::{BoardActor, Held, Leaving, NotJoined, Reply, inspect, refused};
use crate::meeting::Refused;
use crate::ports::{BoardSnapshot, StoreError};
use crate::release::{HubId, SocketId};
use crate::restart;
use actix::Context;
use bytes::Bytes;
use convoke_domain::whiteboard::BoardRight;
use convoke_domain::{CloseCode, Rejection, SessionId};
use tokio::time::Instant;
use uuid::Uuid;

/// Why a socket is sent away, in a word for the metrics and a sentence for whoever looks at the client.
struct Offence {
    reason: &'static str,
    said: String,
}

impl Offence {
    fn new(reason: &'static str, said: impl Into<String>) -> Self {
        Self { reason, said: said.into() }
    }
}

impl From<inspect::Unfit> for Offence {
    fn from(unfit: inspect::Unfit) -> Self {
        Self::new("bad_request", unfit.to_string())
    }
}

impl From<Refusal> for Offence {
    fn from(refusal: Refusal) -> Self {
        let reason = match &refusal {
            Refusal::Unfit(_) => "bad_request",
            Refusal::TooLarge(_) => "too_large",
            Refusal::Full(_) => "capacity",
            Refusal::Broken(_) => "internal",
        };
        Self::new(reason, refusal.to_string())
    }
}

impl BoardActor {
    pub(super) fn visit(&mut self, visit: Visit, right: BoardRight) {
        let Visit { socket, session, desk, .. } = visit;
        let now = self.env.clock.now();
        self.rights.insert(session, right);
        self.desks.entry(desk.clone()).or_default();
        self.heard.insert(desk.hub, Instant::now());
        let code = if self.guests.len() >= GUESTS_MAX {
            Some(CloseCode::Denied)
        } else {
            self.offences.get(&session).filter(|count| **count >= OFFENCES_MAX).map(|_| CloseCode::Flooding)
        };
        if let Some(code) = code {
            return self.leave(Leaving::To(desk, Shown::Close { socket, code }));
        }
        let own = self.guests.iter().filter(|(_, guest)| guest.session == session);
        if own.clone().count() >= SESSION_GUESTS_MAX
            && let Some(oldest) = own.min_by_key(|(_, guest)| guest.came_at).map(|(socket, _)| *socket)
        {
            self.send_away(oldest, CloseCode::Replaced);
        }
        let guest = Guest {
            session,
            desk,
            came_at: now,
            wants: Wants::default(),
            answered_at: None,
            is_to_be_answered: false,
            looked_at: None,
        };
        self.guests.insert(socket, guest);
        let Some(document) = &self.document else { return };
        // Also whoever only looks is asked what they have: what they drew before they were kept from it is not here.
        let mut messages = vec![protocol::step_1(&document.state_vector())];
        let there = self.everybody.all();
        if !there.is_empty() {
            messages.push(protocol::cursors(there.iter()));
        }
        self.leave_to(socket, Shown::Come { socket, messages });
    }

    pub(super) fn may(&mut self, session: SessionId, right: Result<BoardRight, CloseCode>) {
        match right {
            Ok(right) => drop(self.rights.insert(session, right)),
            Err(code) => {
                self.rights.remove(&session);
                for socket in self.guests_where(|guest| guest.session == session) {
                    self.send_away(socket, code);
                }
            }
        }
    }

    fn send_away(&mut self, socket: SocketId, code: CloseCode) {
        self.leave_to(socket, Shown::Close { socket, code });
        let hub = self.guests.get(&socket).map(|guest| guest.desk.hub);
        self.gone(socket);
        self.dismissed.extend(hub.map(|hub| (socket, hub)));
    }

    pub(super) fn gone(&mut self, socket: SocketId) {
        self.guests.remove(&socket);
        self.dismissed.remove(&socket);
        self.asked.remove(&socket);
        self.everybody.leave(socket, self.env.clock.now());
    }

    pub(super) fn asked(&mut self, ask: AskBoard, reply: Reply, ctx: &mut Context<Self>) {
        let done = |reply: Reply, outcome| drop(reply.send(outcome));
        if self.is_over || !self.leash.holds() {
            return done(reply, Err(Refused::Elsewhere));
        }
        match ask {
            AskBoard::Frames { socket, frames } => self.hear(socket, frames, false, reply, ctx),
            AskBoard::Gone { socket } => {
                self.turn(ctx, |this| this.gone(socket));
                done(reply, Ok(()));
            }
            AskBoard::Present { hub, sockets } => {
                self.turn(ctx, |this| this.present(hub, &sockets));
                done(reply, Ok(()));
            }
            AskBoard::Keep { id, name, by } => {
                let at = self.env.clock.now();
                let snapshot = BoardSnapshot { id, name, by, at, bytes: 0 };
                self.turn(ctx, |this| this.leave(Leaving::Keep(snapshot, reply)));
            }
            AskBoard::Restore { request, snapshot } => self.restore(request, snapshot, reply, ctx),
        }
    }

    fn present(&mut self, hub: HubId, sockets: &[SocketId]) {
        self.heard.insert(hub, Instant::now());
        self.dismissed.retain(|socket, of| *of != hub || sockets.contains(socket));
        let before = self.env.clock.now().saturating_sub(PRESENT_MARGIN_MS);
        let is_gone = |socket: &SocketId, guest: &Guest| {
            guest.desk.hub == hub && guest.came_at < before && !sockets.contains(socket)
        };
        let gone: Vec<SocketId> =
            self.guests.iter().filter(|(socket, guest)| is_gone(socket, guest)).map(|(socket, _)| *socket).collect();
        gone.into_iter().for_each(|socket| self.gone(socket));
    }

    /// What a socket sent. It is answered when what was drawn is durable: so nothing more is read of whoever draws
    /// faster than that, and what came meanwhile comes together.
    pub(super) fn hear(
        &mut self,
        socket: SocketId,
        mut frames: Vec<Bytes>,
        has_waited: bool,
        reply: Reply,
        ctx: &mut Context<Self>,
    ) {
        // The word that sends it away is on its way, and says why.
        if self.dismissed.contains_key(&socket) {
            return drop(reply.send(Ok(())));
        }
        if !self.guests.contains_key(&socket) {
            return drop(reply.send(Err(Rejection::unavailable("the board does not know the socket").into())));
        }
        let mut is_broken = false;
        self.turn(ctx, |this| {
            let before = this.number();
            for at in 0..frames.len() {
                let Some(Err(offence)) = frames.get(at).map(|frame| this.frame(socket, frame)) else { continue };
                if offence.reason == "capacity" && this.may_get_room(has_waited) {
                    return this.held.push(Held { socket, frames: frames.split_off(at), reply });
                }
                is_broken = offence.reason == "internal";
                this.offend(socket, &offence);
                break;
            }
            if this.number() > before {
                this.leave(Leaving::Reply(reply));
            } else {
                // Whoever asked may have gone.
                let _ = reply.send(Ok(()));
            }
        });
        if is_broken {
            return self.mend(ctx);
        }
        self.turn(ctx, |this| this.answer(socket));
        self.answer_later(socket, ctx);
    }

    /// Whether a full board may have room when its log is joined; for whoever has waited for that once, if there
    /// is much to join again.
    fn may_get_room(&self, has_waited: bool) -> bool {
        let least = if has_waited { self.env.whiteboards.bounds.board_bytes_max / 16 } else { 0 };
        self.document.as_ref().is_some_and(|document| document.tail_bytes() > least)
    }

    /// Gives a socket what it asked for, unless it was given that a moment ago.
    fn answer(&mut self, socket: SocketId) {
        let (Some(guest), Some(document)) = (self.guests.get_mut(&socket), &self.document) else { return };
        let now = Instant::now();
        if guest.wants.is_empty() || guest.answered_at.is_some_and(|at| now.duration_since(at) < ANSWER_REST) {
            return;
        }
        guest.answered_at = Some(now);
        let wants = std::mem::take(&mut guest.wants);
        let mut messages = Vec::new();
        if let Some(theirs) = wants.beyond {
            match document.since(&theirs) {
                Ok(rest) => messages = rest,
                Err(refusal) => return self.offend(socket, &refusal.into()),
            }
        }
        if wants.cursors {
            messages.push(protocol::cursors(self.everybody.all().iter()));
        }
        self.leave_to(socket, Shown::One { socket, messages });
    }

    /// What a socket asks for again and again is answered once in a while.
    fn answer_later(&mut self, socket: SocketId, ctx: &mut Context<Self>) {
        let Some(guest) = self.guests.get_mut(&socket) else { return };
        if !guest.wants.is_empty() && !std::mem::replace(&mut guest.is_to_be_answered, true) {
            restart::later(ctx, ANSWER_REST, move |this: &mut Self, ctx| {
                if let Some(guest) = this.guests.get_mut(&socket) {
                    guest.is_to_be_answered = false;
                }
                this.turn(ctx, |this| this.answer(socket));
            });
        }
    }

    /// The document broke over something. That is not in the log; everybody else goes on with what is.
    fn mend(&mut self, ctx: &mut Context<Self>) {
        if let Some(document) = self.document.take() {
            self.rebuild(document.log().clone(), ctx);
        }
    }

    fn offend(&mut self, socket: SocketId, offence: &Offence) {
        metrics::counter!("convoke_whiteboard_refused_total", "reason" => offence.reason).increment(1);
        if offence.reason == "internal"
            && let Some(guest) = self.guests.get(&socket)
        {
            let count = self.offences.entry(guest.session).or_default();
            *count = count.saturating_add(1);
        }
        let why = protocol::denied(&format!("{}: {}", offence.reason, offence.said));
        self.leave_to(socket, Shown::One { socket, messages: vec![why] });
        self.send_away(socket, CloseCode::ProtocolError);
    }

    fn frame(&mut self, socket: SocketId, frame: &Bytes) -> Result<(), Offence> {
        let bounds = self.env.whiteboards.bounds;
        if frame.len() > bounds.frame_bytes_max {
            return Err(Refusal::TooLarge(format!("{} bytes", bounds.frame_bytes_max)).into());
        }
        for message in protocol::read(frame)? {
            match message {
                Message::Step1(theirs) => {
                    self.guests.entry(socket).and_modify(|guest| guest.wants.beyond = Some(theirs));
                }
                Message::Step2(update) => self.draw(socket, &update, true)?,
                Message::Update(update) => self.draw(socket, &update, false)?,
                Message::Awareness(said) => {
                    let Some(session) = self.guests.get(&socket).map(|guest| guest.session) else { return Ok(()) };
                    if !self.everybody.hear(said, socket, session, self.env.clock.now()) {
                        return Err(Offence::new("too_large", "what a client says of itself is too long, or too much"));
                    }
                }
                Message::QueryAwareness => {
                    self.guests.entry(socket).and_modify(|guest| guest.wants.cursors = true);
                }
            }
        }
        Ok(())
    }

    /// `is_rest`: it is all that the client has and the board had not when it was asked.
    fn draw(&mut self, socket: SocketId, update: &Bytes, is_rest: bool) -> Result<(), Offence> {
        let bounds = &self.env.whiteboards.bounds;
        let bytes_max = if is_rest { bounds.frame_bytes_max } else { bounds.update_bytes_max };
        if update.len() > bytes_max {
            return Err(Refusal::TooLarge(format!("{bytes_max} bytes")).into());
        }
        let looked = inspect::inspect(update)?;
        let (Some(guest), Some(document)) = (self.guests.get_mut(&socket), &mut self.document) else {
            return Ok(());
        };
        if looked.made.is_empty() {
            return Ok(());
        }
        if self.rights.get(&guest.session) != Some(&BoardRight::Draw) {
            // Whoever looks has what they were shown, and says so when they are asked. Whether they erase something
            // takes long to say: one who does it again and again is not listened to, and not asked why.
            let now = Instant::now();
            let may_look = guest.looked_at.is_none_or(|at| now.duration_since(at) >= ANSWER_REST);
            let is_drawn = document.is_new(&looked);
            let is_erased = !is_drawn && looked.has_deletions() && may_look && {
                guest.looked_at = Some(now);
                document.erases(update)?
            };
            return match is_drawn || is_erased {
                true => Err(Offence::new("not_permitted", "you may not draw on this board")),
                false => Ok(()),
            };
        }
        if is_rest {
            self.asked.remove(&socket);
            let taken = document.take_standing(update, &looked, bounds)?;
            taken.update.into_iter().for_each(|new| self.drawn(new));
            return Ok(());
        }
        let taken = document.take(update, &looked, bounds)?;
        if let Some(new) = taken.update {
            self.drawn(new);
        }
        // It builds on what its sender has and did not send. That is asked for once; what comes before the answer
        // is in the answer.
        if !taken.lacks || !self.asked.insert(socket) {
            return Ok(());
        }
        let ours = self.document.as_ref().map(|document| protocol::step_1(&document.state_vector()));
        self.leave_to(socket, Shown::One { socket, messages: ours.into_iter().collect() });
        Ok(())
    }

    fn restore(&mut self, request: Uuid, snapshot: Uuid, reply: Reply, ctx: &mut Context<Self>) {
        if self.restored == Some(request) {
            // It is drawn, and more may be since. Whoever asks again is answered when it is durable.
            return self.turn(ctx, |this| this.leave(Leaving::Reply(reply)));
        }
        // A board may have more than its bytes behind it when it was put back; that is joined first.
        let bounds = &self.env.whiteboards.bounds;
        let has_much = |document: &Document| document.is_long(bounds) && document.bytes() > bounds.board_bytes_max;
        if self.document.as_ref().is_some_and(has_much) {
            return drop(reply.send(Err(Rejection::unavailable("the board has no room just now").into())));
        }
        let (env, key, board) = (self.env.clone(), self.key.clone(), self.board);
        let reading = async move { env.store.board_snapshot(&key, board, snapshot).await };
        restart::spawn(ctx, reading, move |this: &mut Self, ctx, read: Result<Option<Vec<u8>>, StoreError>| {
            let state = match read {
                Ok(Some(state)) => Bytes::from(state),
                Ok(None) => return drop(reply.send(Err(Rejection::not_found("no such snapshot").into()))),
                Err(error) => return drop(reply.send(Err(refused(&NotJoined::Store(error))))),
            };
            let mut is_broken = false;
            this.turn(ctx, |this| {
                // Asked twice, it may have been drawn while the state was read.
                let is_drawn = this.restored == Some(request);
                let draw = |document: &mut Document| if is_drawn { Ok(None) } else { document.restore(&state) };
                match this.document.as_mut().map(draw) {
                    Some(Ok(restored)) => {
                        if !is_drawn {
                            (this.restored, this.unsent_restore) = (Some(request), Some(request));
                        }
                        restored.into_iter().for_each(|update| this.drawn(update));
                    }
                    Some(Err(error)) => {
                        is_broken = true;
                        return drop(reply.send(Err(refused(&NotJoined::Document(error)))));
                    }
                    None => return,
                }
                this.leave(Leaving::Reply(reply));
            });
            if is_broken {
                this.mend(ctx);
            }
        });
    }
}
