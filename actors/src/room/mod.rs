//! One room's life: its media room, its timers, the people who are on the way to it. The actor is
//! the meeting's hand. It holds what the meeting wants and makes the media so, one call at a time,
//! again and again; it can be lost at any moment and be made again from the meeting's state, and a
//! room that keeps crashing stays down, alone, until something about it changes.
//!
//! Its timers are those of its own work. The deadlines of breakout rooms are the meeting's, absolute
//! times in a state that is logged, and are fired there: so no deadline can be lost with a room.

pub mod calls;
mod hand;
mod migration;
pub mod people;
pub mod recording;
pub mod words;

use crate::ports::MediaError;
use crate::restart::{self, Intensity, Restart, Verdict};
use actix::{Actor, ActorContext, AsyncContext, Context, Handler, SpawnHandle, WeakRecipient};
use calls::{Call, Called, Leash, MediaServer};
use convoke_domain::{RoomId, Seq, Term};
use hand::Hand;
use std::time::Duration;
use tokio::time::Instant;
use words::{FromRoom, ToRoom, Word};

const MAILBOX: usize = 256;
/// How soon the meeting is asked again that did not answer.
const ASK_AGAIN: Duration = Duration::from_secs(2);

enum Phase {
    /// It has crashed, and rests before it asks.
    Crashed,
    /// It knows nothing yet.
    Asking,
    Up(Box<Hand>),
    /// It has crashed too often; only a change is worth another try.
    Down,
}

pub struct RoomActor {
    room: RoomId,
    term: Term,
    media: MediaServer,
    leash: Leash,
    meeting: WeakRecipient<FromRoom>,
    phase: Phase,
    /// The newest that was wanted of it.
    newest: Seq,
    intensity: Intensity,
    timer: Option<(Instant, SpawnHandle)>,
    call: Option<SpawnHandle>,
}

impl RoomActor {
    pub fn new(room: RoomId, term: Term, media: MediaServer, leash: Leash, meeting: WeakRecipient<FromRoom>) -> Self {
        let intensity = Intensity::default();
        Self {
            room,
            term,
            media,
            leash,
            meeting,
            phase: Phase::Asking,
            newest: Seq(0),
            intensity,
            timer: None,
            call: None,
        }
    }

    /// A meeting that is too busy does not hear it. What it has to know it is told again, with the next
    /// change or the next question; who is missing is a signal, and may be lost.
    fn tell(&self, word: Word) {
        if let Some(meeting) = self.meeting.upgrade() {
            let _ = meeting.try_send(FromRoom { room: self.room, term: self.term, word });
        }
    }

    fn wake(&mut self, ctx: &mut Context<Self>) {
        match self.phase {
            Phase::Crashed | Phase::Asking => self.ask(ctx),
            Phase::Up(_) => self.step(ctx),
            Phase::Down => {}
        }
    }

    fn ask(&mut self, ctx: &mut Context<Self>) {
        self.phase = Phase::Asking;
        self.tell(Word::Asks);
        self.arm(ctx, ASK_AGAIN);
    }

    fn take(&mut self, word: ToRoom, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let seq = match &word {
            ToRoom::Wanted(wanted) => Some(wanted.at_seq),
            _ => None,
        };
        if seq.is_some_and(|seq| seq < self.newest) {
            return;
        }
        let expected = match &word {
            ToRoom::Migrate(migrate) => migrate.people.values().max().copied(),
            _ => None,
        };
        match (&mut self.phase, word) {
            (Phase::Up(hand), word) => hand.take(word, now),
            (Phase::Asking, ToRoom::Wanted(wanted)) => self.phase = Phase::Up(Box::new(Hand::new(wanted, now))),
            (Phase::Down, ToRoom::Wanted(wanted)) if wanted.at_seq > self.newest => {
                self.phase = Phase::Up(Box::new(Hand::new(wanted, now)));
                // Who was on the way here stands in no word of its own.
                self.tell(Word::Asks);
            }
            // Rests, or does not know enough; the meeting says it again when it is asked.
            (Phase::Crashed | Phase::Asking | Phase::Down, _) => return,
        }
        self.newest = seq.unwrap_or(self.newest);
        if let Some(upto) = expected {
            self.tell(Word::Expects { upto });
        }
        self.step(ctx);
    }

    /// Does what is to be done now, and arms the one timer for what is to be done next.
    fn step(&mut self, ctx: &mut Context<Self>) {
        let now = Instant::now();
        let Phase::Up(hand) = &mut self.phase else { return };
        if hand.is_gone() {
            self.tell(Word::Gone);
            return ctx.stop();
        }
        let has_recorder = self.media.recorder.is_there();
        hand.pass_time(now, self.media.rooms.reports_presence());
        let news = hand.news();
        let call = if self.call.is_none() { hand.next_call(now, has_recorder) } else { None };
        let next_at = hand.next_at(now, self.call.is_some() || call.is_some(), has_recorder);
        for word in news {
            count(&word);
            self.tell(word);
        }
        if let Some(call) = call {
            self.begin(ctx, call);
        }
        if let Some(at) = next_at {
            self.arm(ctx, at.saturating_duration_since(now));
        }
    }

    fn arm(&mut self, ctx: &mut Context<Self>, wait: Duration) {
        let wait = wait.max(Duration::from_millis(1));
        let at = Instant::now().checked_add(wait);
        if self.timer.is_some_and(|(armed, _)| Some(armed) <= at) {
            return;
        }
        if let Some((_, former)) = self.timer.take() {
            ctx.cancel_future(former);
        }
        let handle = restart::later(ctx, wait, |room: &mut Self, ctx| {
            room.timer = None;
            room.wake(ctx);
        });
        self.timer = at.map(|at| (at, handle));
    }

    fn begin(&mut self, ctx: &mut Context<Self>, call: Call) {
        let (media, leash, asked) = (self.media.clone(), self.leash.clone(), call.clone());
        let calling = async move { calls::make(&media, &leash, &asked).await };
        let handle = restart::spawn(ctx, calling, |room: &mut Self, ctx, outcome| {
            room.call = None;
            room.called(ctx, call, outcome);
        });
        self.call = Some(handle);
    }

    fn called(&mut self, ctx: &mut Context<Self>, call: Call, outcome: Result<Called, MediaError>) {
        let Phase::Up(hand) = &mut self.phase else { return };
        let outcome = outcome.unwrap_or_else(|error| {
            metrics::counter!("convoke_media_failures_total").increment(1);
            let (room, said) = (self.room, "a room could not be put right; it is tried again");
            if matches!(call, Call::List { .. }) && !hand.is_recorded() {
                // A media server that cannot record says so each time.
                tracing::debug!(%room, ?call, %error, "{said}");
            } else {
                tracing::warn!(%room, ?call, %error, "{said}");
            }
            Called::Failed
        });
        hand.called(call, outcome, Instant::now());
        self.step(ctx);
    }
}

/// Somebody who comes late is counted as missing, and then as arrived.
fn count(word: &Word) {
    let (outcome, people) = match word {
        Word::Arrived(people) => ("arrived", people.len()),
        Word::Missing { late, .. } => ("missing", late.len()),
        _ => return,
    };
    let people = u64::try_from(people).unwrap_or(u64::MAX);
    metrics::counter!("convoke_migrations_total", "outcome" => outcome).increment(people);
}

impl Actor for RoomActor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(MAILBOX);
        restart::spawn(ctx, self.leash.clone().end(), |_: &mut Self, ctx, ()| ctx.stop());
    }
}

impl Restart for RoomActor {
    const NAME: &'static str = "room";

    fn crashed(&mut self, ctx: &mut Self::Context, why: String) {
        let timer = self.timer.take().map(|(_, timer)| timer);
        for handle in self.call.take().into_iter().chain(timer) {
            ctx.cancel_future(handle);
        }
        match self.intensity.crashed() {
            Verdict::RestartAfter(wait) => {
                self.phase = Phase::Crashed;
                self.arm(ctx, wait);
            }
            Verdict::GiveUp => {
                tracing::error!(room = %self.room, %why, "a room keeps crashing and is left alone until it changes");
                self.phase = Phase::Down;
            }
        }
    }
}

impl Handler<ToRoom> for RoomActor {
    type Result = ();

    fn handle(&mut self, word: ToRoom, ctx: &mut Self::Context) {
        restart::guarded(self, ctx, |room, ctx| room.take(word, ctx));
    }
}
