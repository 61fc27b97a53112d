//! Hands on what waits: looks up which meetings there are, and tells whoever serves them, some at a time.
//! One that cannot be told now is told again, a few times, with growing waits; so one that is being taken
//! over holds up nobody else, and one that stays away is forgotten.

use super::Dropped;
use super::pending::{Errand, Pending};
use async_trait::async_trait;
use convoke_actors::ports::{MediaNews, MeetingKey};
use convoke_domain::MeetingId;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Meetings that are looked up at once, and that may be under way.
const OUT_MAX: usize = 256;
/// Meetings that are told at once.
pub const AT_ONCE: usize = 16;
/// How long one of them may take to say that it has heard.
pub const TELL: Duration = Duration::from_secs(3);
/// How often it is tried.
pub const TRIES_MAX: u32 = 5;
const WAIT_FIRST: Duration = Duration::from_millis(250);
const WAIT_MAX: Duration = Duration::from_secs(4);

/// What came of telling a meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Told,
    Dropped(Dropped),
    /// It may be told later.
    Later,
}

/// The way to whoever serves a meeting.
#[async_trait]
pub trait Owners: Send + Sync + 'static {
    /// Which of these there are, and whose. None: it cannot be said now.
    async fn known(&self, meetings: &[MeetingId]) -> Option<HashMap<MeetingId, MeetingKey>>;
    async fn tell(&self, key: &MeetingKey, news: &MediaNews) -> Outcome;
}

fn wait_after(tries: u32) -> Duration {
    WAIT_FIRST.saturating_mul(2_u32.saturating_pow(tries)).min(WAIT_MAX)
}

/// Never ends by itself.
pub async fn deliver(pending: &Pending, owners: &dyn Owners) {
    let slots = Semaphore::new(AT_ONCE);
    let mut under_way = FuturesUnordered::new();
    loop {
        let free = OUT_MAX.saturating_sub(under_way.len());
        tokio::select! {
            errands = pending.due(free), if free > 0 => {
                let meetings: Vec<MeetingId> = errands.iter().map(|errand| errand.meeting).collect();
                let known = tokio::time::timeout(TELL, owners.known(&meetings)).await.unwrap_or(None);
                for errand in errands {
                    let Some(known) = &known else {
                        settle(pending, errand, Outcome::Later);
                        continue;
                    };
                    match known.get(&errand.meeting) {
                        Some(key) => under_way.push(tell(pending, owners, &slots, key.clone(), errand)),
                        None => settle(pending, errand, Outcome::Dropped(Dropped::Unknown)),
                    }
                }
            }
            Some(()) = under_way.next(), if !under_way.is_empty() => {}
        }
    }
}

async fn tell(pending: &Pending, owners: &dyn Owners, slots: &Semaphore, key: MeetingKey, errand: Errand) {
    let slot = slots.acquire().await;
    let told = tokio::time::timeout(TELL, owners.tell(&key, &errand.news)).await;
    drop(slot);
    settle(pending, errand, told.unwrap_or(Outcome::Later));
}

fn settle(pending: &Pending, errand: Errand, outcome: Outcome) {
    let now = Instant::now();
    match outcome {
        Outcome::Told => {
            metrics::counter!("convoke_livekit_webhooks_delivered_total").increment(1);
            pending.done(errand.meeting, now);
        }
        Outcome::Later if errand.tries.saturating_add(1) < TRIES_MAX => {
            let wait = wait_after(errand.tries);
            pending.again(errand, now, wait);
        }
        Outcome::Later => {
            tracing::warn!(meeting = %errand.meeting, "a meeting could not be told what LiveKit says");
            Dropped::Unreachable.count();
            pending.done(errand.meeting, now);
        }
        Outcome::Dropped(why) => {
            why.count();
            pending.done(errand.meeting, now);
        }
    }
}

#[cfg(test)]
mod tests;
