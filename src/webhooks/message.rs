//! What a message says: `{"type", "timestamp", "data"}`, as the specification recommends.

use convoke_actors::ports::EventRow;
use convoke_domain::{MeetingId, Millis};
use serde_json::{Map, Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A moment by RFC 3339, in UTC, with milliseconds.
pub fn rfc3339(at: Millis) -> String {
    let (seconds, ms) = (at / 1_000, at % 1_000);
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    // Days are counted from the 1st of March of the year 0, so that a leap day is the last of its year.
    let day = day.saturating_add(719_468);
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let march = (5 * day + 2) / 153;
    let day = day - (153 * march + 2) / 5 + 1;
    let month = if march < 10 { march + 3 } else { march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

pub fn body(kind: &str, at: Millis, data: &Value) -> String {
    json!({ "type": kind, "timestamp": rfc3339(at), "data": data }).to_string()
}

/// The data of an event: where and when it was, and what the log says of it.
pub fn of_event(meeting: MeetingId, title: Option<String>, row: &EventRow) -> Value {
    let mut data: Map<String, Value> = serde_json::from_str(&row.data).unwrap_or_default();
    data.insert("meeting_id".to_owned(), json!(meeting));
    data.insert("seq".to_owned(), json!(row.seq));
    data.insert("at".to_owned(), json!(row.at));
    if let Some(title) = title {
        data.insert("title".to_owned(), json!(title));
    }
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_domain::Seq;
    use uuid::Uuid;

    #[test]
    fn moments_are_written_by_rfc_3339() {
        for (at, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_709_210_096_007, "2024-02-29T12:34:56.007Z"),
            (1_735_689_599_000, "2024-12-31T23:59:59.000Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(rfc3339(at), text);
        }
    }

    #[test]
    fn a_message_says_where_when_and_what() {
        let row = EventRow {
            seq: Seq(7),
            at: 1_000,
            kind: "meeting.ended".into(),
            version: 1,
            audience: "\"everyone\"".into(),
            cause: None,
            data: r#"{"reason":"empty","meeting":{"title":"Weekly"}}"#.into(),
        };
        let id = MeetingId(Uuid::nil());
        let body: Value =
            serde_json::from_str(&body(&row.kind, row.at, &of_event(id, Some("Now".into()), &row))).unwrap();
        assert_eq!((&body["type"], &body["timestamp"]), (&json!("meeting.ended"), &json!("1970-01-01T00:00:01.000Z")));
        let expected = json!({ "meeting_id": id, "title": "Now", "seq": 7, "at": 1_000, "reason": "empty", "meeting": { "title": "Weekly" } });
        assert_eq!(body["data"], expected);
    }
}
