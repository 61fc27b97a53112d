//! The way out to one socket: a queue of encoded frames, bounded in bytes and by progress. It
//! belongs to the socket's thread and is shared by the session (which reads), the hub (which
//! writes) and the socket's writer (which drains it), so it needs no lock.
//!
//! Both bounds are needed. The bytes that wait here are limited; and a peer that reads nothing,
//! while the kernel still takes bytes, is found by its pongs: the pings stand in the same stream
//! and carry a position, so a pong says that everything before it was read. They stand no further
//! apart than a slow peer reads in its time, so that one who reads steadily is seen to.

#[cfg(test)]
mod tests;

use crate::frame;
use bytes::{Bytes, BytesMut};
use convoke_domain::{CloseCode, Seq};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::time::Instant;
use tracing::Span;

/// A part of a message that is cut.
const WHOLE_PART_BYTES: usize = 64 << 10;
/// Data between two pings.
const PING_BYTES: u64 = 64 << 10;

/// The bounds of one socket.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Bytes that may wait on the reliable lane, beside one snapshot.
    pub reliable_bytes_max: usize,
    /// Signals are dropped while more than this waits.
    pub latest_bytes_max: usize,
    /// With data unread, how long a peer may show no progress.
    pub progress: Duration,
    /// How long a peer may say nothing at all.
    pub heartbeat: Duration,
    /// How often a peer is pinged when nothing is unread; while something is, twice as often.
    pub ping: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            reliable_bytes_max: 1 << 20,
            latest_bytes_max: 64 << 10,
            progress: Duration::from_secs(15),
            heartbeat: Duration::from_secs(25),
            ping: Duration::from_secs(10),
        }
    }
}

#[derive(Clone)]
pub struct Outlet(Rc<RefCell<Inner>>);

struct Inner {
    bounds: Bounds,
    queue: VecDeque<Queued>,
    /// Bytes waiting that count against the bound.
    counted: usize,
    /// Bytes ever put in the queue, and how far the peer is known to have read.
    written: u64,
    read: u64,
    progress_at: Instant,
    heard_at: Instant,
    pinged_at: Instant,
    /// The position that the last ping carries.
    pinged_upto: u64,
    waker: Option<Waker>,
    closed: Option<CloseCode>,
    /// The highest seq that was handed to this socket: where a replay has to go on.
    cursor: Seq,
    /// Numbered commands that the meeting has not answered.
    unanswered: VecDeque<(u64, Span)>,
    /// The highest number taken from the client.
    taken: u64,
    /// The meeting has given this socket a place.
    has_begun: bool,
    /// A join or resume is under way: nothing more is read until it is answered, because only then
    /// is it known which number comes next.
    is_greeting: bool,
    /// Answers that the client asked for again.
    repeated: Vec<u64>,
    reader: Option<Waker>,
    watcher: Option<Waker>,
    session: Option<Waker>,
    hung_up: bool,
}

struct Queued {
    bytes: Bytes,
    lane: Lane,
}

#[derive(Clone, Copy)]
enum Lane {
    /// Counts against the bound.
    Counted,
    Snapshot,
    /// A ping or a close: a few bytes.
    Control,
}

impl Outlet {
    pub fn new(bounds: Bounds) -> Self {
        let now = Instant::now();
        Self(Rc::new(RefCell::new(Inner {
            bounds,
            queue: VecDeque::new(),
            counted: 0,
            written: 0,
            read: 0,
            progress_at: now,
            heard_at: now,
            pinged_at: now,
            pinged_upto: 0,
            waker: None,
            closed: None,
            cursor: Seq(0),
            unanswered: VecDeque::new(),
            taken: 0,
            has_begun: false,
            is_greeting: false,
            repeated: Vec::new(),
            reader: None,
            watcher: None,
            session: None,
            hung_up: false,
        })))
    }

    /// Puts a frame on the reliable lane. Over the bound the socket is closed: what it missed is
    /// given to it when it resumes.
    pub fn push(&self, bytes: Bytes) {
        self.put(bytes, Lane::Counted);
    }

    /// A snapshot is as large as the meeting is: one does not count against the bound. A peer that
    /// asks for another before it has taken that one pays for it.
    pub fn push_snapshot(&self, bytes: Bytes) {
        let waits = self.0.borrow().queue.iter().any(|queued| matches!(queued.lane, Lane::Snapshot));
        self.put(bytes, if waits { Lane::Counted } else { Lane::Snapshot });
    }

    /// Puts binary messages on the reliable lane that together are as a snapshot: as large as a board is. They
    /// are cut, so that a peer who reads steadily shows progress.
    pub fn push_whole(&self, messages: &[Bytes]) {
        let mut inner = self.0.borrow_mut();
        let is_second = inner.queue.iter().any(|queued| matches!(queued.lane, Lane::Snapshot));
        for (head, part) in messages.iter().flat_map(|message| frame::binary_parts(message, WHOLE_PART_BYTES)) {
            let length = head.len().saturating_add(part.len());
            if inner.closed.is_some() {
                return;
            }
            if is_second && inner.counted.saturating_add(length) > inner.bounds.reliable_bytes_max {
                return inner.close(CloseCode::SlowConsumer);
            }
            let lane = if is_second { Lane::Counted } else { Lane::Snapshot };
            inner.enqueue_together([head, part], lane);
        }
    }

    fn put(&self, bytes: Bytes, lane: Lane) {
        let mut inner = self.0.borrow_mut();
        if inner.closed.is_some() {
            return;
        }
        let length = bytes.len();
        let is_counted = matches!(lane, Lane::Counted);
        if is_counted && inner.counted.saturating_add(length) > inner.bounds.reliable_bytes_max {
            inner.close(CloseCode::SlowConsumer);
            return;
        }
        inner.enqueue(bytes, lane);
    }

    /// Puts a frame on the latest lane: dropped where anything much is waiting.
    pub fn push_latest(&self, bytes: Bytes) {
        let mut inner = self.0.borrow_mut();
        if inner.closed.is_none() && inner.counted <= inner.bounds.latest_bytes_max {
            inner.enqueue(bytes, Lane::Counted);
        } else {
            metrics::counter!("convoke_signals_dropped_total").increment(1);
        }
    }

    /// Closes behind what is waiting, unless the peer is closed for not reading.
    pub fn close(&self, code: CloseCode) {
        self.0.borrow_mut().close(code);
    }

    /// The socket is gone: nothing more is kept for it, and its reader ends.
    pub fn hang_up(&self) {
        let mut inner = self.0.borrow_mut();
        inner.hung_up = true;
        inner.closed = inner.closed.or(Some(CloseCode::GoingAway));
        inner.queue.clear();
        inner.wake();
        if let Some(watcher) = inner.watcher.take() {
            watcher.wake();
        }
    }

    pub fn poll_hung_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.borrow_mut();
        if inner.hung_up {
            return Poll::Ready(());
        }
        inner.watcher = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ready when the peer was closed for not reading or for silence. It may never take what is on
    /// its way, and its connection may stay for long: to the meeting it is gone at once.
    pub fn poll_given_up(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.0.borrow_mut();
        if inner.is_given_up() {
            return Poll::Ready(());
        }
        inner.session = Some(cx.waker().clone());
        Poll::Pending
    }

    pub fn closed(&self) -> Option<CloseCode> {
        self.0.borrow().closed
    }

    /// The peer said something.
    pub fn heard(&self) {
        self.0.borrow_mut().heard_at = Instant::now();
    }

    /// The peer acknowledged a ping.
    pub fn heard_pong(&self, payload: &[u8]) {
        let mut inner = self.0.borrow_mut();
        inner.heard_at = Instant::now();
        if let Ok(position) = <[u8; 8]>::try_from(payload) {
            let position = u64::from_be_bytes(position);
            // Only a position that was really sent counts.
            if position > inner.read && position <= inner.written {
                inner.read = position;
                inner.progress_at = Instant::now();
            }
        }
    }

    /// Checks the heart and the progress of the peer, and pings it when it is time.
    pub fn check(&self) {
        let mut inner = self.0.borrow_mut();
        if inner.closed.is_some() {
            return;
        }
        let now = Instant::now();
        let is_behind = inner.written > inner.read;
        if is_behind && now.duration_since(inner.progress_at) > inner.bounds.progress {
            inner.close(CloseCode::SlowConsumer);
            return;
        }
        if now.duration_since(inner.heard_at) > inner.bounds.heartbeat {
            inner.close(CloseCode::HeartbeatTimeout);
            return;
        }
        // Progress shows only where it is asked for, so it is asked for well within its time.
        let behind = (inner.bounds.ping / 2).min(inner.bounds.progress / 3);
        let interval = if is_behind { behind } else { inner.bounds.ping };
        if now.duration_since(inner.pinged_at) >= interval {
            inner.ping();
        }
    }

    pub fn push_pong(&self, payload: &[u8]) {
        let mut inner = self.0.borrow_mut();
        // A peer that pings without reading is bounded like any other.
        if inner.closed.is_none() && inner.counted <= inner.bounds.latest_bytes_max {
            inner.enqueue(frame::pong(payload), Lane::Counted);
        }
    }

    pub fn cursor(&self) -> Seq {
        self.0.borrow().cursor
    }

    pub fn advance(&self, seq: Seq) {
        let mut inner = self.0.borrow_mut();
        inner.cursor = inner.cursor.max(seq);
    }

    /// The cursor where a new view of the meeting begins.
    pub fn restart_at(&self, seq: Seq) {
        self.0.borrow_mut().cursor = seq;
    }

    /// A number was taken from the client; the meeting owes an answer to it. Its span ends when the
    /// answer is on its way to the socket.
    pub fn take(&self, id: u64, span: Span) {
        let mut inner = self.0.borrow_mut();
        inner.taken = id;
        inner.unanswered.push_back((id, span));
    }

    /// The client asks again for an answer that it was given.
    pub fn repeat(&self, id: u64) {
        self.0.borrow_mut().repeated.push(id);
    }

    /// Whether the client waits for this answer; it does not afterwards. The meeting may answer
    /// twice what was sent to it twice, around a crash or a move; the client hears it once.
    pub fn settle(&self, id: u64) -> bool {
        let mut inner = self.0.borrow_mut();
        let is_owed = if id == 0 {
            std::mem::take(&mut inner.is_greeting)
        } else if let Some(place) = inner.unanswered.iter().position(|(other, _)| *other == id) {
            inner.unanswered.remove(place).is_some()
        } else if let Some(place) = inner.repeated.iter().position(|other| *other == id) {
            inner.repeated.swap_remove(place) == id
        } else {
            false
        };
        if is_owed && let Some(reader) = inner.reader.take() {
            reader.wake();
        }
        is_owed
    }

    pub fn is_greeting(&self) -> bool {
        self.0.borrow().is_greeting
    }

    /// A join or resume is handed to the meeting.
    pub fn greet(&self) {
        self.0.borrow_mut().is_greeting = true;
    }

    /// Ready when fewer than this are unanswered and no join is: until then nothing more is read.
    pub fn poll_room(&self, cx: &mut Context<'_>, in_flight_max: usize) -> Poll<()> {
        let mut inner = self.0.borrow_mut();
        let has_room = inner.unanswered.len() < in_flight_max && !inner.is_greeting;
        if has_room || inner.closed.is_some() {
            return Poll::Ready(());
        }
        inner.reader = Some(cx.waker().clone());
        Poll::Pending
    }

    pub fn has_begun(&self) -> bool {
        self.0.borrow().has_begun
    }

    /// The highest number taken from the client.
    pub fn taken(&self) -> u64 {
        self.0.borrow().taken
    }

    /// Whether the meeting still owes an answer to this number.
    pub fn owes(&self, id: u64) -> bool {
        let inner = self.0.borrow();
        inner.unanswered.iter().any(|(other, _)| *other == id) || inner.repeated.contains(&id)
    }

    pub fn unanswered(&self) -> usize {
        self.0.borrow().unanswered.len()
    }

    /// The latest number that is still unanswered; nothing may overtake it.
    pub fn last_unanswered(&self) -> Option<u64> {
        self.0.borrow().unanswered.back().map(|(id, _)| *id)
    }

    /// Everything up to this number has been answered.
    pub fn answered_upto(&self) -> u64 {
        let inner = self.0.borrow();
        inner.unanswered.front().map_or(inner.taken, |(first, _)| first.saturating_sub(1))
    }

    /// A new attachment: the numbers begin where the meeting says.
    pub fn renumber(&self, last_id: u64) {
        let mut inner = self.0.borrow_mut();
        inner.unanswered.clear();
        inner.taken = last_id;
        inner.has_begun = true;
        if let Some(reader) = inner.reader.take() {
            reader.wake();
        }
    }

    /// Bytes waiting, for metrics and tests.
    pub fn waiting_bytes(&self) -> usize {
        self.0.borrow().queue.iter().map(|queued| queued.bytes.len()).sum()
    }

    /// The next bytes for the socket; None when it is closed and everything has been given out.
    pub fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let mut inner = self.0.borrow_mut();
        match inner.pop() {
            Some(bytes) => Poll::Ready(Some(bytes)),
            None if inner.closed.is_some() => Poll::Ready(None),
            None => {
                inner.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// As [`Self::poll_next`], and with it as much of what waits behind as makes so many bytes.
    pub fn poll_some(&self, cx: &mut Context<'_>, bytes_max: usize) -> Poll<Option<Bytes>> {
        let Some(first) = ready!(self.poll_next(cx)) else { return Poll::Ready(None) };
        let mut inner = self.0.borrow_mut();
        let Some(second) = inner.pop_within(bytes_max.saturating_sub(first.len())) else {
            return Poll::Ready(Some(first));
        };
        let mut together = BytesMut::with_capacity(bytes_max);
        together.extend_from_slice(&first);
        let mut next = Some(second);
        while let Some(bytes) = next {
            together.extend_from_slice(&bytes);
            next = inner.pop_within(bytes_max.saturating_sub(together.len()));
        }
        Poll::Ready(Some(together.freeze()))
    }
}

impl Inner {
    fn pop(&mut self) -> Option<Bytes> {
        let Queued { bytes, lane } = self.queue.pop_front()?;
        if matches!(lane, Lane::Counted) {
            self.counted = self.counted.saturating_sub(bytes.len());
        }
        Some(bytes)
    }

    /// The next, if it is no longer than this.
    fn pop_within(&mut self, bytes_max: usize) -> Option<Bytes> {
        if self.queue.front()?.bytes.len() <= bytes_max { self.pop() } else { None }
    }

    fn enqueue(&mut self, bytes: Bytes, lane: Lane) {
        self.enqueue_together([bytes], lane);
    }

    /// Nothing may come between these: they are parts of one frame.
    fn enqueue_together<const N: usize>(&mut self, parts: [Bytes; N], lane: Lane) {
        if self.written == self.read {
            self.progress_at = Instant::now();
        }
        for bytes in parts {
            let length = bytes.len();
            self.written = self.written.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
            if matches!(lane, Lane::Counted) {
                self.counted = self.counted.saturating_add(length);
            }
            self.queue.push_back(Queued { bytes, lane });
        }
        if self.written.saturating_sub(self.pinged_upto) >= PING_BYTES {
            self.ping();
        }
        self.wake();
    }

    /// Pings do not count as data: an idle connection has nothing unread.
    fn ping(&mut self) {
        self.pinged_at = Instant::now();
        self.pinged_upto = self.written;
        self.queue.push_back(Queued { bytes: frame::ping(self.written), lane: Lane::Control });
        self.wake();
    }

    fn close(&mut self, code: CloseCode) {
        if self.closed.is_some() {
            return;
        }
        metrics::counter!("convoke_sockets_closed_total", "reason" => code.reason()).increment(1);
        if matches!(code, CloseCode::SlowConsumer | CloseCode::HeartbeatTimeout) {
            metrics::counter!("convoke_sockets_dropped_total", "reason" => code.reason()).increment(1);
            // Nobody reads this any more; it is not kept in memory for them.
            self.queue.clear();
            self.counted = 0;
        }
        self.queue.push_back(Queued { bytes: frame::close(code), lane: Lane::Control });
        self.closed = Some(code);
        if self.is_given_up()
            && let Some(session) = self.session.take()
        {
            session.wake();
        }
        self.wake();
    }

    fn is_given_up(&self) -> bool {
        matches!(self.closed, Some(CloseCode::SlowConsumer | CloseCode::HeartbeatTimeout))
    }

    fn wake(&mut self) {
        let reader = if self.closed.is_some() { self.reader.take() } else { None };
        for waker in [self.waker.take(), reader].into_iter().flatten() {
            waker.wake();
        }
    }
}
