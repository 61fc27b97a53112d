//! What ties one life of a node to the world: cut, frozen or dead, nothing passes any more.

use crate::plan::When;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use tokio::sync::watch;

/// Cuts outlive a node's life; so does what freezes the machine.
#[derive(Default)]
pub struct Machine {
    pub bus_cuts: AtomicU32,
    pub database_cuts: AtomicU32,
    freezes: AtomicU32,
    frozen: Mutex<Option<Waker>>,
    /// Panics that are to be injected.
    pub panics: AtomicU32,
}

impl Machine {
    pub fn freeze(&self) {
        self.freezes.fetch_add(1, Ordering::Relaxed);
    }

    pub fn thaw(&self) {
        if self.freezes.fetch_sub(1, Ordering::Relaxed) == 1
            && let Some(waker) = self.frozen.lock().unwrap().take()
        {
            waker.wake();
        }
    }

    /// Whether the machine stands still; if so, the waker is woken when it goes on.
    pub fn is_frozen(&self, waker: &Waker) -> bool {
        let is = self.freezes.load(Ordering::Relaxed) > 0;
        if is {
            *self.frozen.lock().unwrap() = Some(waker.clone());
        }
        is
    }
}

pub struct Link {
    pub node: usize,
    pub machine: Arc<Machine>,
    death: watch::Sender<bool>,
    doom: Mutex<Option<When>>,
}

impl Link {
    pub fn new(node: usize, machine: Arc<Machine>) -> Arc<Self> {
        Arc::new(Self { node, machine, death: watch::Sender::new(false), doom: Mutex::default() })
    }

    pub fn doom(&self, when: When) {
        match when {
            When::Now => self.die(),
            later => *self.doom.lock().unwrap() = Some(later),
        }
    }

    pub fn die(&self) {
        self.death.send_replace(true);
    }

    pub fn is_dead(&self) -> bool {
        *self.death.borrow()
    }

    pub fn deaths(&self) -> watch::Receiver<bool> {
        self.death.subscribe()
    }

    pub fn hears_bus(&self) -> bool {
        !self.is_dead() && self.machine.bus_cuts.load(Ordering::Relaxed) == 0
    }

    pub fn hears_database(&self) -> bool {
        !self.is_dead() && self.machine.database_cuts.load(Ordering::Relaxed) == 0
    }

    pub fn polled(&self) {
        self.count(|when| match when {
            When::Polls(left) => Some(left),
            _ => None,
        });
    }

    pub fn asks(&self) {
        self.count(|when| match when {
            When::Asking(left) => Some(left),
            _ => None,
        });
    }

    pub fn is_answered(&self) {
        self.count(|when| match when {
            When::Answered(left) => Some(left),
            _ => None,
        });
    }

    fn count(&self, counter: impl Fn(&mut When) -> Option<&mut u32>) {
        let mut doom = self.doom.lock().unwrap();
        let Some(left) = doom.as_mut().and_then(counter) else { return };
        match left.checked_sub(1) {
            Some(fewer) => *left = fewer,
            None => {
                *doom = None;
                self.die();
            }
        }
    }
}
