//! What is drawn on a board: a document of Yjs, and the log that it is made of, held in memory as it is kept.
//! Whoever comes anew is given the log's state and the updates behind it, as they stand; the document is
//! asked only by those who were there before.

use super::answers::Answers;
use super::clocks::{Clocks, parts, standing};
use super::cost::{self, Watch};
use super::deep::{self, Broken, Place};
use super::inspect::{Looked, Made, Unfit, inspect};
use super::log::Log;
use crate::ports::BoardLog;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::Duration;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Doc, Map, Out, ReadTxn, StateVector, Transact, TransactionMut, Update, WriteTxn};

/// The root maps of a board that are its own: what is drawn, and the pictures in it.
const ELEMENTS: &str = "elements";
const FILES: &str = "files";
/// Types that may stand within each other, and clients of one update, without a deep stack.
const NESTED_SHALLOW: usize = 256;
const CLIENTS_SHALLOW: usize = 256;
/// The least bytes behind a state before it is worth another. Beyond that as many as the state has, or half where
/// the board has no room for so many: so a byte is read and written a few times in all, however old the board is.
const TAIL_BYTES: usize = 4 << 20;
/// The same of items and deletions.
const TAIL_WEIGHT: usize = 1 << 16;
/// Updates may be as many as the state has items and deletions, up to so many times those behind a small state:
/// each is a row that is read when the board is woken.
const TAIL_TIMES: usize = 2;
/// A board that nobody looks at any more is not drawn on meanwhile: this part of all that is worth a state then.
const ASLEEP: usize = 8;
/// What may still be erased when a board is full: it has this much room more for that.
const ROOM_TO_ERASE: usize = 16;

/// The bounds of one board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a board, as it is kept.
    pub board_bytes_max: usize,
    /// Bytes of an update.
    pub update_bytes_max: usize,
    /// Bytes of a message: what somebody drew while they were away comes in one.
    pub frame_bytes_max: usize,
    /// Items that a board is made of; each takes some 200 bytes of memory.
    pub items_max: usize,
    /// Values within items: lists and objects hold many.
    pub values_max: usize,
    /// Shared types within others.
    pub nested_max: usize,
    /// Clients who have ever drawn: each page that is loaded is another.
    pub clients_max: usize,
    /// Those in one update. To order many that build on each other takes the square of their number.
    pub update_clients_max: usize,
    /// Updates behind a small state, after which there is another; behind a large one up to twice as many.
    pub tail_updates_max: usize,
    /// How long a board draws on the thread that it shares before others have their turn. One update that takes longer
    /// makes it draw aside what may take as long, for a while.
    pub time_shared: Duration,
    /// How long one update may take that is drawn aside. Its board says nothing meanwhile: less than a hub waits for
    /// a word of it, with what may be left of a tick.
    pub update_time_max: Duration,
    /// How long all that a session draws may take, at once; and so much more in each second.
    pub session_time_max: Duration,
    pub session_time_per_s: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            board_bytes_max: 16 << 20,
            update_bytes_max: 1 << 20,
            frame_bytes_max: 4 << 20,
            items_max: 1_000_000,
            values_max: 4_000_000,
            nested_max: 100_000,
            clients_max: 50_000,
            update_clients_max: 4_096,
            tail_updates_max: 16_384,
            time_shared: Duration::from_millis(50),
            update_time_max: Duration::from_secs(3),
            session_time_max: Duration::from_secs(5),
            session_time_per_s: Duration::from_millis(200),
        }
    }
}

/// Why an update is not taken.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("the update has more than {0}")]
    TooLarge(String),
    #[error("the board is full: it has at most {0}")]
    Full(String),
    /// It was given up halfway: the document has to be read from the log again.
    #[error("the update takes too long to draw")]
    TooCostly,
    /// The document broke over it: it has to be read from the log again.
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// What came of an update.
#[derive(Debug, PartialEq, Eq)]
pub struct Taken {
    /// What is new by it: if it is large, in parts.
    pub updates: Vec<Bytes>,
    /// It builds on what is not there: its sender is asked for that.
    pub lacks: bool,
}

pub struct Document {
    doc: Doc,
    log: Log,
    /// What the state is made of, and what all is, where nothing behind the state is joined yet.
    base_made: Made,
    made: Made,
    clocks: Clocks,
    answers: Answers,
}

/// An update, so divided that no part takes long to draw or to join; and what each is made of.
fn divided(update: &Bytes, looked: &Looked, clocks: &Clocks, most: usize) -> Result<Vec<(Bytes, Made)>, Unfit> {
    if looked.made.weight() <= most && !looked.made.is_dear() {
        return Ok(vec![(update.clone(), looked.made)]);
    }
    let parts = parts(update, looked, clocks, most).into_iter();
    parts.map(|part| inspect(&part).map(|looked| (part, looked.made))).collect()
}

fn apply(doc: &Doc, updates: impl Iterator<Item = Bytes>) -> Result<(Made, Clocks), Refusal> {
    let (mut made, mut clocks) = (Made::default(), Clocks::default());
    let mut strokes = Strokes::new(doc, None);
    for update in updates {
        let looked = inspect(&update)?;
        made = made.and(looked.made);
        for (part, made) in divided(&update, &looked, &clocks, usize::MAX)? {
            strokes.draw(&part, made).map_err(|_| Unfit::Malformed)?;
        }
        clocks.take(&looked);
    }
    Ok((made, clocks))
}

/// What is drawn in one transaction is joined when that ends. There are as many as keep that from costing much, and
/// not one for each stroke.
struct Strokes<'a> {
    doc: &'a Doc,
    txn: Option<TransactionMut<'a>>,
    made: Made,
    /// What was new by each, where that is asked for.
    new: Option<Vec<Bytes>>,
}

impl<'a> Strokes<'a> {
    fn new(doc: &'a Doc, new: Option<Vec<Bytes>>) -> Self {
        Self { doc, txn: None, made: Made::default(), new }
    }

    fn draw(&mut self, update: &Bytes, made: Made) -> Result<(), Refusal> {
        let update = Update::decode_v1(update).map_err(Unfit::from)?;
        if self.made.and(made).is_dear() {
            self.end();
        }
        self.made = self.made.and(made);
        let txn = self.txn.get_or_insert_with(|| self.doc.transact_mut());
        // Refused halfway, it may have left something of itself.
        txn.apply_update(update).map_err(|error| Broken(error.to_string()))?;
        Ok(())
    }

    fn end(&mut self) {
        if let (Some(txn), Some(new)) = (self.txn.take(), &mut self.new)
            && txn.has_changes()
        {
            new.push(Bytes::from(txn.encode_update_v1()));
        }
        self.made = Made::default();
    }
}

fn doc_of(log: &Log) -> Result<(Doc, (Made, Clocks)), Refusal> {
    let doc = Doc::new();
    let of = apply(&doc, log.state().into_iter().chain(log.updates()))?;
    Ok((doc, of))
}

/// One state that stands for all of a log; and what it is made of.
fn joined(log: &Log) -> Result<(Bytes, Made), Refusal> {
    let (doc, _) = doc_of(log)?;
    let state = Bytes::from(doc.transact().encode_state_as_update_v1(&StateVector::default()));
    let made = inspect(&state)?.made;
    Ok((state, made))
}

/// As [`joined`], where it holds nobody up.
pub async fn join(log: Log, place: Place) -> Result<(Bytes, Made), Refusal> {
    deep::run(place, move || joined(&log)).await?
}

impl Document {
    /// Reads a board, where it holds nobody up.
    pub async fn load(log: impl Into<Log>, place: Place) -> Result<Self, Refusal> {
        let log = log.into();
        deep::run(place, move || Self::of(log)).await?
    }

    fn of(mut log: Log) -> Result<Self, Refusal> {
        let (doc, (made, clocks)) = doc_of(&log)?;
        let base_made = match log.state() {
            Some(state) => inspect(&state)?.made,
            None => Made::default(),
        };
        log.merge_all();
        Ok(Self { doc, log, base_made, made, clocks, answers: Answers::default() })
    }

    /// The number of the last update.
    pub fn number(&self) -> u64 {
        self.log.number()
    }

    pub fn bytes(&self) -> usize {
        self.log.bytes()
    }

    fn is_deep(&self) -> bool {
        self.made.nested > NESTED_SHALLOW
    }

    /// Whether a state in the place of the log's beginning is worth its making.
    pub fn is_long(&self, bounds: &Bounds) -> bool {
        self.is_longer_than(1, bounds)
    }

    /// The same, of a board that goes to sleep: so it is soon read when it is woken.
    pub fn is_long_to_wake(&self, bounds: &Bounds) -> bool {
        self.is_longer_than(ASLEEP, bounds)
    }

    fn is_longer_than(&self, part: usize, bounds: &Bounds) -> bool {
        let (base, all) = (self.base_made.weight(), self.made.weight());
        let bytes = self.log.base_bytes();
        let half_of_the_room = bounds.board_bytes_max.saturating_sub(bytes) / 2;
        let most = bytes.min(half_of_the_room).max(bytes / 2);
        let updates = bounds.tail_updates_max;
        self.log.tail_updates() >= base.clamp(updates, updates.saturating_mul(TAIL_TIMES)) / part
            || self.log.tail_bytes() >= TAIL_BYTES.min(bounds.board_bytes_max / 2).max(most) / part
            || all.saturating_sub(base) >= TAIL_WEIGHT.max(base) / part
    }

    /// Bytes behind the state: what joining may make room of.
    pub fn tail_bytes(&self) -> usize {
        self.log.tail_bytes()
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// The number up to which the state that the log begins with holds everything.
    pub fn begins(&self) -> u64 {
        self.log.begins()
    }

    /// What is durable is held in few messages.
    pub fn merge(&mut self, durable: u64) {
        self.log.merge(durable);
    }

    /// The log begins with this state from now on. What was written behind it stays as it is.
    pub fn begins_with(&mut self, upto: u64, state: &Bytes, made: Made) {
        self.log.begin_with(upto, state);
        // What is counted of the updates behind it is more than it will be when they are joined.
        let tail = self.log.updates().filter_map(|update| inspect(&update).ok());
        self.made = tail.fold(made, |made, looked| made.and(looked.made));
        self.base_made = made;
    }

    /// Whether the board has no room for this, as it is kept; joined it may have. What only erases has a little
    /// more: a full board can be made room in.
    fn has_room(&self, update: &Bytes, looked: &Looked, bounds: &Bounds) -> Result<(), Refusal> {
        let is_erasing = looked.made.items == 0;
        let most = |max: usize| if is_erasing { max.saturating_add(max / ROOM_TO_ERASE) } else { max };
        let full = |what: &str, max: usize| Err(Refusal::Full(format!("{max} {what}")));
        let all = self.made.and(looked.made);
        if self.bytes().saturating_add(update.len()) > most(bounds.board_bytes_max) {
            return full("bytes", bounds.board_bytes_max);
        }
        if all.weight() > most(bounds.items_max) {
            return full("items", bounds.items_max);
        }
        if all.values > bounds.values_max {
            return full("values", bounds.values_max);
        }
        if all.nested > bounds.nested_max {
            return full("types within others", bounds.nested_max);
        }
        if self.clocks.count_with(looked) > bounds.clients_max {
            return full("clients who drew", bounds.clients_max);
        }
        Ok(())
    }

    /// Whether an update may take long, or more steps than these, so that it is to be drawn where that holds nobody up.
    pub fn is_costly(&self, looked: &Looked, steps: usize) -> bool {
        self.needs_depth(looked) || looked.made.is_dear() || cost::steps(looked.made, self.made) > steps
    }

    fn needs_depth(&self, looked: &Looked) -> bool {
        self.made.and(looked.made).nested > NESTED_SHALLOW || looked.clients().count() > CLIENTS_SHALLOW
    }

    /// Takes an update, unless it gets too late meanwhile. What is new by it gets the next numbers.
    fn take(
        &mut self,
        update: &Bytes,
        looked: &Looked,
        bounds: &Bounds,
        is_late: &(dyn Fn() -> bool + Sync),
    ) -> Result<Taken, Refusal> {
        let clients = looked.clients().count();
        if clients > bounds.update_clients_max {
            return Err(Refusal::TooLarge(format!("{} clients", bounds.update_clients_max)));
        }
        // What is not known would be held back by some, and by others not: nobody is shown it.
        if !self.clocks.allow(looked) {
            return Ok(Taken { updates: Vec::new(), lacks: true });
        }
        self.has_room(update, looked, bounds)?;
        let parts = divided(update, looked, &self.clocks, cost::at_once(looked.made, self.made))?;
        let doc = &self.doc;
        let updates = deep::here(self.needs_depth(looked), || -> Result<Vec<Bytes>, Refusal> {
            let mut strokes = Strokes::new(doc, Some(Vec::new()));
            for (number, (part, made)) in parts.iter().enumerate() {
                match strokes.draw(part, *made) {
                    // Something of it is drawn already.
                    Err(error) if number > 0 => return Err(Broken(error.to_string()).into()),
                    outcome => outcome?,
                }
                if is_late() {
                    return Err(Refusal::TooCostly);
                }
            }
            // What waits for something else would be in memory only, and for as long as anybody likes.
            if strokes.txn.as_ref().is_some_and(|txn| txn.has_missing_updates()) {
                return Err(Broken("an update was not taken whole".to_owned()).into());
            }
            // As it was drawn, and not as it came: what is known stays as it is, whatever else somebody says of it.
            strokes.end();
            Ok(strokes.new.unwrap_or_default())
        })??;
        // Counted is what came of it, and not what it said; and it is seen that it can be read again.
        let mut made = self.made;
        for new in &updates {
            made = made.and(inspect(new).map_err(|error| Broken(error.to_string()))?.made);
        }
        if !updates.is_empty() {
            self.made = made;
            self.clocks.take(looked);
        }
        updates.iter().for_each(|new| self.log.push(new));
        Ok(Taken { updates, lacks: false })
    }

    /// Takes an update, or all that somebody has: what hangs in the air of that is left out. None: it may take as long
    /// as it takes.
    pub fn draw(
        &mut self,
        update: &Bytes,
        looked: &Looked,
        is_rest: bool,
        bounds: &Bounds,
        watch: Option<Watch>,
    ) -> Result<Taken, Refusal> {
        let is_late = || watch.is_some_and(|watch| watch.elapsed() > bounds.update_time_max);
        let taken = self.take(update, looked, bounds, &is_late)?;
        if !is_rest || !taken.lacks {
            return Ok(taken);
        }
        let part = Bytes::from(standing(update, &self.clocks)?);
        let looked = inspect(&part)?;
        if looked.made.is_empty() {
            return Ok(Taken { updates: Vec::new(), lacks: false });
        }
        self.take(&part, &looked, bounds, &is_late)
    }

    /// The last messages of the log, in order.
    pub fn last(&self, count: usize) -> impl Iterator<Item = &Bytes> {
        self.log.last(count)
    }

    /// Whether somebody draws what is not here.
    pub fn is_new(&self, looked: &Looked) -> bool {
        self.clocks.lack(looked)
    }

    /// Whether somebody erases what is here.
    pub fn erases(&mut self, update: &Bytes) -> Result<bool, Refusal> {
        let is_deep = self.is_deep();
        self.answers.erases(update, &self.doc, is_deep)
    }

    pub fn state_vector(&self) -> Vec<u8> {
        self.doc.transact().state_vector().encode_v1()
    }

    /// What somebody lacks who has this much, in messages. It may hold what is not durable yet.
    pub fn since(&mut self, theirs: &StateVector) -> Result<Vec<Bytes>, Refusal> {
        let is_deep = self.is_deep();
        Ok(self.answers.since(theirs, &self.doc, &self.log, is_deep)?)
    }

    /// Draws what a state shows, in the place of what is here. None: it is the same.
    pub fn restore(&mut self, state: &Bytes) -> Result<Option<Bytes>, Refusal> {
        let doc = &self.doc;
        let restored = deep::here(true, || -> Result<Option<Bytes>, Unfit> {
            let before = Doc::new();
            before.transact_mut().apply_update(Update::decode_v1(state)?).map_err(|_| Unfit::Malformed)?;
            let mut txn = doc.transact_mut();
            for root in [ELEMENTS, FILES] {
                let (wanted, present) = (values(&before.transact(), root), values(&txn, root));
                let map = txn.get_or_insert_map(root);
                for gone in present.keys().filter(|key| !wanted.contains_key(*key)) {
                    map.remove(&mut txn, gone);
                }
                for (key, value) in wanted.into_iter().filter(|(key, value)| present.get(key) != Some(value)) {
                    map.insert(&mut txn, key, value);
                }
            }
            Ok(txn.has_changes().then(|| Bytes::from(txn.encode_update_v1())))
        })??;
        if let Some(update) = &restored {
            let looked = inspect(update)?;
            self.made = self.made.and(looked.made);
            self.clocks.take(&looked);
            self.log.push(update);
        }
        Ok(restored)
    }
}

fn values(txn: &impl ReadTxn, root: &str) -> BTreeMap<String, Any> {
    let Some(map) = txn.get_map(root) else { return BTreeMap::new() };
    map.iter(txn).map(|(key, value): (&str, Out)| (key.to_owned(), yrs::types::ToJson::to_json(&value, txn))).collect()
}

/// What a log shows: its elements, and the pictures in them, by their ids. Where it holds nobody up; how many at
/// once is for whoever asks.
pub async fn shown(log: BoardLog) -> Result<Shown, Refusal> {
    deep::aside(move || {
        let (doc, _) = doc_of(&Log::from(log))?;
        let txn = doc.transact();
        let json = |root| {
            let values = values(&txn, root).into_iter();
            // Deeper than any element is, and not so deep that whoever reads it falls.
            values.filter_map(|(key, value)| Some((key, json_of(&value, 64)?))).collect()
        };
        Ok(Shown { elements: json(ELEMENTS), files: json(FILES) })
    })
    .await?
}

/// What is to be seen on a board.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    pub elements: BTreeMap<String, serde_json::Value>,
    pub files: BTreeMap<String, serde_json::Value>,
}

/// None: it is nested too deeply.
fn json_of(value: &Any, depth: usize) -> Option<serde_json::Value> {
    use serde_json::Value;
    let deeper = depth.checked_sub(1)?;
    Some(match value {
        Any::Null | Any::Undefined => Value::Null,
        Any::Bool(is) => Value::Bool(*is),
        Any::String(text) => Value::String(text.to_string()),
        Any::Buffer(bytes) => Value::from(bytes.to_vec()),
        Any::Array(values) => Value::Array(values.iter().map(|value| json_of(value, deeper)).collect::<Option<_>>()?),
        Any::Map(entries) => {
            let entries = entries.iter().map(|(key, value)| Some((key.clone(), json_of(value, deeper)?)));
            Value::Object(entries.collect::<Option<_>>()?)
        }
        number => serde_json::to_value(number).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
