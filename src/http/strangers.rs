//! Sockets that have not said yet who they are, counted by address: whoever opens many and says
//! nothing keeps nobody else out.

use convoke_domain::{Code, Rejection};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Clone)]
pub struct Strangers(Arc<Inner>);

struct Inner {
    most: usize,
    counts: Mutex<HashMap<IpAddr, usize>>,
}

/// One of them; no longer counted when this is dropped.
pub struct Stranger {
    all: Strangers,
    address: IpAddr,
}

impl Strangers {
    pub fn new(most: usize) -> Self {
        Self(Arc::new(Inner { most, counts: Mutex::default() }))
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn enter(&self, address: IpAddr) -> Result<Stranger, Rejection> {
        let mut counts = self.counts();
        let count = counts.entry(address).or_default();
        if *count >= self.0.most {
            let mut full = Rejection::new(Code::RateLimited, "too many sockets of this address have not joined yet");
            full.retry_after_ms = Some(1_000);
            return Err(full);
        }
        *count = count.saturating_add(1);
        Ok(Stranger { all: self.clone(), address })
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        let mut counts = self.all.counts();
        let left = counts.get(&self.address).map_or(0, |count| count.saturating_sub(1));
        if left == 0 {
            counts.remove(&self.address);
        } else {
            counts.insert(self.address, left);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_has_its_number_and_gets_it_back() {
        let strangers = Strangers::new(2);
        let [one, other] = ["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap()];
        let first = strangers.enter(one).unwrap();
        let _second = strangers.enter(one).unwrap();
        let refused = strangers.enter(one).err().unwrap();
        assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimited, Some(1_000)));
        drop(strangers.enter(other).unwrap());
        drop(first);
        drop(strangers.enter(one).unwrap());
        drop(_second);
        assert!(strangers.counts().is_empty(), "nobody is remembered for nothing");
    }
}
