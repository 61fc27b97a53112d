//! The channels that this node is to hear, and that it hears them. Wishes are only noted; one task
//! makes them true, all channels beside each other and each by itself in order, so that a shard that
//! is away keeps nobody else waiting. Every new connection is told all of them again.

use super::link::{Link, PULSE};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// In a Cluster subscriptions can go without a word: when two ways to a master that comes back, or takes
/// a slot, are opened at once, the one with the subscription may be the one that is given up.
const RENEWAL: Duration = Duration::from_secs(10);
/// How long one change may take, redirections in a Cluster included.
const CHANGE: Duration = Duration::from_secs(2);

pub struct Subscriptions {
    /// What is wanted, and whether it was ever subscribed to since.
    wanted: Mutex<HashMap<String, watch::Sender<bool>>>,
    /// Channels to be looked at.
    orders: mpsc::UnboundedSender<String>,
}

impl Subscriptions {
    pub fn start(link: Arc<Link>) -> Arc<Self> {
        let (orders, ordered) = mpsc::unbounded_channel();
        let subscriptions = Arc::new(Self { wanted: Mutex::default(), orders });
        tokio::spawn(Arc::clone(&subscriptions).run(link, ordered));
        subscriptions
    }

    fn wanted(&self) -> MutexGuard<'_, HashMap<String, watch::Sender<bool>>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn want(&self, channel: String) {
        self.wanted().entry(channel.clone()).or_insert_with(|| watch::Sender::new(false));
        let _ = self.orders.send(channel);
    }

    pub fn unwant(&self, channel: String) {
        self.wanted().remove(&channel);
        let _ = self.orders.send(channel);
    }

    /// Redis says that a channel is heard no longer: at this node's wish, or because its shard moved.
    pub fn ended(&self, channel: String) {
        if self.wanted().contains_key(&channel) {
            let _ = self.orders.send(channel);
        }
    }

    /// Subscribes to everything again: harmless where it was not lost.
    pub fn renew(&self) {
        for channel in self.wanted().keys() {
            let _ = self.orders.send(channel.clone());
        }
    }

    /// Waits until a channel is heard, or not so long.
    pub async fn is_heard(&self, channel: &str, at_most: Duration) {
        let subscribed = self.wanted().get(channel).map(watch::Sender::subscribe);
        if let Some(mut subscribed) = subscribed {
            let _ = tokio::time::timeout(at_most, subscribed.wait_for(|is| *is)).await;
        }
    }

    async fn run(self: Arc<Self>, link: Arc<Link>, mut orders: mpsc::UnboundedReceiver<String>) {
        let mut arrivals = link.arrivals();
        let mut renewal = tokio::time::interval(RENEWAL);
        renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut attempts = FuturesUnordered::new();
        // Channels that are being seen to, and whether they were ordered again meanwhile.
        let mut at_work: HashMap<String, bool> = HashMap::new();
        loop {
            tokio::select! {
                Some(channel) = orders.recv() => match at_work.get_mut(&channel) {
                    Some(is_ordered_again) => *is_ordered_again = true,
                    None => {
                        at_work.insert(channel.clone(), false);
                        attempts.push(self.attempt(&link, channel, Duration::ZERO));
                    }
                },
                Ok(()) = arrivals.changed() => self.renew(),
                _ = renewal.tick(), if link.is_sharded() => self.renew(),
                Some((channel, is_done)) = attempts.next() => match (at_work.get_mut(&channel), is_done) {
                    (Some(is_ordered_again), false) => {
                        *is_ordered_again = false;
                        attempts.push(self.attempt(&link, channel, PULSE));
                    }
                    (Some(is_ordered_again @ true), true) => {
                        *is_ordered_again = false;
                        attempts.push(self.attempt(&link, channel, Duration::ZERO));
                    }
                    _ => {
                        at_work.remove(&channel);
                    }
                },
            }
        }
    }

    /// Makes a channel what it is to be now; false where that is to be tried again. Without a
    /// connection there is nothing to do: the next one is told everything.
    async fn attempt(&self, link: &Link, channel: String, after: Duration) -> (String, bool) {
        if !after.is_zero() {
            tokio::time::sleep(after).await;
        }
        let Some(mut connection) = link.connection() else { return (channel, true) };
        let is_wanted = self.wanted().contains_key(&channel);
        let change = async {
            match is_wanted {
                true => connection.subscribe(&channel).await,
                false => connection.unsubscribe(&channel).await,
            }
        };
        let is_done = match tokio::time::timeout(CHANGE, change).await {
            Ok(Ok(())) => true,
            told => {
                let kind = told.ok().and_then(Result::err).map(|error| error.kind());
                tracing::debug!(?kind, is_wanted, "a subscription could not be changed");
                false
            }
        };
        if let Some(is_subscribed) = self.wanted().get(&channel).filter(|_| is_wanted && is_done) {
            is_subscribed.send_replace(true);
        }
        (channel, is_done)
    }
}
