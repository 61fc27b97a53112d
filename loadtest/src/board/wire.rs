//! Frames of the protocol of y-websocket, written out: a kind, and what it carries with its length before
//! it. Hocuspocus says the same, with the document's name before it.

use crate::rest::Failure;
use bytes::Bytes;

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY: u64 = 3;
/// Hocuspocus's own: as a sync, and not to be answered with a first step.
const SYNC_REPLY: u64 = 4;

#[derive(Debug, PartialEq)]
pub enum Frame<'a> {
    /// What the other side has: a state vector.
    First(&'a [u8]),
    /// What was missing here.
    Second(&'a [u8]),
    Update(&'a [u8]),
    Awareness(&'a [u8]),
    Query,
    /// Why the server takes no more.
    Denied(&'a [u8]),
    Other(u64),
}

/// How a server wants its frames.
#[derive(Clone, Debug, Default)]
pub struct Dialect {
    /// The document's name, where it stands before each frame.
    pub name: Option<String>,
}

impl Dialect {
    pub fn read<'a>(&self, mut bytes: &'a [u8]) -> Result<Frame<'a>, Failure> {
        if self.name.is_some() {
            slice(&mut bytes)?;
        }
        Ok(match number(&mut bytes)? {
            SYNC | SYNC_REPLY => match number(&mut bytes)? {
                0 => Frame::First(slice(&mut bytes)?),
                1 => Frame::Second(slice(&mut bytes)?),
                2 => Frame::Update(slice(&mut bytes)?),
                other => return Err(format!("a sync of kind {other}").into()),
            },
            AWARENESS => Frame::Awareness(slice(&mut bytes)?),
            AUTH => match number(&mut bytes)? {
                0 => Frame::Denied(slice(&mut bytes)?),
                _ => Frame::Other(AUTH),
            },
            QUERY => Frame::Query,
            other => Frame::Other(other),
        })
    }

    pub fn write(&self, frame: &Frame<'_>) -> Bytes {
        let mut bytes = self.begin();
        match frame {
            Frame::First(state) => put_sync(&mut bytes, 0, state),
            Frame::Second(update) => put_sync(&mut bytes, 1, update),
            Frame::Update(update) => put_sync(&mut bytes, 2, update),
            Frame::Awareness(states) => {
                put_number(&mut bytes, AWARENESS);
                put_slice(&mut bytes, states);
            }
            Frame::Query => put_number(&mut bytes, QUERY),
            Frame::Denied(why) => {
                put_number(&mut bytes, AUTH);
                put_number(&mut bytes, 0);
                put_slice(&mut bytes, why);
            }
            Frame::Other(kind) => put_number(&mut bytes, *kind),
        }
        bytes.into()
    }

    /// What has to be said before anything else, if anything: a token, here an empty one.
    pub fn hello(&self) -> Option<Bytes> {
        self.name.as_ref()?;
        let mut bytes = self.begin();
        put_number(&mut bytes, AUTH);
        put_number(&mut bytes, 0);
        put_slice(&mut bytes, b"");
        Some(bytes.into())
    }

    fn begin(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(name) = &self.name {
            put_slice(&mut bytes, name.as_bytes());
        }
        bytes
    }
}

/// One person's cursor, as awareness carries it.
pub fn cursor(client: u64, clock: u64, state: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, 1);
    put_number(&mut bytes, client);
    put_number(&mut bytes, clock);
    put_slice(&mut bytes, state.as_bytes());
    bytes
}

fn put_sync(bytes: &mut Vec<u8>, step: u64, what: &[u8]) {
    put_number(bytes, SYNC);
    put_number(bytes, step);
    put_slice(bytes, what);
}

fn put_number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn put_slice(bytes: &mut Vec<u8>, slice: &[u8]) {
    put_number(bytes, slice.len() as u64);
    bytes.extend_from_slice(slice);
}

fn number(bytes: &mut &[u8]) -> Result<u64, Failure> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first().ok_or("a frame ends too early")?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err("a number has no end".into())
}

fn slice<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8], Failure> {
    let length = usize::try_from(number(bytes)?)?;
    let (slice, rest) = bytes.split_at_checked(length).ok_or("a frame ends too early")?;
    *bytes = rest;
    Ok(slice)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let long = vec![7; 300];
        for name in [None, Some("board".to_owned())] {
            let dialect = Dialect { name };
            for frame in [Frame::First(b"s"), Frame::Second(&long), Frame::Update(b""), Frame::Awareness(b"a")] {
                assert_eq!(dialect.read(&dialect.write(&frame)).unwrap(), frame);
            }
            let whole = dialect.write(&Frame::Update(&long));
            assert!(dialect.read(&whole[..whole.len() - 1]).is_err());
            assert_eq!(dialect.read(&dialect.write(&Frame::Query)).unwrap(), Frame::Query);
        }
    }
}
