//! Rate limits of the REST edge: so many requests a minute and key, so many failed authentications
//! a minute and address, and as many forged webhooks. All nodes count together where they can (`Shared`); where they cannot, now
//! or at all, each counts for itself, at once and without anybody being told. A node counts along
//! while others decide, so that it does not begin afresh when it is left alone.

use super::reads::digest;
use crate::config::Config;
use async_trait::async_trait;
use convoke_domain::TenantId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

type Requests =
    RateLimiter<Who, governor::state::keyed::DefaultKeyedStateStore<Who>, DefaultClock, StateInformationMiddleware>;

/// Whose budget it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    Key { tenant: TenantId, key: String },
    Address(IpAddr),
}

impl Who {
    /// The tenant, where there is one, and a digest: what it is made from is nobody else's business.
    fn name(&self, of: &str) -> String {
        match self {
            Self::Key { tenant, key } => format!("{of}:{tenant}:{}", digest(key.as_bytes())),
            Self::Address(address) => format!("{of}::{}", digest(address.to_string().as_bytes())),
        }
    }
}

/// What was said of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taken {
    pub is_granted: bool,
    pub remaining: u32,
    /// Until the budget is full again; where nothing was granted, until something would be.
    pub wait: Duration,
}

/// Budgets that all nodes take from.
#[async_trait]
pub trait Shared: Send + Sync {
    /// Takes one from the budget of this name. None: it cannot be said now, or not soon enough.
    async fn take(&self, name: &str, quota: Quota) -> Option<Taken>;
}

pub struct RateLimits {
    requests: Requests,
    requests_quota: Quota,
    failures: DefaultKeyedRateLimiter<IpAddr>,
    forgeries: DefaultKeyedRateLimiter<IpAddr>,
    failures_quota: Quota,
    shared: Option<Arc<dyn Shared>>,
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
    pub fn new(config: &Config, shared: Option<Arc<dyn Shared>>) -> Self {
        let requests_quota = Quota::per_minute(config.requests_per_minute).allow_burst(config.requests_burst);
        let failures_quota = Quota::per_minute(config.auth_failures_per_minute);
        Self {
            requests: RateLimiter::keyed(requests_quota).with_middleware::<StateInformationMiddleware>(),
            requests_quota,
            failures: RateLimiter::keyed(failures_quota),
            forgeries: RateLimiter::keyed(failures_quota),
            failures_quota,
            shared,
        }
    }

    async fn shared(&self, name: String, quota: Quota) -> Option<Taken> {
        self.shared.as_ref()?.take(&name, quota).await
    }

    /// Takes one request from a budget; Err with the empty budget, whose reset is when the next
    /// request will be taken.
    pub async fn take(&self, who: &Who) -> Result<Budget, Budget> {
        let taken = match self.shared(who.name("requests"), self.requests_quota).await {
            Some(taken) => {
                if taken.is_granted {
                    let _ = self.requests.check_key(who);
                }
                taken
            }
            None => self.take_here(who),
        };
        let (limit, wait_s) = (self.requests_quota.burst_size().get(), taken.wait.as_secs());
        if taken.is_granted {
            Ok(Budget { limit, remaining: taken.remaining, reset_s: wait_s.max(1) })
        } else {
            Err(Budget { limit, remaining: 0, reset_s: wait_s.saturating_add(1) })
        }
    }

    fn take_here(&self, who: &Who) -> Taken {
        match self.requests.check_key(who) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let missing = state.quota().burst_size().get().saturating_sub(remaining);
                let wait = state.quota().replenish_interval().saturating_mul(missing);
                Taken { is_granted: true, remaining, wait }
            }
            Err(until) => {
                let wait = until.wait_time_from(DefaultClock::default().now());
                Taken { is_granted: false, remaining: 0, wait }
            }
        }
    }

    /// Counts a failed authentication, or a guess; Err with the seconds to wait.
    pub async fn fail(&self, address: IpAddr) -> Result<(), u64> {
        self.count("failures", &self.failures, address).await
    }

    /// Counts a forged webhook, apart from the others: whoever sends those guesses at nobody's key.
    pub async fn forge(&self, address: IpAddr) -> Result<(), u64> {
        self.count("forgeries", &self.forgeries, address).await
    }

    async fn count(&self, of: &str, here: &DefaultKeyedRateLimiter<IpAddr>, address: IpAddr) -> Result<(), u64> {
        let wait = match self.shared(Who::Address(address).name(of), self.failures_quota).await {
            Some(taken) if taken.is_granted => {
                let _ = here.check_key(&address);
                return Ok(());
            }
            Some(taken) => taken.wait,
            None => match here.check_key(&address) {
                Ok(()) => return Ok(()),
                Err(until) => until.wait_time_from(DefaultClock::default().now()),
            },
        };
        Err(wait.as_secs().saturating_add(1))
    }

    /// Forgets who has gone quiet.
    pub fn tidy(&self) {
        self.requests.retain_recent();
        self.failures.retain_recent();
        self.forgeries.retain_recent();
        self.requests.shrink_to_fit();
        self.failures.shrink_to_fit();
        self.forgeries.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use std::path::Path;
    use std::sync::Mutex;

    fn limits(settings: &[(&str, &str)], shared: Option<Arc<dyn Shared>>) -> RateLimits {
        let example = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/convoke.example.toml"));
        let flags: Vec<_> = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        RateLimits::new(&Config::load_from(Some(example), Vec::new(), &flags).unwrap(), shared)
    }

    fn key(key: &str) -> Who {
        Who::Key { tenant: TenantId("acme".to_owned()), key: key.to_owned() }
    }

    #[tokio::test]
    async fn a_budget_is_a_keys_own_and_tells_what_is_left() {
        let limits = limits(&[("requests_per_minute", "1"), ("requests_burst", "2")], None);
        let first = limits.take(&key("one")).await.unwrap();
        assert_eq!((first.limit, first.remaining), (2, 1));
        let second = limits.take(&key("one")).await.unwrap();
        assert_eq!(second.remaining, 0);
        assert!(second.reset_s > first.reset_s, "a request a minute comes back");
        let spent = limits.take(&key("one")).await.unwrap_err();
        assert_eq!((spent.limit, spent.remaining), (2, 0));
        assert!((1..=61).contains(&spent.reset_s), "{spent:?}");
        assert_eq!(limits.take(&key("other")).await.unwrap().remaining, 1);
        limits.tidy();
        assert!(limits.take(&key("one")).await.is_err(), "who is still limited is not forgotten");
    }

    #[tokio::test]
    async fn guesses_are_counted_by_address() {
        let limits = limits(&[("auth_failures_per_minute", "1")], None);
        let [one, other] = ["192.0.2.1", "2001:db8::1"].map(|address| address.parse().unwrap());
        assert!(limits.fail(one).await.is_ok() && limits.fail(one).await.is_err_and(|wait| wait > 0));
        assert!(limits.fail(other).await.is_ok());
        assert!(limits.forge(one).await.is_ok(), "forged webhooks have a budget of their own");
        assert!(limits.forge(one).await.is_err_and(|wait| wait > 0) && limits.forge(other).await.is_ok());
    }

    /// Says what it is told to say, and remembers what it was asked.
    #[derive(Default)]
    struct Scripted {
        says: Mutex<Option<Taken>>,
        asked: Mutex<Vec<String>>,
    }

    #[async_trait]
    impl Shared for Scripted {
        async fn take(&self, name: &str, _: Quota) -> Option<Taken> {
            self.asked.lock().unwrap().push(name.to_owned());
            *self.says.lock().unwrap()
        }
    }

    #[tokio::test]
    async fn what_all_nodes_say_holds_and_alone_a_node_goes_on_from_what_it_saw() {
        let all = Arc::new(Scripted::default());
        let settings = [("requests_per_minute", "1"), ("requests_burst", "3"), ("auth_failures_per_minute", "2")];
        let limits = limits(&settings, Some(all.clone()));
        let say = |is_granted, remaining, wait_s| {
            *all.says.lock().unwrap() = Some(Taken { is_granted, remaining, wait: Duration::from_secs(wait_s) });
        };
        say(true, 1, 120);
        let taken = limits.take(&key("one")).await.unwrap();
        assert_eq!((taken.limit, taken.remaining, taken.reset_s), (3, 1, 120));
        say(false, 0, 30);
        let spent = limits.take(&key("one")).await.unwrap_err();
        assert_eq!((spent.limit, spent.remaining, spent.reset_s), (3, 0, 31));
        let address = "192.0.2.1".parse().unwrap();
        assert_eq!(limits.fail(address).await, Err(31));
        // They are away: of the three, one was granted here.
        *all.says.lock().unwrap() = None;
        assert_eq!(limits.take(&key("one")).await.unwrap().remaining, 1);
        assert_eq!(limits.take(&key("one")).await.unwrap().remaining, 0);
        assert!(limits.take(&key("one")).await.is_err());
        assert!(limits.fail(address).await.is_ok(), "what was refused was not counted");
        let asked = all.asked.lock().unwrap().join(" ");
        assert!(asked.contains("requests:acme:") && asked.contains("failures::"), "{asked}");
        assert!(!asked.contains("one") && !asked.contains("192.0.2.1"), "{asked}");
    }
}
