//! What events mean for the logs of boards: they begin, empty or as copies, and they go, with all that is kept
//! of them. A copy costs a row, however much is drawn: it shares its source's state, and the updates behind that,
//! which are put where both refer to them. What is shared goes with the last reference to it.

use super::super::postgres::PostgresStore;
use super::super::sqlite::SqliteStore;
use super::super::unavailable;
use super::Loose;
use convoke_actors::ports::{BoardChange, Commit, MeetingKey, StoreError};
use convoke_domain::WhiteboardId;
use sqlx::{Postgres, Sqlite, Transaction, query, query_as, query_scalar};
use uuid::Uuid;

macro_rules! board_changes {
    ($store:ty, $database:ty, hold: $hold:literal, lock: $lock:literal) => {
        impl $store {
            /// What is shared is locked before it is looked whether anything refers to it, in a statement of its own:
            /// of two that let it go at once, the second waits, and sees what the first has done. Of updates the
            /// first stands for all.
            pub(super) async fn drop_loose(
                transaction: &mut Transaction<'static, $database>,
                loose: Loose,
            ) -> Result<(), StoreError> {
                for (tenant, tail) in loose.tails {
                    if !$lock.is_empty() {
                        query(concat!(
                            "SELECT 1 FROM whiteboard_updates WHERE tenant = $1 AND whiteboard = $2 ",
                            "ORDER BY number LIMIT 1",
                            $lock
                        ))
                        .bind(&tenant.0)
                        .bind(tail)
                        .execute(&mut **transaction)
                        .await
                        .map_err(unavailable)?;
                    }
                    query(
                        "DELETE FROM whiteboard_updates WHERE tenant = $1 AND whiteboard = $2 \
                         AND NOT EXISTS (SELECT 1 FROM whiteboard_heads WHERE tenant = $1 AND tail = $2)",
                    )
                    .bind(&tenant.0)
                    .bind(tail)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                }
                for (tenant, state) in loose.states {
                    if !$lock.is_empty() {
                        query(concat!("SELECT 1 FROM whiteboard_states WHERE tenant = $1 AND state = $2", $lock))
                            .bind(&tenant.0)
                            .bind(state)
                            .execute(&mut **transaction)
                            .await
                            .map_err(unavailable)?;
                    }
                    query(
                        "DELETE FROM whiteboard_states WHERE tenant = $1 AND state = $2 \
                         AND NOT EXISTS (SELECT 1 FROM whiteboard_heads WHERE tenant = $1 AND state = $2) \
                         AND NOT EXISTS (SELECT 1 FROM whiteboard_snapshots WHERE tenant = $1 AND state = $2)",
                    )
                    .bind(&tenant.0)
                    .bind(state)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                }
                Ok(())
            }

            /// What the events of these commits mean for boards. It comes after what is drawn in the same
            /// transaction: a copy has all that was drawn before it was asked for.
            pub(in super::super) async fn change_boards(
                transaction: &mut Transaction<'static, $database>,
                commits: &[Commit],
            ) -> Result<(), StoreError> {
                let mut loose = Loose::default();
                for commit in commits {
                    for change in &commit.boards {
                        match *change {
                            BoardChange::Create { board, copy_of } => {
                                Self::create_board(transaction, &commit.key, board, copy_of, &mut loose).await?;
                            }
                            BoardChange::Delete { board } => {
                                Self::delete_board(transaction, &commit.key, board, &mut loose).await?;
                            }
                        }
                    }
                }
                Self::drop_loose(transaction, loose).await
            }

            async fn create_board(
                transaction: &mut Transaction<'static, $database>,
                key: &MeetingKey,
                board: WhiteboardId,
                copy_of: Option<WhiteboardId>,
                loose: &mut Loose,
            ) -> Result<(), StoreError> {
                if let Some(source) = copy_of {
                    Self::share_tail(transaction, key, source, loose).await?;
                    let copied = query(
                        "INSERT INTO whiteboard_heads (tenant, whiteboard, meeting, number, state, state_number, tail) \
                         SELECT tenant, $4, meeting, number, state, state_number, tail FROM whiteboard_heads \
                         WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3",
                    )
                    .bind(&key.tenant.0)
                    .bind(key.meeting.0)
                    .bind(source.0)
                    .bind(board.0)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                    if copied.rows_affected() > 0 {
                        return Ok(());
                    }
                }
                query(
                    "INSERT INTO whiteboard_heads (tenant, whiteboard, meeting, number, state, state_number) \
                     VALUES ($1, $2, $3, 0, NULL, 0)",
                )
                .bind(&key.tenant.0)
                .bind(board.0)
                .bind(key.meeting.0)
                .execute(&mut **transaction)
                .await
                .map_err(unavailable)?;
                Ok(())
            }

            /// Puts the updates of a board where its copies find them, too. Its head stays locked: what the log
            /// begins with is not changed before the rest is shared.
            async fn share_tail(
                transaction: &mut Transaction<'static, $database>,
                key: &MeetingKey,
                source: WhiteboardId,
                loose: &mut Loose,
            ) -> Result<(), StoreError> {
                let held: Option<(i64, Option<Uuid>)> = query_as(concat!(
                    "SELECT state_number, tail FROM whiteboard_heads ",
                    "WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3",
                    $hold
                ))
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(source.0)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(unavailable)?;
                let Some((upto, former)) = held else { return Ok(()) };
                let tail = Uuid::now_v7();
                let own = query("UPDATE whiteboard_updates SET whiteboard = $3 WHERE tenant = $1 AND whiteboard = $2")
                    .bind(&key.tenant.0)
                    .bind(source.0)
                    .bind(tail)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                if own.rows_affected() == 0 {
                    return Ok(());
                }
                if let Some(former) = former {
                    // Other boards go on behind those in another way.
                    query(
                        "INSERT INTO whiteboard_updates (tenant, whiteboard, number, data) \
                         SELECT tenant, $3, number, data FROM whiteboard_updates \
                         WHERE tenant = $1 AND whiteboard = $2 AND number > $4",
                    )
                    .bind(&key.tenant.0)
                    .bind(former)
                    .bind(tail)
                    .bind(upto)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                    loose.and(Loose::of(&key.tenant, [former], None));
                }
                query("UPDATE whiteboard_heads SET tail = $3 WHERE tenant = $1 AND whiteboard = $2")
                    .bind(&key.tenant.0)
                    .bind(source.0)
                    .bind(tail)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                Ok(())
            }

            async fn delete_board(
                transaction: &mut Transaction<'static, $database>,
                key: &MeetingKey,
                board: WhiteboardId,
                loose: &mut Loose,
            ) -> Result<(), StoreError> {
                let deleted: Option<(Option<Uuid>, Option<Uuid>)> = query_as(
                    "DELETE FROM whiteboard_heads WHERE tenant = $1 AND meeting = $2 AND whiteboard = $3 \
                     RETURNING state, tail",
                )
                .bind(&key.tenant.0)
                .bind(key.meeting.0)
                .bind(board.0)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(unavailable)?;
                let Some((state, tail)) = deleted else { return Ok(()) };
                query("DELETE FROM whiteboard_updates WHERE tenant = $1 AND whiteboard = $2")
                    .bind(&key.tenant.0)
                    .bind(board.0)
                    .execute(&mut **transaction)
                    .await
                    .map_err(unavailable)?;
                let kept: Vec<Uuid> = query_scalar(
                    "DELETE FROM whiteboard_snapshots WHERE tenant = $1 AND whiteboard = $2 RETURNING state",
                )
                .bind(&key.tenant.0)
                .bind(board.0)
                .fetch_all(&mut **transaction)
                .await
                .map_err(unavailable)?;
                loose.and(Loose::of(&key.tenant, tail, state.into_iter().chain(kept)));
                Ok(())
            }
        }
    };
}

board_changes!(SqliteStore, Sqlite, hold: "", lock: "");
board_changes!(PostgresStore, Postgres, hold: " FOR NO KEY UPDATE", lock: " FOR UPDATE");
