//! Who may have a meeting: terms, leases, lives, and what the sweeper is told.

use super::*;

#[tokio::test]
async fn each_taking_raises_the_term_and_says_what_was_before() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        store.create(&key, &row(1, "first"), None).await.unwrap();
        let first = store.take(&key, &life).await.unwrap();
        assert_eq!((first.term, first.seq, first.was_owned), (Term(1), Seq(1), false), "{name}");
        // Its own node may always take it again: the actor that had it is gone.
        let again = store.take(&key, &life).await.unwrap();
        assert_eq!((again.term, again.was_owned), (Term(2), true), "{name}");
        assert_eq!(store.head(&key).await.unwrap().owner, Some(life.clone()), "{name}");
        assert!(is_fenced(&store.release(&key, Term(1)).await), "{name}");
        store.release(&key, Term(2)).await.unwrap();
        assert_eq!(store.head(&key).await.unwrap().owner, None, "{name}");
        let third = store.take(&key, &life).await.unwrap();
        assert_eq!((third.term, third.was_owned), (Term(3), false), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_living_owner_keeps_its_meeting_and_a_retired_one_loses_it() {
    each(|name, store| async move {
        let a = store.boot("a", LEASE).await.unwrap();
        let b = store.boot("b", LEASE).await.unwrap();
        let key = key();
        taken(store.as_ref(), &key, &a).await;
        let refused = store.take(&key, &b).await;
        assert!(matches!(&refused, Err(StoreError::Owned(owner)) if *owner == a), "{name}: {refused:?}");
        assert_eq!(store.head(&key).await.unwrap().term, Term(1), "{name}");
        store.retire(&a).await.unwrap();
        let taken = store.take(&key, &b).await.unwrap();
        assert_eq!((taken.term, taken.was_owned), (Term(2), true), "{name}");
        assert!(matches!(store.take(&key, &a).await, Err(StoreError::Owned(_))), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_lease_runs_out_by_the_databases_clock() {
    each(|name, store| async move {
        let lease = Duration::from_millis(50);
        let a = store.boot("a", lease).await.unwrap();
        let b = store.boot("b", LEASE).await.unwrap();
        let key = key();
        taken(store.as_ref(), &key, &a).await;
        assert!(!store.renew(&NodeLife { node: "nobody".into(), epoch: 1 }, LEASE).await.unwrap(), "{name}");
        let over = store.now().await.unwrap() + 50;
        while store.now().await.unwrap() < over {}
        assert!(!store.renew(&a, LEASE).await.unwrap(), "{name}: what ran out is not renewed");
        assert!(store.take(&key, &b).await.unwrap().was_owned, "{name}");
        assert!(store.renew(&b, LEASE).await.unwrap(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_new_life_is_the_end_of_the_older_one() {
    each(|name, store| async move {
        let old = store.boot("a", LEASE).await.unwrap();
        let b = store.boot("b", LEASE).await.unwrap();
        let (one, two) = (key(), key());
        taken(store.as_ref(), &one, &old).await;
        taken(store.as_ref(), &two, &old).await;
        let new = store.boot("a", LEASE).await.unwrap();
        assert!(new.epoch > old.epoch, "{name}");
        assert!(!store.renew(&old, LEASE).await.unwrap(), "{name}");
        // The older life's meetings are free for the new one and for others alike.
        assert!(store.take(&one, &new).await.unwrap().was_owned, "{name}");
        assert!(store.take(&two, &b).await.unwrap().was_owned, "{name}");
        // What the new life has, the older one cannot take back, nor end the new one's lease.
        assert!(matches!(store.take(&one, &old).await, Err(StoreError::Owned(_))), "{name}");
        store.retire(&old).await.unwrap();
        assert!(matches!(store.take(&one, &b).await, Err(StoreError::Owned(_))), "{name}");
        assert!(store.renew(&new, LEASE).await.unwrap(), "{name}");
    })
    .await;
}

#[tokio::test]
async fn due_are_meetings_whose_time_has_come_and_whose_owner_is_dead() {
    each(|name, store| async move {
        let living = store.boot("living", LEASE).await.unwrap();
        let dead = store.boot("dead", LEASE).await.unwrap();
        let restarted = store.boot("restarted", LEASE).await.unwrap();
        let make = async |life: Option<&NodeLife>, wake_at: Option<u64>| {
            let key = key();
            store.create(&key, &row(1, "first"), wake_at).await.unwrap();
            if let Some(life) = life {
                store.take(&key, life).await.unwrap();
            }
            key
        };
        let of_nobody = make(None, Some(30)).await;
        let of_dead = make(Some(&dead), Some(10)).await;
        let of_older_life = make(Some(&restarted), Some(20)).await;
        make(Some(&living), Some(10)).await;
        let later = make(None, Some(101)).await;
        make(None, None).await;
        let failed = make(None, Some(10)).await;
        store.mark_failed(&failed, Some("why")).await.unwrap();
        store.retire(&dead).await.unwrap();
        store.boot("restarted", LEASE).await.unwrap();

        let expected = [of_dead.clone(), of_older_life, of_nobody];
        assert_eq!(store.due(100, 10).await.unwrap(), expected, "{name}");
        assert_eq!(store.due(100, 1).await.unwrap(), expected[..1], "{name}");
        assert_eq!(store.due(9, 10).await.unwrap(), [], "{name}");
        assert_eq!(store.due(101, 10).await.unwrap().last(), Some(&later), "{name}");
        // A commit says when next; a mark that is cleared lets it be woken again.
        let term = store.take(&of_dead, &living).await.unwrap().term;
        store.commit(&[commit(&of_dead, term, 1, 1)], &[]).await.unwrap();
        store.release(&of_dead, term).await.unwrap();
        store.mark_failed(&failed, None).await.unwrap();
        assert_eq!(store.due(15, 10).await.unwrap(), [failed], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_failure_is_told_to_whoever_takes_the_meeting() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        taken(store.as_ref(), &key, &life).await;
        store.mark_failed(&key, Some("event 3 cannot be read")).await.unwrap();
        let failed = Some("event 3 cannot be read".to_owned());
        assert_eq!(store.head(&key).await.unwrap().failed, failed, "{name}");
        assert_eq!(store.take(&key, &life).await.unwrap().failed, failed, "{name}");
        store.mark_failed(&key, None).await.unwrap();
        assert_eq!(store.take(&key, &life).await.unwrap().failed, None, "{name}");
    })
    .await;
}
