#![allow(clippy::unwrap_used)]

use super::*;
use yrs::encoding::write::Write;
use yrs::updates::decoder::Decode;
use yrs::{Array, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact, Update, any};

fn drawn() -> Vec<u8> {
    let doc = Doc::with_client_id(7);
    let (elements, list, text) =
        (doc.get_or_insert_map("elements"), doc.get_or_insert_array("list"), doc.get_or_insert_text("text"));
    let mut txn = doc.transact_mut();
    for n in 0..20 {
        let points = (0..n).map(|at| any!([at, 1.5])).collect::<Vec<_>>();
        elements.insert(&mut txn, format!("e{}", n % 7), any!({ "type": "freedraw", "points": points, "x": -3 }));
    }
    let inner = list.push_back(&mut txn, MapPrelim::default());
    inner.insert(&mut txn, "k", "välue");
    list.push_back(&mut txn, MapPrelim::default());
    text.push(&mut txn, "so long 🎨");
    text.remove_range(&mut txn, 1, 2);
    drop(txn);
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

#[test]
fn what_editors_send_is_fit_and_counted() {
    let made = inspect(&drawn()).unwrap().made;
    assert_eq!(made.nested, 2);
    assert!(made.items > 20 && made.deletions > 0, "{made:?}");
    assert_eq!(inspect(&[0, 0]), Ok(Looked::default()), "nothing new");
    assert!(Made::default().is_empty());
}

#[test]
fn a_cut_anywhere_is_told() {
    let update = drawn();
    for end in 0..update.len() {
        assert_eq!(inspect(&update[..end]), Err(Unfit::Malformed), "{end}");
    }
    let mut longer = update;
    longer.push(0);
    assert_eq!(inspect(&longer), Err(Unfit::Malformed));
}

#[test]
fn a_few_bytes_do_not_ask_for_gigabytes() {
    let huge = [0xFF, 0xFF, 0xFF, 0xFF, 0x0F];
    assert_eq!(inspect(&huge), Err(Unfit::Malformed));
    assert_eq!(inspect(&[&[1], &huge[..], &[1, 0]].concat()), Err(Unfit::Malformed));
    assert_eq!(inspect(&[&[0], &huge[..]].concat()), Err(Unfit::Malformed));
    assert_eq!(inspect_state_vector(&huge), Err(Unfit::Malformed));
    assert_eq!(inspect_state_vector(&[1, 7, 3]), Ok(()));
}

#[test]
fn nesting_has_an_end() {
    let nested = |depth: usize| {
        let mut update = vec![1, 1, 7, 0, ANY, 1, 1, b'l'];
        update.push(1);
        update.extend([117, 1].repeat(depth));
        update.push(126);
        update.push(0);
        update
    };
    assert!(inspect(&nested(DEPTH_MAX)).is_ok());
    assert!(Update::decode_v1(&nested(DEPTH_MAX)).is_ok(), "it is read as the document reads it");
    assert_eq!(inspect(&nested(DEPTH_MAX + 1)), Err(Unfit::TooDeep));
    assert_eq!(inspect(&nested(400_000)), Err(Unfit::TooDeep));
}

#[test]
fn documents_within_documents_are_not_taken() {
    let doc = Doc::new();
    let inner = doc.get_or_insert_map("elements");
    inner.insert(&mut doc.transact_mut(), "sub", Doc::new());
    let update = doc.transact().encode_state_as_update_v1(&StateVector::default());
    assert_eq!(inspect(&update), Err(Unfit::Unsupported));
}

/// What the document here reads and writes without a name, and Yjs with one: everybody's board would end there.
#[test]
fn what_others_cannot_read_is_not_taken() {
    let of_kind = |kind: u8| [1, 1, 9, 0, TYPE, 1, 1, b'x', kind, 0];
    assert_eq!(inspect(&of_kind(1)).unwrap().made.nested, 1);
    assert_eq!(inspect(&of_kind(XML_HOOK)), Err(Unfit::Unsupported));
}

/// Two numbers that the document takes for one and the same client.
#[test]
fn ids_of_clients_are_whole_numbers_of_javascript() {
    let of_client = |client: u64| {
        let mut update = vec![1, 1];
        update.write_var(client);
        update.extend([0, ANY, 1, 1, b'l', 1, 126, 0]);
        update
    };
    assert!(inspect(&of_client(CLIENT_MAX)).is_ok());
    assert_eq!(inspect(&of_client(CLIENT_MAX + 1)), Err(Unfit::Malformed));
    let mut erased = vec![0, 1];
    erased.write_var(CLIENT_MAX + 8);
    erased.extend([1, 0, 1]);
    assert_eq!(inspect(&erased), Err(Unfit::Malformed));
    let mut vector = vec![1];
    vector.write_var(CLIENT_MAX + 8);
    vector.push(1);
    assert_eq!(inspect_state_vector(&vector), Err(Unfit::Malformed));
}

#[test]
fn values_are_counted_wherever_they_are() {
    let values = |content: &[u8]| inspect(&[&[1, 1, 9, 0], content, &[0]].concat()).unwrap().made.values;
    assert_eq!(values(&[ANY, 1, 1, b'l', 2, 126, 126]), 2);
    assert_eq!(values(&[ANY, 1, 1, b'l', 1, 117, 3, 126, 126, 126]), 4, "a list, and what is in it");
    assert_eq!(values(&[EMBED, 1, 1, b'l', 5, b'[', b'1', b',', b'2', b']']), 3);
}
