//! What nodes tell each other in the database, and how far the logs that they follow go.

use super::*;
use convoke_actors::ports::Peer;

#[tokio::test]
async fn nodes_hear_of_those_that_live_and_how_much_they_serve() {
    each(|name, store| async move {
        let b = store.boot("b", LEASE).await.unwrap();
        let a = store.boot("a", LEASE).await.unwrap();
        let gone = store.boot("gone", LEASE).await.unwrap();
        store.report(&a, 7, false).await.unwrap();
        store.report(&b, 2, true).await.unwrap();
        store.retire(&gone).await.unwrap();
        let peer = |life: &NodeLife, meetings, is_draining| Peer { life: life.clone(), meetings, is_draining };
        assert_eq!(store.peers().await.unwrap(), [peer(&a, 7, false), peer(&b, 2, true)], "{name}");
        // A later life begins with nothing, and a word of the former one changes nothing.
        let again = store.boot("b", LEASE).await.unwrap();
        store.report(&b, 99, true).await.unwrap();
        assert_eq!(store.peers().await.unwrap(), [peer(&a, 7, false), peer(&again, 0, false)], "{name}");
    })
    .await;
}

#[tokio::test]
async fn the_heads_of_many_meetings_are_read_at_once() {
    each(|name, store| async move {
        let life = store.boot("a", LEASE).await.unwrap();
        let (one, other, unknown) = (key(), key(), key());
        let term = taken(store.as_ref(), &one, &life).await;
        store.commit(&[commit(&one, term, 1, 3)], &[]).await.unwrap();
        taken(store.as_ref(), &other, &life).await;
        store.take(&other, &life).await.unwrap();
        let mut heads = store.heads(&[one.clone(), unknown, other.clone()]).await.unwrap();
        heads.sort();
        let mut expected = [(one, Term(1), Seq(4)), (other, Term(2), Seq(1))];
        expected.sort();
        assert_eq!(heads, expected, "{name}");
        assert!(store.heads(&[]).await.unwrap().is_empty(), "{name}");
    })
    .await;
}
