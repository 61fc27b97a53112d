//! A meeting in memory: its state, what waits for its turn to leave, and who is attached. Every
//! step decides, applies and queues; `flush` hands the events to the journal and releases what is
//! durable. Nothing here survives a crash, and nothing here needs to.

use super::load::{Loaded, SNAPSHOT_VERSION, row_of};
use super::render::{Roster, Shown, Views, roster_page};
use super::ring::Ring;
use super::rooms::Rooms;
use super::{Attach, Detach, How, MeetingActor, Numbered, Outcome, Present, RequestInput};
use crate::frame;
use crate::journal::Append;
use crate::node::Done;
use crate::ports::{Commit, EventRow, MeetingKey, NodeLife, Snapshot};
use crate::release::{Batch, HubId, Item, Place, Placing, SocketId};
use crate::room::RoomActor;
use crate::room::calls::Leash;
use crate::room::words::{ToRoom, Word};
use crate::supervisor::Env;
use actix::{Actor, Addr};
use bytestring::ByteString;
use convoke_domain::command::Input;
use convoke_domain::effect::Signal;
use convoke_domain::event::LeaveReason;
use convoke_domain::state::{Member, Standing};
use convoke_domain::turn::{Now, Reply};
use convoke_domain::{
    Audience, By, CloseCode, Code, Command, Effect, Event, Meeting, Millis, Output, ParticipantId, Recorded, Rejection,
    RoomId, Seq, SessionId, Term, deadlines, execute, rights,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::Span;

/// Events between two snapshots.
const SNAPSHOT_EVENTS: u64 = 1_000;
/// A time that has always come. It stays the same, so a commit leaves the index of it alone.
const AT_ONCE: Millis = 0;

/// A hub that says nothing for so long has lost its node, or its node the bus.
const HUB_SILENT_MS: Millis = 16_000;
/// What may lie between an attachment here and the word of its hub: the way, and two clocks.
const PRESENT_MARGIN_MS: Millis = 2_000;

enum Leaving {
    Item(Item),
    Reply(oneshot::Sender<Outcome>, Outcome),
    Room(RoomId, ToRoom),
}

/// A session's present socket.
struct Attachment {
    socket: SocketId,
    hub: HubId,
    at: Millis,
    asked_at: Millis,
}

/// What a hub of another node said last.
#[derive(Default)]
struct HubWord {
    at: Millis,
    /// Sockets that have a place there, and are not attached here.
    strangers: BTreeSet<SocketId>,
}

/// The numbering of one session's commands, as far as memory holds it.
#[derive(Default)]
struct Numbers {
    last: u64,
    answers: VecDeque<(u64, ByteString)>,
}

pub struct Live {
    key: MeetingKey,
    env: Env,
    life: NodeLife,
    term: Term,
    state: Meeting,
    durable: Seq,
    was_owned: bool,
    /// Decided and not handed to the journal yet.
    unsent: Vec<EventRow>,
    /// The commands that they came of.
    unsent_spans: Vec<Span>,
    sent: Seq,
    /// What waits to leave, each with the seq that has to be durable first.
    queue: VecDeque<(Seq, Leaving)>,
    batch_number: u64,
    attached: BTreeMap<SessionId, Attachment>,
    /// The hubs of other nodes that sockets were attached at.
    hubs: BTreeMap<HubId, HubWord>,
    /// Sessions without a socket, with the time at which that becomes an event.
    detached: BTreeMap<SessionId, Millis>,
    numbers: BTreeMap<SessionId, Numbers>,
    ring: Ring,
    roster: Roster,
    views: Views,
    rooms: Rooms,
    snapshot_seq: Seq,
    snapshot_wanted: bool,
    snapshot_ready: Option<Snapshot>,
    active_at: Millis,
    has_failed: bool,
}

impl Live {
    pub fn new(loaded: Loaded, key: MeetingKey, env: Env) -> Self {
        let now = env.clock.now();
        Self {
            key,
            life: loaded.life,
            term: loaded.taken.term,
            durable: loaded.state.seq,
            sent: loaded.state.seq,
            was_owned: loaded.taken.was_owned,
            state: loaded.state,
            unsent: Vec::new(),
            unsent_spans: Vec::new(),
            queue: VecDeque::new(),
            batch_number: 0,
            attached: BTreeMap::new(),
            hubs: BTreeMap::new(),
            detached: BTreeMap::new(),
            numbers: BTreeMap::new(),
            ring: loaded.ring,
            roster: Roster::default(),
            views: Views::default(),
            rooms: Rooms::new(env.media_rooms.reports_presence()),
            snapshot_seq: loaded.snapshot_seq,
            snapshot_wanted: false,
            snapshot_ready: None,
            active_at: now,
            has_failed: false,
            env,
        }
    }

    pub fn term(&self) -> Term {
        self.term
    }

    /// Whether this node may still speak for the meeting without writing anything down.
    pub fn may_speak(&self) -> bool {
        self.env.life.holds(&self.life)
    }

    pub fn next_batch(&self) -> (Term, u64) {
        (self.term, self.batch_number.saturating_add(1))
    }

    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The first step of a life: tell the hubs, and give everybody time to come back.
    pub fn begin(&mut self) {
        self.publish(Vec::new());
        self.rooms.begin(&self.state, &self.key, self.was_owned);
        if self.was_owned {
            metrics::counter!("convoke_takeovers_total").increment(1);
        }
        if self.was_owned || self.state.is_attended() {
            self.input(Input::Recovered);
        }
        let until = self.env.clock.now().saturating_add(millis(self.env.timing.drop));
        let sessions = self.state.sessions.keys().filter(|id| !self.state.lost.contains_key(id));
        self.detached = sessions.map(|id| (*id, until)).collect();
        self.input(Input::Tick);
    }

    /// Something is due: a socket that stayed away, or a deadline of the meeting.
    pub fn wake(&mut self) {
        let now = self.env.clock.now();
        self.miss_hubs(now);
        let due: Vec<SessionId> = self.detached.iter().filter(|(_, at)| **at <= now).map(|(id, _)| *id).collect();
        for session in due {
            self.detached.remove(&session);
            self.input(Input::SessionLost(session));
        }
        self.input(Input::Tick);
    }

    pub fn next_at(&self) -> Option<Millis> {
        let deadline = deadlines::next_at(&self.state, &self.env.limits);
        let drop = self.detached.values().min().copied();
        let idle = self.attached.is_empty().then(|| self.idle_at());
        let silent = self.hubs.values().map(|word| word.at.saturating_add(HUB_SILENT_MS)).min();
        [deadline, drop, idle, silent].into_iter().flatten().min()
    }

    fn idle_at(&self) -> Millis {
        self.active_at.saturating_add(millis(self.env.timing.passivate))
    }

    pub fn is_idle(&self) -> bool {
        self.attached.is_empty() && self.detached.is_empty() && self.env.clock.now() >= self.idle_at()
    }

    /// Nothing waits to be written or to leave.
    pub fn is_quiet(&self) -> bool {
        self.queue.is_empty() && self.unsent.is_empty() && self.durable == self.state.seq
    }

    /// Runs an input that nobody is answered for.
    fn input(&mut self, input: Input) {
        let (_, after) = self.execute(input);
        self.effects(after);
    }

    fn execute(&mut self, input: Input) -> (Result<Reply, Rejection>, Vec<Effect>) {
        let now = Now { at: self.env.clock.now(), entropy: self.env.clock.entropy() };
        let outcome = execute(&mut self.state, input, now, &self.env.limits);
        for output in outcome.outputs {
            match output {
                Output::Event(recorded) => self.write(&recorded),
                Output::Effect(effect) => self.effect(effect),
            }
        }
        (outcome.reply, outcome.after)
    }

    fn write(&mut self, recorded: &Recorded) {
        let row = row_of(recorded);
        let message = frame::event(row.seq, row.at, &row.kind, &row.data);
        if recorded.audience != Audience::Nobody {
            let audience = recorded.audience.clone();
            self.ring.push(row.seq, audience.clone(), message.clone());
            self.leave_at(recorded.seq, Leaving::Item(Item::Event { seq: recorded.seq, audience, message }));
        }
        let unseated = unseated(&recorded.event);
        if !unseated.is_empty() {
            self.leave_at(recorded.seq, Leaving::Item(Item::Unseat { participants: unseated }));
        }
        self.unsent.push(row);
        self.roster_changed(&recorded.event);
        self.rooms.note(recorded, &self.state);
        if matches!(recorded.event, Event::ChatDeleted { .. } | Event::PersonErased { .. }) {
            // Words that were deleted are not replayed, and leave the snapshot with the next one.
            self.ring.forget(recorded.seq);
            self.snapshot_wanted = true;
        }
    }

    fn roster_changed(&mut self, event: &Event) {
        match event {
            Event::ParticipantJoined { participant }
            | Event::ParticipantLeft { participant, .. }
            | Event::ParticipantDisconnected { participant }
            | Event::ParticipantReconnected { participant }
            | Event::RoleChanged { participant, .. }
            | Event::Renamed { participant, .. }
            | Event::ParticipantRemoved { participant, .. } => self.roster.changed(participant.id),
            Event::MediaSet { participant, .. } | Event::PersonErased { participant } => {
                self.roster.changed(*participant);
            }
            Event::HandRaised { hand } => self.roster.changed(hand.participant),
            Event::HandsLowered { .. }
            | Event::ParticipantsMoved { .. }
            | Event::ParticipantsMuted { .. }
            | Event::ParticipantsPermitted { .. }
            | Event::MeetingEnded { .. } => self.roster.clear(),
            _ => {}
        }
    }

    fn leave_at(&mut self, ready_at: Seq, leaving: Leaving) {
        self.queue.push_back((ready_at, leaving));
    }

    fn leave(&mut self, item: Item) {
        self.leave_at(self.state.seq, Leaving::Item(item));
    }

    fn tell(&mut self, socket: SocketId, message: ByteString) {
        self.leave(Item::Direct { socket, message, re: None, seq: None, is_snapshot: false });
    }

    pub fn flush(&mut self, meeting: &Addr<MeetingActor>) {
        self.stage_rooms();
        if !self.unsent.is_empty() {
            let wake_at = if self.state.is_attended() {
                // Somebody is here: should the owner die, the meeting is to be taken at once.
                Some(AT_ONCE)
            } else {
                deadlines::next_at(&self.state, &self.env.limits)
            };
            let commit = Commit {
                key: self.key.clone(),
                term: self.term,
                after: self.sent,
                events: std::mem::take(&mut self.unsent),
                wake_at,
                outbox: Vec::new(),
            };
            self.sent = commit.reaches();
            let spans = std::mem::take(&mut self.unsent_spans);
            let reply = meeting.clone().recipient();
            if self.env.journal.try_send(Append { commit, spans, reply }).is_err() {
                tracing::warn!("the journal is full; the meeting reads its log again");
                self.has_failed = true;
            }
        }
        if !self.has_failed {
            self.release(meeting);
            if self.stage_rooms() {
                self.release(meeting);
            }
        }
    }

    /// Queues what the rooms are to be told. True if there is something.
    fn stage_rooms(&mut self) -> bool {
        let words = self.rooms.stage(&self.state, &self.key);
        let has_some = !words.is_empty();
        for (room, word) in words {
            self.leave_at(self.state.seq, Leaving::Room(room, word));
        }
        has_some
    }

    pub fn durable_upto(&mut self, head: Seq) {
        self.durable = self.durable.max(head);
    }

    fn release(&mut self, meeting: &Addr<MeetingActor>) {
        let mut items = Vec::new();
        while self.queue.front().is_some_and(|(ready_at, _)| *ready_at <= self.durable) {
            match self.queue.pop_front() {
                Some((_, Leaving::Item(item))) => items.push(item),
                Some((_, Leaving::Reply(sender, outcome))) => {
                    // A caller that has gone away is not told.
                    let _ = sender.send(outcome);
                }
                Some((_, Leaving::Room(room, word))) => {
                    // Before the batch that sends people there.
                    let (media, term) = (Arc::clone(&self.env.media_rooms), self.term);
                    let make = |ends| {
                        let leash = Leash { life: Arc::clone(&self.env.life), mine: self.life.clone(), meeting: ends };
                        RoomActor::new(room, term, media, leash, meeting.downgrade().recipient()).start()
                    };
                    self.rooms.send(room, word, make);
                }
                None => break,
            }
        }
        if !items.is_empty() {
            self.publish(items);
        }
    }

    fn publish(&mut self, items: Vec<Item>) {
        self.batch_number = self.batch_number.saturating_add(1);
        let (key, term, number, head) = (self.key.clone(), self.term, self.batch_number, self.durable);
        self.env.bus.publish(Arc::new(Batch { key, term, number, head, items }));
    }

    /// A snapshot whose seq is durable by now, to be saved.
    pub fn snapshot_to_save(&mut self) -> Option<(Snapshot, Term)> {
        let behind = self.state.seq.0.saturating_sub(self.snapshot_seq.0);
        if self.snapshot_ready.is_none() && (self.snapshot_wanted || behind >= SNAPSHOT_EVENTS) {
            self.snapshot_wanted = false;
            self.snapshot_seq = self.state.seq;
            self.snapshot_ready = Some(self.snapshot());
        }
        let is_durable = self.snapshot_ready.as_ref().is_some_and(|snapshot| snapshot.seq <= self.durable);
        if is_durable { self.snapshot_ready.take().map(|snapshot| (snapshot, self.term)) } else { None }
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot { seq: self.state.seq, version: SNAPSHOT_VERSION, state: frame::json(&self.state) }
    }

    /// The snapshot to leave behind, if the log has gone on since the last.
    pub fn last_snapshot(&mut self) -> (Option<Snapshot>, Term) {
        let is_newer = self.state.seq > self.snapshot_seq || self.snapshot_ready.is_some();
        (is_newer.then(|| self.snapshot()), self.term)
    }

    // Who is attached.

    pub fn attach(&mut self, attach: Attach) {
        self.active_at = self.env.clock.now();
        let Attach { socket, hub, session, asked_at, how } = attach;
        let is_overtaken = |present: &Attachment| (present.asked_at, present.socket) > (asked_at, socket);
        if self.attached.get(&session).is_some_and(is_overtaken) {
            return self.leave(Item::Close { socket, code: CloseCode::Replaced });
        }
        let attachment = Attachment { socket, hub, at: self.active_at, asked_at };
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
    fn seat(&mut self, session: SessionId, attachment: Attachment) {
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

    fn refuse_hello(&mut self, socket: SocketId, rejection: &Rejection) {
        self.answer(socket, 0, frame::refusal(0, rejection));
        if let Some(code) = rejection.close {
            self.leave(Item::Close { socket, code });
        }
    }

    fn last_id(&self, session: SessionId) -> u64 {
        self.numbers.get(&session).map_or(0, |numbers| numbers.last)
    }

    fn place_of(member: &Member) -> Place {
        Place {
            participant: member.participant.id,
            room: member.participant.room,
            leads: member.leads(),
            waiting: !member.is_inside(),
        }
    }

    fn place(&mut self, session: SessionId, socket: SocketId, why: Placing) {
        let Some(place) = self.state.session_member(session).map(Self::place_of) else { return };
        self.rooms.placed(place);
        self.leave(Item::Place { socket, place, why });
    }

    fn place_anew(&mut self, session: SessionId, socket: SocketId) {
        let last_id = self.last_id(session);
        self.place(session, socket, Placing::New { last_id });
    }

    fn shown<'a>(key: &'a MeetingKey, env: &'a Env, state: &'a Meeting, session: SessionId) -> Option<Shown<'a>> {
        let member = state.session_member(session)?;
        Some(Shown { key, state, member, session, doors: env.doors.as_ref(), media: env.media.as_ref() })
    }

    fn snapshot_json(&mut self, session: SessionId) -> Option<String> {
        let last_id = self.last_id(session);
        let shown = Self::shown(&self.key, &self.env, &self.state, session)?;
        Some(shown.snapshot(&mut self.roster, &mut self.views, self.env.clock.now(), last_id))
    }

    fn answer_snapshot(&mut self, session: SessionId, socket: SocketId, _id: ParticipantId) {
        self.place_anew(session, socket);
        let Some(snapshot) = self.snapshot_json(session) else { return };
        let seq = self.state.seq;
        let message = frame::answer(0, Some(seq), &snapshot);
        self.leave(Item::Direct { socket, message, re: Some(0), seq: Some(seq), is_snapshot: true });
    }

    fn answer_waiting(&mut self, session: SessionId, socket: SocketId, _id: ParticipantId) {
        self.place_anew(session, socket);
        let last_id = self.last_id(session);
        let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) else { return };
        let message = frame::answer(0, None, &shown.waiting(last_id));
        self.answer(socket, 0, message);
    }

    /// Why a session cannot go on.
    fn ended(&self, session: SessionId, participant: ParticipantId) -> Option<Rejection> {
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

    fn resume(&mut self, session: SessionId, attachment: Attachment, participant: ParticipantId, cursor: Seq) {
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
    fn missed(&self, member: &Member, cursor: Seq) -> Option<Vec<(Seq, ByteString)>> {
        if cursor < member.view_seq || cursor > self.state.seq {
            return None;
        }
        self.ring.since(cursor, Self::place_of(member))
    }

    fn attach_again(&mut self, session: SessionId, attachment: Attachment, cursor: Seq, answered: u64) {
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

    fn socket_of(&self, session: SessionId) -> Option<SocketId> {
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
    fn miss_hubs(&mut self, now: Millis) {
        let silent = |heard: Millis| heard.saturating_add(HUB_SILENT_MS) <= now;
        let missed: Vec<HubId> = self.hubs.iter().filter(|(_, word)| silent(word.at)).map(|(hub, _)| *hub).collect();
        if !missed.is_empty() {
            self.hubs.retain(|hub, _| !missed.contains(hub));
            self.lose(|attachment| missed.contains(&attachment.hub));
        }
    }

    fn lose(&mut self, is_gone: impl Fn(&Attachment) -> bool) {
        let gone = self.attached.iter().filter(|(_, attachment)| is_gone(attachment));
        let gone: Vec<SessionId> = gone.map(|(session, _)| *session).collect();
        for session in gone {
            self.attached.remove(&session);
            self.detach_later(session);
        }
    }

    fn detach_later(&mut self, session: SessionId) {
        if self.state.sessions.contains_key(&session) && !self.state.lost.contains_key(&session) {
            let until = self.env.clock.now().saturating_add(millis(self.env.timing.drop));
            self.detached.insert(session, until);
        }
    }

    // What they ask.

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
        let caused = self.unsent.iter().rev().find(|row| row.seq > before && row.cause.is_some()).map(|row| row.seq);
        let message = match &reply {
            Ok(Reply::Roster { after }) => frame::answer(id, None, &roster_page(&self.state, *after)),
            Ok(_) => frame::answer(id, caused, "{}"),
            Err(rejection) => frame::refusal(id, rejection),
        };
        if caused.is_some() {
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

    fn answer(&mut self, socket: SocketId, id: u64, message: ByteString) {
        self.leave(Item::Direct { socket, message, re: Some(id), seq: None, is_snapshot: false });
    }

    /// The answer of the first time: from memory, or from the log; a number that is in neither had
    /// no effect, and says so.
    fn answer_again(&self, session: SessionId, id: u64) -> ByteString {
        let remembered = self.numbers.get(&session).and_then(|n| n.answers.iter().find(|(other, _)| *other == id));
        if let Some((_, message)) = remembered {
            return message.clone();
        }
        let known = self.state.sessions.get(&session).map(|known| &known.answers);
        let kept = self.env.limits.answers_kept_max;
        // What may be in flight is kept; of what is older nobody knows any more.
        let is_too_old = |answers: &BTreeMap<u64, Seq>| {
            answers.len() >= kept && answers.first_key_value().is_some_and(|(first, _)| id < *first)
        };
        match known.and_then(|answers| answers.get(&id)) {
            Some(seq) => frame::answer(id, Some(*seq), "{}"),
            None if known.is_some_and(is_too_old) => {
                frame::refusal(id, &Rejection::bad_request("this number is too old to be answered again"))
            }
            None => frame::refusal(id, &Rejection::unavailable("this command had no effect; send it as a new one")),
        }
    }

    pub fn request(&mut self, input: RequestInput, reply: oneshot::Sender<Outcome>) {
        self.active_at = self.env.clock.now();
        let input = match input {
            RequestInput::Command { by, command } => Input::Command { by, command },
            RequestInput::Once { request, by, command } => Input::Once { request, by, command },
            RequestInput::Erase(user) => Input::Erase(user),
        };
        let (outcome, after) = self.execute(input);
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
        let member = self.state.session_member(numbered.session);
        let signal = match (&numbered.command, member) {
            (Ok(Command::React { emoji }), Some(member))
                if member.is_inside()
                    && rights::may(member.participant.role, "reaction.send")
                    && emoji.chars().count() <= self.env.limits.emoji_chars_max =>
            {
                let signal = Signal::ReactionShown { participant: member.participant.id, emoji: emoji.clone() };
                Some(signal_item(member.participant.room, &signal))
            }
            _ => None,
        };
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
        let Some(missing) = self.rooms.hear(room, word) else { return };
        let data = format!(r#"{{"room":"{room}","missing":{}}}"#, frame::json(&missing.all));
        let message = frame::notice("room.arrivals", &data);
        let leads: Vec<ParticipantId> = self.state.leads.iter().copied().collect();
        for (_, socket) in leads.into_iter().flat_map(|lead| self.sockets_of(lead)).collect::<Vec<_>>() {
            self.tell(socket, message.clone());
        }
        self.effects(missing.late.into_iter().map(Effect::GrantMedia).collect());
    }

    // What goes with it.

    fn effects(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.effect(effect);
        }
    }

    fn sockets_of(&self, participant: ParticipantId) -> Vec<(SessionId, SocketId)> {
        let Some(member) = self.state.member(participant) else { return Vec::new() };
        member.sessions.iter().filter_map(|id| self.socket_of(*id).map(|socket| (*id, socket))).collect()
    }

    fn effect(&mut self, effect: Effect) {
        match effect {
            Effect::LobbyMessage { to, from, text } => {
                let data = match from {
                    Some(from) => format!(r#"{{"text":{},"from":"{from}"}}"#, frame::json(&text)),
                    None => format!(r#"{{"text":{}}}"#, frame::json(&text)),
                };
                let message = frame::notice("lobby.message", &data);
                for participant in to {
                    for (_, socket) in self.sockets_of(participant) {
                        self.tell(socket, message.clone());
                    }
                }
            }
            Effect::Admitted(participant) => self.show(participant, true),
            Effect::Entered(participant) => self.show(participant, false),
            Effect::Waiting(participant) => {
                for (session, socket) in self.sockets_of(participant) {
                    self.place(session, socket, Placing::Moved);
                    self.tell(socket, frame::notice("self.waiting", "{}"));
                }
            }
            Effect::Close { sessions, code } => {
                for session in sessions {
                    self.detached.remove(&session);
                    self.numbers.remove(&session);
                    if let Some(attachment) = self.attached.remove(&session) {
                        self.leave(Item::Close { socket: attachment.socket, code });
                    }
                }
            }
            Effect::CloseAll(code) => {
                self.attached.clear();
                self.detached.clear();
                self.numbers.clear();
                self.leave(Item::CloseAll { code });
            }
            Effect::GrantMedia(participant) => {
                for (session, socket) in self.sockets_of(participant) {
                    let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) else { continue };
                    let data = format!(r#"{{"media":{}}}"#, shown.credentials().get());
                    self.tell(socket, frame::notice("media.granted", &data));
                }
            }
            Effect::Signal { room, signal } => {
                let item = signal_item(room, &signal);
                self.leave(item);
            }
            Effect::Mesh { to, from, data } => {
                if let Some(socket) = self.socket_of(to) {
                    let data = format!(r#"{{"from":"{from}","data":{data}}}"#);
                    self.tell(socket, frame::notice("mesh.signal", &data));
                }
            }
        }
    }

    /// Shows somebody what they see from now on: all of it, or what changed with them.
    fn show(&mut self, participant: ParticipantId, is_snapshot: bool) {
        for (session, socket) in self.sockets_of(participant) {
            self.place(session, socket, Placing::Moved);
            let (message, seq) = if is_snapshot {
                let Some(snapshot) = self.snapshot_json(session) else { continue };
                let data = format!(r#"{{"snapshot":{snapshot}}}"#);
                (frame::notice("self.admitted", &data), Some(self.state.seq))
            } else {
                let Some(shown) = Self::shown(&self.key, &self.env, &self.state, session) else { continue };
                // The events of the same decision that follow are not in it.
                (frame::notice("self.entered", &shown.entered(&mut self.views)), None)
            };
            self.leave(Item::Direct { socket, message, re: None, seq, is_snapshot: true });
        }
    }
}

/// Whose view is another after this event.
fn unseated(event: &Event) -> BTreeSet<ParticipantId> {
    match event {
        Event::ParticipantsMoved { moves, .. } => moves.iter().map(|this| this.participant).collect(),
        Event::RoleChanged { participant, .. }
        | Event::ParticipantRemoved { participant, .. }
        | Event::ParticipantLeft { participant, reason: LeaveReason::ToLobby, .. } => [participant.id].into(),
        _ => BTreeSet::new(),
    }
}

fn signal_item(room: RoomId, signal: &Signal) -> Item {
    match signal {
        Signal::ReactionShown { participant, emoji } => {
            let data = format!(r#"{{"participant":"{participant}","emoji":{}}}"#, frame::json(emoji));
            Item::Signal { room, key: format!("r{participant}"), message: frame::notice("reaction.shown", &data) }
        }
        Signal::MediaStates { participant, media } => {
            let media = frame::json(media);
            let data = format!(r#"{{"states":[{{"participant":"{participant}","media":{media}}}]}}"#);
            Item::Signal { room, key: format!("m{participant}"), message: frame::notice("media.states", &data) }
        }
    }
}

fn millis(duration: std::time::Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
