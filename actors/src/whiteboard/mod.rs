//! One whiteboard: a document of Yjs and its log. An update is looked through, drawn, numbered, handed to the
//! journal, and shown to all when it is durable; whatever else leaves the board waits in the same queue, so
//! nobody sees what might be lost. What somebody may do is asked for every message, and told by the meeting.
//! A board can be lost at any time: its clients come again, and the sync protocol brings together what the
//! log has and what they have.

mod answers;
mod aside;
mod clocks;
pub mod cost;
pub mod deep;
pub mod document;
pub mod hub;
mod inspect;
mod keeping;
pub mod log;
mod node;
mod presence;
pub mod protocol;
mod talk;
pub mod words;

use crate::journal::{Committed, Draw};
use crate::meeting::Refused;
use crate::ports::{BoardCommit, BoardLog, BoardSnapshot, MeetingKey, StoreError};
use crate::release::{HubId, SocketId};
use crate::restart::{self, Restart};
use crate::room::calls::Leash;
use crate::supervisor::Env;
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, Message, ResponseFuture};
use aside::Heard;
use bytes::Bytes;
use convoke_domain::whiteboard::BoardRight;
use convoke_domain::{CloseCode, SessionId, Term, WhiteboardId};
use cost::Caution;
use document::Document;
pub use keeping::SNAPSHOTS_MAX;
use log::Log;
pub use node::{DRAWN_ASIDE_AT_ONCE, Whiteboards};
use presence::Everybody;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;
use uuid::Uuid;
use words::{AskBoard, Desk, FromMeeting, Guest, Show, Shown};

const MAILBOX: usize = 4_096;
/// How often a board says something to each hub, and looks after itself.
const TICK: Duration = Duration::from_secs(3);
/// Thirty times a second.
const PRESENCE: Duration = Duration::from_millis(33);
/// A hub that says nothing for so long has lost its node, or its node the bus.
const HUB_SILENT: Duration = Duration::from_secs(16);
/// What may lie between somebody's coming here and the word of their hub.
const PRESENT_MARGIN_MS: u64 = 2_000;
/// The least time between two answers to one socket that asks what it lacks, or what others have erased.
const ANSWER_REST: Duration = Duration::from_secs(1);
/// Sockets of one board.
const GUESTS_MAX: usize = 2_000;
/// Sockets of one session: a page that is loaded again may have left some behind.
pub const SESSION_GUESTS_MAX: usize = 64;
/// Whoever broke the document this often does not come again.
const OFFENCES_MAX: u32 = 3;

/// From sockets and from REST. Answered when it is taken; what is to be kept or restored, when it is durable.
#[derive(Message)]
#[rtype(result = "Result<(), Refused>")]
pub struct Ask(pub AskBoard);

/// From the meeting, in its one queue.
#[derive(Message)]
#[rtype(result = "()")]
pub struct Told(pub FromMeeting);

type Reply = oneshot::Sender<Result<(), Refused>>;

enum Leaving {
    All(Bytes),
    To(Desk, Shown),
    Reply(Reply),
    /// The state is to be kept, as soon as it holds all up to this number.
    Keep(BoardSnapshot, Reply),
}

pub struct BoardActor {
    key: MeetingKey,
    board: WhiteboardId,
    term: Term,
    env: Env,
    leash: Leash,
    life: Uuid,
    /// None: it is being read.
    document: Option<Document>,
    durable: u64,
    sent: u64,
    unsent: Vec<Bytes>,
    /// The request of the last restore.
    restored: Option<Uuid>,
    unsent_restore: Option<Uuid>,
    /// What a full board has no room for, until its log is joined.
    held: Vec<Heard>,
    /// What came while something was drawn aside, or others had their turn, and what is left of that.
    unheard: VecDeque<Heard>,
    /// What waits to leave, each with the number that has to be durable first.
    queue: VecDeque<(u64, Leaving)>,
    is_keeping: bool,
    /// What is to be kept when that is done.
    keeps: VecDeque<(BoardSnapshot, Reply)>,
    guests: BTreeMap<SocketId, Guest>,
    /// Who was sent away and may not have heard it: nothing more is taken of them.
    dismissed: BTreeMap<SocketId, HubId>,
    /// Who was asked for what their updates build on.
    asked: BTreeSet<SocketId>,
    rights: BTreeMap<SessionId, BoardRight>,
    offences: BTreeMap<SessionId, u32>,
    caution: Caution,
    /// Others have their turn: what was said is heard then.
    is_pausing: bool,
    everybody: Everybody,
    /// The number of the last word to each hub.
    desks: BTreeMap<Desk, u64>,
    heard: BTreeMap<HubId, Instant>,
    /// When a state was made last, or is to be made at the earliest; None while one is made.
    joined_at: Option<Instant>,
    is_telling: bool,
    left_at: Instant,
    /// Nobody has looked at it for a while.
    is_leaving: bool,
    is_over: bool,
}

impl BoardActor {
    pub fn new(key: MeetingKey, board: WhiteboardId, term: Term, env: Env, leash: Leash) -> Self {
        let now = Instant::now();
        Self {
            key,
            board,
            term,
            life: env.clock.id(),
            env,
            leash,
            document: None,
            durable: 0,
            sent: 0,
            unsent: Vec::new(),
            restored: None,
            unsent_restore: None,
            held: Vec::new(),
            unheard: VecDeque::new(),
            queue: VecDeque::new(),
            is_keeping: false,
            keeps: VecDeque::new(),
            guests: BTreeMap::new(),
            dismissed: BTreeMap::new(),
            asked: BTreeSet::new(),
            rights: BTreeMap::new(),
            offences: BTreeMap::new(),
            caution: Caution::default(),
            is_pausing: false,
            everybody: Everybody::default(),
            desks: BTreeMap::new(),
            heard: BTreeMap::new(),
            joined_at: Some(now),
            is_telling: false,
            left_at: now,
            is_leaving: false,
            is_over: false,
        }
    }

    fn number(&self) -> u64 {
        self.document.as_ref().map_or(0, Document::number)
    }

    /// Reads the board. The mailbox waits meanwhile, and the thread does not.
    fn load(&mut self, ctx: &mut Context<Self>) {
        let (env, key, board) = (self.env.clone(), self.key.clone(), self.board);
        let reading = async move { env.store.board(&key, board).await };
        restart::wait(ctx, reading, |this: &mut Self, ctx, read: Result<BoardLog, StoreError>| match read {
            Ok(log) => {
                (this.durable, this.sent) = (log.head(), log.head());
                this.restored = log.restored;
                this.rebuild(log.into(), ctx);
            }
            Err(error) => {
                tracing::warn!(whiteboard = %this.board, %error, "a board could not be read");
                this.over(CloseCode::GoingAway, ctx);
            }
        });
    }

    fn rebuild(&mut self, log: Log, ctx: &mut Context<Self>) {
        let place = self.env.whiteboards.place;
        let broken = self.document.take();
        let loading = async move {
            if let Some(broken) = broken {
                // A large one takes its time to be put away, too.
                let _ = deep::run(place, move || drop(broken)).await;
            }
            Document::load(log, place).await
        };
        restart::wait(ctx, loading, |this: &mut Self, ctx, loaded| match loaded {
            Ok(document) => {
                this.document = Some(document);
                this.turn(ctx, |_| {});
                this.hear_on(ctx);
            }
            Err(error) => {
                metrics::counter!("convoke_whiteboards_failed_total").increment(1);
                tracing::error!(whiteboard = %this.board, %error, "a board cannot be rebuilt");
                this.over(CloseCode::InternalError, ctx);
            }
        });
    }

    /// One step of a board, and what it makes necessary.
    fn turn(&mut self, ctx: &mut Context<Self>, step: impl FnOnce(&mut Self)) {
        if self.is_over {
            return;
        }
        step(self);
        if !self.leash.holds() || !self.hand_over(ctx) {
            return self.over(CloseCode::GoingAway, ctx);
        }
        self.release(ctx);
        if let Some(document) = &mut self.document {
            document.merge(self.durable);
        }
        if self.everybody.has_news() && !std::mem::replace(&mut self.is_telling, true) {
            restart::later(ctx, PRESENCE, |this: &mut Self, ctx| {
                this.is_telling = false;
                this.turn(ctx, Self::tell_presence);
            });
        }
        self.join(ctx);
    }

    /// Hands what was drawn to the journal. False: it cannot take it.
    fn hand_over(&mut self, ctx: &mut Context<Self>) -> bool {
        if self.unsent.is_empty() && self.unsent_restore.is_none() {
            return true;
        }
        let (updates, restored) = (std::mem::take(&mut self.unsent), self.unsent_restore.take());
        let (key, term, board, after) = (self.key.clone(), self.term, self.board, self.sent);
        let commit = BoardCommit { key, term, board, after, updates, restored };
        self.sent = commit.reaches();
        self.env.journal.try_send(Draw { commit, reply: ctx.address().recipient() }).is_ok()
    }

    /// Something new is drawn: it is to be kept, and then to be shown.
    fn drawn(&mut self, updates: Vec<Bytes>) {
        let Some(document) = &self.document else { return };
        let messages: Vec<Bytes> = document.last(updates.len()).cloned().collect();
        metrics::counter!("convoke_whiteboard_updates_total").increment(u64::from(!updates.is_empty()));
        self.unsent.extend(updates);
        messages.into_iter().for_each(|message| self.leave(Leaving::All(message)));
    }

    fn leave(&mut self, leaving: Leaving) {
        self.queue.push_back((self.number(), leaving));
    }

    fn leave_to(&mut self, socket: SocketId, shown: Shown) {
        if let Some(guest) = self.guests.get(&socket) {
            let desk = guest.desk.clone();
            self.leave(Leaving::To(desk, shown));
        }
    }

    fn release(&mut self, ctx: &mut Context<Self>) {
        let mut shown: BTreeMap<Desk, Vec<Shown>> = BTreeMap::new();
        while self.queue.front().is_some_and(|(ready_at, _)| *ready_at <= self.durable) {
            match self.queue.pop_front() {
                Some((_, Leaving::All(message))) => {
                    for desk in self.desks.keys() {
                        shown.entry(desk.clone()).or_default().push(Shown::All(message.clone()));
                    }
                }
                Some((_, Leaving::To(desk, item))) => shown.entry(desk).or_default().push(item),
                // Whoever asked may have gone.
                Some((_, Leaving::Reply(reply))) => drop(reply.send(Ok(()))),
                Some((_, Leaving::Keep(snapshot, reply))) => self.keep(snapshot, reply, ctx),
                None => break,
            }
        }
        for (desk, items) in shown {
            self.show(&desk, items);
        }
    }

    fn show(&mut self, desk: &Desk, items: Vec<Shown>) {
        let Some(number) = self.desks.get_mut(desk) else { return };
        *number = number.saturating_add(1);
        let show = Show { board: self.board, life: self.life, number: *number, items };
        self.env.bus.show(desk, Arc::new(show));
    }

    fn tell_presence(&mut self) {
        let news = self.everybody.news();
        if news.is_empty() {
            return;
        }
        let message = protocol::cursors(news.iter());
        for desk in self.desks.keys().cloned().collect::<Vec<_>>() {
            self.show(&desk, vec![Shown::Latest(message.clone())]);
        }
    }

    /// Everybody comes again, and whoever made this board makes it again then.
    fn over(&mut self, code: CloseCode, ctx: &mut Context<Self>) {
        if std::mem::replace(&mut self.is_over, true) {
            return;
        }
        let mut closings: BTreeMap<Desk, Vec<Shown>> = BTreeMap::new();
        for (socket, guest) in std::mem::take(&mut self.guests) {
            closings.entry(guest.desk).or_default().push(Shown::Close { socket, code });
        }
        for (desk, items) in closings {
            self.show(&desk, items);
        }
        ctx.stop();
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let silent: Vec<HubId> =
            self.heard.iter().filter(|(_, at)| now.duration_since(**at) >= HUB_SILENT).map(|(hub, _)| *hub).collect();
        let gone: Vec<SocketId> = self.guests_where(|guest| silent.contains(&guest.desk.hub));
        gone.into_iter().for_each(|socket| self.gone(socket));
        self.dismissed.retain(|_, hub| !silent.contains(hub));
        self.everybody.tidy(self.env.clock.now());
        if !self.guests.is_empty() {
            self.left_at = now;
        }
        let (left_for, passivate) = (now.duration_since(self.left_at), self.env.timing.passivate);
        // Whoever was here may have been the last of the meeting, which goes as soon, and the board with it.
        self.is_leaving = left_for >= passivate / 2;
        let is_done = self.queue.is_empty() && !self.is_keeping && self.joined_at.is_some();
        if left_for >= passivate && is_done {
            return self.over(CloseCode::GoingAway, ctx);
        }
        let idle: Vec<Desk> = self.desks.keys().cloned().collect();
        for desk in idle {
            if self.guests.values().any(|guest| guest.desk == desk) {
                self.show(&desk, Vec::new());
            } else {
                self.desks.remove(&desk);
                self.heard.remove(&desk.hub);
            }
        }
    }

    fn guests_where(&self, is: impl Fn(&Guest) -> bool) -> Vec<SocketId> {
        self.guests.iter().filter(|(_, guest)| is(guest)).map(|(socket, _)| *socket).collect()
    }
}

impl Actor for BoardActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.env.whiteboards.add(self.board, ctx.address());
        restart::spawn(ctx, self.leash.clone().end(), |this: &mut Self, ctx, ()| this.over(CloseCode::GoingAway, ctx));
        ctx.run_interval(TICK, |this, ctx| {
            restart::guarded(this, ctx, |this, ctx| {
                this.tick(ctx);
                this.turn(ctx, |_| {});
            });
        });
        self.load(ctx);
    }
}

impl Restart for BoardActor {
    const NAME: &'static str = "whiteboard";

    /// What it held cannot be trusted. The log is what it was, and the next who comes has it made again.
    fn crashed(&mut self, ctx: &mut Self::Context, _why: String) {
        self.document = None;
        self.over(CloseCode::InternalError, ctx);
    }
}

impl Handler<Told> for BoardActor {
    type Result = ();

    fn handle(&mut self, Told(word): Told, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |this, ctx| match word {
            FromMeeting::Deleted => this.over(CloseCode::Denied, ctx),
            FromMeeting::Visit(visit, right) => this.turn(ctx, |this| this.visit(visit, right)),
            FromMeeting::Right(session, right) => this.turn(ctx, |this| this.may(session, right)),
        });
    }
}

impl Handler<Committed> for BoardActor {
    type Result = ();

    fn handle(&mut self, committed: Committed, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |this, ctx| match committed.outcome {
            Ok(number) => this.turn(ctx, |this| this.durable = this.durable.max(number.0)),
            Err(failure) => {
                tracing::warn!(whiteboard = %this.board, ?failure, "a board is read again");
                this.over(CloseCode::GoingAway, ctx);
            }
        });
    }
}

impl Handler<Ask> for BoardActor {
    type Result = ResponseFuture<Result<(), Refused>>;

    fn handle(&mut self, Ask(ask): Ask, ctx: &mut Self::Context) -> Self::Result {
        let (reply, answer) = oneshot::channel();
        restart::guarded(self, ctx, |this, ctx| this.asked(ask, reply, ctx));
        // What is dropped unanswered is asked again where the board is then.
        Box::pin(async move { answer.await.unwrap_or(Err(Refused::Elsewhere)) })
    }
}
