//! Which part of a file a request asks for (RFC 9110, section 14). One range is answered with that part;
//! several, or what is no range of bytes, with the whole, as the standard allows.

use std::ops::Range;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    Whole,
    Part(Range<u64>),
    /// There is nothing there.
    Unsatisfiable,
}

/// What a `Range` header asks for, of a file of this length.
pub fn asked(header: &str, length: u64) -> Asked {
    let Some(ranges) = header.trim().strip_prefix("bytes=") else { return Asked::Whole };
    let Some((from, to)) = ranges.split_once('-').filter(|_| !ranges.contains(',')) else { return Asked::Whole };
    let number = |text: &str| -> Option<u64> {
        let text = text.trim();
        // A number that is too large is one beyond the end.
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (from.trim(), to.trim()) {
        ("", "") => return Asked::Whole,
        ("", last) => match number(last) {
            Some(0) => return Asked::Unsatisfiable,
            Some(last) => length.saturating_sub(last)..length,
            None => return Asked::Whole,
        },
        (first, "") => match number(first) {
            Some(first) => first..length,
            None => return Asked::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(length),
            _ => return Asked::Whole,
        },
    };
    if range.start < range.end { Asked::Part(range) } else { Asked::Unsatisfiable }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_a_part_of_what_is_there() {
        for (header, expected) in [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-", Asked::Part(0..10)),
            ("bytes=3-5", Asked::Part(3..6)),
            ("bytes=3-99", Asked::Part(3..10)),
            ("bytes= 3 - 5 ", Asked::Part(3..6)),
            ("bytes=9-", Asked::Part(9..10)),
            ("bytes=-3", Asked::Part(7..10)),
            ("bytes=-99", Asked::Part(0..10)),
            ("bytes=0-99999999999999999999999", Asked::Part(0..10)),
            ("bytes=10-", Asked::Unsatisfiable),
            ("bytes=10-20", Asked::Unsatisfiable),
            ("bytes=99999999999999999999999-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=5-3", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=1", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("", Asked::Whole),
        ] {
            assert_eq!(asked(header, 10), expected, "{header}");
        }
        assert_eq!(asked("bytes=0-", 0), Asked::Unsatisfiable);
        assert_eq!(asked("bytes=-5", 0), Asked::Unsatisfiable);
    }
}
