//! The y-websocket protocol: what clients of Yjs and a server say to each other, as binary messages. A sync
//! message asks for what is missing (step 1), brings it (step 2) or brings what was just drawn (update);
//! awareness says where everybody's cursor is.

use super::inspect::{CLIENT_MAX, Unfit, inspect_state_vector};
use bytes::Bytes;
use serde::de::IgnoredAny;
use yrs::StateVector;
use yrs::encoding::read::{Cursor, Read};
use yrs::encoding::write::Write;
use yrs::updates::decoder::Decode;

const SYNC: u8 = 0;
const AWARENESS: u8 = 1;
const AUTH: u8 = 2;
const QUERY_AWARENESS: u8 = 3;

const STEP_1: u8 = 0;
const STEP_2: u8 = 1;
const UPDATE: u8 = 2;

/// Messages that may stand in one frame. Clients of JavaScript send one.
const MESSAGES_MAX: usize = 16;

#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Somebody has this much, and asks for the rest.
    Step1(StateVector),
    /// The rest.
    Step2(Bytes),
    Update(Bytes),
    Awareness(Vec<Presence>),
    QueryAwareness,
}

/// What a client says of itself; `null` when it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Presence {
    pub client: u64,
    pub clock: u32,
    /// JSON, as the client wrote it.
    pub state: String,
}

impl Presence {
    pub fn is_gone(&self) -> bool {
        self.state == "null"
    }
}

/// The messages of a frame.
pub fn read(frame: &Bytes) -> Result<Vec<Message>, Unfit> {
    let mut messages = Vec::with_capacity(1);
    let mut cursor = Cursor::new(frame);
    while cursor.has_content() {
        if messages.len() >= MESSAGES_MAX {
            return Err(Unfit::Malformed);
        }
        if let Some(message) = message(frame, &mut cursor)? {
            messages.push(message);
        }
    }
    if messages.is_empty() && frame.is_empty() { Err(Unfit::Malformed) } else { Ok(messages) }
}

fn part(frame: &Bytes, cursor: &mut Cursor<'_>) -> Result<Bytes, Unfit> {
    let part = cursor.read_buf()?;
    Ok(frame.slice_ref(part))
}

fn message(frame: &Bytes, cursor: &mut Cursor<'_>) -> Result<Option<Message>, Unfit> {
    Ok(Some(match cursor.read_var::<u8>()? {
        SYNC => {
            let step = cursor.read_var::<u8>()?;
            let part = part(frame, cursor)?;
            match step {
                STEP_1 => {
                    inspect_state_vector(&part)?;
                    Message::Step1(StateVector::decode_v1(&part)?)
                }
                STEP_2 => Message::Step2(part),
                UPDATE => Message::Update(part),
                _ => return Err(Unfit::Malformed),
            }
        }
        AWARENESS => Message::Awareness(awareness(&part(frame, cursor)?)?),
        QUERY_AWARENESS => Message::QueryAwareness,
        // Only a server has something to say here.
        AUTH => {
            if cursor.read_var::<u8>()? == 0 {
                cursor.read_string()?;
            }
            return Ok(None);
        }
        _ => return Err(Unfit::Malformed),
    }))
}

fn awareness(part: &[u8]) -> Result<Vec<Presence>, Unfit> {
    let mut cursor = Cursor::new(part);
    let count = cursor.read_var::<u32>()?;
    if usize::try_from(count).unwrap_or(usize::MAX) > part.len() / 3 {
        return Err(Unfit::Malformed);
    }
    let mut cursors = Vec::new();
    for _ in 0..count {
        let (client, clock) = (cursor.read_var::<u64>()?, cursor.read_var::<u32>()?);
        let state = cursor.read_string()?.trim();
        // It is told to others together with theirs: what nobody can read would keep them from reading the rest.
        if client > CLIENT_MAX || serde_json::from_str::<IgnoredAny>(state).is_err() {
            return Err(Unfit::Malformed);
        }
        cursors.push(Presence { client, clock, state: state.to_owned() });
    }
    Ok(cursors)
}

fn sync(step: u8, part: &[u8]) -> Bytes {
    let mut message = Vec::with_capacity(part.len().saturating_add(8));
    message.extend([SYNC, step]);
    message.write_buf(part);
    message.into()
}

pub fn step_1(state_vector: &[u8]) -> Bytes {
    sync(STEP_1, state_vector)
}

pub fn step_2(update: &[u8]) -> Bytes {
    sync(STEP_2, update)
}

pub fn update(update: &[u8]) -> Bytes {
    sync(UPDATE, update)
}

/// Why a client is sent away, for whoever looks at its console.
pub fn denied(why: &str) -> Bytes {
    let mut message = vec![AUTH, 0];
    message.write_string(why);
    message.into()
}

/// With nobody in it, a sign of life: clients reconnect when they hear nothing for 30 s.
pub fn cursors<'a>(cursors: impl ExactSizeIterator<Item = &'a Presence>) -> Bytes {
    let mut part = Vec::new();
    part.write_var(u32::try_from(cursors.len()).unwrap_or(u32::MAX));
    for cursor in cursors {
        part.write_var(cursor.client);
        part.write_var(cursor.clock);
        part.write_string(&cursor.state);
    }
    let mut message = vec![AWARENESS];
    message.write_buf(&part);
    message.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use yrs::sync::{Message as Theirs, SyncMessage};
    use yrs::updates::encoder::Encode;

    fn frame(message: &Theirs) -> Bytes {
        message.encode_v1().into()
    }

    #[test]
    fn messages_are_read_as_others_write_them() {
        let mut vector = StateVector::default();
        vector.inc_by(yrs::block::ClientID::new(7), 3);
        let part = vec![0, 0];
        let both = [
            (SyncMessage::SyncStep1(vector.clone()), Message::Step1(vector)),
            (SyncMessage::SyncStep2(part.clone()), Message::Step2(Bytes::from(part.clone()))),
            (SyncMessage::Update(part.clone()), Message::Update(Bytes::from(part))),
        ];
        for (theirs, ours) in both {
            assert_eq!(read(&frame(&Theirs::Sync(theirs))).unwrap(), [ours]);
        }
        assert_eq!(read(&frame(&Theirs::AwarenessQuery)).unwrap(), [Message::QueryAwareness]);
        assert_eq!(read(&frame(&Theirs::Auth(Some("no".to_owned())))).unwrap(), []);
    }

    #[test]
    fn messages_are_written_as_others_read_them() {
        let theirs = |frame: &Bytes| <Theirs as Decode>::decode_v1(frame).unwrap();
        assert_eq!(theirs(&step_2(&[0, 0])), Theirs::Sync(SyncMessage::SyncStep2(vec![0, 0])));
        assert_eq!(theirs(&update(&[0, 0])), Theirs::Sync(SyncMessage::Update(vec![0, 0])));
        assert_eq!(theirs(&step_1(&[0])), Theirs::Sync(SyncMessage::SyncStep1(StateVector::default())));
        let mine = Presence { client: 1 << 40, clock: 300, state: "{\"é\":1}".to_owned() };
        assert!(matches!(theirs(&cursors([&mine].into_iter())), Theirs::Awareness(_)));
        assert_eq!(read(&cursors([&mine].into_iter())).unwrap(), [Message::Awareness(vec![mine])]);
        assert_eq!(read(&cursors([].into_iter())).unwrap(), [Message::Awareness(Vec::new())]);
    }

    /// What one client says of itself stands beside what others say: nobody else's may be lost by it.
    #[test]
    fn what_somebody_says_of_themselves_can_be_read_by_all() {
        let said = |client: u64, state: &str| {
            read(&cursors([&Presence { client, clock: 1, state: state.to_owned() }].into_iter()))
        };
        assert!(said(CLIENT_MAX, "{\"user\":{\"name\":\"Ada\"}}").is_ok());
        assert_eq!(said(CLIENT_MAX + 1, "{}"), Err(Unfit::Malformed));
        for state in ["{", "", "{} {}", "undefined"] {
            assert_eq!(said(1, state), Err(Unfit::Malformed), "{state}");
        }
        let Ok([Message::Awareness(gone)]) = said(1, " null ").as_deref().map(|all| [all[0].clone()]) else {
            unreachable!()
        };
        assert!(gone[0].is_gone());
    }

    #[test]
    fn what_is_no_message_is_told() {
        let bad: [&[u8]; 9] =
            [&[], &[9], &[0], &[0, 7, 0], &[0, 0, 5, 1], &[0, 0, 1, 9], &[1, 1, 9], &[1, 2, 1, 1], &[0, 2, 4, 0]];
        for bytes in bad {
            assert_eq!(read(&Bytes::copy_from_slice(bytes)), Err(Unfit::Malformed), "{bytes:?}");
        }
        assert_eq!(read(&Bytes::from([3].repeat(MESSAGES_MAX + 1))), Err(Unfit::Malformed));
        assert_eq!(read(&Bytes::from([3].repeat(MESSAGES_MAX))).unwrap().len(), MESSAGES_MAX);
    }
}
