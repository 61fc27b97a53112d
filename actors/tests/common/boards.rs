//! The logs of boards in memory, as a store keeps them. Whoever has the meetings says under which terms.

use bytes::Bytes;
use convoke_actors::ports::{BoardChange, BoardCommit, BoardLog, BoardSnapshot, MeetingKey, StoreError};
use convoke_domain::WhiteboardId;
use std::collections::BTreeMap;
use uuid::Uuid;

#[derive(Clone, Default)]
struct Board {
    log: BoardLog,
    kept: Vec<(BoardSnapshot, Bytes)>,
}

#[derive(Default)]
pub struct Boards(BTreeMap<(MeetingKey, WhiteboardId), Board>);

impl Boards {
    fn board(&mut self, key: &MeetingKey, board: WhiteboardId) -> Result<&mut Board, StoreError> {
        self.0.get_mut(&(key.clone(), board)).ok_or(StoreError::NotFound)
    }

    /// Whether all of these follow what is there.
    pub fn holds(&self, commits: &[BoardCommit]) -> bool {
        let follows = |commit: &BoardCommit| {
            self.0.get(&(commit.key.clone(), commit.board)).is_some_and(|board| board.log.head() == commit.after)
        };
        commits.iter().all(follows)
    }

    pub fn draw(&mut self, commit: &BoardCommit) {
        if let Ok(board) = self.board(&commit.key, commit.board) {
            board.log.updates.extend(commit.updates.iter().cloned());
            board.log.restored = commit.restored.or(board.log.restored);
        }
    }

    pub fn change(&mut self, key: &MeetingKey, change: BoardChange) {
        match change {
            BoardChange::Create { board, copy_of } => {
                let source = copy_of.and_then(|source| self.0.get(&(key.clone(), source)));
                let log = source.map(|source| BoardLog { restored: None, ..source.log.clone() }).unwrap_or_default();
                self.0.insert((key.clone(), board), Board { log, kept: Vec::new() });
            }
            BoardChange::Delete { board } => drop(self.0.remove(&(key.clone(), board))),
        }
    }

    pub fn log(&mut self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError> {
        Ok(self.board(key, board)?.log.clone())
    }

    pub fn compact(
        &mut self,
        key: &MeetingKey,
        board: WhiteboardId,
        upto: u64,
        state: &[u8],
    ) -> Result<(), StoreError> {
        let log = &mut self.board(key, board)?.log;
        let begin = log.state.as_ref().map_or(0, |(begin, _)| *begin);
        if begin >= upto {
            return Ok(());
        }
        if log.head() < upto {
            return Err(StoreError::Fenced);
        }
        log.updates.drain(..usize::try_from(upto - begin).unwrap());
        log.state = Some((upto, Bytes::copy_from_slice(state)));
        Ok(())
    }

    pub fn keep(
        &mut self,
        key: &MeetingKey,
        board: WhiteboardId,
        snapshot: &BoardSnapshot,
        state: &[u8],
        most: u32,
    ) -> Result<(), StoreError> {
        let kept = &mut self.board(key, board)?.kept;
        if kept.iter().all(|(other, _)| other.id != snapshot.id) {
            let at = kept.first().map_or(snapshot.at, |(newest, _)| snapshot.at.max(newest.at + 1));
            kept.insert(0, (BoardSnapshot { at, ..snapshot.clone() }, Bytes::copy_from_slice(state)));
            kept.truncate(usize::try_from(most).unwrap());
        }
        Ok(())
    }

    pub fn snapshots(&self, key: &MeetingKey, board: WhiteboardId) -> Vec<BoardSnapshot> {
        let board = self.0.get(&(key.clone(), board));
        board.into_iter().flat_map(|board| &board.kept).map(|(snapshot, _)| snapshot.clone()).collect()
    }

    pub fn snapshot(&self, key: &MeetingKey, board: WhiteboardId, id: Uuid) -> Option<Vec<u8>> {
        let kept = &self.0.get(&(key.clone(), board))?.kept;
        kept.iter().find(|(snapshot, _)| snapshot.id == id).map(|(_, state)| state.to_vec())
    }
}
