//! What is PostgreSQL's own: several nodes on one database, locks that are waited for, connections
//! that break.

use super::*;
use convoke::adapters::clock::SystemClock;
use convoke::adapters::store::Db;
use convoke_actors::ports::{Clock, Snapshot};
use sqlx::PgPool;
use std::time::{SystemTime, UNIX_EPOCH};

fn pool(opened: &Opened) -> &PgPool {
    let Db::Postgres(pool) = &opened.db else { panic!("it is PostgreSQL") };
    pool
}

/// The process of a connection of this database that waits for another's lock, once so many do.
pub async fn waiting(pool: &PgPool, many: usize) -> i32 {
    let began = Instant::now();
    loop {
        let pids: Vec<i32> = sqlx::query_scalar(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_all(pool)
        .await
        .unwrap();
        if pids.len() >= many {
            return pids[0];
        }
        assert!(began.elapsed().as_secs() < 60, "nobody waits for a lock, or not for long enough to be seen");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taking_waits_for_the_transaction_under_the_old_term() {
    let Some(database) = Database::new().await else { return };
    let opened = ready(&database.url()).await;
    let store = Arc::clone(&opened.store);
    let life = store.boot("a", LEASE).await.unwrap();
    let key = key();
    taken(store.as_ref(), &key, &life).await;

    // A commit of the old term that has not ended yet.
    let mut under_way = pool(&opened).begin().await.unwrap();
    let update = "UPDATE meeting_heads SET seq = 2 WHERE tenant = $1 AND meeting = $2 AND term = 1";
    let done = sqlx::query(update).bind(&key.tenant.0).bind(key.meeting.0).execute(&mut *under_way).await.unwrap();
    assert_eq!(done.rows_affected(), 1);
    let taking = tokio::spawn({
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { store.take(&key, &life).await }
    });
    waiting(pool(&opened), 1).await;
    under_way.commit().await.unwrap();
    let taken = taking.await.unwrap().unwrap();
    assert_eq!((taken.term, taken.seq), (Term(2), Seq(2)), "it knows what the old term has written");
    database.drop().await;
}

/// A database sees its own time when a statement begins: one that began before an erasure ended must not
/// miss it.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_waits_for_an_erasure_under_way_and_is_not_kept() {
    let Some(database) = Database::new().await else { return };
    let opened = ready(&database.url()).await;
    let store = Arc::clone(&opened.store);
    let life = store.boot("a", LEASE).await.unwrap();
    let key = key();
    let term = taken(store.as_ref(), &key, &life).await;
    store.commit(&[commit(&key, term, 1, 3)], &[]).await.unwrap();
    let [older, snapshot] = [1, 2].map(|seq| Snapshot { seq: Seq(seq), version: 1, state: "it holds a key".into() });
    store.save_snapshot(&key, term, &older).await.unwrap();
    // Holds up the erasure at its end, where it deletes that.
    let mut under_way = pool(&opened).begin().await.unwrap();
    sqlx::query("SELECT 1 FROM snapshots FOR UPDATE").execute(&mut *under_way).await.unwrap();
    let erasing = tokio::spawn({
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { store.overwrite(&key, &[], Seq(3)).await }
    });
    waiting(pool(&opened), 1).await;
    let mut saving = tokio::spawn({
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { store.save_snapshot(&key, term, &snapshot).await }
    });
    let soon = std::time::Duration::from_millis(300);
    assert!(tokio::time::timeout(soon, &mut saving).await.is_err(), "it waits");
    under_way.commit().await.unwrap();
    erasing.await.unwrap().unwrap();
    saving.await.unwrap().unwrap();
    assert_eq!(store.snapshot(&key).await.unwrap(), None);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_in_a_commit_is_an_unknown_outcome_and_no_more() {
    let Some(database) = Database::new().await else { return };
    let opened = ready(&database.url()).await;
    let store = Arc::clone(&opened.store);
    let life = store.boot("a", LEASE).await.unwrap();
    let key = key();
    let term = taken(store.as_ref(), &key, &life).await;

    let mut obstacle = pool(&opened).begin().await.unwrap();
    let lock = "SELECT 1 FROM meeting_heads WHERE tenant = $1 AND meeting = $2 FOR UPDATE";
    sqlx::query(lock).bind(&key.tenant.0).bind(key.meeting.0).execute(&mut *obstacle).await.unwrap();
    let committing = tokio::spawn({
        let (store, key) = (Arc::clone(&store), key.clone());
        async move { store.commit(&[commit(&key, term, 1, 1)], &[]).await }
    });
    let pid = waiting(pool(&opened), 1).await;
    sqlx::query("SELECT pg_terminate_backend($1)").bind(pid).execute(pool(&opened)).await.unwrap();
    let outcome = committing.await.unwrap();
    assert!(matches!(outcome, Err(StoreError::Unavailable(_))), "{outcome:?}");
    obstacle.rollback().await.unwrap();

    let taken = store.take(&key, &life).await.unwrap();
    assert_eq!((taken.term, taken.seq), (Term(2), Seq(1)));
    store.commit(&[commit(&key, taken.term, 1, 1)], &[]).await.unwrap();
    assert_eq!(seqs(store.as_ref(), &key).await, [1, 2]);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn meetings_are_locked_in_one_order_whatever_the_callers_is() {
    let Some(database) = Database::new().await else { return };
    let opened = ready(&database.url()).await;
    let store = Arc::clone(&opened.store);
    let life = store.boot("a", LEASE).await.unwrap();
    let mut keys = [key(), key()];
    keys.sort();
    let [low, high] = keys;
    // The higher one stands first in the table and in the caller's list.
    let term = taken(store.as_ref(), &high, &life).await;
    taken(store.as_ref(), &low, &life).await;

    let lock = "SELECT 1 FROM meeting_heads WHERE meeting = $1 FOR UPDATE NOWAIT";
    let mut obstacle = pool(&opened).begin().await.unwrap();
    sqlx::query(lock).bind(low.meeting.0).execute(&mut *obstacle).await.unwrap();
    let committing = tokio::spawn({
        let commits = [commit(&high, term, 1, 1), commit(&low, term, 1, 1)];
        let store = Arc::clone(&store);
        async move { store.commit(&commits, &[]).await }
    });
    waiting(pool(&opened), 1).await;
    // It waits for the lower one and has not locked the higher one yet, so nobody can wait for it in turn.
    sqlx::query(lock).bind(high.meeting.0).execute(&mut *obstacle).await.unwrap();
    obstacle.rollback().await.unwrap();
    committing.await.unwrap().unwrap();
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_start_at_once_migrate_once_and_keep_their_limits() {
    let Some(database) = Database::new().await else { return };
    let (one, two) = (store::open(&database.url()).await.unwrap(), store::open(&database.url()).await.unwrap());
    let (first, second) = tokio::join!(one.db.migrate(), two.db.migrate());
    first.unwrap();
    second.unwrap();
    one.db.migrate().await.unwrap();
    for _ in 0..20 {
        let limit: String = sqlx::query_scalar("SHOW statement_timeout").fetch_one(pool(&one)).await.unwrap();
        assert_eq!(limit, "5s", "what migrations are allowed is not for daily statements");
    }
    // Two nodes, two connections each, one log.
    let key = key();
    let life = one.store.boot("a", LEASE).await.unwrap();
    let term = taken(one.store.as_ref(), &key, &life).await;
    one.store.commit(&[commit(&key, term, 1, 2)], &[]).await.unwrap();
    assert_eq!(seqs(two.store.as_ref(), &key).await, [1, 2, 3]);
    database.drop().await;
}

#[tokio::test]
async fn what_is_to_be_delivered_is_kept_once_a_key() {
    let Some(database) = Database::new().await else { return };
    let opened = ready(&database.url()).await;
    crate::sqlite::deliver_twice(opened.store.as_ref()).await;
    let rows: Vec<(String, String, String, i64, i64)> =
        sqlx::query_as("SELECT tenant, topic, payload, created_at, next_attempt_at FROM outbox ORDER BY tenant, id")
            .fetch_all(pool(&opened))
            .await
            .unwrap();
    crate::sqlite::check_delivered(&rows);
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_whose_clock_is_off_goes_by_the_databases() {
    let Some(database) = Database::new().await else { return };
    let opened = ready(&database.url()).await;
    let store = Arc::clone(&opened.store);
    for skew in [5_000_i64, -5_000] {
        let clock = SystemClock::reading(move || {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
            i64::try_from(since.as_millis()).unwrap() + skew
        });
        clock.correct(store.now().await.unwrap());
        let before = store.now().await.unwrap();
        let corrected = clock.now();
        let after = store.now().await.unwrap();
        // The way to the database and back is what a clock may be off by.
        let is_right = (before.saturating_sub(2_000)..=after + 2_000).contains(&corrected);
        assert!(is_right, "off by {skew}: between {before} and {after}, and {corrected}");
    }
    // How long a lease runs is the database's to reckon: whoever asks for it has no say in it.
    let before = store.now().await.unwrap();
    store.boot("a", LEASE).await.unwrap();
    let until: i64 = sqlx::query_scalar("SELECT lease_until FROM nodes").fetch_one(pool(&opened)).await.unwrap();
    let after = store.now().await.unwrap();
    let lease = u64::try_from(LEASE.as_millis()).unwrap();
    assert!((before + lease..=after + lease).contains(&u64::try_from(until).unwrap()));
    database.drop().await;
}
