//! What sockets say to a board, and what it makes of it. Every message is held against what its session may do
//! now: the meeting's word that it may do less stands before what comes after it.

use super::document::{Document, Refusal};
use super::protocol::{self, Message};
use super::words::{AskBoard, Guest, Shown, Visit};
use super::{AFLOAT_MAX, BoardActor, Leaving, NotJoined, OFFENCES_MAX, PRESENT_MARGIN_MS, Reply, refused};
use super::{GUESTS_MAX, inspect};
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
        self.guests.insert(socket, Guest { session, desk, came_at: now });
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
            AskBoard::Frames { socket, frames } => {
                // The word that sends it away is on its way, and says why.
                if self.dismissed.contains_key(&socket) {
                    return done(reply, Ok(()));
                }
                if !self.guests.contains_key(&socket) {
                    return done(reply, Err(Rejection::unavailable("the board does not know the socket").into()));
                }
                self.frames(socket, &frames, ctx);
                if self.afloat < AFLOAT_MAX {
                    done(reply, Ok(()));
                } else {
                    // Nothing more is read of this socket before what it drew is durable.
                    self.turn(ctx, |this| this.leave(Leaving::Reply(reply)));
                }
            }
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

    fn frames(&mut self, socket: SocketId, frames: &[Bytes], ctx: &mut Context<Self>) {
        let mut broken = false;
        self.turn(ctx, |this| {
            for frame in frames {
                let Err(offence) = this.frame(socket, frame) else { continue };
                broken = offence.reason == "internal";
                this.offend(socket, &offence);
                break;
            }
        });
        if broken {
            self.mend(ctx);
        }
    }

    /// The document broke over something. That is not in the log; everybody else goes on with what is.
    fn mend(&mut self, ctx: &mut Context<Self>) {
        if let Some(document) = self.document.take() {
            let log = document.log_upto(document.number());
            self.rebuild(log, ctx);
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
            return Err(Refusal::TooLarge(bounds.frame_bytes_max).into());
        }
        for message in protocol::read(frame)? {
            match message {
                Message::Step1(theirs) => {
                    let Some(document) = &self.document else { return Ok(()) };
                    let messages = document.since(&theirs)?;
                    self.leave_to(socket, Shown::One { socket, messages });
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
                    let messages = vec![protocol::cursors(self.everybody.all().iter())];
                    self.leave_to(socket, Shown::One { socket, messages });
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
            return Err(Refusal::TooLarge(bytes_max).into());
        }
        let looked = inspect::inspect(update)?;
        let (Some(guest), Some(document)) = (self.guests.get(&socket), &mut self.document) else { return Ok(()) };
        if looked.made.is_empty() {
            return Ok(());
        }
        if self.rights.get(&guest.session) != Some(&BoardRight::Draw) {
            // Whoever looks has what they were shown, and says so when they are asked.
            return match document.is_new(update)? {
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
