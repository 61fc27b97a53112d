//! The task that hands on. If it crashes, what it had under way is lost, which nothing rests on, and it
//! begins anew, more slowly each time; it never gives up, because nobody else does it.

use super::deliver::{Owners, deliver};
use super::pending::Pending;
use convoke_actors::restart::{Intensity, Verdict, WINDOW};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Hands on until it is stopped or dropped.
pub struct Delivering(JoinHandle<()>);

impl Delivering {
    pub fn start(pending: Arc<Pending>, owners: Arc<dyn Owners>) -> Self {
        Self(tokio::spawn(async move {
            let mut intensity = Intensity::default();
            loop {
                pending.begin_anew(Instant::now());
                // What it leaves behind is put right at the next beginning.
                if AssertUnwindSafe(deliver(&pending, &*owners)).catch_unwind().await.is_ok() {
                    return;
                }
                metrics::counter!("convoke_actor_crashes_total", "actor" => "news").increment(1);
                tracing::error!(actor = "news", "an actor crashed");
                let wait = match intensity.crashed() {
                    Verdict::RestartAfter(wait) => wait,
                    Verdict::GiveUp => WINDOW,
                };
                tokio::time::sleep(wait).await;
            }
        }))
    }
}

impl Drop for Delivering {
    fn drop(&mut self) {
        self.0.abort();
    }
}
