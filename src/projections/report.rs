//! What a meeting was, in numbers: who was there and for how long, what each of them did and how often,
//! and what happened in each room. All of it is counted by the database; what one report holds is
//! bounded, and what was left out is said.

mod counts;

use super::Projections;
use super::polled::Which;
use super::read::Reader;
use crate::adapters::store::to_u64;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::poll::Poll;
use convoke_domain::question::Question;
use convoke_domain::{Millis, ParticipantId, PollId, QuestionId};
use serde::Serialize;
use std::collections::HashMap;
use uuid::Uuid;

/// What one report holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub people: usize,
    pub stays: usize,
    pub rooms: usize,
    pub questions: usize,
    pub polls: usize,
}

impl Default for Bounds {
    /// Twice the people of the largest meeting, with ten stays each; as many questions and polls as a
    /// meeting remembers.
    fn default() -> Self {
        Self { people: 2_000, stays: 20_000, rooms: 1_000, questions: 1_000, polls: 500 }
    }
}

/// A stay in a room.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Stay {
    pub room: String,
    pub joined_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Millis>,
    /// Absent while the person is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
}

/// How much somebody did. What was done anonymously is nobody's.
#[derive(Clone, Copy, Debug, Default, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Totals {
    /// The time inside, also of stays that are left out; until now where the person is there.
    pub inside_ms: u64,
    /// How often a hand was raised.
    pub hands: u64,
    /// Chat messages that were not deleted, private ones too.
    pub messages: u64,
    /// Questions asked by name.
    pub questions: u64,
    /// Polls voted in that are not anonymous.
    pub polls: u64,
    pub captions: u64,
}

/// Somebody who was there. Services are nobody that others see.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Attendee {
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The name and the role that they have now, or had last.
    pub name: String,
    pub role: String,
    pub stays: Vec<Stay>,
    pub totals: Totals,
}

/// A room, of whatever set.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct RoomTotals {
    /// `main`, or a breakout room's id.
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How many people were in it at any time.
    pub people: u64,
    /// Chat messages that belong to it, private ones too; what was said in a room that was merged
    /// into another belongs to that.
    pub messages: u64,
    pub captions: u64,
}

/// A question to whoever leads.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct QuestionTold {
    #[schema(value_type = String)]
    pub id: QuestionId,
    pub room: String,
    /// Empty where whoever asked was erased.
    pub text: String,
    /// Absent where it was asked anonymously.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub by: Option<ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub anonymous: bool,
    pub votes: u32,
    /// `open`, `answered` or `dismissed`.
    pub state: &'static str,
    /// What was answered in writing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
    /// It was answered in the meeting itself.
    pub live: bool,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct OptionTold {
    pub text: String,
    /// Absent where the counts are hidden until the poll is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub votes: Option<u32>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct PollTold {
    #[schema(value_type = String)]
    pub id: PollId,
    pub room: String,
    pub question: String,
    pub multiple: bool,
    pub anonymous: bool,
    /// `open` or `closed`.
    pub state: &'static str,
    pub options: Vec<OptionTold>,
    /// How many people have voted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub voters: Option<u32>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Report {
    /// In the order in which they came.
    pub participants: Vec<Attendee>,
    pub rooms: Vec<RoomTotals>,
    /// In the order in which they were asked.
    pub questions: Vec<QuestionTold>,
    /// In the order in which they were opened.
    pub polls: Vec<PollTold>,
    /// The lists of this report that are not whole: the meeting had more than one report holds.
    pub cut: Vec<&'static str>,
}

fn question(question: Question, names: &HashMap<ParticipantId, &str>) -> QuestionTold {
    let by = question.by.filter(|_| !question.anonymous);
    QuestionTold {
        id: question.id,
        room: question.room.to_string(),
        name: by.and_then(|by| names.get(&by)).map(|name| (*name).to_owned()),
        by,
        text: question.text,
        anonymous: question.anonymous,
        votes: question.votes,
        state: question.state.as_str(),
        answer: question.answer,
        live: question.live,
    }
}

fn poll(poll: Poll) -> PollTold {
    let votes = |place: usize| poll.counts.as_ref().and_then(|counts| counts.get(place).copied());
    let option = |(place, text): (usize, &String)| OptionTold { text: text.clone(), votes: votes(place) };
    PollTold {
        id: poll.id,
        room: poll.room.to_string(),
        options: poll.options.iter().enumerate().map(option).collect(),
        question: poll.question,
        multiple: poll.multiple,
        anonymous: poll.anonymous,
        state: poll.state.as_str(),
        voters: poll.voters,
    }
}

impl Projections {
    /// The report of a meeting as it is now, for somebody who leads or for the tenant.
    pub async fn report(
        &self,
        key: &MeetingKey,
        reader: Reader,
        now: Millis,
        bounds: Bounds,
    ) -> Result<Report, StoreError> {
        let mut cut = Vec::new();
        let mut whole = |name, length: usize, bound: usize| {
            if length > bound {
                cut.push(name);
            }
        };
        let mut people = self.attendees(key, now, bounds.people).await?;
        whole("participants", people.len(), bounds.people);
        people.truncate(bounds.people);
        let mut stays = self.stays(key, bounds.stays).await?;
        whole("stays", stays.len(), bounds.stays);
        stays.truncate(bounds.stays);
        let mut rooms = self.rooms(key, bounds.rooms).await?;
        whole("rooms", rooms.len(), bounds.rooms);
        rooms.truncate(bounds.rooms);
        let first = |limit| Which { room: None, state: None, after: 0, limit };
        let questions = self.questions(key, &first(bounds.questions), reader).await?;
        let polls = self.polls(key, &first(bounds.polls), reader).await?;
        cut.extend(questions.next.is_some().then_some("questions"));
        cut.extend(polls.next.is_some().then_some("polls"));

        let mut of: HashMap<Uuid, Vec<Stay>> = HashMap::with_capacity(people.len());
        for (who, room, joined_at, left_at) in stays {
            of.entry(who).or_default().push(Stay {
                room,
                joined_at: to_u64(joined_at),
                left_at: left_at.map(to_u64),
                duration_ms: left_at.map(|left| to_u64(left.saturating_sub(joined_at))),
            });
        }
        for person in &mut people {
            person.stays = of.remove(&person.participant.0).unwrap_or_default();
        }
        let names = people.iter().map(|person| (person.participant, person.name.as_str())).collect();
        let questions = questions.items.into_iter().map(|(_, asked)| question(asked, &names)).collect();
        let polls = polls.items.into_iter().map(|(_, polled)| poll(polled)).collect();
        Ok(Report { participants: people, rooms, questions, polls, cut })
    }
}
