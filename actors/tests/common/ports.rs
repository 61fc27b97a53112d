//! The other ports: a clock, media, doors and a bus, with panics and losses on demand.

use actix::Recipient;
use convoke_actors::hub::{Deliver, Follow};
use convoke_actors::ports::*;
use convoke_actors::release::Batch;
use convoke_domain::{Millis, TenantId, UserId};
use serde_json::{Value, json};
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
    fn entropy(&self) -> u64 {
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
