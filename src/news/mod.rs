//! What LiveKit says of itself, by webhooks. Each is checked before it is read: signed for this body,
//! recent, and not said before. Then it is answered, and what it says is kept as a reason to look, folded
//! together for each meeting in bounded memory ([`Pending`]); a task of its own hands it to whoever serves
//! the meeting ([`Delivering`]). Nothing rests on a webhook: whatever is lost, doubled or late here is
//! found by the meeting when it looks by itself.

mod deliver;
mod event;
mod owners;
mod pending;
mod running;
mod seen;
mod signature;

pub use deliver::{Outcome, Owners};
pub use event::{Hint, Said};
pub use owners::Cluster;
pub use pending::{Bounds, Errand, Pending};
pub use running::Delivering;
pub use signature::{Seal, Signature};

use crate::config::Config;
use convoke_actors::supervisor::Meetings;
use convoke_domain::{Millis, TenantId};
use event::Webhook;
use secrecy::ExposeSecret;
use seen::Seen;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// One body. A webhook holds one room, participant or track, or what is known of an egress, with the
/// request that it began with.
pub const BODY_BYTES_MAX: usize = 256 * 1_024;
/// What happened longer ago is known by other ways; LiveKit tries a webhook for much less.
const AGE_MAX_MS: u64 = 600_000;
/// LiveKit's clock may be ahead of the database's by this much.
const AHEAD_MAX_MS: u64 = 60_000;

/// Why a webhook is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No token, or not one that LiveKit's secret signed for a webhook.
    Forged,
    /// The token is over, or not valid yet.
    Expired,
    /// The token was made for another body.
    Altered,
    Oversized,
    /// The body did not come in time, or broke off.
    Slow,
    /// It is not what a webhook looks like, though LiveKit signed it.
    Malformed,
    /// It happened too long ago, or in the future.
    Stale,
}

impl Refusal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Forged => "forged",
            Self::Expired => "expired",
            Self::Altered => "altered",
            Self::Oversized => "oversized",
            Self::Slow => "slow",
            Self::Malformed => "malformed",
            Self::Stale => "stale",
        }
    }

    /// Counts it. Whoever refuses says so here, once.
    pub fn count(self) -> Self {
        metrics::counter!("convoke_livekit_webhooks_refused_total", "reason" => self.as_str()).increment(1);
        self
    }
}

/// Why something that was said goes no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dropped {
    /// The room or the file is not named as ours are.
    NotOurs,
    /// No tenant has such a meeting.
    Unknown,
    /// Nobody serves the meeting, and it has nothing to look for: it looks when it is served again.
    Asleep,
    /// As much is kept as may be.
    Full,
    /// Whoever serves the meeting could not be told, however often it was tried.
    Unreachable,
    /// The meeting cannot be served.
    Refused,
}

impl Dropped {
    fn as_str(self) -> &'static str {
        match self {
            Self::NotOurs => "not_ours",
            Self::Unknown => "unknown",
            Self::Asleep => "asleep",
            Self::Full => "full",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        }
    }

    fn count(self) {
        metrics::counter!("convoke_livekit_webhooks_dropped_total", "reason" => self.as_str()).increment(1);
    }
}

/// Where webhooks come in.
pub struct Inlet {
    signature: Signature,
    seen: Mutex<Seen>,
    pending: Arc<Pending>,
    now: Box<dyn Fn() -> Millis + Send + Sync>,
}

impl Inlet {
    pub fn new(signature: Signature, pending: Arc<Pending>, now: impl Fn() -> Millis + Send + Sync + 'static) -> Self {
        Self { signature, seen: Mutex::default(), pending, now: Box::new(now) }
    }

    /// The inlet of this node, and what hands on what comes in by it. None where there is no LiveKit.
    pub fn start(config: &Config, meetings: &Meetings, tenants: Vec<TenantId>) -> Option<(Self, Delivering)> {
        let (key, secret) = config.livekit_api_key.as_deref().zip(config.livekit_api_secret.as_ref())?;
        let signature = Signature::new(key, secret.expose_secret().as_bytes());
        let pending = Arc::new(Pending::new(Bounds::default()));
        let clock = Arc::clone(&meetings.env().clock);
        let owners = Arc::new(Cluster::new(meetings.clone(), tenants));
        let delivering = Delivering::start(Arc::clone(&pending), owners);
        Some((Self::new(signature, pending, move || clock.now()), delivering))
    }

    /// Whether the head of a request may be a webhook's: what its token says, before the body is read.
    pub fn admit(&self, token: &str) -> Result<Seal, Refusal> {
        self.signature.check(token, (self.now)() / 1_000)
    }

    /// Takes a webhook, or finds that it was taken before: both are answered alike.
    pub fn take(&self, seal: &Seal, body: &[u8]) -> Result<(), Refusal> {
        if !seal.holds(body) {
            return Err(Refusal::Altered);
        }
        let webhook = Webhook::read(body).ok_or(Refusal::Malformed)?;
        let now = (self.now)();
        let at = webhook.created_at_ms();
        if at.saturating_add(AGE_MAX_MS) < now || at > now.saturating_add(AHEAD_MAX_MS) {
            return Err(Refusal::Stale);
        }
        metrics::counter!("convoke_livekit_webhooks_received_total", "event" => webhook.label()).increment(1);
        let moment = Instant::now();
        if !self.seen.lock().unwrap_or_else(PoisonError::into_inner).is_new(webhook.identity(body), moment) {
            metrics::counter!("convoke_livekit_webhooks_refused_total", "reason" => "duplicate").increment(1);
            return Ok(());
        }
        match webhook.says() {
            Said::Hint(hint) => {
                if let Err(dropped) = self.pending.add(*hint, moment) {
                    dropped.count();
                }
            }
            Said::NotOurs => Dropped::NotOurs.count(),
            Said::Nothing => metrics::counter!("convoke_livekit_webhooks_ignored_total").increment(1),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
