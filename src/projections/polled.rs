//! What REST asks of questions and polls. What belonged to a room is read by whoever has been in it, in
//! that room itself or in those that were merged into it, and by those who lead.

use super::Projections;
use super::read::{Page, Reader, ask, more};
use crate::adapters::store::{Db, LogRow, event_of, to_i64, to_u64, unavailable};
use convoke_actors::ports::{EventRow, MeetingKey, StoreError};
use convoke_domain::Event;
use convoke_domain::event::Recorded;
use convoke_domain::poll::Poll;
use convoke_domain::question::Question;
use convoke_domain::{ParticipantId, PollId, QuestionId, Seq};
use serde::Serialize;
use sqlx::{query_as, query_scalar};
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

/// Which of a meeting's questions or polls are asked for.
#[derive(Clone, Debug)]
pub struct Which {
    pub room: Option<String>,
    pub state: Option<String>,
    /// Those whose first event stands behind this one.
    pub after: i64,
    pub limit: usize,
}

/// One person's vote, with as whom they were there last.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Vote {
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub name: String,
    /// The numbers of the options, from 0.
    pub choices: Vec<u32>,
}

/// A vote as its voter is told of it.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct CastVote {
    pub poll: PollId,
    pub question: String,
    pub choices: Vec<u32>,
    /// The chosen options in words.
    pub chosen: Vec<String>,
}

/// What somebody wrote in answer to a question. The question is another's words.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Answered {
    pub question: QuestionId,
    pub room: String,
    pub answer: String,
}

/// The part of a question that can be taken away, and what is read beside it.
type QuestionRow = (i64, String, String, String, Option<String>);

/// A list of one table: those who lead, and the tenant, read all of it.
macro_rules! listed {
    ($columns:literal, $table:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM ",
            $table,
            " q WHERE q.tenant = $1 AND q.meeting = $2 AND q.seq > $3 ",
            "AND ($4 IS NULL OR q.room = $4) AND ($5 IS NULL OR q.state = $5) ",
            "AND ($6 IS NULL OR EXISTS (SELECT 1 FROM attendances a WHERE a.tenant = q.tenant ",
            "AND a.meeting = q.meeting AND a.participant = $6 ",
            "AND (a.room = q.room OR q.trail LIKE '%' || a.room || '%'))) ORDER BY q.seq LIMIT $7"
        )
    };
}

/// Part of a log: rows of these kinds.
macro_rules! logged {
    ($kinds:literal) => {
        concat!(
            "SELECT seq, at, kind, version, audience, cause_session, cause_id, data FROM events ",
            "WHERE tenant = $1 AND meeting = $2 AND seq > $3 AND seq <= $4 AND kind ",
            $kinds,
            " ORDER BY seq"
        )
    };
}

/// Whose rooms a list is of; absent where it is of all rooms.
fn own(reader: Reader) -> Option<Uuid> {
    match reader {
        Reader::Tenant | Reader::Lead(_) => None,
        Reader::Participant(id) => Some(id.0),
    }
}

/// What cannot be read is left out of a list, as elsewhere.
fn question((seq, room, data, words, answer): QuestionRow) -> Option<(i64, Question)> {
    let read: Question = serde_json::from_str(&data).ok()?;
    Some((seq, Question { room: room.parse().ok()?, text: words, answer, ..read }))
}

fn poll(room: &str, data: &str) -> Option<Poll> {
    let read: Poll = serde_json::from_str(data).ok()?;
    Some(Poll { room: room.parse().ok()?, ..read })
}

fn numbers(choices: &str) -> Vec<u32> {
    serde_json::from_str(choices).unwrap_or_default()
}

impl Projections {
    pub async fn questions(
        &self,
        key: &MeetingKey,
        which: &Which,
        reader: Reader,
    ) -> Result<Page<(i64, Question)>, StoreError> {
        let rows: Vec<QuestionRow> = ask!(
            self,
            fetch_all,
            query_as(listed!("q.seq, q.room, q.data, q.words, q.answer", "questions_view")),
            &key.tenant.0,
            key.meeting.0,
            which.after,
            which.room.as_deref(),
            which.state.as_deref(),
            own(reader),
            more(which.limit)
        );
        Ok(Page::cut(rows, which.limit, |(seq, ..)| seq.to_string()).read(question))
    }

    /// Polls with as much of their counts as this reader sees.
    pub async fn polls(
        &self,
        key: &MeetingKey,
        which: &Which,
        reader: Reader,
    ) -> Result<Page<(i64, Poll)>, StoreError> {
        let rows: Vec<(i64, String, String)> = ask!(
            self,
            fetch_all,
            query_as(listed!("q.seq, q.room, q.data", "polls_view")),
            &key.tenant.0,
            key.meeting.0,
            which.after,
            which.room.as_deref(),
            which.state.as_deref(),
            own(reader),
            more(which.limit)
        );
        let leads = own(reader).is_none();
        let page = Page::cut(rows, which.limit, |(seq, ..)| seq.to_string());
        Ok(page.read(|(seq, room, data)| Some((seq, poll(&room, &data)?.shown(leads)))))
    }

    pub async fn poll(&self, key: &MeetingKey, id: PollId) -> Result<Option<Poll>, StoreError> {
        let row: Option<(String, String)> = ask!(
            self,
            fetch_optional,
            query_as("SELECT room, data FROM polls_view WHERE tenant = $1 AND meeting = $2 AND id = $3"),
            &key.tenant.0,
            key.meeting.0,
            id.0
        );
        Ok(row.and_then(|(room, data)| poll(&room, &data)))
    }

    /// Who voted what, by the voters' ids: nothing, where the poll is anonymous.
    pub async fn votes(
        &self,
        key: &MeetingKey,
        poll: PollId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<Vote>, StoreError> {
        let rows: Vec<(Uuid, String, Option<String>, Option<String>)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT v.voter, v.choices, a.user_id, a.name FROM poll_votes_view v LEFT JOIN attendances a \
                 ON a.tenant = v.tenant AND a.meeting = v.meeting AND a.participant = v.voter \
                 AND a.seq = (SELECT MAX(b.seq) FROM attendances b WHERE b.tenant = v.tenant \
                 AND b.meeting = v.meeting AND b.participant = v.voter) \
                 WHERE v.tenant = $1 AND v.meeting = $2 AND v.poll = $3 AND ($4 IS NULL OR v.voter > $4) \
                 ORDER BY v.voter LIMIT $5"
            ),
            &key.tenant.0,
            key.meeting.0,
            poll.0,
            after,
            more(limit)
        );
        let vote = |(voter, choices, user, name): (Uuid, String, _, Option<String>)| Vote {
            participant: ParticipantId(voter),
            user,
            name: name.unwrap_or_default(),
            choices: numbers(&choices),
        };
        let items = rows.into_iter().map(vote).collect();
        Ok(Page::cut(items, limit, |vote: &Vote| vote.participant.to_string()))
    }

    /// The event that all that was done under these keys stands behind: the page that is being read says it
    /// of what began in it, and the read models of what began before. The beginning of the log, where neither
    /// knows all of what they are for. The key itself stands just before what it is for.
    pub(super) async fn begun_after(
        &self,
        key: &MeetingKey,
        page: &[Recorded],
        of: &BTreeSet<Uuid>,
    ) -> Result<Seq, StoreError> {
        let begun = |recorded: &Recorded| match &recorded.event {
            Event::AnonymityBegun { of: id, .. } if of.contains(id) => Some((*id, recorded.seq.0)),
            _ => None,
        };
        let here: BTreeMap<Uuid, u64> = page.iter().filter_map(begun).collect();
        let mut first = u64::MAX;
        for id in of {
            if let Some(seq) = here.get(id) {
                first = first.min(seq.saturating_sub(1));
                continue;
            }
            let opened: Option<i64> = ask!(
                self,
                fetch_optional,
                query_scalar(
                    "SELECT seq FROM polls_view WHERE tenant = $1 AND meeting = $2 AND id = $3 UNION ALL \
                     SELECT seq FROM questions_view WHERE tenant = $1 AND meeting = $2 AND id = $3"
                ),
                &key.tenant.0,
                key.meeting.0,
                *id
            );
            first = first.min(to_u64(opened.unwrap_or(0)).saturating_sub(2));
        }
        Ok(Seq(first))
    }

    /// The rows of the log there that hold keys, or held them.
    pub(super) async fn begun(&self, key: &MeetingKey, after: Seq, upto: Seq) -> Result<Vec<EventRow>, StoreError> {
        let rows: Vec<LogRow> = ask!(
            self,
            fetch_all,
            query_as(logged!("= 'anonymity.begun'")),
            &key.tenant.0,
            key.meeting.0,
            to_i64(after.0),
            to_i64(upto.0)
        );
        Ok(rows.into_iter().map(event_of).collect())
    }

    /// The rows of the log there that tell of what is done under keys: those that `redact::anonymous` changes.
    pub(super) async fn veiled(
        &self,
        key: &MeetingKey,
        after: Seq,
        upto: Seq,
        limit: u32,
    ) -> Result<Vec<EventRow>, StoreError> {
        let rows: Vec<LogRow> = ask!(
            self,
            fetch_all,
            query_as(concat!(
                logged!("IN ('anonymity.begun', 'poll.voted', 'poll.counted', 'question.asked', 'question.vote_set')"),
                " LIMIT $5"
            )),
            &key.tenant.0,
            key.meeting.0,
            to_i64(after.0),
            to_i64(upto.0),
            i64::from(limit)
        );
        Ok(rows.into_iter().map(event_of).collect())
    }

    /// What somebody asked by name.
    pub async fn questions_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Question>, StoreError> {
        let rows: Vec<QuestionRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT seq, room, data, words, answer FROM questions_view \
                 WHERE tenant = $1 AND meeting = $2 AND asker = $3 ORDER BY seq"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        Ok(rows.into_iter().filter_map(question).map(|(_, question)| question).collect())
    }

    /// What somebody answered in writing.
    pub async fn answers_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Answered>, StoreError> {
        let rows: Vec<(Uuid, String, String)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT id, room, answer FROM questions_view WHERE tenant = $1 AND meeting = $2 \
                 AND answered_by = $3 AND answer IS NOT NULL ORDER BY seq"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        let answered = |(id, room, answer)| Answered { question: QuestionId(id), room, answer };
        Ok(rows.into_iter().map(answered).collect())
    }

    /// How often somebody raised a hand.
    pub async fn hands_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<u64, StoreError> {
        let raised: Option<i64> = ask!(
            self,
            fetch_optional,
            query_scalar("SELECT raised FROM hands_view WHERE tenant = $1 AND meeting = $2 AND participant = $3"),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        Ok(raised.map_or(0, to_u64))
    }

    /// How somebody voted by name.
    pub async fn votes_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<CastVote>, StoreError> {
        let rows: Vec<(String, String, String)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT p.room, p.data, v.choices FROM poll_votes_view v JOIN polls_view p \
                 ON p.tenant = v.tenant AND p.meeting = v.meeting AND p.id = v.poll \
                 WHERE v.tenant = $1 AND v.meeting = $2 AND v.voter = $3 ORDER BY p.seq"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        let cast = |(room, data, choices): &(String, String, String)| {
            let poll = poll(room, data)?;
            let choices = numbers(choices);
            let chosen = chosen(&poll, &choices).map(ToOwned::to_owned).collect();
            Some(CastVote { poll: poll.id, question: poll.question, choices, chosen })
        };
        Ok(rows.iter().filter_map(cast).collect())
    }
}

/// The words of these options.
pub fn chosen<'a>(poll: &'a Poll, choices: &[u32]) -> impl Iterator<Item = &'a str> {
    choices.iter().filter_map(|choice| poll.options.get(usize::try_from(*choice).ok()?)).map(String::as_str)
}
