//! The database, as all nodes share it: terms, leases by its own clock, conditions. What is asked of
//! it travels, and may be done although whoever asked is dead by then, or has given up.

use crate::boards::Boards;
use crate::chance::{Chance, Outside, Time};
use crate::link::Link;
use crate::plan::Weather;
use async_trait::async_trait;
use convoke_actors::ports::*;
use convoke_domain::event::Cause;
use convoke_domain::{Millis, Seq, Term, WhiteboardId};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::oneshot;
use uuid::Uuid;

/// After this whoever asks gives up.
const PATIENCE: Duration = Duration::from_secs(3);

/// Guards that are taken away, to see that the simulation finds it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Without {
    /// Commits are taken from whoever sends them.
    pub fence: bool,
    /// The log does not know which command caused what.
    pub numbering: bool,
    /// Neither jumps nor lost tails are noticed.
    pub repair: bool,
}

#[derive(Default)]
pub struct Meeting {
    term: u64,
    owner: Option<NodeLife>,
    wake_at: Option<Millis>,
    snapshot: Option<Snapshot>,
    pub failed: Option<String>,
    pub events: BTreeMap<Seq, EventRow>,
    /// The term that each was written under.
    pub terms: BTreeMap<Seq, u64>,
    pub fenced: u64,
}

impl Meeting {
    fn seq(&self) -> Seq {
        self.events.last_key_value().map_or(Seq(0), |(seq, _)| *seq)
    }
}

struct Row {
    epoch: i64,
    lease_until: Millis,
    meetings: u32,
    is_draining: bool,
}

#[derive(Default)]
pub struct Tables {
    pub meetings: BTreeMap<MeetingKey, Meeting>,
    pub boards: Boards,
    nodes: BTreeMap<String, Row>,
    deaths: BTreeMap<(MeetingKey, Cause), u32>,
}

impl Tables {
    fn lives(&self, life: &NodeLife, now: Millis) -> bool {
        self.nodes.get(&life.node).is_some_and(|row| row.epoch == life.epoch && row.lease_until > now)
    }

    fn meeting(&mut self, key: &MeetingKey) -> Result<&mut Meeting, StoreError> {
        self.meetings.get_mut(key).ok_or(StoreError::NotFound)
    }

    fn check_term(&mut self, key: &MeetingKey, term: Term, without: Without) -> Result<&mut Meeting, StoreError> {
        let meeting = self.meeting(key)?;
        if meeting.term == term.0 || without.fence { Ok(meeting) } else { Err(StoreError::Fenced) }
    }
}

pub struct Database {
    pub tables: Mutex<Tables>,
    pub time: Time,
    pub weather: Mutex<Weather>,
    /// Away, so often at once.
    pub absences: Mutex<u32>,
    pub chance: Chance,
    pub outside: Outside,
    pub without: Without,
    /// What was asked of the media by whoever had no say.
    pub usurped: Mutex<Vec<String>>,
}

impl Database {
    /// A life asks something of the media for a meeting: it must be its owner, by the database's clock, at
    /// the moment at which it asks.
    pub fn speaks_for(&self, link: &Link, key: &MeetingKey) {
        let tables = self.tables.lock().unwrap();
        let now = self.time.now();
        let owner = tables.meetings.get(key).and_then(|meeting| meeting.owner.as_ref());
        let is_owner = |owner: &NodeLife| owner.node == format!("node-{}", link.node) && tables.lives(owner, now);
        if !owner.is_some_and(is_owner) && !self.without.fence {
            let what = format!("node {} asks the media for a meeting that is {owner:?}'s", link.node);
            self.usurped.lock().unwrap().push(what);
        }
    }

    fn is_away(&self) -> bool {
        *self.absences.lock().unwrap() > 0
    }
}

/// A life's way to the database.
pub struct Store {
    pub database: Arc<Database>,
    pub link: Arc<Link>,
}

fn out_of_reach() -> StoreError {
    StoreError::Unavailable("out of reach".into())
}

impl Store {
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&mut Tables, Millis) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.link.asks();
        if self.link.is_dead() {
            return std::future::pending().await;
        }
        let (answer, answered) = oneshot::channel();
        let (database, link) = (Arc::clone(&self.database), Arc::clone(&self.link));
        let could_leave = link.hears_database();
        self.database.outside.spawn(async move {
            let chance = &database.chance;
            tokio::time::sleep(chance.pause(0, 4)).await;
            let weather = *database.weather.lock().unwrap();
            if !could_leave || database.is_away() {
                return;
            }
            if chance.is(weather.refused) {
                let _ = answer.send(Err(out_of_reach()));
                return;
            }
            let now = database.time.now();
            let outcome = question(&mut database.tables.lock().unwrap(), now);
            tokio::time::sleep(chance.pause(0, 4)).await;
            let is_lost = chance.is(weather.unknown) || database.is_away() || !link.hears_database();
            if !is_lost {
                let _ = answer.send(outcome);
            }
        });
        let until = tokio::time::Instant::now() + PATIENCE;
        let outcome = tokio::time::timeout_at(until, answered).await;
        self.link.is_answered();
        if self.link.is_dead() {
            return std::future::pending().await;
        }
        match outcome {
            Ok(Ok(outcome)) => outcome,
            _ => {
                tokio::time::sleep_until(until).await;
                Err(out_of_reach())
            }
        }
    }
}

#[async_trait]
impl convoke_actors::ports::Store for Store {
    async fn now(&self) -> Result<Millis, StoreError> {
        self.ask(|_, now| Ok(now)).await
    }

    async fn boot(&self, node: &str, lease: Duration) -> Result<NodeLife, StoreError> {
        let node = node.to_owned();
        self.ask(move |tables, now| {
            let epoch = tables.nodes.get(&node).map_or(1, |row| row.epoch + 1);
            let row = Row { epoch, lease_until: now + millis(lease), meetings: 0, is_draining: false };
            tables.nodes.insert(node.clone(), row);
            Ok(NodeLife { node, epoch })
        })
        .await
    }

    async fn renew(&self, life: &NodeLife, lease: Duration) -> Result<bool, StoreError> {
        let life = life.clone();
        self.ask(move |tables, now| {
            if !tables.lives(&life, now) {
                return Ok(false);
            }
            tables.nodes.get_mut(&life.node).unwrap().lease_until = now + millis(lease);
            Ok(true)
        })
        .await
    }

    async fn retire(&self, life: &NodeLife) -> Result<(), StoreError> {
        let life = life.clone();
        self.ask(move |tables, _| {
            if let Some(row) = tables.nodes.get_mut(&life.node).filter(|row| row.epoch == life.epoch) {
                row.lease_until = 0;
            }
            Ok(())
        })
        .await
    }

    async fn report(&self, life: &NodeLife, meetings: u32, is_draining: bool) -> Result<(), StoreError> {
        let life = life.clone();
        self.ask(move |tables, _| {
            if let Some(row) = tables.nodes.get_mut(&life.node).filter(|row| row.epoch == life.epoch) {
                (row.meetings, row.is_draining) = (meetings, is_draining);
            }
            Ok(())
        })
        .await
    }

    async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
        self.ask(|tables, now| {
            let alive = tables.nodes.iter().filter(|(_, row)| row.lease_until > now);
            let peer = |(node, row): (&String, &Row)| Peer {
                life: NodeLife { node: node.clone(), epoch: row.epoch },
                meetings: row.meetings,
                is_draining: row.is_draining,
            };
            Ok(alive.map(peer).collect())
        })
        .await
    }

    async fn create(&self, key: &MeetingKey, first: &EventRow, wake_at: Option<Millis>) -> Result<bool, StoreError> {
        let (key, first) = (key.clone(), first.clone());
        self.ask(move |tables, _| {
            if tables.meetings.contains_key(&key) {
                return Ok(false);
            }
            let mut meeting = Meeting { wake_at, ..Meeting::default() };
            meeting.terms.insert(first.seq, 0);
            meeting.events.insert(first.seq, first);
            tables.meetings.insert(key, meeting);
            Ok(true)
        })
        .await
    }

    async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError> {
        let (key, life) = (key.clone(), life.clone());
        self.ask(move |tables, now| {
            let owner = tables.meeting(&key)?.owner.clone();
            let is_anothers =
                |owner: &NodeLife| !(owner.node == life.node && owner.epoch <= life.epoch) && tables.lives(owner, now);
            if let Some(owner) = owner.clone().filter(is_anothers) {
                return Err(StoreError::Owned(owner));
            }
            let meeting = tables.meeting(&key)?;
            meeting.term += 1;
            meeting.owner = Some(life);
            let (term, seq, failed) = (Term(meeting.term), meeting.seq(), meeting.failed.clone());
            Ok(Taken { term, seq, was_owned: owner.is_some(), failed })
        })
        .await
    }

    async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| {
            let meeting = tables.meeting(&key)?;
            if meeting.term != term.0 {
                return Err(StoreError::Fenced);
            }
            meeting.owner = None;
            Ok(())
        })
        .await
    }

    async fn commit(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
        let (commits, boards, without) = (commits.to_vec(), boards.to_vec(), self.database.without);
        self.ask(move |tables, _| {
            for commit in &commits {
                let meeting = tables.meeting(&commit.key)?;
                if !without.fence && (meeting.term != commit.term.0 || meeting.seq() != commit.after) {
                    meeting.fenced += 1;
                    return Err(StoreError::Fenced);
                }
            }
            for board in &boards {
                tables.check_term(&board.key, board.term, without)?;
            }
            if !without.fence && !tables.boards.holds(&boards) {
                return Err(StoreError::Fenced);
            }
            boards.iter().for_each(|board| tables.boards.draw(board));
            for commit in commits {
                commit.boards.iter().for_each(|change| tables.boards.change(&commit.key, *change));
                let meeting = tables.meeting(&commit.key)?;
                meeting.wake_at = commit.wake_at;
                for mut event in commit.events {
                    if without.numbering {
                        event.cause = None;
                    }
                    meeting.terms.insert(event.seq, commit.term.0);
                    meeting.events.insert(event.seq, event);
                }
            }
            Ok(())
        })
        .await
    }

    async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| {
            let meeting = tables.meeting(&key)?;
            let (term, seq) = (Term(meeting.term), meeting.seq());
            let (owner, wake_at, failed) = (meeting.owner.clone(), meeting.wake_at, meeting.failed.clone());
            Ok(Head { key, owner, term, seq, wake_at, failed })
        })
        .await
    }

    async fn heads(&self, keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
        let (keys, without) = (keys.to_vec(), self.database.without);
        self.ask(move |tables, _| {
            let known = keys.into_iter().filter_map(|key| {
                let meeting = tables.meetings.get(&key).filter(|_| !without.repair)?;
                Some((key, Term(meeting.term), meeting.seq()))
            });
            Ok(known.collect())
        })
        .await
    }

    async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| {
            let events = &tables.meeting(&key)?.events;
            Ok(events.range(after.next()..).take(usize::try_from(limit).unwrap()).map(|(_, row)| row.clone()).collect())
        })
        .await
    }

    async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| Ok(tables.meeting(&key)?.snapshot.clone())).await
    }

    async fn save_snapshot(&self, key: &MeetingKey, term: Term, snapshot: &Snapshot) -> Result<(), StoreError> {
        let (key, snapshot, without) = (key.clone(), snapshot.clone(), self.database.without);
        self.ask(move |tables, _| {
            tables.check_term(&key, term, without)?.snapshot = Some(snapshot);
            Ok(())
        })
        .await
    }

    async fn overwrite(&self, key: &MeetingKey, events: &[EventRow], since: Seq) -> Result<(), StoreError> {
        let (key, events) = (key.clone(), events.to_vec());
        self.ask(move |tables, _| {
            let meeting = tables.meeting(&key)?;
            for new in events {
                if let Some(row) = meeting.events.get_mut(&new.seq) {
                    row.data.clone_from(&new.data);
                    row.cause = new.cause;
                }
            }
            meeting.snapshot = meeting.snapshot.take().filter(|snapshot| snapshot.seq >= since);
            Ok(())
        })
        .await
    }

    async fn board(&self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| tables.boards.log(&key, board)).await
    }

    async fn compact_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        upto: u64,
        state: &[u8],
    ) -> Result<(), StoreError> {
        let (key, state, without) = (key.clone(), state.to_vec(), self.database.without);
        self.ask(move |tables, _| {
            tables.check_term(&key, term, without)?;
            tables.boards.compact(&key, board, upto, &state)
        })
        .await
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
        let (key, snapshot, state, without) = (key.clone(), snapshot.clone(), state.1.to_vec(), self.database.without);
        self.ask(move |tables, _| {
            tables.check_term(&key, term, without)?;
            tables.boards.keep(&key, board, &snapshot, &state, most)
        })
        .await
    }

    async fn board_snapshots(&self, key: &MeetingKey, board: WhiteboardId) -> Result<Vec<BoardSnapshot>, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| Ok(tables.boards.snapshots(&key, board))).await
    }

    async fn board_snapshot(
        &self,
        key: &MeetingKey,
        board: WhiteboardId,
        snapshot: Uuid,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| Ok(tables.boards.snapshot(&key, board, snapshot))).await
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<MeetingKey>, StoreError> {
        self.ask(move |tables, database_now| {
            let is_due = |meeting: &Meeting| {
                meeting.failed.is_none()
                    && meeting.wake_at.is_some_and(|at| at <= now)
                    && !meeting.owner.as_ref().is_some_and(|owner| tables.lives(owner, database_now))
            };
            let due = tables.meetings.iter().filter(|(_, meeting)| is_due(meeting)).map(|(key, _)| key.clone());
            Ok(due.take(usize::try_from(limit).unwrap()).collect())
        })
        .await
    }

    async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| {
            let count = tables.deaths.entry((key, cause)).or_default();
            *count += 1;
            Ok(*count)
        })
        .await
    }

    async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError> {
        let key = key.clone();
        self.ask(move |tables, _| {
            let of_it = tables.deaths.iter().filter(|((other, _), _)| *other == key);
            Ok(of_it.map(|((_, cause), count)| (*cause, *count)).collect())
        })
        .await
    }

    async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError> {
        let (key, reason) = (key.clone(), reason.map(ToOwned::to_owned));
        self.ask(move |tables, _| {
            tables.meeting(&key)?.failed = reason;
            Ok(())
        })
        .await
    }
}

fn millis(duration: Duration) -> Millis {
    u64::try_from(duration.as_millis()).unwrap()
}
