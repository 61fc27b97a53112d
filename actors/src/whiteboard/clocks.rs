//! How far a board knows its clients' clocks; what of an update builds on that, and an update in parts of which each
//! does.

use super::inspect::{Block, Looked, Made, Unfit, inspect};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use yrs::encoding::write::Write;

/// What is copied at most where items are joined, some 16 bytes each.
const JOINED_MAX: usize = 1 << 20;

/// How far each client's clock is known, without a gap.
#[derive(Debug, Default)]
pub struct Clocks(HashMap<u64, u32>);

impl Clocks {
    /// How many clients there are, with those of an update.
    pub fn count_with(&self, looked: &Looked) -> usize {
        let new = looked.clients().filter(|client| !self.0.contains_key(client)).count();
        self.0.len().saturating_add(new)
    }

    /// Whether an update has blocks that are not known.
    pub fn lack(&self, looked: &Looked) -> bool {
        looked.blocks.iter().any(|block| !block.is_gap && block.end() > self.of(block.client))
    }

    fn of(&self, client: u64) -> u32 {
        self.0.get(&client).copied().unwrap_or(0)
    }

    /// How far each client of an update gets, and the blocks that get it there, each behind those that it builds on:
    /// it stands on what is known, or on one that stands before it. A client whose next block waits for another's is
    /// looked at again when that is there: so each block is looked at once, and once for each that it builds on,
    /// whatever the order.
    fn reach<'a>(&self, looked: &'a Looked) -> (BTreeMap<u64, u32>, Vec<&'a Block>) {
        let mut runs: HashMap<u64, &[Block]> = HashMap::new();
        for run in looked.blocks.chunk_by(|a, b| a.client == b.client) {
            if let Some(first) = run.first() {
                runs.insert(first.client, run);
            }
        }
        let mut ends: BTreeMap<u64, u32> = BTreeMap::new();
        let mut order = Vec::with_capacity(looked.blocks.len());
        let mut waiting: BTreeMap<(u64, u32), Vec<u64>> = BTreeMap::new();
        let mut to_look_at: Vec<u64> = looked.clients().collect();
        while let Some(client) = to_look_at.pop() {
            let Some(run) = runs.get_mut(&client) else { continue };
            while let Some((next, rest)) = run.split_first() {
                let reached = |client: u64| ends.get(&client).copied().unwrap_or_else(|| self.of(client));
                let is_known = next.end() <= self.of(client);
                let follows = !next.is_gap && next.clock <= reached(client);
                if !is_known && !follows {
                    break;
                }
                let needs = looked.needs.get(next.needs.clone()).unwrap_or_default();
                let missing = needs.iter().find(|(of, upto)| !is_known && *upto > reached(*of));
                if let Some(missing) = missing {
                    waiting.entry(*missing).or_default().push(client);
                    break;
                }
                ends.insert(client, reached(client).max(if next.is_gap { 0 } else { next.end() }));
                order.push(next);
                *run = rest;
            }
            let upto = (client, ends.get(&client).copied().unwrap_or(0));
            while let Some(ready) = waiting.range((client, 0)..=upto).next().map(|(ready, _)| *ready) {
                to_look_at.extend(waiting.remove(&ready).unwrap_or_default());
            }
        }
        (ends, order)
    }

    /// Whether all that an update builds on is known, or comes with it. What is not would be held back by some,
    /// and by others not: it is not taken by anybody.
    pub fn allow(&self, looked: &Looked) -> bool {
        let (ends, _) = self.reach(looked);
        let reached = |client: u64| ends.get(&client).copied().unwrap_or_else(|| self.of(client));
        let stands = |block: &Block| block.end() <= reached(block.client);
        let is_there = |(client, clock, length): &(u64, u32, u32)| clock.saturating_add(*length) <= reached(*client);
        looked.blocks.iter().all(stands) && looked.deletions.iter().all(is_there)
    }

    /// What was allowed is known from now on.
    pub fn take(&mut self, looked: &Looked) {
        for block in &looked.blocks {
            let known = self.0.entry(block.client).or_default();
            *known = (*known).max(block.end());
        }
    }
}

/// The part of an update that builds on what is known, and on nothing else. Clients tell of what they wait with
/// until something else has come; that comes to them from here, and nothing of theirs is behind it.
pub fn standing(update: &[u8], clocks: &Clocks) -> Result<Vec<u8>, Unfit> {
    let looked = inspect(update)?;
    let (ends, _) = clocks.reach(&looked);
    let reached = |client: u64| ends.get(&client).copied().unwrap_or_else(|| clocks.of(client));
    // A gap that is known stays: what is behind it would be taken for what is in it.
    let blocks = looked.blocks.iter().filter(|block| block.end() <= reached(block.client));
    let rest =
        |(client, clock, length): (u64, u32, u32)| (client, clock, length.min(reached(client).saturating_sub(clock)));
    let deletions = looked.deletions.iter().copied().map(rest).filter(|(_, _, length)| *length > 0);
    Ok(part(update, blocks, deletions))
}

/// The same update in parts of so many blocks or ranges at most, none of which costs much to join. Each builds on what
/// is known, or is in those before it; what does not is left out.
pub fn parts(update: &[u8], looked: &Looked, clocks: &Clocks, most: usize) -> Vec<Bytes> {
    let (_, order) = clocks.reach(looked);
    let mut some: Vec<&Block> = Vec::new();
    let mut positions = 0_usize;
    let mut parts = Vec::new();
    for block in order {
        let with = positions.saturating_add(block.positions);
        let is_full = some.len() >= most || is_dear(some.len().saturating_add(1), with);
        if is_full && !some.is_empty() {
            parts.push(part(update, some.drain(..), [].into_iter()));
            positions = 0;
        }
        positions = positions.saturating_add(block.positions);
        some.push(block);
    }
    parts.push(part(update, some.into_iter(), [].into_iter()));
    let deletions = looked.deletions.chunks(most.max(1));
    parts.extend(deletions.map(|some| part(update, [].into_iter(), some.iter().copied())));
    parts.into_iter().map(Bytes::from).collect()
}

/// Whether it takes much time and memory to join items that are drawn together, of so many positions: the document
/// joins the last two, and then the one before with what came of them, and keeps all of it until it is done.
fn is_dear(items: usize, positions: usize) -> bool {
    items.saturating_mul(positions) > JOINED_MAX
}

impl Made {
    /// Whether it is to be drawn in parts.
    pub fn is_dear(self) -> bool {
        is_dear(self.items, self.items.saturating_add(self.positions))
    }
}

/// These blocks and deletions of an update, as an update. Those of a client follow each other.
fn part<'a>(
    update: &[u8],
    blocks: impl Iterator<Item = &'a Block>,
    deletions: impl Iterator<Item = (u64, u32, u32)>,
) -> Vec<u8> {
    let mut part = Vec::new();
    let mut kept: BTreeMap<u64, Vec<&Block>> = BTreeMap::new();
    blocks.for_each(|block| kept.entry(block.client).or_default().push(block));
    part.write_var(u32::try_from(kept.len()).unwrap_or(u32::MAX));
    for (client, blocks) in kept.iter().rev() {
        part.write_var(u32::try_from(blocks.len()).unwrap_or(u32::MAX));
        part.write_var(*client);
        part.write_var(blocks.first().map_or(0, |block| block.clock));
        blocks.iter().for_each(|block| part.extend_from_slice(update.get(block.bytes.clone()).unwrap_or_default()));
    }
    let mut gone: BTreeMap<u64, Vec<(u32, u32)>> = BTreeMap::new();
    deletions.for_each(|(client, clock, length)| gone.entry(client).or_default().push((clock, length)));
    part.write_var(u32::try_from(gone.len()).unwrap_or(u32::MAX));
    for (client, ranges) in gone.iter().rev() {
        part.write_var(*client);
        part.write_var(u32::try_from(ranges.len()).unwrap_or(u32::MAX));
        for (clock, length) in ranges {
            part.write_var(*clock);
            part.write_var(*length);
        }
    }
    part
}

#[cfg(test)]
mod tests;
