#![allow(clippy::unwrap_used)]

use super::*;
use yrs::updates::decoder::Decode;
use yrs::{Any, Array, Doc, Map, ReadTxn, StateVector, Transact, Update};

/// Several people, who draw, change and erase by turns; an update of each turn.
fn drawn(count: u32) -> Vec<Bytes> {
    let docs: Vec<Doc> = (1..=4).map(Doc::with_client_id).collect();
    let mut updates: Vec<Bytes> = Vec::new();
    for (turn, doc) in (0..count).zip(docs.iter().cycle()) {
        let elements = doc.get_or_insert_map("elements");
        let mut txn = doc.transact_mut();
        // Each knows what the one before did.
        if let Some(last) = updates.last() {
            txn.apply_update(Update::decode_v1(last).unwrap()).unwrap();
        }
        let before = txn.state_vector();
        drop(txn);
        let mut txn = doc.transact_mut();
        let key = format!("{}", turn % 40);
        if turn % 7 == 0 {
            elements.remove(&mut txn, &key);
        } else {
            elements.insert(&mut txn, key, i64::from(turn));
        }
        let update = Bytes::from(txn.encode_update_v1());
        assert!(txn.state_vector() >= before);
        drop(txn);
        if update != [0, 0].as_slice() {
            updates.push(update);
        }
    }
    updates
}

fn log(updates: &[Bytes]) -> Log {
    BoardLog { updates: updates.to_vec(), ..BoardLog::default() }.into()
}

fn shown(updates: impl Iterator<Item = Bytes>) -> Vec<(String, Any)> {
    let doc = Doc::new();
    let elements = doc.get_or_insert_map("elements");
    for update in updates {
        doc.transact_mut().apply_update(Update::decode_v1(&update).unwrap()).unwrap();
    }
    let txn = doc.transact();
    assert!(!txn.has_missing_updates());
    assert!(txn.state_vector() >= StateVector::default());
    let mut shown: Vec<(String, Any)> =
        elements.iter(&txn).map(|(key, value)| (key.to_owned(), value.to_string(&txn).into())).collect();
    shown.sort_by(|(one, _), (other, _)| one.cmp(other));
    shown
}

#[test]
fn what_is_merged_shows_the_same_in_fewer_messages() {
    let updates = drawn(300);
    let mut log = log(&updates);
    let (number, before) = (log.number(), shown(log.updates()));
    assert!(!before.is_empty());
    log.merge_all();
    assert_eq!((log.number(), log.tail_updates()), (number, updates.len()));
    assert_eq!(log.tail.len(), updates.len() / MERGED + updates.len() % MERGED);
    assert_eq!(shown(log.updates()), before);
    let bytes: usize = log.messages().map(Bytes::len).sum();
    assert_eq!(log.bytes(), bytes);
    log.push(&updates[0]);
    assert_eq!((log.number(), log.tail.back().map(|part| part.upto)), (number + 1, Some(number + 1)));
}

#[test]
fn what_is_not_durable_is_not_merged() {
    let updates = drawn(200);
    let mut log = log(&updates);
    let last = u64::try_from(MERGED).unwrap();
    log.merge(last - 1);
    assert_eq!(log.tail.len(), updates.len());
    log.merge(last);
    assert_eq!((log.tail.len(), log.tail[0].upto), (updates.len() - MERGED + 1, last));
    log.merge(last);
    assert_eq!(log.tail.len(), updates.len() - MERGED + 1, "there is nothing more");
}

#[test]
fn a_large_update_stays_by_itself() {
    let doc = Doc::with_client_id(9);
    let elements = doc.get_or_insert_map("elements");
    let mut updates = Vec::new();
    for size in [10, MERGED_BYTES, 10, 10, MERGED_BYTES, MERGED_BYTES] {
        let mut txn = doc.transact_mut();
        elements.insert(&mut txn, "a", "x".repeat(size));
        updates.push(Bytes::from(txn.encode_update_v1()));
    }
    let mut log = log(&updates);
    log.merge_all();
    let ends: Vec<u64> = log.tail.iter().map(|part| part.upto).collect();
    assert_eq!(ends, [1, 2, 4, 5, 6]);
    assert_eq!(shown(log.updates()), shown(updates.into_iter()));
}

/// Many values of a list take much to be drawn together.
#[test]
fn what_is_dear_to_draw_at_once_stays_in_parts() {
    let doc = Doc::with_client_id(9);
    let list = doc.get_or_insert_array("list");
    let drawn = |count: u32| -> Vec<Bytes> {
        let update = |_| {
            let mut txn = doc.transact_mut();
            for _ in 0..count {
                list.push_front(&mut txn, 1);
            }
            Bytes::from(txn.encode_update_v1())
        };
        (0..MERGED).map(update).collect()
    };
    let (cheap, dear) = (drawn(1), drawn(100));
    let made = |updates: &[Bytes]| {
        updates.iter().fold(Made::default(), |made, update| made.and(inspect(update).unwrap().made))
    };
    assert!(!made(&cheap).is_dear() && made(&dear).is_dear());
    assert!(dear.iter().map(Bytes::len).sum::<usize>() < MERGED_BYTES);
    let mut log = log(&[cheap, dear].concat());
    log.merge_all();
    assert_eq!(log.tail.len(), 1 + MERGED);
}

#[test]
fn a_state_takes_the_place_of_what_it_holds() {
    let updates = drawn(200);
    let mut log = log(&updates);
    log.merge_all();
    let before = shown(log.updates());
    let state = |upto: usize| {
        let doc = Doc::new();
        for update in &updates[..upto] {
            doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
        }
        Bytes::from(doc.transact().encode_state_as_update_v1(&StateVector::default()))
    };
    // In the middle of what was merged.
    for upto in [MERGED + 5, 2 * MERGED, updates.len()] {
        let number = log.number();
        log.begin_with(u64::try_from(upto).unwrap(), &state(upto));
        assert_eq!((log.number(), log.tail_updates()), (number, updates.len() - upto));
        assert_eq!(shown(log.state().into_iter().chain(log.updates())), before, "{upto}");
    }
    assert_eq!((log.tail.len(), log.tail_bytes()), (0, 0));
}

#[test]
fn a_merge_that_would_lose_something_is_seen() {
    let updates = drawn(30);
    let parts: Vec<Looked> = updates.iter().map(|update| inspect(update).unwrap()).collect();
    let whole = inspect(&merged(updates).unwrap()).unwrap();
    assert!(whole.is_made_of(&parts));
    for lost in 0..parts.len() {
        let mut rest = parts.clone();
        rest.remove(lost);
        assert!(!whole.is_made_of(&rest), "{lost}");
    }
}
