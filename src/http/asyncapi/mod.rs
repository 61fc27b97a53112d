//! The AsyncAPI document of the WebSocket protocol, generated from the types that are sent. Every
//! shape stands once, under `components/schemas`, and is referred to from everywhere else.

mod messages;

use convoke_domain::{CloseCode, Command, Event, Rejection};
use messages::{Hello, Notice, Signal, Welcome};
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

const ABOUT: &str = "Subprotocol convoke.v1. A client frame is one JSON object; a server frame is one JSON array of \
                     messages, in order. Close codes stand under x-close-codes.";

/// The messages, each with what it is and in which direction it goes.
const MESSAGES: [(&str, &str, bool); 6] = [
    ("hello", "The first frame of a socket; its id is 0", true),
    ("command", "Numbered by the session: id counts 1, 2, 3…", true),
    ("answer", "To one command, when its effect is durable; to the hello, what is shown from then on", false),
    ("event", "With seq and at, in the order of the meeting's log", false),
    ("notice", "Personal and reliable, without seq", false),
    ("signal", "Ephemeral, without seq", false),
];

/// A message with these members beside those of its schema.
fn with(members: Value, required: &[&str], schema: Value) -> Value {
    json!({ "allOf": [{ "type": "object", "properties": members, "required": required }, schema] })
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
    let mut schemas = SchemaSettings::draft07()
        .with(|settings| settings.definitions_path = "/components/schemas".into())
        .into_generator();
    let integer = json!({ "type": "integer", "minimum": 0 });
    let hello = with(json!({ "id": { "const": 0 } }), &["id"], json!(schemas.subschema_for::<Hello>()));
    let command =
        with(json!({ "id": { "type": "integer", "minimum": 1 } }), &["id"], json!(schemas.subschema_for::<Command>()));
    let event = with(json!({ "seq": integer, "at": integer }), &["seq", "at"], json!(schemas.subschema_for::<Event>()));
    let answer = json!({ "oneOf": [
        {
            "type": "object",
            "properties": {
                "re": integer,
                "ok": { "const": true },
                "seq": integer,
                "data": { "anyOf": [schemas.subschema_for::<Welcome>(), { "type": "object" }] },
            },
            "required": ["re", "ok", "data"],
        },
        {
            "type": "object",
            "properties": {
                "re": { "description": "null: the frame had no number", "type": ["integer", "null"] },
                "ok": { "const": false },
                "error": schemas.subschema_for::<Rejection>(),
            },
            "required": ["re", "ok", "error"],
        },
    ] });
    let (notice, signal) = (json!(schemas.subschema_for::<Notice>()), json!(schemas.subschema_for::<Signal>()));
    let payloads = [hello, command, answer, event, notice, signal];
    let shapes = schemas.take_definitions(true);
    let message = |((name, summary, _), payload): (&(&str, &str, bool), Value)| {
        ((*name).to_owned(), json!({ "name": name, "summary": summary, "payload": payload }))
    };
    let of_channel = |(name, _, _): &(&str, &str, bool)| {
        ((*name).to_owned(), json!({ "$ref": format!("#/components/messages/{name}") }))
    };
    let going = |is_sent: bool| -> Vec<Value> {
        let those = MESSAGES.iter().filter(|(_, _, by_client)| *by_client == is_sent);
        those.map(|(name, _, _)| json!({ "$ref": format!("#/channels/socket/messages/{name}") })).collect()
    };
    json!({
        "asyncapi": "3.0.0",
        "info": { "title": "Convoke", "version": "1", "description": ABOUT },
        "channels": {
            "socket": { "address": "/ws", "messages": MESSAGES.iter().map(of_channel).collect::<Map<_, _>>() },
        },
        "operations": {
            "send": { "action": "receive", "channel": { "$ref": "#/channels/socket" }, "messages": going(true) },
            "hear": { "action": "send", "channel": { "$ref": "#/channels/socket" }, "messages": going(false) },
        },
        "x-close-codes": close_codes(),
        "components": {
            "messages": MESSAGES.iter().zip(payloads).map(message).collect::<Map<_, _>>(),
            "schemas": shapes,
        },
    })
    .to_string()
}

#[cfg(test)]
mod tests;
