//! A store whose every call ends in time. The database ends its own statements, but a connection
//! whose other end has silently gone says nothing at all, and an actor that waits for it would wait
//! with it. A call that was given up may have taken effect: that is an unknown outcome, like a
//! connection that broke.

use async_trait::async_trait;
use convoke_actors::ports::{
    BoardCommit, BoardLog, BoardSnapshot, Commit, EventRow, Head, MeetingKey, NodeLife, Peer, Snapshot, Store,
    StoreError, Taken,
};
use convoke_domain::event::Cause;
use convoke_domain::{Millis, Seq, Term, WhiteboardId};
use std::time::Duration;
use uuid::Uuid;

/// Longer than getting a connection (3 s) and the database's own limit for a statement (5 s), so
/// where the database can say what is wrong, it does.
const CALL: Duration = Duration::from_secs(10);

pub struct Bounded<S> {
    inner: S,
    call: Duration,
}

impl<S: Store> Bounded<S> {
    pub fn new(inner: S) -> Self {
        Self { inner, call: CALL }
    }

    async fn within<T>(&self, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
        within(self.call, call).await
    }
}

async fn within<T>(limit: Duration, call: impl Future<Output = Result<T, StoreError>> + Send) -> Result<T, StoreError> {
    tokio::time::timeout(limit, call)
        .await
        .unwrap_or_else(|_| Err(StoreError::Unavailable(format!("no answer within {} ms", limit.as_millis()))))
}

#[async_trait]
impl<S: Store> Store for Bounded<S> {
    async fn now(&self) -> Result<Millis, StoreError> {
        self.within(self.inner.now()).await
    }

    async fn boot(&self, node: &str, lease: Duration) -> Result<NodeLife, StoreError> {
        self.within(self.inner.boot(node, lease)).await
    }

    /// A renewal that comes back after the lease it was to renew is of no use to anybody.
    async fn renew(&self, life: &NodeLife, lease: Duration) -> Result<bool, StoreError> {
        within(self.call.min(lease), self.inner.renew(life, lease)).await
    }

    async fn retire(&self, life: &NodeLife) -> Result<(), StoreError> {
        self.within(self.inner.retire(life)).await
    }

    async fn report(&self, life: &NodeLife, meetings: u32, is_draining: bool) -> Result<(), StoreError> {
        self.within(self.inner.report(life, meetings, is_draining)).await
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.within(self.inner.peers()).await
    }

    async fn heads(&self, keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
        self.within(self.inner.heads(keys)).await
    }

    async fn create(&self, key: &MeetingKey, first: &EventRow, wake_at: Option<Millis>) -> Result<bool, StoreError> {
        self.within(self.inner.create(key, first, wake_at)).await
    }

    async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError> {
        self.within(self.inner.take(key, life)).await
    }

    async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
        self.within(self.inner.release(key, term)).await
    }

    async fn commit(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
        self.within(self.inner.commit(commits, boards)).await
    }

    async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError> {
        self.within(self.inner.head(key)).await
    }

    async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        self.within(self.inner.events(key, after, limit)).await
    }

    async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError> {
        self.within(self.inner.snapshot(key)).await
    }

    async fn save_snapshot(&self, key: &MeetingKey, term: Term, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.within(self.inner.save_snapshot(key, term, snapshot)).await
    }

    async fn overwrite(&self, key: &MeetingKey, events: &[EventRow], since: Seq) -> Result<(), StoreError> {
        self.within(self.inner.overwrite(key, events, since)).await
    }

    async fn board(&self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError> {
        self.within(self.inner.board(key, board)).await
    }

    async fn compact_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        upto: u64,
        state: &[u8],
    ) -> Result<(), StoreError> {
        self.within(self.inner.compact_board(key, term, board, upto, state)).await
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
        self.within(self.inner.keep_board(key, term, board, snapshot, state, most)).await
    }

    async fn board_snapshots(&self, key: &MeetingKey, board: WhiteboardId) -> Result<Vec<BoardSnapshot>, StoreError> {
        self.within(self.inner.board_snapshots(key, board)).await
    }

    async fn board_snapshot(
        &self,
        key: &MeetingKey,
        board: WhiteboardId,
        snapshot: Uuid,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.within(self.inner.board_snapshot(key, board, snapshot)).await
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<MeetingKey>, StoreError> {
        self.within(self.inner.due(now, limit)).await
    }

    async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError> {
        self.within(self.inner.count_death(key, cause)).await
    }

    async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError> {
        self.within(self.inner.deaths(key)).await
    }

    async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError> {
        self.within(self.inner.mark_failed(key, reason)).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_is_never_answered_is_given_up() {
        let silent = std::future::pending::<Result<(), StoreError>>();
        let outcome = within(Duration::from_millis(1), silent).await;
        assert!(matches!(outcome, Err(StoreError::Unavailable(why)) if why == "no answer within 1 ms"));
    }
}
