//! Two hundred thousand messages that no editor sends: nothing panics, what others draw is untouched, and the
//! log says what everybody sees.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use bytes::Bytes;
use common::{Painter, run};
use convoke_actors::ports::{BoardLog, Store};
use convoke_actors::whiteboard::deep::Place;
use convoke_actors::whiteboard::document::Document;
use convoke_actors::whiteboard::protocol;
use convoke_domain::CloseCode;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use yrs::updates::encoder::Encode;
use yrs::{Array, ArrayPrelim, Doc, Map, MapPrelim, ReadTxn, StateVector, Text, Transact, any};

const MESSAGES: usize = 200_000;
/// Messages between two strokes of those who mean no harm.
const EVERY: usize = 500;

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// What editors send: of every kind of content.
fn corpus() -> Vec<Bytes> {
    let doc = Doc::with_client_id(77);
    let (elements, list, text) =
        (doc.get_or_insert_map("elements"), doc.get_or_insert_array("list"), doc.get_or_insert_text("text"));
    let mut frames = Vec::new();
    let mut draw = |change: &dyn Fn(&mut yrs::TransactionMut<'_>)| {
        let mut txn = doc.transact_mut();
        change(&mut txn);
        frames.push(protocol::update(&txn.encode_update_v1()));
    };
    draw(&|txn| {
        elements.insert(txn, "good", any!({ "type": "line", "points": [[0, 1.5], [2, 3]] }));
    });
    draw(&|txn| {
        elements.insert(txn, "e", any!({ "text": "Grüße 🎨", "x": -7, "on": true, "none": null }));
    });
    draw(&|txn| {
        elements.insert(txn, "bytes", vec![1_u8, 2, 3]);
    });
    draw(&|txn| drop(elements.remove(txn, "e")));
    draw(&|txn| {
        let inner = list.push_back(txn, MapPrelim::default());
        inner.insert(txn, "deep", ArrayPrelim::default());
    });
    draw(&|txn| text.push(txn, "a longer text"));
    draw(&|txn| text.remove_range(txn, 2, 4));
    draw(&|txn| text.format(txn, 0, 3, [("b".into(), true.into())].into()));
    let txn = doc.transact();
    frames.push(protocol::step_2(&txn.encode_state_as_update_v1(&StateVector::default())));
    frames.push(protocol::step_1(&txn.state_vector().encode_v1()));
    frames.push(protocol::step_1(&[0]));
    let cursor = protocol::Presence { client: 77, clock: 1, state: "{\"cursor\":{\"x\":1}}".to_owned() };
    frames.push(protocol::cursors([&cursor].into_iter()));
    frames.push(Bytes::from_static(&[3]));
    frames
}

fn mutate(frame: &Bytes, other: &Bytes, chance: &mut SmallRng) -> Bytes {
    let mut bytes = frame.to_vec();
    for _ in 0..chance.random_range(1..4) {
        let at = chance.random_range(0..=bytes.len());
        match chance.random_range(0..7) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = chance.random(),
            2 => bytes.truncate(at),
            3 => bytes.insert(at, chance.random()),
            4 => {
                bytes.splice(at..at, [0xFF, 0xFF, 0xFF, 0xFF, chance.random_range(0..0x10)]);
            }
            5 if !other.is_empty() => {
                let from = chance.random_range(0..other.len());
                bytes.splice(at.., other[from..].iter().copied());
            }
            _ if at < bytes.len() => drop(bytes.remove(at)),
            _ => {}
        }
    }
    bytes.into()
}

#[test]
fn nothing_that_comes_breaks_a_board() {
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::SeqCst);
        loud(info);
    }));
    run(|world| async move {
        let (mut host, board) = world.with_board().await;
        let (mut one, mut two) = (world.painter(board, &host, 1).await, world.painter(board, &host, 2).await);
        let mut chance = SmallRng::seed_from_u64(7);
        let (corpus, mut sent_away, mut taken) = (corpus(), 0_usize, 0_usize);
        let mut bad = world.easel(board, &host, 1_000);
        bad.is_mute = true;
        bad.comes_again().await.unwrap();
        for number in 0..MESSAGES {
            if number % EVERY == 0 {
                let (key, value) = (format!("o{}", number / EVERY % 20), i64::try_from(number).unwrap());
                let (by, other) =
                    if (number / EVERY).is_multiple_of(2) { (&mut one, &mut two) } else { (&mut two, &mut one) };
                by.draws(&key, value).await;
                other.until(|painter| painter.sees().get(&key) == Some(&value.into())).await;
                by.until(|painter| painter.sees().get(&key) == Some(&value.into())).await;
                host.ask("participants.list", json!({})).await;
            }
            let pick = |chance: &mut SmallRng| &corpus[chance.random_range(0..corpus.len())];
            let frame = mutate(pick(&mut chance), pick(&mut chance), &mut chance);
            bad.says(frame).await.unwrap();
            tokio::task::yield_now().await;
            bad.hears_for(Duration::ZERO).await;
            if bad.closed.is_none() {
                taken += 1;
                continue;
            }
            assert_eq!(bad.closed, Some(CloseCode::ProtocolError.number()), "{:?}", bad.denied);
            bad.comes_again().await.unwrap();
            sent_away += 1;
        }
        assert!(sent_away > MESSAGES / 100 && taken > MESSAGES / 100, "{sent_away} {taken}");
        assert_eq!((one.closed, two.closed), (None, None));
        // What the garbled messages drew, they see alike.
        let mut fresh = world.painter(board, &host, 5).await;
        let last = fresh.draws("last", 1).await;
        fresh.until(|painter| painter.shown.last() == Some(&last)).await;
        for painter in [&mut one, &mut two, &mut fresh] {
            painter.until(|painter| painter.sees().contains_key("last")).await;
        }
        assert_eq!((one.sees(), one.vector()), (fresh.sees(), fresh.vector()));
        assert_eq!((two.sees(), two.vector()), (fresh.sees(), fresh.vector()));
        let log = world.store.board(&world.key, board).await.unwrap();
        assert!(is_whole(log, &fresh).await);
    });
    assert_eq!(PANICS.load(Ordering::SeqCst), 0);
}

/// Whether the log, read again, gives somebody who has nothing what this painter sees.
async fn is_whole(log: BoardLog, painter: &Painter) -> bool {
    let mut document = Document::load(log, Place::Here).await.unwrap();
    let doc = Doc::new();
    for message in document.since(&StateVector::default()).unwrap() {
        for message in protocol::read(&message).unwrap() {
            let (protocol::Message::Step2(update) | protocol::Message::Update(update)) = message else { continue };
            let update = <yrs::Update as yrs::updates::decoder::Decode>::decode_v1(&update).unwrap();
            doc.transact_mut().apply_update(update).unwrap();
        }
    }
    doc.transact().state_vector() == painter.vector()
}
