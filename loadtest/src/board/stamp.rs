//! When an update was to be sent, written into what it draws. It stands in the update's bytes as it is, so
//! whoever receives it can read it without knowing anything of documents.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

const MARK: &[u8] = b"~cv";
const LENGTH: usize = 3 + 4 + 8 + 12;

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stamp {
    pub author: u16,
    /// Rises with each update of its author.
    pub number: u32,
    at: u64,
}

impl Stamp {
    /// How long ago it was to be sent.
    pub fn age(&self) -> Duration {
        Duration::from_micros(micros(Instant::now()).saturating_sub(self.at))
    }
}

/// Since the first stamp of this process.
fn micros(at: Instant) -> u64 {
    static FIRST: OnceLock<Instant> = OnceLock::new();
    let first = FIRST.get_or_init(|| Instant::now().checked_sub(Duration::from_secs(60)).unwrap_or(at));
    u64::try_from(at.saturating_duration_since(*first).as_micros()).unwrap_or(u64::MAX)
}

pub fn write(author: u16, number: u32, scheduled: Instant) -> String {
    format!("~cv{author:04x}{number:08x}{:012x}", micros(scheduled))
}

/// Every stamp in these bytes.
pub fn read(bytes: &[u8], mut each: impl FnMut(Stamp)) {
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| *byte == b'~') {
        rest = rest.get(at..).unwrap_or_default();
        let stamp = rest.get(..LENGTH).filter(|stamp| stamp.starts_with(MARK)).and_then(parse);
        rest = rest.get(if stamp.is_some() { LENGTH } else { 1 }..).unwrap_or_default();
        if let Some(stamp) = stamp {
            each(stamp);
        }
    }
}

fn parse(stamp: &[u8]) -> Option<Stamp> {
    let digits = std::str::from_utf8(stamp.get(MARK.len()..)?).ok()?;
    let author = u16::from_str_radix(digits.get(..4)?, 16).ok()?;
    let number = u32::from_str_radix(digits.get(4..12)?, 16).ok()?;
    Some(Stamp { author, number, at: u64::from_str_radix(digits.get(12..)?, 16).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_among_other_bytes() {
        let now = Instant::now();
        let text = format!("a~cv~~cvx{}~cv0001{}~cv", write(1, 2, now), write(9, 70_000, now));
        let mut found = Vec::new();
        read(text.as_bytes(), |stamp| found.push((stamp.author, stamp.number)));
        assert_eq!(found, [(1, 2), (9, 70_000)]);
    }
}
