//! What is to be published, on its way. It goes in lanes, each in order and each by itself: one for
//! everything, or, in a Cluster, one a channel, so that a shard that does not answer holds up nobody
//! else. What cannot be sent now is not sent later: by then it is made good from the log.

use super::link::Link;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Messages that wait to be published, and those that wait in one lane; what does not fit is lost.
const WAITING: usize = 16_384;
/// Messages that are taken in one go.
const PIPELINE: usize = 128;

type Encoded = (String, Vec<u8>);

pub struct Outbound(mpsc::Sender<Encoded>);

impl Outbound {
    pub fn start(link: Arc<Link>) -> Self {
        let (sender, queue) = mpsc::channel(WAITING);
        tokio::spawn(publish_all(link, queue));
        Self(sender)
    }

    pub fn send(&self, channel: String, bytes: Vec<u8>) {
        if self.0.try_send((channel, bytes)).is_err() {
            lost();
        }
    }
}

fn lost() {
    metrics::counter!("convoke_bus_dropped_total").increment(1);
}

async fn publish_all(link: Arc<Link>, mut queue: mpsc::Receiver<Encoded>) {
    let mut some = Vec::with_capacity(PIPELINE);
    let mut sending = FuturesUnordered::new();
    // Lanes in which something is being sent, and what has come for them since.
    let mut lanes: HashMap<String, Vec<Encoded>> = HashMap::new();
    loop {
        tokio::select! {
            taken = queue.recv_many(&mut some, PIPELINE) => {
                if taken == 0 {
                    return;
                }
                for (lane, messages) in sorted(&link, some.drain(..)) {
                    match lanes.get_mut(&lane) {
                        Some(waiting) if waiting.len() < WAITING => waiting.extend(messages),
                        Some(_) => lost(),
                        None => {
                            lanes.insert(lane.clone(), Vec::new());
                            sending.push(send(&link, lane, messages));
                        }
                    }
                }
            }
            Some(lane) = sending.next() => match lanes.get_mut(&lane).map(std::mem::take) {
                Some(waiting) if !waiting.is_empty() => sending.push(send(&link, lane, waiting)),
                _ => {
                    lanes.remove(&lane);
                }
            },
        }
    }
}

/// By lane, each in order.
fn sorted(link: &Link, messages: impl Iterator<Item = Encoded>) -> HashMap<String, Vec<Encoded>> {
    let mut lanes: HashMap<String, Vec<Encoded>> = HashMap::new();
    for (channel, bytes) in messages {
        let lane = if link.is_sharded() { channel.clone() } else { String::new() };
        lanes.entry(lane).or_default().push((channel, bytes));
    }
    lanes
}

async fn send(link: &Link, lane: String, messages: Vec<Encoded>) -> String {
    if !link.publish(messages).await {
        lost();
    }
    lane
}
