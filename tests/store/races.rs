//! Two at once: whatever the order was, afterwards there is one term a seq and no gap.

use super::*;

const ROUNDS: usize = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_and_a_taking_at_once_leave_one_term() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let key = key();
        let mut term = taken(store.as_ref(), &key, &life).await;
        let mut seq = 1;
        for round in 0..ROUNDS {
            let commits = [commit(&key, term, seq, 1)];
            let committing = tokio::spawn({
                let store = Arc::clone(&store);
                async move { store.commit(&commits, &[]).await }
            });
            let taken = store.take(&key, &life).await.unwrap();
            let written = committing.await.unwrap();
            assert!(written.is_ok() || is_fenced(&written), "{name} {round}: {written:?}");
            // It was written before the term was raised, and then the taker knows of it; or not at all.
            seq += u64::from(written.is_ok());
            assert_eq!((taken.term, taken.seq), (Term(term.0 + 1), Seq(seq)), "{name} {round}");
            term = taken.term;
        }
        let head = store.head(&key).await.unwrap();
        assert_eq!((head.term, head.seq), (term, Seq(seq)), "{name}");
        assert_eq!(seqs(store.as_ref(), &key).await, (1..=seq).collect::<Vec<u64>>(), "{name}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_nodes_that_take_at_once_one_has_it() {
    each(|name, store| async move {
        let a = store.boot("a", LEASE).await.unwrap();
        let b = store.boot("b", LEASE).await.unwrap();
        for round in 0..ROUNDS {
            let key = key();
            store.create(&key, &row(1, "first"), None).await.unwrap();
            let (one, two) = tokio::join!(store.take(&key, &a), store.take(&key, &b));
            let owner = store.head(&key).await.unwrap().owner;
            match (&one, &two) {
                (Ok(_), Err(StoreError::Owned(of))) => assert_eq!((of, &owner), (&a, &Some(a.clone())), "{name}"),
                (Err(StoreError::Owned(of)), Ok(_)) => assert_eq!((of, &owner), (&b, &Some(b.clone())), "{name}"),
                both => panic!("{name} {round}: {both:?}"),
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_commits_at_once_to_one_place_one_is_written() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let (one, two) = (key(), key());
        let term = taken(store.as_ref(), &one, &life).await;
        taken(store.as_ref(), &two, &life).await;
        for round in 0..ROUNDS {
            // In opposite orders, which would be a deadlock if the order were the caller's.
            let after = 1 + u64::try_from(round).unwrap();
            let forth = [commit(&one, term, after, 1), commit(&two, term, after, 1)];
            let back = [forth[1].clone(), forth[0].clone()];
            let (forth, back) = tokio::join!(store.commit(&forth, &[]), store.commit(&back, &[]));
            assert!(forth.is_ok() != back.is_ok(), "{name} {round}: {forth:?} {back:?}");
            assert!(is_fenced(&forth) || is_fenced(&back), "{name} {round}: {forth:?} {back:?}");
        }
        let all: Vec<u64> = (1..=1 + u64::try_from(ROUNDS).unwrap()).collect();
        assert_eq!((seqs(store.as_ref(), &one).await, seqs(store.as_ref(), &two).await), (all.clone(), all), "{name}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_that_make_a_meeting_at_once_one_does() {
    each(|name, store| async move {
        let key = key();
        let making = (0..8).map(|_| {
            let (store, key) = (Arc::clone(&store), key.clone());
            tokio::spawn(async move { store.create(&key, &row(1, "first"), None).await.unwrap() })
        });
        let mut made = 0;
        for making in making.collect::<Vec<_>>() {
            made += u32::from(making.await.unwrap());
        }
        assert_eq!((made, seqs(store.as_ref(), &key).await), (1, vec![1]), "{name}");
    })
    .await;
}
