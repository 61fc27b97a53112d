//! A node in memory: fake ports around the real actors, on tokio's paused clock. The fakes fail on
//! demand. `Socket` is a client's end: what it is given can be awaited.

#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use actix::{Actor, Addr, Recipient};
use async_trait::async_trait;
use bytestring::ByteString;
use convoke_actors::hub::{Deliver, Follow, Hub, HubHandle};
use convoke_actors::journal::Journal;
use convoke_actors::node::Node;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::*;
use convoke_actors::release::Batch;
use convoke_actors::session::{Hangup, Incoming, Pace, SessionActor};
use convoke_actors::supervisor::{Env, Life, Meetings, Timing};
use convoke_domain::command::Create;
use convoke_domain::event::Cause;
use convoke_domain::shapes::{Role, Settings};
use convoke_domain::{Limits, MeetingId, Millis, Seq, SessionId, TenantId, Term, UserId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// How the next commits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Nothing is written.
    Away,
    /// Written, and then the connection is lost.
    Unknown,
    Panic,
    /// Commits wait until it is fine.
    Stalled,
}

#[derive(Default)]
struct Meeting {
    term: u64,
    owner: Option<NodeLife>,
    events: Vec<EventRow>,
    snapshot: Option<Snapshot>,
    failed: Option<String>,
}

pub struct FakeStore {
    meetings: Mutex<BTreeMap<MeetingKey, Meeting>>,
    deaths: Mutex<BTreeMap<(MeetingKey, Cause), u32>>,
    weather: Mutex<Vec<Weather>>,
    cleared: tokio::sync::Notify,
}

impl FakeStore {
    /// The weather of the next commits, one each; fine again afterwards.
    pub fn forecast(&self, weather: &[Weather]) {
        *self.weather.lock().unwrap() = weather.to_vec();
        self.cleared.notify_waiters();
    }

    async fn next(&self) -> Weather {
        loop {
            let cleared = self.cleared.notified();
            {
                let mut weather = self.weather.lock().unwrap();
                match weather.first().copied() {
                    None => return Weather::Fine,
                    Some(Weather::Stalled) => {}
                    Some(other) => {
                        weather.remove(0);
                        return other;
                    }
                }
            }
            cleared.await;
        }
    }

    fn is_away(&self) -> bool {
        self.weather.lock().unwrap().first() == Some(&Weather::Away)
    }

    pub fn texts(&self, key: &MeetingKey) -> Vec<String> {
        let meetings = self.meetings.lock().unwrap();
        let posted = meetings[key].events.iter().filter(|row| row.kind == "chat.posted");
        posted
            .map(|row| {
                serde_json::from_str::<Value>(&row.data).unwrap()["message"]["text"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// Somebody else takes the meeting, whoever has it.
    pub fn steal(&self, key: &MeetingKey) {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        meeting.term += 1;
        meeting.owner = Some(NodeLife { node: "thief".into(), epoch: 1 });
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("away".into())
}

#[async_trait]
impl Store for FakeStore {
    async fn now(&self) -> Result<Millis, StoreError> {
        Ok(0)
    }
    async fn boot(&self, node: &str, _: Duration) -> Result<NodeLife, StoreError> {
        Ok(NodeLife { node: node.into(), epoch: 1 })
    }
    async fn renew(&self, _: &NodeLife, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn retire(&self, _: &NodeLife) -> Result<(), StoreError> {
        Ok(())
    }
    async fn create(&self, key: &MeetingKey, first: &EventRow, _: Option<Millis>) -> Result<bool, StoreError> {
        let mut meetings = self.meetings.lock().unwrap();
        if meetings.contains_key(key) {
            return Ok(false);
        }
        meetings.insert(key.clone(), Meeting { events: vec![first.clone()], ..Meeting::default() });
        Ok(true)
    }
    async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError> {
        if self.is_away() {
            return Err(away());
        }
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).ok_or(StoreError::NotFound)?;
        if let Some(owner) = meeting.owner.clone().filter(|owner| owner.node != life.node) {
            return Err(StoreError::Owned(owner));
        }
        let was_owned = meeting.owner.replace(life.clone()).is_some();
        meeting.term += 1;
        let seq = meeting.events.last().unwrap().seq;
        Ok(Taken { term: Term(meeting.term), seq, was_owned, failed: meeting.failed.clone() })
    }
    async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        if meeting.term != term.0 {
            return Err(StoreError::Fenced);
        }
        meeting.owner = None;
        Ok(())
    }
    async fn commit(&self, commits: &[Commit]) -> Result<(), StoreError> {
        let weather = self.next().await;
        match weather {
            Weather::Away => return Err(away()),
            Weather::Panic => panic!("injected into the store"),
            _ => {}
        }
        let mut meetings = self.meetings.lock().unwrap();
        let holds = |commit: &Commit| {
            let meeting = &meetings[&commit.key];
            meeting.term == commit.term.0 && meeting.events.last().unwrap().seq == commit.after
        };
        if !commits.iter().all(holds) {
            return Err(StoreError::Fenced);
        }
        for commit in commits {
            meetings.get_mut(&commit.key).unwrap().events.extend(commit.events.iter().cloned());
        }
        if weather == Weather::Unknown { Err(away()) } else { Ok(()) }
    }
    async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError> {
        let meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get(key).ok_or(StoreError::NotFound)?;
        Ok(Head {
            key: key.clone(),
            owner: meeting.owner.clone(),
            term: Term(meeting.term),
            seq: meeting.events.last().unwrap().seq,
            wake_at: None,
            failed: meeting.failed.clone(),
        })
    }
    async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let meetings = self.meetings.lock().unwrap();
        let rows = meetings[key].events.iter().filter(|row| row.seq > after);
        Ok(rows.take(usize::try_from(limit).unwrap()).cloned().collect())
    }
    async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.meetings.lock().unwrap()[key].snapshot.clone())
    }
    async fn save_snapshot(&self, key: &MeetingKey, _: Term, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.meetings.lock().unwrap().get_mut(key).unwrap().snapshot = Some(snapshot.clone());
        Ok(())
    }
    async fn overwrite(&self, _: &MeetingKey, _: &[EventRow], _: Seq) -> Result<(), StoreError> {
        Ok(())
    }
    async fn due(&self, _: Millis, _: u32) -> Result<Vec<MeetingKey>, StoreError> {
        Ok(Vec::new())
    }
    async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError> {
        let mut deaths = self.deaths.lock().unwrap();
        let count = deaths.entry((key.clone(), cause)).or_default();
        *count += 1;
        Ok(*count)
    }
    async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError> {
        let deaths = self.deaths.lock().unwrap();
        Ok(deaths.iter().filter(|((other, _), _)| other == key).map(|((_, cause), n)| (*cause, *n)).collect())
    }
    async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError> {
        self.meetings.lock().unwrap().get_mut(key).unwrap().failed = reason.map(ToOwned::to_owned);
        Ok(())
    }
}

/// The paused clock as wall time, with panics on demand.
pub struct FakeClock {
    began: tokio::time::Instant,
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

pub struct World {
    pub store: Arc<FakeStore>,
    pub clock: Arc<FakeClock>,
    pub media: Arc<FakeMedia>,
    pub bus: Arc<FakeBus>,
    pub meetings: Meetings,
    pub node: Node,
    hub: HubHandle,
    pub key: MeetingKey,
}

/// Runs a test on the thread's own actor runtime, its clock paused.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let world = World::new().await;
        test(world).await;
    });
}

impl World {
    async fn new() -> Self {
        let store = Arc::new(FakeStore {
            meetings: Mutex::default(),
            deaths: Mutex::default(),
            weather: Mutex::default(),
            cleared: tokio::sync::Notify::new(),
        });
        let clock = Arc::new(FakeClock { began: tokio::time::Instant::now(), panics: AtomicU32::new(0) });
        let media = Arc::new(FakeMedia { panics: AtomicU32::new(0) });
        let bus = Arc::new(FakeBus::default());
        let env = Env {
            store: store.clone(),
            journal: Journal::new(store.clone()).start(),
            bus: bus.clone(),
            clock: clock.clone(),
            doors: Arc::new(FakeDoors),
            media: media.clone(),
            limits: Arc::new(Limits::default()),
            life: Life::new(NodeLife { node: "n".into(), epoch: 1 }),
            timing: Timing::default(),
        };
        let meetings = Meetings::new(env, &[]);
        let (_, hub) = Hub::start_here(0, bus.clone(), clock.clone(), Duration::from_secs(10));
        let node = Node::new(meetings.clone());
        let key = MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::now_v7()) };
        let world = Self { store, clock, media, bus, meetings, node, hub, key };
        world.make(&world.key).await;
        world
    }

    pub async fn make(&self, key: &MeetingKey) {
        let create = Create {
            tenant: key.tenant.clone(),
            id: key.meeting,
            title: "A meeting".into(),
            scheduled_at: None,
            recurrence: None,
            settings: Settings::default(),
        };
        self.node.create(create).await.unwrap();
    }

    /// A socket that has joined.
    pub async fn join(&self, user: &str, role: Role) -> Socket {
        self.join_in(&self.key, user, role).await
    }

    pub async fn join_in(&self, key: &MeetingKey, user: &str, role: Role) -> Socket {
        let mut socket = self.socket();
        let token = json!({ "meeting": key.meeting, "user": user, "role": role }).to_string();
        socket.say(json!({ "id": 0, "type": "join", "data": { "token": token, "session": Uuid::now_v7() } })).await;
        socket.answer(0).await;
        socket
    }

    pub fn socket(&self) -> Socket {
        let outlet = Outlet::new(Bounds::default());
        let doors = Arc::clone(&self.meetings.env().doors);
        let actor = SessionActor::new(self.meetings.clone(), doors, self.hub.clone(), outlet.clone(), Pace::default());
        Socket { outlet, session: actor.start(), heard: Vec::new(), next: 1, read: 0 }
    }
}

/// A client's end of a socket.
pub struct Socket {
    pub outlet: Outlet,
    session: Addr<SessionActor>,
    pub heard: Vec<Value>,
    next: u64,
    read: u64,
}

impl Socket {
    pub async fn say(&self, frame: Value) {
        // An actor that has crashed takes nothing more; its close is what the test looks at.
        let _ = self.session.send(Incoming(ByteString::from(frame.to_string()))).await;
    }

    /// Sends the next command; answers its number.
    pub async fn command(&mut self, kind: &str, data: Value) -> u64 {
        let id = self.next;
        self.next += 1;
        self.say(json!({ "id": id, "type": kind, "data": data })).await;
        id
    }

    pub async fn post(&mut self, text: &str) -> u64 {
        self.command("chat.post", json!({ "to": "room", "text": text })).await
    }

    pub async fn hang_up(&self) {
        let _ = self.session.send(Hangup).await;
    }

    /// The next frame; None when the socket is closed. Pongs are given as a browser gives them.
    async fn frame(&mut self) -> Option<Vec<Value>> {
        loop {
            let bytes = poll_fn(|cx| self.outlet.poll_next(cx)).await?;
            self.read += 1;
            let payload = match bytes[1] {
                126 => &bytes[4..],
                127 => &bytes[10..],
                _ => &bytes[2..],
            };
            match bytes[0] {
                0x81 => return Some(serde_json::from_slice(payload).unwrap()),
                0x89 => self.outlet.heard_pong(payload),
                _ => {}
            }
        }
    }

    /// Reads until a message is found.
    pub async fn until(&mut self, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        let mut from = 0;
        loop {
            if let Some(message) = self.heard.iter().skip(from).find(|message| found(message)) {
                return message.clone();
            }
            from = self.heard.len();
            let waiting = tokio::time::timeout(Duration::from_secs(600), self.frame()).await;
            match waiting.unwrap_or_else(|_| panic!("waited in vain for {what}; heard {:#?}", self.heard)) {
                Some(messages) => self.heard.extend(messages),
                None => panic!("closed ({:?}) before {what}", self.outlet.closed()),
            }
        }
    }

    pub async fn answer(&mut self, id: u64) -> Value {
        self.until(&format!("the answer to {id}"), |message| message["re"] == id).await
    }

    pub async fn event(&mut self, kind: &str) -> Value {
        self.until(kind, |message| message["type"] == kind).await
    }

    /// Reads to the end.
    pub async fn close(&mut self) -> convoke_domain::CloseCode {
        while let Some(messages) = self.frame().await {
            self.heard.extend(messages);
        }
        self.outlet.closed().unwrap()
    }

    /// The texts of the messages that came as events, in order.
    pub fn texts(&self) -> Vec<String> {
        let posted = self.heard.iter().filter(|message| message["type"] == "chat.posted");
        posted.map(|message| message["data"]["message"]["text"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn session_of(snapshot: &Value) -> SessionId {
    serde_json::from_value(snapshot["data"]["self"]["session"].clone()).unwrap()
}
