//! What happens to questions and polls, as statements.

use super::sql::{Statement, of_meeting};
use convoke_actors::frame::json;
use convoke_actors::ports::MeetingKey;
use convoke_domain::poll::Poll;
use convoke_domain::question::Question;
use convoke_domain::{ParticipantId, PollId, Seq};
use uuid::Uuid;

/// A question as it is now; it stays where it was asked, and in the room that merges gave it to.
pub fn asked(key: &MeetingKey, seq: Seq, question: &Question, answered_by: Option<ParticipantId>) -> Statement {
    let wordless = Question { text: String::new(), answer: None, ..question.clone() };
    of_meeting!(
        key,
        "INSERT INTO questions_view \
         (tenant, meeting, id, seq, room, state, asker, answered_by, words, answer, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (tenant, meeting, id) DO UPDATE SET \
         state = excluded.state, answered_by = excluded.answered_by, words = excluded.words, \
         answer = excluded.answer, data = excluded.data",
        question.id.0,
        seq.0,
        question.room.to_string(),
        question.state.as_str(),
        question.by.map(|id| id.0),
        answered_by.map(|id| id.0),
        question.text.as_str(),
        question.answer.clone(),
        json(&wordless)
    )
}

pub fn polled(key: &MeetingKey, seq: Seq, poll: &Poll) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO polls_view (tenant, meeting, id, seq, room, state, anonymous, data) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (tenant, meeting, id) DO UPDATE SET \
         state = excluded.state, data = excluded.data",
        poll.id.0,
        seq.0,
        poll.room.to_string(),
        poll.state.as_str(),
        u64::from(poll.anonymous),
        json(poll)
    )
}

/// Who voted what is kept where the poll is not anonymous, and nowhere else.
pub fn voted(key: &MeetingKey, poll: PollId, voter: Uuid, choices: &[u32]) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO poll_votes_view (tenant, meeting, poll, voter, choices) \
         SELECT tenant, meeting, id, $4, $5 FROM polls_view \
         WHERE tenant = $1 AND meeting = $2 AND id = $3 AND anonymous = 0 \
         ON CONFLICT (tenant, meeting, poll, voter) DO UPDATE SET choices = excluded.choices",
        poll.0,
        voter,
        json(&choices)
    )
}

/// Takes away the words of somebody's questions, and of the answers that they gave.
pub fn erased(key: &MeetingKey, participant: ParticipantId) -> [Statement; 2] {
    let whom = participant.0;
    [
        of_meeting!(
            key,
            "UPDATE questions_view SET words = '' WHERE tenant = $1 AND meeting = $2 AND asker = $3",
            whom
        ),
        of_meeting!(
            key,
            "UPDATE questions_view SET answer = NULL WHERE tenant = $1 AND meeting = $2 AND answered_by = $3",
            whom
        ),
    ]
}
