//! Transcription of recordings: from the files of a recording that is completed to segments of text that
//! say who spoke, when, and in which language. A service does it behind a port (`Transcriber`; `deepgram` is
//! the one there is), a file at a time. What is to be done are rows that are leased by the database's clock
//! (`jobs`, `lease`), done by as many workers of a node as it allows (`worker`), and read together with the
//! captions of the meeting (`said`). Where everybody has a track of their own, those are transcribed one by
//! one, and the speaker is who they are of; a file of the whole room has numbered speakers.

mod answer;
pub mod deepgram;
mod jobs;
mod lease;
mod said;
mod worker;

pub use jobs::{Jobs, Made, Transcript};
pub use lease::Untold;
pub use said::{Chosen, Found, Origin, Said, Source, find};
pub use worker::{Policy, Worker, Working};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Languages that one recording is transcribed in.
pub const LANGUAGES_MAX: usize = 10;
/// Files of one recording, counted once for each language.
pub const JOBS_MAX: usize = 2_000;
/// Segments of one file.
pub const SEGMENTS_MAX: usize = 50_000;
/// A segment is a subtitle as well: longer ones become several.
pub const SEGMENT_WORDS_MAX: usize = 40;
pub const SEGMENT_MS_MAX: u64 = 30_000;
/// Characters of one segment; the rest of it is left out. No word is that long.
pub const SEGMENT_CHARS_MAX: usize = 4_000;
/// As long as a language tag may be.
pub const LANGUAGE_CHARS_MAX: usize = 35;
/// What a language is called that the service is to find out.
pub const DETECT: &str = "detect";
/// The tag of a language that nobody knows.
const UNKNOWN: &str = "und";

/// An audio file on its way.
pub struct Audio {
    pub bytes: u64,
    pub content_type: &'static str,
    pub stream: BoxStream<'static, std::io::Result<Bytes>>,
}

/// What is wanted of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// A tag; none: it is found out.
    pub language: Option<String>,
    /// Several people are to be heard, who are to be told apart.
    pub several: bool,
}

/// Something that was said; times count from the beginning of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub start_ms: u64,
    pub end_ms: u64,
    pub speaker: Option<u32>,
    pub lang: String,
    pub text: String,
}

/// Why there is no transcript: never what the service said, which may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub why: &'static str,
    /// It will be the same tomorrow.
    pub is_permanent: bool,
    /// The service says when to come again.
    pub retry_after: Option<Duration>,
}

impl Failure {
    pub const fn temporary(why: &'static str) -> Self {
        Self { why, is_permanent: false, retry_after: None }
    }

    pub const fn permanent(why: &'static str) -> Self {
        Self { why, is_permanent: true, retry_after: None }
    }
}

/// A service that writes down what is said.
#[async_trait]
pub trait Transcriber: Send + Sync {
    async fn transcribe(&self, audio: Audio, ask: &Ask) -> Result<Vec<Segment>, Failure>;
}

/// What REST needs of it.
#[derive(Clone)]
pub struct Transcripts {
    pub jobs: Jobs,
    /// In which languages a recording is transcribed where none is named; empty: no transcriber is configured.
    pub languages: Vec<String>,
    /// Told when there is something to do.
    pub wake: Arc<Notify>,
}

impl Transcripts {
    pub fn is_configured(&self) -> bool {
        !self.languages.is_empty()
    }
}

/// Whether it can be a language that is asked for: letters, digits and hyphens, which mean nothing in patterns.
pub fn is_language(tag: &str) -> bool {
    (2..=LANGUAGE_CHARS_MAX).contains(&tag.len())
        && tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && tag.starts_with(|first: char| first.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_tags() {
        for good in ["en", "pt-BR", "de-ch", "multi", DETECT, "zh-Hant-TW"] {
            assert!(is_language(good), "{good}");
        }
        for bad in ["", "e", "en_US", "en%", "1en", "-en", "en us", &"a".repeat(LANGUAGE_CHARS_MAX + 1)] {
            assert!(!is_language(bad), "{bad}");
        }
    }
}
