//! Delivers what the outbox holds: a few rows at a time, each in its lease, again after a growing
//! wait where it failed, and at last not at all. One runs on every node.

use super::Failure;
use super::queue::{Counts, Fate, Lane, Leased, Queue};
use async_trait::async_trait;
use convoke_actors::ports::StoreError;
use futures_util::future::join_all;
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long a stopping server waits for what is being sent.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often what waits is counted for the figures; there may be very much of it.
const SHOW: Duration = Duration::from_secs(15);
/// How often what is over is forgotten.
const TIDY: Duration = Duration::from_secs(3_600);

/// How much is tried, and how often.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Rows that one node delivers at a time.
    pub at_once: u32,
    /// How long a row is kept from other nodes; longer than a delivery may take.
    pub lease: Duration,
    pub delivery: Duration,
    pub attempts_max: i32,
    /// The wait after the first failure; doubled after each further one, up to `wait_max`.
    pub wait: Duration,
    pub wait_max: Duration,
    /// How often rows are looked for that this node was not told of.
    pub look: Duration,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            at_once: 8,
            lease: Duration::from_secs(180),
            delivery: Duration::from_secs(60),
            attempts_max: 10,
            wait: Duration::from_secs(30),
            wait_max: Duration::from_secs(3_600),
            look: Duration::from_secs(5),
        }
    }
}

impl Policy {
    /// Over about a day, from seconds to hours between two attempts.
    pub fn of_webhooks(attempts_max: i32, wait: Duration) -> Self {
        Self {
            at_once: 128,
            lease: Duration::from_secs(30),
            delivery: crate::webhooks::ANSWER,
            attempts_max,
            wait,
            wait_max: Duration::from_secs(8 * 3_600),
            look: Duration::from_secs(2),
        }
    }

    /// The wait after this attempt, with chance in it so that rows that failed together come apart:
    /// from half of it to all of it.
    fn wait_after(&self, attempt: i32, chance: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(31);
        let whole = self.wait.saturating_mul(1_u32 << doublings).min(self.wait_max);
        whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

/// What became of one attempt, and what was answered, where that is a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    pub outcome: Result<(), Failure>,
    pub status: Option<u16>,
}

/// Knows how to deliver the rows of one lane.
#[async_trait]
pub trait Handler: Send + Sync + 'static {
    /// One attempt, which takes no longer than the row's lease.
    async fn attempt(&self, row: &Leased) -> Result<Attempt, StoreError>;
}

/// What a lane's figures are called.
struct Figures {
    delivered: &'static str,
    failed: &'static str,
    given_up: &'static str,
    waiting: &'static str,
    dead: Option<&'static str>,
}

const MAIL: Figures = Figures {
    delivered: "convoke_outbox_delivered_total",
    failed: "convoke_outbox_failed_total",
    given_up: "convoke_outbox_given_up_total",
    waiting: "convoke_outbox_waiting",
    dead: Some("convoke_outbox_dead"),
};
const WEBHOOKS: Figures = Figures {
    delivered: "convoke_webhooks_delivered_total",
    failed: "convoke_webhooks_failed_total",
    given_up: "convoke_webhooks_given_up_total",
    waiting: "convoke_webhooks_waiting",
    dead: None,
};

#[derive(Clone)]
pub struct Deliverer {
    queue: Queue,
    handler: Arc<dyn Handler>,
    policy: Policy,
}

impl Deliverer {
    pub fn new(queue: Queue, handler: Arc<dyn Handler>, policy: Policy) -> Self {
        Self { queue, handler, policy }
    }

    fn figures(&self) -> Figures {
        match self.queue.lane() {
            Lane::Mail => MAIL,
            Lane::Webhooks => WEBHOOKS,
        }
    }

    /// Delivers what is due now, and waits for all of it; answers how many rows it tried.
    pub async fn pass(&self) -> Result<usize, StoreError> {
        let rows = self.due(self.policy.at_once).await?;
        let count = rows.len();
        for settled in join_all(rows.into_iter().map(|row| self.deliver(row))).await {
            settled?;
        }
        Ok(count)
    }

    async fn due(&self, most: u32) -> Result<Vec<Leased>, StoreError> {
        if most == 0 || !self.queue.is_due().await? {
            return Ok(Vec::new());
        }
        self.queue.lease(most, self.policy.lease).await
    }

    async fn deliver(&self, row: Leased) -> Result<(), StoreError> {
        let Attempt { outcome, status } = match row.attempt > self.policy.attempts_max {
            // It was tried as often as it may be, and whoever tried it last did not live to say so.
            true => Err(Failure::Permanent("every attempt was cut short".to_owned())).into(),
            false => self.handler.attempt(&row).await?,
        };
        let (fate, why) = match outcome {
            Ok(()) => (Fate::Done, None),
            Err(Failure::Temporary(why)) if row.attempt < self.policy.attempts_max => {
                (Fate::Again(self.policy.wait_after(row.attempt, rand::rng().random())), Some(why))
            }
            Err(Failure::Temporary(why) | Failure::Permanent(why)) => (Fate::Dead, Some(why)),
        };
        if !self.queue.settle(&row, fate, why.as_deref(), status).await? {
            return Ok(());
        }
        let (why, figures) = (why.unwrap_or_default(), self.figures());
        match fate {
            Fate::Done => metrics::counter!(figures.delivered).increment(1),
            Fate::Again(_) => {
                metrics::counter!(figures.failed).increment(1);
                tracing::info!(row = row.row, topic = %row.topic, attempt = row.attempt, %why, "a delivery failed");
            }
            Fate::Dead => {
                metrics::counter!(figures.given_up).increment(1);
                tracing::warn!(row = row.row, topic = %row.topic, attempt = row.attempt, %why, "a delivery is given up");
            }
        }
        Ok(())
    }

    async fn show(&self) -> Result<(), StoreError> {
        let Counts { waiting, dead } = self.queue.counts().await?;
        let (figures, number) = (self.figures(), |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX)));
        metrics::gauge!(figures.waiting).set(number(waiting));
        if let Some(name) = figures.dead {
            metrics::gauge!(name).set(number(dead));
        }
        Ok(())
    }

    /// Delivers until it is stopped: at once what this node was told of, and every few seconds
    /// whatever there is. As soon as one delivery ends there is room for another: none waits for the
    /// slowest of those that it began with.
    pub fn start(self, written: Arc<Notify>) -> Delivering {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move { self.run(&stopped, &written).await });
        Delivering { stop, task }
    }

    async fn run(&self, stopped: &CancellationToken, written: &Notify) {
        let mut look = tokio::time::interval(self.policy.look);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut show = tokio::time::interval(SHOW);
        show.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut tidy = tokio::time::interval(TIDY);
        // Tasks of their own: one that holds a connection must go on while this loop waits for one.
        let mut under_way = JoinSet::new();
        while !stopped.is_cancelled() {
            let mut done = tokio::select! {
                () = stopped.cancelled() => break,
                Some(settled) = under_way.join_next() => settled.unwrap_or(Ok(())),
                () = written.notified() => Ok(()),
                _ = look.tick() => Ok(()),
                _ = show.tick() => self.show().await,
                _ = tidy.tick() => self.queue.tidy().await.map(drop),
            };
            // Others may have ended meanwhile: all their places are filled by one question.
            while let Some(settled) = under_way.try_join_next() {
                done = done.and(settled.unwrap_or(Ok(())));
            }
            let room = usize::try_from(self.policy.at_once).unwrap_or(usize::MAX).saturating_sub(under_way.len());
            let due = match done {
                Ok(()) => self.due(u32::try_from(room).unwrap_or(u32::MAX)).await,
                Err(error) => Err(error),
            };
            match due {
                Ok(rows) => rows.into_iter().for_each(|row| {
                    let this = self.clone();
                    under_way.spawn(async move { this.deliver(row).await });
                }),
                Err(error) => tracing::warn!(%error, "the outbox is out of reach"),
            }
        }
        while under_way.join_next().await.is_some() {}
    }
}

impl From<Result<(), Failure>> for Attempt {
    fn from(outcome: Result<(), Failure>) -> Self {
        Self { outcome, status: None }
    }
}

/// A deliverer at work.
pub struct Delivering {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Delivering {
    /// Lets what is under way end, for a while; what does not end is tried again by another node,
    /// under the same id.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(PATIENCE, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_end_and_differ_by_chance() {
        let policy = Policy::default();
        let seconds = |attempt, chance| policy.wait_after(attempt, chance).as_secs();
        assert_eq!([1, 2, 3, 8, 9, 1_000].map(|attempt| seconds(attempt, 1.0)), [30, 60, 120, 3_600, 3_600, 3_600]);
        assert_eq!((seconds(1, 0.0), seconds(9, 0.0)), (15, 1_800));
        assert!(policy.delivery < policy.lease, "a row is not given to another node while it is delivered");
    }

    #[test]
    fn a_webhook_is_tried_for_about_a_day() {
        let policy = Policy::of_webhooks(16, Duration::from_millis(5_000));
        let whole = |chance| (1..policy.attempts_max).map(|n| policy.wait_after(n, chance)).sum::<Duration>();
        let hours = |chance| whole(chance).as_secs() / 3_600;
        assert_eq!((hours(0.0), hours(0.5), hours(1.0)), (13, 20, 27));
        assert!(policy.delivery < policy.lease);
    }
}
