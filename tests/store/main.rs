//! One contract, two stores: what the port promises, asked of SQLite and of PostgreSQL.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use convoke::adapters::store::{self, Opened};
use convoke_actors::ports::{Commit, EventRow, MeetingKey, NodeLife, Snapshot, Store, StoreError};
use convoke_domain::event::Cause;
use convoke_domain::{MeetingId, Seq, SessionId, TenantId, Term};
use std::time::Duration;
use uuid::Uuid;

const LEASE: Duration = Duration::from_secs(30);

fn row(seq: u64, text: &str) -> EventRow {
    EventRow {
        seq: Seq(seq),
        at: 1_000 + seq,
        kind: "chat.posted".into(),
        version: 1,
        audience: "\"everyone\"".into(),
        cause: Some(Cause { session: SessionId(Uuid::from_u128(7)), id: seq }),
        data: format!("{{\"text\":\"{text}\"}}").into(),
    }
}

fn key() -> MeetingKey {
    MeetingKey { tenant: TenantId("acme".into()), meeting: MeetingId(Uuid::now_v7()) }
}

fn commit(key: &MeetingKey, term: Term, after: u64, events: u64) -> Commit {
    Commit {
        key: key.clone(),
        term,
        after: Seq(after),
        events: (1..=events).map(|n| row(after + n, "x")).collect(),
        wake_at: None,
        outbox: Vec::new(),
    }
}

async fn stores() -> Vec<(&'static str, Opened)> {
    let mut all = vec![("memory", store::open("sqlite::memory:").await.unwrap())];
    let folder = std::env::temp_dir().join(format!("convoke-store-{}", Uuid::now_v7()));
    all.push(("file", store::open(&format!("sqlite://{}/a.db", folder.display())).await.unwrap()));
    match std::env::var("CONVOKE_TEST_POSTGRES_URL") {
        Ok(url) => {
            use sqlx::Connection;
            let name = format!("store_{}", Uuid::now_v7().simple());
            let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
            sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&mut connection).await.unwrap();
            let url = format!("{}/{name}", url.rsplit_once('/').unwrap().0);
            all.push(("postgres", store::open(&url).await.unwrap()));
        }
        Err(_) => println!("SKIPPED for PostgreSQL: CONVOKE_TEST_POSTGRES_URL is not set"),
    }
    for (_, opened) in &all {
        opened.db.migrate().await.unwrap();
    }
    all
}

async fn taken(store: &dyn Store, key: &MeetingKey, life: &NodeLife) -> Term {
    assert!(store.create(key, &row(1, "first"), None).await.unwrap());
    store.take(key, life).await.unwrap().term
}

#[tokio::test]
async fn a_meeting_is_made_once_and_each_taking_raises_its_term() {
    for (name, opened) in stores().await {
        let store = opened.store;
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        assert_eq!(taken(store.as_ref(), &key, &life).await, Term(1), "{name}");
        assert!(!store.create(&key, &row(1, "again"), None).await.unwrap(), "{name}");
        let again = store.take(&key, &life).await.unwrap();
        assert_eq!((again.term, again.seq, again.was_owned), (Term(2), Seq(1), true), "{name}");
        store.release(&key, Term(2)).await.unwrap();
        assert!(!store.take(&key, &life).await.unwrap().was_owned, "{name}");
        let unknown = MeetingKey { tenant: TenantId("other".into()), ..key.clone() };
        assert!(matches!(store.take(&unknown, &life).await, Err(StoreError::NotFound)), "{name}");
        assert!(store.events(&unknown, Seq(0), 10).await.unwrap().is_empty(), "{name}");
    }
}

#[tokio::test]
async fn an_old_term_and_a_wrong_place_are_fenced_and_nothing_of_the_transaction_stays() {
    for (name, opened) in stores().await {
        let store = opened.store;
        let life = store.boot("a", LEASE).await.unwrap();
        let (one, two) = (key(), key());
        let term = taken(store.as_ref(), &one, &life).await;
        let old = taken(store.as_ref(), &two, &life).await;
        store.take(&two, &life).await.unwrap();
        let shared = [commit(&one, term, 1, 3), commit(&two, old, 1, 1)];
        assert!(matches!(store.commit(&shared).await, Err(StoreError::Fenced)), "{name}");
        assert!(matches!(store.commit(&[commit(&one, term, 5, 1)]).await, Err(StoreError::Fenced)), "{name}");
        assert_eq!(store.head(&one).await.unwrap().seq, Seq(1), "{name}");
        assert_eq!(store.events(&one, Seq(0), 10).await.unwrap().len(), 1, "{name}");
        store.commit(&[commit(&one, term, 1, 250)]).await.unwrap();
        let rows = store.events(&one, Seq(200), 1_000).await.unwrap();
        assert_eq!((rows.len(), rows[0].seq, rows[0].cause.unwrap().id), (51, Seq(201), 201), "{name}");
    }
}

#[tokio::test]
async fn a_living_owner_keeps_its_meeting_and_a_dead_one_loses_it() {
    for (name, opened) in stores().await {
        let store = opened.store;
        let key = key();
        let a = store.boot("a", LEASE).await.unwrap();
        let b = store.boot("b", LEASE).await.unwrap();
        taken(store.as_ref(), &key, &a).await;
        assert!(matches!(store.take(&key, &b).await, Err(StoreError::Owned(_))), "{name}");
        let due = || async { store.due(u64::MAX >> 1, 100).await.unwrap().contains(&key) };
        let mut waking = commit(&key, Term(1), 1, 1);
        waking.wake_at = Some(5);
        store.commit(&[waking]).await.unwrap();
        assert!(!due().await, "{name}: its owner lives");
        store.retire(&a).await.unwrap();
        assert!(due().await, "{name}");
        assert!(!store.renew(&a, LEASE).await.unwrap(), "{name}: a lease that ran out is not renewed");
        assert!(store.take(&key, &b).await.unwrap().was_owned, "{name}");
        assert!(!due().await, "{name}");
        let a2 = store.boot("a", LEASE).await.unwrap();
        assert!(a2.epoch > a.epoch, "{name}");
    }
}

#[tokio::test]
async fn snapshots_are_replaced_and_fenced_and_words_are_overwritten() {
    for (name, opened) in stores().await {
        let store = opened.store;
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(store.as_ref(), &key, &life).await;
        store.commit(&[commit(&key, term, 1, 3)]).await.unwrap();
        let snapshot = |seq| Snapshot { seq: Seq(seq), version: 1, state: format!("state {seq}") };
        store.save_snapshot(&key, term, &snapshot(2)).await.unwrap();
        store.save_snapshot(&key, term, &snapshot(3)).await.unwrap();
        assert_eq!(store.snapshot(&key).await.unwrap(), Some(snapshot(3)), "{name}");
        assert!(matches!(store.save_snapshot(&key, Term(99), &snapshot(4)).await, Err(StoreError::Fenced)), "{name}");
        store.overwrite(&key, &[row(2, "")], Seq(4)).await.unwrap();
        assert_eq!(&*store.events(&key, Seq(1), 1).await.unwrap()[0].data, "{\"text\":\"\"}", "{name}");
        assert_eq!(store.snapshot(&key).await.unwrap(), None, "{name}: it held the words");
    }
}

#[tokio::test]
async fn deaths_are_counted_and_failures_marked() {
    for (name, opened) in stores().await {
        let store = opened.store;
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        taken(store.as_ref(), &key, &life).await;
        let cause = Cause { session: SessionId(Uuid::now_v7()), id: 4 };
        assert_eq!(store.count_death(&key, cause).await.unwrap(), 1, "{name}");
        assert_eq!(store.count_death(&key, cause).await.unwrap(), 2, "{name}");
        assert_eq!(store.deaths(&key).await.unwrap(), [(cause, 2)], "{name}");
        store.mark_failed(&key, Some("why")).await.unwrap();
        assert_eq!(store.take(&key, &life).await.unwrap().failed.as_deref(), Some("why"), "{name}");
    }
}

#[tokio::test]
async fn a_second_process_is_kept_out_of_a_sqlite_file() {
    let folder = std::env::temp_dir().join(format!("convoke-lock-{}", Uuid::now_v7()));
    let url = format!("sqlite://{}/a.db", folder.display());
    let first = store::open(&url).await.unwrap();
    let error = store::open(&url).await.err().unwrap().to_string();
    assert!(error.contains("another process uses"), "{error}");
    drop(first);
}
