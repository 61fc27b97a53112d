use super::*;
use futures_util::future::poll_fn;

fn outlet() -> Outlet {
    Outlet::new(Bounds { reliable_bytes_max: 100, ..Bounds::default() })
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_closed_at_the_bound() {
    let outlet = outlet();
    outlet.push_snapshot(Bytes::from(vec![0; 10_000]));
    outlet.push(Bytes::from(vec![1; 90]));
    assert_eq!(outlet.closed(), None, "a snapshot does not count");
    outlet.push(Bytes::from(vec![1; 20]));
    assert_eq!(outlet.closed(), Some(CloseCode::SlowConsumer));
    assert!(outlet.waiting_bytes() < 30, "what waited is let go");
    let last = poll_fn(|cx| outlet.poll_next(cx)).await;
    assert_eq!(last, Some(frame::close(CloseCode::SlowConsumer)));
    assert_eq!(poll_fn(|cx| outlet.poll_next(cx)).await, None);
}

#[tokio::test(start_paused = true)]
async fn one_snapshot_is_free_and_the_next_is_not_until_it_is_taken() {
    let outlet = outlet();
    outlet.push_snapshot(Bytes::from(vec![0; 10_000]));
    poll_fn(|cx| outlet.poll_next(cx)).await;
    outlet.push_snapshot(Bytes::from(vec![0; 10_000]));
    assert_eq!(outlet.closed(), None, "the first was taken");
    outlet.push_snapshot(Bytes::from(vec![0; 90]));
    assert_eq!(outlet.closed(), None, "within the bound");
    outlet.push_snapshot(Bytes::from(vec![0; 10_000]));
    assert_eq!(outlet.closed(), Some(CloseCode::SlowConsumer));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_closed_for_not_reading_is_given_up_at_once() {
    for code in [CloseCode::SlowConsumer, CloseCode::HeartbeatTimeout, CloseCode::Left] {
        let outlet = outlet();
        outlet.close(code);
        let is_given_up = poll_fn(|cx| Poll::Ready(outlet.poll_given_up(cx).is_ready())).await;
        assert_eq!(is_given_up, code != CloseCode::Left, "{code:?}");
        assert!(outlet.waiting_bytes() > 0, "why it ended is said where it still can be");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_but_honest_peer_lives_and_a_stalled_one_does_not() {
    let outlet = outlet();
    for _ in 0..10 {
        outlet.push(Bytes::from_static(b"0123456789"));
        while outlet.waiting_bytes() > 0 {
            poll_fn(|cx| outlet.poll_next(cx)).await;
        }
        tokio::time::advance(Duration::from_secs(10)).await;
        let position = outlet.0.borrow().written;
        outlet.heard_pong(&position.to_be_bytes());
        outlet.check();
        assert_eq!(outlet.closed(), None);
    }
    outlet.push(Bytes::from_static(b"unread"));
    tokio::time::advance(Duration::from_secs(14)).await;
    outlet.heard();
    outlet.check();
    assert_eq!(outlet.closed(), None);
    tokio::time::advance(Duration::from_secs(2)).await;
    outlet.heard();
    outlet.check();
    assert_eq!(outlet.closed(), Some(CloseCode::SlowConsumer));
}

/// A small buffer, or a short time for all of it, threw slow but honest clients out in a loop.
#[tokio::test(start_paused = true)]
async fn whoever_reads_steadily_is_not_thrown_out_for_being_behind() {
    let outlet = Outlet::new(Bounds::default());
    for _ in 0..10 {
        outlet.push(Bytes::from(vec![1; 100_000]));
    }
    // A frame in ten seconds: a hundred seconds for what came at once.
    while outlet.waiting_bytes() > 0 {
        let frame = poll_fn(|cx| outlet.poll_next(cx)).await.unwrap();
        if frame[0] == 0x89 {
            outlet.heard_pong(&frame[2..]);
        } else {
            tokio::time::advance(Duration::from_secs(10)).await;
        }
        outlet.check();
        assert_eq!(outlet.closed(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_for_what_was_never_sent_is_no_progress() {
    let outlet = outlet();
    outlet.push(Bytes::from_static(b"unread"));
    tokio::time::advance(Duration::from_secs(16)).await;
    outlet.heard_pong(&1_000_000_u64.to_be_bytes());
    outlet.check();
    assert_eq!(outlet.closed(), Some(CloseCode::SlowConsumer));
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_socket() {
    let outlet = outlet();
    tokio::time::advance(Duration::from_secs(26)).await;
    outlet.check();
    assert_eq!(outlet.closed(), Some(CloseCode::HeartbeatTimeout));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_read_between_a_hello_and_its_answer() {
    let outlet = outlet();
    let has_room = || std::future::poll_fn(|cx| Poll::Ready(outlet.poll_room(cx, 64).is_ready()));
    assert!(has_room().await);
    outlet.greet();
    assert!(!has_room().await);
    outlet.push(Bytes::from_static(b"something else"));
    assert!(!has_room().await);
    assert!(outlet.settle(0));
    assert!(has_room().await);
    assert!(!outlet.settle(0), "the same answer a second time is not for the client");
    outlet.greet();
    outlet.close(CloseCode::Unauthenticated);
    assert!(has_room().await, "one that is turned away is read to its end");
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_given_as_often_as_it_is_asked_for() {
    let outlet = outlet();
    outlet.take(1, Span::none());
    outlet.take(2, Span::none());
    assert!(outlet.settle(1) && !outlet.settle(1));
    outlet.repeat(1);
    assert_eq!((outlet.last_unanswered(), outlet.answered_upto()), (Some(2), 1));
    assert!(outlet.settle(1) && !outlet.settle(1) && outlet.settle(2));
}

#[tokio::test(start_paused = true)]
async fn signals_give_way_and_never_close() {
    let outlet = Outlet::new(Bounds { latest_bytes_max: 10, ..Bounds::default() });
    outlet.push(Bytes::from(vec![0; 50]));
    outlet.push_latest(Bytes::from_static(b"dropped"));
    assert_eq!(outlet.waiting_bytes(), 50);
    assert_eq!(outlet.closed(), None);
}
