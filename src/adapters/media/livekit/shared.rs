//! A listing that all who ask share: one call to the server at a time, however many wait for it, and
//! none while the latest is new enough. A listing is as old as the moment in which it was asked for,
//! so whoever asks is never told of a time before the age that they accept. A failure is told to those
//! who waited for that call, and to nobody after them.

use convoke_actors::ports::MediaError;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub struct Shared<T>(Mutex<Latest<T>>);

/// What came of the latest calls, each with the moment in which it began.
struct Latest<T> {
    listing: Option<(Instant, Arc<T>)>,
    failure: Option<(Instant, String)>,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Mutex::new(Latest { listing: None, failure: None }))
    }
}

impl<T> Shared<T> {
    /// The listing, made by `list` if there is none that is new enough. A caller that gives up takes its
    /// call with it, and the next in the queue makes another.
    pub async fn get<F>(&self, age_max: Duration, list: impl FnOnce() -> F) -> Result<Arc<T>, MediaError>
    where
        F: Future<Output = Result<T, MediaError>>,
    {
        let asked_at = Instant::now();
        let mut latest = self.0.lock().await;
        if let Some((began_at, listing)) = &latest.listing
            && asked_at.saturating_duration_since(*began_at) <= age_max
        {
            return Ok(Arc::clone(listing));
        }
        if let Some((began_at, why)) = &latest.failure
            && *began_at > asked_at
        {
            return Err(MediaError(why.clone()));
        }
        let began_at = Instant::now();
        match list().await {
            Ok(listing) => {
                let listing = Arc::new(listing);
                latest.listing = Some((began_at, Arc::clone(&listing)));
                Ok(listing)
            }
            Err(MediaError(why)) => {
                latest.failure = Some((began_at, why.clone()));
                Err(MediaError(why))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    const AGE: Duration = Duration::from_secs(30);
    const CALL: Duration = Duration::from_secs(1);

    /// A server that numbers the calls made to it, and answers each after a second.
    #[derive(Default)]
    struct Double {
        shared: Shared<u32>,
        calls: AtomicU32,
        fails: std::sync::atomic::AtomicBool,
    }

    impl Double {
        async fn ask(&self, age_max: Duration) -> Result<u32, String> {
            let list = || async {
                let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
                let fails = self.fails.load(Ordering::SeqCst);
                tokio::time::sleep(CALL).await;
                if fails { Err(MediaError(format!("call {number} failed"))) } else { Ok(number) }
            };
            self.shared.get(age_max, list).await.map(|listing| *listing).map_err(|MediaError(why)| why)
        }

        async fn all(&self, age_max: Duration) -> Vec<Result<u32, String>> {
            futures_util::future::join_all((0..100).map(|_| self.ask(age_max))).await
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_who_wait_share_one_call() {
        let double = Double::default();
        assert_eq!(double.all(AGE).await, vec![Ok(1); 100]);
        assert_eq!(double.ask(AGE).await, Ok(1), "it is new enough");
    }

    #[tokio::test(start_paused = true)]
    async fn a_listing_is_as_old_as_its_question() {
        let double = Double::default();
        assert_eq!(double.ask(AGE).await, Ok(1));
        tokio::time::sleep(AGE - CALL).await;
        assert_eq!(double.ask(AGE).await, Ok(1));
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert_eq!(double.ask(AGE).await, Ok(2));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_wants_it_new_is_not_told_of_a_call_that_was_under_way() {
        let double = Arc::new(Double::default());
        let first = tokio::spawn({
            let double = Arc::clone(&double);
            async move { double.ask(Duration::ZERO).await }
        });
        tokio::time::sleep(CALL / 2).await;
        assert_eq!(double.all(Duration::ZERO).await, vec![Ok(2); 100], "one more does for all of them");
        assert_eq!(first.await.unwrap(), Ok(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_told_to_those_who_waited_and_forgotten() {
        let double = Double::default();
        double.fails.store(true, Ordering::SeqCst);
        let failed = double.ask(AGE);
        assert_eq!(failed.await, Err("call 1 failed".to_owned()));
        assert_eq!(double.ask(AGE).await, Err("call 2 failed".to_owned()), "whoever comes later asks anew");
        double.fails.store(false, Ordering::SeqCst);
        assert_eq!(double.ask(AGE).await, Ok(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_keeps_nobody_in_the_queue_for_calls_of_their_own() {
        let double = Arc::new(Double::default());
        double.fails.store(true, Ordering::SeqCst);
        let first = tokio::spawn({
            let double = Arc::clone(&double);
            async move { double.ask(AGE).await }
        });
        tokio::time::sleep(CALL / 2).await;
        let told = double.all(AGE).await;
        assert!(told.iter().all(|told| *told == Err("call 2 failed".to_owned())), "{told:?}");
        assert_eq!(first.await.unwrap(), Err("call 1 failed".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_who_gives_up_holds_up_nobody() {
        let double = Double::default();
        assert!(tokio::time::timeout(CALL / 2, double.ask(AGE)).await.is_err());
        assert_eq!(double.ask(AGE).await, Ok(2));
    }
}
