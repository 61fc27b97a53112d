use super::super::event::Hint;
use super::super::pending::{Bounds, GATHER};
use super::super::running::Delivering;
use super::*;
use convoke_domain::{RoomId, TenantId};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Knows meetings below a thousand, says what it is told to say, and tells what it was told.
struct Script {
    says: Mutex<VecDeque<Says>>,
    told: mpsc::UnboundedSender<(Instant, MeetingId, MediaNews)>,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

enum Says {
    Outcome(Outcome),
    Nothing,
    Panic,
}

type Told = mpsc::UnboundedReceiver<(Instant, MeetingId, MediaNews)>;

fn script(says: Vec<Says>) -> (Arc<Script>, Told) {
    let (told, telling) = mpsc::unbounded_channel();
    let (at_once, most_at_once) = (AtomicUsize::new(0), AtomicUsize::new(0));
    (Arc::new(Script { says: Mutex::new(says.into()), told, at_once, most_at_once }), telling)
}

#[async_trait]
impl Owners for Script {
    async fn known(&self, meetings: &[MeetingId]) -> Option<HashMap<MeetingId, MeetingKey>> {
        let key = |meeting: MeetingId| MeetingKey { tenant: TenantId("acme".to_owned()), meeting };
        let ours = meetings.iter().filter(|meeting| meeting.0.as_u128() < 1_000);
        Some(ours.map(|meeting| (*meeting, key(*meeting))).collect())
    }

    async fn tell(&self, key: &MeetingKey, news: &MediaNews) -> Outcome {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        tokio::task::yield_now().await;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let _ = self.told.send((Instant::now(), key.meeting, news.clone()));
        let says = self.says.lock().unwrap().pop_front();
        match says {
            None => Outcome::Told,
            Some(Says::Outcome(outcome)) => outcome,
            Some(Says::Nothing) => std::future::pending().await,
            Some(Says::Panic) => panic!("as it was told to"),
        }
    }
}

fn say(pending: &Pending, meeting: u128, room: u128) -> Result<(), Dropped> {
    let (meeting, room) = (MeetingId(Uuid::from_u128(meeting)), Some(RoomId::Breakout(Uuid::from_u128(room))));
    pending.add(Hint { meeting, room, take: None }, Instant::now())
}

/// Everything that is told within a minute.
async fn all(told: &mut Told) -> Vec<(Instant, u128)> {
    let mut all = Vec::new();
    while let Ok(Some((at, meeting, _))) = tokio::time::timeout(Duration::from_secs(60), told.recv()).await {
        all.push((at, meeting.0.as_u128()));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_storm_is_told_at_a_bounded_rate_by_a_bounded_number() {
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(Vec::new()));
    let _delivering = Delivering::start(Arc::clone(&pending), owners.clone());
    let began = Instant::now();
    for number in 0..10_000_u32 {
        let meeting = if number % 2 == 0 { 1 } else { u128::from(number) % 1_000 };
        say(&pending, meeting, u128::from(number % 4)).unwrap();
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let all = all(&mut told).await;
    let of_one: Vec<Instant> = all.iter().filter(|(_, meeting)| *meeting == 1).map(|(at, _)| *at).collect();
    assert!(of_one.windows(2).all(|pair| pair[1] - pair[0] >= GATHER), "ten a second at most");
    assert!(of_one.len() > 50 && *of_one.last().unwrap() > began + Duration::from_secs(9), "until the end");
    assert!(owners.most_at_once.load(Ordering::SeqCst) <= AT_ONCE);
}

#[tokio::test(start_paused = true)]
async fn unknown_meetings_are_told_nothing() {
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(Vec::new()));
    let _delivering = Delivering::start(Arc::clone(&pending), owners);
    let dropped = (0..10_000).filter(|number| say(&pending, 1_000 + number, 1).is_err()).count();
    assert_eq!(dropped, 10_000 - Bounds::default().meetings);
    say(&pending, 1_000, 2).unwrap();
    assert!(all(&mut told).await.is_empty());
    // They have made room.
    say(&pending, 7, 1).unwrap();
    assert_eq!(all(&mut told).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_that_is_busy_is_told_again_a_few_times_more_slowly_each() {
    let says = (0..20).map(|_| Says::Outcome(Outcome::Later)).collect();
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(says));
    let _delivering = Delivering::start(Arc::clone(&pending), owners);
    say(&pending, 1, 1).unwrap();
    let all = all(&mut told).await;
    assert_eq!(all.len(), usize::try_from(TRIES_MAX).unwrap());
    let waits: Vec<Duration> = all.windows(2).map(|pair| pair[1].0 - pair[0].0).collect();
    assert!(waits.windows(2).all(|pair| pair[1] > pair[0]), "{waits:?}");
    // It begins afresh with what is said next.
    say(&pending, 1, 1).unwrap();
    assert_eq!(self::all(&mut told).await.len(), usize::try_from(TRIES_MAX).unwrap());
}

#[tokio::test(start_paused = true)]
async fn one_that_says_nothing_holds_up_nobody() {
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(vec![Says::Nothing]));
    let _delivering = Delivering::start(Arc::clone(&pending), owners);
    say(&pending, 1, 1).unwrap();
    let (first, ..) = told.recv().await.unwrap();
    say(&pending, 2, 1).unwrap();
    let (second, meeting, _) = told.recv().await.unwrap();
    assert_eq!((meeting.0.as_u128(), second - first <= GATHER * 2), (2, true));
    let (third, meeting, _) = told.recv().await.unwrap();
    assert_eq!(meeting.0.as_u128(), 1, "and is told again when it has had its time");
    assert!(third - first >= TELL);
}

#[tokio::test(start_paused = true)]
async fn what_may_not_be_told_is_not_tried_again() {
    let says = vec![Says::Outcome(Outcome::Dropped(Dropped::Asleep))];
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(says));
    let _delivering = Delivering::start(Arc::clone(&pending), owners);
    say(&pending, 1, 1).unwrap();
    assert_eq!(all(&mut told).await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_crash_ends_nothing_but_what_was_under_way() {
    // More often than an actor may crash before it gives up.
    let says = (0..10).map(|_| Says::Panic).collect();
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(says));
    let _delivering = Delivering::start(Arc::clone(&pending), owners);
    for number in 0..12 {
        say(&pending, 1, number).unwrap();
        let (_, _, news) = told.recv().await.unwrap();
        assert_eq!(news.rooms, [RoomId::Breakout(Uuid::from_u128(number))].into());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_stopped_tells_nothing_more() {
    let (pending, (owners, mut told)) = (Arc::new(Pending::new(Bounds::default())), script(Vec::new()));
    drop(Delivering::start(Arc::clone(&pending), owners));
    say(&pending, 1, 1).unwrap();
    assert!(all(&mut told).await.is_empty());
}
