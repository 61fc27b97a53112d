//! What the nodes publish through: it loses, doubles and reorders, and is sometimes not there.

use crate::chance::{Chance, Outside};
use crate::link::Link;
use crate::plan::Weather;
use async_trait::async_trait;
use bytes::Bytes;
use convoke::adapters::bus::Transport;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

const PULSE: Duration = Duration::from_millis(500);
/// A shorter absence is nothing that anybody is told of.
const PATIENCE: Duration = Duration::from_secs(3);

type Inbox = mpsc::UnboundedSender<Bytes>;
/// By channel, then by the life that listens.
type Subscribers = BTreeMap<String, BTreeMap<Uuid, (Arc<Link>, Inbox)>>;

pub struct Ether {
    pub subscribers: Mutex<Subscribers>,
    pub weather: Mutex<Weather>,
    /// Away, so often at once.
    pub absences: Mutex<u32>,
    pub chance: Chance,
    pub outside: Outside,
}

impl Ether {
    fn serves(&self, link: &Link) -> bool {
        link.hears_bus() && *self.absences.lock().unwrap() == 0
    }

    fn carry(self: &Arc<Self>, link: &Arc<Link>, inbox: &Inbox, bytes: &Bytes) {
        let weather = *self.weather.lock().unwrap();
        if self.chance.is(weather.lost) {
            return;
        }
        let copies = if self.chance.is(weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.chance.is(weather.late) {
                if self.serves(link) {
                    let _ = inbox.send(bytes.clone());
                }
                continue;
            }
            let (ether, link, inbox, bytes) = (Arc::clone(self), Arc::clone(link), inbox.clone(), bytes.clone());
            self.outside.spawn(async move {
                sleep(ether.chance.pause(1, 600)).await;
                if ether.serves(&link) {
                    let _ = inbox.send(bytes);
                }
            });
        }
    }
}

/// A life's connection.
pub struct Port {
    ether: Arc<Ether>,
    link: Arc<Link>,
    me: Uuid,
    inbox: Inbox,
    queue: mpsc::UnboundedSender<(String, Bytes)>,
    answered_at: Mutex<Option<Instant>>,
    /// What is wanted, and whether it is heard.
    wanted: Mutex<BTreeMap<String, watch::Sender<bool>>>,
}

impl Port {
    pub fn new(ether: Arc<Ether>, link: Arc<Link>, me: Uuid, inbox: Inbox) -> Arc<Self> {
        let (queue, queued) = mpsc::unbounded_channel();
        let outside = ether.outside.clone();
        let (answered_at, wanted) = (Mutex::default(), Mutex::default());
        let port = Arc::new(Self { ether, link, me, inbox, queue, answered_at, wanted });
        outside.spawn(Arc::clone(&port).publish_all(queued));
        outside.spawn(Arc::clone(&port).pulse());
        port
    }

    async fn publish_all(self: Arc<Self>, mut queue: mpsc::UnboundedReceiver<(String, Bytes)>) {
        while let Some((channel, bytes)) = queue.recv().await {
            sleep(self.ether.chance.pause(0, 2)).await;
            if self.link.is_dead() {
                return;
            }
            if self.ether.serves(&self.link) {
                let subscribers = self.ether.subscribers.lock().unwrap();
                for (link, inbox) in subscribers.get(&channel).into_iter().flat_map(BTreeMap::values) {
                    self.ether.carry(link, inbox, &bytes);
                }
            }
        }
    }

    /// Sees whether anybody answers, and what is wanted and not heard yet.
    async fn pulse(self: Arc<Self>) {
        while !self.link.is_dead() {
            if self.ether.serves(&self.link) {
                *self.answered_at.lock().unwrap() = Some(Instant::now());
                self.subscribe();
            }
            sleep(PULSE).await;
        }
    }

    fn subscribe(&self) {
        for (channel, is_heard) in self.wanted.lock().unwrap().iter().filter(|(_, is_heard)| !*is_heard.borrow()) {
            let here = (Arc::clone(&self.link), self.inbox.clone());
            self.ether.subscribers.lock().unwrap().entry(channel.clone()).or_default().insert(self.me, here);
            is_heard.send_replace(true);
        }
    }
}

#[async_trait]
impl Transport for Port {
    fn listen(&self, channel: String) {
        self.wanted.lock().unwrap().entry(channel).or_insert_with(|| watch::Sender::new(false));
        if self.ether.serves(&self.link) {
            self.subscribe();
        }
    }

    fn ignore(&self, channel: String) {
        self.wanted.lock().unwrap().remove(&channel);
        if let Some(listening) = self.ether.subscribers.lock().unwrap().get_mut(&channel) {
            listening.remove(&self.me);
        }
    }

    async fn is_heard(&self, channel: &str, at_most: Duration) {
        let heard = self.wanted.lock().unwrap().get(channel).map(watch::Sender::subscribe);
        if let Some(mut heard) = heard {
            let _ = tokio::time::timeout(at_most, heard.wait_for(|is| *is)).await;
        }
    }

    fn publish(&self, channel: String, bytes: Vec<u8>) {
        let _ = self.queue.send((channel, bytes.into()));
    }

    fn is_there(&self) -> bool {
        self.answered_at.lock().unwrap().is_some_and(|at| at.elapsed() < PATIENCE)
    }
}
