//! The AsyncAPI document of the WebSocket protocol, generated from the types that are sent.

use convoke_domain::shapes::{LobbyEntry, Participant};
use convoke_domain::{CloseCode, Code, Command, Event};
use schemars::schema_for;
use serde_json::{Map, Value, json};

/// A message of one type, with the schema of its data.
fn message(kind: &str, properties: Value, required: &[&str]) -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": { "const": kind },
            "data": { "type": "object", "properties": properties, "required": required },
        },
        "required": ["type", "data"],
    })
}

/// Personal and reliable, without seq; whatever they tell is in the next snapshot too.
fn notices() -> Vec<Value> {
    let id = json!({ "type": "string", "format": "uuid" });
    let media = json!({ "description": "credentials for the media of the present room", "type": "object" });
    let myself = json!({
        "type": "object",
        "properties": {
            "participant": schema_for!(Participant),
            "session": id,
            "permissions": { "type": "array", "items": { "type": "string" } },
        },
    });
    let view = json!({
        "type": "object",
        "properties": {
            "room": { "type": "string" },
            "hands": { "type": "array" },
            "messages": { "type": "array", "description": "the latest 50" },
            "questions": { "type": "array" },
            "polls": { "type": "array" },
            "whiteboards": { "type": "array" },
            "media": media,
        },
    });
    let lobby = json!({ "type": "array", "items": schema_for!(LobbyEntry) });
    vec![
        message("lobby.message", json!({ "text": { "type": "string" }, "from": id }), &["text"]),
        message("self.admitted", json!({ "snapshot": { "type": "object" } }), &["snapshot"]),
        message("self.entered", json!({ "self": myself, "view": view, "lobby": lobby }), &["self", "view"]),
        message("self.waiting", json!({}), &[]),
        message("media.granted", json!({ "media": media }), &["media"]),
        message("mesh.signal", json!({ "from": id, "data": {} }), &["from", "data"]),
        message(
            "tick",
            json!({ "head": { "type": "integer" }, "server_at": { "type": "integer", "description": "Unix milliseconds" } }),
            &["head", "server_at"],
        ),
    ]
}

/// Ephemeral, without seq: one slot a key, merged or dropped under pressure.
fn signals() -> Vec<Value> {
    let id = json!({ "type": "string", "format": "uuid" });
    let switch = json!({ "type": "boolean" });
    let media = json!({ "type": "object", "properties": { "audio": switch, "video": switch, "screen": switch } });
    let state = json!({ "type": "object", "properties": { "participant": id, "media": media } });
    vec![
        message(
            "reaction.shown",
            json!({ "participant": id, "emoji": { "type": "string" } }),
            &["participant", "emoji"],
        ),
        message("media.states", json!({ "states": { "type": "array", "items": state } }), &["states"]),
    ]
}

/// Every code that a socket is closed with, its name, and whether to come again and resume.
fn close_codes() -> Map<String, Value> {
    let entry = |code: CloseCode| {
        let text = json!({ "reason": code.reason(), "resume": code.number() < 4_500 });
        (code.number().to_string(), text)
    };
    CloseCode::ALL.into_iter().map(entry).collect()
}

pub fn document() -> String {
    let command = schema_for!(Command);
    let event = schema_for!(Event);
    let code = schema_for!(Code);
    json!({
        "asyncapi": "3.0.0",
        "info": {
            "title": "Convoke",
            "version": "1",
            "description": "Subprotocol convoke.v1. A client frame is one JSON object; a server frame is one JSON array of messages, in order.",
        },
        "channels": {
            "socket": {
                "address": "/ws",
                "messages": {
                    "command": { "$ref": "#/components/messages/command" },
                    "event": { "$ref": "#/components/messages/event" },
                    "answer": { "$ref": "#/components/messages/answer" },
                    "notice": { "$ref": "#/components/messages/notice" },
                    "signal": { "$ref": "#/components/messages/signal" },
                },
            },
        },
        "operations": {
            "send": { "action": "receive", "channel": { "$ref": "#/channels/socket" }, "messages": [{ "$ref": "#/channels/socket/messages/command" }] },
            "hear": { "action": "send", "channel": { "$ref": "#/channels/socket" }, "messages": [{ "$ref": "#/channels/socket/messages/event" }, { "$ref": "#/channels/socket/messages/answer" }, { "$ref": "#/channels/socket/messages/notice" }, { "$ref": "#/channels/socket/messages/signal" }] },
        },
        "x-close-codes": close_codes(),
        "components": {
            "messages": {
                "command": { "summary": "Numbered by the session: id counts 1, 2, 3…; join and resume carry 0", "payload": command },
                "event": { "summary": "With seq and at, in the order of the meeting's log", "payload": event },
                "notice": { "summary": "Personal and reliable, without seq", "payload": { "oneOf": notices() } },
                "signal": { "summary": "Ephemeral, without seq", "payload": { "oneOf": signals() } },
                "answer": { "summary": "To one command", "payload": {
                    "type": "object",
                    "properties": {
                        "re": { "type": "integer" },
                        "ok": { "type": "boolean" },
                        "seq": { "type": "integer" },
                        "data": { "type": "object" },
                        "error": { "type": "object", "properties": { "code": code, "message": { "type": "string" }, "retry_after_ms": { "type": "integer" } } },
                    },
                } },
            },
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn everything_that_a_client_meets_stands_in_the_document() {
        let document: Value = serde_json::from_str(&document()).unwrap();
        let text = document.to_string();
        for kind in ["chat.posted", "self.entered", "self.admitted", "tick", "reaction.shown", "rate_limited"] {
            assert!(text.contains(&format!("\"{kind}\"")), "{kind}");
        }
        for kind in convoke_domain::command::COMMAND_TYPES {
            assert!(text.contains(&format!("\"{kind}\"")), "{kind}");
        }
        let codes = document["x-close-codes"].as_object().unwrap();
        assert_eq!(codes.len(), CloseCode::ALL.len());
        assert_eq!(codes["4002"], json!({ "reason": "slow_consumer", "resume": true }));
        assert_eq!(codes["4508"], json!({ "reason": "left", "resume": false }));
        // Every reference leads somewhere.
        for reference in text.match_indices("\"$ref\":\"#/ch").map(|(at, _)| &text[at + 8..]) {
            let pointer = reference.split('"').next().unwrap().trim_start_matches('#');
            assert!(document.pointer(pointer).is_some(), "{pointer}");
        }
    }
}
