//! Two at once: takings, drawing, compaction, copies.

use super::*;
use sqlx::PgPool;

const ROUNDS: u64 = 40;

#[tokio::test(flavor = "multi_thread")]
async fn a_drawing_and_a_taking_at_once_leave_one_term() {
    each(async |name, opened| {
        let mut it = Drawing::new(opened).await;
        let mut number = 0;
        for round in 0..ROUNDS {
            let draws = [it.drawn(it.board, number, &["a"])];
            let drawing = tokio::spawn({
                let store = Arc::clone(&it.opened.store);
                async move { store.commit(&[], &draws).await }
            });
            it.term = it.store().take(&it.key, &it.life).await.unwrap().term;
            // Whatever was drawn under the old term is there by now, or never.
            let seen = it.log(it.board).await.head();
            let drawn = drawing.await.unwrap();
            assert!(drawn.is_ok() || is_fenced(&drawn), "{name} {round}: {drawn:?}");
            number += u64::from(drawn.is_ok());
            assert_eq!((seen, it.log(it.board).await.head()), (number, number), "{name} {round}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_drawn_is_lost_to_compaction_or_copies_meanwhile() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let state = |upto: u64| vec![b'x'; usize::try_from(upto).unwrap()];
        let copies: Vec<WhiteboardId> = (0..4).map(|_| new_board()).collect();
        let drawing = async {
            for number in 0..ROUNDS * 3 {
                it.draw(it.board, number, &["x"]).await.unwrap();
            }
        };
        let compacting = async {
            for _ in 0..ROUNDS {
                let upto = it.log(it.board).await.head();
                it.store().compact_board(&it.key, it.term, it.board, upto, &state(upto)).await.unwrap();
            }
        };
        let copying = async {
            for board in &copies {
                it.change(&[BoardChange::Create { board: *board, copy_of: Some(it.board) }]).await;
                let copy = it.log(*board).await;
                assert_eq!(copy.head(), u64::try_from(copy.bytes()).unwrap(), "{name}: what it holds is of one moment");
            }
        };
        tokio::join!(drawing, compacting, copying);
        let whole = it.log(it.board).await;
        assert_eq!((whole.head(), whole.bytes()), (ROUNDS * 3, usize::try_from(ROUNDS * 3).unwrap()), "{name}");
        // The copies may share states that the board itself has left behind; none is left over in the end.
        it.change(&copies.iter().map(|board| BoardChange::Delete { board: *board }).collect::<Vec<_>>()).await;
        it.change(&[BoardChange::Delete { board: it.board }]).await;
        assert_eq!(it.rows().await, [0; 4], "{name}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_several_let_go_at_once_is_gone() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        for round in 0..ROUNDS / 2 {
            let board = new_board();
            it.change(&[BoardChange::Create { board, copy_of: None }]).await;
            it.draw(board, 0, &["a", "b"]).await.unwrap();
            it.compact(board, 1, "A").await.unwrap();
            let (second, third) = (new_board(), new_board());
            let copy = |new| BoardChange::Create { board: new, copy_of: Some(board) };
            it.change(&[copy(second), copy(third)]).await;
            let deleting = [it.changing(&[BoardChange::Delete { board: third }]).await];
            let (one, two, three) = tokio::join!(
                it.compact(board, 2, "AB"),
                it.compact(second, 2, "AB"),
                it.store().commit(&deleting, &[])
            );
            assert!(one.is_ok() && two.is_ok() && three.is_ok(), "{name} {round}: {one:?} {two:?} {three:?}");
            let [_, updates, states, _] = it.rows().await;
            assert_eq!((updates, states), (0, 2), "{name} {round}");
            it.change(&[board, second].map(|board| BoardChange::Delete { board })).await;
            assert_eq!(it.rows().await, [1, 0, 0, 0], "{name} {round}");
        }
    })
    .await;
}

fn pool(it: &Drawing) -> PgPool {
    let Db::Postgres(pool) = &it.opened.db else { panic!("it is PostgreSQL") };
    pool.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taking_waits_for_what_is_drawn_under_the_old_term() {
    let Some(database) = Database::new().await else { return };
    let it = Drawing::new(ready(&database.url()).await).await;
    // Holds up the drawing behind its look at the term.
    let mut obstacle = pool(&it).begin().await.unwrap();
    sqlx::query("SELECT 1 FROM whiteboard_heads FOR UPDATE").execute(&mut *obstacle).await.unwrap();
    let drawing = tokio::spawn({
        let (store, draws) = (Arc::clone(&it.opened.store), it.drawn(it.board, 0, &["a"]));
        async move { store.commit(&[], &[draws]).await }
    });
    crate::postgres::waiting(&pool(&it), 1).await;
    let taking = tokio::spawn({
        let (store, key, life) = (Arc::clone(&it.opened.store), it.key.clone(), it.life.clone());
        async move { store.take(&key, &life).await.unwrap() }
    });
    crate::postgres::waiting(&pool(&it), 2).await;
    obstacle.rollback().await.unwrap();
    drawing.await.unwrap().unwrap();
    let taken = taking.await.unwrap();
    assert_eq!(taken.term, Term(it.term.0 + 1));
    assert_eq!(it.log(it.board).await, log(None, &["a"]));
    assert!(is_fenced(&it.draw(it.board, 1, &["b"]).await));
    database.drop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_drawn_waits_for_no_commit_and_no_snapshot_of_its_meeting() {
    let Some(database) = Database::new().await else { return };
    let it = Drawing::new(ready(&database.url()).await).await;
    let mut obstacle = pool(&it).begin().await.unwrap();
    // As a commit of several meetings, or a snapshot, holds the head, and as a commit writes it.
    sqlx::query("SELECT 1 FROM meeting_heads FOR NO KEY UPDATE").execute(&mut *obstacle).await.unwrap();
    sqlx::query("UPDATE meeting_heads SET seq = seq + 1").execute(&mut *obstacle).await.unwrap();
    it.draw(it.board, 0, &["a"]).await.unwrap();
    it.compact(it.board, 1, "A").await.unwrap();
    obstacle.rollback().await.unwrap();
    // And the other way round.
    let mut obstacle = pool(&it).begin().await.unwrap();
    sqlx::query("SELECT 1 FROM meeting_heads FOR KEY SHARE").execute(&mut *obstacle).await.unwrap();
    let other = key();
    let term = taken(it.store(), &other, &it.life).await;
    let both = [it.changing(&[]).await, commit(&other, term, 1, 1)];
    it.store().commit(&both, &[]).await.unwrap();
    obstacle.rollback().await.unwrap();
    database.drop().await;
}
