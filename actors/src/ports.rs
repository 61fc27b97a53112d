//! What the actors need from the world, as traits: a store, a bus, a source of media credentials, a
//! clock. The actors know these and no adapter, so a test or a simulation puts its own in place.

mod boards;
mod media;

pub use boards::{BoardChange, BoardCommit, BoardLog, BoardSnapshot};
pub use media::{
    Glance, Guest, Media, MediaError, MediaNews, MediaRequest, MediaRoom, MediaRooms, Recorder, TakeOrder, Takes, Track,
};

use crate::meeting::{Refused, RequestInput, ToMeeting};
use crate::node::Done;
use crate::release::Batch;
use crate::whiteboard::hub::BoardHubs;
use crate::whiteboard::words::{AskBoard, Desk, Show};
use async_trait::async_trait;
use convoke_domain::event::Cause;
use convoke_domain::{MeetingId, Millis, ParticipantId, Seq, SessionId, TenantId, Term, WhiteboardId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// A meeting, with the tenant that it belongs to: no query is made without both.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MeetingKey {
    pub tenant: TenantId,
    pub meeting: MeetingId,
}

/// A node in one of its lives. A restart under the same name is another epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeLife {
    pub node: String,
    pub epoch: i64,
}

/// A node as its row shows it to the others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    pub life: NodeLife,
    /// Meetings that it serves.
    pub meetings: u32,
    /// It stops, and takes nothing more.
    pub is_draining: bool,
}

/// An event as it is stored: what clients are sent stands in `data` already encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventRow {
    pub seq: Seq,
    pub at: Millis,
    pub kind: String,
    pub version: u16,
    /// `Audience` as JSON.
    pub audience: String,
    pub cause: Option<Cause>,
    /// The event's payload as JSON.
    pub data: Arc<str>,
}

/// A meeting's head row: who owns it, how far its log goes, when it next has something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    pub key: MeetingKey,
    pub owner: Option<NodeLife>,
    pub term: Term,
    pub seq: Seq,
    pub wake_at: Option<Millis>,
    /// Why the meeting cannot be rebuilt, if it cannot.
    pub failed: Option<String>,
}

/// A meeting just taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    pub term: Term,
    pub seq: Seq,
    /// Another life had it until now and did not give it back: it died, or it was this one's own
    /// actor that crashed.
    pub was_owned: bool,
    pub failed: Option<String>,
}

/// State as of a seq, as JSON: replay starts behind it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub seq: Seq,
    pub version: u16,
    pub state: String,
}

/// Something to be delivered outside, once its events are durable: mail, a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    pub topic: String,
    pub idempotency_key: String,
    pub payload: String,
}

/// One meeting's part of a transaction. It holds only where the head still says `term` and `after`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    pub key: MeetingKey,
    pub term: Term,
    /// The seq before the first of these events.
    pub after: Seq,
    pub events: Vec<EventRow>,
    pub wake_at: Option<Millis>,
    pub outbox: Vec<OutboxRow>,
    /// What these events mean for the logs of boards.
    pub boards: Vec<BoardChange>,
}

impl Commit {
    /// The seq that the head has after this commit.
    pub fn reaches(&self) -> Seq {
        self.events.last().map_or(self.after, |event| event.seq)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another term owns the meeting: whoever sees this stops and writes nothing more.
    #[error("fenced: another owner has the meeting")]
    Fenced,
    #[error("there is no such meeting")]
    NotFound,
    /// Somebody alive owns it.
    #[error("the meeting is owned by node {}", .0.node)]
    Owned(NodeLife),
    /// Nothing was written, or nobody can know: both are answered by reading the log again.
    #[error("the database is out of reach: {0}")]
    Unavailable(String),
    /// The data is not what this version can read.
    #[error("the stored data cannot be read: {0}")]
    Corrupt(String),
}

#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The database's clock.
    async fn now(&self) -> Result<Millis, StoreError>;

    /// Begins a new life of this node: its epoch is higher than any before, and its lease runs.
    async fn boot(&self, node: &str, lease: Duration) -> Result<NodeLife, StoreError>;
    /// Renews the lease. False: it ran out and another life may own the meetings by now.
    async fn renew(&self, life: &NodeLife, lease: Duration) -> Result<bool, StoreError>;
    /// Ends this life: its lease is over at once.
    async fn retire(&self, life: &NodeLife) -> Result<(), StoreError>;

    /// Tells the other nodes how much this one serves, and whether it stops.
    async fn report(&self, _life: &NodeLife, _meetings: u32, _is_draining: bool) -> Result<(), StoreError> {
        Ok(())
    }
    /// The nodes whose lease runs, by name.
    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        Ok(Vec::new())
    }

    /// Writes a new meeting: its head (seq 1, no owner) and first event, in one transaction. False:
    /// the meeting exists already; nothing is written.
    async fn create(&self, key: &MeetingKey, first: &EventRow, wake_at: Option<Millis>) -> Result<bool, StoreError>;
    /// Takes a meeting: raises its term and makes this life its owner, where it has no owner, its
    /// owner is this node in any life, or its owner's lease has run out. Waits for transactions
    /// under the old term. `NotFound`, `Owned`.
    async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError>;
    /// Gives a meeting back, so that anybody may take it. Fenced if the term is another by now.
    async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError>;

    /// Writes all of these in one transaction, or none: events, heads, outbox, what was drawn. `Fenced` if
    /// any of them is.
    async fn commit(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError>;

    async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError>;
    /// How far the logs of these meetings go, and under which term. Unknown ones are left out.
    async fn heads(&self, _keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
        Ok(Vec::new())
    }
    /// Events after `after`, in order, at most `limit`.
    async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError>;
    async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError>;
    /// Keeps a snapshot in the place of the older one. Fenced under another term. One that is older than an
    /// overwriting of the log is passed over.
    async fn save_snapshot(&self, key: &MeetingKey, term: Term, snapshot: &Snapshot) -> Result<(), StoreError>;
    /// Overwrites events in place (erasure), all in one transaction: payload and cause are as given
    /// here, kind, seq and time stay; and drops the snapshot if it is older than `since`.
    async fn overwrite(&self, key: &MeetingKey, events: &[EventRow], since: Seq) -> Result<(), StoreError>;

    /// What is kept of a board, as of one moment. `NotFound`.
    async fn board(&self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError>;
    /// Puts one state in the place of the board's log up to and with `upto`. What was written behind that
    /// stays. Passed over where the log begins later already. `Fenced`, `NotFound`.
    async fn compact_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        upto: u64,
        state: &[u8],
    ) -> Result<(), StoreError>;
    /// Keeps a state of the board, with the number up to which it holds everything, under a name, until it is
    /// deleted with the board, or as the oldest of more than `most`. `Fenced`, `NotFound`.
    async fn keep_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        snapshot: &BoardSnapshot,
        state: (u64, &[u8]),
        most: u32,
    ) -> Result<(), StoreError>;
    /// The states that are kept, newest first.
    async fn board_snapshots(&self, key: &MeetingKey, board: WhiteboardId) -> Result<Vec<BoardSnapshot>, StoreError>;
    async fn board_snapshot(
        &self,
        key: &MeetingKey,
        board: WhiteboardId,
        snapshot: Uuid,
    ) -> Result<Option<Vec<u8>>, StoreError>;

    /// Meetings that have something to do by `now` and no living owner.
    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<MeetingKey>, StoreError>;

    /// Counts a command that brought its meeting's actor down; answers how often it has by now.
    async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError>;
    /// The commands of this meeting that were ever counted so.
    async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError>;
    /// Marks a meeting that cannot be rebuilt, or clears the mark.
    async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError>;
}

/// Wall time and monotonic time, corrected and faked as needed.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Millis;
    /// Fresh chance for one turn.
    fn entropy(&self) -> u128;
    /// A fresh id, of a socket or a call: greater than those before it on this node.
    fn id(&self) -> Uuid {
        Uuid::now_v7()
    }
    /// The database's clock said this just now; the nodes agree on that one.
    fn correct(&self, _database: Millis) {}
}

/// A message or a request for a meeting that another node serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    /// The same for each try: it takes effect once at each owner.
    pub id: Uuid,
    pub key: MeetingKey,
    pub ask: Ask,
    /// Later than this nobody waits for it any more, and it is not carried out.
    pub until: Millis,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Ask {
    Message(ToMeeting),
    Request(RequestInput),
    Board(WhiteboardId, AskBoard),
}

/// What came of it. `None` where nothing but having been taken is to be told.
pub type Told = Result<Option<Done>, Refused>;

/// Nobody answered in time; it may have been carried out, or may yet be.
#[derive(Debug, thiserror::Error)]
#[error("the other node does not answer")]
pub struct Unanswered;

/// Carries what leaves the meetings to the hubs that follow them, and what is asked of a meeting to
/// the node that serves it. At most once, and never trusted: everything that it loses is noticed
/// and made good from the log.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// To the hubs of all nodes.
    fn publish(&self, batch: Arc<Batch>);

    /// To the hubs of this node.
    fn publish_here(&self, batch: Arc<Batch>) {
        self.publish(batch);
    }

    /// There are no other nodes.
    fn is_alone(&self) -> bool {
        true
    }

    /// Other nodes can be reached.
    fn is_connected(&self) -> bool {
        true
    }

    /// This process, in this life of it.
    fn process(&self) -> Uuid {
        Uuid::nil()
    }

    /// The hubs of this process, for what is drawn on boards.
    fn board_hubs(&self) -> &BoardHubs;

    /// What this process is told things by.
    fn channel(&self) -> String {
        String::new()
    }

    /// Shows something to the sockets of a hub, of whatever process.
    fn show(&self, desk: &Desk, show: Arc<Show>) {
        self.board_hubs().show(desk.hub, show);
    }

    async fn call(&self, _to: &NodeLife, _call: &Call) -> Result<Told, Unanswered> {
        Err(Unanswered)
    }
}

/// What a verified join token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admission {
    pub key: MeetingKey,
    pub user: Option<convoke_domain::UserId>,
    pub name: Option<String>,
    pub role: convoke_domain::shapes::Role,
}

/// Whom a resume token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub key: MeetingKey,
    pub session: SessionId,
    pub participant: ParticipantId,
}

/// Verifies and makes the tokens that sockets present.
pub trait Doors: Send + Sync + 'static {
    /// None: forged, expired, of an unknown key, or not a join token.
    fn admission(&self, token: &str) -> Option<Admission>;
    fn ticket(&self, resume_token: &str) -> Option<Ticket>;
    fn resume_token(&self, ticket: &Ticket) -> String;
    /// Whom a board's token stands for, and which board it opens.
    fn board_ticket(&self, token: &str) -> Option<(Ticket, WhiteboardId)>;
    fn board_token(&self, ticket: &Ticket, board: WhiteboardId) -> String;
}
