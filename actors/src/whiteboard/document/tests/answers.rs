//! What those who come back are answered: what they lack, and whether they erase something.

use super::*;
use std::ops::Range;

#[test]
fn whoever_was_here_is_given_what_they_lack() {
    let (mut document, mut one, mut two) = (empty(), Client::new(1), Client::new(2));
    take(&mut document, &one.draws("a", 1)).unwrap();
    two.hears(&document.since(&two.vector()).unwrap());
    take(&mut document, &one.draws("b", "x".repeat(1_000))).unwrap();
    take(&mut document, &one.draws("c", 1)).unwrap();
    two.hears(&document.since(&two.vector()).unwrap());
    assert_eq!(two.sees(), one.sees());
    let short: usize = document.since(&two.vector()).unwrap().iter().map(Bytes::len).sum();
    assert!(short < 100, "{short} bytes for who has everything");
}

#[test]
fn only_what_is_not_here_is_new() {
    let (mut document, mut one, mut two) = (empty(), Client::new(1), Client::new(2));
    take(&mut document, &one.draws("a", 1)).unwrap();
    take(&mut document, &one.draws("b", 1)).unwrap();
    take(&mut document, &one.erases("a")).unwrap();
    two.hears(&document.since(&two.vector()).unwrap());
    let is_new = |document: &Document, update: &Bytes| document.is_new(&inspect(update).unwrap());
    assert!(!is_new(&document, &two.all()) && !document.erases(&two.all()).unwrap(), "all of it, and what was erased");
    let erased = two.erases("b");
    assert!(!is_new(&document, &erased) && document.erases(&erased).unwrap());
    assert!(document.erases(&erased).unwrap(), "asked again, too");
    take(&mut document, &one.erases("b")).unwrap();
    assert!(!document.erases(&erased).unwrap(), "somebody else did");
    let mut three = Client::new(3);
    three.hears(&document.since(&three.vector()).unwrap());
    three.draws("mine", 1);
    assert!(is_new(&document, &three.all()));
}

/// After a failure many come at once who have the same, and each something of their own.
#[test]
fn what_many_lack_is_found_out_once() {
    let (mut document, mut author) = (empty(), Client::new(1));
    take(&mut document, &author.draws("a", 1)).unwrap();
    take(&mut document, &author.draws("b", 1)).unwrap();
    let mut many: Vec<Client> = (2..22).map(Client::new).collect();
    for client in &mut many {
        client.hears(&document.since(&client.vector()).unwrap());
    }
    take(&mut document, &author.draws("while they were away", 1)).unwrap();
    take(&mut document, &author.erases("a")).unwrap();
    let found_at = document.number();
    for (n, client) in many.iter_mut().enumerate() {
        let own = client.draws(&format!("own {n}"), 1);
        let messages = document.since(&client.vector()).unwrap();
        assert_eq!(messages.len(), 1, "all in one, by which they are synced");
        client.hears(&messages);
        take(&mut document, &own).unwrap();
        assert_eq!(client.sees(), sees(&document), "what others drew before it, too");
        assert_eq!(document.answers.walks.last(), Some(&found_at));
    }
    // Too much came since, or all of it is in a state.
    let late = |document: &mut Document| {
        let mut late = Client::new(99);
        late.hears(&[protocol::update(&author.said[0]), protocol::update(&author.said[1])]);
        late.hears(&document.since(&late.vector()).unwrap());
        assert_eq!(late.sees(), sees(document));
        document.answers.walks.last().copied().unwrap()
    };
    let mut last = Client::new(98);
    take(&mut document, &last.draws("large", "x".repeat(100_000))).unwrap();
    assert_eq!(late(&mut document), document.number());
    take(&mut document, &last.erases("large")).unwrap();
    let found_at = late(&mut document);
    take(&mut document, &last.draws("more", 1)).unwrap();
    let kept = BoardLog { updates: document.log().updates().collect(), ..BoardLog::default() };
    let (state, made) = joined(&kept.into()).unwrap();
    document.begins_with(document.number(), &state, made);
    assert!(found_at < document.number());
    assert_eq!(late(&mut document), document.number());
}

/// What is erased of the whole board is in each answer.
#[test]
fn what_is_kept_of_answers_has_bounds() {
    let (mut document, author) = (empty(), Client::new(1));
    let elements = |document: &mut Document, range: Range<u32>, is_erased: bool| {
        let map = author.doc.get_or_insert_map("elements");
        let mut txn = author.doc.transact_mut();
        for n in range.clone() {
            map.insert(&mut txn, format!("{n}"), 1);
        }
        for n in range.filter(|n| is_erased && n % 2 == 0) {
            map.remove(&mut txn, &format!("{n}"));
        }
        let update = Bytes::from(txn.encode_update_v1());
        drop(txn);
        take(document, &update).unwrap();
        author.vector()
    };
    let popular = elements(&mut document, 0..40_000, true);
    let long: usize = document.since(&popular).unwrap().iter().map(Bytes::len).sum();
    assert!(long > 64 << 10, "{long}");
    for n in 40_000..40_012 {
        let other = elements(&mut document, n..n + 1, false);
        document.since(&other).unwrap();
        document.since(&popular).unwrap();
    }
    assert_eq!(document.answers.walks.len(), 13, "what is asked for often stays");
    assert_eq!(document.answers.len(), 8);
}

/// Whoever comes back after any time, with what they drew meanwhile, has all of it then: also while the log is merged
/// and joined, and others come back.
#[test]
fn whoever_comes_back_at_any_time_has_all_of_it() {
    let (mut document, mut earlier, mut again) = (empty(), Bytes::from_static(&[0, 0]), 0);
    let mut clients: Vec<Client> = (1..7).map(Client::new).collect();
    let mut dice = 7_u32;
    let mut roll = |sides: u32| {
        dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (dice >> 16) % sides
    };
    for n in 0..3_000 {
        let client = &mut clients[usize::try_from(roll(6)).unwrap()];
        let key = format!("{}", roll(9));
        let update = if roll(4) == 0 { client.erases(&key) } else { client.draws(&key, n) };
        match roll(8) {
            0 => {
                client.hears(&document.since(&client.vector()).unwrap());
                take(&mut document, &client.all()).unwrap();
                assert_eq!(client.sees(), sees(&document), "{n}");
                assert!(!document.erases(&client.all()).unwrap(), "{n}");
                if roll(10) == 0 {
                    earlier = client.all();
                }
            }
            // Others who all went away at the same time.
            5 => {
                let mut twin = Client::new(50);
                twin.hears(&[protocol::update(&earlier)]);
                let theirs = twin.vector();
                twin.hears(&document.since(&theirs).unwrap());
                assert_eq!(twin.sees(), sees(&document), "{n}");
                again += usize::from(!theirs.is_empty() && document.answers.walks.last() < Some(&document.number()));
            }
            1 => {
                let upto = document.number();
                document.merge(upto);
                if roll(20) == 0 {
                    let (state, made) = joined(document.log()).unwrap();
                    document.begins_with(upto, &state, made);
                }
            }
            // It may hang in the air, and comes again.
            2..5 => drop(take(&mut document, &update).unwrap()),
            _ => {}
        }
    }
    assert!(document.number() > 500 && document.begins() > 0, "{} {}", document.number(), document.begins());
    assert!(again > 10, "{again} answers of before");
}
