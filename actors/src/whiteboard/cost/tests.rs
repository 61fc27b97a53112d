#![allow(clippy::unwrap_used)]

use super::*;
use uuid::Uuid;

fn of(items: usize) -> Made {
    Made { items, ..Made::default() }
}

#[test]
fn steps_go_with_what_is_drawn_and_what_is_there() {
    assert_eq!(steps(of(10), of(90)), 1_000);
    assert_eq!(steps(of(10), Made::default()), 100, "an update may be awkward to itself");
    assert_eq!(steps(Made { deletions: 10, ..Made::default() }, of(90)), 900);
    assert_eq!(steps(of(1), Made { deletions: 90, ..of(9) }), 10, "what is deleted is among the items");
    assert_eq!(steps(of(1), Made { items: 99, positions: 3_200, ..Made::default() }), 200);
    assert_eq!(steps(of(usize::MAX), of(1)), usize::MAX);
}

#[test]
fn what_is_drawn_unseen_is_no_more_than_so_many_steps() {
    for board in [0, 1_000, 1_000_000] {
        let new = of(10_000);
        let some = at_once(new, of(board));
        assert!(some >= 1 && steps(of(some), of(board + 10_000 - some)) <= STEPS_UNSEEN, "{board}");
    }
    assert_eq!(at_once(of(1), of(usize::MAX)), 1, "it goes on, however slowly");
}

#[tokio::test(start_paused = true)]
async fn a_board_is_careful_for_a_while_when_something_took_long() {
    let (mut caution, bounds) = (Caution::default(), Bounds::default());
    caution.learn(bounds.time_shared, &bounds);
    assert_eq!(caution.steps(), STEPS_UNSEEN);
    caution.learn(bounds.time_shared.saturating_add(Duration::from_nanos(1)), &bounds);
    caution.learn(Duration::ZERO, &bounds);
    assert_eq!(caution.steps(), STEPS_CAREFUL);
    tokio::time::advance(CAREFUL.saturating_sub(Duration::from_millis(1))).await;
    assert_eq!(caution.steps(), STEPS_CAREFUL);
    tokio::time::advance(Duration::from_millis(2)).await;
    assert_eq!(caution.steps(), STEPS_UNSEEN);
}

#[tokio::test(start_paused = true)]
async fn many_that_take_little_are_much_together() {
    let (mut caution, bounds) = (Caution::default(), Bounds::default());
    for _ in 0..1_000 {
        assert!(!caution.needs_pause(&bounds));
        caution.learn(Duration::from_micros(50), &bounds);
    }
    caution.learn(Duration::from_micros(1), &bounds);
    assert!(caution.needs_pause(&bounds));
    assert_eq!(caution.steps(), STEPS_UNSEEN, "none of them took long");
    caution.paused();
    assert!(!caution.needs_pause(&bounds));
}

/// However many items a board has: whoever sets an element of it does so where the board is.
#[test]
fn a_stroke_on_a_full_board_is_not_much_at_worst() {
    let stroke = Made { items: 1, deletions: 1, ..Made::default() };
    assert!(steps(stroke, of(Bounds::default().items_max)) <= STEPS_UNSEEN);
    assert!(steps(stroke, of(Bounds::default().items_max)) > STEPS_CAREFUL);
}

#[tokio::test(start_paused = true)]
async fn what_a_session_has_spent_is_forgotten_little_by_little() {
    let bounds = Bounds {
        session_time_max: Duration::from_secs(5),
        session_time_per_s: Duration::from_millis(200),
        ..Bounds::default()
    };
    let (mut spent, one, two) = (Spent::default(), SessionId(Uuid::now_v7()), SessionId(Uuid::now_v7()));
    spent.add(one, Duration::from_secs(3), &bounds);
    spent.add(one, Duration::from_secs(2), &bounds);
    assert!(!spent.is_over(one, &bounds));
    spent.add(one, Duration::from_secs(1), &bounds);
    assert!(spent.is_over(one, &bounds) && !spent.is_over(two, &bounds));
    tokio::time::advance(Duration::from_millis(4_999)).await;
    assert!(spent.is_over(one, &bounds));
    tokio::time::advance(Duration::from_millis(2)).await;
    assert!(!spent.is_over(one, &bounds));
    // Sixty a second that take fifty microseconds each never come near it.
    for _ in 0..60 * 60 {
        spent.add(two, Duration::from_micros(50), &bounds);
        tokio::time::advance(Duration::from_millis(16)).await;
    }
    assert!(spent.of(two, &bounds) < Duration::from_millis(1));
}

/// Who draws nothing any more is not kept.
#[tokio::test(start_paused = true)]
async fn sessions_that_have_gone_are_forgotten() {
    let (mut spent, bounds) = (Spent::default(), Bounds::default());
    for _ in 0..10 * TIDY_AT {
        spent.add(SessionId(Uuid::now_v7()), Duration::from_millis(1), &bounds);
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    assert!(spent.sessions.len() <= TIDY_AT, "{}", spent.sessions.len());
}

#[test]
fn where_time_is_simulated_everything_takes_the_same() {
    let (simulated, real) = (Watch::new(Place::Here), Watch::new(Place::Aside));
    (0..1_000_000).for_each(|n| {
        std::hint::black_box(n);
    });
    assert_eq!(simulated.elapsed(), SIMULATED);
    assert!(real.elapsed() > SIMULATED);
}
