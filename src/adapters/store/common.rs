//! The port's methods that are the same SQL in both databases. The macro writes them once for each
//! pool type; `$1` placeholders are understood by both.

use super::{to_i64, to_u64};
use convoke_actors::ports::{EventRow, Head, NodeLife, StoreError, Taken};
use convoke_domain::event::Cause;
use convoke_domain::{MeetingId, Millis, Seq, SessionId, TenantId, Term};
use std::time::Duration;
use uuid::Uuid;

pub type HeadRow = (Option<String>, Option<i64>, i64, i64, Option<i64>, Option<String>);
pub type LogRow = (i64, i64, String, i32, String, Option<Uuid>, Option<i64>, String);

pub fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

pub fn head_of(key: &convoke_actors::ports::MeetingKey, row: HeadRow) -> Head {
    let (node, epoch, term, seq, wake_at, failed) = row;
    Head {
        key: key.clone(),
        owner: node.zip(epoch).map(|(node, epoch)| NodeLife { node, epoch }),
        term: Term(to_u64(term)),
        seq: Seq(to_u64(seq)),
        wake_at: wake_at.map(to_u64),
        failed,
    }
}

pub fn event_of(row: LogRow) -> EventRow {
    let (seq, at, kind, version, audience, session, id, data) = row;
    EventRow {
        seq: Seq(to_u64(seq)),
        at: to_u64(at),
        kind,
        version: u16::try_from(version).unwrap_or(u16::MAX),
        audience,
        cause: session.zip(id).map(|(session, id)| Cause { session: SessionId(session), id: to_u64(id) }),
        data: data.into(),
    }
}

pub fn key_of(tenant: String, meeting: Uuid) -> convoke_actors::ports::MeetingKey {
    convoke_actors::ports::MeetingKey { tenant: TenantId(tenant), meeting: MeetingId(meeting) }
}

/// Whether this life may take a meeting, given its head and the lease of its present owner.
pub fn may_take(head: &Head, life: &NodeLife, lease: Option<(i64, i64)>, now: Millis) -> Result<Taken, StoreError> {
    let taken = |was_owned| Taken {
        term: Term(head.term.0.saturating_add(1)),
        seq: head.seq,
        was_owned,
        failed: head.failed.clone(),
    };
    let Some(owner) = &head.owner else { return Ok(taken(false)) };
    let is_own = owner.node == life.node && owner.epoch <= life.epoch;
    let is_dead = match lease {
        None => true,
        Some((epoch, until)) => epoch != owner.epoch || to_u64(until) <= now,
    };
    if is_own || is_dead { Ok(taken(true)) } else { Err(StoreError::Owned(owner.clone())) }
}

pub fn seq_bind(seq: Seq) -> i64 {
    to_i64(seq.0)
}

macro_rules! common_store {
    ($store:ty, clock: $clock:literal, lock: $lock:literal, hold: $hold:literal, share: $share:literal) => {
        #[async_trait::async_trait]
        impl Store for $store {
            async fn now(&self) -> Result<Millis, StoreError> {
                let now: i64 =
                    query_scalar(concat!("SELECT ", $clock)).fetch_one(&self.read).await.map_err(unavailable)?;
                Ok(to_u64(now))
            }

            async fn boot(&self, node: &str, lease: Duration) -> Result<NodeLife, StoreError> {
                let epoch: i64 = query_scalar(concat!(
                    "INSERT INTO nodes (node, epoch, lease_until) VALUES ($1, 1, ",
                    $clock,
                    " + $2) ",
                    "ON CONFLICT (node) DO UPDATE SET epoch = nodes.epoch + 1, lease_until = excluded.lease_until, ",
                    "meetings = 0, draining = 0 ",
                    "RETURNING epoch"
                ))
                .bind(node)
                .bind(millis(lease))
                .fetch_one(&*self.writing())
                .await
                .map_err(unavailable)?;
                Ok(NodeLife { node: node.to_owned(), epoch })
            }

            async fn renew(&self, life: &NodeLife, lease: Duration) -> Result<bool, StoreError> {
                let done = query(concat!(
                    "UPDATE nodes SET lease_until = ",
                    $clock,
                    " + $3 WHERE node = $1 AND epoch = $2 ",
                    "AND lease_until > ",
                    $clock
                ))
                .bind(&life.node)
                .bind(life.epoch)
                .bind(millis(lease))
                .execute(&*self.writing())
                .await
                .map_err(unavailable)?;
                Ok(done.rows_affected() == 1)
            }

            async fn retire(&self, life: &NodeLife) -> Result<(), StoreError> {
                query("UPDATE nodes SET lease_until = 0 WHERE node = $1 AND epoch = $2")
                    .bind(&life.node)
                    .bind(life.epoch)
                    .execute(&*self.writing())
                    .await
                    .map_err(unavailable)?;
                Ok(())
            }

            async fn report(&self, life: &NodeLife, meetings: u32, is_draining: bool) -> Result<(), StoreError> {
                query("UPDATE nodes SET meetings = $3, draining = $4 WHERE node = $1 AND epoch = $2")
                    .bind(&life.node)
                    .bind(life.epoch)
                    .bind(i64::from(meetings))
                    .bind(i64::from(is_draining))
                    .execute(&*self.writing())
                    .await
                    .map_err(unavailable)?;
                Ok(())
            }

            async fn peers(&self) -> Result<Vec<Peer>, StoreError> {
                let rows: Vec<(String, i64, i64, i64)> = query_as(concat!(
                    "SELECT node, epoch, meetings, draining FROM nodes WHERE lease_until > ",
                    $clock,
                    " ORDER BY node"
                ))
                .fetch_all(&self.read)
                .await
                .map_err(unavailable)?;
                let peer = |(node, epoch, meetings, draining): (String, i64, i64, i64)| Peer {
                    life: NodeLife { node, epoch },
                    meetings: u32::try_from(meetings).unwrap_or(u32::MAX),
                    is_draining: draining != 0,
                };
                Ok(rows.into_iter().map(peer).collect())
            }

            async fn heads(&self, keys: &[MeetingKey]) -> Result<Vec<(MeetingKey, Term, Seq)>, StoreError> {
                self.heads_of(keys).await
            }

            async fn create(
                &self,
                key: &MeetingKey,
                first: &EventRow,
                wake_at: Option<Millis>,
            ) -> Result<bool, StoreError> {
                let mut transaction = self.begin().await?;
                let made = query(
                    "INSERT INTO meeting_heads (tenant, meeting, term, seq, wake_at) VALUES ($1, $2, 0, $3, $4) \
                     ON CONFLICT DO NOTHING",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(seq_bind(first.seq))
                .bind(wake_at.map(to_i64))
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                if made.rows_affected() == 0 {
                    return Ok(false);
                }
                query(
                    "INSERT INTO events \
                     (tenant, meeting, seq, at, kind, version, audience, cause_session, cause_id, data) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(seq_bind(first.seq))
                .bind(to_i64(first.at))
                .bind(&first.kind)
                .bind(i32::from(first.version))
                .bind(&first.audience)
                .bind(first.cause.map(|cause| cause.session.0))
                .bind(first.cause.map(|cause| to_i64(cause.id)))
                .bind(&*first.data)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                transaction.commit().await.map_err(unavailable)?;
                Ok(true)
            }

            /// The head row is locked first, so a transaction of the old term that is still under
            /// way ends before the term is raised: its outcome is in the log that is read next. The
            /// owner's lease is read behind a renewal that is under way, for the same reason; time is
            /// read before it, so a doubt is the owner's.
            async fn take(&self, key: &MeetingKey, life: &NodeLife) -> Result<Taken, StoreError> {
                let mut transaction = self.begin().await?;
                let row: Option<HeadRow> = query_as(concat!(
                    "SELECT owner_node, owner_epoch, term, seq, wake_at, failed FROM meeting_heads ",
                    "WHERE tenant = $1 AND meeting = $2",
                    $lock
                ))
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?;
                let head = head_of(key, row.ok_or(StoreError::NotFound)?);
                let now: i64 =
                    query_scalar(concat!("SELECT ", $clock)).fetch_one(&mut *transaction).await.map_err(unavailable)?;
                let lease: Option<(i64, i64)> = match &head.owner {
                    Some(owner) => query_as(concat!("SELECT epoch, lease_until FROM nodes WHERE node = $1", $share))
                        .bind(&owner.node)
                        .fetch_optional(&mut *transaction)
                        .await
                        .map_err(unavailable)?,
                    None => None,
                };
                let taken = may_take(&head, life, lease, to_u64(now))?;
                query(
                    "UPDATE meeting_heads SET owner_node = $3, owner_epoch = $4, term = $5 \
                     WHERE tenant = $1 AND meeting = $2",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(&life.node)
                .bind(life.epoch)
                .bind(to_i64(taken.term.0))
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                transaction.commit().await.map_err(unavailable)?;
                Ok(taken)
            }

            async fn release(&self, key: &MeetingKey, term: Term) -> Result<(), StoreError> {
                let done = query(
                    "UPDATE meeting_heads SET owner_node = NULL, owner_epoch = NULL \
                     WHERE tenant = $1 AND meeting = $2 AND term = $3",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(to_i64(term.0))
                .execute(&*self.writing())
                .await
                .map_err(unavailable)?;
                if done.rows_affected() == 1 { Ok(()) } else { Err(StoreError::Fenced) }
            }

            async fn commit(&self, commits: &[Commit], boards: &[BoardCommit]) -> Result<(), StoreError> {
                self.commit_all(commits, boards).await
            }

            async fn head(&self, key: &MeetingKey) -> Result<Head, StoreError> {
                let row: Option<HeadRow> = query_as(
                    "SELECT owner_node, owner_epoch, term, seq, wake_at, failed FROM meeting_heads \
                     WHERE tenant = $1 AND meeting = $2",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .fetch_optional(&self.read)
                .await
                .map_err(unavailable)?;
                row.map(|row| head_of(key, row)).ok_or(StoreError::NotFound)
            }

            async fn events(&self, key: &MeetingKey, after: Seq, limit: u32) -> Result<Vec<EventRow>, StoreError> {
                let rows: Vec<LogRow> = query_as(
                    "SELECT seq, at, kind, version, audience, cause_session, cause_id, data FROM events \
                     WHERE tenant = $1 AND meeting = $2 AND seq > $3 ORDER BY seq LIMIT $4",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(seq_bind(after))
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await
                .map_err(unavailable)?;
                Ok(rows.into_iter().map(event_of).collect())
            }

            async fn snapshot(&self, key: &MeetingKey) -> Result<Option<Snapshot>, StoreError> {
                let row: Option<(i64, i32, String)> =
                    query_as("SELECT seq, version, state FROM snapshots WHERE tenant = $1 AND meeting = $2")
                        .bind(&key.tenant.0)
                        .bind(key.meeting.0)
                        .fetch_optional(&self.read)
                        .await
                        .map_err(unavailable)?;
                Ok(row.map(|(seq, version, state)| Snapshot {
                    seq: Seq(to_u64(seq)),
                    version: u16::try_from(version).unwrap_or(u16::MAX),
                    state,
                }))
            }

            /// The head stays locked, so the snapshot of an owner that is just being replaced comes
            /// either before the new one begins or not at all. One that comes late does not take the place
            /// of a newer one, and is not kept where the log was overwritten behind it: it holds what was to
            /// be forgotten. What was forgotten is read once the head is locked, in a statement of its own,
            /// so that whoever overwrites is either seen or waits.
            async fn save_snapshot(&self, key: &MeetingKey, term: Term, snapshot: &Snapshot) -> Result<(), StoreError> {
                let mut transaction = self.begin().await?;
                let held: Option<i64> = query_scalar(concat!(
                    "SELECT term FROM meeting_heads WHERE tenant = $1 AND meeting = $2 AND term = $3",
                    $hold
                ))
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(to_i64(term.0))
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?;
                if held.is_none() {
                    return Err(StoreError::Fenced);
                }
                query(
                    "INSERT INTO snapshots (tenant, meeting, seq, version, state) SELECT $1, $2, $3, $4, $5 \
                     WHERE NOT EXISTS (SELECT 1 FROM forgotten WHERE tenant = $1 AND meeting = $2 AND seq > $3) \
                     ON CONFLICT (tenant, meeting) DO UPDATE SET \
                     seq = excluded.seq, version = excluded.version, state = excluded.state \
                     WHERE snapshots.seq <= excluded.seq",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(seq_bind(snapshot.seq))
                .bind(i32::from(snapshot.version))
                .bind(&snapshot.state)
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                transaction.commit().await.map_err(unavailable)
            }

            async fn overwrite(&self, key: &MeetingKey, events: &[EventRow], since: Seq) -> Result<(), StoreError> {
                let mut transaction = self.begin().await?;
                for event in events {
                    query(
                        "UPDATE events SET data = $4, cause_session = $5, cause_id = $6 \
                         WHERE tenant = $1 AND meeting = $2 AND seq = $3",
                    )
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(seq_bind(event.seq))
                    .bind(&*event.data)
                    .bind(event.cause.map(|cause| cause.session.0))
                    .bind(event.cause.map(|cause| to_i64(cause.id)))
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                }
                // A snapshot that is being saved is there by now, or comes after this.
                query_scalar::<_, i64>(concat!(
                    "SELECT term FROM meeting_heads WHERE tenant = $1 AND meeting = $2",
                    $hold
                ))
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .fetch_optional(&mut *transaction)
                .await
                .map_err(unavailable)?;
                query(
                    "INSERT INTO forgotten (tenant, meeting, seq) VALUES ($1, $2, $3) \
                     ON CONFLICT (tenant, meeting) DO UPDATE SET seq = excluded.seq WHERE forgotten.seq < excluded.seq",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(seq_bind(since))
                .execute(&mut *transaction)
                .await
                .map_err(unavailable)?;
                query("DELETE FROM snapshots WHERE tenant = $1 AND meeting = $2 AND seq < $3")
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(seq_bind(since))
                    .execute(&mut *transaction)
                    .await
                    .map_err(unavailable)?;
                transaction.commit().await.map_err(unavailable)
            }

            async fn board(&self, key: &MeetingKey, board: WhiteboardId) -> Result<BoardLog, StoreError> {
                self.read_board(key, board).await
            }

            async fn compact_board(
                &self,
                key: &MeetingKey,
                term: Term,
                board: WhiteboardId,
                upto: u64,
                state: &[u8],
            ) -> Result<(), StoreError> {
                self.put_state(key, term, board, upto, state).await
            }

            async fn keep_board(
                &self,
                key: &MeetingKey,
                term: Term,
                board: WhiteboardId,
                snapshot: &BoardSnapshot,
                state: (u64, &[u8]),
                most: u32,
            ) -> Result<(), StoreError> {
                self.keep_state(key, term, board, snapshot, state, most).await
            }

            async fn board_snapshots(
                &self,
                key: &MeetingKey,
                board: WhiteboardId,
            ) -> Result<Vec<BoardSnapshot>, StoreError> {
                self.snapshots_of_board(key, board).await
            }

            async fn board_snapshot(
                &self,
                key: &MeetingKey,
                board: WhiteboardId,
                snapshot: Uuid,
            ) -> Result<Option<Vec<u8>>, StoreError> {
                self.snapshot_of_board(key, board, snapshot).await
            }

            async fn due(&self, now: Millis, limit: u32) -> Result<Vec<MeetingKey>, StoreError> {
                let rows: Vec<(String, Uuid)> = query_as(concat!(
                    "SELECT h.tenant, h.meeting FROM meeting_heads h ",
                    "LEFT JOIN nodes n ON n.node = h.owner_node AND n.epoch = h.owner_epoch ",
                    "AND n.lease_until > ",
                    $clock,
                    " ",
                    "WHERE h.wake_at <= $1 AND h.failed IS NULL AND n.node IS NULL ORDER BY h.wake_at LIMIT $2"
                ))
                .bind(to_i64(now))
                .bind(i64::from(limit))
                .fetch_all(&self.read)
                .await
                .map_err(unavailable)?;
                Ok(rows.into_iter().map(|(tenant, meeting)| key_of(tenant, meeting)).collect())
            }

            async fn count_death(&self, key: &MeetingKey, cause: Cause) -> Result<u32, StoreError> {
                let deaths: i32 = query_scalar(
                    "INSERT INTO command_deaths (tenant, meeting, session, command_id, deaths) \
                     VALUES ($1, $2, $3, $4, 1) ON CONFLICT (tenant, meeting, session, command_id) \
                     DO UPDATE SET deaths = command_deaths.deaths + 1 RETURNING deaths",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(cause.session.0)
                .bind(to_i64(cause.id))
                .fetch_one(&*self.writing())
                .await
                .map_err(unavailable)?;
                Ok(u32::try_from(deaths).unwrap_or(u32::MAX))
            }

            async fn deaths(&self, key: &MeetingKey) -> Result<Vec<(Cause, u32)>, StoreError> {
                let rows: Vec<(Uuid, i64, i32)> = query_as(
                    "SELECT session, command_id, deaths FROM command_deaths WHERE tenant = $1 AND meeting = $2",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .fetch_all(&self.read)
                .await
                .map_err(unavailable)?;
                let counted = |(session, id, deaths): (Uuid, i64, i32)| {
                    let cause = Cause { session: SessionId(session), id: to_u64(id) };
                    (cause, u32::try_from(deaths).unwrap_or(u32::MAX))
                };
                Ok(rows.into_iter().map(counted).collect())
            }

            async fn mark_failed(&self, key: &MeetingKey, reason: Option<&str>) -> Result<(), StoreError> {
                query("UPDATE meeting_heads SET failed = $3 WHERE tenant = $1 AND meeting = $2")
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(reason)
                    .execute(&*self.writing())
                    .await
                    .map_err(unavailable)?;
                Ok(())
            }
        }
    };
}

pub(super) use common_store;
