//! The questions that REST asks. Each names its tenant; lists are paged by keys that do not move
//! when rows are added.

use super::Projections;
use crate::adapters::store::{Db, to_u64, unavailable};
use convoke_actors::frame::json;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::shapes::{Message, Role};
use convoke_domain::{InvitationId, MeetingId, Millis, ParticipantId, TenantId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{query_as, query_scalar};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Asks either database one question, with these values at its placeholders.
macro_rules! ask {
    ($self:ident, $fetch:ident, $query:ident($sql:expr), $($value:expr),+ $(,)?) => {
        match &$self.db {
            Db::Sqlite { read: pool, .. } => $query($sql)$(.bind($value))+.$fetch(pool).await.map_err(unavailable)?,
            Db::Postgres(pool) => $query($sql)$(.bind($value))+.$fetch(pool).await.map_err(unavailable)?,
        }
    };
}
pub(super) use ask;

pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a list that was asked for with one more than its limit.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
    }

    /// What its rows say. What cannot be read is left out, and the list goes on behind it.
    pub(super) fn read<U>(self, read: impl FnMut(T) -> Option<U>) -> Page<U> {
        Page { items: self.items.into_iter().filter_map(read).collect(), next: self.next }
    }
}

/// One stay of a person in a room.
#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct Attendance {
    #[schema(value_type = String)]
    pub participant: ParticipantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    pub name: String,
    pub role: String,
    pub room: String,
    pub joined_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_at: Option<Millis>,
    /// In milliseconds; absent while the person is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    #[serde(skip)]
    pub seq: i64,
}

type AttendanceRow = (i64, Uuid, Option<String>, String, String, String, i64, Option<i64>);

fn attendance(row: AttendanceRow) -> Attendance {
    let (seq, participant, user, name, role, room, joined_at, left_at) = row;
    Attendance {
        participant: ParticipantId(participant),
        user,
        name,
        role,
        room,
        joined_at: to_u64(joined_at),
        left_at: left_at.map(to_u64),
        duration_ms: left_at.map(|left| to_u64(left.saturating_sub(joined_at))),
        seq,
    }
}

#[derive(Clone, Debug, Serialize, PartialEq, Eq, utoipa::ToSchema)]
pub struct InvitationRow {
    #[schema(value_type = String)]
    pub id: InvitationId,
    pub email: String,
    pub role: String,
    pub created_at: Millis,
}

/// Who reads messages: everything, or what this participant may.
#[derive(Clone, Copy, Debug)]
pub enum Reader {
    Tenant,
    /// A host or cohost: what was said in any room, but nobody else's private words.
    Lead(ParticipantId),
    Participant(ParticipantId),
}

/// A place in the list of stays: many may begin with one event, each person's once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub seq: i64,
    pub participant: Uuid,
}

impl Place {
    pub const START: Self = Self { seq: 0, participant: Uuid::nil() };
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.seq, self.participant)
    }
}

/// A number by itself stands behind all that began with that event.
impl FromStr for Place {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (seq, participant) = match text.split_once('_') {
            Some((seq, participant)) => (seq, participant.parse().map_err(drop)?),
            None => (text, Uuid::max()),
        };
        Ok(Self { seq: seq.parse().map_err(drop)?, participant })
    }
}

impl Projections {
    pub async fn meeting(&self, key: &MeetingKey) -> Result<Option<Box<RawValue>>, StoreError> {
        let data: Option<String> = ask!(
            self,
            fetch_optional,
            query_scalar("SELECT data FROM meetings_view WHERE tenant = $1 AND id = $2"),
            &key.tenant.0,
            key.meeting.0
        );
        Ok(data.and_then(|data| RawValue::from_string(data).ok()))
    }

    pub async fn meetings(
        &self,
        tenant: &TenantId,
        status: Option<&str>,
        text: Option<&str>,
        cursor: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<(Uuid, Box<RawValue>)>, StoreError> {
        let pattern = text.map(containing);
        let rows: Vec<(Uuid, String)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT id, data FROM meetings_view WHERE tenant = $1 AND ($2 IS NULL OR status = $2) \
                 AND ($3 IS NULL OR lower(title) LIKE $3 ESCAPE '!') AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5"
            ),
            &tenant.0,
            status,
            pattern,
            cursor,
            more(limit)
        );
        let page = Page::cut(rows, limit, |(id, _)| id.to_string());
        Ok(page.read(|(id, data)| Some((id, RawValue::from_string(data).ok()?))))
    }

    pub async fn attendances(
        &self,
        key: &MeetingKey,
        after: Place,
        limit: usize,
    ) -> Result<Page<Attendance>, StoreError> {
        let rows: Vec<AttendanceRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT seq, participant, user_id, name, role, room, joined_at, left_at FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND (seq > $3 OR (seq = $3 AND participant > $4)) \
                 ORDER BY seq, participant LIMIT $5"
            ),
            &key.tenant.0,
            key.meeting.0,
            after.seq,
            after.participant,
            more(limit)
        );
        let place = |row: &Attendance| Place { seq: row.seq, participant: row.participant.0 }.to_string();
        Ok(Page::cut(rows.into_iter().map(attendance).collect(), limit, place))
    }

    pub async fn messages(
        &self,
        key: &MeetingKey,
        room: Option<&str>,
        reader: Reader,
        after: i64,
        limit: usize,
    ) -> Result<Page<(i64, Box<RawValue>)>, StoreError> {
        let (own, leads) = match reader {
            Reader::Tenant => (None, false),
            Reader::Lead(id) => (Some(id), true),
            Reader::Participant(id) => (Some(id), false),
        };
        // A participant reads what was said to everyone, to them, by them, and in the rooms they
        // have been in: those it belonged to before a merge as well as the one it belongs to now.
        let rows: Vec<MessageRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT m.seq, m.data, m.room, m.trail FROM messages_view m \
                 WHERE m.tenant = $1 AND m.meeting = $2 AND m.seq > $3 \
                 AND ($4 IS NULL OR m.room = $4) AND ($5 IS NULL OR m.recipient = 'everyone' OR m.sender = $5 \
                 OR m.recipient = $6 OR (m.recipient = 'room' AND ($7 OR EXISTS (SELECT 1 FROM attendances a \
                 WHERE a.tenant = m.tenant AND a.meeting = m.meeting AND a.participant = $5 \
                 AND (a.room = m.room OR m.trail LIKE '%' || a.room || '%'))))) \
                 ORDER BY m.seq LIMIT $8"
            ),
            &key.tenant.0,
            key.meeting.0,
            after,
            room,
            own.map(|id| id.0),
            own.map(|id| id.to_string()),
            leads,
            more(limit)
        );
        let page = Page::cut(rows, limit, |(seq, ..)| seq.to_string());
        Ok(page.read(|(seq, data, room, trail)| Some((seq, shown(data, &room, trail)?))))
    }

    pub async fn participant_of(&self, key: &MeetingKey, user: &UserId) -> Result<Option<ParticipantId>, StoreError> {
        let id: Option<Uuid> = ask!(
            self,
            fetch_optional,
            query_scalar("SELECT participant FROM known_users WHERE tenant = $1 AND user_id = $2 AND meeting = $3"),
            &key.tenant.0,
            &user.0,
            key.meeting.0
        );
        Ok(id.map(ParticipantId))
    }

    /// Meetings where a user stands on a list of rooms, or stood.
    pub async fn meetings_listing(&self, tenant: &TenantId, user: &UserId) -> Result<Vec<MeetingKey>, StoreError> {
        let rows: Vec<Uuid> = ask!(
            self,
            fetch_all,
            query_scalar("SELECT meeting FROM listed_users WHERE tenant = $1 AND user_id = $2 ORDER BY meeting"),
            &tenant.0,
            &user.0
        );
        let key = |meeting| MeetingKey { tenant: tenant.clone(), meeting: MeetingId(meeting) };
        Ok(rows.into_iter().map(key).collect())
    }

    /// The meetings that a user has been in.
    pub async fn meetings_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<(MeetingKey, ParticipantId)>, StoreError> {
        let rows: Vec<(Uuid, Uuid)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT meeting, participant FROM known_users WHERE tenant = $1 AND user_id = $2 ORDER BY meeting"
            ),
            &tenant.0,
            &user.0
        );
        let known = |(meeting, participant)| {
            (MeetingKey { tenant: tenant.clone(), meeting: MeetingId(meeting) }, ParticipantId(participant))
        };
        Ok(rows.into_iter().map(known).collect())
    }

    pub async fn attendances_of(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Attendance>, StoreError> {
        let rows: Vec<AttendanceRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT seq, participant, user_id, name, role, room, joined_at, left_at FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND participant = $3 ORDER BY seq"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        Ok(rows.into_iter().map(attendance).collect())
    }

    /// As whom somebody reads: by the role that the meeting gave them last. None who was never inside,
    /// or was sent away and not let in since.
    pub async fn reader(&self, key: &MeetingKey, who: ParticipantId) -> Result<Option<Reader>, StoreError> {
        let leads: Option<i64> = ask!(
            self,
            fetch_optional,
            query_scalar(
                "SELECT COALESCE((SELECT MAX(k.leads) FROM known_users k WHERE k.tenant = a.tenant \
                 AND k.meeting = a.meeting AND k.participant = a.participant), 0) FROM attendances a \
                 WHERE a.tenant = $1 AND a.meeting = $2 AND a.participant = $3 AND NOT EXISTS (SELECT 1 \
                 FROM known_users o WHERE o.tenant = a.tenant AND o.meeting = a.meeting \
                 AND o.participant = a.participant AND o.is_out = 1) LIMIT 1"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        Ok(leads.map(|leads| if leads == 0 { Reader::Participant(who) } else { Reader::Lead(who) }))
    }

    pub async fn messages_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Box<RawValue>>, StoreError> {
        let rows: Vec<MessageRow> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT seq, data, room, trail FROM messages_view \
                 WHERE tenant = $1 AND meeting = $2 AND sender = $3 ORDER BY seq"
            ),
            &key.tenant.0,
            key.meeting.0,
            who.0
        );
        Ok(rows.into_iter().filter_map(|(_, data, room, trail)| shown(data, &room, trail)).collect())
    }

    pub async fn invitations(
        &self,
        key: &MeetingKey,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<InvitationRow>, StoreError> {
        let rows: Vec<(Uuid, String, String, i64)> = ask!(
            self,
            fetch_all,
            query_as(
                "SELECT id, email, role, created_at FROM invitations_view WHERE tenant = $1 AND meeting = $2 \
                 AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4"
            ),
            &key.tenant.0,
            key.meeting.0,
            after,
            more(limit)
        );
        let row = |(id, email, role, at)| InvitationRow { id: InvitationId(id), email, role, created_at: to_u64(at) };
        Ok(Page::cut(rows.into_iter().map(row).collect(), limit, |row: &InvitationRow| row.id.to_string()))
    }

    /// The invitation behind a code's digest. The digest is the secret here, so it names the tenant.
    pub async fn invitation(&self, digest: &str) -> Result<Option<(MeetingKey, InvitationId, Role)>, StoreError> {
        let row: Option<(String, Uuid, Uuid, String)> = ask!(
            self,
            fetch_optional,
            query_as("SELECT tenant, meeting, id, role FROM invitations_view WHERE code_digest = $1"),
            digest
        );
        Ok(row.and_then(|(tenant, meeting, id, role)| {
            let role = serde_json::from_value(serde_json::Value::String(role)).ok()?;
            Some((MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) }, InvitationId(id), role))
        }))
    }
}

type MessageRow = (i64, String, String, Option<String>);

/// A message as it stands now: where its room was merged into another, it says where it was said.
fn shown(data: String, room: &str, trail: Option<String>) -> Option<Box<RawValue>> {
    let Some(trail) = trail else { return RawValue::from_string(data).ok() };
    let mut message: Message = serde_json::from_str(&data).ok()?;
    message.room = room.parse().ok()?;
    message.origin = trail.split(' ').next().and_then(|first| first.parse().ok());
    RawValue::from_string(json(&message)).ok()
}

/// The pattern of all that has this text in it; what has a meaning in patterns stands for itself.
pub(super) fn containing(text: &str) -> String {
    let literal = text.to_lowercase().replace('!', "!!").replace('%', "!%").replace('_', "!_");
    format!("%{literal}%")
}

pub(super) fn more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
