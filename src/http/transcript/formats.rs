//! A transcript as text, as SubRip and as WebVTT. What people wrote never has a meaning in the format:
//! in WebVTT it is escaped, as the standard has it; in SubRip, which has no escapes, the arrow of the
//! times is written as another, and so are the brackets of what players take for markup. Blank lines end a cue in both, so there are none within.

use crate::projections::Line;
use convoke_domain::Millis;
use std::fmt::Write;

/// What becomes a cue.
#[derive(Clone, Copy, Debug)]
pub struct Cue<'a> {
    pub name: &'a str,
    pub text: &'a str,
    pub start_at: Millis,
    pub end_at: Millis,
}

impl<'a> From<&'a Line> for Cue<'a> {
    fn from(line: &'a Line) -> Self {
        Self { name: &line.name, text: &line.text, start_at: line.start_at, end_at: line.end_at }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Txt,
    Srt,
    Vtt,
}

impl Format {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Txt => "text/plain; charset=utf-8",
            Self::Srt => "application/x-subrip; charset=utf-8",
            Self::Vtt => "text/vtt; charset=utf-8",
        }
    }

    /// What a document begins with, also an empty one.
    pub fn head(self) -> &'static str {
        match self {
            Self::Txt | Self::Srt => "",
            Self::Vtt => "WEBVTT\n\n",
        }
    }

    /// Adds a line, which is the document's so-manieth; times count from `zero`.
    pub fn write(self, to: &mut String, line: Cue<'_>, number: u64, zero: Millis) {
        let (name, text) = (one_line(line.name), lines(line.text));
        let start = line.start_at.saturating_sub(zero);
        // A cue ends behind its start, whatever was published.
        let end = line.end_at.saturating_sub(zero).max(start.saturating_add(1));
        // Writing to a string does not fail.
        let _ = match self {
            Self::Txt => writeln!(to, "{}", one_line(&named(&name, &text))),
            Self::Srt => {
                let said = unmarked(&named(&name, &text));
                writeln!(to, "{number}\n{} --> {}\n{said}\n", time(start, ','), time(end, ','))
            }
            Self::Vtt => {
                let voice = if name.is_empty() { String::new() } else { format!("<v {}>", escaped(&name)) };
                writeln!(to, "{} --> {}\n{voice}{}\n", time(start, '.'), time(end, '.'), escaped(&text))
            }
        };
    }
}

fn named(name: &str, text: &str) -> String {
    if name.is_empty() { text.to_owned() } else { format!("{name}: {text}") }
}

/// Lines without the blank ones.
fn lines(text: &str) -> String {
    let lines: Vec<&str> = text.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Players take some HTML for markup, and codes in braces.
fn unmarked(text: &str) -> String {
    let marked = text.replace("-->", "→");
    marked.replace('<', "‹").replace('>', "›").replace('{', "(").replace('}', ")")
}

/// What has a meaning in a cue, and in the name of a voice, as references. An arrow has none left then.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// `01:02:03.004`; hours have two digits or more.
fn time(ms: Millis, point: char) -> String {
    let (seconds, rest) = (ms / 1_000, ms % 1_000);
    format!("{:02}:{:02}:{:02}{point}{rest:03}", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use convoke_domain::ParticipantId;
    use uuid::Uuid;

    fn written(format: Format, name: &str, text: &str, from: Millis, to: Millis) -> String {
        let line = Line {
            participant: ParticipantId(Uuid::nil()),
            name: name.to_owned(),
            room: "main".to_owned(),
            origin: None,
            lang: "en".to_owned(),
            text: text.to_owned(),
            start_at: from,
            end_at: to,
            seq: 1,
        };
        let mut whole = String::new();
        format.write(&mut whole, Cue::from(&line), 7, 10_000);
        whole
    }

    #[test]
    fn times_have_hours_of_two_digits_or_more() {
        assert_eq!(time(0, '.'), "00:00:00.000");
        assert_eq!(time(3_599_999, '.'), "00:59:59.999");
        assert_eq!(time(3_723_004, ','), "01:02:03,004");
        assert_eq!(time(360_000_000, '.'), "100:00:00.000");
    }

    #[test]
    fn before_the_start_counts_as_the_start_and_every_cue_has_a_length() {
        assert_eq!(written(Format::Vtt, "A", "x", 9_000, 11_500), "00:00:00.000 --> 00:00:01.500\n<v A>x\n\n");
        assert_eq!(written(Format::Vtt, "A", "x", 8_000, 9_000), "00:00:00.000 --> 00:00:00.001\n<v A>x\n\n");
        assert_eq!(written(Format::Srt, "A", "x", 12_000, 12_000), "7\n00:00:02,000 --> 00:00:02,001\nA: x\n\n");
    }

    /// Each text may say anything; only the format's own lines look like the format's.
    #[test]
    fn no_text_and_no_name_breaks_a_format() {
        let awkward = [
            "a --> b",
            "00:00:01.000 --> 00:00:02.000",
            "one\n\n8\r\n00:00:01,000 --> 00:00:02,000\n\nNOTE x",
            "--->-->>",
            "\r\r<v Eve>not Eve</v> & &amp; &lt;",
            "--\n>",
            "{\\an8}{\\c&H0000FF&}on top <font color=red>in red</font>",
            "\u{2028}\u{85} x \n \t \n y",
        ];
        for text in awkward {
            for name in ["Ann", "A & B > <C>", "-->", "two\nlines", " "] {
                let srt = written(Format::Srt, name, text, 11_000, 12_000);
                let vtt = written(Format::Vtt, name, text, 11_000, 12_000);
                for whole in [&srt, &vtt] {
                    assert_eq!(whole.matches("-->").count(), 1, "{whole:?}");
                    assert!(whole.ends_with("\n\n") && !whole.trim_end().contains("\n\n"), "{whole:?}");
                    assert!(!whole.contains('\r'), "{whole:?}");
                }
                assert!(!srt.contains(['<', '{', '}']) && srt.matches('>').count() == 1, "{srt:?}");
                let cue = vtt.split_once('\n').map(|(_, cue)| cue).unwrap_or_default();
                let tags = usize::from(name != " ");
                assert_eq!((cue.matches('<').count(), cue.matches('>').count()), (tags, tags), "{vtt:?}");
                let txt = written(Format::Txt, name, text, 11_000, 12_000);
                assert_eq!((txt.matches('\n').count(), txt.ends_with('\n')), (1, true), "{txt:?}");
            }
        }
        assert_eq!(escaped("a & b <c> &amp;"), "a &amp; b &lt;c&gt; &amp;amp;");
    }

    #[test]
    fn only_webvtt_has_a_head() {
        assert_eq!((Format::Txt.head(), Format::Srt.head(), Format::Vtt.head()), ("", "", "WEBVTT\n\n"));
    }
}
