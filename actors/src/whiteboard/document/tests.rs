#![allow(clippy::unwrap_used)]

use super::super::protocol;
use super::*;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use yrs::{Array, ArrayPrelim, MapPrelim, Text, any};

mod answers;

struct Client {
    doc: Doc,
    said: Vec<Bytes>,
}

impl Client {
    fn new(id: u64) -> Self {
        Self { doc: Doc::with_client_id(id), said: Vec::new() }
    }

    /// Draws, and answers the update that came of it.
    fn draws(&mut self, key: &str, value: impl Into<Any>) -> Bytes {
        let elements = self.doc.get_or_insert_map("elements");
        let mut txn = self.doc.transact_mut();
        elements.insert(&mut txn, key, value.into());
        let update = Bytes::from(txn.encode_update_v1());
        drop(txn);
        self.said.push(update.clone());
        update
    }

    fn erases(&mut self, key: &str) -> Bytes {
        let elements = self.doc.get_or_insert_map("elements");
        let mut txn = self.doc.transact_mut();
        elements.remove(&mut txn, key);
        Bytes::from(txn.encode_update_v1())
    }

    fn hears(&mut self, messages: &[Bytes]) {
        for message in messages {
            for message in protocol::read(message).unwrap() {
                let (protocol::Message::Step2(update) | protocol::Message::Update(update)) = message else { continue };
                self.doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
            }
        }
    }

    fn vector(&self) -> StateVector {
        self.doc.transact().state_vector()
    }

    fn all(&self) -> Bytes {
        self.doc.transact().encode_state_as_update_v1(&StateVector::default()).into()
    }

    fn sees(&self) -> BTreeMap<String, Any> {
        values(&self.doc.transact(), ELEMENTS)
    }
}

fn empty() -> Document {
    Document::of(Log::default()).unwrap()
}

fn take(document: &mut Document, update: &Bytes) -> Result<Taken, Refusal> {
    document.draw(update, &inspect(update).unwrap(), false, &Bounds::default(), None)
}

fn sees(document: &Document) -> BTreeMap<String, Any> {
    values(&document.doc.transact(), ELEMENTS)
}

#[test]
fn what_is_taken_is_numbered_once() {
    let (mut document, mut client) = (empty(), Client::new(1));
    let update = client.draws("a", any!({ "x": 1 }));
    assert_eq!(take(&mut document, &update).unwrap(), Taken { updates: vec![update.clone()], lacks: false });
    assert_eq!(document.number(), 1);
    assert_eq!(take(&mut document, &update).unwrap(), Taken { updates: Vec::new(), lacks: false }, "it is known");
    assert_eq!(document.number(), 1);
    assert_eq!(sees(&document), client.sees());
}

#[test]
fn what_builds_on_something_else_is_not_kept_for_later() {
    let (mut document, mut client) = (empty(), Client::new(1));
    let first = client.draws("a", 1);
    let second = client.draws("b", 2);
    assert_eq!(take(&mut document, &second).unwrap(), Taken { updates: Vec::new(), lacks: true });
    assert!(!document.doc.transact().has_missing_updates());
    take(&mut document, &first).unwrap();
    assert_eq!(sees(&document).len(), 1, "the second has to come again");
    take(&mut document, &client.all()).unwrap();
    assert_eq!(sees(&document), client.sees());
}

#[test]
fn a_log_is_read_as_it_was_written_and_joined_without_a_loss() {
    let (mut document, mut one, mut two) = (empty(), Client::new(1), Client::new(2));
    let mut updates = Vec::new();
    for n in 0..50 {
        let update = if n % 2 == 0 { one.draws("a", n) } else { two.draws(&format!("b{n}"), n) };
        updates.extend(take(&mut document, &update).unwrap().updates);
    }
    updates.extend(take(&mut document, &one.erases("a")).unwrap().updates);
    let before = sees(&document);
    assert_eq!(sees(&Document::of(document.log().clone()).unwrap()), before);
    let first = BoardLog { updates: updates[..30].to_vec(), ..BoardLog::default() };
    let (state, made) = joined(&first.into()).unwrap();
    document.begins_with(30, &state, made);
    assert_eq!((document.number(), document.begins(), document.log().tail_updates()), (51, 30, 21));
    assert_eq!(document.log().state(), Some(state));
    assert_eq!(sees(&Document::of(document.log().clone()).unwrap()), before);
    let mut late = Client::new(9);
    late.hears(&document.since(&late.vector()).unwrap());
    assert_eq!(late.sees(), before, "whoever comes anew is given the log as it stands");
}

#[test]
fn a_board_has_bounds() {
    let (mut document, mut client) = (empty(), Client::new(1));
    let bounds = Bounds { board_bytes_max: 2_000, items_max: 12, nested_max: 3, ..Bounds::default() };
    let take = |document: &mut Document, update: &Bytes| {
        document.draw(update, &inspect(update).unwrap(), false, &bounds, None).map_err(|refusal| refusal.to_string())
    };
    let large = client.draws("large", "x".repeat(2_000));
    assert!(take(&mut document, &large).unwrap_err().contains("2000 bytes"));
    assert_eq!(document.number(), 0, "it is not in the document either");
    let mut client = Client::new(2);
    for n in 0..12 {
        take(&mut document, &client.draws(&format!("e{n}"), 1)).unwrap();
    }
    assert!(take(&mut document, &client.draws("one more", 1)).unwrap_err().contains("12 items"));
    let mut document = empty();
    let bounds = Bounds { values_max: 20, clients_max: 3, update_clients_max: 2, ..Bounds::default() };
    let take_few = |document: &mut Document, update: &Bytes| {
        document.draw(update, &inspect(update).unwrap(), false, &bounds, None).map_err(|refusal| refusal.to_string())
    };
    let list =
        Client::new(4).draws("list", any!([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20]));
    assert!(take_few(&mut document, &list).unwrap_err().contains("20 values"));
    for client in 5..8 {
        take_few(&mut document, &Client::new(client).draws("a", 1)).unwrap();
    }
    assert!(take_few(&mut document, &Client::new(8).draws("a", 1)).unwrap_err().contains("3 clients"));
    let mut many = Client::new(9);
    many.hears(&document.since(&many.vector()).unwrap());
    let all = many.all();
    assert!(take_few(&mut document, &all).unwrap_err().contains("2 clients"));
    let mut document = empty();
    let doc = Doc::with_client_id(3);
    let list = doc.get_or_insert_array("list");
    let mut txn = doc.transact_mut();
    for _ in 0..4 {
        list.push_back(&mut txn, MapPrelim::default());
    }
    let nested = Bytes::from(txn.encode_update_v1());
    assert!(take(&mut document, &nested).unwrap_err().contains("3 types"));
}

/// A full board is not stuck: what only erases is taken, and when the log is joined there is room.
#[test]
fn from_a_full_board_something_can_be_erased() {
    let (mut document, mut client) = (empty(), Client::new(1));
    take(&mut document, &client.draws("large", "x".repeat(3_900))).unwrap();
    // Not a byte is left.
    let bounds = Bounds { board_bytes_max: document.bytes(), ..Bounds::default() };
    let take = |document: &mut Document, update: &Bytes| {
        document.draw(update, &inspect(update).unwrap(), false, &bounds, None)
    };
    let more = client.draws("more", "x".repeat(100));
    assert!(matches!(take(&mut document, &more), Err(Refusal::Full(_))));
    let mut other = Client::new(2);
    other.hears(&document.since(&other.vector()).unwrap());
    assert!(!take(&mut document, &other.erases("large")).unwrap().updates.is_empty());
    let number = document.number();
    let (state, made) = joined(document.log()).unwrap();
    document.begins_with(number, &state, made);
    take(&mut document, &more).unwrap();
    assert_eq!(sees(&document).len(), 1);
}

/// Clients tell all that they know to be erased each time they come. That is no more of the board for it.
#[test]
fn what_is_told_again_is_not_counted_again() {
    let (mut document, mut client) = (empty(), Client::new(1));
    take(&mut document, &client.draws("a", 1)).unwrap();
    take(&mut document, &client.erases("a")).unwrap();
    let before = document.made;
    // One new block, and what was erased, over and over.
    let mut update = vec![1, 1, 9, 0, 8, 1, 8, b'e', b'l', b'e', b'm', b'e', b'n', b't', b's', 1, 126];
    update.extend([1, 1, 100]);
    update.extend([0, 1].repeat(100));
    let update = Bytes::from(update);
    assert_eq!(inspect(&update).unwrap().made.deletions, 100);
    assert!(!take(&mut document, &update).unwrap().updates.is_empty());
    assert!(document.made.deletions <= before.deletions + 1, "{:?}", document.made);
}

/// Clients that build on each other in the most awkward order.
#[test]
fn many_clients_in_one_update_are_taken_in_time() {
    let count = u16::try_from(Bounds::default().update_clients_max).unwrap();
    let number = |mut number: u32, bytes: &mut Vec<u8>| {
        while number >= 0x80 {
            bytes.push(u8::try_from(number & 0x7F).unwrap() | 0x80);
            number >>= 7;
        }
        bytes.push(u8::try_from(number).unwrap());
    };
    let mut update = Vec::new();
    number(u32::from(count), &mut update);
    // Each stands on the next but the last.
    for client in 1..=u32::from(count) {
        update.push(1);
        number(client, &mut update);
        update.push(0);
        if client == u32::from(count) {
            update.extend([8, 1, 1, b'l', 1, 126]);
        } else {
            update.push(0x88);
            number(client + 1, &mut update);
            update.extend([0, 1, 126]);
        }
    }
    update.push(0);
    let mut document = empty();
    assert!(!take(&mut document, &Bytes::from(update)).unwrap().updates.is_empty());
    assert_eq!(document.clocks.count_with(&Looked::default()), usize::from(count));
    let log = document.log().clone();
    assert_eq!(Document::of(log).unwrap().number(), document.number());
}

/// A list in a list in a list…, as deep as a board may hold, is drawn, erased and read back.
#[test]
fn the_deepest_board_breaks_nothing() {
    let deepest = Bounds::default().nested_max;
    let doc = Doc::with_client_id(5);
    let mut list = doc.get_or_insert_array("list");
    let mut txn = doc.transact_mut();
    for _ in 0..deepest {
        list = list.push_back(&mut txn, ArrayPrelim::default());
    }
    let update = Bytes::from(txn.encode_update_v1());
    drop(txn);
    let mut document = empty();
    take(&mut document, &update).unwrap();
    // As a client would erase it, which this one cannot on the stack that it has.
    let erasure = Bytes::from(vec![0, 1, 5, 1, 0, 1]);
    assert!(!take(&mut document, &erasure).unwrap().updates.is_empty());
    let log = document.log().clone();
    let (joined, again) = deep::here(true, || (joined(&log), Document::of(log.clone()).map(|d| d.number()))).unwrap();
    assert!(joined.unwrap().0.len() < 100, "what was erased is gone");
    assert_eq!(again.unwrap(), document.number());
    std::mem::forget(doc);
}

#[test]
fn what_was_kept_is_drawn_again() {
    let (mut document, mut client) = (empty(), Client::new(1));
    take(&mut document, &client.draws("stays", 1)).unwrap();
    take(&mut document, &client.draws("changes", any!({ "x": [1, 2] }))).unwrap();
    take(&mut document, &client.draws("goes", 1)).unwrap();
    let (kept, _) = joined(document.log()).unwrap();
    let before = sees(&document);
    take(&mut document, &client.draws("changes", 2)).unwrap();
    take(&mut document, &client.erases("goes")).unwrap();
    take(&mut document, &client.draws("new", 2)).unwrap();
    let update = document.restore(&kept).unwrap().unwrap();
    assert_eq!((sees(&document), document.number()), (before.clone(), 7));
    client.hears(&[protocol::update(&update)]);
    assert_eq!(client.sees(), before, "an update like any other");
    assert_eq!(document.restore(&kept).unwrap(), None, "nothing is to be done");
}

/// The real test of it is a client's: what is taken from one whose messages are garbled harms nobody.
#[test]
fn a_garbled_update_leaves_no_trace() {
    let (mut document, mut client) = (empty(), Client::new(1));
    take(&mut document, &client.draws("a", any!({ "x": 1, "y": [1, 2, 3] }))).unwrap();
    let before = sees(&document);
    let good = client.draws("b", any!({ "text": "so it was" }));
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bad = good.to_vec();
            bad[at] ^= 1 << bit;
            let bad = Bytes::from(bad);
            let Ok(looked) = inspect(&bad) else { continue };
            match document.draw(&bad, &looked, false, &Bounds::default(), None) {
                // It became another update, which is as good as any.
                Ok(_) | Err(Refusal::Unfit(_) | Refusal::Full(_) | Refusal::TooLarge(_)) => {}
                Err(Refusal::Broken(_) | Refusal::TooCostly) => {
                    document = Document::of(document.log().clone()).unwrap()
                }
            }
            assert_eq!(sees(&document).get("a"), before.get("a"), "byte {at}, bit {bit}");
        }
    }
    let again = Document::of(document.log().clone()).unwrap();
    assert_eq!(sees(&again), sees(&document), "the log says what the document shows");
}

#[path = "../../../tests/common/hostile.rs"]
mod hostile;

fn awkward(count: u32) -> Bytes {
    hostile::update(&[hostile::firsts(2, count), hostile::chain(1, count)]).into()
}

fn is_costly(document: &Document, update: &Bytes) -> bool {
    document.is_costly(&inspect(update).unwrap(), 1 << 18)
}

#[test]
fn what_may_take_long_is_told_by_its_size_and_the_boards() {
    let (mut document, mut client) = (empty(), Client::new(9));
    assert!(!is_costly(&document, &client.draws("a", any!({ "x": 1, "points": [1, 2, 3] }))));
    assert!(!is_costly(&document, &awkward(100)) && is_costly(&document, &awkward(300)), "both in one");
    take(&mut document, &hostile::update(&[hostile::chain(1, 10_000)]).into()).unwrap();
    let few = |count| Bytes::from(hostile::update(&[hostile::firsts(2, count)]));
    assert!(!is_costly(&document, &few(10)) && is_costly(&document, &few(30)), "a few on a long list");
    let erased = |count: u8| Bytes::from([vec![0, 1, 1, count], [7, 1].repeat(count.into())].concat());
    assert!(!is_costly(&document, &erased(10)) && is_costly(&document, &erased(30)), "ranges, too");
    let (mut document, doc) = (empty(), Doc::with_client_id(5));
    let text = doc.get_or_insert_text("text");
    let mut txn = doc.transact_mut();
    Text::push(&text, &mut txn, &"x".repeat(1_000_000));
    take(&mut document, &txn.encode_update_v1().into()).unwrap();
    assert!(!is_costly(&document, &few(8)) && is_costly(&document, &few(9)), "a text is passed over to be split");
    assert!(is_costly(&empty(), &hostile::update(&[hostile::values(1, 200, 50)]).into()), "a list that is joined");
    let crowd: Vec<_> = (1..=300).map(|client| hostile::firsts(client, 1)).collect();
    assert!(is_costly(&empty(), &hostile::update(&crowd).into()), "many clients");
}

/// Drawn in one transaction, these would take gigabytes.
#[test]
fn a_list_is_drawn_and_read_a_little_at_a_time() {
    let update = Bytes::from(hostile::update(&[hostile::values(1, 5_000, 1)]));
    let mut document = empty();
    let taken = take(&mut document, &update).unwrap();
    assert!(taken.updates.len() >= 5, "{}", taken.updates.len());
    assert!(taken.updates.iter().all(|part| !inspect(part).unwrap().made.is_dear()));
    assert_eq!(document.number(), u64::try_from(taken.updates.len()).unwrap());
    let transactions = |updates: Vec<Bytes>| {
        let (doc, count) = (Doc::new(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&count);
        let count_one = move |_: &mut TransactionMut<'_>| {
            counted.fetch_add(1, Ordering::SeqCst);
        };
        doc.observe_after_transaction("count", count_one).unwrap();
        apply(&doc, updates.into_iter()).unwrap();
        count.load(Ordering::SeqCst)
    };
    assert!(transactions(vec![update]) >= 5, "one that is long");
    assert!(transactions(taken.updates) >= 5, "many that are short");
    let mut client = Client::new(1);
    let small: Vec<Bytes> = (0..100).map(|n| client.draws(&n.to_string(), n)).collect();
    assert!(transactions(small) < 5, "what costs little is drawn together");
}

#[test]
fn what_is_drawn_in_parts_is_what_was_drawn() {
    let mut client = Client::new(3);
    for n in 0..2_000 {
        client.draws(&format!("e{}", n % 1_500), n);
    }
    client.erases("e7");
    for update in [client.all(), awkward(1_500)] {
        let whole = Doc::new();
        whole.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
        let wanted = whole.transact().encode_state_as_update_v1(&StateVector::default());
        let mut document = empty();
        let taken = take(&mut document, &update).unwrap();
        assert!(taken.updates.len() > 1);
        assert_eq!(joined(document.log()).unwrap().0, wanted);
        assert_eq!(document.doc.transact().encode_state_as_update_v1(&StateVector::default()), wanted);
        assert_eq!(take(&mut document, &update).unwrap().updates.len(), 0, "it is known");
    }
}

#[test]
fn what_takes_too_long_is_given_up_halfway() {
    let (mut document, mut client) = (empty(), Client::new(9));
    take(&mut document, &client.draws("a", 1)).unwrap();
    let (update, looks) = (awkward(2_000), AtomicUsize::new(0));
    let is_late = || looks.fetch_add(1, Ordering::SeqCst) == 1;
    let refused = document.take(&update, &inspect(&update).unwrap(), &Bounds::default(), &is_late);
    assert!(matches!(refused, Err(Refusal::TooCostly)), "{refused:?}");
    assert_eq!(looks.into_inner(), 2, "it was not drawn to the end");
    assert_eq!(document.number(), 1);
    let again = Document::of(document.log().clone()).unwrap();
    assert_eq!(again.doc.transact().state_vector(), client.vector(), "nothing of it is in the log");
}
