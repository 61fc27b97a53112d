//! What is SQLite's own: the file, its lock, and what is still there after a stop.

use super::*;
use convoke::adapters::store::Db;
use convoke_actors::ports::OutboxRow;

#[tokio::test]
async fn a_second_process_is_kept_out() {
    let folder = Folder::new();
    let first = ready(&folder.url()).await;
    let error = store::open(&folder.url()).await.err().unwrap().to_string();
    assert!(error.contains("another process uses") && error.contains("a.db"), "{error}");
    first.db.close().await;
    drop(first);
    ready(&folder.url()).await;
}

#[cfg(unix)]
#[tokio::test]
async fn the_same_file_by_another_name_is_locked_too() {
    let folder = Folder::new();
    let first = ready(&folder.url()).await;
    let link = folder.0.join("link.db");
    std::os::unix::fs::symlink(folder.0.join("deeper/a.db"), &link).unwrap();
    let error = store::open(&format!("sqlite://{}", link.display())).await.err().unwrap().to_string();
    assert!(error.contains("another process uses"), "{error}");
    drop(first);
}

#[tokio::test]
async fn the_log_is_there_after_a_stop_and_the_older_life_is_over() {
    let folder = Folder::new();
    let key = key();
    let first = ready(&folder.url()).await;
    let life = first.store.boot("a", LEASE).await.unwrap();
    let term = taken(first.store.as_ref(), &key, &life).await;
    first.store.commit(&[commit(&key, term, 1, 3)], &[]).await.unwrap();
    first.store.count_death(&key, cause(1)).await.unwrap();
    first.db.close().await;
    drop(first);

    let store = ready(&folder.url()).await.store;
    assert_eq!(seqs(store.as_ref(), &key).await, [1, 2, 3, 4]);
    assert_eq!(store.count_death(&key, cause(1)).await.unwrap(), 2);
    let again = store.boot("a", LEASE).await.unwrap();
    assert!(again.epoch > life.epoch);
    let taken = store.take(&key, &again).await.unwrap();
    assert_eq!((taken.term, taken.seq, taken.was_owned), (Term(2), Seq(4), true));
    assert!(is_fenced(&store.commit(&[commit(&key, term, 4, 1)], &[]).await));
}

#[tokio::test]
async fn two_memories_are_two_databases() {
    let (one, two) = (ready("sqlite::memory:").await.store, ready("sqlite::memory:").await.store);
    let key = key();
    assert!(one.create(&key, &row(1, "first"), None).await.unwrap());
    assert!(matches!(two.head(&key).await, Err(StoreError::NotFound)));
}

#[tokio::test]
async fn the_writer_survives_power_cuts() {
    let folder = Folder::new();
    let opened = ready(&folder.url()).await;
    let Db::Sqlite { write, .. } = &opened.db else { panic!("it is SQLite") };
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(&*write.turn()).await.unwrap();
    let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&*write.turn()).await.unwrap();
    assert_eq!((journal.as_str(), synchronous), ("wal", 2), "2 is FULL: each commit is synced");
}

#[tokio::test]
async fn what_is_to_be_delivered_is_kept_once_a_key() {
    let opened = ready("sqlite::memory:").await;
    let Db::Sqlite { read, .. } = &opened.db else { panic!("it is SQLite") };
    deliver_twice(opened.store.as_ref()).await;
    let rows: Vec<(String, String, String, i64, i64)> =
        sqlx::query_as("SELECT tenant, topic, payload, created_at, next_attempt_at FROM outbox ORDER BY tenant, id")
            .fetch_all(read)
            .await
            .unwrap();
    check_delivered(&rows);
}

/// Two tenants use one idempotency key; the first uses it twice, in two commits.
pub async fn deliver_twice(store: &dyn Store) {
    let life = store.boot("a", LEASE).await.unwrap();
    let ours = key();
    let theirs = MeetingKey { tenant: TenantId("other".into()), ..ours.clone() };
    let term = taken(store, &ours, &life).await;
    taken(store, &theirs, &life).await;
    let outbox = |payload: &str| {
        vec![OutboxRow { topic: "mail".into(), idempotency_key: "one".into(), payload: payload.into() }]
    };
    let first = [
        Commit { outbox: outbox("first"), ..commit(&ours, term, 1, 1) },
        Commit { outbox: outbox("theirs"), ..commit(&theirs, term, 1, 0) },
    ];
    store.commit(&first, &[]).await.unwrap();
    store.commit(&[Commit { outbox: outbox("again"), ..commit(&ours, term, 2, 1) }], &[]).await.unwrap();
    assert_eq!(store.head(&ours).await.unwrap().seq, Seq(3));
}

pub fn check_delivered(rows: &[(String, String, String, i64, i64)]) {
    let told: Vec<(&str, &str, &str)> =
        rows.iter().map(|(tenant, topic, payload, _, _)| (tenant.as_str(), topic.as_str(), payload.as_str())).collect();
    assert_eq!(told, [("acme", "mail", "first"), ("other", "mail", "theirs")]);
    assert!(rows.iter().all(|(_, _, _, created_at, next)| *created_at > 1_600_000_000_000 && *next == 0), "{rows:?}");
}
