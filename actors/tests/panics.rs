//! Panics where no port can inject one: in the hub's handler of batches, and in a session's timer.
//! Both count something first, so the injection sits in the recorder of metrics.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod common;

use common::run;
use convoke_domain::CloseCode;
use convoke_domain::shapes::Role;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use serde_json::json;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Panics the first time that a metric of this name is counted, and counts nothing.
struct Mine {
    name: &'static str,
    struck: AtomicU32,
}

impl Mine {
    fn under(name: &'static str) -> Self {
        Self { name, struck: AtomicU32::new(0) }
    }

    fn has_struck(&self) -> bool {
        self.struck.load(Ordering::SeqCst) > 0
    }
}

impl Recorder for Mine {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        if key.name() == self.name && self.struck.fetch_add(1, Ordering::SeqCst) == 0 {
            panic!("injected into {}", self.name);
        }
        Counter::noop()
    }
    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }
    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}

#[test]
fn a_panic_in_the_hubs_handler_of_batches_loses_and_doubles_nothing() {
    let mine = Mine::under("convoke_gaps_total");
    let _armed = metrics::set_default_local_recorder(&mine);
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let mut bob = world.join("bob", Role::Participant).await;
        ada.event("participant.joined").await;
        // The batch behind a lost one is a gap, which the handler counts before it delivers.
        world.bus.loses.store(1, Ordering::SeqCst);
        let lost = ada.post("lost on the way").await;
        let next = ada.post("its hub crashes").await;
        let last = bob.post("and after").await;
        assert_eq!(ada.answer(lost).await["ok"], true);
        assert_eq!(ada.answer(next).await["ok"], true);
        assert_eq!(bob.answer(last).await["ok"], true);
        let all = ["lost on the way", "its hub crashes", "and after"];
        ada.until("the last", |message| message["data"]["message"]["text"] == all[2]).await;
        assert_eq!(world.store.texts(&world.key), all);
        assert_eq!(ada.texts(), all);
        assert_eq!(bob.texts(), all);
    });
    assert!(mine.has_struck());
}

#[test]
fn a_panic_in_a_sessions_timer_closes_its_socket_only() {
    let mine = Mine::under("convoke_sockets_closed_total");
    let _armed = metrics::set_default_local_recorder(&mine);
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        // This one never says hello: its timer closes it, and counts that.
        let mut silent = world.socket();
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(silent.close().await, CloseCode::InternalError);
        let post = ada.post("untouched").await;
        assert_eq!(ada.answer(post).await["ok"], true);
    });
    assert!(mine.has_struck());
}

#[test]
fn a_meeting_that_crashes_again_and_again_is_given_back_and_can_be_entered_anew() {
    run(|world| async move {
        let mut ada = world.join("ada", Role::Host).await;
        let post = ada.post("before").await;
        ada.answer(post).await;
        // Each of these kills twice before it is refused; the sixth crash in a minute is too many.
        world.media.panics.store(6, Ordering::SeqCst);
        for _ in 0..3 {
            ada.command("media.request", json!({})).await;
        }
        assert_eq!(ada.close().await, CloseCode::InternalError);
        assert_eq!(world.media.panics.load(Ordering::SeqCst), 0);
        let mut again = world.join("ada", Role::Host).await;
        let post = again.post("after").await;
        assert_eq!(again.answer(post).await["ok"], true);
        assert_eq!(world.store.texts(&world.key), ["before", "after"]);
    });
}
