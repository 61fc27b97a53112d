//! A question to whoever leads: what clients see of it, and what the meeting keeps of one.

use crate::ids::{Millis, ParticipantId, QuestionId, RoomId, Seq};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use uuid::Uuid;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum QuestionState {
    Open,
    Answered,
    Dismissed,
}

impl QuestionState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Answered => "answered",
            Self::Dismissed => "dismissed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Question {
    pub id: QuestionId,
    pub room: RoomId,
    pub text: String,
    /// Absent when it was asked anonymously.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub by: Option<ParticipantId>,
    pub anonymous: bool,
    pub votes: u32,
    pub state: QuestionState,
    /// What was answered in writing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub answer: Option<String>,
    /// It was answered in the meeting itself.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub live: bool,
}

/// A question as the meeting keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveQuestion {
    pub question: Question,
    /// When it was asked, in the order of the log.
    pub asked: Seq,
    /// Who asked, while it is open: the participant, or their pseudonym.
    pub asker: Uuid,
    /// Who voted for it, while it is open.
    pub voters: BTreeSet<Uuid>,
    /// The votes as they stand; clients are told twice a second.
    pub votes: u32,
    pub answered_by: Option<ParticipantId>,
    /// When the votes were last told.
    pub counted_at: Millis,
}

impl LiveQuestion {
    pub fn is_open(&self) -> bool {
        self.question.state == QuestionState::Open
    }

    /// The question with its votes as they stand.
    pub fn counted(&self) -> Question {
        Question { votes: self.votes, ..self.question.clone() }
    }

    /// Somebody is for it, or not any more.
    pub fn vote(&mut self, voter: Uuid, up: bool) {
        if up {
            self.voters.insert(voter);
        } else {
            self.voters.remove(&voter);
        }
        self.votes = u32::try_from(self.voters.len()).unwrap_or(u32::MAX);
    }
}
