//! Work that never gives up: where it crashes it begins anew, more slowly each time, because nobody else on
//! this node does it.

use convoke_actors::restart::{Intensity, Verdict, WINDOW};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use tokio_util::sync::CancellationToken;

pub async fn anew<F: Future<Output = ()>>(actor: &'static str, stop: &CancellationToken, work: impl Fn() -> F) {
    let mut intensity = Intensity::default();
    while AssertUnwindSafe(async { work().await }).catch_unwind().await.is_err() {
        metrics::counter!("convoke_actor_crashes_total", "actor" => actor).increment(1);
        tracing::error!(actor, "an actor crashed");
        let wait = match intensity.crashed() {
            Verdict::RestartAfter(wait) => wait,
            Verdict::GiveUp => WINDOW,
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test(start_paused = true)]
    async fn what_crashes_begins_anew_until_it_is_stopped() {
        let (begun, stop) = (AtomicU32::new(0), CancellationToken::new());
        let work = || async {
            assert!(begun.fetch_add(1, Ordering::Relaxed) == 20, "it crashes");
        };
        anew("test", &stop, work).await;
        assert_eq!(begun.load(Ordering::Relaxed), 21);
        stop.cancel();
        anew("test", &stop, || async { panic!("it crashes") }).await;
    }
}
