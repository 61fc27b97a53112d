#![allow(clippy::unwrap_used)]

use super::super::inspect::{DELETED, GC, HAS_ORIGIN, SKIP};
use super::*;
use yrs::updates::decoder::Decode;
use yrs::{Array, Doc, Map, ReadTxn, StateVector, Text, Transact, Update};

#[test]
fn what_builds_on_nothing_is_not_allowed() {
    let doc = Doc::with_client_id(7);
    let text = doc.get_or_insert_text("text");
    let draws = |what: &str| {
        let mut txn = doc.transact_mut();
        text.push(&mut txn, what);
        inspect(&txn.encode_update_v1()).unwrap()
    };
    let (first, second) = (draws("a"), draws("b"));
    let mut clocks = Clocks::default();
    assert!(clocks.allow(&first) && !clocks.allow(&second));
    clocks.take(&first);
    assert!(clocks.allow(&first) && clocks.allow(&second), "what is known may come again");
    let erasure = inspect(&[0, 1, 7, 1, 5, 1]).unwrap();
    assert!(!clocks.allow(&erasure), "what was never drawn is not erased");
    let gap = inspect(&[1, 2, 9, 0, SKIP, 3, GC, 1, 0]).unwrap();
    assert!(!clocks.allow(&gap));
    let itself = inspect(&[1, 1, 9, 0, HAS_ORIGIN | DELETED, 9, 0, 1, 0]).unwrap();
    assert!(!clocks.allow(&itself), "it stands on itself");
    let each_other = [2, 1, 9, 0, HAS_ORIGIN | DELETED, 8, 0, 1, 1, 8, 0, HAS_ORIGIN | DELETED, 9, 0, 1, 0];
    assert!(!clocks.allow(&inspect(&each_other).unwrap()), "they stand on each other");
    let elsewhere = inspect(&[1, 1, 9, 0, HAS_ORIGIN | DELETED, 8, 0, 1, 0]).unwrap();
    assert!(!clocks.allow(&elsewhere), "it stands beside what another drew");
}

#[test]
fn of_an_update_that_hangs_in_the_air_a_part_may_stand() {
    let doc = Doc::with_client_id(7);
    let text = doc.get_or_insert_text("text");
    let draws = |what: &str| {
        let mut txn = doc.transact_mut();
        text.push(&mut txn, what);
        txn.encode_update_v1()
    };
    let (first, second, third) = (draws("a"), draws("b"), draws("c"));
    let mut clocks = Clocks::default();
    let empty = vec![0, 0];
    assert_eq!(standing(&second, &clocks).unwrap(), empty);
    clocks.take(&inspect(&first).unwrap());
    assert_eq!(standing(&second, &clocks).unwrap(), second, "all of it");
    assert_eq!(standing(&third, &clocks).unwrap(), empty);
    // Another's, beside what is not known yet, and its own that is not.
    let other = Doc::with_client_id(9);
    let own = other.get_or_insert_map("own");
    own.insert(&mut other.transact_mut(), "fine", 1);
    let fine = other.transact().encode_state_as_update_v1(&StateVector::default());
    other.transact_mut().apply_update(Update::decode_v1(&first).unwrap()).unwrap();
    other.transact_mut().apply_update(Update::decode_v1(&second).unwrap()).unwrap();
    let theirs = other.get_or_insert_text("text");
    theirs.push(&mut other.transact_mut(), "beside b");
    let all = other.transact().encode_state_as_update_v1(&StateVector::default());
    let foreign = inspect(&all).unwrap();
    assert!(clocks.allow(&foreign), "it brings what it builds on");
    let mut without = Clocks::default();
    without.take(&inspect(&first).unwrap());
    let only_own = other.transact().encode_state_as_update_v1(&doc.transact().state_vector());
    assert!(!without.allow(&inspect(&only_own).unwrap()));
    let part = standing(&only_own, &without).unwrap();
    assert!(without.allow(&inspect(&part).unwrap()));
    assert_eq!(part, fine, "what stood alone");
    // What is left out within an update, and what is erased beyond it.
    let gap = [1, 3, 9, 0, GC, 2, SKIP, 3, GC, 1, 1, 9, 2, 0, 1, 1, 4];
    assert_eq!(standing(&gap, &clocks).unwrap(), [1, 1, 9, 0, GC, 2, 1, 9, 2, 0, 1, 1, 1]);
}

/// A hundred thousand clients, each of whom builds on the next: looked at once each, and not once for each other.
#[test]
fn a_long_chain_of_clients_is_followed() {
    let count = 100_000_u32;
    let mut looked = Looked::default();
    for client in 0..count {
        let needs = looked.needs.len()..looked.needs.len() + 1;
        looked.needs.push((u64::from(client) + 1, 1));
        looked.blocks.push(Block {
            client: client.into(),
            clock: 0,
            length: 1,
            positions: 1,
            is_gap: false,
            bytes: 0..0,
            needs,
        });
    }
    let mut clocks = Clocks::default();
    assert!(!clocks.allow(&looked), "the last stands on nothing");
    let last =
        Block { client: count.into(), clock: 0, length: 1, positions: 1, is_gap: false, bytes: 0..0, needs: 0..0 };
    clocks.take(&Looked { blocks: vec![last], ..Looked::default() });
    assert!(clocks.allow(&looked));
}

/// What is passed over within an update is known; the clocks behind it stay what they are.
#[test]
fn a_gap_that_is_known_shifts_nothing() {
    let mut clocks = Clocks::default();
    clocks.take(&inspect(&[1, 1, 7, 0, 8, 1, 1, b'l', 3, 126, 126, 126, 0]).unwrap());
    // One that is known, a gap of two that is known, one that is new, and one that hangs in the air.
    let update = [1, 4, 7, 0, 8, 1, 1, b'l', 1, 126, SKIP, 2, 0x88, 7, 2, 1, 121, 0x88, 9, 0, 1, 126, 0];
    let part = standing(&update, &clocks).unwrap();
    let looked = inspect(&part).unwrap();
    let clocks_of: Vec<(u32, bool)> = looked.blocks.iter().map(|block| (block.clock, block.is_gap)).collect();
    assert_eq!(clocks_of, [(0, false), (1, true), (3, false)]);
}

#[test]
fn parts_are_small_and_stand_on_each_other() {
    let doc = Doc::with_client_id(7);
    let list = doc.get_or_insert_array("list");
    for n in 0..40 {
        list.insert(&mut doc.transact_mut(), 0, n);
        list.remove_range(&mut doc.transact_mut(), 0, u32::from(n % 3 == 0));
    }
    let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
    let looked = inspect(&update).unwrap();
    let parts = parts(&update, &looked, &Clocks::default(), 4);
    let (mut clocks, mut made) = (Clocks::default(), Made::default());
    for part in &parts {
        let looked = inspect(part).unwrap();
        assert!(looked.made.weight() <= 4 && clocks.allow(&looked), "{looked:?}");
        clocks.take(&looked);
        made = made.and(looked.made);
    }
    assert_eq!((made, parts.len() > 10), (looked.made, true));
}
