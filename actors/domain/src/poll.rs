//! A poll: what clients see of it, and what the meeting keeps of one.

use crate::ids::{Millis, PollId, RoomId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// Who sees how the votes stand, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Results {
    /// Everybody in the room, all the time.
    Live,
    /// Everybody in the room, when the poll is closed; until then, how many have voted.
    Closed,
    /// Hosts and cohosts.
    Hosts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PollState {
    Open,
    Closed,
}

impl PollState {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Poll {
    pub id: PollId,
    pub room: RoomId,
    pub question: String,
    pub options: Vec<String>,
    pub multiple: bool,
    pub anonymous: bool,
    pub results: Results,
    pub state: PollState,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ends_at: Option<Millis>,
    /// Votes for each option; absent where they are hidden.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub counts: Option<Vec<u32>>,
    /// How many people have voted.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub voters: Option<u32>,
}

impl Poll {
    /// As much of the counts as somebody in the room sees.
    pub fn shown(self, leads: bool) -> Self {
        match self.results {
            Results::Hosts if !leads => Self { counts: None, voters: None, ..self },
            Results::Closed if self.state == PollState::Open => Self { counts: None, ..self },
            Results::Live | Results::Closed | Results::Hosts => self,
        }
    }
}

/// What `poll.open` asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct OpenPoll {
    pub question: String,
    pub options: Vec<String>,
    #[serde(default)]
    pub multiple: bool,
    #[serde(default)]
    pub anonymous: bool,
    pub results: Results,
    #[serde(default)]
    pub duration_s: Option<u32>,
}

/// A poll as the meeting keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LivePoll {
    /// Without counts: who sees those depends on who looks.
    pub poll: Poll,
    pub counts: Vec<u32>,
    pub voters: u32,
    /// Each voter's choices, while the poll is open: by participant, or by pseudonym.
    pub votes: BTreeMap<Uuid, Vec<u32>>,
    /// When the counts were last told.
    pub counted_at: Millis,
}

impl LivePoll {
    pub fn new(poll: Poll) -> Self {
        let counts = vec![0; poll.options.len()];
        let poll = Poll { counts: None, voters: None, ..poll };
        Self { poll, counts, voters: 0, votes: BTreeMap::new(), counted_at: 0 }
    }

    pub fn is_open(&self) -> bool {
        self.poll.state == PollState::Open
    }

    /// The poll with its counts, as its tenant sees it.
    pub fn counted(&self) -> Poll {
        Poll { counts: Some(self.counts.clone()), voters: Some(self.voters), ..self.poll.clone() }
    }

    /// The poll as somebody in the room sees it.
    pub fn shown(&self, leads: bool) -> Poll {
        self.counted().shown(leads)
    }

    /// One voter's choices take the place of those before.
    pub fn vote(&mut self, voter: Uuid, choices: &[u32]) {
        let before = self.votes.insert(voter, choices.to_vec());
        self.voters = u32::try_from(self.votes.len()).unwrap_or(u32::MAX);
        for choice in before.iter().flatten() {
            if let Some(count) = self.option(*choice) {
                *count = count.saturating_sub(1);
            }
        }
        for choice in choices {
            if let Some(count) = self.option(*choice) {
                *count = count.saturating_add(1);
            }
        }
    }

    fn option(&mut self, choice: u32) -> Option<&mut u32> {
        self.counts.get_mut(usize::try_from(choice).ok()?)
    }

    /// Takes over the result that an event tells, which holds when the votes are gone.
    pub fn settle(&mut self, told: &Poll) {
        if let Some(counts) = &told.counts {
            self.counts.clone_from(counts);
        }
        self.voters = told.voters.unwrap_or(self.voters);
    }
}
