//! This node's meetings: found, activated, swept, passivated, given back. Callers hold
//! [`Meetings`], never an address: a meeting's actor may be made again at any time, and whoever
//! sends finds the present one. The supervisor's own actor wakes the meetings that have something
//! to do and nobody to do it, and keeps the node's lease.

use crate::journal::Journal;
use crate::meeting::{MeetingActor, Stop, ToMeeting};
use crate::ports::{Bus, Clock, Doors, Media, MediaRooms, MeetingKey, NodeLife, Recorder, Store, StoreError};
use crate::restart::{self, Restart};
use crate::routing::Routing;
use crate::whiteboard::Whiteboards;
use actix::{Actor, Addr, Arbiter, AsyncContext, Context};
use convoke_domain::{Limits, Term};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const SWEEP_MAX: u32 = 200;
const LEASE_LOOK: Duration = Duration::from_millis(20);
/// Meetings that are given away at once.
const REBALANCE_MAX: usize = 20;

/// What every meeting of the node works with.
#[derive(Clone)]
pub struct Env {
    pub store: Arc<dyn Store>,
    pub journal: Addr<Journal>,
    pub bus: Arc<dyn Bus>,
    pub clock: Arc<dyn Clock>,
    pub doors: Arc<dyn Doors>,
    pub media: Arc<dyn Media>,
    pub media_rooms: Arc<dyn MediaRooms>,
    pub recorder: Arc<dyn Recorder>,
    pub limits: Arc<Limits>,
    pub life: Arc<Life>,
    pub timing: Timing,
    pub whiteboards: Whiteboards,
}

/// The node's present life, and until when it may speak for its meetings by the monotonic clock: its
/// lease is over here before anybody else may think so. What a life says without writing it down
/// holds only while its lease does; a lease that ran out ends the life, and the next begins.
pub struct Life(Mutex<(NodeLife, Instant)>);

impl Life {
    /// `until` is reckoned from before the lease was asked for.
    pub fn new(life: NodeLife, until: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new((life, until))))
    }

    fn present(&self) -> MutexGuard<'_, (NodeLife, Instant)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self) -> NodeLife {
        self.present().0.clone()
    }

    /// The present life, while its lease runs.
    pub fn valid(&self) -> Option<NodeLife> {
        let present = self.present();
        (Instant::now() < present.1).then(|| present.0.clone())
    }

    /// Whether this is the present life and its lease runs.
    pub fn holds(&self, life: &NodeLife) -> bool {
        let present = self.present();
        present.0 == *life && Instant::now() < present.1
    }

    /// Waits until the lease runs, or so long.
    pub async fn is_valid_within(&self, most: Duration) {
        let until = Instant::now() + most;
        while self.valid().is_none() && Instant::now() < until {
            tokio::time::sleep(LEASE_LOOK).await;
        }
    }

    /// Says nothing more that is not written down.
    pub fn end(&self) {
        self.present().1 = Instant::now();
    }

    fn begin(&self, life: NodeLife, until: Instant) {
        *self.present() = (life, until);
    }
}

#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A drop shorter than this is no event at all.
    pub drop: Duration,
    /// How long a meeting with nobody attached stays in memory.
    pub passivate: Duration,
    pub lease: Duration,
    pub renew: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            drop: Duration::from_secs(3),
            passivate: Duration::from_secs(60),
            lease: Duration::from_secs(6),
            renew: Duration::from_secs(2),
        }
    }
}

#[derive(Clone)]
pub struct Meetings(Arc<Inner>);

struct Inner {
    env: Env,
    threads: Vec<actix::ArbiterHandle>,
    active: Mutex<BTreeMap<MeetingKey, Addr<MeetingActor>>>,
    is_stopping: AtomicBool,
    routing: Routing,
    grown: Mutex<BTreeSet<MeetingKey>>,
}

impl Meetings {
    /// The meetings live on threads of their own, each on one.
    pub fn new(env: Env, threads: &[Arbiter]) -> Self {
        Self(Arc::new(Inner {
            env,
            threads: threads.iter().map(Arbiter::handle).collect(),
            active: Mutex::default(),
            is_stopping: AtomicBool::new(false),
            routing: Routing::default(),
            grown: Mutex::default(),
        }))
    }

    fn active(&self) -> MutexGuard<'_, BTreeMap<MeetingKey, Addr<MeetingActor>>> {
        self.0.active.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn env(&self) -> &Env {
        &self.0.env
    }

    pub(crate) fn routing(&self) -> &Routing {
        &self.0.routing
    }

    pub fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Acquire)
    }

    /// The meeting's actor, if it has one here.
    pub(crate) fn active_address(&self, key: &MeetingKey) -> Option<Addr<MeetingActor>> {
        self.active().get(key).filter(|address| address.connected()).cloned()
    }

    pub fn is_active(&self, key: &MeetingKey) -> bool {
        self.active_address(key).is_some()
    }

    /// The meeting's actor: the present one, or a new one that rebuilds it from the log.
    pub fn find(&self, key: &MeetingKey) -> Addr<MeetingActor> {
        let mut active = self.active();
        if let Some(address) = active.get(key).filter(|address| address.connected()) {
            return address.clone();
        }
        let actor = MeetingActor::new(key.clone(), self.clone());
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let threads = u64::try_from(self.0.threads.len()).unwrap_or(1).max(1);
        let chosen = usize::try_from(hasher.finish() % threads).unwrap_or(0);
        let address = match self.0.threads.get(chosen) {
            Some(thread) => MeetingActor::start_in_arbiter(thread, |_| actor),
            None => actor.start(),
        };
        active.insert(key.clone(), address.clone());
        metrics::gauge!("convoke_meetings_owned").set(f64::from(u32::try_from(active.len()).unwrap_or(u32::MAX)));
        address
    }

    /// Tells the other nodes of this one, and hears of them and of the time that all agree on.
    async fn exchange(&self, life: &NodeLife) -> Result<(), StoreError> {
        let env = self.env();
        env.clock.correct(env.store.now().await?);
        if env.bus.is_alone() {
            return Ok(());
        }
        let owned = u32::try_from(self.count()).unwrap_or(u32::MAX);
        env.store.report(life, owned, self.is_stopping()).await?;
        self.routing().know(env.store.peers().await?);
        if !self.is_stopping() {
            self.rebalance();
        }
        Ok(())
    }

    /// Gives away what this node serves beyond its share, a few at a time: a meeting that is put
    /// away is taken by the node that serves the fewest as soon as somebody asks for it, and those
    /// who are attached ask at once.
    fn rebalance(&self) {
        let most = self.surplus().min(REBALANCE_MAX);
        if most == 0 {
            return;
        }
        let some: Vec<Addr<MeetingActor>> = self.active().values().take(most).cloned().collect();
        tracing::info!(meetings = some.len(), "meetings are given to nodes that serve fewer");
        for address in some {
            // One whose mailbox is full is too busy to be moved now.
            let _ = address.try_send(Stop);
        }
    }

    /// Of the meetings that have something to do and nobody to do it, each node wakes its share. A
    /// node that has died leaves the list, and its share falls to others, when its lease is over.
    fn is_ours_to_wake(&self, key: &MeetingKey) -> bool {
        let peers: Vec<NodeLife> =
            self.routing().peers().into_iter().filter(|peer| !peer.is_draining).map(|peer| peer.life).collect();
        let mine = self.env().life.get();
        let Some(place) = peers.iter().position(|life| *life == mine) else { return !self.is_stopping() };
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let nodes = u64::try_from(peers.len()).unwrap_or(1).max(1);
        usize::try_from(hasher.finish() % nodes).unwrap_or(0) == place
    }

    /// Tells the meeting's actor, where it has one here, that another node published under this term.
    pub fn heard(&self, key: &MeetingKey, term: Term) {
        if let Some(address) = self.active_address(key) {
            // One whose mailbox is full finds out when it writes.
            let _ = address.try_send(ToMeeting::Heard(term));
        }
    }

    /// Takes a stopped actor off the list, unless another stands there by now.
    pub fn forget(&self, key: &MeetingKey, address: &Addr<MeetingActor>) {
        let mut active = self.active();
        if active.get(key) == Some(address) {
            active.remove(key);
        }
        metrics::gauge!("convoke_meetings_owned").set(f64::from(u32::try_from(active.len()).unwrap_or(u32::MAX)));
    }

    /// Notes that a meeting's log has grown. Nobody is woken for it.
    pub fn note_growth(&self, key: &MeetingKey) {
        let mut grown = self.0.grown.lock().unwrap_or_else(PoisonError::into_inner);
        if !grown.contains(key) {
            grown.insert(key.clone());
        }
    }

    /// The meetings whose logs have grown here since this was asked last. A hint, for the
    /// projections: after a crash the heads tell.
    pub fn take_grown(&self) -> BTreeSet<MeetingKey> {
        std::mem::take(&mut self.0.grown.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn count(&self) -> usize {
        self.active().len()
    }

    /// Stops every meeting: what is decided is written, a snapshot kept, the ownership given back.
    pub async fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::Release);
        if !self.env().bus.is_alone() {
            // Told first, so that what is given back goes to others.
            let env = self.env();
            if let Err(error) = env.store.report(&env.life.get(), 0, true).await {
                tracing::warn!(%error, "the other nodes could not be told that this one stops");
            }
        }
        let addresses: Vec<Addr<MeetingActor>> = self.active().values().cloned().collect();
        let asked = futures_util::future::join_all(addresses.iter().map(|address| address.send(Stop))).await;
        futures_util::future::join_all(asked.into_iter().flatten()).await;
        self.active().clear();
    }
}

/// Sweeps and renews. One a node.
pub struct Supervisor {
    meetings: Meetings,
}

impl Supervisor {
    pub fn start_here(meetings: Meetings) -> Addr<Self> {
        Self { meetings }.start()
    }

    fn sweep(&mut self, ctx: &mut Context<Self>) {
        let meetings = self.meetings.clone();
        let due = async move {
            let env = meetings.env();
            let mut due = env.store.due(env.clock.now(), SWEEP_MAX).await?;
            due.retain(|key| meetings.is_ours_to_wake(key));
            Ok::<_, StoreError>(due)
        };
        restart::spawn(ctx, due, |supervisor: &mut Self, ctx, due| {
            match due {
                Ok(keys) => {
                    for key in keys {
                        // Finding it is waking it: the actor fires what is due once it is rebuilt.
                        supervisor.meetings.find(&key);
                    }
                }
                Err(error) => tracing::warn!(%error, "the sweep could not read what is due"),
            }
            restart::later(ctx, SWEEP_INTERVAL, Self::sweep);
        });
    }

    fn renew(&mut self, ctx: &mut Context<Self>) {
        let meetings = self.meetings.clone();
        let renewing = async move {
            let env = meetings.env();
            let life = env.life.get();
            meetings.exchange(&life).await?;
            let until = Instant::now() + env.timing.lease;
            if env.store.renew(&life, env.timing.lease).await? {
                env.life.begin(life, until);
                return Ok(());
            }
            metrics::counter!("convoke_lease_lost_total").increment(1);
            // Another may own the meetings by now. This node goes on as a new life, whose meetings
            // are read again: what nobody took is taken again.
            tracing::error!(epoch = life.epoch, "the node's lease ran out");
            let until = Instant::now() + env.timing.lease;
            env.life.begin(env.store.boot(&life.node, env.timing.lease).await?, until);
            Ok(())
        };
        restart::spawn(ctx, renewing, move |supervisor: &mut Self, ctx, renewed: Result<(), StoreError>| {
            if let Err(error) = renewed {
                tracing::warn!(%error, "the lease could not be renewed");
            }
            restart::later(ctx, supervisor.meetings.env().timing.renew, Self::renew);
        });
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        ctx.set_mailbox_capacity(1_024);
        self.sweep(ctx);
        self.renew(ctx);
    }
}

impl Restart for Supervisor {
    const NAME: &'static str = "supervisor";

    fn crashed(&mut self, ctx: &mut Self::Context, _why: String) {
        ctx.run_later(SWEEP_INTERVAL, |supervisor, ctx| {
            restart::guarded(supervisor, ctx, |supervisor, ctx| {
                supervisor.sweep(ctx);
                supervisor.renew(ctx);
            });
        });
    }
}
