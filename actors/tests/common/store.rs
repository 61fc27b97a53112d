//! A store in memory, with the database's terms, owners and conditions. What comes of the next
//! commits is forecast by the test.

use super::boards::Boards;
use async_trait::async_trait;
use convoke_actors::ports::*;
use convoke_domain::event::Cause;
use convoke_domain::{Millis, Seq, Term, WhiteboardId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;
use uuid::Uuid;

/// How the next commits go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weather {
    Fine,
    /// Nothing is written.
    Away,
    /// Written, and then the connection is lost.
    Unknown,
    Panic,
    /// Commits wait until it is fine.
    Stalled,
}

#[derive(Default)]
struct Meeting {
    term: u64,
    owner: Option<NodeLife>,
    events: Vec<EventRow>,
    snapshot: Option<Snapshot>,
    failed: Option<String>,
}

#[derive(Default)]
pub struct FakeStore {
    /// How long it takes to read a board.
    pub reads_boards_in: Mutex<Duration>,
    meetings: Mutex<BTreeMap<MeetingKey, Meeting>>,
    boards: Mutex<Boards>,
    deaths: Mutex<BTreeMap<(MeetingKey, Cause), u32>>,
    weather: Mutex<Vec<Weather>>,
    cleared: tokio::sync::Notify,
    /// How many meetings and boards were in each transaction that was tried.
    pub sizes: Mutex<Vec<(usize, usize)>>,
}

impl FakeStore {
    /// The weather of the next commits, one each; fine again afterwards.
    pub fn forecast(&self, weather: &[Weather]) {
        *self.weather.lock().unwrap() = weather.to_vec();
        self.cleared.notify_waiters();
    }

    async fn next(&self) -> Weather {
        loop {
            let cleared = self.cleared.notified();
            {
                let mut weather = self.weather.lock().unwrap();
                match weather.first().copied() {
                    None => return Weather::Fine,
                    Some(Weather::Stalled) => {}
                    Some(other) => {
                        weather.remove(0);
                        return other;
                    }
                }
            }
            cleared.await;
        }
    }

    fn is_away(&self) -> bool {
        self.weather.lock().unwrap().first() == Some(&Weather::Away)
    }

    pub fn texts(&self, key: &MeetingKey) -> Vec<String> {
        let meetings = self.meetings.lock().unwrap();
        let posted = meetings[key].events.iter().filter(|row| row.kind == "chat.posted");
        posted
            .map(|row| {
                serde_json::from_str::<Value>(&row.data).unwrap()["message"]["text"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// Takes an event out of the log, which cannot be read any more.
    pub fn tear_out(&self, key: &MeetingKey, seq: Seq) -> EventRow {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        meeting.snapshot = None;
        let place = meeting.events.iter().position(|row| row.seq == seq).unwrap();
        meeting.events.remove(place)
    }

    /// Puts it back, and lets the meeting be tried again.
    pub fn repair(&self, key: &MeetingKey, row: EventRow) {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        meeting.failed = None;
        meeting.events.push(row);
        meeting.events.sort_by_key(|row| row.seq);
    }

    pub fn failure(&self, key: &MeetingKey) -> Option<String> {
        self.meetings.lock().unwrap()[key].failed.clone()
    }

    fn boards_here(&self) -> Result<MutexGuard<'_, Boards>, StoreError> {
        if self.is_away() { Err(away()) } else { Ok(self.boards.lock().unwrap()) }
    }

    fn check_term(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
        let meetings = self.meetings.lock().unwrap();
        let holds = meetings.get(key).is_some_and(|meeting| meeting.term == term.0);
        if holds { Ok(()) } else { Err(StoreError::Fenced) }
    }

    /// Somebody else takes the meeting, whoever has it.
    pub fn steal(&self, key: &MeetingKey) {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        meeting.term += 1;
        meeting.owner = Some(NodeLife { node: "thief".into(), epoch: 1 });
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("away".into())
}

#[async_trait]
impl Store for FakeStore {
    async fn now(&self) -> Result<Millis, StoreError> {
        Ok(0)
    }
    async fn boot(&self, node: &str, _: Duration) -> Result<NodeLife, StoreError> {
        Ok(NodeLife { node: node.into(), epoch: 1 })
    }
    async fn renew(&self, _: &NodeLife, _: Duration) -> Result<bool, StoreError> {
        Ok(true)
    }
    async fn retire(&self, _: &NodeLife) -> Result<(), StoreError> {
        Ok(())
    }
    async fn create(&self, key: &MeetingKey, first: &EventRow, _: Option<Millis>) -> Result<bool, StoreError> {
        let mut meetings = self.meetings.lock().unwrap();
        if meetings.contains_key(key) {
            return Ok(false);
        }
        meetings.insert(key.clone(), Meeting { events: vec![first.clone()], ..Meeting::default() });
        Ok(true)
    }
    async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError> {
        if self.is_away() {
            return Err(away());
        }
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).ok_or(StoreError::NotFound)?;
        if let Some(owner) = meeting.owner.clone().filter(|owner| owner.node != life.node) {
            return Err(StoreError::Owned(owner));
        }
        let was_owned = meeting.owner.replace(life.clone()).is_some();
        meeting.term += 1;
        let seq = meeting.events.last().unwrap().seq;
        Ok(Taken { term: Term(meeting.term), seq, was_owned, failed: meeting.failed.clone() })
    }
    async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        if meeting.term != term.0 {
            return Err(StoreError::Fenced);
        }
        meeting.owner = None;
        Ok(())
    }
    async fn commit(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
        let weather = self.next().await;
        self.sizes.lock().unwrap().push((commits.len(), boards.len()));
        match weather {
            Weather::Away => return Err(away()),
            Weather::Panic => panic!("injected into the store"),
            _ => {}
        }
        let mut meetings = self.meetings.lock().unwrap();
        let holds = |commit: &Commit| {
            let meeting = &meetings[&commit.key];
            meeting.term == commit.term.0 && meeting.events.last().unwrap().seq == commit.after
        };
        let is_term = |board: &BoardCommit| meetings.get(&board.key).is_some_and(|it| it.term == board.term.0);
        let mut logs = self.boards.lock().unwrap();
        if !commits.iter().all(holds) || !boards.iter().all(is_term) || !logs.holds(boards) {
            return Err(StoreError::Fenced);
        }
        boards.iter().for_each(|commit| logs.draw(commit));
        for commit in commits {
            meetings.get_mut(&commit.key).unwrap().events.extend(commit.events.iter().cloned());
            commit.boards.iter().for_each(|change| logs.change(&commit.key, *change));
        }
        if weather == Weather::Unknown { Err(away()) } else { Ok(()) }
    }
    async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError> {
        let meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get(key).ok_or(StoreError::NotFound)?;
        Ok(Head {
            key: key.clone(),
            owner: meeting.owner.clone(),
            term: Term(meeting.term),
            seq: meeting.events.last().unwrap().seq,
            wake_at: None,
            failed: meeting.failed.clone(),
        })
    }
    async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
        let meetings = self.meetings.lock().unwrap();
        let rows = meetings[key].events.iter().filter(|row| row.seq > after);
        Ok(rows.take(usize::try_from(limit).unwrap()).cloned().collect())
    }
    async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.meetings.lock().unwrap()[key].snapshot.clone())
    }
    async fn save_snapshot(&self, key: &MeetingKey, _: Term, snapshot: &Snapshot) -> Result<(), StoreError> {
        self.meetings.lock().unwrap().get_mut(key).unwrap().snapshot = Some(snapshot.clone());
        Ok(())
    }
    async fn overwrite(&self, key: &MeetingKey, events: &[EventRow], since: Seq) -> Result<(), StoreError> {
        let mut meetings = self.meetings.lock().unwrap();
        let meeting = meetings.get_mut(key).unwrap();
        for row in &mut meeting.events {
            if let Some(new) = events.iter().find(|new| new.seq == row.seq) {
                row.data.clone_from(&new.data);
                row.cause = new.cause;
            }
        }
        meeting.snapshot = meeting.snapshot.take().filter(|snapshot| snapshot.seq >= since);
        Ok(())
    }
    async fn board(&self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError> {
        let takes = *self.reads_boards_in.lock().unwrap();
        tokio::time::sleep(takes).await;
        self.boards_here()?.log(key, board)
    }
    async fn compact_board(
        &self,
        key: &MeetingKey,
        term: Term,
        board: WhiteboardId,
        upto: u64,
        state: &[u8],
    ) -> Result<(), StoreError> {
        self.check_term(key, term)?;
        self.boards_here()?.compact(key, board, upto, state)
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
        self.check_term(key, term)?;
        self.boards_here()?.keep(key, board, snapshot, state.1, most)
    }
    async fn board_snapshots(&self, key: &MeetingKey, board: WhiteboardId) -> Result<Vec<BoardSnapshot>, StoreError> {
        Ok(self.boards_here()?.snapshots(key, board))
    }
    async fn board_snapshot(
        &self,
        key: &MeetingKey,
        board: WhiteboardId,
        snapshot: Uuid,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.boards_here()?.snapshot(key, board, snapshot))
    }
    async fn due(&self, _: Millis, _: u32) -> Result<Vec<MeetingKey>, StoreError> {
        Ok(Vec::new())
    }
    async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError> {
        let mut deaths = self.deaths.lock().unwrap();
        let count = deaths.entry((key.clone(), cause)).or_default();
        *count += 1;
        Ok(*count)
    }
    async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError> {
        let deaths = self.deaths.lock().unwrap();
        Ok(deaths.iter().filter(|((other, _), _)| other == key).map(|((_, cause), n)| (*cause, *n)).collect())
    }
    async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError> {
        self.meetings.lock().unwrap().get_mut(key).unwrap().failed = reason.map(ToOwned::to_owned);
        Ok(())
    }
}
