//! Looks an update through before anything is made of it. The decoder of the document trusts lengths and
//! follows nested values as deep as they go; here every length is held against what is really there, and depth
//! has an end. So a few bytes cannot ask for gigabytes, and no update reaches the end of a stack.

use std::collections::BTreeSet;
use std::ops::Range;
use yrs::encoding::read::{Cursor, Read};

/// How deep a value (an object in a list in an object…) may be nested.
const DEPTH_MAX: usize = 64;

pub(super) const GC: u8 = 0;
pub(super) const DELETED: u8 = 1;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
pub(super) const SKIP: u8 = 10;
/// A type that has a name beside its kind.
const XML_ELEMENT: u8 = 3;
/// A type whose name is written by Yjs and not read by the decoder here: what one can read the other cannot.
const XML_HOOK: u8 = 5;
const TYPES_MAX: u8 = 6;

/// Clients' ids are whole numbers of JavaScript.
pub const CLIENT_MAX: u64 = (1 << 53) - 1;

pub(super) const HAS_ORIGIN: u8 = 0x80;
const HAS_RIGHT_ORIGIN: u8 = 0x40;
const HAS_KEY: u8 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("the update cannot be read")]
    Malformed,
    #[error("a value is nested too deeply")]
    TooDeep,
    #[error("the update has content that boards do not take")]
    Unsupported,
}

impl From<yrs::encoding::read::Error> for Unfit {
    fn from(_: yrs::encoding::read::Error) -> Self {
        Self::Malformed
    }
}

/// What an update is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Made {
    /// Items of the document, before any are joined.
    pub items: usize,
    /// Those that are shared types themselves, anywhere but at the root: each may be within another.
    pub nested: usize,
    /// Ranges of what is deleted.
    pub deletions: usize,
    /// Values within items, each of which takes memory of its own.
    pub values: usize,
    /// Positions within items, beyond the first of each: of texts and lists, where an item can be split in two.
    pub positions: usize,
}

impl Made {
    pub fn and(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_add(other.items),
            nested: self.nested.saturating_add(other.nested),
            deletions: self.deletions.saturating_add(other.deletions),
            values: self.values.saturating_add(other.values),
            positions: self.positions.saturating_add(other.positions),
        }
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Items and ranges together: what a document takes memory and time for.
    pub fn weight(self) -> usize {
        self.items.saturating_add(self.deletions)
    }
}

/// A block of an update: where it stands in it, and what it builds on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub client: u64,
    pub clock: u32,
    pub length: u32,
    /// What a document copies of it when it joins it with its neighbour.
    pub positions: usize,
    pub is_gap: bool,
    pub bytes: Range<usize>,
    pub needs: Range<usize>,
}

impl Block {
    pub fn end(&self) -> u32 {
        self.clock.saturating_add(self.length)
    }
}

/// An update as it was looked through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Looked {
    pub made: Made,
    /// Those of a client stand together, in the order of their clocks.
    pub(super) blocks: Vec<Block>,
    /// What the blocks build on, one after the other: a client, and the clock that it must have got to.
    pub(super) needs: Vec<(u64, u32)>,
    /// What is deleted: of whom, from where, how much.
    pub(super) deletions: Vec<(u64, u32, u32)>,
}

impl Looked {
    /// Whose blocks they are, each once.
    pub fn clients(&self) -> impl Iterator<Item = u64> {
        self.blocks.chunk_by(|a, b| a.client == b.client).filter_map(|run| run.first()).map(|block| block.client)
    }

    pub fn has_deletions(&self) -> bool {
        !self.deletions.is_empty()
    }

    fn drawn(&self) -> impl Iterator<Item = (u64, u32, u32)> {
        self.blocks.iter().filter(|block| !block.is_gap).map(|block| (block.client, block.clock, block.end()))
    }

    fn erased(&self) -> impl Iterator<Item = (u64, u32, u32)> {
        self.deletions.iter().map(|(client, clock, length)| (*client, *clock, clock.saturating_add(*length)))
    }

    /// Whether it has all that these have, and nothing else.
    pub fn is_made_of(&self, parts: &[Self]) -> bool {
        together(self.drawn()) == together(parts.iter().flat_map(Self::drawn))
            && together(self.erased()) == together(parts.iter().flat_map(Self::erased))
    }
}

/// Ranges of clients' clocks in their order; those that touch are one.
fn together(ranges: impl Iterator<Item = (u64, u32, u32)>) -> Vec<(u64, u32, u32)> {
    let mut ranges: Vec<_> = ranges.collect();
    ranges.sort_unstable();
    ranges.dedup_by(|(client, from, upto), (before, _, end)| {
        let touches = client == before && *from <= *end;
        if touches {
            *end = (*end).max(*upto);
        }
        touches
    });
    ranges
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    looked: Looked,
    clients: BTreeSet<u64>,
}

/// Walks an update in the encoding of version 1 from end to end.
pub fn inspect(update: &[u8]) -> Result<Looked, Unfit> {
    let mut walk = Walk::new(update);
    walk.blocks()?;
    walk.deletions()?;
    if walk.left() > 0 {
        return Err(Unfit::Malformed);
    }
    Ok(walk.looked)
}

/// A state vector whose length is no more than what is there.
pub fn inspect_state_vector(bytes: &[u8]) -> Result<(), Unfit> {
    let mut walk = Walk::new(bytes);
    let clients = walk.count(2)?;
    for _ in 0..clients {
        walk.client()?;
        walk.clock()?;
    }
    if walk.left() > 0 { Err(Unfit::Malformed) } else { Ok(()) }
}

/// A block of no length takes no clock, and is none.
fn some(length: u32) -> Result<u32, Unfit> {
    if length == 0 { Err(Unfit::Malformed) } else { Ok(length) }
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { cursor: Cursor::new(bytes), looked: Looked::default(), clients: BTreeSet::new() }
    }

    fn left(&self) -> usize {
        self.cursor.buf.len().saturating_sub(self.cursor.next)
    }

    /// A client's id. One that is too large would be another client's to the document.
    fn client(&mut self) -> Result<u64, Unfit> {
        let client = self.cursor.read_var::<u64>()?;
        if client > CLIENT_MAX { Err(Unfit::Malformed) } else { Ok(client) }
    }

    fn value(&mut self) {
        self.looked.made.values = self.looked.made.values.saturating_add(1);
    }

    fn positions(&mut self, length: usize) {
        self.looked.made.positions = self.looked.made.positions.saturating_add(length.saturating_sub(1));
    }

    fn clock(&mut self) -> Result<u32, Unfit> {
        Ok(self.cursor.read_var::<u32>()?)
    }

    /// How many follow, each at least so long.
    fn count(&mut self, least: usize) -> Result<u32, Unfit> {
        let count = self.clock()?;
        let room = self.left() / least.max(1);
        if usize::try_from(count).unwrap_or(usize::MAX) > room { Err(Unfit::Malformed) } else { Ok(count) }
    }

    fn length(&mut self) -> Result<u32, Unfit> {
        some(self.clock()?)
    }

    fn bytes(&mut self) -> Result<(), Unfit> {
        let length = self.count(1)?;
        self.cursor.read_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Unfit> {
        self.cursor.read_string()?;
        Ok(())
    }

    /// A value in JSON: as many values as it may be at most.
    fn json(&mut self) -> Result<(), Unfit> {
        let text = self.cursor.read_string()?;
        let commas = text.bytes().filter(|byte| matches!(byte, b',' | b'[' | b'{')).count();
        self.looked.made.values = self.looked.made.values.saturating_add(commas).saturating_add(1);
        Ok(())
    }

    /// Something that is built on.
    fn id(&mut self) -> Result<(), Unfit> {
        let (client, clock) = (self.client()?, self.clock()?);
        self.looked.needs.push((client, clock.checked_add(1).ok_or(Unfit::Malformed)?));
        Ok(())
    }

    fn blocks(&mut self) -> Result<(), Unfit> {
        let clients = self.count(3)?;
        for _ in 0..clients {
            let blocks = self.count(2)?;
            let client = self.client()?;
            let mut clock = self.clock()?;
            // Each client once: of two the second would not be read as a part of the first.
            if !self.clients.insert(client) {
                return Err(Unfit::Malformed);
            }
            for _ in 0..blocks {
                let (from, needs) = (self.cursor.next, self.looked.needs.len());
                let before = self.looked.made.positions;
                let is_gap = self.cursor.buf.get(from) == Some(&SKIP);
                let length = self.block()?;
                let (bytes, needs) = (from..self.cursor.next, needs..self.looked.needs.len());
                let positions = self.looked.made.positions.saturating_sub(before).saturating_add(1);
                self.looked.blocks.push(Block { client, clock, length, positions, is_gap, bytes, needs });
                // Clocks have 32 bits; one that runs over would begin anew.
                clock = clock.checked_add(length).ok_or(Unfit::Malformed)?;
            }
        }
        Ok(())
    }

    /// One block; how many clocks it takes.
    fn block(&mut self) -> Result<u32, Unfit> {
        self.looked.made.items = self.looked.made.items.saturating_add(1);
        let info = self.cursor.read_u8()?;
        if info == GC || info == SKIP {
            return self.length();
        }
        let has_neighbours = info & (HAS_ORIGIN | HAS_RIGHT_ORIGIN) != 0;
        if info & HAS_ORIGIN != 0 {
            self.id()?;
        }
        if info & HAS_RIGHT_ORIGIN != 0 {
            self.id()?;
        }
        if !has_neighbours {
            if self.clock()? == 1 {
                self.string()?;
            } else {
                self.id()?;
            }
            if info & HAS_KEY != 0 {
                self.string()?;
            }
        }
        self.content(info & 0b1111)
    }

    fn content(&mut self, kind: u8) -> Result<u32, Unfit> {
        match kind {
            DELETED => return self.length(),
            BINARY => self.bytes()?,
            STRING => {
                let text = self.cursor.read_string()?;
                // Positions in texts are counted as JavaScript does.
                let length = text.encode_utf16().count();
                self.positions(length);
                return some(u32::try_from(length).map_err(|_| Unfit::Malformed)?);
            }
            EMBED => self.json()?,
            FORMAT => {
                self.string()?;
                self.json()?;
            }
            TYPE => {
                self.looked.made.nested = self.looked.made.nested.saturating_add(1);
                let kind = self.cursor.read_u8()?;
                match kind {
                    XML_ELEMENT => self.string()?,
                    XML_HOOK => return Err(Unfit::Unsupported),
                    kind if kind <= TYPES_MAX => {}
                    _ => return Err(Unfit::Unsupported),
                }
            }
            ANY => {
                let values = self.count(1)?;
                for _ in 0..values {
                    self.any(0)?;
                }
                self.positions(usize::try_from(values).unwrap_or(usize::MAX));
                return some(values);
            }
            // Documents within documents, and the lists of JSON texts of before Yjs 13.
            _ => return Err(Unfit::Unsupported),
        }
        Ok(1)
    }

    fn any(&mut self, depth: usize) -> Result<(), Unfit> {
        if depth > DEPTH_MAX {
            return Err(Unfit::TooDeep);
        }
        self.value();
        match self.cursor.read_u8()? {
            // Undefined, null, false, true.
            127 | 126 | 121 | 120 => {}
            125 => drop(self.cursor.read_var::<i64>()?),
            124 => drop(self.cursor.read_exact(4)?.len()),
            123 | 122 => drop(self.cursor.read_exact(8)?.len()),
            119 => self.string()?,
            118 => {
                let entries = self.count(2)?;
                for _ in 0..entries {
                    self.string()?;
                    self.any(depth.saturating_add(1))?;
                }
            }
            117 => {
                let values = self.count(1)?;
                for _ in 0..values {
                    self.any(depth.saturating_add(1))?;
                }
            }
            116 => self.bytes()?,
            _ => return Err(Unfit::Malformed),
        }
        Ok(())
    }

    fn deletions(&mut self) -> Result<(), Unfit> {
        let clients = self.count(2)?;
        for _ in 0..clients {
            let client = self.client()?;
            let ranges = self.count(2)?;
            for _ in 0..ranges {
                let (clock, length) = (self.clock()?, self.length()?);
                clock.checked_add(length).ok_or(Unfit::Malformed)?;
                self.looked.deletions.push((client, clock, length));
                self.looked.made.deletions = self.looked.made.deletions.saturating_add(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
