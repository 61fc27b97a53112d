//! What integrators are told: the one table of message types. Events are known by their names alone,
//! and what is sent of them is the `data` that the log keeps.

/// A type of message.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    /// Whether it is an event of a meeting's log; others are handed to [`super::enqueue`].
    pub is_event: bool,
    pub help: &'static str,
}

const fn event(name: &'static str, help: &'static str) -> Kind {
    Kind { name, is_event: true, help }
}

const fn message(name: &'static str, help: &'static str) -> Kind {
    Kind { name, is_event: false, help }
}

pub static KINDS: &[Kind] = &[
    event("meeting.started", "a meeting is live: `meeting`, `by`"),
    event("meeting.ended", "a meeting is over: `meeting`, `reason`, `by`"),
    event("meeting.cancelled", "a meeting will not take place: `meeting`"),
    event("participant.joined", "somebody came in: `participant`"),
    event("participant.left", "somebody left, or their connection was lost for good: `participant`, `reason`"),
    event("participant.removed", "somebody was removed: `participant`, `banned`, `by`"),
    event("recording.changed", "a recording began, stopped, is ready or failed: `recording`"),
    message(
        "transcript.completed",
        "a transcript of a recording is ready: `recording_id`, `language`, `files`, `failed`, `error`",
    ),
    message(
        "transcript.failed",
        "no file of a recording could be transcribed: `recording_id`, `language`, `files`, `failed`, `error`",
    ),
];

/// Whether this event of a log is told, by its name and by its audience as the log has it. What has
/// nobody for an audience is bookkeeping, or a service that came and went.
pub fn is_told(kind: &str, audience: &str) -> bool {
    audience != "\"nobody\"" && KINDS.iter().any(|known| known.is_event && known.name == kind)
}

/// Whether an endpoint may ask for it.
pub fn is_known(kind: &str) -> bool {
    KINDS.iter().any(|known| known.name == kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_domain::event::Audience;

    #[test]
    fn services_and_bookkeeping_are_told_to_nobody() {
        let audience = |audience: Audience| serde_json::to_string(&audience).unwrap();
        let (nobody, everyone) = (audience(Audience::Nobody), audience(Audience::Everyone));
        assert!(is_told("participant.joined", &everyone) && is_told("recording.changed", &everyone));
        assert!(!is_told("participant.joined", &nobody), "an agent, or a recorder");
        assert!(!is_told("chat.posted", &everyone) && !is_told("transcript.completed", &everyone));
        assert!(is_known("transcript.completed") && !is_known("chat.posted") && !is_known(super::super::TEST));
    }

    #[test]
    fn every_type_is_in_the_documentation() {
        let page = include_str!("../../docs/webhooks.md");
        for kind in KINDS {
            assert!(page.contains(&format!("| `{}` | {} |", kind.name, kind.help)), "{}", kind.name);
            assert!(!kind.name.contains([' ', '%', '_']), "endpoints keep lists of them, and SQL looks into those");
        }
    }
}
