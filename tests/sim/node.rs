//! A node: all of its actors on a task set of its own, which can be frozen, and dropped at any
//! moment as a process dies. Its machine stays, and another life begins on it.

use crate::chance::Time;
use crate::database::{Database, Store};
use crate::ether::{Ether, Port};
use crate::link::Link;
use crate::painters::{self, Easel};
use crate::world::World;
use actix::{Actor, Addr, Context, Handler, Recipient};
use bytestring::ByteString;
use convoke::adapters::bus::NodeBus;
use convoke::adapters::clock::SystemClock;
use convoke_actors::hub::{CloseSockets, Deliver, Follow, Hub, HubHandle};
use convoke_actors::journal::Journal;
use convoke_actors::meeting::Present;
use convoke_actors::meeting::ToMeeting;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::*;
use convoke_actors::release::SocketId;
use convoke_actors::session::{Hangup, Incoming, Pace, SessionActor};
use convoke_actors::supervisor::{Env, Life, Meetings, Supervisor, Timing};
use convoke_actors::whiteboard::deep::Place;
use convoke_actors::whiteboard::hub::{BoardHub, BoardHubHandle, CloseBoards};
use convoke_actors::whiteboard::words::{AskBoard, Visit};
use convoke_actors::whiteboard::{Whiteboards, document};
use convoke_domain::{CloseCode, Limits, Millis, Rejection, TenantId, Term, UserId, WhiteboardId};
use serde_json::{Value, json};
use std::cell::Cell;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::num::NonZeroU32;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Poll;
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;
use uuid::Uuid;

/// What a client sends to a node.
pub enum Up {
    Frame(String),
    /// The line is dead, and nobody has told the node.
    Silence,
}

/// What a node sends to a client.
pub enum Down {
    Frame(Vec<Value>),
    Closed(Option<CloseCode>),
}

pub struct Socket {
    pub up: mpsc::UnboundedSender<Up>,
    pub down: mpsc::UnboundedReceiver<Down>,
}

/// One life, as clients find it.
pub struct Handle {
    pub link: Arc<Link>,
    pub meetings: Meetings,
    pub is_draining: Cell<bool>,
    drain: Notify,
    hub: HubHandle,
    board_hub: BoardHubHandle,
    tasks: Rc<LocalSet>,
}

impl Handle {
    pub fn drain(&self) {
        self.is_draining.set(true);
        self.drain.notify_one();
    }

    /// A socket of a board.
    pub fn paint(&self, brush: Brush) -> Easel {
        let (up, ups) = mpsc::unbounded_channel();
        let (downs, down) = mpsc::unbounded_channel();
        let (link, hub) = (Arc::clone(&self.link), self.board_hub.clone());
        self.tasks.spawn_local(serve_painter(link, hub, brush, ups, downs));
        Easel { up, down }
    }

    pub fn connect(&self) -> Socket {
        let (up, ups) = mpsc::unbounded_channel();
        let (downs, down) = mpsc::unbounded_channel();
        self.tasks.spawn_local(serve_socket(
            Arc::clone(&self.link),
            self.meetings.clone(),
            self.hub.clone(),
            ups,
            downs,
        ));
        Socket { up, down }
    }
}

/// Which board, and who comes to it.
pub struct Brush {
    pub board: WhiteboardId,
    pub ticket: Ticket,
}

async fn serve_painter(
    link: Arc<Link>,
    hub: BoardHubHandle,
    brush: Brush,
    mut ups: mpsc::UnboundedReceiver<painters::Up>,
    downs: mpsc::UnboundedSender<painters::Down>,
) {
    let Brush { board, ticket } = brush;
    let Ticket { key, session, participant } = ticket;
    let (outlet, meetings) = (Outlet::new(Bounds::default()), hub.meetings.clone());
    let socket = SocketId(meetings.env().clock.id());
    hub.register(&key, board, socket, outlet.clone());
    let refused = |rejection: Rejection| outlet.close(rejection.close.unwrap_or(CloseCode::GoingAway));
    let reading = async {
        outlet.greet();
        let visit = Visit { board, socket, session, participant, desk: hub.desk() };
        if let Err(rejection) = meetings.send(&key, ToMeeting::Visit(visit)).await {
            refused(rejection);
        }
        poll_fn(|cx| outlet.poll_room(cx, usize::MAX)).await;
        while let Some(painters::Up::Frame(frame)) = ups.recv().await {
            outlet.heard();
            let ask = AskBoard::Frames { socket, frames: vec![frame] };
            if let Err(rejection) = meetings.ask_board(&key, board, ask).await {
                refused(rejection);
            }
        }
    };
    let writing = async {
        let mut whole = Vec::new();
        while let Some(mut bytes) = poll_fn(|cx| outlet.poll_next(cx)).await {
            let (head, length) = match bytes[1] {
                126 => (4, usize::from(u16::from_be_bytes([bytes[2], bytes[3]]))),
                127 => (10, usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap()),
                short => (2, usize::from(short)),
            };
            if bytes.len() < head + length {
                // The part of a message that is cut comes behind its header.
                let Some(rest) = poll_fn(|cx| outlet.poll_next(cx)).await else { break };
                bytes = [bytes, rest].concat().into();
            }
            match bytes[0] & 0x0F {
                _ if link.is_dead() => {}
                0x8 => {}
                0x9 => outlet.heard_pong(&bytes[head..]),
                _ => {
                    whole.extend_from_slice(&bytes[head..]);
                    if bytes[0] & 0x80 != 0 {
                        let _ = downs.send(painters::Down::Message(std::mem::take(&mut whole).into()));
                    }
                }
            }
        }
        if !link.is_dead() {
            let _ = downs.send(painters::Down::Closed(outlet.closed().map(CloseCode::number)));
        }
    };
    tokio::select! {
        biased;
        () = writing => {}
        () = reading => {}
    }
    hub.unregister(board, socket);
    let _ = meetings.ask_board(&key, board, AskBoard::Gone { socket }).await;
}

async fn serve_socket(
    link: Arc<Link>,
    meetings: Meetings,
    hub: HubHandle,
    mut ups: mpsc::UnboundedReceiver<Up>,
    downs: mpsc::UnboundedSender<Down>,
) {
    let outlet = Outlet::new(Bounds::default());
    let session = SessionActor::new(meetings, Arc::new(Doors), hub, outlet.clone(), pace()).start();
    let is_silent = Cell::new(false);
    let reading = async {
        while let Some(Up::Frame(frame)) = ups.recv().await {
            outlet.heard();
            let _ = session.send(Incoming(ByteString::from(frame))).await;
        }
        if !ups.is_closed() {
            is_silent.set(true);
            std::future::pending::<()>().await;
        }
    };
    let writing = async {
        while let Some(bytes) = poll_fn(|cx| outlet.poll_next(cx)).await {
            let payload = match bytes[1] {
                126 => &bytes[4..],
                127 => &bytes[10..],
                _ => &bytes[2..],
            };
            match bytes[0] {
                _ if is_silent.get() || link.is_dead() => {}
                0x81 => drop(downs.send(Down::Frame(serde_json::from_slice(payload).unwrap()))),
                0x89 => outlet.heard_pong(payload),
                _ => {}
            }
        }
        if !is_silent.get() && !link.is_dead() {
            let _ = downs.send(Down::Closed(outlet.closed()));
        }
    };
    tokio::select! {
        biased;
        () = writing => {}
        () = reading => {}
    }
    let _ = session.send(Hangup).await;
}

/// Limits of rate go by the real clock, which has no say here.
fn pace() -> Pace {
    let much = NonZeroU32::new(1_000_000).unwrap();
    Pace { commands_per_s: much, burst: much, flood_per_s: much, flood_burst: much, ..Pace::default() }
}

/// A log is long before anybody falls asleep over it.
fn board_bounds() -> document::Bounds {
    document::Bounds { tail_updates_max: painters::TAIL, ..document::Bounds::default() }
}

/// The lives of one node, one after the other.
pub async fn run(world: Rc<World>, node: usize) {
    loop {
        live(&world, node).await;
        let back = world.backs.borrow()[node];
        tokio::time::sleep(back).await;
    }
}

async fn live(world: &Rc<World>, node: usize) {
    let link = Link::new(node, Arc::clone(&world.machines[node]));
    let tasks = Rc::new(LocalSet::new());
    let mut deaths = link.deaths();
    {
        // Its handle keeps the task set; its own tasks may not.
        let serving = tasks.run_until(serve(Rc::clone(world), Arc::clone(&link), Rc::downgrade(&tasks)));
        let mut serving = pin!(serving);
        let gated = poll_fn(|cx| {
            if link.machine.is_frozen(cx.waker()) {
                return Poll::Pending;
            }
            link.polled();
            if link.is_dead() { Poll::Pending } else { serving.as_mut().poll(cx) }
        });
        tokio::select! {
            biased;
            _ = deaths.wait_for(|is_dead| *is_dead) => {}
            () = gated => {}
        }
        link.die();
        world.handles.borrow_mut()[node] = None;
    }
    drop(tasks);
}

async fn serve(world: Rc<World>, link: Arc<Link>, tasks: std::rc::Weak<LocalSet>) {
    let node = link.node;
    let name = format!("node-{node}");
    let clock = Arc::new(NodeClock::new(&world, node));
    let me = clock.id();
    let (inbox, heard) = mpsc::unbounded_channel();
    let ether: Arc<Ether> = Arc::clone(&world.ether);
    let port = Port::new(ether, Arc::clone(&link), me, inbox);
    let database: Arc<Database> = Arc::clone(&world.database);
    let store = Arc::new(Store { database, link: Arc::clone(&link) });
    let bus = NodeBus::start(port, heard, &name, me);
    let timing = Timing::default();
    let life = loop {
        let until = tokio::time::Instant::now() + timing.lease;
        match convoke_actors::ports::Store::boot(&*store, &name, timing.lease).await {
            Ok(life) => break Life::new(life, until),
            Err(_) => tokio::time::sleep(Duration::from_millis(500)).await,
        }
    };
    loop {
        if let Ok(now) = convoke_actors::ports::Store::now(&*store).await {
            clock.correct(now);
            break;
        }
    }
    let media = Arc::new(crate::media::Media {
        server: Arc::clone(&world.media),
        link: Arc::clone(&link),
        database: Arc::clone(&world.database),
    });
    let env = Env {
        store: store.clone(),
        journal: Journal::new(store.clone()).start(),
        bus: bus.clone(),
        clock: clock.clone(),
        doors: Arc::new(Doors),
        media: Arc::new(Media(Arc::clone(&link))),
        media_rooms: media.clone(),
        recorder: media,
        limits: Arc::new(Limits::default()),
        life: Arc::clone(&life),
        timing,
        whiteboards: Whiteboards::new(board_bounds(), Place::Here),
    };
    let meetings = Meetings::new(env, &[]);
    let _supervisor = Supervisor::start_here(meetings.clone());
    bus.serve(meetings.clone());
    let follow: Arc<dyn Follow> =
        if world.database.without.repair { Arc::new(Seamless(bus.clone())) } else { bus.clone() };
    let (hub_address, hub) = Hub::start_here(0, follow, clock, Duration::from_secs(10));
    let (board_hub_address, board_hub) = BoardHub::start_here(0, bus.board_hubs(), bus.as_ref(), meetings.clone());
    let Some(tasks) = tasks.upgrade() else { return };
    let handle = Rc::new(Handle {
        link,
        meetings: meetings.clone(),
        is_draining: Cell::new(false),
        drain: Notify::new(),
        hub,
        board_hub,
        tasks,
    });
    world.handles.borrow_mut()[node] = Some(Rc::clone(&handle));
    let draining = Rc::downgrade(&handle);
    drop(handle);
    match draining.upgrade() {
        Some(handle) => wait_for_drain(&handle).await,
        None => return,
    }
    meetings.stop().await;
    let _ = hub_address.send(CloseSockets { meeting: None, code: CloseCode::GoingAway }).await;
    let _ = board_hub_address.send(CloseBoards(CloseCode::GoingAway)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    life.end();
    let _ = convoke_actors::ports::Store::retire(&*store, &life.get()).await;
}

async fn wait_for_drain(handle: &Handle) {
    handle.drain.notified().await;
}

/// The machine's skewed time, corrected as in a real node; chance from the seed.
struct NodeClock {
    clock: SystemClock,
    chance: crate::chance::Chance,
    time: Time,
}

impl NodeClock {
    fn new(world: &World, node: usize) -> Self {
        let (time, skew) = (world.time, world.plan.skew_ms[node]);
        let clock = SystemClock::reading(move || i64::try_from(time.now()).unwrap() + skew);
        Self { clock, chance: world.chance.clone(), time }
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Millis {
        self.clock.now()
    }
    fn entropy(&self) -> u128 {
        self.chance.number().into()
    }
    fn id(&self) -> Uuid {
        self.chance.id(self.time.now())
    }
    fn correct(&self, database: Millis) {
        self.clock.correct(database);
    }
}

/// Credentials, and a panic on demand.
struct Media(Arc<Link>);

impl convoke_actors::ports::Media for Media {
    fn credentials(&self, request: &MediaRequest) -> String {
        let due = |left: u32| left.checked_sub(1);
        if self.0.machine.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            panic!("injected into the media");
        }
        crate::media::credentials_of(request)
    }
    fn lifetime(&self) -> Option<Duration> {
        // Longer than the silence after which a client looks for another way.
        Some(Duration::from_secs(100))
    }
}

/// Tokens are JSON here.
pub struct Doors;

impl convoke_actors::ports::Doors for Doors {
    fn admission(&self, token: &str) -> Option<Admission> {
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
    fn board_ticket(&self, token: &str) -> Option<(Ticket, WhiteboardId)> {
        let (board, rest) = token.split_once(' ')?;
        Some((self.ticket(rest)?, board.parse().ok()?))
    }
    fn board_token(&self, ticket: &Ticket, board: WhiteboardId) -> String {
        format!("{board} {}", self.resume_token(ticket))
    }
}

fn key_of(meeting: &Value) -> MeetingKey {
    MeetingKey { tenant: TenantId("t".into()), meeting: serde_json::from_value(meeting.clone()).unwrap() }
}

/// Repair turned off: whatever was lost before a batch, its number is the next.
struct Seamless(Arc<NodeBus>);

impl Follow for Seamless {
    fn follow(&self, key: &MeetingKey, hub: u64, to: Recipient<Deliver>, overrun: Arc<AtomicBool>) {
        let seams: Addr<Renumber> = Renumber { to, last: BTreeMap::new() }.start();
        self.0.follow(key, hub, seams.recipient(), overrun);
    }
    fn unfollow(&self, key: &MeetingKey, hub: u64) {
        self.0.unfollow(key, hub);
    }
    fn process(&self) -> Uuid {
        Follow::process(&*self.0)
    }
    fn present(&self, key: &MeetingKey, present: Present) {
        self.0.present(key, present);
    }
}

struct Renumber {
    to: Recipient<Deliver>,
    last: BTreeMap<MeetingKey, (Term, u64)>,
}

impl Actor for Renumber {
    type Context = Context<Self>;
}

impl Handler<Deliver> for Renumber {
    type Result = ();

    fn handle(&mut self, Deliver(batch): Deliver, _: &mut Self::Context) {
        let mut batch = (*batch).clone();
        if batch.number > 0 {
            let last = self.last.entry(batch.key.clone()).or_insert((batch.term, batch.number - 1));
            *last = if last.0 == batch.term { (batch.term, last.1 + 1) } else { (batch.term, batch.number) };
            batch.number = last.1;
        }
        let _ = self.to.try_send(Deliver(Arc::new(batch)));
    }
}

impl Handle {
    /// Runs something on the node; nothing comes of it where the node dies meanwhile.
    pub async fn run<F>(&self, work: impl FnOnce(Meetings) -> F) -> Result<F::Output, tokio::task::JoinError>
    where
        F: Future + 'static,
        F::Output: 'static,
    {
        self.tasks.spawn_local(work(self.meetings.clone())).await
    }
}
