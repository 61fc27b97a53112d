//! States of a board that are kept under a name.

use super::*;
use convoke_actors::ports::BoardSnapshot;

pub fn snapshot(name: &str, at: u64) -> BoardSnapshot {
    BoardSnapshot { id: Uuid::now_v7(), name: name.into(), at, bytes: 1 }
}

#[tokio::test]
async fn the_newest_are_kept_and_no_more_than_so_many() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let keep = async |snapshot: &BoardSnapshot, state: &str, most: u32| {
            it.store().keep_board(&it.key, it.term, it.board, snapshot, state.as_bytes(), most).await.unwrap();
        };
        let read =
            async |snapshot: &BoardSnapshot| it.store().board_snapshot(&it.key, it.board, snapshot.id).await.unwrap();
        assert!(it.store().board_snapshots(&it.key, it.board).await.unwrap().is_empty(), "{name}");
        let [one, two, three, four] = [1, 2, 3, 3].map(|at| snapshot("ü", at));
        keep(&two, "second", 3).await;
        keep(&one, "first", 3).await;
        keep(&three, "third", 3).await;
        // The answer was lost, and it is asked for again.
        keep(&three, "third", 3).await;
        let kept = it.store().board_snapshots(&it.key, it.board).await.unwrap();
        assert_eq!(kept, [three.clone(), two.clone(), one.clone()], "{name}");
        assert_eq!(read(&one).await.as_deref(), Some("first".as_bytes()), "{name}");
        // The oldest by its time goes; of two of one time the later one is the newer.
        keep(&four, "fourth", 3).await;
        let kept = it.store().board_snapshots(&it.key, it.board).await.unwrap();
        assert_eq!(kept, [four.clone(), three.clone(), two.clone()], "{name}");
        assert_eq!(read(&one).await, None, "{name}");
        assert_eq!(read(&three).await.as_deref(), Some("third".as_bytes()), "{name}");
        assert_eq!(it.rows().await, [1, 0, 3, 3], "{name}: its state went with it");
        // Fewer are allowed now.
        let five = snapshot("five", 4);
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
        let of_nothing = it.store().keep_board(&it.key, it.term, new_board(), &one, b"", 9).await;
        assert!(matches!(of_nothing, Err(StoreError::NotFound)), "{name}");
    })
    .await;
}
