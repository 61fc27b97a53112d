//! Chance from the seed, shared by everything in one simulation: one seed is one run.

use convoke_domain::Millis;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// When every simulation begins, in Unix milliseconds.
const EPOCH: Millis = 1_700_000_000_000;

#[derive(Clone)]
pub struct Chance(Arc<Mutex<StdRng>>, Arc<AtomicU32>);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(StdRng::seed_from_u64(seed))), Arc::default())
    }

    pub fn is(&self, share: f64) -> bool {
        share > 0.0 && self.0.lock().unwrap().random_bool(share)
    }

    /// Less than `end`.
    pub fn below(&self, end: usize) -> usize {
        self.0.lock().unwrap().random_range(0..end)
    }

    /// From `least` to `most` milliseconds, in steps of a microsecond: no two things coincide.
    pub fn pause(&self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.0.lock().unwrap().random_range(least * 1_000..=most * 1_000))
    }

    pub fn number(&self) -> u64 {
        self.0.lock().unwrap().random()
    }

    /// In the order of their making, as those of a real clock.
    pub fn id(&self, at: Millis) -> Uuid {
        let mut bytes = [0_u8; 10];
        let made = self.1.fetch_add(1, Ordering::Relaxed);
        bytes[1..5].copy_from_slice(&made.to_be_bytes());
        uuid::Builder::from_unix_timestamp_millis(at, &bytes).into_uuid()
    }
}

/// The simulation's own time.
#[derive(Clone, Copy)]
pub struct Time(Instant);

impl Time {
    pub fn begin() -> Self {
        Self(Instant::now())
    }

    pub fn elapsed_ms(self) -> u64 {
        u64::try_from(self.0.elapsed().as_millis()).unwrap()
    }

    pub fn now(self) -> Millis {
        EPOCH + self.elapsed_ms()
    }
}

/// Runs what belongs to no node: the database, the wires, what is under way on them.
#[derive(Clone)]
pub struct Outside(mpsc::UnboundedSender<Pin<Box<dyn Future<Output = ()> + Send>>>);

impl Outside {
    /// Must be called on the simulation's own task set.
    pub fn begin() -> Self {
        let (sender, mut futures) = mpsc::unbounded_channel();
        tokio::task::spawn_local(async move {
            while let Some(future) = futures.recv().await {
                tokio::task::spawn_local(future);
            }
        });
        Self(sender)
    }

    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        // After the end of the simulation nothing is under way any more.
        let _ = self.0.send(Box::pin(future));
    }
}
