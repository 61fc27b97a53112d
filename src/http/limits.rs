//! Rate limits of the REST edge: so many requests a minute and key, so many failed authentications
//! a minute and address. Local to the node; counters forget keys that have gone quiet.

use crate::config::Config;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::num::NonZeroU32;

type Requests = RateLimiter<
    String,
    governor::state::keyed::DefaultKeyedStateStore<String>,
    DefaultClock,
    StateInformationMiddleware,
>;

pub struct RateLimits {
    requests: Requests,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    pub burst: NonZeroU32,
}

/// What the headers say.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    pub limit: u32,
    pub remaining: u32,
    /// Seconds until the budget is full again.
    pub reset_s: u64,
}

impl RateLimits {
    pub fn new(config: &Config) -> Self {
        let requests = Quota::per_minute(config.requests_per_minute).allow_burst(config.requests_burst);
        let failures = Quota::per_minute(config.auth_failures_per_minute);
        Self {
            requests: RateLimiter::keyed(requests).with_middleware::<StateInformationMiddleware>(),
            failures: RateLimiter::keyed(failures),
            burst: config.requests_burst,
        }
    }

    /// Takes one request from a key's budget; Err with the empty budget, whose reset is when the next
    /// request will be taken.
    pub fn take(&self, key: &str) -> Result<Budget, Budget> {
        let key = key.to_owned();
        match self.requests.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let quota = state.quota();
                let missing = quota.burst_size().get().saturating_sub(remaining);
                let reset = quota.replenish_interval().saturating_mul(missing);
                Ok(Budget { limit: quota.burst_size().get(), remaining, reset_s: reset.as_secs().max(1) })
            }
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1);
                Err(Budget { limit: self.burst.get(), remaining: 0, reset_s: wait })
            }
        }
    }

    /// Counts a failed authentication, or a guess; Err with the seconds to wait.
    pub fn fail(&self, address: IpAddr) -> Result<(), u64> {
        self.failures
            .check_key(&address)
            .map_err(|until| until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1))
    }

    /// Forgets who has gone quiet.
    pub fn tidy(&self) {
        self.requests.retain_recent();
        self.failures.retain_recent();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::path::Path;

    fn limits(settings: &[(&str, &str)]) -> RateLimits {
        let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/convoke.example.toml"));
        let flags: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RateLimits::new(&Config::load_from(Some(example), Vec::new(), &flags).unwrap())
    }

    #[test]
    fn a_budget_is_a_keys_own_and_tells_what_is_left() {
        let limits = limits(&[("requests_per_minute", "1"), ("requests_burst", "2")]);
        let first = limits.take("acme").unwrap();
        assert_eq!((first.limit, first.remaining), (2, 1));
        let second = limits.take("acme").unwrap();
        assert_eq!(second.remaining, 0);
        assert!(second.reset_s > first.reset_s, "a request a minute comes back");
        let spent = limits.take("acme").unwrap_err();
        assert_eq!((spent.limit, spent.remaining), (2, 0));
        assert!((1..=61).contains(&spent.reset_s), "{spent:?}");
        assert_eq!(limits.take("other").unwrap().remaining, 1);
        limits.tidy();
        assert!(limits.take("acme").is_err(), "who is still limited is not forgotten");
    }

    #[test]
    fn guesses_are_counted_by_address() {
        let limits = limits(&[("auth_failures_per_minute", "1")]);
        let [one, other] = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        assert!(limits.fail(one).is_ok() && limits.fail(one).is_err_and(|wait| wait > 0));
        assert!(limits.fail(other).is_ok());
    }
}
