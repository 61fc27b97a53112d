//! Writing the changes, with the cursor, in one transaction.

use super::sql::{Gathered, Value, statements};
use super::{Projections, Step};
use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, to_i64, to_u64, unavailable};
use crate::webhooks;
use convoke_actors::ports::{MeetingKey, StoreError};
use convoke_domain::{MeetingId, Seq, TenantId, UserId};
use sqlx::{QueryBuilder, query, query_as, query_scalar};
use std::collections::HashMap;
use uuid::Uuid;

/// Rows of one statement.
pub(super) const ROWS: usize = 500;
/// Meetings that are compared with their read models at a time.
pub(super) const STRETCH: i64 = 10_000;

/// Part of all meetings.
#[derive(Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Whose log has gone on.
    pub behind: Vec<MeetingKey>,
    /// The next stretch begins after this; absent where there is none.
    pub next: Option<MeetingKey>,
}

macro_rules! behind {
    () => {
        "SELECT h.tenant, h.meeting FROM meeting_heads h LEFT JOIN projection_cursors c \
         ON c.tenant = h.tenant AND c.meeting = h.meeting \
         WHERE (h.tenant, h.meeting) > ($1, $2) AND h.seq > COALESCE(c.seq, 0)"
    };
}

/// Runs one statement on a transaction of either database.
macro_rules! run {
    ($transaction:expr, $statement:expr) => {{
        let $crate::projections::Statement { sql, values } = $statement;
        // What is put together holds placeholders, never values; it is not kept prepared.
        let mut bound = match sql {
            std::borrow::Cow::Borrowed(sql) => sqlx::query(sql),
            std::borrow::Cow::Owned(sql) => sqlx::query(sqlx::AssertSqlSafe(sql)).persistent(false),
        };
        for value in values {
            bound = match value {
                $crate::projections::Value::Text(text) => bound.bind(text),
                $crate::projections::Value::Id(id) => bound.bind(id),
                $crate::projections::Value::Number(number) => bound.bind(number),
            };
        }
        bound.execute(&mut *$transaction).await.map_err($crate::adapters::store::unavailable)?
    }};
}

pub(crate) use run;

macro_rules! insert_gathered {
    ($transaction:expr, $gathered:expr) => {
        for insert in $gathered.inserts() {
            for rows in insert.rows.chunks(ROWS) {
                let mut statement = QueryBuilder::new(insert.into);
                statement.push_values(rows, |mut row, values| {
                    for value in values {
                        match value {
                            Value::Text(text) => row.push_bind(text.clone()),
                            Value::Id(id) => row.push_bind(*id),
                            Value::Number(number) => row.push_bind(*number),
                        };
                    }
                });
                statement
                    .push(insert.on_conflict)
                    .build()
                    .persistent(false)
                    .execute(&mut *$transaction)
                    .await
                    .map_err(unavailable)?;
            }
        }
    };
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

    /// A stretch of all meetings, in the order of their keys: those whose log has gone on since it was
    /// last read, and where the next stretch begins. There may be millions that nothing happens in, so
    /// they are never compared all at once.
    pub async fn behind(&self, after: Option<&MeetingKey>, length: i64) -> Result<Stretch, StoreError> {
        let (tenant, meeting) = after.map_or(("", Uuid::nil()), |key| (key.tenant.0.as_str(), key.meeting.0));
        let key =
            |(tenant, meeting): (String, Uuid)| MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) };
        let last: Option<(String, Uuid)> = on_pool!(&self.db, pool => {
            query_as(
                "SELECT tenant, meeting FROM meeting_heads WHERE (tenant, meeting) > ($1, $2) \
                 ORDER BY tenant, meeting LIMIT 1 OFFSET $3",
            )
            .bind(tenant)
            .bind(meeting)
            .bind(length.saturating_sub(1))
            .fetch_optional(pool)
            .await
            .map_err(unavailable)?
        });
        let next = last.map(key);
        let rows: Vec<(String, Uuid)> = on_pool!(&self.db, pool => {
            let found = match &next {
                Some(last) => {
                    query_as(concat!(behind!(), " AND (h.tenant, h.meeting) <= ($3, $4)"))
                        .bind(tenant)
                        .bind(meeting)
                        .bind(&last.tenant.0)
                        .bind(last.meeting.0)
                        .fetch_all(pool)
                        .await
                }
                None => query_as(behind!()).bind(tenant).bind(meeting).fetch_all(pool).await,
            };
            found.map_err(unavailable)?
        });
        Ok(Stretch { behind: rows.into_iter().map(key).collect(), next })
    }

    pub(super) async fn forget_listed(&self, key: &MeetingKey, user: &UserId) -> Result<(), StoreError> {
        on_pool!(&self.db, pool => {
            query("DELETE FROM listed_users WHERE tenant = $1 AND user_id = $2 AND meeting = $3")
                .bind(&key.tenant.0)
                .bind(&user.0)
                .bind(key.meeting.0)
                .execute(pool)
                .await
                .map_err(unavailable)?;
        });
        Ok(())
    }

    /// Writes the steps in one transaction, each where its cursor is still where it was read:
    /// otherwise another node has done it. Answers the cursors that were moved.
    pub(super) async fn write(&self, steps: Vec<Step<'_>>) -> Result<HashMap<MeetingKey, Seq>, StoreError> {
        let mut written = HashMap::with_capacity(steps.len());
        if steps.is_empty() {
            return Ok(written);
        }
        let (clock, mut told) = (self.db.clock(), 0);
        on_pool!(&self.db, pool => {
            let mut transaction = pool.begin().await.map_err(unavailable)?;
            let (mut gathered, mut all_notices) = (Gathered::default(), Vec::new());
            for Step { key, from, to, changes, notices, .. } in steps {
                // A cursor that is not there stands before the first event, whatever is remembered.
                let moved = query(
                    "INSERT INTO projection_cursors (tenant, meeting, seq) SELECT $1, $2, $4 WHERE $3 = 0 OR \
                     EXISTS (SELECT 1 FROM projection_cursors WHERE tenant = $1 AND meeting = $2) \
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
                        for statement in statements(key, &other) {
                            run!(transaction, statement);
                        }
                    }
                }
                written.insert(key.clone(), to);
                all_notices.extend(notices);
            }
            insert_gathered!(transaction, gathered);
            for statement in webhooks::statements(&all_notices, clock) {
                told += run!(transaction, statement).rows_affected();
            }
            transaction.commit().await.map_err(unavailable)?;
        });
        if told > 0 {
            self.told.notify_one();
        }
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
                    "DELETE FROM captions_view",
                    "DELETE FROM hands_view",
                    "DELETE FROM rooms_view",
                    "DELETE FROM breakouts_view",
                    "DELETE FROM questions_view",
                    "DELETE FROM polls_view",
                    "DELETE FROM poll_votes_view",
                    "DELETE FROM invitations_view",
                    "DELETE FROM recording_jobs",
                    "DELETE FROM recording_tracks",
                    "DELETE FROM recording_consents",
                    "DELETE FROM whiteboards",
                    "DELETE FROM known_users",
                    "DELETE FROM listed_users",
                ] {
                    query(statement).execute(&mut *transaction).await.map_err(unavailable)?;
                }
                transaction.commit().await.map_err(unavailable)?;
            });
        }
        let mut from = None;
        loop {
            let Stretch { behind, next } = self.behind(from.as_ref(), STRETCH).await?;
            for key in behind {
                self.catch_up(&key).await?;
            }
            if next.is_none() {
                return Ok(());
            }
            from = next;
        }
    }
}
