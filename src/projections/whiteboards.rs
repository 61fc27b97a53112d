//! Which whiteboards there are: what the log says of them, as statements, and as REST reads it. What is drawn
//! on them is in logs of their own, which no rebuild touches; whether a board is there at all, and how far it
//! is drawn, those know first.

use super::Projections;
use super::read::{Page, Reader, ask, more};
use super::sql::{Statement, of_meeting};
use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::redact::ERASED_NAME;
use convoke_domain::whiteboard::{Whiteboard, WhiteboardAccess};
use convoke_domain::{MeetingId, Millis, ParticipantId, RoomId, TenantId, WhiteboardId};
use serde::Serialize;
use serde_json::Value as Json;
use sqlx::query_as;
use uuid::Uuid;

fn access(access: WhiteboardAccess) -> &'static str {
    match access {
        WhiteboardAccess::Everyone => "everyone",
        WhiteboardAccess::Hosts => "hosts",
        WhiteboardAccess::Nobody => "nobody",
    }
}

pub fn made(key: &MeetingKey, whiteboard: &Whiteboard, at: Millis) -> Statement {
    of_meeting!(
        key,
        "INSERT INTO whiteboards (tenant, meeting, whiteboard, room, name, access, made_by, named_by, created_at) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        whiteboard.id.0,
        whiteboard.room.to_string(),
        whiteboard.name.as_str(),
        access(whiteboard.access),
        whiteboard.by.map(|id| id.0),
        whiteboard.named_by.map(|id| id.0),
        at
    )
}

pub fn changed(key: &MeetingKey, whiteboard: &Whiteboard) -> Statement {
    of_meeting!(
        key,
        "UPDATE whiteboards SET room = $4, name = $5, access = $6, made_by = $7, named_by = $8 \
         WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3",
        whiteboard.id.0,
        whiteboard.room.to_string(),
        whiteboard.name.as_str(),
        access(whiteboard.access),
        whiteboard.by.map(|id| id.0),
        whiteboard.named_by.map(|id| id.0)
    )
}

/// A board that was somebody's is nobody's: they are erased. Snapshots of it whose namer is not known lose their
/// names, but for those that came later: this may be read again.
pub fn disowned(key: &MeetingKey, id: WhiteboardId, at: Millis) -> Statement {
    of_meeting!(
        key,
        "UPDATE whiteboard_snapshots SET name = $5 WHERE tenant = $1 AND whiteboard = $3 AND made_by IS NULL \
         AND name <> '' AND at <= $4 AND EXISTS (SELECT 1 FROM whiteboards w WHERE w.tenant = $1 AND w.meeting = $2 \
         AND w.whiteboard = $3 AND w.made_by IS NOT NULL)",
        id.0,
        at,
        ERASED_NAME
    )
}

/// Takes away the names that somebody gave to snapshots.
pub fn erased(key: &MeetingKey, participant: ParticipantId) -> Statement {
    of_meeting!(
        key,
        "UPDATE whiteboard_snapshots SET name = $4 WHERE tenant = $1 AND made_by = $3 AND name <> '' \
         AND whiteboard IN (SELECT whiteboard FROM whiteboard_heads WHERE tenant = $1 AND meeting = $2)",
        participant.0,
        ERASED_NAME
    )
}

pub fn gone(key: &MeetingKey, id: WhiteboardId) -> Statement {
    of_meeting!(key, "DELETE FROM whiteboards WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3", id.0)
}

/// A whiteboard as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
#[schema(as = Whiteboard)]
pub struct Board {
    #[schema(value_type = String)]
    pub id: WhiteboardId,
    #[schema(value_type = String)]
    pub meeting: MeetingId,
    /// `main`, or a breakout room's id.
    #[schema(value_type = String)]
    pub room: RoomId,
    pub name: String,
    /// Who draws on it: `everyone`, `hosts` or `nobody`.
    #[schema(value_type = String)]
    pub access: WhiteboardAccess,
    /// The participant who made it; absent where the backend did, or they were erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub by: Option<ParticipantId>,
    /// The participant who gave it the name it has; absent where that is whoever made it, or the backend.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub named_by: Option<ParticipantId>,
    /// Unix milliseconds, UTC.
    pub created_at: Millis,
}

type Row = (Uuid, Uuid, String, String, String, Option<Uuid>, Option<Uuid>, i64);

fn board((id, meeting, room, name, access, by, named_by, at): Row) -> Option<Board> {
    Some(Board {
        id: WhiteboardId(id),
        meeting: MeetingId(meeting),
        room: room.parse().ok()?,
        name,
        access: serde_json::from_value(Json::String(access)).ok()?,
        by: by.map(ParticipantId),
        named_by: named_by.map(ParticipantId),
        created_at: to_u64(at),
    })
}

/// A snapshot of a board, as it is told to whoever made it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kept {
    pub whiteboard: WhiteboardId,
    pub id: Uuid,
    pub name: String,
    pub at: Millis,
}

/// Where a board is, and how far it is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    pub meeting: MeetingId,
    /// The number of the last update.
    pub number: u64,
}

macro_rules! whiteboards {
    ($rest:literal) => {
        concat!(
            "SELECT w.whiteboard, w.meeting, w.room, w.name, w.access, w.made_by, w.named_by, w.created_at \
             FROM whiteboards w WHERE w.tenant = $1 ",
            $rest
        )
    };
}

impl Projections {
    /// What the board's own log says: that is there when a board is made, and gone when it is deleted.
    pub async fn drawn(&self, tenant: &TenantId, id: WhiteboardId) -> Result<Option<Drawn>, StoreError> {
        let row: Option<(Uuid, i64)> = ask!(
            self,
            fetch_optional,
            query_as("SELECT meeting, number FROM whiteboard_heads WHERE tenant = $1 AND whiteboard = $2"),
            &tenant.0,
            id.0
        );
        Ok(row.map(|(meeting, number)| Drawn { meeting: MeetingId(meeting), number: to_u64(number) }))
    }

    pub async fn whiteboard(&self, key: &MeetingKey, id: WhiteboardId) -> Result<Option<Board>, StoreError> {
        let row: Option<Row> = ask!(
            self,
            fetch_optional,
            query_as(whiteboards!("AND w.meeting = $2 AND w.whiteboard = $3")),
            &key.tenant.0,
            key.meeting.0,
            id.0
        );
        Ok(row.and_then(board))
    }

    /// The boards that somebody made, or gave their name.
    pub async fn whiteboards_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Board>, StoreError> {
        let rows: Vec<Row> = ask!(
            self,
            fetch_all,
            query_as(whiteboards!("AND w.meeting = $2 AND (w.made_by = $3 OR w.named_by = $3) ORDER BY w.whiteboard")),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        Ok(rows.into_iter().filter_map(board).collect())
    }

    /// The snapshots of boards that somebody made.
    pub async fn snapshots_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Kept>, StoreError> {
        let rows: Vec<(Uuid, Uuid, String, i64)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT s.whiteboard, s.snapshot, s.name, s.at FROM whiteboard_snapshots s JOIN whiteboard_heads h \
                 ON h.tenant = s.tenant AND h.whiteboard = s.whiteboard \
                 WHERE h.tenant = $1 AND h.meeting = $2 AND s.made_by = $3 ORDER BY s.at, s.snapshot"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        let kept = |(board, id, name, at)| Kept { whiteboard: WhiteboardId(board), id, name, at: to_u64(at) };
        Ok(rows.into_iter().map(kept).collect())
    }

    /// A meeting's boards, in the order in which they were made. Whoever does not lead reads those of the room
    /// that they are in.
    pub async fn whiteboards(
        &self,
        key: &MeetingKey,
        room: Option<RoomId>,
        reader: Reader,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<Board>, StoreError> {
        let only = match reader {
            Reader::Tenant | Reader::Lead(_) => None,
            Reader::Participant(id) => Some(id.0),
        };
        let rows: Vec<Row> = ask!(
            self,
            fetch_all,
            query_as(whiteboards!(
                "AND w.meeting = $2 AND ($3 IS NULL OR w.room = $3) \
                 AND ($4 IS NULL OR EXISTS (SELECT 1 FROM attendances a WHERE a.tenant = w.tenant \
                 AND a.meeting = w.meeting AND a.participant = $4 AND a.left_at IS NULL AND a.room = w.room)) \
                 AND ($5 IS NULL OR w.whiteboard > $5) ORDER BY w.whiteboard LIMIT $6"
            )),
            &key.tenant.0,
            key.meeting.0,
            room.map(|room| room.to_string()),
            only,
            after,
            more(limit)
        );
        Ok(Page::cut(rows, limit, |row| row.0.to_string()).read(board))
    }
}
