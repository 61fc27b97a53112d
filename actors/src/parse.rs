//! Client frames into commands. One JSON object a frame; what is not one, is a protocol error, and
//! what is one but wrong, is an answer with a stable code. Nothing here looks at the meeting.

use convoke_domain::command::{COMMAND_TYPES, MeshData};
use convoke_domain::{Code, Command, Rejection, Seq, SessionId};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;

#[derive(Debug, PartialEq, Eq)]
pub enum Parsed {
    Join {
        token: String,
        session: SessionId,
        name: Option<String>,
    },
    Resume {
        resume_token: String,
        seq: Seq,
    },
    /// A join or resume that is not one: answered under the number 0.
    BadHello(Rejection),
    Numbered {
        id: u64,
        command: Result<Command, Rejection>,
    },
    /// Not a frame of this protocol at all.
    Malformed(&'static str),
}

#[derive(Deserialize)]
struct Frame<'a> {
    id: u64,
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct JoinData {
    token: String,
    session: SessionId,
    #[serde(default)]
    name: Option<String>,
}

#[derive(Deserialize)]
struct ResumeData {
    resume_token: String,
    seq: Seq,
}

#[derive(Deserialize)]
struct MeshFrame<'a> {
    to: SessionId,
    #[serde(borrow)]
    data: &'a RawValue,
}

pub fn parse(text: &str) -> Parsed {
    let Ok(frame) = serde_json::from_str::<Frame<'_>>(text) else {
        return Parsed::Malformed("a frame is one JSON object with id, type and data");
    };
    let data = frame.data.map_or("{}", RawValue::get);
    match (frame.id, frame.kind.as_ref()) {
        (0, "join") => match serde_json::from_str::<JoinData>(data) {
            Ok(JoinData { token, session, name }) => Parsed::Join { token, session, name },
            Err(error) => Parsed::BadHello(wrong_data("join", &error)),
        },
        (0, "resume") => match serde_json::from_str::<ResumeData>(data) {
            Ok(ResumeData { resume_token, seq }) => Parsed::Resume { resume_token, seq },
            Err(error) => Parsed::BadHello(wrong_data("resume", &error)),
        },
        (0, _) => Parsed::BadHello(Rejection::bad_request("commands are numbered from 1")),
        (id, "join" | "resume") => {
            Parsed::Numbered { id, command: Err(Rejection::bad_request("join and resume carry the id 0")) }
        }
        (id, kind) => Parsed::Numbered { id, command: command(kind, data) },
    }
}

fn command(kind: &str, data: &str) -> Result<Command, Rejection> {
    if !COMMAND_TYPES.contains(&kind) {
        return Err(Rejection::new(Code::UnknownType, "there is no such command"));
    }
    if kind == "mesh.signal" {
        let frame: MeshFrame<'_> = serde_json::from_str(data).map_err(|error| wrong_data("mesh.signal", &error))?;
        return Ok(Command::MeshSignal { to: frame.to, data: MeshData(frame.data.get().to_owned()) });
    }
    let data = if data == "null" { "{}" } else { data };
    let whole = format!(r#"{{"type":"{kind}","data":{data}}}"#);
    serde_json::from_str(&whole).map_err(|error| wrong_data(kind, &error))
}

/// What is wrong, without repeating what was sent: it may hold a token.
fn wrong_data(kind: &str, error: &serde_json::Error) -> Rejection {
    let mut what = error.to_string();
    if let Some(end) = what.find(" at line ") {
        what.truncate(end);
    }
    // serde quotes wrong strings back; a message keeps to what was expected.
    let expected = what.split(", expected ").nth(1).map(|rest| format!("expected {rest}"));
    let what = match expected {
        Some(expected) => expected,
        None if what.contains('"') => "wrong data".to_owned(),
        None => what,
    };
    let what: String = what.chars().take(200).collect();
    Rejection::bad_request(format!("{kind}: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        match parse(text) {
            Parsed::Numbered { command: Err(rejection), .. } | Parsed::BadHello(rejection) => Some(rejection.code),
            _ => None,
        }
    }

    #[test]
    fn bad_frames_have_stable_codes() {
        for text in
            ["", "nonsense", "[]", "7", r#"{"id":1}"#, r#"{"id":-1,"type":"leave"}"#, r#"{"id":"1","type":"leave"}"#]
        {
            assert!(matches!(parse(text), Parsed::Malformed(_)), "{text}");
        }
        assert_eq!(code(r#"{"id":1,"type":"chat.shout","data":{}}"#), Some(Code::UnknownType));
        assert_eq!(code(r#"{"id":1,"type":"chat.post","data":{"to":"room"}}"#), Some(Code::BadRequest));
        assert_eq!(code(r#"{"id":1,"type":"chat.post","data":[1]}"#), Some(Code::BadRequest));
        assert_eq!(code(r#"{"id":0,"type":"chat.post","data":{}}"#), Some(Code::BadRequest));
        assert_eq!(code(r#"{"id":3,"type":"join","data":{}}"#), Some(Code::BadRequest));
        let deep = format!(r#"{{"id":1,"type":"chat.post","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(code(&deep), Some(Code::BadRequest));
    }

    #[test]
    fn commands_without_data_may_leave_it_out() {
        for text in [r#"{"id":1,"type":"hand.raise"}"#, r#"{"id":1,"type":"hand.raise","data":null}"#] {
            assert!(matches!(parse(text), Parsed::Numbered { id: 1, command: Ok(Command::RaiseHand(_)) }), "{text}");
        }
        assert!(matches!(parse(r#"{"id":2,"type":"leave"}"#), Parsed::Numbered { command: Ok(_), .. }));
    }

    #[test]
    fn a_refusal_does_not_repeat_what_was_sent() {
        let text = r#"{"id":0,"type":"join","data":{"token":"s3cret","session":"s3cret"}}"#;
        let Parsed::BadHello(rejection) = parse(text) else { panic!("not a refusal") };
        assert!(!rejection.message.contains("s3cret"), "{rejection}");
    }

    #[test]
    fn a_hundred_thousand_random_frames_are_answered_and_none_panics() {
        let words = [
            "{",
            "}",
            "[",
            "]",
            ",",
            ":",
            "\"id\":",
            "1",
            "0",
            "-7",
            "1e999",
            "\"type\":",
            "\"join\"",
            "\"chat.post\"",
            "\"mesh.signal\"",
            "\"data\":",
            "null",
            "true",
            "\"to\":",
            "\"room\"",
            "\"text\":",
            "\"\\u0000\"",
            "\"\\ud800\"",
            "é",
            "\"",
            "\\",
            " ",
        ];
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut random = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state % 1_000_003).unwrap() % below
        };
        let mut numbered = 0;
        for _ in 0..100_000 {
            let body: String = (0..random(14)).map(|_| words[random(words.len())]).collect();
            // Half of them begin like real ones, so that they get further in.
            let frame =
                if random(2) == 0 { body } else { format!("{{\"id\":1,\"type\":\"chat.post\",\"data\":{body}}}") };
            if matches!(parse(&frame), Parsed::Numbered { .. }) {
                numbered += 1;
            }
        }
        assert!(numbered > 1_000, "the frames do not reach the commands: {numbered}");
    }

    #[test]
    fn every_command_type_is_known_to_the_enum() {
        for kind in COMMAND_TYPES.iter().filter(|kind| **kind != "mesh.signal") {
            let text = format!(r#"{{"id":1,"type":"{kind}","data":{{"participant":5}}}}"#);
            if let Parsed::Numbered { command: Err(rejection), .. } = parse(&text) {
                assert!(!rejection.message.contains("unknown variant"), "{kind}: {rejection}");
            }
        }
    }
}
