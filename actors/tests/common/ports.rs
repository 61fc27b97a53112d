//! The other ports: a clock, media, doors and a bus, with panics and losses on demand.

use actix::Recipient;
use convoke_actors::hub::{Deliver, Follow};
use convoke_actors::ports::*;
use convoke_actors::release::{Batch, Item, SocketId};
use convoke_domain::{Millis, RoomId, SessionId, TenantId, UserId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// The paused clock as wall time, with panics on demand.
pub struct FakeClock {
    pub began: tokio::time::Instant,
    pub panics: AtomicU32,
}

impl Clock for FakeClock {
    fn now(&self) -> Millis {
        let due = |left: u32| left.checked_sub(1);
        if self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            panic!("injected into the clock");
        }
        1_700_000_000_000 + u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }
    fn entropy(&self) -> u128 {
        4
    }
}

/// Credentials; a panic on demand, which strikes within the command that asks for them.
pub struct FakeMedia {
    pub panics: AtomicU32,
}

impl Media for FakeMedia {
    fn credentials(&self, _: &MediaRequest) -> String {
        let due = |left: u32| left.checked_sub(1);
        if self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            panic!("injected into the media");
        }
        r#"{"kind":"none"}"#.into()
    }
}

/// A media server in memory. It writes down what it is asked, and fails on demand.
#[derive(Default)]
pub struct FakeRooms {
    /// Every call in order, with its room: `ensure main`.
    pub calls: Mutex<Vec<String>>,
    pub there: Mutex<BTreeMap<RoomId, BTreeSet<SessionId>>>,
    pub recorded: Mutex<BTreeSet<RoomId>>,
    /// Calls about this room panic, as often as is said.
    pub cursed: Mutex<Option<(RoomId, u32)>>,
    pub is_away: AtomicBool,
    /// Nothing is answered.
    pub is_stuck: AtomicBool,
    pub reports_presence: AtomicBool,
}

impl FakeRooms {
    async fn called(&self, what: &str, room: RoomId) -> Result<(), MediaError> {
        self.calls.lock().unwrap().push(format!("{what} {room}"));
        let is_cursed = match self.cursed.lock().unwrap().as_mut() {
            Some((cursed, left)) if *cursed == room && *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        };
        assert!(!is_cursed, "injected into the media of a room");
        if self.is_stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_away.load(Ordering::SeqCst) { Err(MediaError("away".into())) } else { Ok(()) }
    }

    pub fn exists(&self, room: RoomId) -> bool {
        self.there.lock().unwrap().contains_key(&room)
    }

    pub fn people(&self, room: RoomId) -> BTreeSet<SessionId> {
        self.there.lock().unwrap().get(&room).cloned().unwrap_or_default()
    }

    /// Somebody connects, whoever wants them there.
    pub fn enter(&self, room: RoomId, session: SessionId) {
        let mut there = self.there.lock().unwrap();
        there.values_mut().for_each(|people| people.retain(|other| *other != session));
        there.entry(room).or_default().insert(session);
    }

    pub fn count(&self, what: &str, room: RoomId) -> usize {
        let call = format!("{what} {room}");
        self.calls.lock().unwrap().iter().filter(|other| **other == call).count()
    }
}

#[async_trait::async_trait]
impl MediaRooms for FakeRooms {
    async fn ensure(&self, room: &MediaRoom, is_recorded: bool) -> Result<(), MediaError> {
        self.called("ensure", room.room).await?;
        self.there.lock().unwrap().entry(room.room).or_default();
        let mut recorded = self.recorded.lock().unwrap();
        if is_recorded {
            recorded.insert(room.room)
        } else {
            recorded.remove(&room.room)
        };
        Ok(())
    }
    async fn delete(&self, room: &MediaRoom) -> Result<(), MediaError> {
        self.called("delete", room.room).await?;
        self.there.lock().unwrap().remove(&room.room);
        self.recorded.lock().unwrap().remove(&room.room);
        Ok(())
    }
    async fn present(&self, room: &MediaRoom) -> Result<Option<BTreeSet<SessionId>>, MediaError> {
        self.called("present", room.room).await?;
        Ok(Some(self.people(room.room)))
    }
    async fn remove(&self, room: &MediaRoom, session: SessionId) -> Result<(), MediaError> {
        self.called("remove", room.room).await?;
        self.there.lock().unwrap().get_mut(&room.room).map(|people| people.remove(&session));
        Ok(())
    }
    fn reports_presence(&self) -> bool {
        self.reports_presence.load(Ordering::SeqCst)
    }
}

/// Tokens are JSON here.
pub struct FakeDoors;

impl Doors for FakeDoors {
    fn admission(&self, token: &str) -> Option<Admission> {
        assert!(token != "panic", "injected into the doors");
        let token: Value = serde_json::from_str(token).ok()?;
        Some(Admission {
            key: key_of(&token["meeting"]),
            user: token["user"].as_str().map(|user| UserId(user.into())),
            name: token["user"].as_str().map(ToOwned::to_owned),
            role: serde_json::from_value(token["role"].clone()).ok()?,
        })
    }
    fn ticket(&self, token: &str) -> Option<Ticket> {
        let token: Value = serde_json::from_str(token).ok()?;
        Some(Ticket {
            key: key_of(&token["meeting"]),
            session: serde_json::from_value(token["session"].clone()).ok()?,
            participant: serde_json::from_value(token["participant"].clone()).ok()?,
        })
    }
    fn resume_token(&self, ticket: &Ticket) -> String {
        json!({ "meeting": ticket.key.meeting, "session": ticket.session, "participant": ticket.participant })
            .to_string()
    }
}

fn key_of(meeting: &Value) -> MeetingKey {
    MeetingKey { tenant: TenantId("t".into()), meeting: serde_json::from_value(meeting.clone()).unwrap() }
}

#[derive(Default)]
pub struct FakeBus {
    hubs: Mutex<Vec<Recipient<Deliver>>>,
    overrun: Mutex<Vec<Arc<AtomicBool>>>,
    /// Batches to be lost.
    pub loses: AtomicU32,
    /// The sockets that were given places, the latest last.
    pub placed: Mutex<Vec<SocketId>>,
}

impl FakeBus {
    /// What follows the meetings is told that it was given too much at once.
    pub fn overrun_next(&self) {
        for flag in self.overrun.lock().unwrap().iter() {
            flag.store(true, Ordering::SeqCst);
        }
    }
}

impl Bus for FakeBus {
    fn publish(&self, batch: Arc<Batch>) {
        let due = |left: u32| left.checked_sub(1);
        if self.loses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            return;
        }
        let placed = batch.items.iter().filter_map(|item| match item {
            Item::Place { socket, .. } => Some(*socket),
            _ => None,
        });
        self.placed.lock().unwrap().extend(placed);
        for hub in self.hubs.lock().unwrap().iter() {
            hub.try_send(Deliver(Arc::clone(&batch))).unwrap();
        }
    }
}

impl Follow for FakeBus {
    fn follow(&self, _: &MeetingKey, _: u64, to: Recipient<Deliver>, overrun: Arc<AtomicBool>) {
        let mut hubs = self.hubs.lock().unwrap();
        if hubs.is_empty() {
            hubs.push(to);
            self.overrun.lock().unwrap().push(overrun);
        }
    }
    fn unfollow(&self, _: &MeetingKey, _: u64) {}
}
