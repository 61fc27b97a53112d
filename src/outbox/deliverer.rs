//! Delivers what the outbox holds: a few rows at a time, each in its lease, again after a growing
//! wait where it failed, and at last not at all. One runs on every node.

use super::letter::{self, Letter};
use super::queue::{Counts, Fate, Leased, Queue};
use super::{Failure, INVITATION, InvitationCodes, Mail};
use convoke_actors::ports::StoreError;
use futures_util::future::join_all;
use rand::Rng;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

/// How long a stopping server waits for mail that is being sent.
const PATIENCE: Duration = Duration::from_secs(5);
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
    /// The wait after this attempt, with chance in it so that rows that failed together come apart:
    /// from half of it to all of it.
    fn wait_after(&self, attempt: i32, chance: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(31);
        let whole = self.wait.saturating_mul(1_u32 << doublings).min(self.wait_max);
        whole.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
    }
}

#[derive(Clone)]
pub struct Deliverer {
    queue: Queue,
    mail: Arc<dyn Mail>,
    codes: InvitationCodes,
    base_url: String,
    policy: Policy,
}

impl Deliverer {
    pub fn new(queue: Queue, mail: Arc<dyn Mail>, codes: InvitationCodes, base_url: String, policy: Policy) -> Self {
        Self { queue, mail, codes, base_url, policy }
    }

    /// Delivers what is due now; answers how many rows it tried.
    pub async fn pass(&self) -> Result<usize, StoreError> {
        if !self.queue.is_due().await? {
            return Ok(0);
        }
        let rows = self.queue.lease(self.policy.at_once, self.policy.lease).await?;
        for settled in join_all(rows.iter().map(|row| self.deliver(row))).await {
            settled?;
        }
        Ok(rows.len())
    }

    async fn deliver(&self, row: &Leased) -> Result<(), StoreError> {
        let outcome = match row.attempt > self.policy.attempts_max {
            // It was tried as often as it may be, and whoever tried it last did not live to say so.
            true => Err(Failure::Permanent("every attempt was cut short".to_owned())),
            false => self.attempt(row).await?,
        };
        let (fate, why) = match outcome {
            Ok(()) => (Fate::Done, None),
            Err(Failure::Temporary(why)) if row.attempt < self.policy.attempts_max => {
                (Fate::Again(self.policy.wait_after(row.attempt, rand::rng().random())), Some(why))
            }
            Err(Failure::Temporary(why) | Failure::Permanent(why)) => (Fate::Dead, Some(why)),
        };
        if !self.queue.settle(row, fate, why.as_deref()).await? {
            return Ok(());
        }
        let why = why.unwrap_or_default();
        match fate {
            Fate::Done => metrics::counter!("convoke_outbox_delivered_total").increment(1),
            Fate::Again(_) => {
                metrics::counter!("convoke_outbox_failed_total").increment(1);
                tracing::info!(row = row.row, topic = %row.topic, attempt = row.attempt, %why, "a delivery failed");
            }
            Fate::Dead => {
                metrics::counter!("convoke_outbox_given_up_total").increment(1);
                tracing::warn!(row = row.row, topic = %row.topic, attempt = row.attempt, %why, "a delivery is given up");
            }
        }
        Ok(())
    }

    async fn attempt(&self, row: &Leased) -> Result<Result<(), Failure>, StoreError> {
        if row.topic != INVITATION {
            return Ok(Err(Failure::Permanent("the topic is not known".to_owned())));
        }
        let meeting = self.queue.meeting(&row.tenant, row.meeting).await?;
        let Some((title, is_over)) = meeting else {
            return Ok(Err(Failure::Temporary("the meeting is not in the read models yet".to_owned())));
        };
        if is_over {
            // Nobody is invited to what is over; there is nothing left to deliver.
            return Ok(Ok(()));
        }
        let letter = match letter::invitation(row, &title, &self.codes, &self.base_url) {
            Ok(letter) => letter,
            Err(failure) => return Ok(Err(failure)),
        };
        Ok(self.send(&letter).await)
    }

    async fn send(&self, letter: &Letter) -> Result<(), Failure> {
        let too_long = |_| Failure::Temporary("the mail server took too long".to_owned());
        tokio::time::timeout(self.policy.delivery, self.mail.send(letter)).await.map_err(too_long)?
    }

    async fn show(&self) -> Result<(), StoreError> {
        let Counts { waiting, dead } = self.queue.counts().await?;
        let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        metrics::gauge!("convoke_outbox_waiting").set(number(waiting));
        metrics::gauge!("convoke_outbox_dead").set(number(dead));
        Ok(())
    }

    /// Delivers until it is stopped: at once what this node was told of, and every few seconds
    /// whatever there is.
    pub fn start(self, written: Arc<Notify>) -> Delivering {
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let mut look = tokio::time::interval(self.policy.look);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            let mut tidy = tokio::time::interval(TIDY);
            while !stopped.is_cancelled() {
                let round = tokio::select! {
                    () = stopped.cancelled() => return,
                    () = written.notified() => self.round(&stopped).await,
                    _ = look.tick() => self.round(&stopped).await,
                    _ = tidy.tick() => self.queue.tidy().await.map(drop),
                };
                if let Err(error) = round {
                    tracing::warn!(%error, "the outbox is out of reach");
                }
            }
        });
        Delivering { stop, task }
    }

    async fn round(&self, stopped: &CancellationToken) -> Result<(), StoreError> {
        while !stopped.is_cancelled() && self.pass().await? > 0 {}
        self.show().await
    }
}

/// A deliverer at work.
pub struct Delivering {
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Delivering {
    /// Lets what is under way end, for a while; what does not end is tried again by another node,
    /// under the same Message-ID.
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
}
