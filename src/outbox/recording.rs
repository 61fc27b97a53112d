//! The store as the journal sees it where mail is sent: what is to be delivered goes into the
//! transaction of the event that it follows from.

use super::INVITATION;
use super::letter::Invited;
use async_trait::async_trait;
use convoke_actors::frame::json;
use convoke_actors::meeting::decode;
use convoke_actors::ports::{
    BoardCommit, BoardLog, BoardSnapshot, Commit, EventRow, Head, MeetingKey, NodeLife, OutboxRow, Peer, Snapshot,
    Store, StoreError, Taken,
};
use convoke_domain::event::Cause;
use convoke_domain::{Event, Millis, Seq, Term, WhiteboardId};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use uuid::Uuid;

const INVITATION_CREATED: &str = "invitation.created";

pub struct Recording {
    inner: Arc<dyn Store>,
    /// Told when something was written, so that it is sent at once.
    written: Arc<Notify>,
}

impl Recording {
    pub fn new(inner: Arc<dyn Store>, written: Arc<Notify>) -> Self {
        Self { inner, written }
    }
}

/// What is to be delivered because of an event. Its key is the invitation's, so that a commit that is
/// repeated writes it once.
fn follows_from(event: &EventRow) -> Option<OutboxRow> {
    if event.kind != INVITATION_CREATED {
        return None;
    }
    let Event::InvitationCreated { invitation } = decode(event).ok()?.event else { return None };
    Some(OutboxRow {
        topic: INVITATION.to_owned(),
        idempotency_key: format!("invitation:{}", invitation.id),
        payload: json(&Invited { id: invitation.id, email: invitation.email, role: invitation.role }),
    })
}

fn with_outbox(commits: &[Commit]) -> Cow<'_, [Commit]> {
    let is_concerned = |commit: &Commit| commit.events.iter().any(|event| event.kind == INVITATION_CREATED);
    if !commits.iter().any(is_concerned) {
        return Cow::Borrowed(commits);
    }
    let mut commits = commits.to_vec();
    for commit in &mut commits {
        let rows: Vec<OutboxRow> = commit.events.iter().filter_map(follows_from).collect();
        commit.outbox.extend(rows);
    }
    Cow::Owned(commits)
}

#[async_trait]
impl Store for Recording {
    async fn commit(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
        let commits = with_outbox(commits);
        self.inner.commit(&commits, boards).await?;
        if matches!(commits, Cow::Owned(_)) {
            self.written.notify_one();
        }
        Ok(())
    }

    // Everything else is the store's own.

    async fn now(&self) -> Result<Millis, StoreError> {
        self.inner.now().await
    }

    async fn boot(&self, node: &str, lease: Duration) -> Result<NodeLife, StoreError> {
        self.inner.boot(node, lease).await
    }

    async fn renew(&self, life: &NodeLife, lease: Duration) -> Result<bool, StoreError> {
        self.inner.renew(life, lease).await
    }

    async fn retire(&self, life: &NodeLife) -> Result<(), StoreError> {
        self.inner.retire(life).await
    }

    async fn report(&self, life: &NodeLife, meetings: u32, is_draining: bool) -> Result<(), StoreError> {
        self.inner.report(life, meetings, is_draining).await
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.inner.peers().await
    }

    async fn heads(&self, keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
        self.inner.heads(keys).await
    }

    async fn create(&self, key: &MeetingKey, first: &EventRow, wake_at: Option<Millis>) -> Result<bool, StoreError> {
        self.inner.create(key, first, wake_at).await
    }

    async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError> {
        self.inner.take(key, life).await
    }

    async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
        self.inner.release(key, term).await
    }

    async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError> {
        self.inner.head(key).await
    }

    async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.inner.events(key, after, limit).await
    }

    async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(key).await
    }

    async fn save_snapshot(&self, key: &MeetingKey, term: Term, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.inner.save_snapshot(key, term, snapshot).await
    }

    async fn overwrite(&self, key: &MeetingKey, events: &[EventRow], since: Seq) -> Result<(), StoreError> {
        self.inner.overwrite(key, events, since).await
    }

    async fn board(&self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError> {
        self.inner.board(key, board).await
    }

    async fn compact_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        upto: u64,
        state: &[u8],
    ) -> Result<(), StoreError> {
        self.inner.compact_board(key, term, board, upto, state).await
    }

    async fn keep_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        snapshot: &BoardSnapshot,
        state: (u64, &[u8]),
        most: u32,
    ) -> Result<(), StoreError> {
        self.inner.keep_board(key, term, board, snapshot, state, most).await
    }

    async fn board_snapshots(&self, key: &MeetingKey, board: WhiteboardId) -> Result<Vec<BoardSnapshot>, StoreError> {
        self.inner.board_snapshots(key, board).await
    }

    async fn board_snapshot(
        &self,
        key: &MeetingKey,
        board: WhiteboardId,
        snapshot: Uuid,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.board_snapshot(key, board, snapshot).await
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<MeetingKey>, StoreError> {
        self.inner.due(now, limit).await
    }

    async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError> {
        self.inner.count_death(key, cause).await
    }

    async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError> {
        self.inner.deaths(key).await
    }

    async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError> {
        self.inner.mark_failed(key, reason).await
    }
}
