use super::*;
use convoke_domain::recording::{Part, TakeState};
use proptest::prelude::*;
use uuid::Uuid;

fn meeting(number: u128) -> MeetingId {
    MeetingId(Uuid::from_u128(number))
}

fn room(number: u128) -> RoomId {
    RoomId::Breakout(Uuid::from_u128(number))
}

fn of_room(at: u128, number: u128) -> Hint {
    Hint { meeting: meeting(at), room: Some(room(number)), take: None }
}

fn take(id: &str, state: TakeState) -> Take {
    Take { state, ..Take::of(id.to_owned(), &Part::Composite(0), "a/file.mp4".to_owned()) }
}

fn of_take(at: u128, take: Take) -> Hint {
    Hint { meeting: meeting(at), room: None, take: Some((RecordingId(Uuid::nil()), take)) }
}

fn bounds(meetings: usize, rooms: usize, takes: usize) -> Bounds {
    Bounds { meetings, rooms, takes, ..Bounds::default() }
}

fn holds(pending: &Pending) -> (usize, usize) {
    let state = pending.state();
    let bytes: usize = state.meetings.values().map(Waiting::bytes).sum();
    assert_eq!(state.bytes, bytes, "the sum is kept");
    (state.meetings.len(), bytes)
}

#[tokio::test(start_paused = true)]
async fn a_thousand_webhooks_of_one_meeting_are_one_reason_to_look() {
    let pending = Pending::new(Bounds::default());
    for number in 0..1_000 {
        pending.add(of_room(1, number % 3), Instant::now()).unwrap();
    }
    assert!(pending.take_due(Instant::now(), 10).is_empty(), "it is gathered for a moment");
    let began = Instant::now();
    let errands = pending.due(10).await;
    assert_eq!(began.elapsed(), GATHER);
    assert_eq!((errands.len(), errands[0].meeting), (1, meeting(1)));
    assert_eq!(errands[0].news.rooms, (0..3).map(room).collect());
    pending.done(meeting(1), Instant::now());
    assert_eq!(holds(&pending), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_meeting_is_told_one_thing_at_a_time_and_ten_a_second() {
    let pending = Pending::new(Bounds::default());
    pending.add(of_room(1, 1), Instant::now()).unwrap();
    assert_eq!(pending.due(10).await.len(), 1);
    // Said while it is told of the former.
    pending.add(of_room(1, 2), Instant::now()).unwrap();
    let later = Instant::now() + Duration::from_secs(60);
    assert!(pending.take_due(later, 10).is_empty(), "it is under way");
    pending.done(meeting(1), Instant::now());
    let began = Instant::now();
    let errands = pending.due(10).await;
    assert_eq!(began.elapsed(), GATHER);
    assert_eq!(errands[0].news.rooms, [room(2)].into());
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_woken_by_what_is_said() {
    let pending = Pending::new(Bounds::default());
    let adding = async {
        tokio::task::yield_now().await;
        pending.add(of_room(1, 1), Instant::now()).unwrap();
    };
    let (errands, ()) = tokio::join!(pending.due(10), adding);
    assert_eq!(errands.len(), 1);
}

#[test]
fn the_furthest_word_of_a_take_is_kept() {
    let (pending, now) = (Pending::new(Bounds::default()), Instant::now());
    use TakeState::{Active, Complete, Ending, Starting};
    for state in [Starting, Ending, Active, Complete, Starting] {
        pending.add(of_take(1, take("EG_1", state)), now).unwrap();
    }
    pending.add(of_take(1, take("EG_2", Starting)), now).unwrap();
    let more = Take { bytes: Some(7), ..take("EG_2", Starting) };
    pending.add(of_take(1, more), now).unwrap();
    let errand = pending.take_due(now + GATHER, 10).remove(0);
    let told: Vec<_> = errand.news.takes.iter().map(|(_, take)| (take.id.as_str(), take.state, take.bytes)).collect();
    assert_eq!(told, [("EG_1", Complete, None), ("EG_2", Starting, Some(7))]);
}

#[test]
fn what_could_not_be_told_is_told_with_what_was_said_meanwhile() {
    let (pending, now) = (Pending::new(Bounds::default()), Instant::now());
    pending.add(of_room(1, 1), now).unwrap();
    pending.add(of_take(1, take("EG_1", TakeState::Active)), now).unwrap();
    pending.add(of_take(1, take("EG_2", TakeState::Complete)), now).unwrap();
    let errand = pending.take_due(now + GATHER, 10).remove(0);
    assert_eq!(errand.tries, 0);
    pending.add(of_room(1, 2), now).unwrap();
    pending.add(of_take(1, take("EG_1", TakeState::Complete)), now).unwrap();
    pending.add(of_take(1, take("EG_2", TakeState::Active)), now).unwrap();
    pending.again(errand, now, Duration::from_secs(1));
    assert!(pending.take_due(now + Duration::from_millis(999), 10).is_empty());
    let errand = pending.take_due(now + Duration::from_secs(1), 10).remove(0);
    assert_eq!((errand.tries, &errand.news.rooms), (1, &[room(1), room(2)].into()));
    assert!(errand.news.takes.len() == 2 && errand.news.takes.iter().all(|(_, take)| take.state.is_over()));
    pending.done(meeting(1), now);
    assert_eq!(holds(&pending), (0, 0));
}

#[test]
fn the_longest_due_come_first_and_so_many_as_are_asked_for() {
    let (pending, now) = (Pending::new(Bounds::default()), Instant::now());
    for number in 0..5 {
        pending.add(of_room(number, 1), now + Duration::from_millis(10 - u64::try_from(number).unwrap())).unwrap();
    }
    let due = |most| -> Vec<MeetingId> {
        pending.take_due(now + Duration::from_secs(1), most).iter().map(|errand| errand.meeting).collect()
    };
    assert_eq!(due(2), [4, 3].map(meeting));
    assert_eq!(due(10), [2, 1, 0].map(meeting));
}

#[test]
fn beyond_its_bounds_nothing_is_kept() {
    let (pending, now) = (Pending::new(bounds(2, 3, 2)), Instant::now());
    for number in 0..3 {
        pending.add(of_room(1, number), now).unwrap();
    }
    assert_eq!(pending.add(of_room(1, 3), now), Err(Dropped::Full));
    assert_eq!(pending.add(of_room(1, 2), now), Ok(()), "it waits already");
    for id in ["EG_1", "EG_2"] {
        pending.add(of_take(1, take(id, TakeState::Starting)), now).unwrap();
    }
    assert_eq!(pending.add(of_take(1, take("EG_3", TakeState::Starting)), now), Err(Dropped::Full));
    assert_eq!(pending.add(of_take(1, take("EG_2", TakeState::Active)), now), Ok(()));
    pending.add(of_room(2, 1), now).unwrap();
    assert_eq!(pending.add(of_room(3, 1), now), Err(Dropped::Full));
    // What is under way counts, and what comes back to it does not go beyond the bounds either.
    let errands = pending.take_due(now + GATHER, 10);
    assert_eq!(pending.add(of_room(3, 1), now), Err(Dropped::Full));
    for number in 10..13 {
        pending.add(of_room(1, number), now).unwrap();
    }
    for errand in errands {
        pending.again(errand, now, GATHER);
    }
    let errand = pending.take_due(now + GATHER, 1).remove(0);
    assert_eq!((errand.meeting, errand.news.rooms.len(), errand.news.takes.len()), (meeting(1), 3, 2));
}

#[test]
fn texts_count_by_their_length() {
    let (pending, now) = (Pending::new(Bounds { bytes: 100_000, ..Bounds::default() }), Instant::now());
    let long = Take { error: Some("e".repeat(1_000_000)), ..take("EG_1", TakeState::Failed) };
    pending.add(of_take(1, long), now).unwrap();
    assert!(holds(&pending).1 < 2_000, "an error is cut");
    let long = Take { file: "f".repeat(99_000), ..take("EG_2", TakeState::Failed) };
    assert_eq!(pending.add(of_take(2, long), now), Err(Dropped::Full));
    let kept = (0..1_000).filter(|number| pending.add(of_room(*number, 1), now).is_ok()).count();
    assert!((200..999).contains(&kept), "{kept}");
    assert!(holds(&pending).1 <= 100_000);
}

#[test]
fn whoever_handed_on_and_is_gone_leaves_nobody_waiting() {
    let (pending, now) = (Pending::new(Bounds::default()), Instant::now());
    pending.add(of_room(1, 1), now).unwrap();
    pending.add(of_room(2, 1), now).unwrap();
    assert_eq!(pending.take_due(now + GATHER, 10).len(), 2);
    pending.add(of_room(1, 2), now).unwrap();
    pending.begin_anew(now);
    let errands = pending.take_due(now + GATHER, 10);
    assert_eq!((errands.len(), errands[0].meeting), (1, meeting(1)));
    assert_eq!(holds(&pending).0, 1);
}

#[derive(Clone, Debug)]
enum Step {
    Room(u128, u128),
    Take(u128, u8, u8, usize),
    Due(usize),
    Done,
    Again,
    Anew,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..8_u128, 0..6_u128).prop_map(|(meeting, room)| Step::Room(meeting, room)),
        4 => (0..8_u128, 0..6_u8, 0..5_u8, 0..3_000_usize).prop_map(|(m, id, state, len)| Step::Take(m, id, state, len)),
        2 => (1..4_usize).prop_map(Step::Due),
        2 => Just(Step::Done),
        2 => Just(Step::Again),
        1 => Just(Step::Anew),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_memory_is_bounded_and_nobody_is_told_twice_at_once(steps in prop::collection::vec(step(), 0..200)) {
        let pending = Pending::new(Bounds { meetings: 5, rooms: 4, takes: 3, bytes: 12_000 });
        let states = [TakeState::Starting, TakeState::Active, TakeState::Ending, TakeState::Complete, TakeState::Failed];
        let mut now = Instant::now();
        let mut out: Vec<Errand> = Vec::new();
        for step in steps {
            now += Duration::from_millis(60);
            match step {
                Step::Room(at, number) => { let _ = pending.add(of_room(at, number), now); }
                Step::Take(at, id, state, length) => {
                    let take = Take { file: "f".repeat(length), ..take(&format!("EG_{id}"), states[usize::from(state)]) };
                    let _ = pending.add(of_take(at, take), now);
                }
                Step::Due(most) => {
                    for errand in pending.take_due(now, most) {
                        prop_assert!(out.iter().all(|other| other.meeting != errand.meeting));
                        prop_assert!(errand.news != MediaNews::default());
                        prop_assert!(errand.news.rooms.len() <= 4 && errand.news.takes.len() <= 3);
                        out.push(errand);
                    }
                }
                Step::Done => if let Some(errand) = out.pop() { pending.done(errand.meeting, now) },
                Step::Again => if let Some(errand) = out.pop() { pending.again(errand, now, GATHER) },
                Step::Anew => { pending.begin_anew(now); out.clear(); }
            }
            let (meetings, bytes) = holds(&pending);
            prop_assert!(meetings <= 5 && bytes <= 12_000, "{meetings} meetings, {bytes} bytes");
        }
        // All of it is told in the end, and nothing is left.
        out.drain(..).for_each(|errand| pending.done(errand.meeting, now));
        loop {
            now += GATHER;
            let errands = pending.take_due(now, 2);
            if errands.is_empty() { break }
            errands.iter().for_each(|errand| pending.done(errand.meeting, now));
        }
        prop_assert_eq!(holds(&pending), (0, 0));
    }
}
