//! Bytes for the wire. A message is encoded once and serves everybody it is for; a frame is a JSON
//! array of messages behind a WebSocket header (RFC 6455, section 5.2; servers do not mask), so the
//! same bytes go to every socket of a class.

use bytes::{BufMut, Bytes, BytesMut};
use bytestring::ByteString;
use convoke_domain::{CloseCode, Millis, Rejection, Seq};
use serde::Serialize;

const OPCODE_TEXT: u8 = 0x81;
const OPCODE_BINARY: u8 = 0x82;
/// The opcodes of a message in several frames: all but the last do not end it.
const OPCODE_BINARY_FIRST: u8 = 0x02;
const OPCODE_MORE: u8 = 0x00;
const OPCODE_LAST: u8 = 0x80;
const OPCODE_CLOSE: u8 = 0x88;
const OPCODE_PING: u8 = 0x89;
const OPCODE_PONG: u8 = 0x8A;

fn header(buffer: &mut BytesMut, opcode: u8, length: usize) {
    buffer.put_u8(opcode);
    if let Ok(short) = u8::try_from(length)
        && short < 126
    {
        buffer.put_u8(short);
    } else if let Ok(medium) = u16::try_from(length) {
        buffer.put_u8(126);
        buffer.put_u16(medium);
    } else {
        buffer.put_u8(127);
        buffer.put_u64(u64::try_from(length).unwrap_or(u64::MAX));
    }
}

/// One text frame: an array of these messages, in order.
pub fn text<'a>(messages: impl Iterator<Item = &'a ByteString> + Clone) -> Bytes {
    let mut length = 1_usize;
    for message in messages.clone() {
        length = length.saturating_add(message.len()).saturating_add(1);
    }
    let length = length.max(2);
    let mut buffer = BytesMut::with_capacity(length.saturating_add(10));
    header(&mut buffer, OPCODE_TEXT, length);
    buffer.put_u8(b'[');
    for (position, message) in messages.enumerate() {
        if position > 0 {
            buffer.put_u8(b',');
        }
        buffer.put_slice(message.as_bytes());
    }
    buffer.put_u8(b']');
    buffer.freeze()
}

/// One binary message in one frame.
pub fn binary(message: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(message.len().saturating_add(10));
    header(&mut buffer, OPCODE_BINARY, message.len());
    buffer.put_slice(message);
    buffer.freeze()
}

/// One binary message in frames of at most so many bytes, each as its header and a part of the message, which
/// is not copied. Other frames may stand between them.
pub fn binary_parts(message: &Bytes, bytes_max: usize) -> Vec<(Bytes, Bytes)> {
    let mut parts = Vec::new();
    let mut rest = message.clone();
    loop {
        let part = rest.split_to(rest.len().min(bytes_max.max(1)));
        let opcode = match (parts.is_empty(), rest.is_empty()) {
            (true, true) => OPCODE_BINARY,
            (true, false) => OPCODE_BINARY_FIRST,
            (false, false) => OPCODE_MORE,
            (false, true) => OPCODE_LAST,
        };
        let mut head = BytesMut::with_capacity(10);
        header(&mut head, opcode, part.len());
        parts.push((head.freeze(), part));
        if rest.is_empty() {
            return parts;
        }
    }
}

pub fn close(code: CloseCode) -> Bytes {
    let reason = code.reason().as_bytes();
    let mut buffer = BytesMut::with_capacity(reason.len().saturating_add(4));
    header(&mut buffer, OPCODE_CLOSE, reason.len().saturating_add(2));
    buffer.put_u16(code.number());
    buffer.put_slice(reason);
    buffer.freeze()
}

/// A ping that carries a position in the stream: its pong says that everything before was read.
pub fn ping(position: u64) -> Bytes {
    let mut buffer = BytesMut::with_capacity(10);
    header(&mut buffer, OPCODE_PING, 8);
    buffer.put_u64(position);
    buffer.freeze()
}

pub fn pong(payload: &[u8]) -> Bytes {
    let mut buffer = BytesMut::with_capacity(payload.len().saturating_add(2));
    header(&mut buffer, OPCODE_PONG, payload.len());
    buffer.put_slice(payload);
    buffer.freeze()
}

/// JSON of something whose serialization cannot fail; if it did all the same, an empty object.
pub fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|error| {
        tracing::error!(%error, "a message could not be encoded");
        "{}".to_owned()
    })
}

pub fn event(seq: Seq, at: Millis, kind: &str, data: &str) -> ByteString {
    ByteString::from(format!(r#"{{"seq":{seq},"at":{at},"type":"{kind}","data":{data}}}"#))
}

/// A notice or a signal: no seq.
pub fn notice(kind: &str, data: &str) -> ByteString {
    ByteString::from(format!(r#"{{"type":"{kind}","data":{data}}}"#))
}

pub fn answer(id: u64, seq: Option<Seq>, data: &str) -> ByteString {
    ByteString::from(match seq {
        Some(seq) => format!(r#"{{"re":{id},"ok":true,"seq":{seq},"data":{data}}}"#),
        None => format!(r#"{{"re":{id},"ok":true,"data":{data}}}"#),
    })
}

pub fn refusal(id: u64, rejection: &Rejection) -> ByteString {
    ByteString::from(format!(r#"{{"re":{id},"ok":false,"error":{}}}"#, json(rejection)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_and_a_short_one_is_not() {
        let parts = |text: &'static [u8], most| {
            let parts = binary_parts(&Bytes::from_static(text), most).into_iter();
            parts.map(|(head, part)| [head, part].concat()).collect::<Vec<_>>()
        };
        assert_eq!(parts(b"abcde", 2), [&b"\x02\x02ab"[..], b"\x00\x02cd", b"\x80\x01e"]);
        assert_eq!(parts(b"abcd", 2), [&b"\x02\x02ab"[..], b"\x80\x02cd"]);
        assert_eq!(parts(b"ab", 2), [&b"\x82\x02ab"[..]]);
        assert_eq!(parts(b"", 2), [&b"\x82\x00"[..]]);
        assert_eq!(&binary(b"ab")[..], b"\x82\x02ab");
    }

    #[test]
    fn lengths_are_written_in_the_three_forms() {
        let short = text([ByteString::from_static("1")].iter());
        assert_eq!(&short[..], b"\x81\x03[1]");
        let medium = text([ByteString::from("2".repeat(198))].iter());
        assert_eq!(&medium[..4], &[0x81, 126, 0, 200]);
        let long = text([ByteString::from("3".repeat(69_998))].iter());
        assert_eq!(&long[..10], &[0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
        assert_eq!(&text([].iter())[..], b"\x81\x02[]");
    }
}
