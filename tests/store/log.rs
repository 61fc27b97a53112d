//! What is written, and what is read again: events, heads, snapshots, erasure.

use super::*;
use convoke_actors::ports::{OutboxRow, Snapshot};

#[tokio::test]
async fn a_meeting_is_made_once() {
    each(|name, store| async move {
        let key = key();
        let first = EventRow { cause: Some(cause(9)), ..row(1, "first") };
        assert!(store.create(&key, &first, Some(77)).await.unwrap(), "{name}");
        assert!(!store.create(&key, &row(1, "again"), None).await.unwrap(), "{name}");
        let head = store.head(&key).await.unwrap();
        assert_eq!((head.term, head.seq, head.wake_at, head.owner), (Term(0), Seq(1), Some(77), None), "{name}");
        assert_eq!(store.events(&key, Seq(0), 10).await.unwrap(), [first], "{name}");
    })
    .await;
}

#[tokio::test]
async fn events_come_back_as_they_were_written_in_pages() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(store.as_ref(), &key, &life).await;
        let written = commit(&key, term, 1, 250);
        store.commit(std::slice::from_ref(&written), &[]).await.unwrap();
        let mut read = Vec::new();
        let mut after = Seq(1);
        loop {
            let page = store.events(&key, after, 100).await.unwrap();
            assert!(page.len() <= 100, "{name}");
            let Some(last) = page.last() else { break };
            after = last.seq;
            read.extend(page);
        }
        assert_eq!(read, written.events, "{name}");
        assert_eq!(store.head(&key).await.unwrap().seq, Seq(251), "{name}");
    })
    .await;
}

#[tokio::test]
async fn one_transaction_carries_many_meetings() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let mut commits = Vec::new();
        for n in 0..130 {
            let key = key();
            let term = taken(store.as_ref(), &key, &life).await;
            // Some have no events at all, only another time to wake at.
            let wake_at = (n % 3 == 0).then_some(500 + n);
            commits.push(Commit { wake_at, ..commit(&key, term, 1, n % 4) });
        }
        store.commit(&commits, &[]).await.unwrap();
        for commit in &commits {
            let head = store.head(&commit.key).await.unwrap();
            assert_eq!((head.seq, head.wake_at), (commit.reaches(), commit.wake_at), "{name}");
            assert_eq!(store.events(&commit.key, Seq(1), 10).await.unwrap(), commit.events, "{name}");
        }
    })
    .await;
}

#[tokio::test]
async fn an_old_term_is_fenced_and_nothing_of_its_transaction_stays() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let (good, bad) = (key(), key());
        let term = taken(store.as_ref(), &good, &life).await;
        let old = taken(store.as_ref(), &bad, &life).await;
        store.take(&bad, &life).await.unwrap();
        let outbox = vec![OutboxRow { topic: "mail".into(), idempotency_key: "k".into(), payload: "{}".into() }];
        let fine = Commit { outbox, wake_at: Some(5), ..commit(&good, term, 1, 3) };
        let shared = [fine.clone(), commit(&bad, old, 1, 1)];
        assert!(is_fenced(&store.commit(&shared, &[]).await), "{name}");
        assert!(is_fenced(&store.commit(&shared[1..], &[]).await), "{name}");
        let head = store.head(&good).await.unwrap();
        assert_eq!((head.seq, head.wake_at), (Seq(1), None), "{name}");
        assert_eq!((seqs(store.as_ref(), &good).await, seqs(store.as_ref(), &bad).await), (vec![1], vec![1]), "{name}");
        // What was good alone is good afterwards.
        store.commit(&[fine], &[]).await.unwrap();
        assert_eq!(seqs(store.as_ref(), &good).await, [1, 2, 3, 4], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_wrong_place_and_a_future_term_are_fenced() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(store.as_ref(), &key, &life).await;
        store.commit(&[commit(&key, term, 1, 2)], &[]).await.unwrap();
        for (term, after) in [(term, 1), (term, 2), (term, 4), (Term(term.0 + 1), 3)] {
            assert!(is_fenced(&store.commit(&[commit(&key, term, after, 1)], &[]).await), "{name}: {term:?} {after}");
        }
        assert_eq!(seqs(store.as_ref(), &key).await, [1, 2, 3], "{name}");
    })
    .await;
}

#[tokio::test]
async fn another_tenant_sees_nothing_and_changes_nothing() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(store.as_ref(), &key, &life).await;
        store.commit(&[commit(&key, term, 1, 1)], &[]).await.unwrap();
        let snapshot = Snapshot { seq: Seq(2), version: 1, state: "{}".into() };
        store.save_snapshot(&key, term, &snapshot).await.unwrap();
        store.count_death(&key, cause(1)).await.unwrap();
        let other = MeetingKey { tenant: TenantId("other".into()), ..key.clone() };
        assert!(matches!(store.head(&other).await, Err(StoreError::NotFound)), "{name}");
        assert!(matches!(store.take(&other, &life).await, Err(StoreError::NotFound)), "{name}");
        assert!(store.events(&other, Seq(0), 10).await.unwrap().is_empty(), "{name}");
        assert_eq!(store.snapshot(&other).await.unwrap(), None, "{name}");
        assert!(store.deaths(&other).await.unwrap().is_empty(), "{name}");
        assert!(is_fenced(&store.commit(&[commit(&other, term, 2, 1)], &[]).await), "{name}");
        assert!(is_fenced(&store.release(&other, term).await), "{name}");
        assert!(is_fenced(&store.save_snapshot(&other, term, &snapshot).await), "{name}");
        store.overwrite(&other, &[row(2, "gone")], Seq(9)).await.unwrap();
        store.mark_failed(&other, Some("why")).await.unwrap();
        assert_eq!(store.events(&key, Seq(1), 1).await.unwrap(), [row(2, "words")], "{name}");
        assert_eq!(store.snapshot(&key).await.unwrap(), Some(snapshot), "{name}");
        assert_eq!(store.head(&key).await.unwrap().failed, None, "{name}");
        // The same id is free for another tenant, and is another meeting.
        assert!(store.create(&other, &row(1, "theirs"), None).await.unwrap(), "{name}");
        assert_eq!(seqs(store.as_ref(), &key).await, [1, 2], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_takes_the_place_of_the_older_one_and_is_fenced() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(store.as_ref(), &key, &life).await;
        store.commit(&[commit(&key, term, 1, 3)], &[]).await.unwrap();
        let snapshot = |seq| Snapshot { seq: Seq(seq), version: 2, state: format!("{{ \"seq\": {seq} }}") };
        assert_eq!(store.snapshot(&key).await.unwrap(), None, "{name}");
        store.save_snapshot(&key, term, &snapshot(2)).await.unwrap();
        store.save_snapshot(&key, term, &snapshot(3)).await.unwrap();
        // One that was on its way for long does not take its place.
        store.save_snapshot(&key, term, &snapshot(2)).await.unwrap();
        assert_eq!(store.snapshot(&key).await.unwrap(), Some(snapshot(3)), "{name}");
        store.take(&key, &life).await.unwrap();
        assert!(is_fenced(&store.save_snapshot(&key, term, &snapshot(4)).await), "{name}");
        assert_eq!(store.snapshot(&key).await.unwrap(), Some(snapshot(3)), "{name}");
    })
    .await;
}

#[tokio::test]
async fn erasure_overwrites_words_and_causes_and_nothing_else() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(store.as_ref(), &key, &life).await;
        store.commit(&[commit(&key, term, 1, 3)], &[]).await.unwrap();
        let snapshot = Snapshot { seq: Seq(3), version: 1, state: "it holds the words".into() };
        store.save_snapshot(&key, term, &snapshot).await.unwrap();
        let erased = EventRow { at: 1, kind: "other".into(), version: 9, ..row(2, "") };
        // A snapshot that is as new as the erasure was made without the words.
        store.overwrite(&key, std::slice::from_ref(&erased), Seq(3)).await.unwrap();
        assert_eq!(store.snapshot(&key).await.unwrap(), Some(snapshot), "{name}");
        store.overwrite(&key, &[erased], Seq(4)).await.unwrap();
        assert_eq!(store.snapshot(&key).await.unwrap(), None, "{name}");
        let covered = [EventRow { cause: None, ..row(4, "") }, EventRow { cause: Some(cause(9)), ..row(3, "words") }];
        store.overwrite(&key, &covered, Seq(4)).await.unwrap();
        let [gone, other] = covered;
        let expected = [row(1, "first"), row(2, ""), other, gone];
        assert_eq!(store.events(&key, Seq(0), 10).await.unwrap(), expected, "{name}");
        assert_eq!(store.head(&key).await.unwrap().seq, Seq(4), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_of_before_an_erasure_is_not_kept_after_it() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let (key, other) = (key(), key());
        let term = taken(store.as_ref(), &key, &life).await;
        let others = taken(store.as_ref(), &other, &life).await;
        store.commit(&[commit(&key, term, 1, 5)], &[]).await.unwrap();
        let snapshot = |seq| Snapshot { seq: Seq(seq), version: 1, state: format!("as of {seq}") };
        store.overwrite(&key, &[], Seq(4)).await.unwrap();
        // One that reaches less far takes nothing back.
        store.overwrite(&key, &[], Seq(2)).await.unwrap();
        store.save_snapshot(&key, term, &snapshot(3)).await.unwrap();
        assert_eq!(store.snapshot(&key).await.unwrap(), None, "{name}");
        store.save_snapshot(&key, term, &snapshot(4)).await.unwrap();
        assert_eq!(store.snapshot(&key).await.unwrap(), Some(snapshot(4)), "{name}");
        store.save_snapshot(&other, others, &snapshot(1)).await.unwrap();
        assert_eq!(store.snapshot(&other).await.unwrap(), Some(snapshot(1)), "{name}");
    })
    .await;
}

#[tokio::test]
async fn deaths_are_counted_a_command_across_lives() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        taken(store.as_ref(), &key, &life).await;
        assert_eq!(store.count_death(&key, cause(4)).await.unwrap(), 1, "{name}");
        let life = store.boot("a", LEASE).await.unwrap();
        store.take(&key, &life).await.unwrap();
        assert_eq!(store.count_death(&key, cause(4)).await.unwrap(), 2, "{name}");
        assert_eq!(store.count_death(&key, cause(5)).await.unwrap(), 1, "{name}");
        let mut deaths = store.deaths(&key).await.unwrap();
        deaths.sort_by_key(|(cause, _)| cause.id);
        assert_eq!(deaths, [(cause(4), 2), (cause(5), 1)], "{name}");
    })
    .await;
}
