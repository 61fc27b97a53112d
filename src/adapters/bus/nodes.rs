//! The bus between nodes, over any transport that publishes to whoever listens: at most once, kept
//! nowhere. Nothing here relies on more: a call is sent again under its id until it is answered,
//! and is carried out once by each owner; a batch that is lost shows as a jump in the numbers, or, if
//! it was the last, as a head in the database that goes further than what was heard. Without its
//! transport a node serves the meetings that it owns, and sends the sockets of others away.

use super::LocalBus;
use super::answers::Answers;
use super::transport::Transport;
use super::wire::{self, Message, meeting_channel, node_channel};
use async_trait::async_trait;
use bytes::Bytes;
use convoke_actors::hub::{Deliver, Follow};
use convoke_actors::meeting::{Present, ToMeeting};
use convoke_actors::ports::{Bus, Call, MeetingKey, NodeLife, Store, Told, Unanswered};
use convoke_actors::release::{Batch, Item};
use convoke_actors::supervisor::Meetings;
use convoke_actors::whiteboard::hub::BoardHubs;
use convoke_actors::whiteboard::words::{Desk, Show};
use convoke_domain::{CloseCode, Seq, Term};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// How long a call waits before it is sent again, and how often it is sent.
const CALL_WAIT: Duration = Duration::from_millis(400);
const CALL_TRIES: usize = 4;
/// How long a subscription is waited for before a meeting is asked for what it will publish.
const SUBSCRIBE: Duration = Duration::from_secs(2);
const WATCH: Duration = Duration::from_secs(2);
const PULSE: Duration = Duration::from_millis(500);

pub struct NodeBus {
    local: LocalBus,
    me: Uuid,
    channel: String,
    transport: Arc<dyn Transport>,
    state: Mutex<State>,
    connected: AtomicBool,
    meetings: Mutex<Option<Meetings>>,
}

#[derive(Default)]
struct State {
    followed: BTreeMap<MeetingKey, Followed>,
    waiting: HashMap<Uuid, oneshot::Sender<Told>>,
    answers: Answers,
}

struct Followed {
    hubs: HashSet<u64>,
    /// The life and the head that was heard last.
    heard: (Term, Seq),
    /// The head in the database, when it was looked at last.
    seen: (Term, Seq),
}

/// This machine's time; two machines' may differ, and the lag shown with them.
fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A word of this node's own for its hubs, outside of the meeting's numbering.
fn aside(key: &MeetingKey, item: Item) -> Batch {
    Batch { key: key.clone(), term: Term(0), number: 0, head: Seq(0), items: vec![item] }
}

impl NodeBus {
    /// Begins to listen. `me` is this process in this life of it, `inbox` what the transport hears.
    /// Runs on the present thread, whose runtime must outlive it.
    pub fn start(
        transport: Arc<dyn Transport>,
        inbox: mpsc::UnboundedReceiver<Bytes>,
        node: &str,
        me: Uuid,
    ) -> Arc<Self> {
        let bus = Arc::new(Self {
            local: LocalBus::default(),
            me,
            channel: node_channel(node),
            transport,
            state: Mutex::default(),
            connected: AtomicBool::new(false),
            meetings: Mutex::default(),
        });
        bus.transport.listen(bus.channel.clone());
        actix_rt::spawn(Arc::clone(&bus).hear_all(inbox));
        actix_rt::spawn(Arc::clone(&bus).pulse());
        bus
    }

    /// From here on calls for this node's meetings are answered, and tails that were lost are found.
    pub fn serve(self: &Arc<Self>, meetings: Meetings) {
        let store = Arc::clone(&meetings.env().store);
        *self.meetings.lock().unwrap_or_else(PoisonError::into_inner) = Some(meetings);
        actix_rt::spawn(Arc::clone(self).watch(store));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meetings(&self) -> Option<Meetings> {
        self.meetings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn send(&self, channel: String, message: &Message) {
        match wire::encode(self.me, message) {
            Ok(bytes) => self.transport.publish(channel, bytes),
            Err(error) => tracing::error!(%error, "a message of the bus could not be encoded"),
        }
    }

    /// Tells when the transport goes and comes. What was published in between, is lost.
    async fn pulse(self: Arc<Self>) {
        loop {
            let is_connected = self.transport.is_there();
            if self.connected.swap(is_connected, Ordering::AcqRel) != is_connected {
                metrics::gauge!("convoke_bus_connected").set(if is_connected { 1.0 } else { 0.0 });
                if is_connected {
                    tracing::info!("the bus is there");
                } else {
                    tracing::error!("the bus is away: sockets of meetings that other nodes serve are sent there");
                    self.send_strangers_away();
                }
            }
            tokio::time::sleep(PULSE).await;
        }
    }

    /// Closes the sockets whose meetings are served elsewhere: they resume where they are served.
    fn send_strangers_away(&self) {
        let Some(meetings) = self.meetings() else { return };
        let keys: Vec<MeetingKey> = self.state().followed.keys().cloned().collect();
        for key in keys.into_iter().filter(|key| !meetings.is_active(key)) {
            self.say_here(&key, Item::CloseAll { code: CloseCode::GoingAway });
        }
    }

    fn say_here(&self, key: &MeetingKey, item: Item) {
        self.local.publish(Arc::new(aside(key, item)));
    }

    async fn hear_all(self: Arc<Self>, mut inbox: mpsc::UnboundedReceiver<Bytes>) {
        while let Some(bytes) = inbox.recv().await {
            self.hear(&bytes);
        }
    }

    fn hear(self: &Arc<Self>, bytes: &[u8]) {
        match wire::decode(self.me, bytes) {
            Ok(None) => {}
            Ok(Some(Message::Batch(at, batch))) => {
                let lag = Duration::from_millis(now_ms().saturating_sub(at));
                metrics::histogram!("convoke_bus_lag_seconds").record(lag.as_secs_f64());
                self.hear_batch(batch);
            }
            Ok(Some(Message::Answer(id, told))) => {
                if let Some(waiting) = self.state().waiting.remove(&id) {
                    let _ = waiting.send(told);
                }
            }
            Ok(Some(Message::Call(from, call))) => self.take_call(from, call),
            Ok(Some(Message::Show(hub, show))) if hub.process == self.me => {
                self.local.board_hubs().show(hub, Arc::new(show));
            }
            // For a former life of this node.
            Ok(Some(Message::Show(..))) => {}
            Err(error) => {
                metrics::counter!("convoke_bus_unreadable_total").increment(1);
                tracing::warn!(%error, "a message of the bus cannot be read");
            }
        }
    }

    fn hear_batch(&self, batch: Batch) {
        if let Some(meetings) = self.meetings() {
            meetings.heard(&batch.key, batch.term);
        }
        if let Some(followed) = self.state().followed.get_mut(&batch.key) {
            followed.heard = followed.heard.max((batch.term, batch.head));
        }
        self.local.publish(Arc::new(batch));
    }

    fn take_call(self: &Arc<Self>, from: String, call: Call) {
        let Some(meetings) = self.meetings() else { return };
        match self.state().answers.take(call.id) {
            // It is being carried out; its answer comes.
            Some(None) => return,
            Some(Some(told)) => return self.send(from, &Message::Answer(call.id, told)),
            None => {}
        }
        let bus = Arc::clone(self);
        actix_rt::spawn(async move {
            let told = meetings.serve(&call).await;
            bus.state().answers.keep(call.id, &told);
            bus.send(from, &Message::Answer(call.id, told));
        });
    }

    /// Looks at the heads of what is followed: a last batch that was lost leaves no other trace.
    async fn watch(self: Arc<Self>, store: Arc<dyn Store>) {
        loop {
            tokio::time::sleep(WATCH).await;
            let Some(meetings) = self.meetings() else { continue };
            let keys: Vec<MeetingKey> = self.state().followed.keys().cloned().collect();
            let keys: Vec<MeetingKey> = keys.into_iter().filter(|key| !meetings.is_active(key)).collect();
            if keys.is_empty() {
                continue;
            }
            match store.heads(&keys).await {
                Ok(heads) => {
                    for (key, term, seq) in heads {
                        self.compare(&key, (term, seq));
                    }
                }
                Err(error) => tracing::warn!(%error, "the heads of followed meetings could not be read"),
            }
        }
    }

    /// A head beyond what was heard, twice in a row, was not merely on its way.
    fn compare(&self, key: &MeetingKey, head: (Term, Seq)) {
        let is_missed = {
            let mut state = self.state();
            let Some(followed) = state.followed.get_mut(key) else { return };
            let is_still = followed.seen == head;
            followed.seen = head;
            let is_missed = is_still && followed.heard < head;
            if is_missed {
                followed.heard = head;
            }
            is_missed
        };
        if is_missed {
            metrics::counter!("convoke_gaps_repaired_total").increment(1);
            self.say_here(key, Item::Again);
        }
    }
}

#[async_trait]
impl Bus for NodeBus {
    fn publish(&self, batch: Arc<Batch>) {
        self.send(meeting_channel(&batch.key), &Message::Batch(now_ms(), Batch::clone(&batch)));
        self.local.publish(batch);
    }

    fn publish_here(&self, batch: Arc<Batch>) {
        self.local.publish(batch);
    }

    fn is_alone(&self) -> bool {
        false
    }

    fn process(&self) -> Uuid {
        self.me
    }

    fn is_connected(&self) -> bool {
        self.connected.load(Ordering::Acquire)
    }

    fn board_hubs(&self) -> &BoardHubs {
        self.local.board_hubs()
    }

    fn channel(&self) -> String {
        self.channel.clone()
    }

    fn show(&self, desk: &Desk, show: Arc<Show>) {
        if desk.hub.process == self.me {
            self.board_hubs().show(desk.hub, show);
        } else {
            self.send(desk.channel.clone(), &Message::Show(desk.hub, Show::clone(&show)));
        }
    }

    async fn call(&self, to: &NodeLife, call: &Call) -> Result<Told, Unanswered> {
        // What the meeting publishes is to be heard here before it is asked for it.
        self.transport.is_heard(&meeting_channel(&call.key), SUBSCRIBE).await;
        for _ in 0..CALL_TRIES {
            let (sender, answer) = oneshot::channel();
            self.state().waiting.insert(call.id, sender);
            self.send(node_channel(&to.node), &Message::Call(self.channel.clone(), call.clone()));
            if let Ok(Ok(told)) = tokio::time::timeout(CALL_WAIT, answer).await {
                return Ok(told);
            }
            if !self.is_connected() {
                break;
            }
        }
        self.state().waiting.remove(&call.id);
        Err(Unanswered)
    }
}

impl Follow for NodeBus {
    fn process(&self) -> Uuid {
        self.me
    }

    fn present(&self, key: &MeetingKey, present: Present) {
        let Some(meetings) = self.meetings().filter(|meetings| !meetings.is_active(key)) else { return };
        let key = key.clone();
        actix_rt::spawn(async move {
            // Where it is not known who serves the meeting, somebody's next command finds out.
            if !meetings.send_if_active(&key, ToMeeting::Present(present)).await {
                // It does not know somebody who is here, or another node serves it by now.
                meetings.env().bus.publish_here(Arc::new(aside(&key, Item::Again)));
            }
        });
    }

    fn follow(&self, key: &MeetingKey, hub: u64, to: actix::Recipient<Deliver>, overrun: Arc<AtomicBool>) {
        self.local.follow(key, hub, to, overrun);
        let mut state = self.state();
        let is_new = !state.followed.contains_key(key);
        let followed = state.followed.entry(key.clone()).or_insert_with(|| Followed {
            hubs: HashSet::new(),
            heard: (Term(0), Seq(0)),
            seen: (Term(0), Seq(0)),
        });
        followed.hubs.insert(hub);
        if is_new {
            self.transport.listen(meeting_channel(key));
        }
    }

    fn unfollow(&self, key: &MeetingKey, hub: u64) {
        self.local.unfollow(key, hub);
        let mut state = self.state();
        let Some(followed) = state.followed.get_mut(key) else { return };
        followed.hubs.remove(&hub);
        if followed.hubs.is_empty() {
            state.followed.remove(key);
            self.transport.ignore(meeting_channel(key));
        }
    }
}
