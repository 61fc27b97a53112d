//! Anonymity. What is done anonymously is written down under pseudonyms, and the key that they are
//! made with is destroyed when the poll or the question is closed.
//!
//! While a veil is up, the log names neither the person nor the session: the voter is a pseudonym,
//! the same for all that one person does under this veil, so that a vote can be changed and is
//! counted once; and the event's cause is covered, differently for each event, so
//! that a command that comes again still has one effect. When the veil is taken away, the key, the
//! votes and the causes are overwritten in the log (`redact`), and the numbers that sessions have
//! reached are written down for everybody alike. Then nothing tells who took part, or how.

use crate::event::Cause;
use crate::ids::{ParticipantId, Seq, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// The part of a number that is covered. No session counts further; and what is stored stays positive.
const NUMBERS: u64 = (1 << 62) - 1;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Veil {
    key: Uuid,
    /// The numbers that sessions took under it.
    pub taken: BTreeMap<SessionId, BTreeSet<u64>>,
}

impl Veil {
    pub fn new(key: Uuid) -> Self {
        Self { key, taken: BTreeMap::new() }
    }

    /// As whom this person is written down. (A SHA-1 over the key and the id, as UUIDs of version 5
    /// are: whoever has no key cannot tell whose it is.)
    pub fn pseudonym(&self, participant: ParticipantId) -> Uuid {
        Uuid::new_v5(&self.key, participant.0.as_bytes())
    }

    /// Covers the command that caused an event, or uncovers it again: its session, and its number too, for
    /// whoever knows the other numbers of everybody knows whose is missing.
    pub fn cover(&self, at: Seq, cause: Cause) -> Cause {
        let pad = |part: u8| {
            let [a, b, c, d, e, f, g, h] = at.0.to_be_bytes();
            Uuid::new_v5(&self.key, &[a, b, c, d, e, f, g, h, part]).as_u128()
        };
        let session = SessionId(Uuid::from_u128(cause.session.0.as_u128() ^ pad(0)));
        let number = u64::try_from(pad(1) & u128::from(NUMBERS)).unwrap_or(0);
        Cause { session, id: cause.id ^ number }
    }
}

/// The key is a secret.
impl std::fmt::Debug for Veil {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Veil").finish_non_exhaustive()
    }
}
