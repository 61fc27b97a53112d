//! Who is attached: the socket that a session has just now, how it comes and goes, and what it is given
//! when it comes. A late word of an older socket changes nothing.

use super::{Attachment, HubWord, Live, millis};
use crate::frame;
use crate::meeting::render::Shown;
use crate::meeting::{Attach, Detach, How, Present};
use crate::ports::MeetingKey;
use crate::release::{HubId, Item, Place, Placing, SocketId};
use crate::supervisor::Env;
use bytestring::ByteString;
use convoke_domain::command::Input;
use convoke_domain::state::{Member, Standing};
use convoke_domain::turn::Reply;
use convoke_domain::{CloseCode, Code, Meeting, Millis, ParticipantId, Rejection, Seq, SessionId};
use std::collections::BTreeSet;

/// A hub that says nothing for so long has lost its node, or its node the bus.
pub(super) const HUB_SILENT_MS: Millis = 16_000;
/// What may lie between an attachment here and the word of its hub: the way, and two clocks.
const PRESENT_MARGIN_MS: Millis = 2_000;

impl Live {
    pub fn attach(&mut self, attach: Attach) {
        self.active_at = self.env.clock.now();
        let Attach { socket, hub, session, asked_at, base, how } = attach;
        let is_overtaken = |present: &Attachment| (present.asked_at, present.socket) > (asked_at, socket);
        if self.attached.get(&session).is_some_and(is_overtaken) {
            return self.leave(Item::Close { socket, code: CloseCode::Replaced });
        }
        let attachment = Attachment { socket, hub, at: self.active_at, asked_at, base: base.into() };
        match how {
            How::Join(join) => {
                let (reply, after) = self.execute(Input::Join(join));
                match reply {
                    Ok(Reply::Inside(id)) => {
                        self.seat(session, attachment);
                        self.answer_snapshot(session, socket, id);
                    }
                    Ok(Reply::Waiting(id)) => {
                        self.seat(session, attachment);
                        self.answer_waiting(session, socket, id);
                    }
                    Ok(_) => {}
                    Err(rejection) => self.refuse_hello(socket, &rejection),
                }
                self.effects(after);
            }
            How::Resume { participant, cursor } => self.resume(session, attachment, participant, cursor),
            How::Again { cursor, answered } => self.attach_again(session, attachment, cursor, answered),
        }
    }

    /// The session's socket is this one from now on; an older one is told and closed.
    pub(super) fn seat(&mut self, session: SessionId, attachment: Attachment) {
        self.detached.remove(&session);
        let Attachment { socket, hub, at, .. } = attachment;
        if hub.process != self.env.bus.process() {
            self.hubs.entry(hub).or_default().at = at;
        }
        if let Some(former) = self.attached.insert(session, attachment)
            && former.socket != socket
        {
            self.leave(Item::Close { socket: former.socket, code: CloseCode::Replaced });
        }
        let known = self.state.sessions.get(&session).map_or(0, |session| session.last_id);
        let numbers = self.numbers.entry(session).or_default();
        numbers.last = numbers.last.max(known);
    }

    pub(super) fn refuse_hello(&mut self, socket: SocketId, rejection: &Rejection) {
        self.answer(socket, 0, frame::refusal(0, rejection));
        if let Some(code) = rejection.close {
            self.leave(Item::Close { socket, code });
        }
    }

    pub(super) fn last_id(&self, session: SessionId) -> u64 {
        self.numbers.get(&session).map_or(0, |numbers| numbers.last)
    }

    pub(super) fn place_of(member: &Member) -> Place {
        Place {
            participant: member.participant.id,
            room: member.participant.room,
            leads: member.leads(),
            waiting: !member.is_inside(),
        }
    }

    pub(super) fn place(&mut self, session: SessionId, socket: SocketId, why: Placing) {
        let Some(place) = self.state.session_member(session).map(Self::place_of) else { return };
        self.rooms.placed(place);
        match why {
            _ if place.waiting => drop(self.renewals.remove(&session)),
            Placing::New { .. } | Placing::Moved => self.granted(session),
            Placing::Again => self.granted_elsewhere(session),
        }
        self.leave(Item::Place { socket, place, why });
    }

    pub(super) fn place_anew(&mut self, session: SessionId, socket: SocketId) {
        let last_id = self.last_id(session);
        self.place(session, socket, Placing::New { last_id });
    }

    pub(super) fn shown<'a>(
        key: &'a MeetingKey,
        env: &'a Env,
        state: &'a Meeting,
        session: SessionId,
    ) -> Option<Shown<'a>> {
        let member = state.session_member(session)?;
        Some(Shown { key, state, member, session, doors: env.doors.as_ref(), media: env.media.as_ref() })
    }

    pub(super) fn snapshot_json(&mut self, session: SessionId) -> Option<String> {
        let last_id = self.last_id(session);
        let shown = Self::shown(&self.key, &self.env, &self.state, session)?;
        Some(shown.snapshot(&mut self.roster, &mut self.views, self.env.clock.now(), last_id))
    }

    pub(super) fn answer_snapshot(&mut self, session: SessionId, socket: SocketId, _id: ParticipantId) {
        self.place_anew(session, socket);
        let Some(snapshot) = self.snapshot_json(session) else { return };
        let seq = self.state.seq;
        let message = frame::answer(0, Some(seq), &snapshot);
        self.leave(Item::Direct { socket, message, re: Some(0), seq: Some(seq), is_snapshot: true });
    }

    pub(super) fn answer_waiting(&mut self, session: SessionId, socket: SocketId, _id: ParticipantId) {
        self.place_anew(session, socket);
        let last_id = self.last_id(session);
        let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) else { return };
        let message = frame::answer(0, None, &shown.waiting(last_id));
        self.answer(socket, 0, message);
    }

    /// Why a session cannot go on.
    pub(super) fn ended(&self, session: SessionId, participant: ParticipantId) -> Option<Rejection> {
        if self.state.info.status.is_over() {
            return Some(Rejection::wrong_state("the meeting is over").closing(CloseCode::MeetingEnded));
        }
        let is_open = self.state.sessions.get(&session).is_some_and(|known| known.participant == participant);
        if is_open {
            return None;
        }
        let member = self.state.member(participant);
        if member.is_some_and(|member| member.banned) {
            return Some(Rejection::not_permitted("banned from this meeting").closing(CloseCode::Banned));
        }
        if member.is_some_and(|member| matches!(member.standing, Standing::Removed { .. })) {
            return Some(Rejection::not_permitted("removed from this meeting").closing(CloseCode::Removed));
        }
        let ended = Rejection::new(Code::Unauthenticated, "the session has ended; join again");
        Some(ended.closing(CloseCode::Unauthenticated))
    }

    pub(super) fn resume(
        &mut self,
        session: SessionId,
        attachment: Attachment,
        participant: ParticipantId,
        cursor: Seq,
    ) {
        let socket = attachment.socket;
        if self.ended(session, participant).is_none() {
            self.input(Input::SessionBack(session));
        }
        if let Some(rejection) = self.ended(session, participant) {
            return self.refuse_hello(socket, &rejection);
        }
        self.seat(session, attachment);
        let Some(member) = self.state.session_member(session) else { return };
        if member.is_waiting() {
            return self.answer_waiting(session, socket, participant);
        }
        let Some(events) = self.missed(member, cursor) else {
            metrics::counter!("convoke_resumes_total", "kind" => "snapshot").increment(1);
            return self.answer_snapshot(session, socket, participant);
        };
        metrics::counter!("convoke_resumes_total", "kind" => "replayed").increment(1);
        self.place_anew(session, socket);
        let last_id = self.last_id(session);
        if let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) {
            let message = frame::answer(0, None, &shown.resumed(last_id));
            self.answer(socket, 0, message);
        }
        self.leave(Item::Replay { socket, events, upto: self.state.seq });
    }

    /// Exactly the events after the cursor, where they can be given: nothing that changed what
    /// this person may see lies between, and the ring reaches back.
    pub(super) fn missed(&self, member: &Member, cursor: Seq) -> Option<Vec<(Seq, ByteString)>> {
        if cursor < member.view_seq || cursor > self.state.seq {
            return None;
        }
        self.ring.since(cursor, Self::place_of(member))
    }

    pub(super) fn attach_again(&mut self, session: SessionId, attachment: Attachment, cursor: Seq, answered: u64) {
        let socket = attachment.socket;
        let Some(participant) = self.state.sessions.get(&session).map(|known| known.participant) else {
            let over = self.state.info.status.is_over();
            let code = if over { CloseCode::MeetingEnded } else { CloseCode::InternalError };
            return self.leave(Item::Close { socket, code });
        };
        self.input(Input::SessionBack(session));
        if self.ended(session, participant).is_some() {
            return self.leave(Item::Close { socket, code: CloseCode::InternalError });
        }
        self.seat(session, attachment);
        let numbers = self.numbers.entry(session).or_default();
        numbers.last = numbers.last.max(answered);
        let Some(member) = self.state.session_member(session) else { return };
        if member.is_waiting() {
            return self.place(session, socket, Placing::Again);
        }
        match self.missed(member, cursor) {
            Some(events) => {
                self.place(session, socket, Placing::Again);
                self.leave(Item::Replay { socket, events, upto: self.state.seq });
            }
            // Only a new snapshot helps, and those are asked for by resuming.
            None => {
                self.attached.remove(&session);
                self.detach_later(session);
                self.leave(Item::Close { socket, code: CloseCode::InternalError });
            }
        }
    }

    /// A socket is gone. A late word of an older one changes nothing.
    pub fn detach(&mut self, detach: &Detach) {
        if self.socket_of(detach.session) == Some(detach.socket) {
            self.attached.remove(&detach.session);
            self.active_at = self.env.clock.now();
            self.detach_later(detach.session);
        }
    }

    pub(super) fn socket_of(&self, session: SessionId) -> Option<SocketId> {
        self.attached.get(&session).map(|attachment| attachment.socket)
    }

    /// Another node says whose sockets it has; whoever it has no more is gone. One that was attached
    /// only just now may have crossed with this. A word of this node's own hubs was on its way when the
    /// meeting came here; there will be no more of them, and nobody may wait for the next.
    /// False where one has a place there and is not attached here, and had and was not the last time:
    /// it was let go of while its node stood still or was cut off, and does not know.
    pub fn present(&mut self, present: &Present) -> bool {
        if present.hub.process == self.env.bus.process() {
            return true;
        }
        let there: BTreeSet<SocketId> = present.placed.iter().chain(&present.others).copied().collect();
        let before = present.at.saturating_sub(PRESENT_MARGIN_MS);
        self.lose(|attachment| {
            attachment.hub == present.hub && attachment.at < before && !there.contains(&attachment.socket)
        });
        let known: BTreeSet<SocketId> = self.attached.values().map(|attachment| attachment.socket).collect();
        let strangers = present.placed.iter().filter(|socket| !known.contains(socket)).copied().collect();
        let word = HubWord { at: self.env.clock.now(), strangers };
        let last = self.hubs.insert(present.hub, word).unwrap_or_default();
        self.hubs.get(&present.hub).is_none_or(|word| word.strangers.is_disjoint(&last.strangers))
    }

    /// Those of hubs that have fallen silent are gone: their node died, or is cut off.
    pub(super) fn miss_hubs(&mut self, now: Millis) {
        let silent = |heard: Millis| heard.saturating_add(HUB_SILENT_MS) <= now;
        let missed: Vec<HubId> = self.hubs.iter().filter(|(_, word)| silent(word.at)).map(|(hub, _)| *hub).collect();
        if !missed.is_empty() {
            self.hubs.retain(|hub, _| !missed.contains(hub));
            self.lose(|attachment| missed.contains(&attachment.hub));
        }
    }

    pub(super) fn lose(&mut self, is_gone: impl Fn(&Attachment) -> bool) {
        let gone = self.attached.iter().filter(|(_, attachment)| is_gone(attachment));
        let gone: Vec<SessionId> = gone.map(|(session, _)| *session).collect();
        for session in gone {
            self.attached.remove(&session);
            self.detach_later(session);
        }
    }

    pub(super) fn detach_later(&mut self, session: SessionId) {
        if self.state.sessions.contains_key(&session) && !self.state.lost.contains_key(&session) {
            let until = self.env.clock.now().saturating_add(millis(self.env.timing.drop));
            self.detached.insert(session, until);
        }
    }
}
