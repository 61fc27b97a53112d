//! A node in memory: fake ports around the real actors, on tokio's paused clock. The fakes fail on
//! demand. `Socket` is a client's end: what it is given can be awaited.

// Each test binary uses its part.
#![allow(dead_code, unused_imports, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod boards;
pub mod hostile;
mod painter;
mod ports;
mod socket;
mod store;

pub use painter::Painter;
pub use ports::{FakeBus, FakeClock, FakeDoors, FakeMedia, FakeRecorder, FakeRooms};
pub use socket::{Socket, does, seconds, session, session_of};
pub use store::{FakeStore, Weather};

use actix::Actor;
use convoke_actors::hub::{Hub, HubHandle};
use convoke_actors::journal::Journal;
use convoke_actors::node::Node;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::*;
use convoke_actors::session::{Pace, SessionActor};
use convoke_actors::supervisor::{Env, Life, Meetings, Timing};
use convoke_actors::whiteboard::Whiteboards;
use convoke_actors::whiteboard::deep::Place;
use convoke_actors::whiteboard::document;
use convoke_actors::whiteboard::hub::{BoardHub, BoardHubHandle};
use convoke_domain::command::Create;
use convoke_domain::shapes::{Role, Settings};
use convoke_domain::{Limits, MeetingId, TenantId};
use serde_json::{Value, json};
use std::sync::atomic::AtomicU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use uuid::Uuid;

/// Nobody renews it here.
const LEASE: Duration = Duration::from_secs(86_400);

/// One node and one meeting, and more meetings where a test makes them.
pub struct World {
    pub store: Arc<FakeStore>,
    pub clock: Arc<FakeClock>,
    pub media: Arc<FakeMedia>,
    pub rooms: Arc<FakeRooms>,
    pub recorder: Arc<FakeRecorder>,
    pub bus: Arc<FakeBus>,
    pub meetings: Meetings,
    pub life: Arc<Life>,
    pub node: Node,
    pub hub: HubHandle,
    pub board_hub: BoardHubHandle,
    pub key: MeetingKey,
}

/// Runs a test on the thread's own actor runtime, its clock paused.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(World) -> F) {
    run_with(board_bounds(), test);
}

/// As [`run`], with boards that bear so much.
pub fn run_with<F: Future<Output = ()>>(boards: document::Bounds, test: impl FnOnce(World) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let world = World::new(boards).await;
        test(world).await;
    });
}

/// Small, so that a test reaches them.
pub fn board_bounds() -> document::Bounds {
    document::Bounds { board_bytes_max: 256 << 10, update_bytes_max: 32 << 10, ..document::Bounds::default() }
}

impl World {
    async fn new(boards: document::Bounds) -> Self {
        let store = Arc::new(FakeStore::default());
        let clock = Arc::new(FakeClock { began: tokio::time::Instant::now(), panics: AtomicU32::new(0) });
        let media = Arc::new(FakeMedia { panics: AtomicU32::new(0), lifetime: Mutex::default() });
        let rooms = Arc::new(FakeRooms::default());
        let recorder = Arc::new(FakeRecorder::default());
        let bus = Arc::new(FakeBus::default());
        let life = Life::new(NodeLife { node: "n".into(), epoch: 1 }, tokio::time::Instant::now() + LEASE);
        let env = Env {
            store: store.clone(),
            journal: Journal::new(store.clone()).start(),
            bus: bus.clone(),
            clock: clock.clone(),
            doors: Arc::new(FakeDoors),
            media: media.clone(),
            media_rooms: rooms.clone(),
            recorder: recorder.clone(),
            limits: Arc::new(Limits::default()),
            life: life.clone(),
            timing: Timing::default(),
            whiteboards: Whiteboards::new(boards, Place::Here),
        };
        let meetings = Meetings::new(env, &[]);
        let (_, hub) = Hub::start_here(0, bus.clone(), clock.clone(), Duration::from_secs(10));
        let (_, board_hub) = BoardHub::start_here(0, &bus.boards, bus.as_ref(), meetings.clone());
        let node = Node::new(meetings.clone());
        let key = MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::now_v7()) };
        let world = Self { store, clock, media, rooms, recorder, bus, meetings, life, node, hub, board_hub, key };
        world.make(&world.key).await;
        world
    }

    /// Another meeting of the same node.
    pub async fn another(&self, settings: Settings) -> MeetingKey {
        let key = MeetingKey { meeting: MeetingId(Uuid::now_v7()), ..self.key.clone() };
        self.make_with(&key, settings).await;
        key
    }

    pub async fn make(&self, key: &MeetingKey) {
        self.make_with(key, Settings::default()).await;
    }

    pub async fn make_with(&self, key: &MeetingKey, settings: Settings) {
        let create = Create {
            tenant: key.tenant.clone(),
            id: key.meeting,
            title: "A meeting".into(),
            scheduled_at: None,
            recurrence: None,
            breakout: None,
            settings,
        };
        self.node.create(create).await.unwrap();
    }

    /// A socket that has joined.
    pub async fn join(&self, user: &str, role: Role) -> Socket {
        self.join_in(&self.key, user, role).await
    }

    pub async fn join_in(&self, key: &MeetingKey, user: &str, role: Role) -> Socket {
        self.join_as(key, user, role, Uuid::now_v7()).await
    }

    pub async fn join_as(&self, key: &MeetingKey, user: &str, role: Role, session: Uuid) -> Socket {
        let mut socket = self.socket();
        socket.say(hello(key, user, role, session)).await;
        socket.answer(0).await;
        socket
    }

    /// Another socket of the session that lost this one, with what it had heard by then.
    pub async fn resume(&self, lost: &Socket) -> Socket {
        self.resume_at(lost, lost.cursor()).await
    }

    pub async fn resume_at(&self, lost: &Socket, seq: u64) -> Socket {
        let mut socket = self.socket();
        let data = json!({ "resume_token": lost.resume_token(), "seq": seq });
        socket.say(json!({ "id": 0, "type": "resume", "data": data })).await;
        let answer = socket.answer(0).await;
        socket.go_on_after(answer["data"]["last_id"].as_u64());
        socket
    }

    pub fn socket(&self) -> Socket {
        self.socket_of(Pace::default())
    }

    pub fn socket_of(&self, pace: Pace) -> Socket {
        let outlet = Outlet::new(Bounds::default());
        let doors = Arc::clone(&self.meetings.env().doors);
        let actor = SessionActor::new(self.meetings.clone(), doors, self.hub.clone(), outlet.clone(), pace);
        Socket::new(outlet, actor.start())
    }
}

pub fn hello(key: &MeetingKey, user: &str, role: Role, session: Uuid) -> Value {
    let token = json!({ "meeting": key.meeting, "user": user, "role": role }).to_string();
    json!({ "id": 0, "type": "join", "data": { "token": token, "session": session } })
}
