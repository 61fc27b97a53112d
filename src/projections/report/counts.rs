//! The counting, by the database. Each list is asked for with one more than its limit, so that it is known
//! whether there are more.

use super::super::Projections;
use super::super::read::{ask, more};
use super::{Attendee, RoomTotals, Totals};
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{Millis, ParticipantId};
use sqlx::query_as;
use uuid::Uuid;

type AttendeeRow = (Uuid, Option<String>, String, String, i64, i64, i64, i64, i64, i64);
pub(super) type StayRow = (Uuid, String, i64, Option<i64>);
type RoomRow = (String, Option<String>, i64, i64, i64);

fn attendee(row: AttendeeRow) -> Attendee {
    let (id, user, name, role, inside_ms, hands, messages, questions, polls, captions) = row;
    let [inside_ms, hands, messages] = [inside_ms, hands, messages].map(to_u64);
    let [questions, polls, captions] = [questions, polls, captions].map(to_u64);
    let totals = Totals { inside_ms, hands, messages, questions, polls, captions };
    Attendee { participant: ParticipantId(id), user, name, role, stays: Vec::new(), totals }
}

fn room((id, name, people, messages, captions): RoomRow) -> RoomTotals {
    let name = if id == "main" { Some("Main".to_owned()) } else { name };
    RoomTotals { id, name, people: to_u64(people), messages: to_u64(messages), captions: to_u64(captions) }
}

impl Projections {
    pub(super) async fn attendees(
        &self,
        key: &MeetingKey,
        now: Millis,
        limit: usize,
    ) -> Result<Vec<Attendee>, StoreError> {
        let rows: Vec<AttendeeRow> = ask!(
            self,
            fetch_all,
            query_as(
                "WITH people AS (SELECT participant, MIN(seq) AS first, MAX(seq) AS latest, \
                 CAST(SUM(COALESCE(left_at, $3) - joined_at) AS BIGINT) AS inside FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND role NOT IN ('agent', 'recorder') GROUP BY participant) \
                 SELECT p.participant, a.user_id, a.name, a.role, p.inside, COALESCE(h.raised, 0), \
                 COALESCE(m.said, 0), COALESCE(q.asked, 0), COALESCE(v.voted, 0), COALESCE(c.spoken, 0) FROM people p \
                 JOIN attendances a ON a.tenant = $1 AND a.meeting = $2 AND a.seq = p.latest \
                 AND a.participant = p.participant \
                 LEFT JOIN hands_view h ON h.tenant = $1 AND h.meeting = $2 AND h.participant = p.participant \
                 LEFT JOIN (SELECT sender, COUNT(*) AS said FROM messages_view \
                 WHERE tenant = $1 AND meeting = $2 GROUP BY sender) m ON m.sender = p.participant \
                 LEFT JOIN (SELECT asker, COUNT(*) AS asked FROM questions_view \
                 WHERE tenant = $1 AND meeting = $2 GROUP BY asker) q ON q.asker = p.participant \
                 LEFT JOIN (SELECT voter, COUNT(*) AS voted FROM poll_votes_view \
                 WHERE tenant = $1 AND meeting = $2 GROUP BY voter) v ON v.voter = p.participant \
                 LEFT JOIN (SELECT participant, COUNT(*) AS spoken FROM captions_view \
                 WHERE tenant = $1 AND meeting = $2 AND text <> '' GROUP BY participant) c \
                 ON c.participant = p.participant ORDER BY p.first, p.participant LIMIT $4"
            ),
            &key.tenant.0,
            key.meeting.0,
            to_i64(now),
            more(limit)
        );
        Ok(rows.into_iter().map(attendee).collect())
    }

    pub(super) async fn stays(&self, key: &MeetingKey, limit: usize) -> Result<Vec<StayRow>, StoreError> {
        Ok(ask!(
            self,
            fetch_all,
            query_as(
                "SELECT participant, room, joined_at, left_at FROM attendances WHERE tenant = $1 AND meeting = $2 \
                 AND role NOT IN ('agent', 'recorder') ORDER BY seq, participant LIMIT $3"
            ),
            &key.tenant.0,
            key.meeting.0,
            more(limit)
        ))
    }

    /// The main room first, then in the order in which they were made, which their ids are in.
    pub(super) async fn rooms(&self, key: &MeetingKey, limit: usize) -> Result<Vec<RoomTotals>, StoreError> {
        let rows: Vec<RoomRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT r.id, v.name, COALESCE(p.people, 0), COALESCE(m.said, 0), COALESCE(c.spoken, 0) \
                 FROM (SELECT 'main' AS id UNION SELECT id FROM rooms_view WHERE tenant = $1 AND meeting = $2 \
                 UNION SELECT room FROM attendances WHERE tenant = $1 AND meeting = $2) r \
                 LEFT JOIN rooms_view v ON v.tenant = $1 AND v.meeting = $2 AND v.id = r.id \
                 LEFT JOIN (SELECT room, COUNT(DISTINCT participant) AS people FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND role NOT IN ('agent', 'recorder') GROUP BY room) p \
                 ON p.room = r.id \
                 LEFT JOIN (SELECT room, COUNT(*) AS said FROM messages_view \
                 WHERE tenant = $1 AND meeting = $2 GROUP BY room) m ON m.room = r.id \
                 LEFT JOIN (SELECT room, COUNT(*) AS spoken FROM captions_view \
                 WHERE tenant = $1 AND meeting = $2 AND text <> '' GROUP BY room) c ON c.room = r.id \
                 ORDER BY CASE r.id WHEN 'main' THEN 0 ELSE 1 END, r.id LIMIT $3"
            ),
            &key.tenant.0,
            key.meeting.0,
            more(limit)
        );
        Ok(rows.into_iter().map(room).collect())
    }
}
