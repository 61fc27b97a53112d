//! The bus within one process: each batch goes to the hubs whose threads have sockets in its
//! meeting. A hub whose mailbox is full loses the batch and is marked, and has its sessions attach
//! again: nothing is trusted to have arrived because it was sent.

use convoke_actors::hub::{Deliver, Follow};
use convoke_actors::ports::{Bus, MeetingKey};
use convoke_actors::release::Batch;
use convoke_actors::whiteboard::hub::BoardHubs;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

struct Follower {
    hub: u64,
    to: actix::Recipient<Deliver>,
    overrun: Arc<AtomicBool>,
}

#[derive(Default)]
pub struct LocalBus {
    followers: Mutex<HashMap<MeetingKey, Vec<Follower>>>,
    boards: BoardHubs,
}

impl Bus for LocalBus {
    fn publish(&self, batch: Arc<Batch>) {
        let followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        for follower in followers.get(&batch.key).into_iter().flatten() {
            if follower.to.try_send(Deliver(Arc::clone(&batch))).is_err() {
                follower.overrun.store(true, Ordering::Release);
            }
        }
    }

    fn board_hubs(&self) -> &BoardHubs {
        &self.boards
    }
}

impl Follow for LocalBus {
    fn follow(&self, key: &MeetingKey, hub: u64, to: actix::Recipient<Deliver>, overrun: Arc<AtomicBool>) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        let list = followers.entry(key.clone()).or_default();
        list.retain(|follower| follower.hub != hub);
        list.push(Follower { hub, to, overrun });
    }

    fn unfollow(&self, key: &MeetingKey, hub: u64) {
        let mut followers = self.followers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(list) = followers.get_mut(key) {
            list.retain(|follower| follower.hub != hub);
            if list.is_empty() {
                followers.remove(key);
            }
        }
    }
}
