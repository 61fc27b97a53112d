//! What the boards of a node share: what each may take, whose time it is, and where they are.

use super::BoardActor;
use super::cost::Spent;
use super::deep::Place;
use super::document::Bounds;
use actix::Addr;
use convoke_domain::{SessionId, WhiteboardId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Boards of a node that are drawn on at once, aside.
pub const DRAWN_ASIDE_AT_ONCE: usize = 2;

/// What the boards of a node share.
#[derive(Clone)]
pub struct Whiteboards {
    pub bounds: Bounds,
    /// Where boards are read and joined, and drawn on where that may take long.
    pub place: Place,
    /// Places for what is drawn aside. Nobody who reads or joins a board waits for them.
    pub drawing: Arc<Semaphore>,
    /// The place for joining a board that nobody looks at any more.
    pub leaving: Arc<Semaphore>,
    spent: Arc<Mutex<Spent>>,
    addresses: Arc<Mutex<HashMap<WhiteboardId, Addr<BoardActor>>>>,
}

impl Whiteboards {
    pub fn new(bounds: Bounds, place: Place) -> Self {
        let drawing = Arc::new(Semaphore::new(DRAWN_ASIDE_AT_ONCE));
        let leaving = Arc::new(Semaphore::new(1));
        Self { bounds, place, drawing, leaving, spent: Arc::default(), addresses: Arc::default() }
    }

    pub(super) fn spend(&self, session: SessionId, cost: Duration) {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).add(session, cost, &self.bounds);
    }

    pub(super) fn has_spent(&self, session: SessionId) -> bool {
        self.spent.lock().unwrap_or_else(PoisonError::into_inner).is_over(session, &self.bounds)
    }

    /// The board's actor, if it is awake here.
    pub fn find(&self, board: WhiteboardId) -> Option<Addr<BoardActor>> {
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.get(&board).filter(|address| address.connected()).cloned()
    }

    pub(super) fn add(&self, board: WhiteboardId, address: Addr<BoardActor>) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|_, address| address.connected());
        addresses.insert(board, address);
        metrics::gauge!("convoke_whiteboards_open").set(f64::from(u32::try_from(addresses.len()).unwrap_or(u32::MAX)));
    }
}
