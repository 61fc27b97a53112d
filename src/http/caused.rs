//! What came of a request, found in the log by the request's own id: so a repetition is told of the same
//! things, and never of those that somebody else did meanwhile.

use super::{Edge, Problem};
use convoke_actors::ports::{EventRow, MeetingKey};
use convoke_domain::Seq;
use uuid::Uuid;

/// How many events are looked through at a time. What was done just now is among the last.
const PAGE: u32 = 200;

/// The events of one kind that came of a request, up to a place in the log, newest first. What one command
/// does stands together, so the search ends before the first of it.
pub async fn caused(
    edge: &Edge,
    key: &MeetingKey,
    kind: &str,
    request: Uuid,
    up_to: Seq,
    pages_max: usize,
) -> Result<Vec<EventRow>, Problem> {
    let is_ours = |row: &EventRow| row.kind == kind && row.cause.is_some_and(|cause| cause.session.0 == request);
    let (mut found, mut end) = (Vec::new(), up_to.0);
    for _ in 0..pages_max {
        let from = end.saturating_sub(u64::from(PAGE));
        let rows = edge.node.events(key, Seq(from), PAGE).await?;
        let may_go_on = rows.first().is_some_and(is_ours);
        found.extend(rows.into_iter().rev().filter(|row| row.seq.0 <= end && is_ours(row)));
        if from == 0 || (!found.is_empty() && !may_go_on) {
            break;
        }
        end = from;
    }
    Ok(found)
}
