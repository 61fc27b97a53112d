//! The logs of whiteboards: what is drawn, what stands for the beginning of it, what is copied and kept.

mod copies;
mod kept;
mod locks;

use super::*;
use crate::read_models::each;
use bytes::Bytes;
use convoke::adapters::store::Db;
use convoke_actors::ports::{BoardChange, BoardCommit, BoardLog};
use convoke_domain::WhiteboardId;

/// A meeting with a board.
struct Drawing {
    opened: Opened,
    life: NodeLife,
    key: MeetingKey,
    term: Term,
    board: WhiteboardId,
}

fn new_board() -> WhiteboardId {
    WhiteboardId(Uuid::now_v7())
}

fn updates(texts: &[&str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::copy_from_slice(text.as_bytes())).collect()
}

impl Drawing {
    async fn new(opened: Opened) -> Self {
        let life = opened.store.boot("a", LEASE).await.unwrap();
        let key = key();
        let term = taken(opened.store.as_ref(), &key, &life).await;
        let drawing = Self { opened, life, key, term, board: new_board() };
        drawing.change(&[BoardChange::Create { board: drawing.board, copy_of: None }]).await;
        drawing
    }

    fn store(&self) -> &dyn Store {
        self.opened.store.as_ref()
    }

    /// The commit of an event that means this for boards.
    async fn changing(&self, changes: &[BoardChange]) -> Commit {
        let seq = self.store().head(&self.key).await.unwrap().seq;
        Commit { boards: changes.to_vec(), ..commit(&self.key, self.term, seq.0, 1) }
    }

    async fn change(&self, changes: &[BoardChange]) {
        self.store().commit(&[self.changing(changes).await], &[]).await.unwrap();
    }

    async fn copy(&self) -> WhiteboardId {
        let board = new_board();
        self.change(&[BoardChange::Create { board, copy_of: Some(self.board) }]).await;
        board
    }

    fn drawn(&self, board: WhiteboardId, after: u64, texts: &[&str]) -> BoardCommit {
        let (key, term) = (self.key.clone(), self.term);
        BoardCommit { key, term, board, after, updates: updates(texts), restored: None }
    }

    async fn draw(&self, board: WhiteboardId, after: u64, texts: &[&str]) -> Result<(), StoreError> {
        self.store().commit(&[], &[self.drawn(board, after, texts)]).await
    }

    async fn compact(&self, board: WhiteboardId, upto: u64, state: &str) -> Result<(), StoreError> {
        self.store().compact_board(&self.key, self.term, board, upto, state.as_bytes()).await
    }

    async fn log(&self, board: WhiteboardId) -> BoardLog {
        self.store().board(&self.key, board).await.unwrap()
    }

    async fn is_gone(&self, board: WhiteboardId) -> bool {
        matches!(self.store().board(&self.key, board).await, Err(StoreError::NotFound))
    }

    /// Heads, updates, states and snapshots in the database, of whatever boards.
    async fn rows(&self) -> [i64; 4] {
        let sql = "SELECT (SELECT count(*) FROM whiteboard_heads), (SELECT count(*) FROM whiteboard_updates), \
                   (SELECT count(*) FROM whiteboard_states), (SELECT count(*) FROM whiteboard_snapshots)";
        let (heads, updates, states, snapshots) = match &self.opened.db {
            Db::Sqlite { write, .. } => sqlx::query_as(sql).fetch_one(&*write.turn()).await.unwrap(),
            Db::Postgres(pool) => sqlx::query_as(sql).fetch_one(pool).await.unwrap(),
        };
        [heads, updates, states, snapshots]
    }
}

fn log(state: Option<(u64, &str)>, texts: &[&str]) -> BoardLog {
    let state = state.map(|(upto, state)| (upto, Bytes::copy_from_slice(state.as_bytes())));
    BoardLog { state, updates: updates(texts), restored: None }
}

#[tokio::test]
async fn what_is_drawn_comes_back_in_order() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        assert_eq!(it.log(it.board).await, BoardLog::default(), "{name}");
        it.draw(it.board, 0, &["a"]).await.unwrap();
        it.draw(it.board, 1, &["b", ""]).await.unwrap();
        // Nothing, under a term that holds.
        it.draw(it.board, 3, &[]).await.unwrap();
        assert_eq!(it.log(it.board).await, log(None, &["a", "b", ""]), "{name}");
        // More than one statement takes.
        let many: Vec<String> = (0..1_300).map(|n| n.to_string()).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        it.draw(it.board, 3, &many).await.unwrap();
        let all: Vec<&str> = ["a", "b", ""].into_iter().chain(many).collect();
        assert_eq!(it.log(it.board).await, log(None, &all), "{name}");
    })
    .await;
}

#[tokio::test]
async fn one_transaction_carries_meetings_and_boards() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let (mut commits, mut boards) = (Vec::new(), Vec::new());
        for n in 0..20 {
            let (other, board) = (key(), new_board());
            let term = taken(it.store(), &other, &it.life).await;
            let create =
                Commit { boards: vec![BoardChange::Create { board, copy_of: None }], ..commit(&other, term, 1, 1) };
            it.store().commit(&[create], &[]).await.unwrap();
            if n % 3 > 0 {
                boards.push(BoardCommit { key: other.clone(), term, ..it.drawn(board, 0, &["x"; 7]) });
            }
            if n % 3 < 2 {
                commits.push(commit(&other, term, 2, n % 4));
            }
        }
        it.store().commit(&commits, &boards).await.unwrap();
        for board in &boards {
            assert_eq!(it.store().board(&board.key, board.board).await.unwrap(), log(None, &["x"; 7]), "{name}");
        }
        for commit in &commits {
            assert_eq!(it.store().head(&commit.key).await.unwrap().seq, commit.reaches(), "{name}");
        }
        it.store().commit(&[], &[]).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn another_number_is_fenced_and_nothing_of_its_transaction_stays() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b"]).await.unwrap();
        for after in [0, 1, 3, u64::MAX] {
            assert!(is_fenced(&it.draw(it.board, after, &["c"]).await), "{name} {after}");
            assert!(is_fenced(&it.draw(it.board, after, &[]).await), "{name} {after}");
        }
        assert!(is_fenced(&it.draw(new_board(), 0, &["c"]).await), "{name}: there is no such board");
        let (second, seq) = (it.copy().await, it.store().head(&it.key).await.unwrap().seq.0);
        let (good, bad) = (it.drawn(second, 2, &["c"]), it.drawn(it.board, 1, &["c"]));
        assert!(is_fenced(&it.store().commit(&[], &[good.clone(), bad.clone()]).await), "{name}");
        assert!(is_fenced(&it.store().commit(&[commit(&it.key, it.term, seq, 1)], &[bad]).await), "{name}");
        assert!(is_fenced(&it.store().commit(&[commit(&it.key, it.term, seq + 1, 1)], &[good]).await), "{name}");
        for board in [it.board, second] {
            assert_eq!(it.log(board).await, log(None, &["a", "b"]), "{name}");
        }
        assert_eq!(it.store().head(&it.key).await.unwrap().seq.0, seq, "{name}");
    })
    .await;
}

#[tokio::test]
async fn an_old_term_is_fenced() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a"]).await.unwrap();
        let snapshot = kept::snapshot("late", 1);
        let taken = it.store().take(&it.key, &it.life).await.unwrap();
        assert!(is_fenced(&it.draw(it.board, 1, &["b"]).await), "{name}");
        assert!(is_fenced(&it.draw(it.board, 1, &[]).await), "{name}");
        assert!(is_fenced(&it.compact(it.board, 1, "A").await), "{name}");
        let keeping = it.store().keep_board(&it.key, it.term, it.board, &snapshot, (1, b"A"), 9).await;
        assert!(is_fenced(&keeping), "{name}");
        assert_eq!(it.log(it.board).await, log(None, &["a"]), "{name}");
        assert_eq!(it.rows().await, [1, 1, 0, 0], "{name}");
        let it = Drawing { term: taken.term, ..it };
        it.draw(it.board, 1, &["b"]).await.unwrap();
        // Two terms of one meeting do not share a transaction, whichever of them holds.
        let second = it.copy().await;
        let old = BoardCommit { term: Term(it.term.0 - 1), ..it.drawn(second, 2, &["c"]) };
        assert!(is_fenced(&it.store().commit(&[], &[it.drawn(it.board, 2, &["c"]), old]).await), "{name}");
        assert_eq!(it.log(it.board).await, log(None, &["a", "b"]), "{name}");
    })
    .await;
}

#[tokio::test]
async fn compaction_keeps_what_was_drawn_behind_it() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b", "c", "d"]).await.unwrap();
        it.compact(it.board, 0, "nothing").await.unwrap();
        assert_eq!(it.log(it.board).await, log(None, &["a", "b", "c", "d"]), "{name}");
        it.compact(it.board, 2, "AB").await.unwrap();
        assert_eq!(it.log(it.board).await, log(Some((2, "AB")), &["c", "d"]), "{name}");
        // One that was on its way for long.
        it.compact(it.board, 1, "A").await.unwrap();
        it.compact(it.board, 2, "ab").await.unwrap();
        assert_eq!(it.log(it.board).await, log(Some((2, "AB")), &["c", "d"]), "{name}");
        // What was never written is in no state.
        assert!(is_fenced(&it.compact(it.board, 5, "ABCDE").await), "{name}");
        it.draw(it.board, 4, &["e"]).await.unwrap();
        it.compact(it.board, 5, "ABCDE").await.unwrap();
        assert_eq!(it.log(it.board).await, log(Some((5, "ABCDE")), &[]), "{name}");
        assert_eq!(it.rows().await, [1, 0, 1, 0], "{name}: the former states are gone");
        // Whoever read the log before goes on by its number, and by no other.
        assert!(is_fenced(&it.draw(it.board, 0, &["f"]).await), "{name}");
        assert!(is_fenced(&it.draw(it.board, 4, &["f"]).await), "{name}");
        it.draw(it.board, 5, &["f"]).await.unwrap();
        assert_eq!(it.log(it.board).await, log(Some((5, "ABCDE")), &["f"]), "{name}");
        assert!(matches!(it.compact(new_board(), 1, "").await, Err(StoreError::NotFound)), "{name}");
    })
    .await;
}

#[tokio::test]
async fn a_board_knows_its_last_restore() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let restored = async || it.log(it.board).await.restored;
        assert_eq!(restored().await, None, "{name}");
        let [one, two] = [(); 2].map(|()| Some(Uuid::now_v7()));
        let restore = |after, texts: &[&str], restored| BoardCommit { restored, ..it.drawn(it.board, after, texts) };
        it.store().commit(&[], &[restore(0, &["a"], one)]).await.unwrap();
        it.draw(it.board, 1, &["b"]).await.unwrap();
        it.compact(it.board, 2, "AB").await.unwrap();
        assert_eq!(it.log(it.board).await, BoardLog { restored: one, ..log(Some((2, "AB")), &[]) }, "{name}");
        // Nothing of what was not written, and of what drew nothing.
        assert!(is_fenced(&it.store().commit(&[], &[restore(1, &["x"], two)]).await), "{name}");
        assert_eq!(restored().await, one, "{name}");
        it.store().commit(&[], &[restore(2, &[], two)]).await.unwrap();
        assert_eq!(restored().await, two, "{name}");
        let copy = it.copy().await;
        assert_eq!(it.log(copy).await.restored, None, "{name}: it is the board's own");
    })
    .await;
}

#[tokio::test]
async fn a_log_with_a_gap_is_not_given_out() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let middle = "DELETE FROM whiteboard_updates WHERE number = 2 AND whiteboard IN \
                      ($1, (SELECT tail FROM whiteboard_heads WHERE whiteboard = $1))";
        let last = "DELETE FROM whiteboard_updates WHERE number = 3 AND whiteboard IN \
                    ($1, (SELECT tail FROM whiteboard_heads WHERE whiteboard = $1))";
        let state =
            "DELETE FROM whiteboard_states WHERE state = (SELECT state FROM whiteboard_heads WHERE whiteboard = $1)";
        for (sql, is_copy) in [middle, last, state].into_iter().flat_map(|sql| [(sql, false), (sql, true)]) {
            let (source, copy) = (new_board(), new_board());
            it.change(&[BoardChange::Create { board: source, copy_of: None }]).await;
            it.draw(source, 0, &["a", "b", "c"]).await.unwrap();
            it.compact(source, 1, "A").await.unwrap();
            let board = if is_copy { copy } else { source };
            if is_copy {
                it.change(&[BoardChange::Create { board: copy, copy_of: Some(source) }]).await;
            }
            assert_eq!(it.log(board).await, log(Some((1, "A")), &["b", "c"]), "{name}");
            match &it.opened.db {
                Db::Sqlite { write, .. } => drop(sqlx::query(sql).bind(board.0).execute(&*write.turn()).await.unwrap()),
                Db::Postgres(pool) => drop(sqlx::query(sql).bind(board.0).execute(pool).await.unwrap()),
            }
            let outcome = it.store().board(&it.key, board).await;
            assert!(matches!(outcome, Err(StoreError::Corrupt(_))), "{name}: {sql} {is_copy}");
        }
    })
    .await;
}

#[tokio::test]
async fn another_tenant_and_another_meeting_see_nothing_and_change_nothing() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        it.draw(it.board, 0, &["a", "b"]).await.unwrap();
        it.compact(it.board, 1, "A").await.unwrap();
        let snapshot = kept::snapshot("mine", 1);
        it.store().keep_board(&it.key, it.term, it.board, &snapshot, (1, b"A"), 9).await.unwrap();
        let foreign = MeetingKey { tenant: TenantId("other".into()), ..it.key.clone() };
        let rows = it.rows().await;
        for theirs in [foreign, key()] {
            // The term is the same number.
            let term = taken(it.store(), &theirs, &it.life).await;
            let other = Drawing {
                opened: Opened { store: Arc::clone(&it.opened.store), db: it.opened.db.clone() },
                key: theirs,
                term,
                life: it.life.clone(),
                board: it.board,
            };
            assert!(other.is_gone(it.board).await, "{name}");
            assert!(is_fenced(&other.draw(it.board, 2, &["c"]).await), "{name}");
            assert!(matches!(other.compact(it.board, 2, "AB").await, Err(StoreError::NotFound)), "{name}");
            let late = kept::snapshot("theirs", 2);
            let keeping = it.store().keep_board(&other.key, term, it.board, &late, (1, b"A"), 9).await;
            assert!(matches!(keeping, Err(StoreError::NotFound)), "{name}");
            assert!(it.store().board_snapshots(&other.key, it.board).await.unwrap().is_empty(), "{name}");
            assert_eq!(it.store().board_snapshot(&other.key, it.board, snapshot.id).await.unwrap(), None, "{name}");
            other.change(&[BoardChange::Delete { board: it.board }]).await;
            let empty = other.copy().await;
            assert_eq!(other.log(empty).await, BoardLog::default(), "{name}: there was nothing to copy");
            other.change(&[BoardChange::Delete { board: empty }]).await;
        }
        assert_eq!(it.log(it.board).await, log(Some((1, "A")), &["b"]), "{name}");
        assert_eq!(it.store().board_snapshots(&it.key, it.board).await.unwrap(), [snapshot], "{name}");
        assert_eq!(it.rows().await, rows, "{name}");
    })
    .await;
}

#[tokio::test]
async fn as_much_as_a_board_may_hold_passes() {
    each(async |name, opened| {
        let it = Drawing::new(opened).await;
        let bytes = |seed: u32, length: u32| -> Vec<u8> {
            // As little alike as what is drawn: a database that packs it gains nothing.
            let mix = |n: u32| (n ^ seed).wrapping_mul(2_654_435_761).rotate_left(n % 31).wrapping_mul(2_246_822_519);
            (0..length).map(|n| mix(n).to_be_bytes()[1]).collect()
        };
        let state = bytes(1, 16 << 20);
        let large: Vec<Bytes> = (0..20).map(|n| Bytes::from(bytes(n, 1 << 20))).collect();
        let draws = BoardCommit { updates: large.clone(), ..it.drawn(it.board, 0, &[]) };
        it.store().commit(&[], &[draws]).await.unwrap();
        assert_eq!(it.log(it.board).await.updates, large, "{name}");
        it.store().compact_board(&it.key, it.term, it.board, 19, &state).await.unwrap();
        let snapshot = kept::snapshot("large", 16 << 20);
        it.store().keep_board(&it.key, it.term, it.board, &snapshot, (20, &state), 9).await.unwrap();
        let state = Some((19, Bytes::from(state)));
        let expected = BoardLog { state, updates: large[19..].to_vec(), restored: None };
        let copy = it.copy().await;
        for board in [it.board, copy] {
            assert!(it.log(board).await == expected, "{name}");
        }
        let read = it.store().board_snapshot(&it.key, it.board, snapshot.id).await.unwrap().unwrap();
        assert!(expected.state.is_some_and(|(_, state)| state == read), "{name}");
    })
    .await;
}
