//! The one connection that writes to SQLite. It lives in a pool, for whose turns are fair; but a pool asks a
//! connection for a sign of life whenever it is given back, and that is a trip to another thread, as long as the
//! work of a small commit. So whoever commits all the time keeps the connection meanwhile, and gives it back when
//! somebody else waits.

use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool};
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone)]
pub struct Writer {
    pool: SqlitePool,
    turns: Arc<Mutex<Turns>>,
    may_keep: bool,
}

#[derive(Default)]
struct Turns {
    /// Only while nobody waits for it.
    kept: Option<PoolConnection<Sqlite>>,
    waiting: usize,
}

impl Drop for Turns {
    fn drop(&mut self) {
        // To go back to its pool it would need a runtime, and there may be none any more.
        self.kept.take().map(PoolConnection::leak);
    }
}

/// The pool, for as long as somebody wants something of it.
pub struct Turn<'a> {
    pool: &'a SqlitePool,
    turns: &'a Mutex<Turns>,
}

impl Deref for Turn<'_> {
    type Target = SqlitePool;

    fn deref(&self) -> &SqlitePool {
        self.pool
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut turns = lock(self.turns);
        turns.waiting = turns.waiting.saturating_sub(1);
    }
}

fn lock(turns: &Mutex<Turns>) -> MutexGuard<'_, Turns> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Writer {
    /// For a pool of one connection that nobody uses beside this.
    pub fn of_one(pool: SqlitePool) -> Self {
        Self { may_keep: true, ..Self::from(pool) }
    }

    /// The pool, to which the connection comes back for it.
    pub fn turn(&self) -> Turn<'_> {
        let mut turns = lock(&self.turns);
        turns.waiting = turns.waiting.saturating_add(1);
        drop(turns.kept.take());
        Turn { pool: &self.pool, turns: &self.turns }
    }

    /// The connection, for one who gives it to [`Self::keep`] when all went well.
    pub async fn take(&self) -> Result<PoolConnection<Sqlite>, sqlx::Error> {
        let kept = lock(&self.turns).kept.take();
        match kept {
            Some(connection) => Ok(connection),
            None => self.turn().acquire().await,
        }
    }

    /// Keeps the connection for the next who takes it, unless somebody waits for its pool.
    pub fn keep(&self, connection: PoolConnection<Sqlite>) {
        let mut turns = lock(&self.turns);
        if self.may_keep && turns.waiting == 0 && !self.pool.is_closed() {
            turns.kept = Some(connection);
        }
    }

    pub async fn close(&self) {
        self.turn().close().await;
    }
}

impl From<SqlitePool> for Writer {
    fn from(pool: SqlitePool) -> Self {
        Self { pool, turns: Arc::default(), may_keep: false }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use sqlx::query_scalar;
    use sqlx::sqlite::SqlitePoolOptions;

    async fn writer() -> Writer {
        let options = SqlitePoolOptions::new().max_connections(1);
        Writer::of_one(options.connect("sqlite::memory:").await.unwrap())
    }

    async fn give_back(writer: &Writer) {
        let connection = writer.take().await.unwrap();
        writer.keep(connection);
    }

    #[tokio::test]
    async fn what_was_kept_is_given_up_to_whoever_waits() {
        let writer = writer().await;
        give_back(&writer).await;
        assert_eq!(writer.pool.num_idle(), 0, "it is kept");
        let one: i64 = query_scalar("SELECT 1").fetch_one(&*writer.turn()).await.unwrap();
        assert_eq!(one, 1);
    }

    #[tokio::test]
    async fn whoever_waits_has_the_next_turn() {
        let writer = writer().await;
        let busy = writer.take().await.unwrap();
        let turn = writer.turn();
        let mut waiting = Box::pin(turn.acquire());
        assert!(futures_util::poll!(&mut waiting).is_pending());
        writer.keep(busy);
        drop(waiting.await.unwrap());
        drop(turn);
        give_back(&writer).await;
        assert!(lock(&writer.turns).kept.is_some(), "nobody waits any more");
    }

    #[tokio::test]
    async fn a_closed_one_keeps_nothing() {
        let writer = writer().await;
        let busy = writer.take().await.unwrap();
        let closing = tokio::spawn({
            let writer = writer.clone();
            async move { writer.close().await }
        });
        while !writer.pool.is_closed() {
            tokio::task::yield_now().await;
        }
        writer.keep(busy);
        closing.await.unwrap();
        assert!(writer.take().await.is_err());
    }

    #[test]
    fn a_kept_one_outlives_its_runtime() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let writer = runtime.block_on(async {
            let writer = writer().await;
            give_back(&writer).await;
            writer
        });
        drop(runtime);
        drop(writer);
    }
}
