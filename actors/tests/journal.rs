//! The journal alone: what meetings and boards write shares transactions, and nobody fails for another.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use actix::{Actor, Addr, Context, Handler};
use bytes::Bytes;
use common::{FakeStore, Weather};
use convoke_actors::journal::{Append, BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Committed, Draw, Failure, Flush, Journal};
use convoke_actors::ports::*;
use convoke_domain::{MeetingId, Seq, TenantId, Term, WhiteboardId};
use std::sync::{Arc, Mutex};
use uuid::Uuid;

/// Whoever writes, and what they were answered, in order.
#[derive(Clone, Default)]
struct Writer(Arc<Mutex<Vec<Result<Seq, Failure>>>>);

impl Actor for Writer {
    type Context = Context<Self>;
}

impl Handler<Committed> for Writer {
    type Result = ();

    fn handle(&mut self, committed: Committed, _: &mut Self::Context) {
        self.0.lock().unwrap().push(committed.outcome);
    }
}

struct World {
    store: Arc<FakeStore>,
    journal: Addr<Journal>,
    life: NodeLife,
}

/// A meeting with a board, and its writers.
struct Part {
    key: MeetingKey,
    term: Term,
    board: WhiteboardId,
    events: Writer,
    updates: Writer,
}

fn event(seq: u64) -> EventRow {
    let (kind, audience, data) = ("chat.posted".into(), "\"everyone\"".into(), "{}".into());
    EventRow { seq: Seq(seq), at: 0, kind, version: 1, audience, cause: None, data }
}

fn run<T: Future<Output = ()>>(test: impl FnOnce(World) -> T + 'static) {
    actix::System::new().block_on(async move {
        let store = Arc::new(FakeStore::default());
        let life = store.boot("here", std::time::Duration::MAX).await.unwrap();
        test(World { journal: Journal::new(store.clone()).start(), store, life }).await;
    });
}

impl World {
    async fn meeting(&self) -> Part {
        let key = MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::now_v7()) };
        self.store.create(&key, &event(1), None).await.unwrap();
        let term = self.store.take(&key, &self.life).await.unwrap().term;
        let board = WhiteboardId(Uuid::now_v7());
        let part = Part { key, term, board, events: Writer::default(), updates: Writer::default() };
        let create = Commit { boards: vec![BoardChange::Create { board, copy_of: None }], ..part.commit(1, 0) };
        self.store.commit(&[create], &[]).await.unwrap();
        part
    }

    fn append(&self, part: &Part, after: u64, events: u64) {
        let reply = part.events.clone().start().recipient();
        self.journal.try_send(Append { commit: part.commit(after, events), spans: Vec::new(), reply }).unwrap();
    }

    fn draw(&self, part: &Part, after: u64, updates: Vec<Bytes>) {
        self.restore(part, after, updates, None);
    }

    fn restore(&self, part: &Part, after: u64, updates: Vec<Bytes>, restored: Option<Uuid>) {
        let reply = part.updates.clone().start().recipient();
        let commit = BoardCommit { restored, ..part.drawn(after, updates) };
        self.journal.try_send(Draw { commit, reply }).unwrap();
    }

    async fn written(&self) {
        let (done, written) = tokio::sync::oneshot::channel();
        self.journal.try_send(Flush(done)).unwrap();
        written.await.unwrap();
        // The answers are on their way.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    async fn log(&self, part: &Part) -> BoardLog {
        self.store.board(&part.key, part.board).await.unwrap()
    }

    fn sizes(&self) -> Vec<(usize, usize)> {
        self.store.sizes.lock().unwrap().clone()
    }
}

impl Part {
    fn commit(&self, after: u64, events: u64) -> Commit {
        let events = (1..=events).map(|n| event(after + n)).collect();
        let (key, term, after) = (self.key.clone(), self.term, Seq(after));
        Commit { key, term, after, events, wake_at: None, outbox: Vec::new(), boards: Vec::new() }
    }

    fn drawn(&self, after: u64, updates: Vec<Bytes>) -> BoardCommit {
        let (key, term, board) = (self.key.clone(), self.term, self.board);
        BoardCommit { key, term, board, after, updates, restored: None }
    }
}

fn some(updates: usize) -> Vec<Bytes> {
    vec![Bytes::from_static(b"x"); updates]
}

fn told(writer: &Writer) -> Vec<Result<Seq, Failure>> {
    writer.0.lock().unwrap().clone()
}

#[test]
fn what_follows_each_other_is_one_commit_and_one_answer() {
    run(|world| async move {
        let part = world.meeting().await;
        world.store.forecast(&[Weather::Stalled]);
        // The first is under way while the others gather.
        world.draw(&part, 0, some(1));
        tokio::task::yield_now().await;
        world.draw(&part, 1, some(1));
        let request = Some(Uuid::now_v7());
        world.restore(&part, 2, some(1), request);
        world.append(&part, 1, 1);
        world.draw(&part, 3, some(3));
        world.append(&part, 2, 2);
        tokio::task::yield_now().await;
        world.store.forecast(&[]);
        world.written().await;
        assert_eq!(told(&part.updates), [Ok(Seq(1)), Ok(Seq(6))]);
        assert_eq!(told(&part.events), [Ok(Seq(4))]);
        let log = world.log(&part).await;
        assert_eq!((log.head(), log.restored), (6, request));
        assert_eq!(world.sizes().last(), Some(&(1, 1)), "one transaction for both");
    });
}

#[test]
fn a_board_that_is_fenced_does_not_hurt_a_meeting_nor_the_other_way_round() {
    run(|world| async move {
        let (good, bad) = (world.meeting().await, world.meeting().await);
        world.store.forecast(&[Weather::Stalled]);
        world.append(&good, 1, 0);
        tokio::task::yield_now().await;
        world.draw(&bad, 7, some(1));
        world.append(&good, 1, 2);
        world.draw(&good, 0, some(2));
        world.append(&bad, 9, 1);
        tokio::task::yield_now().await;
        world.store.forecast(&[]);
        world.written().await;
        assert_eq!(told(&good.events), [Ok(Seq(1)), Ok(Seq(3))]);
        assert_eq!(told(&good.updates), [Ok(Seq(2))]);
        assert_eq!(told(&bad.events), [Err(Failure::Fenced)]);
        assert_eq!(told(&bad.updates), [Err(Failure::Fenced)]);
        assert_eq!((world.log(&good).await.head(), world.log(&bad).await.head()), (2, 0));
        // Another has taken the meeting: its boards are fenced with it.
        world.store.steal(&good.key);
        world.draw(&good, 2, some(1));
        world.written().await;
        assert_eq!(told(&good.updates).last(), Some(&Err(Failure::Fenced)));
    });
}

#[test]
fn a_database_that_is_away_is_not_asked_once_for_everybody() {
    run(|world| async move {
        let parts = [world.meeting().await, world.meeting().await, world.meeting().await];
        world.store.forecast(&[Weather::Stalled]);
        world.append(&parts[0], 1, 0);
        tokio::task::yield_now().await;
        for part in &parts {
            world.draw(part, 0, some(1));
        }
        tokio::task::yield_now().await;
        let asked = world.sizes().len();
        world.store.forecast(&[Weather::Fine, Weather::Away, Weather::Away]);
        world.written().await;
        for part in &parts {
            assert_eq!(told(&part.updates), [Err(Failure::Unknown)]);
        }
        assert_eq!(world.sizes().len(), asked + 3, "the one under way, the shared one, and one of the single ones");
    });
}

#[test]
fn a_transaction_is_bounded_in_updates_and_in_bytes() {
    run(|world| async move {
        let parts = [world.meeting().await, world.meeting().await, world.meeting().await];
        world.store.forecast(&[Weather::Stalled]);
        world.append(&parts[0], 1, 0);
        tokio::task::yield_now().await;
        // One that is too large alone is not split, and takes nobody along.
        world.draw(&parts[0], 0, some(BATCH_EVENTS_MAX + 1));
        let large = Bytes::from(vec![0; BATCH_BYTES_MAX / 2]);
        world.draw(&parts[1], 0, vec![large.clone(), large.clone()]);
        world.append(&parts[1], 1, 1);
        world.draw(&parts[2], 0, vec![large]);
        tokio::task::yield_now().await;
        let asked = world.sizes().len();
        world.store.forecast(&[]);
        world.written().await;
        assert_eq!(world.sizes()[asked..], [(1, 0), (0, 1), (1, 1), (0, 1)]);
        assert_eq!(told(&parts[0].updates), [Ok(Seq(u64::try_from(BATCH_EVENTS_MAX).unwrap() + 1))]);
        assert_eq!((told(&parts[1].updates), told(&parts[2].updates)), (vec![Ok(Seq(2))], vec![Ok(Seq(1))]));
    });
}

#[test]
fn a_panic_leaves_what_was_drawn_unknown() {
    run(|world| async move {
        let part = world.meeting().await;
        world.store.forecast(&[Weather::Panic]);
        world.draw(&part, 0, some(1));
        world.draw(&part, 1, some(1));
        world.written().await;
        assert!(told(&part.updates).contains(&Err(Failure::Unknown)), "{:?}", told(&part.updates));
        let head = world.log(&part).await.head();
        world.draw(&part, head, some(1));
        world.written().await;
        assert_eq!(told(&part.updates).last(), Some(&Ok(Seq(head + 1))));
    });
}
