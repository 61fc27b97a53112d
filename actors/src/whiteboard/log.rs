//! A board's log as it is held in memory: messages, as whoever opens the board is given them. A state, and behind
//! it what was drawn since; of that, what is durable is merged a little at a time. So a board that is opened
//! comes in few messages, however much was drawn since its last state, and a state need not be made often.

use super::inspect::{Looked, Made, inspect};
use super::{deep, protocol};
use crate::ports::BoardLog;
use bytes::Bytes;
use std::collections::VecDeque;

/// Updates that are merged at once, and their bytes: it is done between two strokes.
const MERGED: usize = 64;
const MERGED_BYTES: usize = 64 << 10;

/// One or several updates, as a message; and the number of the last.
#[derive(Clone)]
struct Part {
    upto: u64,
    message: Bytes,
}

#[derive(Clone, Default)]
pub struct Log {
    /// The state that it begins with, as a message, and its number.
    base: Option<(u64, Bytes)>,
    tail: VecDeque<Part>,
    tail_bytes: usize,
    /// Parts of the tail that stay as they are.
    settled: usize,
    number: u64,
}

impl From<BoardLog> for Log {
    fn from(kept: BoardLog) -> Self {
        let base = kept.state.map(|(upto, state)| (upto, protocol::update(&state)));
        let mut log = Self { number: base.as_ref().map_or(0, |(upto, _)| *upto), base, ..Self::default() };
        kept.updates.iter().for_each(|update| log.push(update));
        log
    }
}

impl Log {
    /// The number up to which the state holds everything.
    pub fn begins(&self) -> u64 {
        self.base.as_ref().map_or(0, |(upto, _)| *upto)
    }

    /// The number of the last update.
    pub fn number(&self) -> u64 {
        self.number
    }

    pub fn base_bytes(&self) -> usize {
        self.base.as_ref().map_or(0, |(_, state)| state.len())
    }

    pub fn tail_bytes(&self) -> usize {
        self.tail_bytes
    }

    pub fn bytes(&self) -> usize {
        self.base_bytes().saturating_add(self.tail_bytes)
    }

    /// Updates behind the state.
    pub fn tail_updates(&self) -> usize {
        usize::try_from(self.number.saturating_sub(self.begins())).unwrap_or(usize::MAX)
    }

    /// All of it, for whoever has nothing.
    pub fn messages(&self) -> impl Iterator<Item = &Bytes> {
        self.base.iter().map(|(_, state)| state).chain(self.tail.iter().map(|part| &part.message))
    }

    /// Updates that hold all that is behind this number. None: that is in the state.
    pub fn behind(&self, number: u64) -> Option<impl Iterator<Item = Bytes>> {
        let tail = self.tail.iter().skip_while(move |part| part.upto <= number);
        (self.begins() <= number).then(|| tail.map(|part| part_of(&part.message)))
    }

    /// The last messages, in order: updates that are not merged yet.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Bytes> {
        self.tail.iter().skip(self.tail.len().saturating_sub(count)).map(|part| &part.message)
    }

    pub fn state(&self) -> Option<Bytes> {
        self.base.as_ref().map(|(_, state)| part_of(state))
    }

    /// What is behind the state, to be applied in this order.
    pub fn updates(&self) -> impl Iterator<Item = Bytes> {
        self.tail.iter().map(|part| part_of(&part.message))
    }

    pub fn push(&mut self, update: &Bytes) {
        let message = protocol::update(update);
        self.number = self.number.saturating_add(1);
        self.tail_bytes = self.tail_bytes.saturating_add(message.len());
        self.tail.push_back(Part { upto: self.number, message });
    }

    /// It begins with this state from now on. What was written behind it stays as it is; a part that holds some of
    /// both stays whole: what is drawn already is not drawn again.
    pub fn begin_with(&mut self, upto: u64, state: &Bytes) {
        let joined = self.tail.iter().take_while(|part| part.upto <= upto).count();
        self.tail.drain(..joined);
        self.settled = self.settled.saturating_sub(joined);
        self.tail_bytes = self.tail.iter().map(|part| part.message.len()).sum();
        self.number = self.number.max(upto);
        self.base = Some((upto, protocol::update(state)));
    }

    /// Merges the next durable updates, if there are enough. What nobody may be shown yet stays apart.
    pub fn merge(&mut self, durable: u64) {
        let mut bytes = 0_usize;
        let mut count = 0_usize;
        let mut is_enough = false;
        for part in self.tail.iter().skip(self.settled).take_while(|part| part.upto <= durable) {
            bytes = bytes.saturating_add(part.message.len());
            if bytes > MERGED_BYTES {
                is_enough = true;
                break;
            }
            count = count.saturating_add(1);
            if count == MERGED {
                is_enough = true;
                break;
            }
        }
        if !is_enough {
            return;
        }
        // One that is large by itself stays as it is.
        let until = self.settled.saturating_add(count.max(1));
        let parts = || self.tail.range(self.settled..until);
        let upto = parts().next_back().map(|part| part.upto);
        match (upto, merged(parts().map(|part| part_of(&part.message)).collect())) {
            (Some(upto), Some(update)) => {
                self.tail.drain(self.settled..until);
                self.tail.insert(self.settled, Part { upto, message: protocol::update(&update) });
                self.tail_bytes = self.tail.iter().map(|part| part.message.len()).sum();
                self.settled = self.settled.saturating_add(1);
            }
            _ => self.settled = until,
        }
    }

    /// As [`Self::merge`], of all.
    pub fn merge_all(&mut self) {
        loop {
            let before = self.settled;
            self.merge(self.number);
            if self.settled == before {
                return;
            }
        }
    }
}

/// One update in the place of these. None: they are better left as they are.
pub fn merged(updates: Vec<Bytes>) -> Option<Bytes> {
    let [_, _, ..] = updates.as_slice() else { return None };
    let parts: Vec<Looked> = updates.iter().map(|update| inspect(update).ok()).collect::<Option<_>>()?;
    // What was drawn in parts would have to be drawn at once.
    if parts.iter().fold(Made::default(), |made, part| made.and(part.made)).is_dear() {
        return None;
    }
    let whole = deep::here(false, || yrs::merge_updates_v1(updates.iter().map(|update| update.to_vec())));
    let whole = Bytes::from(whole.ok()?.ok()?);
    let is_whole = inspect(&whole).ok()?.is_made_of(&parts);
    if !is_whole {
        tracing::error!("updates of a board were not merged: something would be lost");
    }
    is_whole.then_some(whole)
}

fn part_of(message: &Bytes) -> Bytes {
    match protocol::read(message).ok().and_then(|messages| messages.into_iter().next()) {
        Some(protocol::Message::Update(part)) => part,
        _ => Bytes::new(),
    }
}

#[cfg(test)]
mod tests;
