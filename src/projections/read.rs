//! The questions that REST asks. Each names its tenant; lists are paged by keys that do not move
//! when rows are added.

use super::Projections;
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::shapes::Role;
use convoke_domain::{InvitationId, MeetingId, Millis, ParticipantId, TenantId, UserId};
use serde::Serialize;
use serde_json::value::RawValue;
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<String>,
}

impl<T> Page<T> {
    /// Cuts a list that was asked for with one more than its limit.
    fn cut(mut items: Vec<T>, limit: usize, cursor: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Self { items, next }
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
    Participant(ParticipantId),
}

impl Projections {
    pub async fn meeting(&self, key: &MeetingKey) -> Result<Option<Box<RawValue>>, StoreError> {
        let data: Option<String> = on_pool!(&self.db, pool => {
            query_scalar("SELECT data FROM meetings_view WHERE tenant = $1 AND id = $2")
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
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
        let pattern = text.map(|text| format!("%{}%", text.to_lowercase().replace(['%', '_', '\\'], "")));
        let rows: Vec<(Uuid, String)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT id, data FROM meetings_view WHERE tenant = $1 AND ($2 IS NULL OR status = $2) \
                 AND ($3 IS NULL OR lower(title) LIKE $3) AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5",
            )
            .bind(&tenant.0)
            .bind(status)
            .bind(pattern)
            .bind(cursor)
            .bind(more(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let items = rows.into_iter().filter_map(|(id, data)| Some((id, RawValue::from_string(data).ok()?))).collect();
        Ok(Page::cut(items, limit, |(id, _)| id.to_string()))
    }

    pub async fn attendances(
        &self,
        key: &MeetingKey,
        after: i64,
        limit: usize,
    ) -> Result<Page<Attendance>, StoreError> {
        let rows: Vec<AttendanceRow> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT seq, participant, user_id, name, role, room, joined_at, left_at FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND seq > $3 ORDER BY seq LIMIT $4",
            )
            .bind(&key.tenant.0)
            .bind(key.meeting.0)
            .bind(after)
            .bind(more(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(Page::cut(rows.into_iter().map(attendance).collect(), limit, |row: &Attendance| row.seq.to_string()))
    }

    pub async fn messages(
        &self,
        key: &MeetingKey,
        room: Option<&str>,
        reader: Reader,
        after: i64,
        limit: usize,
    ) -> Result<Page<(i64, Box<RawValue>)>, StoreError> {
        let own = match reader {
            Reader::Tenant => None,
            Reader::Participant(id) => Some(id),
        };
        // A participant reads what was said to everyone, to them, by them, and in the rooms they
        // have been in.
        let rows: Vec<(i64, String)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT m.seq, m.data FROM messages_view m WHERE m.tenant = $1 AND m.meeting = $2 AND m.seq > $3 \
                 AND ($4 IS NULL OR m.room = $4) AND ($5 IS NULL OR m.recipient = 'everyone' OR m.sender = $5 \
                 OR m.recipient = $6 OR (m.recipient = 'room' AND EXISTS (SELECT 1 FROM attendances a \
                 WHERE a.tenant = m.tenant AND a.meeting = m.meeting AND a.participant = $5 AND a.room = m.room))) \
                 ORDER BY m.seq LIMIT $7",
            )
            .bind(&key.tenant.0)
            .bind(key.meeting.0)
            .bind(after)
            .bind(room)
            .bind(own.map(|id| id.0))
            .bind(own.map(|id| id.to_string()))
            .bind(more(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let items = rows.into_iter().filter_map(|(seq, data)| Some((seq, RawValue::from_string(data).ok()?))).collect();
        Ok(Page::cut(items, limit, |(seq, _)| seq.to_string()))
    }

    pub async fn participant_of(&self, key: &MeetingKey, user: &UserId) -> Result<Option<ParticipantId>, StoreError> {
        let id: Option<Uuid> = on_pool!(&self.db, pool => {
            query_scalar("SELECT participant FROM known_users WHERE tenant = $1 AND user_id = $2 AND meeting = $3")
                .bind(&key.tenant.0)
                .bind(&user.0)
                .bind(key.meeting.0)
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(id.map(ParticipantId))
    }

    /// The meetings that a user has been in.
    pub async fn meetings_of(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Vec<(MeetingKey, ParticipantId)>, StoreError> {
        let rows: Vec<(Uuid, Uuid)> = on_pool!(&self.db, pool => {
            query_as("SELECT meeting, participant FROM known_users WHERE tenant = $1 AND user_id = $2 ORDER BY meeting")
                .bind(&tenant.0)
                .bind(&user.0)
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        let known = |(meeting, participant)| {
            (MeetingKey { tenant: tenant.clone(), meeting: MeetingId(meeting) }, ParticipantId(participant))
        };
        Ok(rows.into_iter().map(known).collect())
    }

    pub async fn attendances_of(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Attendance>, StoreError> {
        let rows: Vec<AttendanceRow> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT seq, participant, user_id, name, role, room, joined_at, left_at FROM attendances \
                 WHERE tenant = $1 AND meeting = $2 AND participant = $3 ORDER BY seq",
            )
            .bind(&key.tenant.0)
            .bind(key.meeting.0)
            .bind(who.0)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        Ok(rows.into_iter().map(attendance).collect())
    }

    pub async fn messages_by(&self, key: &MeetingKey, who: ParticipantId) -> Result<Vec<Box<RawValue>>, StoreError> {
        let rows: Vec<String> = on_pool!(&self.db, pool => {
            query_scalar("SELECT data FROM messages_view WHERE tenant = $1 AND meeting = $2 AND sender = $3 ORDER BY seq")
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(who.0)
                .fetch_all(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(rows.into_iter().filter_map(|data| RawValue::from_string(data).ok()).collect())
    }

    pub async fn invitations(
        &self,
        key: &MeetingKey,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Page<InvitationRow>, StoreError> {
        let rows: Vec<(Uuid, String, String, i64)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT id, email, role, created_at FROM invitations_view WHERE tenant = $1 AND meeting = $2 \
                 AND ($3 IS NULL OR id > $3) ORDER BY id LIMIT $4",
            )
            .bind(&key.tenant.0)
            .bind(key.meeting.0)
            .bind(after)
            .bind(more(limit))
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let row = |(id, email, role, at)| InvitationRow { id: InvitationId(id), email, role, created_at: to_u64(at) };
        Ok(Page::cut(rows.into_iter().map(row).collect(), limit, |row: &InvitationRow| row.id.to_string()))
    }

    /// The invitation behind a code's digest. The digest is the secret here, so it names the tenant.
    pub async fn invitation(&self, digest: &str) -> Result<Option<(MeetingKey, InvitationId, Role)>, StoreError> {
        let row: Option<(String, Uuid, Uuid, String)> = on_pool!(&self.db, pool => {
            query_as("SELECT tenant, meeting, id, role FROM invitations_view WHERE code_digest = $1")
                .bind(digest)
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(row.and_then(|(tenant, meeting, id, role)| {
            let role = serde_json::from_value(serde_json::Value::String(role)).ok()?;
            Some((MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) }, InvitationId(id), role))
        }))
    }

    /// Reserves an idempotency key, or tells what stands behind it.
    pub async fn reserve(
        &self,
        tenant: &TenantId,
        route: &str,
        key: &str,
        digest: &str,
        resource: Uuid,
        now: Millis,
    ) -> Result<Reserved, StoreError> {
        let row: (String, Uuid, Option<i32>, Option<String>, bool) = on_pool!(&self.db, pool => {
            query("DELETE FROM idempotency_keys WHERE created_at < $1")
                .bind(to_i64(now.saturating_sub(24 * 3_600 * 1_000)))
                .execute(pool)
                .await
                .map_err(unavailable)?;
            let made = query(
                "INSERT INTO idempotency_keys (tenant, route, key, body_digest, resource, created_at) \
                 VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
            )
            .bind(&tenant.0)
            .bind(route)
            .bind(key)
            .bind(digest)
            .bind(resource)
            .bind(to_i64(now))
            .execute(pool)
            .await
            .map_err(unavailable)?;
            let (digest, resource, status, response) = query_as::<_, (String, Uuid, Option<i32>, Option<String>)>(
                "SELECT body_digest, resource, status, response FROM idempotency_keys \
                 WHERE tenant = $1 AND route = $2 AND key = $3",
            )
            .bind(&tenant.0)
            .bind(route)
            .bind(key)
            .fetch_one(pool)
            .await
            .map_err(unavailable)?;
            (digest, resource, status, response, made.rows_affected() == 1)
        });
        let (known, resource, status, response, is_new) = row;
        Ok(match (status, response) {
            _ if known != digest => Reserved::OtherBody,
            (Some(status), Some(response)) => Reserved::Answered { status, response },
            // Reserved and never answered: the node died in between, or is still at it. The effect
            // bears the reserved id, so doing it again has one effect.
            _ => Reserved::Do { resource, is_new },
        })
    }

    pub async fn keep_answer(
        &self,
        tenant: &TenantId,
        route: &str,
        key: &str,
        status: u16,
        response: &str,
    ) -> Result<(), StoreError> {
        on_pool!(&self.db, pool => {
            query(
                "UPDATE idempotency_keys SET status = $4, response = $5 WHERE tenant = $1 AND route = $2 AND key = $3",
            )
            .bind(&tenant.0)
            .bind(route)
            .bind(key)
            .bind(i32::from(status))
            .bind(response)
            .execute(pool)
            .await
            .map_err(unavailable)?;
        });
        Ok(())
    }
}

pub enum Reserved {
    Do { resource: Uuid, is_new: bool },
    Answered { status: i32, response: String },
    OtherBody,
}

fn more(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
