//! The heart: one meeting, one writer. Decide, commit, release. The actor decides and applies at
//! once, in memory, and hands the events to the journal; whatever leaves it (events, answers,
//! refusals, snapshots) waits in one queue until the seq it was decided on is durable. If a commit
//! fails, or nobody knows whether it did, the state is thrown away and read from the log again
//! under a new term; sessions attach again and send again what was not answered.

mod boards;
mod live;
mod load;
mod render;
mod ring;
mod rooms;

pub use load::{decode, row_of};

use crate::journal::{Committed, Failure};
use crate::node::Done;
use crate::ports::{MediaNews, MeetingKey, StoreError};
use crate::release::{Batch, HubId, Item, SocketId};
use crate::restart::{self, Intensity, Restart, Verdict};
use crate::room::words::FromRoom;
use crate::supervisor::{Env, Meetings};
use crate::whiteboard::BoardActor;
use crate::whiteboard::words::Visit;
use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Message, SpawnHandle};
use convoke_domain::command::Join;
use convoke_domain::event::Cause;
use convoke_domain::{
    By, CloseCode, Code, Command, Millis, ParticipantId, Rejection, Seq, SessionId, Term, UserId, WhiteboardId,
};
use live::Live;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::Span;
use uuid::Uuid;

const MAILBOX: usize = 4_096;
/// A command that has brought its meeting down this often is refused from then on.
const DEATHS_MAX: u32 = 2;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);
/// A node that stood still renews its lease, or begins another life, as soon as it goes on.
const LEASE_WAIT: Duration = Duration::from_secs(2);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum How {
    Join(Join),
    /// A new socket of a session that the meeting knows.
    Resume {
        participant: ParticipantId,
        cursor: Seq,
    },
    /// The same socket again: the meeting's actor was made again, or a batch was missed.
    Again {
        cursor: Seq,
        answered: u64,
    },
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attach {
    pub socket: SocketId,
    /// Where the socket is.
    pub hub: HubId,
    pub session: SessionId,
    /// When the socket asked for the session, by the time that all nodes agree on. A hello may be
    /// long on its way; it does not drive out a socket that came after it. Of two at once the one
    /// with the later id came later.
    pub asked_at: Millis,
    /// What the client reached the server by, as `wss://host`: addresses that it is told begin so.
    pub base: String,
    pub how: How,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Detach {
    pub socket: SocketId,
    pub session: SessionId,
}

/// The sockets that a hub of another node has of this meeting: said every few seconds. Whoever is
/// attached there and not among them has gone; so has everybody of a hub that says nothing more.
/// Whoever has a place there and is not attached was let go of by mistake, and is to attach again.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Present {
    pub hub: HubId,
    pub at: Millis,
    /// Those that have a place.
    pub placed: Vec<SocketId>,
    pub others: Vec<SocketId>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Numbered {
    pub socket: SocketId,
    pub session: SessionId,
    pub id: u64,
    /// The number before it that was unanswered when it was sent: it may not overtake that one.
    pub after: u64,
    /// It was sent before, and may have had its effect.
    pub is_retry: bool,
    pub command: Result<Command, Rejection>,
    /// From the socket to the answer. It ends at the border of the process; the owner begins another.
    #[serde(skip, default = "Span::none")]
    pub span: Span,
}

/// Why a meeting did not take a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Refused {
    /// For whoever asked, with the code that a joining socket is closed with.
    Rejected(Rejection, Option<CloseCode>),
    /// It is not served here, or not any more: whoever asks looks for it again.
    Elsewhere,
}

impl From<Rejection> for Refused {
    fn from(rejection: Rejection) -> Self {
        let close = rejection.close;
        Self::Rejected(rejection, close)
    }
}

/// From sessions. Answered as soon as it is taken; what comes of it comes through the hub.
#[derive(Clone, Debug, Message, Serialize, Deserialize)]
#[rtype(result = "Result<(), Refused>")]
pub enum ToMeeting {
    Attach(Attach),
    Detach(Detach),
    Command(Numbered),
    Present(Present),
    /// Something was heard of this meeting that another node published under this term.
    Heard(Term),
    /// The media server says that something changed.
    News(MediaNews),
    /// Somebody comes to a board.
    Visit(Visit),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum RequestInput {
    Command {
        by: By,
        command: Command,
    },
    /// The same, of a request that may come again under its id.
    Once {
        request: Uuid,
        by: By,
        command: Command,
    },
    Erase(UserId),
}

pub type Outcome = Result<Done, Rejection>;

/// From REST: the answer comes when the effect is durable. It is dropped where nobody can know.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<oneshot::Receiver<Outcome>, Refused>")]
pub struct Request(pub RequestInput);

/// The actor of a board of the meeting, which is woken.
#[derive(Message)]
#[rtype(result = "Result<Addr<BoardActor>, Refused>")]
pub struct FindBoard(pub WhiteboardId);

/// Writes what is decided, keeps a snapshot, gives the ownership back and stops.
#[derive(Message)]
#[rtype(result = "oneshot::Receiver<()>")]
pub struct Stop;

enum Phase {
    /// Nothing is known yet; the mailbox waits.
    Loading,
    Live(Box<Live>),
    /// The log is out of reach. Signals still flow by what was known last; nothing else does.
    Away(Option<Box<Live>>),
    /// It cannot be served here any more.
    Over(Refused),
}

pub struct MeetingActor {
    key: MeetingKey,
    meetings: Meetings,
    env: Env,
    phase: Phase,
    intensity: Intensity,
    /// The command that is being carried out: if the actor crashes, it is the one to blame.
    running: Option<Cause>,
    /// Commands that brought this meeting down, and how often.
    deaths: BTreeMap<Cause, u32>,
    timer: Option<(Millis, SpawnHandle)>,
    retry: Duration,
    stopping: Option<oneshot::Sender<()>>,
    /// Where the numbering of batches goes on, should the state be gone.
    next_batch: (Term, u64),
}

impl MeetingActor {
    pub fn new(key: MeetingKey, meetings: Meetings) -> Self {
        let env = meetings.env().clone();
        Self {
            key,
            meetings,
            env,
            phase: Phase::Loading,
            intensity: Intensity::default(),
            running: None,
            deaths: BTreeMap::new(),
            timer: None,
            retry: RETRY_FIRST,
            stopping: None,
            next_batch: (Term(0), 1),
        }
    }

    /// Reads the meeting from the log. The mailbox waits meanwhile.
    fn load(&mut self, ctx: &mut Context<Self>) {
        if matches!(self.phase, Phase::Over(_)) {
            return;
        }
        let (env, key) = (self.env.clone(), self.key.clone());
        let is_first = self.retry == RETRY_FIRST;
        let loading = async move {
            if is_first {
                env.life.is_valid_within(LEASE_WAIT).await;
            }
            let loaded = load::load(&env, &key).await?;
            let deaths = env.store.deaths(&key).await?;
            Ok((loaded, deaths))
        };
        restart::wait(ctx, loading, |meeting: &mut Self, ctx, loaded: Result<_, StoreError>| match loaded {
            Ok((loaded, deaths)) => {
                meeting.retry = RETRY_FIRST;
                meeting.deaths = deaths.into_iter().collect();
                meeting.phase = Phase::Live(Box::new(Live::new(loaded, meeting.key.clone(), meeting.env.clone())));
                meeting.turn(ctx, |live| live.begin());
            }
            Err(error) => meeting.could_not_load(ctx, &error),
        });
    }

    fn could_not_load(&mut self, ctx: &mut Context<Self>, error: &StoreError) {
        tracing::warn!(meeting = %self.key.meeting, %error, "a meeting could not be loaded");
        match error {
            StoreError::Unavailable(_) => {
                let before = std::mem::replace(&mut self.phase, Phase::Loading);
                self.phase = Phase::Away(match before {
                    Phase::Away(stale) => stale,
                    Phase::Live(live) => Some(live),
                    _ => None,
                });
                let wait = self.retry;
                self.retry = wait.saturating_mul(2).min(RETRY_MAX);
                restart::later(ctx, wait, Self::load);
            }
            StoreError::NotFound => {
                let unknown = Rejection::not_found("there is no such meeting").closing(CloseCode::Unauthenticated);
                self.give_up(ctx, unknown.into(), None);
            }
            StoreError::Owned(_) | StoreError::Fenced => {
                // Whoever is attached here attaches again, there.
                self.say_here(Item::Again);
                self.give_up(ctx, Refused::Elsewhere, None);
            }
            StoreError::Corrupt(_) => {
                metrics::counter!("convoke_meetings_failed_total").increment(1);
                let failed = Rejection::new(Code::Internal, "the meeting cannot be rebuilt; its operator can see why");
                let failed = failed.closing(CloseCode::Unauthenticated);
                self.give_up(ctx, failed.into(), Some(CloseCode::InternalError));
            }
        }
    }

    /// Answers what is in the mailbox with this, and stops.
    fn give_up(&mut self, ctx: &mut Context<Self>, why: Refused, close: Option<CloseCode>) {
        if let Some(code) = close {
            self.close_all(code);
        }
        self.phase = Phase::Over(why);
        // Whoever found this address before it is off the list is answered; then it is gone.
        self.meetings.forget(&self.key, &ctx.address());
        restart::later(ctx, Duration::from_millis(100), |_: &mut Self, ctx| ctx.stop());
    }

    /// A closing that depends on nothing durable: the meeting goes away from here.
    fn close_all(&self, code: CloseCode) {
        self.env.bus.publish(Arc::new(self.batch(Item::CloseAll { code })));
    }

    fn say_here(&self, item: Item) {
        self.env.bus.publish_here(Arc::new(self.batch(item)));
    }

    fn batch(&self, item: Item) -> Batch {
        let (term, number) = match &self.phase {
            Phase::Live(live) | Phase::Away(Some(live)) => live.next_batch(),
            _ => self.next_batch,
        };
        let number = if matches!(item, Item::Again) { 0 } else { number };
        Batch { key: self.key.clone(), term, number, head: Seq(0), items: vec![item] }
    }

    /// One step of a live meeting, and what it makes necessary: timers, snapshots, passivation.
    fn turn(&mut self, ctx: &mut Context<Self>, step: impl FnOnce(&mut Live)) {
        let Phase::Live(live) = &mut self.phase else { return };
        step(live);
        live.flush(&ctx.address());
        self.next_batch = live.next_batch();
        if live.has_failed() {
            return self.reload(ctx);
        }
        if let Some((snapshot, term)) = live.snapshot_to_save() {
            let (env, key) = (self.env.clone(), self.key.clone());
            let saving = async move { env.store.save_snapshot(&key, term, &snapshot).await };
            restart::spawn(ctx, saving, |meeting: &mut Self, _, saved| {
                if let Err(error) = saved {
                    tracing::warn!(%error, "a snapshot was not kept; the log is longer to read");
                    // An older one may hold what is to be forgotten: there is another as soon as may be.
                    if let Phase::Live(live) = &mut meeting.phase {
                        live.want_snapshot();
                    }
                }
            });
        }
        self.arm(ctx);
        self.settle(ctx);
    }

    /// Arms the one timer of the meeting for whatever is due next.
    fn arm(&mut self, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &self.phase else { return };
        let Some(at) = live.next_at() else { return };
        if self.timer.is_some_and(|(armed, _)| armed <= at) {
            return;
        }
        if let Some((_, former)) = self.timer.take() {
            ctx.cancel_future(former);
        }
        let wait = Duration::from_millis(at.saturating_sub(self.env.clock.now()).max(1));
        let handle = restart::later(ctx, wait, |meeting: &mut Self, ctx| {
            meeting.timer = None;
            if !meeting.doubts(ctx) {
                meeting.turn(ctx, Live::wake);
            }
        });
        self.timer = Some((at, handle));
    }

    /// Stops when it was asked to, or has been idle for long, once nothing is left to write.
    fn settle(&mut self, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &mut self.phase else { return };
        if !live.is_quiet() || (self.stopping.is_none() && !live.is_idle()) {
            return;
        }
        let (snapshot, term) = live.last_snapshot();
        let (env, key) = (self.env.clone(), self.key.clone());
        let stopped = self.stopping.take();
        self.phase = Phase::Over(Refused::Elsewhere);
        self.meetings.forget(&self.key, &ctx.address());
        let giving_back = async move {
            if let Some(snapshot) = snapshot {
                env.store.save_snapshot(&key, term, &snapshot).await?;
            }
            env.store.release(&key, term).await
        };
        restart::wait(ctx, giving_back, |meeting: &mut Self, ctx, given: Result<(), StoreError>| {
            if let Err(error) = given {
                tracing::warn!(%error, "a meeting was not given back; its lease will run out");
            }
            // Only now can another node take it.
            meeting.env.bus.publish(Arc::new(meeting.batch(Item::Again)));
            if let Some(stopped) = stopped {
                let _ = stopped.send(());
            }
            ctx.stop();
        });
    }

    /// Discards the state and reads it again. What the hubs were not given, nobody has seen.
    fn reload(&mut self, ctx: &mut Context<Self>) {
        if let Some((_, timer)) = self.timer.take() {
            ctx.cancel_future(timer);
        }
        let before = std::mem::replace(&mut self.phase, Phase::Loading);
        if let Phase::Live(live) = before {
            self.phase = Phase::Away(Some(live));
        }
        self.load(ctx);
    }

    /// Where the lease has run out, or a new life of the node has begun, somebody else may serve the
    /// meeting by now: nothing is said before it was taken again. True where that has begun.
    fn doubts(&mut self, ctx: &mut Context<Self>) -> bool {
        let doubts = matches!(&self.phase, Phase::Live(live) if !live.may_speak());
        if doubts {
            self.reload(ctx);
        }
        doubts
    }

    fn refuse_killer(&self, cause: Cause) -> Option<Rejection> {
        let deaths = self.deaths.get(&cause).copied().unwrap_or(0);
        (deaths >= DEATHS_MAX)
            .then(|| Rejection::new(Code::Internal, "this command has failed repeatedly and is not tried again"))
    }

    /// A later life of the meeting is the proof that this one is over, also while the database, which
    /// would say so, is out of reach from here.
    fn heard(&mut self, term: Term, ctx: &mut Context<Self>) {
        let is_older = match &self.phase {
            Phase::Live(live) | Phase::Away(Some(live)) => live.term() < term,
            _ => false,
        };
        if is_older {
            self.could_not_load(ctx, &StoreError::Fenced);
        }
    }

    fn take(&mut self, message: ToMeeting, ctx: &mut Context<Self>) -> Result<(), Refused> {
        if let ToMeeting::Heard(term) = message {
            self.heard(term, ctx);
            return Ok(());
        }
        if self.doubts(ctx) {
            return Err(Refused::Elsewhere);
        }
        match &mut self.phase {
            Phase::Live(_) => {}
            Phase::Loading => return Err(Rejection::unavailable("the meeting is being loaded").into()),
            Phase::Over(why) => return Err(why.clone()),
            Phase::Away(stale) => {
                let away = Rejection::unavailable("the database is out of reach");
                let Some(stale) = stale else { return Err(away.into()) };
                return match message {
                    ToMeeting::Command(numbered) => {
                        stale.while_away(&numbered);
                        Ok(())
                    }
                    ToMeeting::Detach(detach) => {
                        stale.detach(&detach);
                        Ok(())
                    }
                    ToMeeting::Attach(Attach { how: How::Again { .. }, .. })
                    | ToMeeting::Present(_)
                    | ToMeeting::Heard(_)
                    | ToMeeting::News(_) => Ok(()),
                    ToMeeting::Attach(_) | ToMeeting::Visit(_) => Err(away.into()),
                };
            }
        }
        match message {
            ToMeeting::Attach(attach) => self.turn(ctx, |live| live.attach(attach)),
            ToMeeting::Detach(detach) => self.turn(ctx, |live| live.detach(&detach)),
            ToMeeting::Present(present) => {
                let mut are_known = true;
                self.turn(ctx, |live| are_known = live.present(&present));
                if !are_known {
                    return Err(Refused::Elsewhere);
                }
            }
            ToMeeting::Heard(_) => {}
            ToMeeting::News(news) => self.turn(ctx, |live| live.news(news)),
            ToMeeting::Visit(visit) => {
                let mut seen = Ok(());
                self.turn(ctx, |live| seen = live.visit(visit));
                seen?;
            }
            ToMeeting::Command(mut numbered) => {
                let cause = Cause { session: numbered.session, id: numbered.id };
                if let Some(rejection) = self.refuse_killer(cause) {
                    numbered.command = Err(rejection);
                }
                if numbered.span.is_none() {
                    let Cause { session, id } = cause;
                    numbered.span = tracing::info_span!("command", meeting = %self.key.meeting, %session, id);
                }
                self.running = Some(cause);
                self.turn(ctx, |live| live.command(numbered));
                self.running = None;
            }
        }
        Ok(())
    }

    fn committed(&mut self, committed: Committed, ctx: &mut Context<Self>) {
        let Phase::Live(live) = &mut self.phase else { return };
        if live.term() != committed.term {
            // A life that is over: its queue is gone, and the log was read since.
            return;
        }
        match committed.outcome {
            Ok(head) => {
                self.meetings.note_growth(&self.key);
                self.turn(ctx, |live| live.durable_upto(head));
            }
            Err(Failure::Unknown) => self.reload(ctx),
            Err(Failure::Fenced) => self.could_not_load(ctx, &StoreError::Fenced),
        }
    }
}

impl Actor for MeetingActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        self.load(ctx);
    }

    fn stopped(&mut self, ctx: &mut Self::Context) {
        self.meetings.forget(&self.key, &ctx.address());
    }
}

impl Restart for MeetingActor {
    const NAME: &'static str = "meeting";

    fn crashed(&mut self, ctx: &mut Self::Context, why: String) {
        let blamed = self.running.take();
        self.timer = None;
        self.phase = Phase::Loading;
        let verdict = self.intensity.crashed();
        let Verdict::RestartAfter(wait) = verdict else {
            tracing::error!(meeting = %self.key.meeting, %why, "a meeting keeps crashing and is given back");
            let crashing = Rejection::unavailable("the meeting keeps crashing");
            return self.give_up(ctx, crashing.into(), Some(CloseCode::InternalError));
        };
        let (store, key) = (Arc::clone(&self.env.store), self.key.clone());
        let counting = async move {
            if let Some(cause) = blamed {
                // Counted where a crash of the whole node does not forget it.
                if let Err(error) = store.count_death(&key, cause).await {
                    tracing::warn!(%error, "a crash could not be counted");
                }
            }
            tokio::time::sleep(wait).await;
        };
        restart::wait(ctx, counting, |meeting: &mut Self, ctx, ()| meeting.load(ctx));
    }
}

impl Handler<ToMeeting> for MeetingActor {
    type Result = Result<(), Refused>;

    fn handle(&mut self, message: ToMeeting, ctx: &mut Self::Context) -> Self::Result {
        // After a crash the sender hears nothing: it is asked to attach again, and sends again.
        restart::guarded(self, ctx, |meeting, ctx| meeting.take(message, ctx)).unwrap_or(Ok(()))
    }
}

impl Handler<Request> for MeetingActor {
    type Result = Result<oneshot::Receiver<Outcome>, Refused>;

    fn handle(&mut self, Request(input): Request, ctx: &mut Self::Context) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        let entry = |meeting: &mut Self, ctx: &mut Context<Self>| {
            if meeting.doubts(ctx) {
                return Err(Refused::Elsewhere);
            }
            match &meeting.phase {
                Phase::Live(_) => {
                    meeting.turn(ctx, |live| live.request(input, sender));
                    Ok(())
                }
                Phase::Over(why) => Err(why.clone()),
                Phase::Loading | Phase::Away(_) => Err(Rejection::unavailable("the database is out of reach").into()),
            }
        };
        restart::guarded(self, ctx, entry).unwrap_or(Ok(()))?;
        Ok(receiver)
    }
}

impl Handler<FindBoard> for MeetingActor {
    type Result = Result<Addr<BoardActor>, Refused>;

    fn handle(&mut self, FindBoard(board): FindBoard, ctx: &mut Self::Context) -> Self::Result {
        let entry = |meeting: &mut Self, ctx: &mut Context<Self>| {
            if meeting.doubts(ctx) {
                return Err(Refused::Elsewhere);
            }
            match &mut meeting.phase {
                Phase::Live(live) => Ok(live.find_board(board)?),
                Phase::Over(why) => Err(why.clone()),
                Phase::Loading | Phase::Away(_) => Err(Rejection::unavailable("the database is out of reach").into()),
            }
        };
        restart::guarded(self, ctx, entry).unwrap_or(Err(Refused::Elsewhere))
    }
}

impl Handler<Committed> for MeetingActor {
    type Result = ();

    fn handle(&mut self, committed: Committed, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |meeting, ctx| meeting.committed(committed, ctx));
    }
}

impl Handler<FromRoom> for MeetingActor {
    type Result = ();

    fn handle(&mut self, FromRoom { room, term, word }: FromRoom, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |meeting, ctx| {
            let is_ours = matches!(&meeting.phase, Phase::Live(live) if live.term() == term);
            if is_ours && !meeting.doubts(ctx) {
                meeting.turn(ctx, |live| live.hear(room, word));
            }
        });
    }
}

impl Handler<Stop> for MeetingActor {
    type Result = actix::MessageResult<Stop>;

    fn handle(&mut self, _: Stop, ctx: &mut Self::Context) -> Self::Result {
        let (sender, receiver) = oneshot::channel();
        if matches!(self.phase, Phase::Live(_)) {
            self.stopping = Some(sender);
            restart::guarded(self, ctx, |meeting, ctx| meeting.turn(ctx, |_| {}));
        } else {
            // Nothing is held that is not in the log; the sender is dropped and so heard.
            ctx.stop();
        }
        actix::MessageResult(receiver)
    }
}
