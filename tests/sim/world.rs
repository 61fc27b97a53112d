//! Everything in one simulation, and the hand of fate that carries its plan out.

use crate::chance::{Chance, Outside, Time};
use crate::client::{self, Order, Record};
use crate::database::{Database, Tables, Without};
use crate::ether::Ether;
use crate::link::Machine;
use crate::media::{MediaServer, MediaWeather};
use crate::node::{self, Handle, Up};
use crate::painters::{self, Canvas};
use crate::plan::{Fault, Plan, Weather};
use convoke_actors::meeting::ToMeeting;
use convoke_actors::node::Node;
use convoke_actors::ports::{MediaNews, MeetingKey};
use convoke_domain::command::Create;
use convoke_domain::shapes::Settings;
use convoke_domain::{MeetingId, TenantId, WhiteboardId};
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::spawn_local;
use tokio::time::sleep;

/// After the last misfortune: the longest of them, the longest grace, and a little.
const HEALING: Duration = Duration::from_secs(45);
/// How long anybody may take to come in and be answered, when all is well again.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longer than the media takes to be put right: people are looked at every minute, and what differs is told
/// when it has for some seconds.
const QUIET: Duration = Duration::from_secs(80);

pub struct World {
    pub plan: Plan,
    pub time: Time,
    pub chance: Chance,
    pub database: Arc<Database>,
    pub ether: Arc<Ether>,
    pub media: Arc<MediaServer>,
    /// What the media server tells, until somebody passes it on.
    told: RefCell<Option<mpsc::UnboundedReceiver<(MeetingKey, MediaNews)>>>,
    pub machines: Vec<Arc<Machine>>,
    /// The present life of each node.
    pub handles: RefCell<Vec<Option<Rc<Handle>>>>,
    /// After how long each comes back.
    pub backs: RefCell<Vec<Duration>>,
    pub keys: Vec<MeetingKey>,
    /// Everything that is said is printed.
    pub traces: bool,
    /// Lines that are dead at one end.
    pub limbo: RefCell<Vec<mpsc::UnboundedSender<Up>>>,
}

pub struct Person {
    pub record: Rc<RefCell<Record>>,
    pub canvas: Rc<RefCell<Canvas>>,
    orders: mpsc::UnboundedSender<Order>,
}

impl World {
    /// Must be called on the simulation's own task set.
    fn new(plan: &Plan, without: Without) -> Rc<Self> {
        let (time, chance, outside) = (Time::begin(), Chance::new(plan.seed), Outside::begin());
        let ids = (0..plan.meetings).map(|_| MeetingId(chance.id(time.now())));
        let keys = ids.map(|meeting| MeetingKey { tenant: TenantId("t".into()), meeting }).collect();
        let database = Database {
            tables: Mutex::new(Tables::default()),
            time,
            weather: Mutex::new(plan.weather),
            absences: Mutex::new(0),
            chance: chance.clone(),
            outside: outside.clone(),
            without,
            usurped: Mutex::default(),
        };
        let (news, told) = mpsc::unbounded_channel();
        let media = MediaServer::new((time, chance.clone(), outside.clone()), plan.media, news);
        let ether = Ether {
            subscribers: Mutex::default(),
            weather: Mutex::new(plan.weather),
            absences: Mutex::new(0),
            chance: chance.clone(),
            outside,
        };
        Rc::new(Self {
            plan: plan.clone(),
            time,
            chance,
            database: Arc::new(database),
            ether: Arc::new(ether),
            media: Arc::new(media),
            told: RefCell::new(Some(told)),
            machines: (0..plan.nodes).map(|_| Arc::default()).collect(),
            handles: RefCell::new(vec![None; plan.nodes]),
            backs: RefCell::new(vec![Duration::from_secs(1); plan.nodes]),
            keys,
            traces: std::env::var_os("CONVOKE_SIM_TRACE").is_some(),
            limbo: RefCell::default(),
        })
    }

    pub fn trace(&self, what: impl FnOnce() -> String) {
        if self.traces {
            println!("{:>7} {}", self.time.elapsed_ms(), what());
        }
    }

    /// A node that takes sockets; mostly not one that drains.
    pub fn any_node(&self) -> Option<Rc<Handle>> {
        let handle = self.handles.borrow()[self.chance.below(self.plan.nodes)].clone()?;
        (!handle.is_draining.get() || self.chance.is(0.2)).then_some(handle)
    }

    /// The meeting's board, once it is made.
    pub fn board_of(&self, key: &MeetingKey) -> Option<WhiteboardId> {
        let tables = self.database.tables.lock().unwrap();
        let made = tables.meetings.get(key)?.events.values().find(|row| row.kind == "whiteboard.created")?;
        let data: serde_json::Value = serde_json::from_str(&made.data).ok()?;
        data["whiteboard"]["id"].as_str()?.parse().ok()
    }

    async fn make(&self, place: usize) {
        let max_duration_s = (place == 1).then_some(self.plan.max_duration_s);
        let Plan { auto_record, recording_consent, .. } = self.plan;
        let settings = Settings { max_duration_s, auto_record, recording_consent, ..Settings::default() };
        let key = &self.keys[place];
        let title = format!("Meeting {place}");
        let (tenant, id) = (key.tenant.clone(), key.meeting);
        let create = Create { tenant, id, title, scheduled_at: None, recurrence: None, settings, breakout: None };
        loop {
            let create = create.clone();
            if let Some(handle) = self.any_node()
                && let Ok(Ok(_)) = handle.run(|meetings| async move { Node::new(meetings).create(create).await }).await
            {
                return;
            }
            sleep(Duration::from_millis(200)).await;
            if self.database.tables.lock().unwrap().meetings.contains_key(key) {
                return;
            }
        }
    }

    /// What the media server tells goes to any node, and from there to whoever serves the meeting. One that
    /// is dying loses it.
    async fn pass_on(self: Rc<Self>) {
        let Some(mut told) = self.told.borrow_mut().take() else { return };
        while let Some((key, news)) = told.recv().await {
            let Some(handle) = self.any_node() else { continue };
            spawn_local(async move {
                let send = |meetings: convoke_actors::supervisor::Meetings| async move {
                    let _ = meetings.send(&key, ToMeeting::News(news)).await;
                };
                let _ = handle.run(send).await;
            });
        }
    }

    fn people(self: &Rc<Self>) -> Vec<Vec<Person>> {
        let person = |key: &MeetingKey, number: usize| {
            let (orders, inbox) = mpsc::unbounded_channel();
            let record = Rc::new(RefCell::new(Record::default()));
            spawn_local(client::run(Rc::clone(self), key.clone(), number, Rc::clone(&record), inbox));
            let client = 1_000 + self.chance.number() % 1_000_000;
            let canvas = Rc::new(RefCell::new(Canvas::new(client)));
            spawn_local(painters::run(Rc::clone(self), key.clone(), Rc::clone(&record), Rc::clone(&canvas)));
            Person { record, canvas, orders }
        };
        self.keys.iter().map(|key| (0..self.plan.people).map(|number| person(key, number)).collect()).collect()
    }

    async fn strike(self: Rc<Self>, fault: Fault, people: Rc<Vec<Vec<Person>>>) {
        let ms = Duration::from_millis;
        self.trace(|| format!("{fault:?}"));
        let handle = |node: usize| self.handles.borrow()[node].clone();
        match fault {
            Fault::Kill { node, when, back_ms } => {
                self.backs.borrow_mut()[node] = ms(back_ms);
                if let Some(handle) = handle(node) {
                    handle.link.doom(when);
                }
            }
            Fault::Drain { node, back_ms } => {
                self.backs.borrow_mut()[node] = ms(back_ms);
                if let Some(handle) = handle(node) {
                    handle.drain();
                }
            }
            Fault::Freeze { node, for_ms } => {
                self.machines[node].freeze();
                sleep(ms(for_ms)).await;
                self.machines[node].thaw();
            }
            Fault::CutBus { node, for_ms } => {
                self.machines[node].bus_cuts.fetch_add(1, Ordering::Relaxed);
                sleep(ms(for_ms)).await;
                self.machines[node].bus_cuts.fetch_sub(1, Ordering::Relaxed);
            }
            Fault::CutDatabase { node, for_ms } => {
                self.machines[node].database_cuts.fetch_add(1, Ordering::Relaxed);
                sleep(ms(for_ms)).await;
                self.machines[node].database_cuts.fetch_sub(1, Ordering::Relaxed);
            }
            Fault::BusAway { for_ms } => {
                *self.ether.absences.lock().unwrap() += 1;
                sleep(ms(for_ms)).await;
                *self.ether.absences.lock().unwrap() -= 1;
            }
            Fault::DatabaseAway { for_ms } => {
                *self.database.absences.lock().unwrap() += 1;
                sleep(ms(for_ms)).await;
                *self.database.absences.lock().unwrap() -= 1;
            }
            Fault::MediaAway { for_ms } => {
                *self.media.absences.lock().unwrap() += 1;
                sleep(ms(for_ms)).await;
                *self.media.absences.lock().unwrap() -= 1;
            }
            Fault::MediaForgets => self.media.forget(),
            Fault::Panic { node } => {
                self.machines[node].panics.fetch_add(1, Ordering::Relaxed);
            }
            Fault::Drop { meeting, person, is_silent } => {
                people[meeting][person].tell(Order::Drop { is_silent });
            }
        }
    }

    fn heal(&self) {
        *self.database.weather.lock().unwrap() = Weather::default();
        *self.ether.weather.lock().unwrap() = Weather::default();
        *self.media.weather.lock().unwrap() = MediaWeather::default();
        for machine in &self.machines {
            machine.panics.store(0, Ordering::Relaxed);
        }
    }
}

impl Person {
    pub fn tell(&self, order: Order) {
        // Whose meeting is over takes no orders.
        let _ = self.orders.send(order);
    }
}

/// How a simulation ended, for the verifier.
pub struct End {
    pub world: Rc<World>,
    pub people: Rc<Vec<Vec<Person>>>,
}

/// Runs a plan to its end.
pub async fn run(plan: &Plan, without: Without) -> End {
    let world = World::new(plan, without);
    for node in 0..plan.nodes {
        spawn_local(node::run(Rc::clone(&world), node));
    }
    spawn_local(Rc::clone(&world).pass_on());
    for place in 0..plan.meetings {
        world.make(place).await;
        painters::make_board(&world, &world.keys[place]).await;
    }
    let people = Rc::new(world.people());
    for step in plan.steps.clone() {
        let (world, people) = (Rc::clone(&world), Rc::clone(&people));
        spawn_local(async move {
            sleep(Duration::from_millis(step.at_ms)).await;
            world.strike(step.fault, people).await;
        });
    }
    sleep(Duration::from_millis(plan.span_ms)).await;
    world.heal();
    sleep(HEALING).await;
    let everybody = || people.iter().flatten();
    for person in everybody() {
        person.tell(Order::Finish);
    }
    let until = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < until && !everybody().all(|person| person.record.borrow().is_done()) {
        sleep(Duration::from_millis(100)).await;
    }
    sleep(QUIET).await;
    End { world, people }
}
