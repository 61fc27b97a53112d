//! What the server sends out into the world: mail, and webhooks ([`crate::webhooks`]). A row for a mail
//! is written in the transaction of the event that it follows from ([`Recording`]), one for a webhook
//! in that of the read models, so it is sent if and only if that is durable; a deliverer on any node
//! leases it, has the handler of its lane send it, and tries again where that failed. A delivery may
//! be repeated when a node dies in the middle of it, under the same id.

mod codes;
mod deliverer;
mod letter;
mod mailing;
mod queue;
mod recording;
mod smtp;

pub use codes::InvitationCodes;
pub use deliverer::{Attempt, Deliverer, Delivering, Handler, Policy};
pub use letter::Letter;
pub use mailing::Mailing;
pub use queue::{Counts, Fate, Lane, Leased, Queue, Target};
pub use recording::Recording;
pub use smtp::{Smtp, check_sender, check_url};

use crate::adapters::store::Db;
use crate::config::Config;
use crate::webhooks::Webhooks;
use async_trait::async_trait;
use convoke_actors::ports::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// The topic of an invitation's mail.
pub const INVITATION: &str = "mail.invitation";

/// Why something was not delivered, without addresses and secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may be delivered later.
    #[error("{0}")]
    Temporary(String),
    /// It will never be.
    #[error("{0}")]
    Permanent(String),
}

/// Sends mail.
#[async_trait]
pub trait Mail: Send + Sync + 'static {
    async fn send(&self, letter: &Letter) -> Result<(), Failure>;
}

/// The outbox of this server. Mail is written to it only where it can be sent; webhooks always can.
pub struct Outbox {
    mail: Option<(Deliverer, Arc<Notify>)>,
    webhooks: (Deliverer, Arc<Notify>),
}

impl Outbox {
    pub fn new(config: &Config, db: &Db, codes: InvitationCodes, webhooks: &Webhooks) -> Self {
        let sender = config.mail_from.as_deref();
        let smtp = config.smtp_url.as_ref().zip(sender).and_then(|(url, from)| Smtp::new(url, from));
        let mail = smtp.map(|smtp| {
            let attempts_max = i32::try_from(config.mail_attempts_max).unwrap_or(i32::MAX);
            let policy = Policy { attempts_max, ..Policy::default() };
            let queue = Queue::mail(db.clone());
            let mailing = Mailing::new(queue.clone(), Arc::new(smtp), codes, config.base_url(), policy.delivery);
            (Deliverer::new(queue, Arc::new(mailing), policy), Arc::default())
        });
        let attempts_max = i32::try_from(config.webhook_attempts_max).unwrap_or(i32::MAX);
        let policy = Policy::of_webhooks(attempts_max, Duration::from_millis(config.webhook_wait_ms));
        let sending = Deliverer::new(Queue::webhooks(db.clone()), Arc::new(webhooks.clone()), policy);
        Self { mail, webhooks: (sending, Arc::clone(webhooks.written())) }
    }

    /// The store that the journal commits to.
    pub fn recording(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.mail {
            Some((_, written)) => Arc::new(Recording::new(store, Arc::clone(written))),
            None => store,
        }
    }

    /// Two at most, of which neither waits for the other.
    pub fn start(self) -> Vec<Delivering> {
        let lanes = self.mail.into_iter().chain([self.webhooks]);
        lanes.map(|(deliverer, written)| deliverer.start(written)).collect()
    }
}
