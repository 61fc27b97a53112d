//! How large an image will be once it is decoded, and of what kind it is, from its first bytes. It has to be
//! known before anything decodes it: a few bytes may say that they are a thousand million pixels. An image
//! that says it in a way of its own is no image here.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Png,
    Jpeg,
    Gif,
    Webp,
}

/// An image's kind, width and height.
pub(super) fn of(bytes: &[u8]) -> Option<(Kind, u32, u32)> {
    let (kind, (width, height)) = if let Some(rest) = bytes.strip_prefix(b"\x89PNG\r\n\x1a\n") {
        (Kind::Png, png(rest)?)
    } else if let Some(rest) = bytes.strip_prefix(b"\xff\xd8") {
        (Kind::Jpeg, jpeg(rest)?)
    } else if let Some(rest) = bytes.strip_prefix(b"GIF87a").or_else(|| bytes.strip_prefix(b"GIF89a")) {
        (Kind::Gif, gif(rest)?)
    } else if let Some(rest) = bytes.strip_prefix(b"RIFF") {
        (Kind::Webp, webp(rest.get(4..)?.strip_prefix(b"WEBP")?)?)
    } else {
        return None;
    };
    (width > 0 && height > 0).then_some((kind, width, height))
}

fn little(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    Some(bytes.get(at..at.checked_add(count)?)?.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn big(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    Some(bytes.get(at..at.checked_add(count)?)?.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
}

fn png(bytes: &[u8]) -> Option<(u32, u32)> {
    let header = bytes.strip_prefix(b"\0\0\0\x0dIHDR")?;
    Some((big(header, 0, 4)?, big(header, 4, 4)?))
}

/// Segment by segment, to the one that begins the frame.
fn jpeg(mut bytes: &[u8]) -> Option<(u32, u32)> {
    loop {
        let [0xff, marker, rest @ ..] = bytes else { return None };
        match marker {
            0xff => {
                bytes = bytes.get(1..)?;
                continue;
            }
            // Tables, application data and comments.
            0xc4 | 0xdb | 0xdd | 0xe0..=0xef | 0xfe => {}
            0xc0..=0xc2 => return Some((big(rest, 5, 2)?, big(rest, 3, 2)?)),
            _ => return None,
        }
        bytes = rest.get(usize::try_from(big(rest, 0, 2)?).ok().filter(|length| *length >= 2)?..)?;
    }
}

/// As large as its screen, which the frame that comes first, and is painted, does not reach beyond.
fn gif(bytes: &[u8]) -> Option<(u32, u32)> {
    let screen = (little(bytes, 0, 2)?, little(bytes, 2, 2)?);
    let flags = bytes.get(4)?;
    let colours: usize = if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) };
    let mut rest = bytes.get(7..)?.get(colours..)?;
    loop {
        match rest {
            [0x21, _, extension @ ..] => rest = after_blocks(extension)?,
            [0x2c, frame @ ..] => {
                let end = |from: usize| Some(little(frame, from, 2)? + little(frame, from + 4, 2)?);
                return (end(0)? <= screen.0 && end(2)? <= screen.1).then_some(screen);
            }
            _ => return None,
        }
    }
}

/// What comes behind the blocks of an extension; an empty one is the last.
fn after_blocks(mut bytes: &[u8]) -> Option<&[u8]> {
    loop {
        let (length, rest) = bytes.split_first()?;
        if *length == 0 {
            return Some(rest);
        }
        bytes = rest.get(usize::from(*length)..)?;
    }
}

/// An image of the extended format is as large as its canvas, and the one frame in it no different.
fn webp(bytes: &[u8]) -> Option<(u32, u32)> {
    let (name, body, mut rest) = chunk(bytes)?;
    if name != b"VP8X" {
        return frame(name, body);
    }
    let canvas = (little(body, 4, 3)? + 1, little(body, 7, 3)? + 1);
    loop {
        let (name, body, after) = chunk(rest)?;
        match name {
            b"ANIM" | b"ANMF" => return None,
            b"VP8 " | b"VP8L" => return frame(name, body).filter(|frame| *frame == canvas),
            _ => rest = after,
        }
    }
}

fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (name, rest) = bytes.split_at_checked(4)?;
    let length = usize::try_from(little(rest, 0, 4)?).ok()?;
    let (body, rest) = rest.get(4..)?.split_at_checked(length)?;
    Some((name, body, rest.get(length % 2..)?))
}

fn frame(name: &[u8], body: &[u8]) -> Option<(u32, u32)> {
    match name {
        b"VP8 " => {
            let size = body.get(3..)?.strip_prefix(b"\x9d\x01\x2a")?;
            Some((little(size, 0, 2)? & 0x3fff, little(size, 2, 2)? & 0x3fff))
        }
        b"VP8L" => {
            let bits = little(body.strip_prefix(b"\x2f")?, 0, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x01\x02\0\0\0\x03";
        assert_eq!(of(png), Some((Kind::Png, 258, 3)));
        let gif = b"GIF89a\x05\0\x06\x01\0\0\0\x2c\x01\0\0\0\x04\0\x06\x01";
        assert_eq!(of(gif), Some((Kind::Gif, 5, 262)));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xdb\0\x02\xff\xc0\0\x11\x08\x01\x00\x02\x00";
        assert_eq!(of(jpeg), Some((Kind::Jpeg, 512, 256)));
        let lossy = b"RIFF....WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\x10\x00\x20\x00";
        assert_eq!(of(lossy), Some((Kind::Webp, 16, 32)));
        let lossless = b"RIFF....WEBPVP8L\x05\0\0\0\x2f\x0f\xc0\x07\x00\0";
        assert_eq!(of(lossless), Some((Kind::Webp, 16, 32)));
    }

    #[test]
    fn what_says_two_sizes_is_no_image() {
        let mut extended =
            b"RIFF....WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0VP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a".to_vec();
        let same = [&extended[..], b"\x10\0\x20\0"].concat();
        assert_eq!(of(&same), Some((Kind::Webp, 16, 32)));
        extended.extend(b"\xff\x3f\xff\x3f");
        assert_eq!(of(&extended), None);
        assert_eq!(of(b"\xff\xd8\xff\xd8\xff\xc0\0\x11\x08\x01\x00\x02\x00"), None);
    }

    #[test]
    fn a_frame_beyond_its_screen_is_no_image() {
        let screen = b"GIF89a\x10\0\x20\0\x81\0\0";
        let extensions = b"\x21\xf9\x04\0\0\0\0\0\x21\xfe\0\x21\xff\x01\x2c\x02\x2c\x2c\0";
        let gif = |frame: &[u8]| of(&[&screen[..], &[0x2c; 12], extensions, frame].concat());
        assert_eq!(gif(b"\x2c\0\0\0\0\x10\0\x20\0"), Some((Kind::Gif, 16, 32)));
        assert_eq!(gif(b"\x2c\x08\0\x08\0\x08\0\x18\0"), Some((Kind::Gif, 16, 32)));
        for frame in [
            &b"\x2c\0\0\0\0\xff\xff\xff\xff"[..],
            b"\x2c\0\0\0\0\x11\0\x20\0",
            b"\x2c\0\0\0\0\x10\0\x21\0",
            b"\x2c\xff\xff\0\0\x10\0\x20\0",
            b"\x2c\0\0\0\0\x10\0\x20",
            b"\0\x2c\0\0\0\0\x10\0\x20\0",
            b"\x3b",
        ] {
            assert_eq!(gif(frame), None, "{frame:?}");
        }
    }

    #[test]
    fn what_ends_early_is_no_image() {
        let whole = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xdb\0\x02\xff\xc0\0\x11\x08\x01\x00\x02\x00";
        for end in 0..whole.len() {
            assert_eq!(of(&whole[..end]), None);
        }
        assert_eq!(of(b"<svg xmlns='http://www.w3.org/2000/svg'/>"), None);
        assert_eq!(of(b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\0\0\0\0\0"), None);
    }
}
