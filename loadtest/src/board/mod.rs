//! A real client of whiteboards: Yjs's document, in Rust, over the protocol of y-websocket. Used by the
//! load tester against this server and against others that speak it.

pub mod door;
pub mod hand;
pub mod person;
pub mod record;
pub mod stamp;
pub mod wire;

use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::{Any, Doc, Map, ReadTxn, StateVector, Transact, Update};

/// The map of a board's document that its elements stand in.
pub const ELEMENTS: &str = "elements";

/// What a document is made of: all that was inserted, whether deleted since or not, and what was deleted.
#[derive(Clone, Default)]
pub struct Made {
    pub inserted: yrs::IdSet,
    pub deleted: yrs::IdSet,
}

impl Made {
    pub fn add(&mut self, update: &Update) {
        self.inserted.merge_with(update.insertions(true));
        self.deleted.merge_with(update.delete_set().clone());
    }

    pub fn merge(&mut self, other: &Self) {
        self.inserted.merge_with(other.inserted.clone());
        self.deleted.merge_with(other.deleted.clone());
    }

    /// What of it a document of this state does not have, in words.
    pub fn missing_of_state(&self, state: &StateVector) -> Option<String> {
        let short = self.inserted.iter().find_map(|(client, ranges)| {
            let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
            (end > state.get(client)).then(|| format!("client {client} up to {end}, not {}", state.get(client)))
        });
        short.map(|short| format!("insertions of {short}"))
    }

    pub fn missing_of_deletions(&self, deleted: &yrs::IdSet) -> Option<String> {
        let missing = self.deleted.diff(deleted);
        missing.iter().next().map(|(client, _)| format!("deletions of what client {client} had drawn"))
    }
}

/// A document as it can be compared.
#[derive(PartialEq)]
pub struct Shown {
    pub state: StateVector,
    pub deleted: yrs::IdSet,
    pub elements: Any,
}

impl Shown {
    pub fn of(doc: &Doc) -> Self {
        let elements = doc.get_or_insert_map(ELEMENTS);
        let reading = doc.transact();
        let snapshot = reading.snapshot();
        Self { state: snapshot.state_map, deleted: snapshot.delete_set, elements: elements.to_json(&reading) }
    }

    pub fn missing(&self, made: &Made) -> Option<String> {
        made.missing_of_state(&self.state).or_else(|| made.missing_of_deletions(&self.deleted))
    }

    pub fn count(&self) -> usize {
        match &self.elements {
            Any::Map(elements) => elements.len(),
            _ => 0,
        }
    }
}

/// How many elements there are in a document of which these are the parts.
pub fn count_of(parts: &[Vec<u8>]) -> Result<u32, crate::rest::Failure> {
    let doc = Doc::new();
    let elements = doc.get_or_insert_map(ELEMENTS);
    for part in parts {
        doc.transact_mut().apply_update(Update::decode_v1(part)?)?;
    }
    Ok(elements.len(&doc.transact()))
}
