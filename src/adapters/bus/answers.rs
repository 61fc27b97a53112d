//! Calls of other nodes that were taken here, and what came of them: a call that comes again is not
//! carried out again, but given the answer that the first one had. The oldest are forgotten.

use convoke_actors::ports::Told;
use std::collections::{HashMap, VecDeque};
use uuid::Uuid;

/// Answers that are kept for calls that come again.
const KEPT_MAX: usize = 8_192;

/// The oldest first.
#[derive(Default)]
pub struct Answers {
    order: VecDeque<Uuid>,
    told: HashMap<Uuid, Option<Told>>,
}

impl Answers {
    /// Notes a call. None: it is new. Some: it was taken before; inside, what came of it so far.
    pub fn take(&mut self, id: Uuid) -> Option<Option<Told>> {
        if let Some(told) = self.told.get(&id) {
            return Some(told.clone());
        }
        self.order.push_back(id);
        self.told.insert(id, None);
        while self.order.len() > KEPT_MAX {
            if let Some(oldest) = self.order.pop_front() {
                self.told.remove(&oldest);
            }
        }
        None
    }

    pub fn keep(&mut self, id: Uuid, told: &Told) {
        if let Some(place) = self.told.get_mut(&id) {
            *place = Some(told.clone());
        }
    }
}
