//! Looks an update through before anything is made of it. The decoder of the document trusts lengths and
//! follows nested values as deep as they go; here every length is held against what is really there, and depth
//! has an end. So a few bytes cannot ask for gigabytes, and no update reaches the end of a stack.

use yrs::encoding::read::{Cursor, Read};

/// How deep a value (an object in a list in an object…) may be nested.
const DEPTH_MAX: usize = 64;

const GC: u8 = 0;
const DELETED: u8 = 1;
const BINARY: u8 = 3;
const STRING: u8 = 4;
const EMBED: u8 = 5;
const FORMAT: u8 = 6;
const TYPE: u8 = 7;
const ANY: u8 = 8;
const SKIP: u8 = 10;
/// Types that have a name beside their kind.
const XML_ELEMENT: u8 = 3;
const TYPES_MAX: u8 = 6;

const HAS_ORIGIN: u8 = 0x80;
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
}

impl Made {
    pub fn and(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_add(other.items),
            nested: self.nested.saturating_add(other.nested),
            deletions: self.deletions.saturating_add(other.deletions),
        }
    }

    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

struct Walk<'a> {
    cursor: Cursor<'a>,
    made: Made,
}

/// Walks an update in the encoding of version 1 from end to end.
pub fn inspect(update: &[u8]) -> Result<Made, Unfit> {
    let mut walk = Walk { cursor: Cursor::new(update), made: Made::default() };
    walk.blocks()?;
    walk.deletions()?;
    if walk.left() > 0 {
        return Err(Unfit::Malformed);
    }
    Ok(walk.made)
}

/// A state vector whose length is no more than what is there.
pub fn inspect_state_vector(bytes: &[u8]) -> Result<(), Unfit> {
    let mut walk = Walk { cursor: Cursor::new(bytes), made: Made::default() };
    let clients = walk.count(2)?;
    for _ in 0..clients {
        walk.var()?;
        walk.clock()?;
    }
    if walk.left() > 0 { Err(Unfit::Malformed) } else { Ok(()) }
}

impl Walk<'_> {
    fn left(&self) -> usize {
        self.cursor.buf.len().saturating_sub(self.cursor.next)
    }

    fn var(&mut self) -> Result<u64, Unfit> {
        Ok(self.cursor.read_var::<u64>()?)
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

    fn bytes(&mut self) -> Result<(), Unfit> {
        let length = self.count(1)?;
        self.cursor.read_exact(usize::try_from(length).unwrap_or(usize::MAX))?;
        Ok(())
    }

    fn string(&mut self) -> Result<(), Unfit> {
        self.cursor.read_string()?;
        Ok(())
    }

    fn id(&mut self) -> Result<(), Unfit> {
        self.var()?;
        self.clock()?;
        Ok(())
    }

    fn blocks(&mut self) -> Result<(), Unfit> {
        let clients = self.count(3)?;
        for _ in 0..clients {
            let blocks = self.count(2)?;
            self.var()?;
            let mut clock = u64::from(self.clock()?);
            for _ in 0..blocks {
                clock = clock.saturating_add(u64::from(self.block()?));
                // Clocks have 32 bits; one that runs over would begin anew.
                if clock > u64::from(u32::MAX) {
                    return Err(Unfit::Malformed);
                }
            }
        }
        Ok(())
    }

    /// One block; how many clocks it takes.
    fn block(&mut self) -> Result<u32, Unfit> {
        self.made.items = self.made.items.saturating_add(1);
        let info = self.cursor.read_u8()?;
        if info == GC || info == SKIP {
            return self.clock();
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
            DELETED => return self.clock(),
            BINARY => self.bytes()?,
            STRING => {
                let text = self.cursor.read_string()?;
                // Positions in texts are counted as JavaScript does.
                return u32::try_from(text.encode_utf16().count()).map_err(|_| Unfit::Malformed);
            }
            EMBED => self.string()?,
            FORMAT => {
                self.string()?;
                self.string()?;
            }
            TYPE => {
                self.made.nested = self.made.nested.saturating_add(1);
                let kind = self.cursor.read_u8()?;
                match kind {
                    XML_ELEMENT => self.string()?,
                    kind if kind <= TYPES_MAX => {}
                    _ => return Err(Unfit::Unsupported),
                }
            }
            ANY => {
                let values = self.count(1)?;
                for _ in 0..values {
                    self.any(0)?;
                }
                return Ok(values);
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
            self.var()?;
            let ranges = self.count(2)?;
            for _ in 0..ranges {
                let (clock, length) = (self.clock()?, self.clock()?);
                clock.checked_add(length).ok_or(Unfit::Malformed)?;
                self.made.deletions = self.made.deletions.saturating_add(1);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use yrs::updates::decoder::Decode;
    use yrs::{Array, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact, Update, any};

    fn drawn() -> Vec<u8> {
        let doc = Doc::with_client_id(7);
        let (elements, list, text) =
            (doc.get_or_insert_map("elements"), doc.get_or_insert_array("list"), doc.get_or_insert_text("text"));
        let mut txn = doc.transact_mut();
        for n in 0..20 {
            let points = (0..n).map(|at| any!([at, 1.5])).collect::<Vec<_>>();
            elements.insert(&mut txn, format!("e{}", n % 7), any!({ "type": "freedraw", "points": points, "x": -3 }));
        }
        let inner = list.push_back(&mut txn, MapPrelim::default());
        inner.insert(&mut txn, "k", "välue");
        list.push_back(&mut txn, MapPrelim::default());
        text.push(&mut txn, "so long 🎨");
        text.remove_range(&mut txn, 1, 2);
        drop(txn);
        doc.transact().encode_state_as_update_v1(&StateVector::default())
    }

    #[test]
    fn what_editors_send_is_fit_and_counted() {
        let made = inspect(&drawn()).unwrap();
        assert_eq!(made.nested, 2);
        assert!(made.items > 20 && made.deletions > 0, "{made:?}");
        assert_eq!(inspect(&[0, 0]), Ok(Made::default()), "nothing new");
        assert!(Made::default().is_empty());
    }

    #[test]
    fn a_cut_anywhere_is_told() {
        let update = drawn();
        for end in 0..update.len() {
            assert_eq!(inspect(&update[..end]), Err(Unfit::Malformed), "{end}");
        }
        let mut longer = update;
        longer.push(0);
        assert_eq!(inspect(&longer), Err(Unfit::Malformed));
    }

    #[test]
    fn a_few_bytes_do_not_ask_for_gigabytes() {
        let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
        assert_eq!(inspect(&huge), Err(Unfit::Malformed));
        assert_eq!(inspect(&[&[1], &huge[..], &[1, 0]].concat()), Err(Unfit::Malformed));
        assert_eq!(inspect(&[&[0], &huge[..]].concat()), Err(Unfit::Malformed));
        assert_eq!(inspect_state_vector(&huge), Err(Unfit::Malformed));
        assert_eq!(inspect_state_vector(&[1, 7, 3]), Ok(()));
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |depth: usize| {
            let mut update = vec![1, 1, 7, 0, ANY, 1, 1, b'l'];
            update.push(1);
            update.extend([117, 1].repeat(depth));
            update.push(126);
            update.push(0);
            update
        };
        assert!(inspect(&nested(DEPTH_MAX)).is_ok());
        assert!(Update::decode_v1(&nested(DEPTH_MAX)).is_ok(), "it is read as the document reads it");
        assert_eq!(inspect(&nested(DEPTH_MAX + 1)), Err(Unfit::TooDeep));
        assert_eq!(inspect(&nested(400_000)), Err(Unfit::TooDeep));
    }

    #[test]
    fn documents_within_documents_are_not_taken() {
        let doc = Doc::new();
        let inner = doc.get_or_insert_map("elements");
        inner.insert(&mut doc.transact_mut(), "sub", Doc::new());
        let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
        assert_eq!(inspect(&update), Err(Unfit::Unsupported));
    }
}
