//! Boards that begin as copies of others, and boards that are deleted.

use super::*;

#[tokio::test]
async fn a_copy_shares_what_is_there_and_neither_sees_what_the_other_draws() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b", "c"]).await.unwrap();
        it.compact(it.board, 2, "AB").await.unwrap();
        let copy = it.copy().await;
        assert_eq!(it.log(copy).await, log(Some((2, "AB")), &["c"]), "{name}");
        assert_eq!(it.rows().await, [2, 1, 1, 0], "{name}: the state is there once, and so is the rest");
        it.draw(it.board, 3, &["mine"]).await.unwrap();
        it.draw(copy, 3, &["theirs", "too"]).await.unwrap();
        assert_eq!(it.log(it.board).await, log(Some((2, "AB")), &["c", "mine"]), "{name}");
        assert_eq!(it.log(copy).await, log(Some((2, "AB")), &["c", "theirs", "too"]), "{name}");
        // Each goes its way; the state that both began with goes with the last of them.
        it.compact(copy, 4, "ABCT").await.unwrap();
        assert_eq!(it.log(it.board).await, log(Some((2, "AB")), &["c", "mine"]), "{name}");
        assert_eq!(it.log(copy).await, log(Some((4, "ABCT")), &["too"]), "{name}");
        assert_eq!(it.rows().await, [2, 3, 2, 0], "{name}");
        it.compact(it.board, 4, "ABCM").await.unwrap();
        assert_eq!(it.rows().await, [2, 1, 2, 0], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_copy_of_a_board_without_a_state_or_without_a_log_is_whole() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b"]).await.unwrap();
        let (copy, of_copy, of_nothing) = (new_board(), new_board(), new_board());
        let changes = [
            BoardChange::Create { board: copy, copy_of: Some(it.board) },
            BoardChange::Create { board: of_copy, copy_of: Some(copy) },
            BoardChange::Create { board: of_nothing, copy_of: Some(new_board()) },
        ];
        // What is drawn in the same transaction is in the copy.
        let commit = it.changing(&changes).await;
        it.store().commit(&[commit], &[it.drawn(it.board, 2, &["c"])]).await.unwrap();
        for board in [it.board, copy, of_copy] {
            assert_eq!(it.log(board).await, log(None, &["a", "b", "c"]), "{name}");
        }
        assert_eq!(it.log(of_nothing).await, BoardLog::default(), "{name}");
        it.draw(of_nothing, 0, &["z"]).await.unwrap();
        it.draw(of_copy, 3, &["d"]).await.unwrap();
        assert_eq!(it.log(of_copy).await, log(None, &["a", "b", "c", "d"]), "{name}");
    })
    .await;
}

/// A board that much was drawn on was written once more for each room it was copied into.
#[tokio::test]
async fn many_copies_share_what_was_drawn() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b", "c", "d"]).await.unwrap();
        it.compact(it.board, 1, "A").await.unwrap();
        let copies: Vec<WhiteboardId> = (0..100).map(|_| new_board()).collect();
        let copy = |board: &WhiteboardId| BoardChange::Create { board: *board, copy_of: Some(it.board) };
        it.change(&copies.iter().map(copy).collect::<Vec<_>>()).await;
        assert_eq!(it.rows().await, [101, 3, 1, 0], "{name}");
        for board in copies.iter().chain([&it.board]) {
            assert_eq!(it.log(*board).await, log(Some((1, "A")), &["b", "c", "d"]), "{name}");
        }
        // Each goes its way.
        let [one, two, third] = copies[..3] else { panic!("there are more") };
        it.draw(one, 4, &["one"]).await.unwrap();
        it.draw(two, 4, &["two"]).await.unwrap();
        it.draw(it.board, 4, &["mine"]).await.unwrap();
        it.compact(one, 3, "ABC").await.unwrap();
        assert_eq!(it.log(one).await, log(Some((3, "ABC")), &["d", "one"]), "{name}: in the midst of them");
        it.compact(two, 5, "ABCDT").await.unwrap();
        assert_eq!(it.log(two).await, log(Some((5, "ABCDT")), &[]), "{name}");
        assert_eq!(it.log(it.board).await, log(Some((1, "A")), &["b", "c", "d", "mine"]), "{name}");
        // A copy of what goes on behind something shared, and a copy of that.
        let (of_one, again) = (new_board(), new_board());
        let create = |board, source| BoardChange::Create { board, copy_of: Some(source) };
        it.change(&[create(of_one, one), create(again, of_one)]).await;
        it.draw(one, 5, &["1"]).await.unwrap();
        it.draw(again, 5, &["2"]).await.unwrap();
        assert_eq!(it.log(of_one).await, log(Some((3, "ABC")), &["d", "one"]), "{name}");
        assert_eq!(it.log(one).await, log(Some((3, "ABC")), &["d", "one", "1"]), "{name}");
        assert_eq!(it.log(again).await, log(Some((3, "ABC")), &["d", "one", "2"]), "{name}");
        assert_eq!(it.log(third).await, log(Some((1, "A")), &["b", "c", "d"]), "{name}");
        let all = copies.iter().chain([&it.board, &of_one, &again]);
        let (most, last): (Vec<WhiteboardId>, Vec<WhiteboardId>) = all.partition(|board| **board != third);
        let delete = |board: WhiteboardId| BoardChange::Delete { board };
        it.change(&most.into_iter().map(delete).collect::<Vec<_>>()).await;
        assert_eq!(it.rows().await, [1, 3, 1, 0], "{name}");
        it.change(&last.into_iter().map(delete).collect::<Vec<_>>()).await;
        assert_eq!(it.rows().await, [0; 4], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_board_that_is_deleted_leaves_nothing_but_what_others_share() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b", "c"]).await.unwrap();
        it.compact(it.board, 2, "AB").await.unwrap();
        for n in 1..4 {
            let snapshot = kept::snapshot("kept", n);
            it.store().keep_board(&it.key, it.term, it.board, &snapshot, (9, b"A"), 9).await.unwrap();
        }
        let copy = it.copy().await;
        assert_eq!(it.rows().await, [2, 1, 4, 3], "{name}");
        // What is drawn in the same transaction goes with it.
        let deleting = it.changing(&[BoardChange::Delete { board: it.board }]).await;
        it.store().commit(&[deleting], &[it.drawn(it.board, 3, &["d"])]).await.unwrap();
        assert!(it.is_gone(it.board).await, "{name}");
        assert_eq!(it.log(copy).await, log(Some((2, "AB")), &["c"]), "{name}");
        assert_eq!(it.rows().await, [1, 1, 1, 0], "{name}");
        assert!(is_fenced(&it.draw(it.board, 4, &["e"]).await), "{name}");
        assert!(matches!(it.compact(it.board, 3, "ABC").await, Err(StoreError::NotFound)), "{name}");
        // Twice, with one that was made and deleted in one turn.
        let brief = new_board();
        let create = BoardChange::Create { board: brief, copy_of: Some(copy) };
        let [once, twice, gone] = [copy, copy, brief].map(|board| BoardChange::Delete { board });
        it.change(&[create, once, twice, gone]).await;
        assert_eq!(it.rows().await, [0; 4], "{name}");
    })
    .await;
}

#[tokio::test]
async fn nothing_is_changed_for_events_that_are_fenced() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a"]).await.unwrap();
        let board = new_board();
        let changing = commit(&it.key, it.term, it.store().head(&it.key).await.unwrap().seq.0 + 1, 1);
        for change in [BoardChange::Create { board, copy_of: None }, BoardChange::Delete { board: it.board }] {
            let changing = Commit { boards: vec![change], ..changing.clone() };
            assert!(is_fenced(&it.store().commit(&[changing], &[]).await), "{name}");
        }
        assert!(it.is_gone(board).await, "{name}");
        assert_eq!(it.log(it.board).await, log(None, &["a"]), "{name}");
    })
    .await;
}
