//! What the server sends out into the world: mail, today. A row of the outbox is written in the
//! transaction of the event that it follows from ([`Recording`]), so it is sent if and only if that
//! is durable; a deliverer on any node leases it, sends it, and tries again where that failed. A
//! delivery may be repeated when a node dies in the middle of it, under the same Message-ID.

mod codes;
mod deliverer;
mod letter;
mod queue;
mod recording;
mod smtp;

pub use codes::InvitationCodes;
pub use deliverer::{Deliverer, Delivering, Policy};
pub use letter::Letter;
pub use queue::{Counts, Fate, Leased, Queue};
pub use recording::Recording;
pub use smtp::{Smtp, check_sender, check_url};

use crate::adapters::store::Db;
use crate::config::Config;
use async_trait::async_trait;
use convoke_actors::ports::Store;
use std::sync::Arc;
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

/// The outbox of this server; nothing is written to it where nothing can be sent.
pub struct Outbox(Option<(Deliverer, Arc<Notify>)>);

impl Outbox {
    pub fn new(config: &Config, db: &Db, codes: InvitationCodes) -> Self {
        let sender = config.mail_from.as_deref();
        let smtp = config.smtp_url.as_ref().zip(sender).and_then(|(url, from)| Smtp::new(url, from));
        let deliverer = |smtp| {
            let attempts_max = i32::try_from(config.mail_attempts_max).unwrap_or(i32::MAX);
            let policy = Policy { attempts_max, ..Policy::default() };
            Deliverer::new(Queue::new(db.clone()), Arc::new(smtp), codes, config.base_url(), policy)
        };
        Self(smtp.map(|smtp| (deliverer(smtp), Arc::default())))
    }

    /// The store that the journal commits to.
    pub fn recording(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        match &self.0 {
            Some((_, written)) => Arc::new(Recording::new(store, Arc::clone(written))),
            None => store,
        }
    }

    pub fn start(self) -> Option<Delivering> {
        self.0.map(|(deliverer, written)| deliverer.start(written))
    }
}
