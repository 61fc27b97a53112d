//! What a meeting was, in numbers: who was there and for how long, what each of them did and how often,
//! and what happened in each room. All of it is counted by the database; what one report holds is
//! bounded, and what was left out is said.

use super::Projections;
use super::read::{ask, more};
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{Millis, ParticipantId};
use serde::Serialize;
use sqlx::query_as;
use std::collections::HashMap;
use uuid::Uuid;

/// What one report holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub people: usize,
    pub stays: usize,
    pub rooms: usize,
}

impl Default for Bounds {
    /// Twice the people of the largest meeting, with ten stays each.
    fn default() -> Self {
        Self { people: 2_000, stays: 20_000, rooms: 1_000 }
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

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Report {
    /// In the order in which they came.
    pub participants: Vec<Attendee>,
    pub rooms: Vec<RoomTotals>,
    /// The lists of this report that are not whole: the meeting had more than one report holds.
    pub cut: Vec<&'static str>,
}

type AttendeeRow = (Uuid, Option<String>, String, String, i64, i64, i64, i64);
type StayRow = (Uuid, String, i64, Option<i64>);
type RoomRow = (String, Option<String>, i64, i64, i64);

fn attendee((id, user, name, role, inside_ms, hands, messages, captions): AttendeeRow) -> Attendee {
    let [inside_ms, hands, messages, captions] = [inside_ms, hands, messages, captions].map(to_u64);
    let totals = Totals { inside_ms, hands, messages, captions };
    Attendee { participant: ParticipantId(id), user, name, role, stays: Vec::new(), totals }
}

fn room((id, name, people, messages, captions): RoomRow) -> RoomTotals {
    let name = if id == "main" { Some("Main".to_owned()) } else { name };
    RoomTotals { id, name, people: to_u64(people), messages: to_u64(messages), captions: to_u64(captions) }
}

impl Projections {
    /// The report of a meeting as it is now.
    pub async fn report(&self, key: &MeetingKey, now: Millis, bounds: Bounds) -> Result<Report, StoreError> {
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
        Ok(Report { participants: people, rooms, cut })
    }

    /// One more than the limit where there are more.
    async fn attendees(&self, key: &MeetingKey, now: Millis, limit: usize) -> Result<Vec<Attendee>, StoreError> {
        let rows: Vec<AttendeeRow> = ask!(
            self,
            fetch_all,
            query_as(
                "WITH people AS (SELECT participant, MIN(seq) AS first, MAX(seq) AS latest, \
                 CAST(SUM(COALESCE(left_at, $3) - joined_at) AS BIGINT) AS inside FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND role NOT IN ('agent', 'recorder') GROUP BY participant) \
                 SELECT p.participant, a.user_id, a.name, a.role, p.inside, COALESCE(h.raised, 0), \
                 COALESCE(m.said, 0), COALESCE(c.spoken, 0) FROM people p \
                 JOIN attendances a ON a.tenant = $1 AND a.meeting = $2 AND a.seq = p.latest \
                 AND a.participant = p.participant \
                 LEFT JOIN hands_view h ON h.tenant = $1 AND h.meeting = $2 AND h.participant = p.participant \
                 LEFT JOIN (SELECT sender, COUNT(*) AS said FROM messages_view \
                 WHERE tenant = $1 AND meeting = $2 GROUP BY sender) m ON m.sender = p.participant \
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

    async fn stays(&self, key: &MeetingKey, limit: usize) -> Result<Vec<StayRow>, StoreError> {
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
    async fn rooms(&self, key: &MeetingKey, limit: usize) -> Result<Vec<RoomTotals>, StoreError> {
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
