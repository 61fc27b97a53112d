//! What the nodes publish through: it loses, doubles and reorders, and is sometimes not there.

use crate::chance::{Chance, Outside};
use crate::link::Link;
use crate::plan::Weather;
use async_trait::async_trait;
use bytes::Bytes;
use convoke::adapters::bus::{OutOfReach, Transport};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use uuid::Uuid;

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
    fn is_away(&self) -> bool {
        *self.absences.lock().unwrap() > 0
    }

    fn carry(self: &Arc<Self>, link: &Arc<Link>, inbox: &Inbox, bytes: &Bytes) {
        let weather = *self.weather.lock().unwrap();
        let copies = match () {
            () if self.chance.is(weather.lost) => 0,
            () if self.chance.is(weather.doubled) => 2,
            () => 1,
        };
        for _ in 0..copies {
            // What is on time keeps its order.
            let is_late = self.chance.is(weather.late);
            let delay = if is_late { self.chance.pause(1, 600) } else { std::time::Duration::from_millis(1) };
            let (ether, link, inbox, bytes) = (Arc::clone(self), Arc::clone(link), inbox.clone(), bytes.clone());
            self.outside.spawn(async move {
                tokio::time::sleep(delay).await;
                if link.hears_bus() && !ether.is_away() {
                    let _ = inbox.send(bytes);
                }
            });
        }
    }
}

/// A life's connection.
pub struct Port {
    pub ether: Arc<Ether>,
    pub link: Arc<Link>,
    pub me: Uuid,
    pub inbox: Inbox,
}

impl Port {
    async fn reach(&self) -> Result<(), OutOfReach> {
        tokio::time::sleep(self.ether.chance.pause(0, 2)).await;
        if self.link.hears_bus() && !self.ether.is_away() { Ok(()) } else { Err(OutOfReach("away".into())) }
    }
}

#[async_trait]
impl Transport for Port {
    async fn subscribe(&self, channel: &str) -> Result<(), OutOfReach> {
        self.reach().await?;
        let mut subscribers = self.ether.subscribers.lock().unwrap();
        let here = (Arc::clone(&self.link), self.inbox.clone());
        subscribers.entry(channel.to_owned()).or_default().insert(self.me, here);
        Ok(())
    }

    async fn unsubscribe(&self, channel: &str) -> Result<(), OutOfReach> {
        self.reach().await?;
        if let Some(listening) = self.ether.subscribers.lock().unwrap().get_mut(channel) {
            listening.remove(&self.me);
        }
        Ok(())
    }

    async fn publish(&self, messages: Vec<(String, Vec<u8>)>) -> Result<(), OutOfReach> {
        self.reach().await?;
        let subscribers = self.ether.subscribers.lock().unwrap();
        for (channel, bytes) in messages {
            let bytes = Bytes::from(bytes);
            for (link, inbox) in subscribers.get(&channel).into_iter().flat_map(BTreeMap::values) {
                self.ether.carry(link, inbox, &bytes);
            }
        }
        Ok(())
    }

    async fn ping(&self) -> Result<(), OutOfReach> {
        self.reach().await
    }
}
