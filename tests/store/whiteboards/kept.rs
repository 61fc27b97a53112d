//! States of a board that are kept under a name.

use super::*;
use convoke_actors::ports::BoardSnapshot;
use convoke_domain::ParticipantId;

pub fn snapshot(name: &str, at: u64) -> BoardSnapshot {
    BoardSnapshot { id: Uuid::now_v7(), name: name.into(), by: None, at, bytes: 1 }
}

#[tokio::test]
async fn the_newest_are_kept_and_no_more_than_so_many() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let keep = async |snapshot: &BoardSnapshot, state: &str, most: u32| {
            it.store().keep_board(&it.key, it.term, it.board, snapshot, (9, state.as_bytes()), most).await.unwrap();
        };
        let read =
            async |snapshot: &BoardSnapshot| it.store().board_snapshot(&it.key, it.board, snapshot.id).await.unwrap();
        assert!(it.store().board_snapshots(&it.key, it.board).await.unwrap().is_empty(), "{name}");
        let [one, two, three, four] = [1, 2, 3, 3].map(|at| snapshot("ü", at));
        keep(&one, "first", 3).await;
        keep(&two, "second", 3).await;
        keep(&three, "third", 3).await;
        // The answer was lost, and it is asked for again.
        keep(&three, "third", 3).await;
        let kept = it.store().board_snapshots(&it.key, it.board).await.unwrap();
        assert_eq!(kept, [three.clone(), two.clone(), one.clone()], "{name}");
        assert_eq!(read(&one).await.as_deref(), Some("first".as_bytes()), "{name}");
        // The oldest goes; of two of one time the later one is the newer.
        keep(&four, "fourth", 3).await;
        let four = BoardSnapshot { at: 4, ..four };
        let kept = it.store().board_snapshots(&it.key, it.board).await.unwrap();
        assert_eq!(kept, [four.clone(), three.clone(), two.clone()], "{name}");
        assert_eq!(read(&one).await, None, "{name}");
        assert_eq!(read(&three).await.as_deref(), Some("third".as_bytes()), "{name}");
        assert_eq!(it.rows().await, [1, 0, 3, 3], "{name}: its state went with it");
        // Fewer are allowed now.
        let five = BoardSnapshot { by: Some(ParticipantId(Uuid::now_v7())), ..snapshot("five", 5) };
        keep(&five, "fifth", 1).await;
        assert_eq!(it.store().board_snapshots(&it.key, it.board).await.unwrap(), std::slice::from_ref(&five), "{name}");
        assert_eq!(it.rows().await, [1, 0, 1, 1], "{name}");
        // They are the board's own: compaction leaves them alone, and a copy begins without any.
        it.draw(it.board, 0, &["a"]).await.unwrap();
        it.compact(it.board, 1, "A").await.unwrap();
        let copy = it.copy().await;
        assert!(it.store().board_snapshots(&it.key, copy).await.unwrap().is_empty(), "{name}");
        assert_eq!(it.store().board_snapshot(&it.key, copy, five.id).await.unwrap(), None, "{name}");
        assert_eq!(read(&five).await.as_deref(), Some("fifth".as_bytes()), "{name}");
        let of_nothing = it.store().keep_board(&it.key, it.term, new_board(), &one, (9, b""), 9).await;
        assert!(matches!(of_nothing, Err(StoreError::NotFound)), "{name}");
    })
    .await;
}

/// With a clock that was behind, the new one was the oldest, and went at once.
#[tokio::test]
async fn the_new_one_is_the_newest_whatever_the_clock_says() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let kept = [50, 60, 1, 2].map(|at| snapshot("kept", at));
        for snapshot in &kept {
            it.store().keep_board(&it.key, it.term, it.board, snapshot, (9, b"A"), 3).await.unwrap();
        }
        let listed = it.store().board_snapshots(&it.key, it.board).await.unwrap();
        let listed: Vec<(Uuid, u64)> = listed.into_iter().map(|snapshot| (snapshot.id, snapshot.at)).collect();
        assert_eq!(listed, [(kept[3].id, 62), (kept[2].id, 61), (kept[1].id, 60)], "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_snapshot_of_what_the_log_begins_with_is_no_state_of_its_own() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b", "c"]).await.unwrap();
        it.compact(it.board, 2, "AB").await.unwrap();
        let [same, more] = [1, 2].map(|at| snapshot("kept", at));
        let keep = async |snapshot: &BoardSnapshot, upto, state: &str| {
            let state = (upto, state.as_bytes());
            it.store().keep_board(&it.key, it.term, it.board, snapshot, state, 9).await.unwrap();
        };
        keep(&same, 2, "AB").await;
        assert_eq!(it.rows().await, [1, 1, 1, 1], "{name}");
        keep(&more, 3, "ABC").await;
        assert_eq!(it.rows().await, [1, 1, 2, 2], "{name}");
        // It stays when the log begins with another, and goes with the board.
        it.compact(it.board, 3, "ABC").await.unwrap();
        for (snapshot, state) in [(&same, "AB"), (&more, "ABC")] {
            let read = it.store().board_snapshot(&it.key, it.board, snapshot.id).await.unwrap();
            assert_eq!(read.as_deref(), Some(state.as_bytes()), "{name}");
        }
        it.change(&[BoardChange::Delete { board: it.board }]).await;
        assert_eq!(it.rows().await, [0; 4], "{name}");
    })
    .await;
}
