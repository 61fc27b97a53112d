//! Restart, once for all actors. actix closes the address of an actor that panics, and its own
//! supervisor keeps the broken state; so every message, timer and future enters through a guard
//! here. A panic reaches [`Restart::crashed`], where the actor throws its state away and is made
//! again from the log, more slowly each time; too often, and it gives up.

use actix::fut::wrap_future;
use actix::{Actor, ActorFutureExt, AsyncContext, SpawnHandle};
use futures_util::FutureExt;
use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::time::Instant;

/// Restarts allowed within [`WINDOW`] before an actor gives up.
pub const RESTARTS_MAX: usize = 5;
pub const WINDOW: Duration = Duration::from_secs(60);
const BACKOFF_FIRST: Duration = Duration::from_millis(20);

pub trait Restart: Actor {
    /// The name under which crashes are counted.
    const NAME: &'static str;
    /// The state cannot be trusted any more: discard it and begin again, or stop.
    fn crashed(&mut self, ctx: &mut Self::Context, why: String);
}

/// Runs one entry of an actor. None if it panicked; the actor has been told by then.
pub fn guarded<A: Restart, R>(
    actor: &mut A,
    ctx: &mut A::Context,
    entry: impl FnOnce(&mut A, &mut A::Context) -> R,
) -> Option<R> {
    // The state behind a panic is discarded, so it does not matter what shape it was left in.
    match catch_unwind(AssertUnwindSafe(|| entry(actor, ctx))) {
        Ok(value) => Some(value),
        Err(panic) => {
            report(actor, ctx, panic);
            None
        }
    }
}

fn report<A: Restart>(actor: &mut A, ctx: &mut A::Context, panic: Box<dyn Any + Send>) {
    let why = describe(&panic);
    metrics::counter!("convoke_actor_crashes_total", "actor" => A::NAME).increment(1);
    tracing::error!(actor = A::NAME, %why, "an actor crashed");
    actor.crashed(ctx, why);
}

fn describe(panic: &Box<dyn Any + Send>) -> String {
    if let Some(text) = panic.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text.clone()
    } else {
        "a panic without a message".to_owned()
    }
}

/// A timer whose firing is guarded.
pub fn later<A>(
    ctx: &mut A::Context,
    after: Duration,
    entry: impl FnOnce(&mut A, &mut A::Context) + 'static,
) -> SpawnHandle
where
    A: Restart,
    A::Context: AsyncContext<A>,
{
    ctx.run_later(after, move |actor, ctx| {
        guarded(actor, ctx, entry);
    })
}

/// A future whose polling and whose outcome are both guarded.
pub fn spawn<A, F>(
    ctx: &mut A::Context,
    future: F,
    then: impl FnOnce(&mut A, &mut A::Context, F::Output) + 'static,
) -> SpawnHandle
where
    A: Restart,
    A::Context: AsyncContext<A>,
    F: Future + 'static,
{
    let caught = AssertUnwindSafe(future).catch_unwind();
    ctx.spawn(wrap_future::<_, A>(caught).map(move |outcome, actor, ctx| match outcome {
        Ok(value) => {
            guarded(actor, ctx, |actor, ctx| then(actor, ctx, value));
        }
        Err(panic) => report(actor, ctx, panic),
    }))
}

/// As [`spawn`], and the actor takes nothing else until it is done.
pub fn wait<A, F>(ctx: &mut A::Context, future: F, then: impl FnOnce(&mut A, &mut A::Context, F::Output) + 'static)
where
    A: Restart,
    A::Context: AsyncContext<A>,
    F: Future + 'static,
{
    let caught = AssertUnwindSafe(future).catch_unwind();
    ctx.wait(wrap_future::<_, A>(caught).map(move |outcome, actor, ctx| match outcome {
        Ok(value) => {
            guarded(actor, ctx, |actor, ctx| then(actor, ctx, value));
        }
        Err(panic) => report(actor, ctx, panic),
    }));
}

/// How often an actor has crashed of late.
#[derive(Debug, Default)]
pub struct Intensity {
    crashes: VecDeque<Instant>,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    RestartAfter(Duration),
    GiveUp,
}

impl Intensity {
    pub fn crashed(&mut self) -> Verdict {
        let now = Instant::now();
        while self.crashes.front().is_some_and(|at| now.duration_since(*at) > WINDOW) {
            self.crashes.pop_front();
        }
        self.crashes.push_back(now);
        if self.crashes.len() > RESTARTS_MAX {
            return Verdict::GiveUp;
        }
        let doublings = u32::try_from(self.crashes.len()).unwrap_or(u32::MAX).saturating_sub(1);
        Verdict::RestartAfter(BACKOFF_FIRST.saturating_mul(2_u32.saturating_pow(doublings)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn restarts_slow_down_and_end() {
        let mut intensity = Intensity::default();
        let waits: Vec<Verdict> = (0..5).map(|_| intensity.crashed()).collect();
        let expected = [20, 40, 80, 160, 320].map(|ms| Verdict::RestartAfter(Duration::from_millis(ms)));
        assert_eq!(waits, expected);
        assert_eq!(intensity.crashed(), Verdict::GiveUp);
        tokio::time::advance(WINDOW * 2).await;
        assert_eq!(intensity.crashed(), Verdict::RestartAfter(BACKOFF_FIRST));
    }
}
