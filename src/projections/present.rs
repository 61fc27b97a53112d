//! What stands just now: the rooms of the latest set, what is left of the set, and who is in which
//! room. It answers REST without asking the meeting, so it costs a meeting nothing to be looked at.

use super::Projections;
use super::read::ask;
use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{Millis, ParticipantId};
use serde::Serialize;
use serde_json::Value;
use sqlx::{query_as, query_scalar};
use uuid::Uuid;

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct PresentRoom {
    pub id: String,
    pub name: String,
    /// Always `breakout`.
    #[schema(value_type = String)]
    pub kind: &'static str,
    /// `open`, `closing` or `closed`.
    pub state: String,
    /// When it turns `closing`, or, if it is closing, when it is closed. Unix milliseconds, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at: Option<Millis>,
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Presence {
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    /// `main`, or a breakout room's id.
    pub room: String,
}

/// The latest set of breakout rooms.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct Present {
    /// In the order they were made, closed ones too.
    pub rooms: Vec<PresentRoom>,
    /// `{state, ends_at?, warn_s, grace_s, assign, allow_return, record?}`; absent once all rooms are closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub breakout: Option<Value>,
}

impl Projections {
    pub async fn breakout(&self, key: &MeetingKey) -> Result<Present, StoreError> {
        // Ids are in the order in which their rooms were made.
        let rooms: Vec<(String, String, String, Option<i64>)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT id, name, state, ends_at FROM rooms_view \
                 WHERE tenant = $1 AND meeting = $2 AND is_former = 0 ORDER BY id"
            ),
            &key.tenant.0,
            key.meeting.0
        );
        let data: Option<String> = ask!(
            self,
            fetch_optional,
            query_scalar("SELECT data FROM breakouts_view WHERE tenant = $1 AND meeting = $2"),
            &key.tenant.0,
            key.meeting.0
        );
        let room = |(id, name, state, ends_at): (_, _, _, Option<i64>)| PresentRoom {
            id,
            name,
            kind: "breakout",
            state,
            ends_at: ends_at.map(to_u64),
        };
        let breakout = data.and_then(|data| serde_json::from_str(&data).ok());
        Ok(Present { rooms: rooms.into_iter().map(room).collect(), breakout })
    }

    /// Who is in which room. Services are nobody that others see.
    pub async fn presence(&self, key: &MeetingKey) -> Result<Vec<Presence>, StoreError> {
        let rows: Vec<(Uuid, String)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT participant, room FROM attendances WHERE tenant = $1 AND meeting = $2 AND left_at IS NULL \
                 AND role NOT IN ('agent', 'recorder') ORDER BY participant"
            ),
            &key.tenant.0,
            key.meeting.0
        );
        let one = |(participant, room)| Presence { participant: ParticipantId(participant), room };
        Ok(rows.into_iter().map(one).collect())
    }
}
