//! The AsyncAPI document of the WebSocket protocol, generated from the types that are sent.

use convoke_domain::{Code, Command, Event};
use serde_json::json;

pub fn document() -> String {
    let command = schemars::schema_for!(Command);
    let event = schemars::schema_for!(Event);
    let code = schemars::schema_for!(Code);
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
                },
            },
        },
        "operations": {
            "send": { "action": "receive", "channel": { "$ref": "#/channels/socket" }, "messages": [{ "$ref": "#/channels/socket/messages/command" }] },
            "hear": { "action": "send", "channel": { "$ref": "#/channels/socket" }, "messages": [{ "$ref": "#/channels/socket/messages/event" }, { "$ref": "#/channels/socket/messages/answer" }] },
        },
        "components": {
            "messages": {
                "command": { "summary": "Numbered by the session: id counts 1, 2, 3…; join and resume carry 0", "payload": command },
                "event": { "summary": "With seq and at, in the order of the meeting's log", "payload": event },
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
