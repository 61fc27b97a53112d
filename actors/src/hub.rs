//! Delivery on one worker thread. A hub takes each batch of a meeting once and writes it to the
//! sockets of its thread: one frame, encoded once, for every class of socket that sees the same;
//! a frame of its own only for those whom something in the batch concerns personally. It also
//! keeps the heartbeats and the latest lane. A hub that missed a batch, or sees another life of the
//! meeting begin, has its sessions attach again: their cursors say what they have.

use crate::frame;
use crate::meeting::Present;
use crate::outlet::Outlet;
use crate::ports::{Clock, MeetingKey};
use crate::release::{Batch, HubId, Item, Place, Placing, SocketId};
use crate::restart::{self, Restart};
use crate::session::{Reattach, SessionActor};
use crate::steady::Steady;
use actix::{Actor, Addr, AsyncContext, Context, Handler, Message, Recipient};
use bytes::Bytes;
use bytestring::ByteString;
use convoke_domain::{Audience, CloseCode, Millis, ParticipantId, RoomId, Seq, Term};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

const MAILBOX: usize = 16_384;
/// An event of so many bytes is not copied for each socket.
const SHARED_BYTES_MIN: usize = 4_096;
/// Thirty times a second.
const LATEST_INTERVAL: Duration = Duration::from_millis(33);
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
const PRESENT_INTERVAL: Duration = Duration::from_secs(5);
/// Signals of one room that are kept between two flushes; the oldest give way.
const LATEST_SLOTS_MAX: usize = 64;

/// A batch for this thread's sockets.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Deliver(pub Arc<Batch>);

/// The node stops, or gives a meeting away: sockets are told to come again.
#[derive(Message)]
#[rtype(result = "()")]
pub struct CloseSockets {
    pub meeting: Option<MeetingKey>,
    pub code: CloseCode,
}

struct Socket {
    outlet: Outlet,
    session: Option<Addr<SessionActor>>,
    place: Option<Place>,
    /// It had a place and is to be given one again: until then it hears no events, and nothing that
    /// stands behind them may come before.
    awaits_place: bool,
    must_attach: bool,
}

#[derive(Default)]
struct Followed {
    /// The life of the meeting and the batch that was delivered last.
    heard: Option<(Term, u64)>,
    head: Seq,
    sockets: BTreeMap<SocketId, Socket>,
    latest: BTreeMap<RoomId, Vec<(String, ByteString)>>,
}

/// What the sessions of this thread and its hub share.
#[derive(Clone)]
pub struct HubHandle {
    shelf: Rc<RefCell<Shelf>>,
    bus: Arc<dyn Follow>,
    recipient: Recipient<Deliver>,
    overrun: Arc<AtomicBool>,
    steady: Rc<Steady>,
    node: u64,
}

/// The sockets of one thread.
#[derive(Default)]
struct Shelf {
    meetings: BTreeMap<MeetingKey, Followed>,
    sockets: usize,
}

/// The side of the bus that hubs see: which batches they are sent.
pub trait Follow: Send + Sync + 'static {
    fn follow(&self, key: &MeetingKey, hub: u64, to: Recipient<Deliver>, overrun: Arc<AtomicBool>);
    fn unfollow(&self, key: &MeetingKey, hub: u64);

    /// This process, in this life of it.
    fn process(&self) -> Uuid {
        Uuid::nil()
    }

    /// Tells the meeting, where another node serves it, which sockets this hub has of it.
    fn present(&self, _key: &MeetingKey, _present: Present) {}
}

pub struct Hub {
    shelf: Rc<RefCell<Shelf>>,
    overrun: Arc<AtomicBool>,
    steady: Rc<Steady>,
    clock: Arc<dyn Clock>,
    bus: Arc<dyn Follow>,
    number: u64,
    tick: Duration,
    ticked_at: Instant,
    presented_at: Instant,
}

impl Hub {
    /// Starts the hub of this thread; `number` tells it from the other threads' hubs.
    pub fn start_here(
        number: u64,
        bus: Arc<dyn Follow>,
        clock: Arc<dyn Clock>,
        tick: Duration,
    ) -> (Addr<Self>, HubHandle) {
        let shelf = Rc::new(RefCell::new(Shelf::default()));
        let overrun = Arc::new(AtomicBool::new(false));
        let steady = Rc::new(Steady::default());
        let hub = Self {
            shelf: Rc::clone(&shelf),
            overrun: Arc::clone(&overrun),
            steady: Rc::clone(&steady),
            clock,
            bus: Arc::clone(&bus),
            number,
            tick,
            ticked_at: Instant::now(),
            presented_at: Instant::now(),
        };
        let address = hub.start();
        let recipient = address.clone().recipient();
        (address, HubHandle { shelf, bus, recipient, overrun, steady, node: number })
    }

    fn deliver(&mut self, batch: &Batch) {
        let mut shelf = self.shelf.borrow_mut();
        let Some(meeting) = shelf.meetings.get_mut(&batch.key) else { return };
        if batch.number == 0 {
            return meeting.take_aside(batch);
        }
        let is_next = match meeting.heard {
            None => true,
            Some((term, number)) => {
                if (batch.term, batch.number) <= (term, number) {
                    // A life that is over has nothing more to say; what comes twice, or too late, has
                    // been given, or was made good when it was missed.
                    return;
                }
                batch.term == term && batch.number == number.saturating_add(1)
            }
        };
        if !is_next {
            metrics::counter!("convoke_gaps_total").increment(1);
            meeting.attach_all_again();
        }
        meeting.heard = Some((batch.term, batch.number));
        meeting.head = meeting.head.max(batch.head);
        meeting.write(batch);
        for item in &batch.items {
            if let Item::Signal { room, key, message } = item {
                meeting.keep_latest(*room, key, message);
            }
        }
    }

    /// Says whose sockets are here, so that a meeting elsewhere holds on to nobody who has gone.
    fn present(&mut self, now: Millis) {
        if self.presented_at.elapsed() < PRESENT_INTERVAL {
            return;
        }
        self.presented_at = Instant::now();
        let hub = HubId { process: self.bus.process(), number: self.number };
        for (key, meeting) in &self.shelf.borrow().meetings {
            let (placed, others): (Vec<_>, Vec<_>) =
                meeting.sockets.iter().partition(|(_, socket)| socket.place.is_some());
            let ids = |sockets: Vec<(&SocketId, &Socket)>| sockets.into_iter().map(|(id, _)| *id).collect();
            self.bus.present(key, Present { hub, at: now, placed: ids(placed), others: ids(others) });
        }
    }

    fn flush_latest(&mut self) {
        let mut shelf = self.shelf.borrow_mut();
        for meeting in shelf.meetings.values_mut() {
            for (room, slots) in std::mem::take(&mut meeting.latest) {
                let frame = frame::text(slots.iter().map(|(_, message)| message));
                for socket in meeting.sockets.values() {
                    if socket.place.is_some_and(|place| place.room == room && !place.waiting) {
                        socket.outlet.push_latest(frame.clone());
                    }
                }
            }
        }
    }

    fn check(&mut self) {
        self.steady.tick();
        let is_tick = self.ticked_at.elapsed() >= self.tick;
        if is_tick {
            self.ticked_at = Instant::now();
        }
        let missed = self.overrun.swap(false, Ordering::AcqRel);
        let now = self.clock.now();
        self.present(now);
        let mut shelf = self.shelf.borrow_mut();
        metrics::gauge!("convoke_sockets", "worker" => format!("{:?}", std::thread::current().id()))
            .set(f64::from(u32::try_from(shelf.sockets).unwrap_or(u32::MAX)));
        for meeting in shelf.meetings.values_mut() {
            if missed {
                meeting.attach_all_again();
            }
            let head = meeting.head;
            let tick = is_tick.then(|| {
                let data = format!(r#"{{"head":{head},"server_at":{now}}}"#);
                frame::text([frame::notice("tick", &data)].iter())
            });
            for socket in meeting.sockets.values_mut() {
                if let (Some(tick), Some(_)) = (&tick, socket.place) {
                    socket.outlet.push(tick.clone());
                }
                if socket.must_attach {
                    socket.attach_again();
                }
                socket.outlet.check();
            }
        }
    }
}

impl Socket {
    /// Asks the session to attach again. A full mailbox is asked once more at the next check.
    fn attach_again(&mut self) {
        self.awaits_place |= self.place.take().is_some();
        self.must_attach = match &self.session {
            Some(session) => session.try_send(Reattach).is_err(),
            None => false,
        };
    }
}

impl Followed {
    fn attach_all_again(&mut self) {
        for socket in self.sockets.values_mut() {
            // A socket that is not placed yet has its first attachment under way, or it was lost
            // with the meeting's former life; asking twice does no harm.
            socket.attach_again();
        }
    }

    /// A word outside of the numbering.
    fn take_aside(&mut self, batch: &Batch) {
        for item in &batch.items {
            match item {
                Item::Again => self.attach_all_again(),
                Item::CloseAll { code } => {
                    for socket in self.sockets.values() {
                        socket.outlet.close(*code);
                    }
                }
                _ => {}
            }
        }
    }

    fn keep_latest(&mut self, room: RoomId, key: &str, message: &ByteString) {
        let slots = self.latest.entry(room).or_default();
        slots.retain(|(other, _)| other != key);
        if slots.len() >= LATEST_SLOTS_MAX {
            slots.remove(0);
            metrics::counter!("convoke_signals_dropped_total").increment(1);
        }
        slots.push((key.to_owned(), message.clone()));
    }

    fn write(&mut self, batch: &Batch) {
        let concerned = Concerned::of(batch);
        let mut shared = Shared::default();
        let mut classes: Vec<(Class, Option<ClassFrame>)> = Vec::new();
        for (id, socket) in &mut self.sockets {
            let is_personal = concerned.all
                || concerned.sockets.contains(id)
                || socket.place.is_some_and(|place| concerned.people.contains(&place.participant));
            if is_personal {
                socket.write_personally(*id, batch, &mut shared);
                continue;
            }
            let Some(place) = socket.place.filter(|place| !place.waiting) else { continue };
            let class = (place.room, place.leads);
            let known = classes.iter().find(|(other, _)| *other == class).map(|(_, frame)| frame.clone());
            let frame = known.unwrap_or_else(|| {
                let frame = class_frame(batch, place);
                classes.push((class, frame.clone()));
                frame
            });
            if let Some((bytes, seq)) = frame {
                socket.outlet.push(bytes);
                socket.outlet.advance(seq);
            }
        }
    }
}

/// Sockets that see the same: those of one room, leads or not.
type Class = (RoomId, bool);
/// What a class is given of a batch, and the seq that it reaches.
type ClassFrame = (Bytes, Seq);

/// Whom a batch concerns in a way that the rest of their class does not share.
struct Concerned {
    all: bool,
    sockets: BTreeSet<SocketId>,
    people: BTreeSet<ParticipantId>,
}

impl Concerned {
    fn of(batch: &Batch) -> Self {
        let mut found = Self { all: false, sockets: BTreeSet::new(), people: BTreeSet::new() };
        for item in &batch.items {
            match item {
                Item::Event { audience: Audience::Only(people), .. } | Item::Unseat { participants: people } => {
                    found.people.extend(people);
                }
                Item::Place { socket, .. }
                | Item::Direct { socket, .. }
                | Item::Replay { socket, .. }
                | Item::Close { socket, .. } => {
                    found.sockets.insert(*socket);
                }
                Item::CloseAll { .. } => found.all = true,
                Item::Event { .. } | Item::Signal { .. } | Item::Again => {}
            }
        }
        found
    }
}

/// The frame for all sockets of a class, and the seq it reaches. None if nothing is for them.
fn class_frame(batch: &Batch, place: Place) -> Option<ClassFrame> {
    let visible: Vec<(&ByteString, Seq)> = batch
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Event { seq, audience, message } if place.sees(audience) => Some((message, *seq)),
            _ => None,
        })
        .collect();
    let (_, last) = visible.last()?;
    Some((frame::text(visible.iter().map(|(message, _)| *message)), *last))
}

impl Socket {
    /// Walks the batch for one socket: its place may change on the way, and answers stand between
    /// the events where they belong.
    fn write_personally(&mut self, id: SocketId, batch: &Batch, shared: &mut Shared) {
        let mut written = Written::default();
        let mut closing = None;
        let mut is_unseated = false;
        for item in &batch.items {
            match item {
                Item::Event { seq, audience, message }
                    if self.place.is_some_and(|place| place.sees(audience)) && self.outlet.cursor() < *seq =>
                {
                    if message.len() < SHARED_BYTES_MIN {
                        written.messages.push(message.clone());
                    } else {
                        written.flush(&self.outlet);
                        self.outlet.push(shared.frame(*seq, message));
                    }
                    self.outlet.advance(*seq);
                }
                Item::Unseat { participants }
                    if self.place.is_some_and(|place| participants.contains(&place.participant)) =>
                {
                    is_unseated = true;
                    self.place = None;
                }
                Item::Place { socket, why: Placing::Moved, .. }
                    if *socket == id && self.place.is_none() && !is_unseated => {}
                // The answer to a hello that was sent twice, and answered: what it skips was not given.
                Item::Place { socket, why: Placing::New { .. }, .. } if *socket == id && !self.outlet.is_greeting() => {
                }
                Item::Place { socket, place, why } if *socket == id => {
                    self.place = Some(*place);
                    is_unseated = false;
                    (self.awaits_place, self.must_attach) = (false, false);
                    if let Placing::New { last_id } = why {
                        self.outlet.renumber(*last_id);
                    }
                }
                Item::Direct { socket, message, re, seq, is_snapshot } if *socket == id => {
                    // An answer that is passed over is still owed, and asked for again with the place;
                    // a view of what was not heard before it is given by a resume.
                    let is_early = match re {
                        None => *is_snapshot && self.place.is_none(),
                        Some(re) => *re > 0 && self.awaits_place,
                    };
                    if is_early || re.is_some_and(|re| !self.outlet.settle(re)) {
                        continue;
                    }
                    written.messages.push(message.clone());
                    written.has_snapshot |= *is_snapshot;
                    if let Some(seq) = seq {
                        self.outlet.restart_at(*seq);
                    }
                }
                Item::Replay { socket, events, upto } if *socket == id => {
                    let given = self.outlet.cursor();
                    let missed = events.iter().filter(|(seq, _)| *seq > given);
                    written.messages.extend(missed.map(|(_, event)| event.clone()));
                    written.has_snapshot = true;
                    self.outlet.advance(*upto);
                }
                Item::Close { socket, code } if *socket == id => {
                    closing = closing.or(Some(*code));
                    self.place = None;
                }
                Item::CloseAll { code } => closing = closing.or(Some(*code)),
                _ => {}
            }
        }
        written.flush(&self.outlet);
        if let Some(code) = closing {
            self.outlet.close(code);
        } else if is_unseated {
            self.awaits_place = true;
            self.attach_again();
        }
    }
}

/// What one socket is given of a batch, on its way into a frame.
#[derive(Default)]
struct Written {
    messages: Vec<ByteString>,
    has_snapshot: bool,
}

impl Written {
    fn flush(&mut self, outlet: &Outlet) {
        let Self { messages, has_snapshot } = std::mem::take(self);
        if messages.is_empty() {
            return;
        }
        let frame = frame::text(messages.iter());
        if has_snapshot {
            outlet.push_snapshot(frame);
        } else {
            outlet.push(frame);
        }
    }
}

/// Long events of a batch, each in a frame of its own that all sockets share: a thousand people who
/// are moved at once are each told of all the others.
#[derive(Default)]
struct Shared(BTreeMap<Seq, Bytes>);

impl Shared {
    fn frame(&mut self, seq: Seq, message: &ByteString) -> Bytes {
        self.0.entry(seq).or_insert_with(|| frame::text([message].into_iter())).clone()
    }
}

impl HubHandle {
    pub fn id(&self) -> HubId {
        HubId { process: self.bus.process(), number: self.node }
    }

    /// Puts a socket on the shelf and follows its meeting, before the meeting hears of it.
    pub fn register(&self, key: &MeetingKey, id: SocketId, outlet: Outlet, session: Option<Addr<SessionActor>>) {
        let mut shelf = self.shelf.borrow_mut();
        shelf.sockets = shelf.sockets.saturating_add(1);
        let is_new = !shelf.meetings.contains_key(key);
        let meeting = shelf.meetings.entry(key.clone()).or_default();
        meeting.sockets.insert(id, Socket { outlet, session, place: None, awaits_place: false, must_attach: false });
        drop(shelf);
        if is_new {
            self.bus.follow(key, self.node, self.recipient.clone(), Arc::clone(&self.overrun));
        }
    }

    pub fn unregister(&self, key: &MeetingKey, id: SocketId) {
        let mut shelf = self.shelf.borrow_mut();
        let Some(meeting) = shelf.meetings.get_mut(key) else { return };
        if meeting.sockets.remove(&id).is_none() {
            return;
        }
        let is_last = meeting.sockets.is_empty();
        shelf.sockets = shelf.sockets.saturating_sub(1);
        if is_last {
            shelf.meetings.remove(key);
            drop(shelf);
            self.bus.unfollow(key, self.node);
        }
    }

    /// Whether what is read on this thread now was sent just now, for all that is known.
    pub fn is_steady(&self) -> bool {
        self.steady.is()
    }

    /// Whether the socket has its place in the meeting.
    pub fn is_placed(&self, key: &MeetingKey, id: SocketId) -> bool {
        let shelf = self.shelf.borrow();
        shelf.meetings.get(key).and_then(|m| m.sockets.get(&id)).is_some_and(|socket| socket.place.is_some())
    }
}

impl Actor for Hub {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        ctx.run_interval(LATEST_INTERVAL, |hub, ctx| {
            restart::guarded(hub, ctx, |hub, _| hub.flush_latest());
        });
        ctx.run_interval(CHECK_INTERVAL, |hub, ctx| {
            restart::guarded(hub, ctx, |hub, _| hub.check());
        });
    }
}

impl Restart for Hub {
    const NAME: &'static str = "hub";

    /// Sockets stay; what was known of their meetings is thrown away, and every session attaches
    /// again from what its socket was really given.
    fn crashed(&mut self, _ctx: &mut Self::Context, _why: String) {
        let mut shelf = self.shelf.borrow_mut();
        for meeting in shelf.meetings.values_mut() {
            meeting.heard = None;
            meeting.latest.clear();
            meeting.attach_all_again();
        }
    }
}

impl Handler<Deliver> for Hub {
    type Result = ();

    fn handle(&mut self, Deliver(batch): Deliver, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |hub, _| hub.deliver(&batch));
    }
}

impl Handler<CloseSockets> for Hub {
    type Result = ();

    fn handle(&mut self, close: CloseSockets, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |hub, _| {
            let shelf = hub.shelf.borrow();
            for (key, meeting) in &shelf.meetings {
                if close.meeting.as_ref().is_none_or(|only| only == key) {
                    for socket in meeting.sockets.values() {
                        socket.outlet.close(close.code);
                    }
                }
            }
        });
    }
}
