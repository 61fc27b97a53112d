//! Writing the changes, with the cursor, in one transaction.

use super::change::Change;
use super::{Projections, Step};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::redact::ERASED_NAME;
use convoke_domain::{MeetingId, Seq, TenantId};
use sqlx::{query, query_as, query_scalar};
use uuid::Uuid;

fn json(value: &impl serde::Serialize) -> String {
    convoke_actors::frame::json(value)
}

/// One change on one transaction; the statements are the same in both databases.
macro_rules! apply {
    ($transaction:expr, $key:expr, $change:expr) => {{
        let (tenant, meeting) = (&$key.tenant.0, $key.meeting.0);
        match $change {
            Change::Meeting(info) => {
                query(
                    "INSERT INTO meetings_view (tenant, id, title, status, data) VALUES ($1, $2, $3, $4, $5) \
                     ON CONFLICT (tenant, id) DO UPDATE SET \
                     title = excluded.title, status = excluded.status, data = excluded.data",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(&info.title)
                .bind(info.status.as_str())
                .bind(json(&info))
                .execute(&mut *$transaction)
                .await
            }
            Change::Known { user, participant } => {
                query(
                    "INSERT INTO known_users (tenant, user_id, meeting, participant) VALUES ($1, $2, $3, $4) \
                     ON CONFLICT (tenant, user_id, meeting) DO UPDATE SET participant = excluded.participant",
                )
                .bind(tenant)
                .bind(&user.0)
                .bind(meeting)
                .bind(participant.0)
                .execute(&mut *$transaction)
                .await
            }
            Change::StayBegins { seq, participant } => {
                query(
                    "INSERT INTO attendances (tenant, meeting, seq, participant, user_id, name, role, room, joined_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(to_i64(seq.0))
                .bind(participant.id.0)
                .bind(participant.user.map(|user| user.0))
                .bind(&participant.name)
                .bind(participant.role.as_str())
                .bind(participant.room.to_string())
                .bind(to_i64(participant.joined_at))
                .execute(&mut *$transaction)
                .await
            }
            Change::StayEnds { participant, at } => {
                query(
                    "UPDATE attendances SET left_at = $4 \
                     WHERE tenant = $1 AND meeting = $2 AND participant = $3 AND left_at IS NULL",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(participant.0)
                .bind(to_i64(at))
                .execute(&mut *$transaction)
                .await
            }
            Change::AllStaysEnd { at } => {
                query("UPDATE attendances SET left_at = $3 WHERE tenant = $1 AND meeting = $2 AND left_at IS NULL")
                    .bind(tenant)
                    .bind(meeting)
                    .bind(to_i64(at))
                    .execute(&mut *$transaction)
                    .await
            }
            Change::Renamed { participant } => {
                query(
                    "UPDATE attendances SET name = $4, role = $5 \
                     WHERE tenant = $1 AND meeting = $2 AND participant = $3 AND left_at IS NULL",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(participant.id.0)
                .bind(&participant.name)
                .bind(participant.role.as_str())
                .execute(&mut *$transaction)
                .await
            }
            Change::Message { seq, message } => {
                query(
                    "INSERT INTO messages_view (tenant, meeting, id, seq, sender, recipient, room, data) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                     ON CONFLICT (tenant, meeting, id) DO UPDATE SET data = excluded.data",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(message.id.0)
                .bind(to_i64(seq.0))
                .bind(message.from.0)
                .bind(message.to.to_string())
                .bind(message.room.to_string())
                .bind(json(&message))
                .execute(&mut *$transaction)
                .await
            }
            Change::Reactions { message } => {
                query("UPDATE messages_view SET data = $4 WHERE tenant = $1 AND meeting = $2 AND id = $3")
                    .bind(tenant)
                    .bind(meeting)
                    .bind(message.id.0)
                    .bind(json(&message))
                    .execute(&mut *$transaction)
                    .await
            }
            Change::MessageGone { id } => {
                query("DELETE FROM messages_view WHERE tenant = $1 AND meeting = $2 AND id = $3")
                    .bind(tenant)
                    .bind(meeting)
                    .bind(id.0)
                    .execute(&mut *$transaction)
                    .await
            }
            Change::Invitation(invitation) => {
                query(
                    "INSERT INTO invitations_view (tenant, meeting, id, email, role, code_digest, created_at) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(invitation.id.0)
                .bind(&invitation.email)
                .bind(invitation.role.as_str())
                .bind(&invitation.code_digest)
                .bind(to_i64(invitation.created_at))
                .execute(&mut *$transaction)
                .await
            }
            Change::Erased { participant } => {
                query("DELETE FROM messages_view WHERE tenant = $1 AND meeting = $2 AND sender = $3")
                    .bind(tenant)
                    .bind(meeting)
                    .bind(participant.0)
                    .execute(&mut *$transaction)
                    .await
                    .map_err(unavailable)?;
                query("DELETE FROM known_users WHERE tenant = $1 AND meeting = $2 AND participant = $3")
                    .bind(tenant)
                    .bind(meeting)
                    .bind(participant.0)
                    .execute(&mut *$transaction)
                    .await
                    .map_err(unavailable)?;
                query(
                    "UPDATE attendances SET name = $4, user_id = NULL \
                     WHERE tenant = $1 AND meeting = $2 AND participant = $3",
                )
                .bind(tenant)
                .bind(meeting)
                .bind(participant.0)
                .bind(ERASED_NAME)
                .execute(&mut *$transaction)
                .await
            }
        }
        .map_err(unavailable)?
    }};
}

impl Projections {
    pub(super) async fn cursor(&self, key: &MeetingKey) -> Result<Seq, StoreError> {
        let seq: Option<i64> = on_pool!(&self.db, pool => {
            query_scalar("SELECT seq FROM projection_cursors WHERE tenant = $1 AND meeting = $2")
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .fetch_optional(pool)
                .await
                .map_err(unavailable)?
        });
        Ok(Seq(to_u64(seq.unwrap_or(0))))
    }

    /// Meetings whose log has gone on since they were last read.
    pub(super) async fn behind(&self, most: i64) -> Result<Vec<MeetingKey>, StoreError> {
        let rows: Vec<(String, Uuid)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT h.tenant, h.meeting FROM meeting_heads h LEFT JOIN projection_cursors c \
                 ON c.tenant = h.tenant AND c.meeting = h.meeting WHERE h.seq > COALESCE(c.seq, 0) LIMIT $1",
            )
            .bind(most)
            .fetch_all(pool)
            .await
            .map_err(unavailable)?
        });
        let key = |(tenant, meeting)| MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
        Ok(rows.into_iter().map(key).collect())
    }

    /// Writes the steps in one transaction, each where its cursor is still where it was read:
    /// otherwise another node has done it.
    pub(super) async fn write(&self, steps: Vec<Step<'_>>) -> Result<(), StoreError> {
        if steps.is_empty() {
            return Ok(());
        }
        on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            for Step { key, from, to, changes } in steps {
                let moved = query(
                    "INSERT INTO projection_cursors (tenant, meeting, seq) VALUES ($1, $2, $4) \
                     ON CONFLICT (tenant, meeting) DO UPDATE SET seq = excluded.seq WHERE projection_cursors.seq = $3",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(to_i64(from.0))
                .bind(to_i64(to.0))
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                if moved.rows_affected() == 1 {
                    for change in changes {
                        apply!(transaction, key, change);
                    }
                }
            }
            transaction.commit().await.map_err(unavailable)
        })
    }

    /// Forgets every read model and builds it again from the logs.
    pub async fn rebuild(&self) -> Result<(), StoreError> {
        {
            let _one = self.writing.lock().await;
            on_pool!(&self.db, pool => {
                let mut transaction = pool.begin().await.map_err(unavailable)?;
                for statement in [
                    "DELETE FROM projection_cursors",
                    "DELETE FROM meetings_view",
                    "DELETE FROM attendances",
                    "DELETE FROM messages_view",
                    "DELETE FROM invitations_view",
                    "DELETE FROM known_users",
                ] {
                    query(statement).execute(&mut *transaction).await.map_err(unavailable)?;
                }
                transaction.commit().await.map_err(unavailable)?;
            });
        }
        loop {
            let behind = self.behind(1_000).await?;
            if behind.is_empty() {
                return Ok(());
            }
            for key in behind {
                self.catch_up(&key).await?;
            }
        }
    }
}
