//! A meeting in memory: its state, what waits for its turn to leave, and who is attached. Every
//! step decides, applies and queues; `flush` hands the events to the journal and releases what is
//! durable. Nothing here survives a crash, and nothing here needs to.

mod asked;
mod attached;
mod boarding;
mod effects;
mod granted;

use super::boards::Boards;
use super::load::{Loaded, SNAPSHOT_VERSION, row_of};
use super::render::{Roster, Views};
use super::ring::Ring;
use super::rooms::Rooms;
use super::{MeetingActor, Outcome};
use crate::frame;
use crate::journal::Append;
use crate::ports::{BoardChange, Commit, EventRow, MediaNews, MeetingKey, NodeLife, Snapshot};
use crate::release::{Batch, HubId, Item, SocketId};
use crate::room::RoomActor;
use crate::room::calls::{Leash, MediaServer};
use crate::room::words::ToRoom;
use crate::supervisor::Env;
use crate::whiteboard::words::FromMeeting;
use actix::{Actor, Addr};
use attached::HUB_SILENT_MS;
use bytestring::ByteString;
use convoke_domain::command::Input;
use convoke_domain::event::LeaveReason;
use convoke_domain::recording::{LiveRecording, Observation, Take};
use convoke_domain::turn::{Now, Reply};
use convoke_domain::{
    Audience, Effect, Event, Meeting, Millis, Output, ParticipantId, Recorded, RecordingId, Rejection, RoomId, Seq,
    SessionId, Term, WhiteboardId, deadlines, execute,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use tokio::sync::oneshot;
use tracing::Span;

/// Events between two snapshots.
const SNAPSHOT_EVENTS: u64 = 1_000;
/// How soon a room is told again that could not take it.
const UNTOLD_MS: Millis = 1_000;
/// A time that has always come. It stays the same, so a commit leaves the index of it alone.
const AT_ONCE: Millis = 0;

enum Leaving {
    Item(Item),
    Reply(oneshot::Sender<Outcome>, Outcome),
    Room(RoomId, ToRoom),
    Board(WhiteboardId, FromMeeting),
}

/// A session's present socket.
struct Attachment {
    socket: SocketId,
    hub: HubId,
    at: Millis,
    asked_at: Millis,
    base: Box<str>,
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
    /// What they mean for the logs of boards.
    unsent_boards: Vec<BoardChange>,
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
    /// When each session's credentials for the media are to be renewed.
    renewals: BTreeMap<SessionId, Millis>,
    ring: Ring,
    roster: Roster,
    views: Views,
    rooms: Rooms,
    boards: Boards,
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
            unsent_boards: Vec::new(),
            unsent_spans: Vec::new(),
            queue: VecDeque::new(),
            batch_number: 0,
            attached: BTreeMap::new(),
            hubs: BTreeMap::new(),
            detached: BTreeMap::new(),
            numbers: BTreeMap::new(),
            renewals: BTreeMap::new(),
            ring: loaded.ring,
            roster: Roster::default(),
            views: Views::default(),
            rooms: Rooms::new(env.media_rooms.reports_presence()),
            boards: Boards::default(),
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
        self.renew_media(now);
        self.input(Input::Tick);
    }

    /// The media server says that something changed: the rooms look.
    pub fn news(&mut self, mut news: MediaNews) {
        // What comes late of a recording that is over has no room that looks after it.
        let is_over = |id: &RecordingId| self.state.recordings.get(id).is_some_and(LiveRecording::is_over);
        let (late, takes) = news.takes.into_iter().partition(|(id, _)| is_over(id));
        news.takes = takes;
        self.rooms.pass_on(news);
        let late: Vec<(RecordingId, Take)> = late;
        for (recording, take) in late {
            self.input(Input::Seen(Observation::Takes { recording, takes: vec![take] }));
        }
    }

    pub fn next_at(&self) -> Option<Millis> {
        let deadline = deadlines::next_at(&self.state, &self.env.limits);
        let drop = self.detached.values().min().copied();
        let is_left = self.attached.is_empty() && self.state.unfinished.is_empty();
        let idle = is_left.then(|| self.idle_at());
        let silent = self.hubs.values().map(|word| word.at.saturating_add(HUB_SILENT_MS)).min();
        let renewal = self.renewals.values().min().copied();
        let untold = self.rooms.is_behind().then(|| self.env.clock.now().saturating_add(UNTOLD_MS));
        [deadline, drop, idle, silent, renewal, untold].into_iter().flatten().min()
    }

    fn idle_at(&self) -> Millis {
        self.active_at.saturating_add(millis(self.env.timing.passivate))
    }

    pub fn is_idle(&self) -> bool {
        let is_left = self.attached.is_empty() && self.detached.is_empty() && self.state.unfinished.is_empty();
        is_left && self.env.clock.now() >= self.idle_at()
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
        self.unsent_boards.extend(BoardChange::of(&recorded.event));
        self.roster_changed(&recorded.event);
        self.rooms.note(recorded, &self.state);
        self.boards.note(&recorded.event);
        let is_forgotten = matches!(
            recorded.event,
            Event::ChatDeleted { .. } | Event::PersonErased { .. } | Event::AnonymityEnded { .. }
        );
        if is_forgotten {
            // What is overwritten in the log is not replayed, and leaves the snapshot with the next one.
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
            | Event::RecordingChanged { .. }
            | Event::RecordingConsented { .. }
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
        self.stage_boards();
        self.stage_rooms();
        if !self.unsent.is_empty() {
            let wake_at = if self.state.is_busy() {
                // Somebody is here, or is recorded: should the owner die, the meeting is to be taken at once.
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
                boards: std::mem::take(&mut self.unsent_boards),
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
                    let (rooms, recorder) = (Arc::clone(&self.env.media_rooms), Arc::clone(&self.env.recorder));
                    let (media, term) = (MediaServer { rooms, recorder }, self.term);
                    let make = |ends| {
                        let leash = Leash { life: Arc::clone(&self.env.life), mine: self.life.clone(), meeting: ends };
                        RoomActor::new(room, term, media, leash, meeting.downgrade().recipient()).start()
                    };
                    self.rooms.send(room, word, make);
                }
                // Before anybody hears why.
                Some((_, Leaving::Board(board, word))) => self.tell_board(board, word),
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

    pub fn want_snapshot(&mut self) {
        self.snapshot_wanted = true;
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

fn millis(duration: std::time::Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
