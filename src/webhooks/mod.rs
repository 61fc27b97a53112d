//! Webhooks: a tenant's integrators are told what happens in its meetings, by the Standard Webhooks
//! specification. The projector writes a row of the outbox for each event and endpoint in its own
//! transaction (`fan_out`), so nothing is lost and the journal pays nothing; the outbox's deliverer
//! sends them (`handler`, `client`), and what a message says is made from the log when it is sent, so
//! whoever was erased meanwhile is not in it. `endpoints` and `deliveries` are what REST asks for.

mod client;
mod deliveries;
mod endpoints;
mod fan_out;
mod guard;
mod handler;
pub mod kinds;
mod message;
mod secrets;

pub use client::{Client, NoClient};
pub use deliveries::{Delivery, Replayed, Window};
pub use endpoints::{Change, Endpoint, Made, New, disabled};
pub use fan_out::{Notice, enqueue};
pub(crate) use fan_out::{notices, statements};
pub use guard::{check_host, check_url, is_public};
pub use handler::Webhooks;
pub use secrets::Secrets;

use std::time::Duration;

/// The topic of the outbox's rows.
pub const TOPIC: &str = "webhook";
/// What a test of an endpoint sends.
pub const TEST: &str = "webhook.test";

/// Endpoints of one tenant.
pub const ENDPOINTS_MAX: usize = 20;
pub const URL_CHARS_MAX: usize = 2_048;
pub const DESCRIPTION_CHARS_MAX: usize = 500;
/// Entries in an endpoint's list of types.
pub const TYPES_MAX: usize = 32;
/// Messages that one request sends again.
pub const REPLAY_MAX: usize = 10_000;
/// Messages that are on their way to one endpoint at a time, from all nodes together; to one that
/// has failed since it last worked, a single one.
pub const IN_FLIGHT_MAX: usize = 4;
/// What is read of an endpoint's answer.
const ANSWER_BYTES_MAX: usize = 4_096;

/// How long an endpoint may take to answer.
pub const ANSWER: Duration = Duration::from_secs(10);
/// How long a former secret still signs.
const ROTATION: Duration = Duration::from_secs(24 * 3_600);
/// An endpoint that nothing reached for so long is disabled.
const FAILING_MAX: Duration = Duration::from_secs(5 * 24 * 3_600);
/// Delivered messages are remembered so long, against a repetition and to be sent again on request.
pub(crate) const DELIVERED_KEPT: Duration = Duration::from_secs(3 * 24 * 3_600);
/// Those that failed wait so long for a request to send them again.
pub(crate) const FAILED_KEPT: Duration = Duration::from_secs(14 * 24 * 3_600);
/// Older events tell nobody: it would not be known any more whether they did. So the read models can
/// be built anew at any time.
const TOLD_WITHIN: Duration = Duration::from_secs(2 * 24 * 3_600);

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_told_twice_is_remembered_for_as_long() {
        assert!(TOLD_WITHIN < DELIVERED_KEPT && TOLD_WITHIN < FAILED_KEPT);
        assert!(FAILING_MAX < FAILED_KEPT, "what an endpoint missed until it was disabled can be sent again");
    }
}
