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

    /// Takes one request from a key's budget; Err with the seconds to wait.
    pub fn take(&self, key: &str) -> Result<Budget, u64> {
        let key = key.to_owned();
        match self.requests.check_key(&key) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let quota = state.quota();
                let missing = quota.burst_size().get().saturating_sub(remaining);
                let reset = quota.replenish_interval().saturating_mul(missing);
                Ok(Budget { limit: quota.burst_size().get(), remaining, reset_s: reset.as_secs().max(1) })
            }
            Err(until) => Err(until.wait_time_from(DefaultClock::default().now()).as_secs().saturating_add(1)),
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
