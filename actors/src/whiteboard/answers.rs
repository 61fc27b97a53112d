//! What a document is asked by those who come back: what they lack, and whether they erase something. To say either,
//! a document is walked from end to end; and after a failure many come at once who lack the same. So what was found is
//! kept, and what the log has since is merged into it.

use super::document::Refusal;
use super::inspect::Unfit;
use super::log::{self, Log};
use super::{deep, protocol};
use bytes::Bytes;
use std::collections::VecDeque;
use yrs::updates::decoder::Decode;
use yrs::{Doc, IdSet, ReadTxn, StateVector, Transact, Update};

/// Answers that are kept of a board, and what they take together. Each says of the whole board what is erased: of one
/// with 100,000 elements some 500 kB.
const KEPT_MAX: usize = 8;
const BYTES_MAX: usize = 2 << 20;
/// What came since may have so many bytes; beyond that it is found out again.
const SINCE_MAX: usize = 64 << 10;
/// What a clock of somebody takes in memory.
const CLOCK_BYTES: usize = 32;

/// What whoever had this much lacked when the log had so many updates.
struct Answer {
    theirs: StateVector,
    number: u64,
    rest: Bytes,
}

#[derive(Default)]
pub struct Answers {
    /// The last that was given comes last.
    kept: VecDeque<Answer>,
    /// What was erased when somebody asked last. What is erased never comes back: this may say too little, and not too
    /// much.
    erased: IdSet,
    /// The numbers at which the document was walked.
    #[cfg(test)]
    pub walks: Vec<u64>,
}

impl Answers {
    /// What somebody lacks who has this much, in messages; `is_deep`: on a deep stack. The last message, by which a
    /// client takes itself for synced, has all that is erased.
    pub fn since(
        &mut self,
        theirs: &StateVector,
        doc: &Doc,
        log: &Log,
        is_deep: bool,
    ) -> Result<Vec<Bytes>, deep::Broken> {
        let ours = doc.transact().state_vector();
        // What somebody has drawn meanwhile is not known here. In everything else they are like others.
        let clocks = theirs.iter().map(|(client, clock)| (*client, (*clock).min(ours.get(client))));
        let theirs: StateVector = clocks.filter(|(_, clock)| *clock > 0).collect();
        if theirs.is_empty() {
            let rest = protocol::step_2(&[0, 0]);
            return Ok(log.messages().cloned().chain([rest]).collect());
        }
        let before = self.kept.iter().position(|kept| kept.theirs == theirs).and_then(|at| self.kept.remove(at));
        let answer = match before.and_then(|before| before.renewed(log)) {
            Some(answer) => answer,
            None => {
                #[cfg(test)]
                self.walks.push(log.number());
                let rest = deep::here(is_deep, || doc.transact().encode_state_as_update_v1(&theirs))?;
                Answer { theirs, number: log.number(), rest: rest.into() }
            }
        };
        let message = protocol::step_2(&answer.rest);
        self.kept.push_back(answer);
        while self.kept.len() > KEPT_MAX || self.kept.iter().map(Answer::bytes).sum::<usize>() > BYTES_MAX {
            self.kept.pop_front();
        }
        Ok(vec![message])
    }

    /// Whether somebody erases what is there.
    pub fn erases(&mut self, update: &Bytes, doc: &Doc, is_deep: bool) -> Result<bool, Refusal> {
        let known = &mut self.erased;
        let erases = deep::here(is_deep, || -> Result<bool, Unfit> {
            let mut erased = Update::decode_v1(update)?.delete_set().clone();
            erased.diff_with(known);
            if !erased.is_empty() {
                *known = doc.transact().snapshot().delete_set;
                erased.diff_with(known);
            }
            Ok(!erased.is_empty())
        });
        Ok(erases??)
    }
}

impl Answer {
    fn bytes(&self) -> usize {
        self.theirs.len().saturating_mul(CLOCK_BYTES).saturating_add(self.rest.len())
    }

    /// With what was drawn since. None: that is too much, or in a state.
    fn renewed(self, log: &Log) -> Option<Self> {
        if self.number == log.number() {
            return Some(self);
        }
        let mut updates = vec![self.rest];
        updates.extend(log.behind(self.number)?);
        let is_little = updates.iter().skip(1).map(Bytes::len).sum::<usize>() <= SINCE_MAX;
        let rest = if is_little { log::merged(updates)? } else { return None };
        Some(Self { theirs: self.theirs, number: log.number(), rest })
    }
}

#[cfg(test)]
impl Answers {
    pub fn len(&self) -> usize {
        self.kept.len()
    }
}
