use super::*;
use crate::ports::MeetingKey;
use crate::room::words::{Elsewhere, Person};
use convoke_domain::shapes::RoomState;
use convoke_domain::{MeetingId, Seq, TenantId};
use std::collections::BTreeMap;
use uuid::Uuid;

fn wanted(generation: u32, sessions: &[u128]) -> Arc<Wanted> {
    let key = MeetingKey { tenant: TenantId("t".into()), meeting: MeetingId(Uuid::nil()) };
    let sessions = sessions.iter().map(|number| SessionId(Uuid::from_u128(*number))).collect();
    let people = BTreeMap::from([(ParticipantId(Uuid::nil()), Person { sessions, ..Person::default() })]);
    let media = MediaRoom { key, room: RoomId::Main, generation };
    let (recordings, elsewhere) = (BTreeMap::new(), Elsewhere::default());
    Arc::new(Wanted { at_seq: Seq(1), state: RoomState::Open, media, people, recordings, elsewhere })
}

/// Makes all calls that are due; answers those that change something.
fn settle(hand: &mut Hand, there: &[u128], now: Instant) -> Vec<Call> {
    let mut made = Vec::new();
    while let Some(call) = hand.next_call(now, false) {
        let there = there.iter().map(|number| (SessionId(Uuid::from_u128(*number)), Guest::default())).collect();
        let outcome = match call {
            Call::Look { .. } => Called::There(Some(there)),
            Call::Glance { .. } => Called::Glanced(None),
            _ => Called::Done,
        };
        hand.called(call.clone(), outcome, now);
        made.push(call);
    }
    made.into_iter().filter(|call| !matches!(call, Call::Look { .. } | Call::Glance { .. })).collect()
}

#[test]
fn another_generation_is_made_before_the_former_is_deleted() {
    let now = Instant::now();
    let (first, second) = (wanted(1, &[]), wanted(2, &[]));
    let mut hand = Hand::new(Arc::clone(&first), now);
    settle(&mut hand, &[], now);
    hand.take(ToRoom::Wanted(Arc::clone(&second)), now);
    let ensure = Call::Ensure { room: second.media.clone() };
    assert_eq!(settle(&mut hand, &[], now), [ensure, Call::Delete { room: first.media.clone() }]);
}

#[test]
fn a_stranger_may_be_ahead_of_the_word_that_wants_them() {
    let now = Instant::now();
    let mut hand = Hand::new(wanted(0, &[1]), now);
    assert_eq!(settle(&mut hand, &[1, 2, 3], now).len(), 1, "the room is made, and nobody removed");
    hand.take(ToRoom::Wanted(wanted(0, &[1, 2])), now);
    let removed = settle(&mut hand, &[1, 2, 3], now + crate::room::people::SUSPICION);
    let session = SessionId(Uuid::from_u128(3));
    assert_eq!(removed, [Call::Deed { room: wanted(0, &[]).media.clone(), deed: Deed::Remove(session) }]);
}

#[test]
fn whoever_was_wanted_and_is_not_any_more_has_a_moment_to_go() {
    let now = Instant::now();
    let mut hand = Hand::new(wanted(0, &[1, 2]), now);
    settle(&mut hand, &[1, 2], now);
    hand.take(ToRoom::Wanted(wanted(0, &[1])), now);
    assert!(settle(&mut hand, &[1, 2], now).is_empty());
    assert_eq!(settle(&mut hand, &[1, 2], now + LEAVING).len(), 1);
}
