//! What one node does at a time, for all of them. A duty is leased by the database's clock and is due again
//! some time after it was last done to its end: where a node dies over it, the next one to look after the
//! lease has run out does it again from the beginning, so it must be of a kind that may be done twice.

use crate::adapters::store::secrets::on_pool;
use crate::adapters::store::{Db, unavailable};
use convoke_actors::ports::StoreError;
use sqlx::{AssertSqlSafe, query};
use std::time::Duration;
use uuid::Uuid;

/// A duty that this node has, for as long as its lease lasts.
#[derive(Debug)]
pub struct Duty {
    name: &'static str,
    holder: String,
    lease: Duration,
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Duty {
    /// Takes a duty that is due. None: somebody has it, or it was done less than this long ago.
    pub async fn take(
        db: &Db,
        name: &'static str,
        lease: Duration,
        every: Duration,
    ) -> Result<Option<Self>, StoreError> {
        let holder = Uuid::now_v7().to_string();
        let clock = db.clock();
        let sql = format!(
            "INSERT INTO duties (name, holder, leased_until, done_at) VALUES ($1, $2, {clock} + $3, 0) \
             ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, leased_until = excluded.leased_until \
             WHERE duties.leased_until <= {clock} AND duties.done_at <= {clock} - $4"
        );
        let taken = on_pool!(db, pool => {
            query(AssertSqlSafe(sql))
                .bind(name)
                .bind(&holder)
                .bind(millis(lease))
                .bind(millis(every))
                .execute(pool)
                .await
                .map_err(unavailable)?
                .rows_affected()
        });
        Ok((taken == 1).then_some(Self { name, holder, lease }))
    }

    /// Keeps it for longer. False: the lease ran out, and somebody else may have it by now.
    pub async fn renew(&self, db: &Db) -> Result<bool, StoreError> {
        let clock = db.clock();
        let sql = format!(
            "UPDATE duties SET leased_until = {clock} + $3 WHERE name = $1 AND holder = $2 AND leased_until > {clock}"
        );
        let renewed = on_pool!(db, pool => {
            query(AssertSqlSafe(sql))
                .bind(self.name)
                .bind(&self.holder)
                .bind(millis(self.lease))
                .execute(pool)
                .await
                .map_err(unavailable)?
                .rows_affected()
        });
        Ok(renewed == 1)
    }

    /// It is done to its end.
    pub async fn done(self, db: &Db) -> Result<(), StoreError> {
        let clock = db.clock();
        let sql = format!("UPDATE duties SET leased_until = 0, done_at = {clock} WHERE name = $1 AND holder = $2");
        on_pool!(db, pool => {
            query(AssertSqlSafe(sql)).bind(self.name).bind(&self.holder).execute(pool).await.map_err(unavailable)?;
        });
        Ok(())
    }
}
