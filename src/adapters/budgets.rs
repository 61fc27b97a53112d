//! The budgets that nodes share, kept by Redis: a script takes one request and says what is left, in
//! one round trip and by Redis's own clock. A budget is one number, the moment at which it will be
//! full again, and goes when that has come. Where Redis does not answer soon, nothing is said, and
//! for a while it is not asked, so that its absence costs hardly anybody any time.

use super::bus::{Link, Script};
use crate::http::limits::{Shared, Taken};
use async_trait::async_trait;
use governor::Quota;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a request may wait to be counted.
const SOON: Duration = Duration::from_millis(200);
/// How long Redis is left alone when it did not answer.
const REST: Duration = Duration::from_secs(1);

/// All times in microseconds, which a double holds exactly until the year 2255. A moment further away
/// than an empty budget comes from another clock, of a master that was replaced, and counts as that.
const TAKE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, size = tonumber(ARGV[1]), ARGV[1] * ARGV[2]
local full = tonumber(redis.call('GET', KEYS[1]) or now)
full = math.min(math.max(full, now), now + size) + interval
local over = full - now - size
if over > 0 then
    return {0, 0, over}
end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
return {1, math.floor(-over / interval), full - now}
";

pub struct RedisBudgets {
    link: Arc<Link>,
    script: Script,
    rests_until: Mutex<Option<Instant>>,
}

impl RedisBudgets {
    pub fn new(link: Arc<Link>) -> Self {
        Self { link, script: Script::new(TAKE), rests_until: Mutex::default() }
    }

    fn is_resting(&self) -> bool {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn rest(&self) {
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now().checked_add(REST);
    }

    async fn ask(&self, name: &str, quota: Quota) -> Option<Taken> {
        let mut connection = self.link.connection()?;
        let interval = u64::try_from(quota.replenish_interval().as_micros()).ok()?.max(1);
        let (key, arguments) = (format!("convoke:limit:{name}"), [interval, u64::from(quota.burst_size().get())]);
        let told = tokio::time::timeout(SOON, connection.run(&self.script, &key, &arguments)).await;
        let Ok(Ok((granted, remaining, wait_us))) = told else {
            self.rest();
            return None;
        };
        let granted: u32 = granted;
        Some(Taken { is_granted: granted == 1, remaining, wait: Duration::from_micros(wait_us) })
    }
}

#[async_trait]
impl Shared for RedisBudgets {
    async fn take(&self, name: &str, quota: Quota) -> Option<Taken> {
        let taken = if self.is_resting() { None } else { self.ask(name, quota).await };
        if taken.is_none() {
            metrics::counter!("convoke_limits_alone_total").increment(1);
        }
        taken
    }
}
