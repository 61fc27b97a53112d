//! What sockets say to a board, and what it makes of it. Every message is held against what its session may do
//! now: the meeting's word that it may do less stands before what comes after it.

use super::aside::{Heard, Stroke};
use super::cost::Watch;
use super::document::{Document, Refusal, Taken};
use super::inspect::Looked;
use super::keeping::{NotJoined, refused};
use super::protocol::{self, Message};
use super::words::{AskBoard, Guest, Shown, Visit, Wants};
use super::{ANSWER_REST, GUESTS_MAX, OFFENCES_MAX, PRESENT_MARGIN_MS, SESSION_GUESTS_MAX};
use super::{BoardActor, Leaving, Reply, deep, inspect};
use crate::meeting::Refused;
use crate::ports::{BoardSnapshot, StoreError};
use crate::release::{HubId, SocketId};
use crate::restart;
use actix::Context;
use bytes::Bytes;
use convoke_domain::whiteboard::BoardRight;
use convoke_domain::{CloseCode, Rejection, SessionId};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Why a socket is sent away, in a word for the metrics and a sentence for whoever looks at the client.
pub(super) struct Offence {
    reason: &'static str,
    said: String,
    harm: Harm,
}

/// What it did beside that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    None,
    /// The document is not to be used any more.
    Broke,
    /// What its session draws has taken more time than it has.
    Spent,
}

impl Offence {
    fn new(reason: &'static str, said: impl Into<String>) -> Self {
        Self { reason, said: said.into(), harm: Harm::None }
    }
}

/// What is left of what a socket said.
enum Left {
    Nothing,
    /// The next of it may take long.
    Aside(Stroke),
    /// Others are to go first.
    Later,
}

/// What came of a message that draws.
enum Drawn {
    Done,
    /// It may take long.
    Aside(Looked),
}

impl From<inspect::Unfit> for Offence {
    fn from(unfit: inspect::Unfit) -> Self {
        Self::new("bad_request", unfit.to_string())
    }
}

impl From<Refusal> for Offence {
    fn from(refusal: Refusal) -> Self {
        let (reason, harm) = match &refusal {
            Refusal::Unfit(_) => ("bad_request", Harm::None),
            Refusal::TooLarge(_) => ("too_large", Harm::None),
            Refusal::Full(_) => ("capacity", Harm::None),
            Refusal::TooCostly => ("too_costly", Harm::Broke),
            Refusal::Broken(_) => ("internal", Harm::Broke),
        };
        Self { reason, said: refusal.to_string(), harm }
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
            AskBoard::Frames { socket, frames } => self.hear(Heard::new(socket, frames, reply), ctx),
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

    /// What a socket sent, and what is left of it. It is answered when what was drawn is durable: so nothing more is
    /// read of whoever draws faster than that, and what came meanwhile comes together.
    pub(super) fn go_on(&mut self, mut heard: Heard, ctx: &mut Context<Self>) {
        let socket = heard.socket;
        // The word that sends it away is on its way, and says why.
        if self.dismissed.contains_key(&socket) {
            return heard.answer(Ok(()));
        }
        if !self.guests.contains_key(&socket) {
            return heard.refuse(Rejection::unavailable("the board does not know the socket").into());
        }
        let (mut left_over, mut is_broken) = (None, false);
        self.turn(ctx, |this| {
            let before = this.number();
            let outcome = this.listen(&mut heard);
            heard.has_drawn |= this.number() > before;
            match outcome {
                Ok(Left::Nothing) => this.heard(heard),
                Ok(left) => left_over = Some((heard, left)),
                Err(offence) => {
                    is_broken = offence.harm == Harm::Broke;
                    this.object(heard, &offence);
                }
            }
        });
        match left_over {
            Some((heard, Left::Aside(stroke))) => return self.draw_aside(heard, stroke, ctx),
            Some((heard, _)) => return self.pause(heard, ctx),
            None => {}
        }
        if is_broken {
            return self.mend(ctx);
        }
        self.turn(ctx, |this| this.answer(socket));
        self.answer_later(socket, ctx);
    }

    /// All of it is taken: it is answered when that is durable.
    fn heard(&mut self, heard: Heard) {
        match heard.has_drawn {
            true => self.leave(Leaving::Reply(heard.reply)),
            false => heard.answer(Ok(())),
        }
    }

    /// The first of what is left is not taken.
    pub(super) fn object(&mut self, heard: Heard, offence: &Offence) {
        if offence.reason == "capacity" && self.may_get_room(heard.has_waited) {
            return self.held.push(heard);
        }
        self.offend(heard.socket, offence);
        self.heard(heard);
    }

    /// Whether a full board may have room when its log is joined; for whoever has waited for that once, if there
    /// is much to join again.
    fn may_get_room(&self, has_waited: bool) -> bool {
        let least = if has_waited { self.env.whiteboards.bounds.board_bytes_max / 16 } else { 0 };
        self.document.as_ref().is_some_and(|document| document.tail_bytes() > least)
    }

    /// Gives a socket what it asked for, at the cost of its session; unless it was given that a moment ago, or the
    /// session has had its share.
    fn answer(&mut self, socket: SocketId) {
        let (Some(guest), Some(document)) = (self.guests.get_mut(&socket), &mut self.document) else { return };
        let (now, session) = (Instant::now(), guest.session);
        let is_answered = guest.answered_at.is_some_and(|at| now.duration_since(at) < ANSWER_REST);
        if guest.wants.is_empty() || is_answered || self.env.whiteboards.has_spent(session) {
            return;
        }
        guest.answered_at = Some(now);
        let wants = std::mem::take(&mut guest.wants);
        let mut messages = Vec::new();
        if let Some(theirs) = wants.beyond {
            let watch = Watch::new(self.env.whiteboards.place);
            let rest = document.since(&theirs);
            self.spend(session, watch.elapsed());
            match rest {
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
                this.answer_later(socket, ctx);
            });
        }
    }

    /// The document broke over something. That is not in the log; everybody else goes on with what is.
    fn mend(&mut self, ctx: &mut Context<Self>) {
        if let Some(document) = &self.document {
            self.rebuild(document.log().clone(), ctx);
        }
    }

    fn offend(&mut self, socket: SocketId, offence: &Offence) {
        metrics::counter!("convoke_whiteboard_refused_total", "reason" => offence.reason).increment(1);
        let session = self.guests.get(&socket).map(|guest| guest.session);
        if let Some(session) = session
            && offence.harm != Harm::None
        {
            let count = self.offences.entry(session).or_default();
            *count = count.saturating_add(1);
        }
        let (sockets, code) = match offence.harm {
            Harm::Spent => (self.guests_where(|guest| Some(guest.session) == session), CloseCode::Flooding),
            _ => (vec![socket], CloseCode::ProtocolError),
        };
        let why = protocol::denied(&format!("{}: {}", offence.reason, offence.said));
        for socket in sockets {
            self.leave_to(socket, Shown::One { socket, messages: vec![why.clone()] });
            self.send_away(socket, code);
        }
    }

    /// Takes up what a socket said, in order, up to what is to be drawn aside, or later.
    fn listen(&mut self, heard: &mut Heard) -> Result<Left, Offence> {
        let socket = heard.socket;
        loop {
            let Some(message) = heard.messages.pop_front() else {
                let Some(frame) = heard.frames.pop_front() else { return Ok(Left::Nothing) };
                let most = self.env.whiteboards.bounds.frame_bytes_max;
                if frame.len() > most {
                    return Err(Refusal::TooLarge(format!("{most} bytes")).into());
                }
                heard.messages = protocol::read(&frame)?.into();
                continue;
            };
            match message {
                Message::Step1(theirs) => {
                    self.guests.entry(socket).and_modify(|guest| guest.wants.beyond = Some(theirs));
                }
                Message::Step2(_) | Message::Update(_) if self.caution.needs_pause(&self.env.whiteboards.bounds) => {
                    heard.messages.push_front(message);
                    return Ok(Left::Later);
                }
                Message::Step2(ref update) | Message::Update(ref update) => {
                    let is_rest = matches!(message, Message::Step2(_));
                    match self.draw(socket, update, is_rest) {
                        Ok(Drawn::Done) => {}
                        Ok(Drawn::Aside(looked)) => return Ok(Left::Aside(Stroke { message, looked })),
                        Err(offence) => {
                            heard.messages.push_front(message);
                            return Err(offence);
                        }
                    }
                }
                Message::Awareness(said) => {
                    let Some(session) = self.guests.get(&socket).map(|guest| guest.session) else {
                        return Ok(Left::Nothing);
                    };
                    if !self.everybody.hear(said, socket, session, self.env.clock.now()) {
                        return Err(Offence::new("too_large", "what a client says of itself is too long, or too much"));
                    }
                }
                Message::QueryAwareness => {
                    self.guests.entry(socket).and_modify(|guest| guest.wants.cursors = true);
                }
            }
        }
    }

    /// Draws, at the cost of its session.
    fn draw(&mut self, socket: SocketId, update: &Bytes, is_rest: bool) -> Result<Drawn, Offence> {
        let Some(session) = self.guests.get(&socket).map(|guest| guest.session) else { return Ok(Drawn::Done) };
        let whiteboards = self.env.whiteboards.clone();
        if whiteboards.has_spent(session) {
            return Err(Offence {
                reason: "too_costly",
                said: "what you draw takes too much time".to_owned(),
                harm: Harm::Spent,
            });
        }
        let watch = Watch::new(whiteboards.place);
        let drawn = self.draw_here(socket, update, is_rest);
        self.spend(session, watch.elapsed());
        drawn
    }

    pub(super) fn spend(&mut self, session: SessionId, took: Duration) {
        let whiteboards = &self.env.whiteboards;
        whiteboards.spend(session, took);
        self.caution.learn(took, &whiteboards.bounds);
    }

    /// `is_rest`: it is all that the client has and the board had not when it was asked.
    fn draw_here(&mut self, socket: SocketId, update: &Bytes, is_rest: bool) -> Result<Drawn, Offence> {
        let bounds = &self.env.whiteboards.bounds;
        let bytes_max = if is_rest { bounds.frame_bytes_max } else { bounds.update_bytes_max };
        if update.len() > bytes_max {
            return Err(Refusal::TooLarge(format!("{bytes_max} bytes")).into());
        }
        let looked = inspect::inspect(update)?;
        let (Some(guest), Some(document)) = (self.guests.get_mut(&socket), &mut self.document) else {
            return Ok(Drawn::Done);
        };
        if looked.made.is_empty() {
            return Ok(Drawn::Done);
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
                false => Ok(Drawn::Done),
            };
        }
        if document.is_costly(&looked, self.caution.steps()) {
            return Ok(Drawn::Aside(looked));
        }
        let taken = document.draw(update, &looked, is_rest, bounds, None)?;
        self.taken(socket, taken, is_rest);
        Ok(Drawn::Done)
    }

    pub(super) fn taken(&mut self, socket: SocketId, taken: Taken, is_rest: bool) {
        self.drawn(taken.updates);
        if is_rest {
            self.asked.remove(&socket);
            return;
        }
        // It builds on what its sender has and did not send. That is asked for once; what comes before the answer
        // is in the answer.
        if !taken.lacks || !self.asked.insert(socket) {
            return;
        }
        let ours = self.document.as_ref().map(|document| protocol::step_1(&document.state_vector()));
        self.leave_to(socket, Shown::One { socket, messages: ours.into_iter().collect() });
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
            // Asked twice, it may have been drawn while the state was read.
            if this.restored == Some(request) {
                return this.turn(ctx, |this| this.leave(Leaving::Reply(reply)));
            }
            // Halfway through a state that cannot be read, something of it may be drawn.
            let draw = move |document: &mut Document, _| {
                document.restore(&state).map_err(|error| Refusal::from(deep::Broken(error.to_string())))
            };
            this.aside(ctx, draw, move |this, ctx, restored, _| {
                this.turn(ctx, |this| match restored {
                    Ok(restored) => {
                        (this.restored, this.unsent_restore) = (Some(request), Some(request));
                        this.drawn(restored.into_iter().collect());
                        this.leave(Leaving::Reply(reply));
                    }
                    Err(error) => drop(reply.send(Err(refused(&NotJoined::Document(error))))),
                });
            });
        });
    }
}
