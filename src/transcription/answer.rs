//! What Deepgram answers, made into segments. Utterances are taken as they are where there are some, and
//! otherwise made from the words of each channel; either way a segment ends where the speaker or the language
//! changes, and where it would be too long for a subtitle. Nothing in an answer is believed: times may be no
//! numbers, ends may lie before starts, and there may be too much of everything.

use super::{
    Failure, SEGMENT_CHARS_MAX, SEGMENT_MS_MAX, SEGMENT_WORDS_MAX, SEGMENTS_MAX, Segment, UNKNOWN, is_language,
};
use serde::Deserialize;

const UNREADABLE: Failure = Failure::temporary("the transcriber's answer cannot be read");
const TOO_MUCH: Failure = Failure::permanent("there are too many segments");
/// A pause of this length ends a segment that is made from words.
const PAUSE_MS: u64 = 1_500;
/// No recording is longer.
const TIME_S_MAX: f64 = 1e9;

#[derive(Deserialize)]
struct Answer {
    results: Results,
}

#[derive(Deserialize)]
struct Results {
    #[serde(default)]
    channels: Vec<Channel>,
    #[serde(default)]
    utterances: Vec<Utterance>,
}

#[derive(Deserialize)]
struct Channel {
    detected_language: Option<String>,
    #[serde(default)]
    alternatives: Vec<Alternative>,
}

#[derive(Deserialize)]
struct Alternative {
    #[serde(default)]
    words: Vec<Word>,
}

#[derive(Deserialize)]
struct Utterance {
    start: f64,
    end: f64,
    #[serde(default)]
    channel: usize,
    #[serde(default)]
    transcript: String,
    speaker: Option<u32>,
    #[serde(default)]
    words: Vec<Word>,
}

#[derive(Deserialize)]
struct Word {
    word: String,
    punctuated_word: Option<String>,
    start: f64,
    end: f64,
    speaker: Option<u32>,
    language: Option<String>,
}

fn ms(seconds: f64) -> u64 {
    let seconds = if seconds.is_finite() { seconds.clamp(0.0, TIME_S_MAX) } else { 0.0 };
    let rounded = std::time::Duration::from_secs_f64(seconds).saturating_add(std::time::Duration::from_micros(500));
    u64::try_from(rounded.as_millis()).unwrap_or(u64::MAX)
}

/// Segments as they are gathered.
struct Gathered {
    segments: Vec<Segment>,
    words: usize,
}

impl Gathered {
    /// Adds a piece to the last segment, or begins another.
    fn say(&mut self, piece: Segment, words: usize, is_new: bool) -> Result<(), Failure> {
        let text = piece.text.trim();
        if text.is_empty() {
            return Ok(());
        }
        let end_ms = piece.end_ms.max(piece.start_ms).min(piece.start_ms.saturating_add(SEGMENT_MS_MAX));
        let goes_on = |last: &&mut Segment| {
            !is_new
                && piece.start_ms >= last.start_ms
                && (last.speaker, &last.lang) == (piece.speaker, &piece.lang)
                && self.words.saturating_add(words) <= SEGMENT_WORDS_MAX
                && end_ms.saturating_sub(last.start_ms) <= SEGMENT_MS_MAX
                && piece.start_ms.saturating_sub(last.end_ms) < PAUSE_MS
                && last.text.len().saturating_add(text.len()) < SEGMENT_CHARS_MAX
        };
        if let Some(last) = self.segments.last_mut().filter(goes_on) {
            last.text.push(' ');
            last.text.push_str(text);
            last.end_ms = last.end_ms.max(end_ms);
            self.words = self.words.saturating_add(words);
            return Ok(());
        }
        if self.segments.len() >= SEGMENTS_MAX {
            return Err(TOO_MUCH);
        }
        let text = text.chars().take(SEGMENT_CHARS_MAX).collect();
        self.segments.push(Segment { text, end_ms, ..piece });
        self.words = words;
        Ok(())
    }

    fn words(&mut self, words: &[Word], speaker: Option<u32>, lang: &str) -> Result<(), Failure> {
        for (place, word) in words.iter().enumerate() {
            let lang = word.language.as_deref().filter(|lang| is_language(lang)).unwrap_or(lang);
            let piece = Segment {
                start_ms: ms(word.start),
                end_ms: ms(word.end),
                speaker: word.speaker.or(speaker),
                lang: lang.to_owned(),
                text: word.punctuated_word.as_ref().unwrap_or(&word.word).clone(),
            };
            self.say(piece, 1, place == 0)?;
        }
        Ok(())
    }
}

/// The segments of an answer, in the order in which they were said. `asked` is the language that was asked for.
pub fn segments(answer: &[u8], asked: Option<&str>) -> Result<Vec<Segment>, Failure> {
    let Answer { results } = serde_json::from_slice(answer).map_err(|_| UNREADABLE)?;
    let spoken = |channel: Option<&Channel>| {
        let detected = channel.and_then(|channel| channel.detected_language.as_deref());
        let named = detected.or(asked.filter(|asked| *asked != "multi"));
        named.filter(|lang| is_language(lang)).unwrap_or(UNKNOWN).to_owned()
    };
    let mut gathered = Gathered { segments: Vec::new(), words: 0 };
    for utterance in &results.utterances {
        let lang = spoken(results.channels.get(utterance.channel));
        if utterance.words.is_empty() {
            let (start_ms, end_ms) = (ms(utterance.start), ms(utterance.end));
            let text = utterance.transcript.clone();
            let piece = Segment { start_ms, end_ms, speaker: utterance.speaker, lang, text };
            gathered.say(piece, SEGMENT_WORDS_MAX, true)?;
        } else {
            gathered.words(&utterance.words, utterance.speaker, &lang)?;
        }
    }
    if results.utterances.is_empty() {
        for channel in &results.channels {
            let lang = spoken(Some(channel));
            if let Some(alternative) = channel.alternatives.first() {
                gathered.words(&alternative.words, None, &lang)?;
            }
        }
    }
    let mut segments = gathered.segments;
    segments.sort_by_key(|segment| segment.start_ms);
    Ok(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn told(segments: &[Segment]) -> Vec<(u64, u64, Option<u32>, &str, &str)> {
        let one = |s: &'_ Segment| (s.start_ms, s.end_ms, s.speaker);
        segments.iter().map(|s| (one(s).0, one(s).1, one(s).2, s.lang.as_str(), s.text.as_str())).collect()
    }

    #[test]
    fn utterances_have_their_speakers_and_the_language_that_was_found() {
        let answer = include_bytes!("../../tests/fixtures/deepgram/speakers.json");
        let segments = segments(answer, None).unwrap();
        assert_eq!(
            told(&segments),
            [
                (480, 2_160, Some(0), "en", "Good morning, everybody."),
                (2_400, 3_900, Some(1), "en", "Morning. Shall we begin?"),
                (5_000, 6_120, Some(0), "en", "Yes, please."),
            ]
        );
    }

    #[test]
    fn where_languages_change_a_segment_ends() {
        let answer = include_bytes!("../../tests/fixtures/deepgram/languages.json");
        let segments = segments(answer, Some("multi")).unwrap();
        assert_eq!(
            told(&segments),
            [
                (80, 960, None, "en", "Hello there."),
                (1_040, 2_000, None, "es", "¿Cómo estás?"),
                (4_000, 4_640, None, "en", "Fine."),
            ]
        );
    }

    #[test]
    fn words_are_enough_and_pauses_part_them() {
        let answer = include_bytes!("../../tests/fixtures/deepgram/words.json");
        let segments = segments(answer, Some("de-CH")).unwrap();
        let expected = [
            (100, 900, Some(0), "de-CH", "Guten Tag."),
            (1_000, 1_300, Some(1), "de-CH", "Grüezi!"),
            (9_000, 9_400, Some(1), "de-CH", "Also."),
        ];
        assert_eq!(told(&segments), expected);
    }

    fn word(text: &str, start: f64, end: f64) -> Value {
        json!({ "word": text, "start": start, "end": end })
    }

    fn numbers(count: usize) -> impl Iterator<Item = f64> {
        (0..u32::try_from(count).unwrap()).map(f64::from)
    }

    fn of_words(words: &[Value]) -> Result<Vec<Segment>, Failure> {
        let utterances = json!([{ "start": 0.0, "end": 1.0, "words": words }]);
        segments(json!({ "results": { "utterances": utterances } }).to_string().as_bytes(), None)
    }

    #[test]
    fn long_segments_become_several() {
        let words: Vec<Value> = numbers(SEGMENT_WORDS_MAX * 2 + 1).map(|at| word("x", at * 0.1, at * 0.1)).collect();
        let counts = |segments: &[Segment]| -> Vec<usize> {
            segments.iter().map(|segment| segment.text.split(' ').count()).collect()
        };
        assert_eq!(counts(&of_words(&words).unwrap()), [SEGMENT_WORDS_MAX, SEGMENT_WORDS_MAX, 1]);
        let slow: Vec<Value> = (0..30).map(|at| word("x", f64::from(at) * 1.4, f64::from(at) * 1.4 + 1.0)).collect();
        let segments = of_words(&slow).unwrap();
        assert_eq!(segments.len(), 2);
        assert!(segments.iter().all(|segment| segment.end_ms - segment.start_ms <= SEGMENT_MS_MAX));
        let long = of_words(&[word(&"y".repeat(SEGMENT_CHARS_MAX + 5), 0.0, 1.0)]).unwrap();
        assert_eq!(long.first().map(|segment| segment.text.len()), Some(SEGMENT_CHARS_MAX));
    }

    #[test]
    fn there_is_an_end_to_segments() {
        let apart =
            |count: usize| -> Vec<Value> { numbers(count).map(|at| word("x", at * 10.0, at * 10.0 + 0.1)).collect() };
        assert_eq!(of_words(&apart(SEGMENTS_MAX)).unwrap().len(), SEGMENTS_MAX);
        assert_eq!(of_words(&apart(SEGMENTS_MAX + 1)), Err(TOO_MUCH));
    }

    #[test]
    fn what_makes_no_sense_does_no_harm() {
        let odd = of_words(&[word(" ", 0.0, 1.0), word("a", 5.0, 1.0), word("b", -3.0, 1e300)]).unwrap();
        assert_eq!(told(&odd), [(0, SEGMENT_MS_MAX, None, "und", "b"), (5_000, 5_000, None, "und", "a")]);
        let silence = segments(br#"{"results":{"channels":[{"alternatives":[{"transcript":""}]}]}}"#, None);
        assert_eq!(silence, Ok(Vec::new()), "nobody spoke");
        for broken in [&b""[..], b"{}", b"[]", b"{\"results\":{\"utterances\":[{}]}}", b"<html>"] {
            assert_eq!(segments(broken, None), Err(UNREADABLE));
        }
        let marked = json!({ "results": { "channels": [{ "detected_language": "%_'", "alternatives": [{ "words": [word("a", 0.0, 1.0)] }] }] } });
        let segments = segments(marked.to_string().as_bytes(), None).unwrap();
        assert_eq!(segments.first().map(|segment| segment.lang.as_str()), Some("und"));
    }
}
