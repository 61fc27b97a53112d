use super::*;
use crate::ports::{MeetingKey, Takes};
use crate::room::words::{Elsewhere, Person, WantedRecording};
use convoke_domain::RecordingId;
use convoke_domain::recording::{Format, Part, Recording, RecordingKind, RecordingStatus, Take, TakeState};
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

/// A room that is closed while a take of it runs, and that take.
fn closed() -> (Arc<Wanted>, Take) {
    let recording = Recording {
        id: RecordingId(Uuid::from_u128(9)),
        room: RoomId::Main,
        status: RecordingStatus::Stopping,
        kind: RecordingKind::Composite,
        format: Format::Mp4,
        audio_tracks: false,
        screen_share: false,
        consent: false,
        automatic: false,
        name: "name".to_owned(),
        asked_at: 0,
        started_at: Some(0),
        ended_at: None,
        interrupted: false,
        error: None,
    };
    let mut take = Take::of("EG_1".to_owned(), &Part::Composite(0), "a/b/name.mp4".to_owned());
    take.state = TakeState::Active;
    let takes = BTreeMap::from([(take.id.clone(), (take.part.clone(), take.state))]);
    let recordings = BTreeMap::from([(recording.id, WantedRecording { recording, takes })]);
    let open = Arc::unwrap_or_clone(wanted(0, &[]));
    (Arc::new(Wanted { state: RoomState::Closed, recordings, ..open }), take)
}

#[test]
fn what_runs_in_a_room_ends_before_the_room() {
    let now = Instant::now();
    let (closed, take) = closed();
    let mut hand = Hand::new(Arc::clone(&closed), now);
    let Some(look @ Call::List { .. }) = hand.next_call(now, true) else { panic!("it looks first") };
    let by_recording = BTreeMap::from([(RecordingId(Uuid::from_u128(9)), vec![take.clone()])]);
    hand.called(look, Called::Listed(Takes { by_recording }), now);
    let end = Call::End { take: take.id };
    assert_eq!(hand.next_call(now, true), Some(end.clone()));
    hand.called(end, Called::Done, now);
    assert_eq!(hand.next_call(now, true), Some(Call::Delete { room: closed.media.clone() }));
}

#[test]
fn a_recorder_that_does_not_answer_keeps_no_room() {
    let now = Instant::now();
    let (closed, take) = closed();
    let delete = Some(Call::Delete { room: closed.media.clone() });
    // It does not say what runs.
    let mut hand = Hand::new(Arc::clone(&closed), now);
    let look = hand.next_call(now, true).unwrap();
    hand.called(look, Called::Failed, now);
    let later = now + Duration::from_secs(5);
    assert_eq!(hand.next_call(later, true), delete);
    // It says so, and does not end it.
    let mut hand = Hand::new(Arc::clone(&closed), now);
    let look = hand.next_call(now, true).unwrap();
    let by_recording = BTreeMap::from([(RecordingId(Uuid::from_u128(9)), vec![take.clone()])]);
    hand.called(look, Called::Listed(Takes { by_recording }), now);
    hand.called(Call::End { take: take.id }, Called::Failed, now);
    let later = now + Duration::from_secs(1);
    assert_eq!(hand.next_call(later, true), delete);
}

#[test]
fn what_was_begun_after_a_listing_is_ended_though_it_does_not_stand_in_it() {
    let now = Instant::now();
    let (closed, take) = closed();
    let mut running = Arc::unwrap_or_clone(Arc::clone(&closed));
    running.state = RoomState::Open;
    running.recordings.values_mut().for_each(|wanted| {
        wanted.recording.status = RecordingStatus::Pending;
        wanted.takes.clear();
    });
    let mut hand = Hand::new(Arc::new(running), now);
    let begin = loop {
        let call = hand.next_call(now, true).unwrap();
        let outcome = match &call {
            Call::Begin { .. } => break call,
            Call::List { .. } => Called::Listed(Takes::default()),
            Call::Look { .. } => Called::There(Some(BTreeMap::new())),
            Call::Glance { .. } => Called::Glanced(None),
            _ => Called::Done,
        };
        hand.called(call, outcome, now);
    };
    hand.called(begin, Called::Began(Box::new(take.clone())), now);
    hand.take(ToRoom::Wanted(closed), now);
    let Some(look @ Call::List { .. }) = hand.next_call(now, true) else { panic!("it looks first") };
    hand.called(look, Called::Listed(Takes::default()), now);
    assert_eq!(hand.next_call(now, true), Some(Call::End { take: take.id }));
}
