//! Writing the changes, with the cursor, in one transaction.

use super::change::Change;
use super::{Projections, Step};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::redact::ERASED_NAME;
use convoke_domain::shapes::{Message, Participant};
use convoke_domain::{MeetingId, MessageId, ParticipantId, Seq, TenantId, UserId};
use sqlx::{QueryBuilder, query, query_as, query_scalar};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use uuid::Uuid;

/// Rows of one statement.
const ROWS: usize = 500;

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
            // Gathered before they come here.
            Change::Known { .. } | Change::StayBegins { .. } | Change::Message { .. } => continue,
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

/// Rows that come in numbers: written many to a statement, before anything that may change them.
#[derive(Default)]
struct Gathered<'a> {
    known: BTreeMap<(&'a MeetingKey, UserId), ParticipantId>,
    stays: Vec<(&'a MeetingKey, Seq, Box<Participant>)>,
    messages: BTreeMap<(&'a MeetingKey, MessageId), (Seq, Box<Message>)>,
}

impl<'a> Gathered<'a> {
    /// Keeps a change of the kinds that are gathered; gives any other back.
    fn take(&mut self, key: &'a MeetingKey, change: Change) -> Option<Change> {
        match change {
            Change::Known { user, participant } => {
                self.known.insert((key, user), participant);
            }
            Change::StayBegins { seq, participant } => self.stays.push((key, seq, participant)),
            // Of one that is edited meanwhile the last state counts, where it stood first.
            Change::Message { seq, message } => match self.messages.entry((key, message.id)) {
                Entry::Occupied(mut earlier) => earlier.get_mut().1 = message,
                Entry::Vacant(place) => {
                    place.insert((seq, message));
                }
            },
            other => return Some(other),
        }
        None
    }
}

macro_rules! insert_gathered {
    ($transaction:expr, $gathered:expr) => {{
        let Gathered { known, stays, messages } = $gathered;
        let known: Vec<_> = known.into_iter().collect();
        for chunk in known.chunks(ROWS) {
            let mut insert = QueryBuilder::new("INSERT INTO known_users (tenant, user_id, meeting, participant) ");
            insert.push_values(chunk, |mut row, ((key, user), participant)| {
                row.push_bind(&key.tenant.0).push_bind(&user.0).push_bind(key.meeting.0).push_bind(participant.0);
            });
            insert
                .push(" ON CONFLICT (tenant, user_id, meeting) DO UPDATE SET participant = excluded.participant")
                .build()
                .persistent(false)
                .execute(&mut *$transaction)
                .await
                .map_err(unavailable)?;
        }
        for chunk in stays.chunks(ROWS) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO attendances (tenant, meeting, seq, participant, user_id, name, role, room, joined_at) ",
            );
            insert.push_values(chunk, |mut row, (key, seq, participant)| {
                row.push_bind(&key.tenant.0)
                    .push_bind(key.meeting.0)
                    .push_bind(to_i64(seq.0))
                    .push_bind(participant.id.0)
                    .push_bind(participant.user.as_ref().map(|user| &user.0))
                    .push_bind(&participant.name)
                    .push_bind(participant.role.as_str())
                    .push_bind(participant.room.to_string())
                    .push_bind(to_i64(participant.joined_at));
            });
            insert
                .push(" ON CONFLICT DO NOTHING")
                .build()
                .persistent(false)
                .execute(&mut *$transaction)
                .await
                .map_err(unavailable)?;
        }
        let messages: Vec<_> = messages.into_iter().collect();
        for chunk in messages.chunks(ROWS) {
            let mut insert = QueryBuilder::new(
                "INSERT INTO messages_view (tenant, meeting, id, seq, sender, recipient, room, data) ",
            );
            insert.push_values(chunk, |mut row, ((key, id), (seq, message))| {
                row.push_bind(&key.tenant.0)
                    .push_bind(key.meeting.0)
                    .push_bind(id.0)
                    .push_bind(to_i64(seq.0))
                    .push_bind(message.from.0)
                    .push_bind(message.to.to_string())
                    .push_bind(message.room.to_string())
                    .push_bind(json(message));
            });
            insert
                .push(" ON CONFLICT (tenant, meeting, id) DO UPDATE SET data = excluded.data")
                .build()
                .persistent(false)
                .execute(&mut *$transaction)
                .await
                .map_err(unavailable)?;
        }
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
    /// otherwise another node has done it. Answers the cursors that were moved.
    pub(super) async fn write(&self, steps: Vec<Step<'_>>) -> Result<Vec<(MeetingKey, Seq)>, StoreError> {
        let mut written = Vec::with_capacity(steps.len());
        if steps.is_empty() {
            return Ok(written);
        }
        on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let mut gathered = Gathered::default();
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
                if moved.rows_affected() == 0 {
                    continue;
                }
                for change in changes {
                    if let Some(other) = gathered.take(key, change) {
                        insert_gathered!(transaction, std::mem::take(&mut gathered));
                        apply!(transaction, key, other);
                    }
                }
                written.push((key.clone(), to));
            }
            insert_gathered!(transaction, gathered);
            transaction.commit().await.map_err(unavailable)?;
        });
        Ok(written)
    }

    /// Forgets every read model and builds it again from the logs.
    pub async fn rebuild(&self) -> Result<(), StoreError> {
        {
            let mut cursors = self.cursors.lock().await;
            cursors.clear();
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
