//! What a client was given, held against the log. Each event that everybody in the main room sees
//! must have reached each client exactly once, in order, unless a snapshot passed over it; each
//! command that was acknowledged must be in the log exactly once, and none that was refused.

use crate::client::Record;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Every violation, as a sentence. Empty is good.
pub fn verify(name: &str, record: &Record, log: &[Value]) -> Vec<String> {
    let mut found: Vec<String> = record.violations.iter().map(|violation| format!("{name}: {violation}")).collect();
    let mut expected = 0;
    for event in log {
        expected += 1;
        let seq = seq_of(event);
        if seq != expected {
            found.push(format!("{name}: the log has {seq} where {expected} belongs"));
            expected = seq;
        }
    }
    let received: BTreeMap<u64, usize> = record.heard.iter().fold(BTreeMap::new(), |mut counts, heard| {
        *counts.entry(heard.seq).or_default() += 1;
        counts
    });
    for (seq, times) in received.iter().filter(|(_, times)| **times > 1) {
        found.push(format!("{name}: event {seq} came {times} times"));
    }
    for event in log.iter().filter(|event| is_for_all(event)) {
        let seq = seq_of(event);
        let is_skipped = record.skipped.iter().any(|(from, to)| (from + 1..=*to).contains(&seq));
        if seq <= record.cursor && !is_skipped && !received.contains_key(&seq) {
            found.push(format!("{name}: event {seq} never came"));
        }
    }
    found.extend(acknowledged(name, record, log));
    found
}

fn seq_of(event: &Value) -> u64 {
    event.get("seq").and_then(Value::as_u64).unwrap_or(0)
}

fn is_for_all(event: &Value) -> bool {
    let audience = event.get("audience");
    audience.and_then(Value::as_str) == Some("everyone")
        || audience.and_then(|audience| audience.get("room")).and_then(Value::as_str) == Some("main")
}

/// Chat is the witness: each text is one of a kind.
fn acknowledged(name: &str, record: &Record, log: &[Value]) -> Vec<String> {
    let text_of = |data: &Value| data.get("text").and_then(Value::as_str).map(ToOwned::to_owned);
    let mut logged: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for event in log.iter().filter(|event| event.get("type").and_then(Value::as_str) == Some("chat.posted")) {
        if let Some(text) = event.get("data").and_then(|data| data.get("message")).and_then(text_of) {
            logged.entry(text).or_default().push(seq_of(event));
        }
    }
    let mut found = Vec::new();
    for command in record.acknowledged.iter().filter(|command| command.kind == "chat.post") {
        let Some(text) = text_of(&command.data) else { continue };
        match logged.get(&text).map(Vec::as_slice) {
            None => found.push(format!("{name}: `{text}` was acknowledged and is lost")),
            Some([seq]) if Some(*seq) == command.seq => {}
            Some([seq]) => found.push(format!("{name}: `{text}` was acknowledged as {:?} and is {seq}", command.seq)),
            Some(seqs) => found.push(format!("{name}: `{text}` took effect {} times", seqs.len())),
        }
    }
    let accepted: BTreeSet<String> = record.acknowledged.iter().filter_map(|command| text_of(&command.data)).collect();
    for (_, data) in record.declined.iter().filter(|(kind, _)| kind == "chat.post") {
        if let Some(text) = text_of(data).filter(|text| logged.contains_key(text) && !accepted.contains(text)) {
            found.push(format!("{name}: `{text}` was refused and took effect"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Acknowledged, Heard};
    use serde_json::json;
    use std::time::Instant;

    fn log() -> Vec<Value> {
        let post = |seq: u64, text: &str| json!({ "seq": seq, "type": "chat.posted", "audience": "everyone", "data": { "message": { "text": text } } });
        vec![post(1, "a"), post(2, "b"), post(3, "c")]
    }

    fn record(seqs: &[u64]) -> Record {
        let heard = |seq: &u64| Heard { seq: *seq, kind: String::new(), data: Value::Null, received: Instant::now() };
        Record { heard: seqs.iter().map(heard).collect(), cursor: 3, ..Record::default() }
    }

    fn acknowledge(text: &str, seq: u64) -> Acknowledged {
        Acknowledged { kind: "chat.post".into(), data: json!({ "text": text }), seq: Some(seq) }
    }

    #[test]
    fn a_faithful_record_passes_and_a_snapshot_may_pass_over() {
        assert_eq!(verify("x", &record(&[1, 2, 3]), &log()), Vec::<String>::new());
        let skipping = Record { skipped: vec![(0, 2)], ..record(&[3]) };
        assert_eq!(verify("x", &skipping, &log()), Vec::<String>::new());
    }

    #[test]
    fn lost_doubled_and_forgotten_are_found() {
        assert_eq!(verify("x", &record(&[1, 3]), &log()), ["x: event 2 never came"]);
        assert_eq!(verify("x", &record(&[1, 2, 2, 3]), &log()), ["x: event 2 came 2 times"]);
        let mut lost = record(&[1, 2, 3]);
        lost.acknowledged = vec![acknowledge("nowhere", 2)];
        assert_eq!(verify("x", &lost, &log()), ["x: `nowhere` was acknowledged and is lost"]);
        let mut twice = log();
        twice.push(
            json!({ "seq": 4, "type": "chat.posted", "audience": "nobody", "data": { "message": { "text": "a" } } }),
        );
        let mut doubled = record(&[1, 2, 3]);
        doubled.acknowledged = vec![acknowledge("a", 1)];
        assert_eq!(verify("x", &doubled, &twice), ["x: `a` took effect 2 times"]);
    }

    #[test]
    fn what_was_refused_is_not_in_the_log() {
        let decline = |text: &str| ("chat.post".to_owned(), json!({ "text": text }));
        let mut refused = record(&[1, 2, 3]);
        refused.declined = vec![decline("b"), decline("nowhere")];
        assert_eq!(verify("x", &refused, &log()), ["x: `b` was refused and took effect"]);
        // Refused, and taken when it was tried again.
        refused.acknowledged = vec![acknowledge("b", 2)];
        assert_eq!(verify("x", &refused, &log()), Vec::<String>::new());
    }

    #[test]
    fn a_log_with_a_hole_is_found() {
        let mut holed = log();
        holed.remove(1);
        assert_eq!(verify("x", &record(&[1, 3]), &holed), ["x: the log has 3 where 2 belongs"]);
    }
}
