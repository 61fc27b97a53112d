//! What happens to rooms, as statements. One event may move a thousand people or merge a hundred
//! rooms, so the rows of these statements are listed in them, some hundreds each, and not written
//! one by one. A move's event has ids alone: the name and the role that somebody has in the new room
//! are those of the stay that ends.

use super::sql::{Statement, Value, of_meeting};
use super::write::ROWS;
use convoke_actors::frame::json;
use convoke_actors::ports::MeetingKey;
use convoke_domain::breakout::{Breakout, Move};
use convoke_domain::shapes::{Room, RoomState};
use convoke_domain::{Millis, RoomId, Seq};

fn state(state: RoomState) -> &'static str {
    match state {
        RoomState::Open => "open",
        RoomState::Closing => "closing",
        RoomState::Closed => "closed",
    }
}

/// Placeholders for rows of so many columns, from a number on: `($5, $6), ($7, $8)`.
fn places(first: usize, columns: usize, rows: usize) -> String {
    let row = |row: usize| {
        let from = first.saturating_add(row.saturating_mul(columns));
        let places: Vec<String> = (from..from.saturating_add(columns)).map(|place| format!("${place}")).collect();
        format!("({})", places.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

fn of(key: &MeetingKey, values: impl IntoIterator<Item = Value>) -> Vec<Value> {
    [key.tenant.0.as_str().into(), key.meeting.0.into()].into_iter().chain(values).collect()
}

/// Ends the present stay of everybody who moves, and begins one in the new room.
pub fn moved(key: &MeetingKey, seq: Seq, at: Millis, moves: &[Move]) -> Vec<Statement> {
    let some = |moves: &[Move]| {
        let rows = moves.iter().flat_map(|this| [this.participant.0.into(), this.to.to_string().into()]);
        let values = of(key, [seq.0.into(), at.into()].into_iter().chain(rows));
        let moved = format!("WITH moved (participant, room) AS (VALUES {})", places(5, 2, moves.len()));
        let begin = format!(
            "{moved} INSERT INTO attendances \
             (tenant, meeting, seq, participant, user_id, name, role, room, joined_at) \
             SELECT a.tenant, a.meeting, $3, a.participant, a.user_id, a.name, a.role, moved.room, $4 \
             FROM attendances a JOIN moved ON moved.participant = a.participant \
             WHERE a.tenant = $1 AND a.meeting = $2 AND a.left_at IS NULL AND a.seq < $3 ON CONFLICT DO NOTHING"
        );
        let end = format!(
            "{moved} UPDATE attendances SET left_at = $4 WHERE tenant = $1 AND meeting = $2 AND left_at IS NULL \
             AND seq < $3 AND participant IN (SELECT participant FROM moved)"
        );
        [Statement { sql: begin.into(), values: values.clone() }, Statement { sql: end.into(), values }]
    };
    moves.chunks(ROWS).flat_map(some).collect()
}

/// A new set: the rooms of the one before keep their names.
pub fn opened(key: &MeetingKey, rooms: &[Room]) -> Vec<Statement> {
    let former = of_meeting!(
        key,
        "UPDATE rooms_view SET is_former = 1, state = 'closed', ends_at = NULL WHERE tenant = $1 AND meeting = $2"
    );
    [former].into_iter().chain(changed(key, rooms)).collect()
}

pub fn changed(key: &MeetingKey, rooms: &[Room]) -> Vec<Statement> {
    let some = |rooms: &[Room]| {
        let row = |room: &Room| {
            let (id, name) = (room.id.to_string(), room.name.as_str());
            [id.into(), name.into(), state(room.state).into(), room.ends_at.into()]
        };
        let sql = format!(
            "WITH changed (id, name, state, ends_at) AS (VALUES {}) \
             INSERT INTO rooms_view (tenant, meeting, id, name, state, ends_at) \
             SELECT $1, $2, id, name, state, ends_at FROM changed WHERE id IS NOT NULL \
             ON CONFLICT (tenant, meeting, id) DO UPDATE SET \
             name = excluded.name, state = excluded.state, ends_at = excluded.ends_at, is_former = 0",
            places(3, 4, rooms.len())
        );
        Statement { sql: sql.into(), values: of(key, rooms.iter().flat_map(row)) }
    };
    rooms.chunks(ROWS).map(some).collect()
}

/// Gives what was said, asked and drawn in these rooms to another, and closes them.
pub fn merged(key: &MeetingKey, from: &[RoomId], into: RoomId) -> Vec<Statement> {
    let some = |from: &[RoomId]| {
        let ids = || from.iter().map(|id| id.to_string().into());
        let over = |table: &str, set: &str| {
            let sql = format!(
                "UPDATE {table} SET {set}room = $3 WHERE tenant = $1 AND meeting = $2 AND room IN {}",
                places(4, from.len(), 1)
            );
            Statement { sql: sql.into(), values: of(key, [into.to_string().into()].into_iter().chain(ids())) }
        };
        let said = |table: &str| over(table, "trail = COALESCE(trail || ' ', '') || room, ");
        let closed = format!(
            "UPDATE rooms_view SET state = 'closed', ends_at = NULL WHERE tenant = $1 AND meeting = $2 AND id IN {}",
            places(3, from.len(), 1)
        );
        let closed = Statement { sql: closed.into(), values: of(key, ids()) };
        let boards = over("whiteboards", "");
        [said("messages_view"), said("captions_view"), said("questions_view"), said("polls_view"), boards, closed]
    };
    from.chunks(ROWS).flat_map(some).collect()
}

pub fn breakout(key: &MeetingKey, breakout: Option<&Breakout>) -> Statement {
    match breakout {
        Some(breakout) => of_meeting!(
            key,
            "INSERT INTO breakouts_view (tenant, meeting, data) VALUES ($1, $2, $3) \
             ON CONFLICT (tenant, meeting) DO UPDATE SET data = excluded.data",
            json(breakout)
        ),
        None => of_meeting!(key, "DELETE FROM breakouts_view WHERE tenant = $1 AND meeting = $2"),
    }
}

pub fn all_close(key: &MeetingKey) -> Vec<Statement> {
    let closed = "UPDATE rooms_view SET state = 'closed', ends_at = NULL WHERE tenant = $1 AND meeting = $2";
    vec![of_meeting!(key, closed), breakout(key, None)]
}
