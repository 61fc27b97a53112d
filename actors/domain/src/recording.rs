//! Recordings: what is asked for, what clients see, and what the meeting knows of the files that come
//! of it. A recording is what people asked for; a take is one run of the recorder, which makes one
//! file. A composite has one take at a time (another for each generation of its room), one of tracks
//! has a take for each track. What the recorder does is observed, never assumed: its takes are merged
//! by how far they have come, so it may say things twice, late, or in any order.

use crate::ids::{MeetingId, Millis, ParticipantId, RecordingId, RoomId, TenantId};
use crate::shapes::{MeetingInfo, Room, RoomKind, Source};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RecordingStatus {
    /// It is wanted, and not known to run.
    Pending,
    Recording,
    /// It is to stop.
    Stopping,
    /// It has stopped; its files are being finished.
    Processing,
    Completed,
    Failed,
}

impl RecordingStatus {
    /// Nothing follows.
    pub fn is_over(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
    /// It is wanted to go on.
    pub fn is_running(self) -> bool {
        matches!(self, Self::Pending | Self::Recording)
    }
    /// What happens may be taken down: it is not known that the recorder has ended.
    pub fn is_exposing(self) -> bool {
        matches!(self, Self::Pending | Self::Recording | Self::Stopping)
    }
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Recording => "recording",
            Self::Stopping => "stopping",
            Self::Processing => "processing",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum RecordingKind {
    /// The room as one picture, with everybody's sound.
    #[default]
    Composite,
    /// Each track of each participant, in a file of its own.
    Tracks,
    /// The sound of the room.
    Audio,
    /// The screens that are shared, each in a file of its own.
    Screen,
}

impl RecordingKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Composite => "composite",
            Self::Tracks => "tracks",
            Self::Audio => "audio",
            Self::Screen => "screen",
        }
    }

    /// One take runs all the time; otherwise takes come and go with the tracks.
    pub fn is_continuous(self) -> bool {
        matches!(self, Self::Composite | Self::Audio)
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Mp4,
    Webm,
}

impl Format {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::Webm => "webm",
        }
    }
}

/// What `recording.start` asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct StartRecording {
    /// Absent: the caller's room; a backend's, the main room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<RoomId>,
    pub kind: RecordingKind,
    pub format: Format,
    /// Each participant's sound in a file of its own, besides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub audio_tracks: bool,
    /// Each screen that is shared in a file of its own, besides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub screen_share: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Recording {
    pub id: RecordingId,
    pub room: RoomId,
    pub status: RecordingStatus,
    pub kind: RecordingKind,
    pub format: Format,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub audio_tracks: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub screen_share: bool,
    /// Whoever is in the room publishes nothing before they have consented.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub consent: bool,
    /// It began by the meeting's settings.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub automatic: bool,
    /// What its files are called, without an ending.
    pub name: String,
    pub asked_at: Millis,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Millis>,
    /// It ran, and the recorder cannot be asked whether it still does.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub interrupted: bool,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// How far a take has come. A later one is never taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TakeState {
    Starting,
    Active,
    Ending,
    /// There is a file.
    Complete,
    Failed,
}

impl TakeState {
    pub fn is_over(self) -> bool {
        matches!(self, Self::Complete | Self::Failed)
    }
    /// It takes down what happens, or is about to.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Starting | Self::Active)
    }
}

/// One run of the recorder, and the file that comes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Take {
    /// The recorder's name for it.
    pub id: String,
    /// What it is a take of: `composite.0` (by the room's generation), or a track's id.
    pub part: String,
    pub state: TakeState,
    /// Absent: the whole room.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub participant: Option<ParticipantId>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub source: Option<Source>,
    /// Its path among the objects.
    pub file: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_at: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub duration_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<String>,
}

/// A recording as the meeting keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveRecording {
    pub recording: Recording,
    /// Since when it has had its status; absences of ours are not counted.
    pub since: Millis,
    pub takes: BTreeMap<String, Take>,
    /// Who said what, where consent is required.
    pub consents: BTreeMap<ParticipantId, bool>,
    /// Since when nobody has been in the room.
    pub emptied_at: Option<Millis>,
    /// Since when it has been shown as recorded without a take that runs in the room's present generation.
    #[serde(default)]
    pub lapsed_at: Option<Millis>,
}

impl LiveRecording {
    pub fn is_running(&self) -> bool {
        self.recording.status.is_running()
    }

    pub fn is_over(&self) -> bool {
        self.recording.status.is_over()
    }

    /// Whether somebody's consent is missing.
    pub fn withholds(&self, participant: ParticipantId) -> bool {
        self.is_asking() && self.consents.get(&participant) != Some(&true)
    }

    /// Whether people are asked for their consent, and publish nothing without it: as long as something may
    /// be taken down, though the recording was given up.
    pub fn is_asking(&self) -> bool {
        let is_alive = || self.takes.values().any(|take| take.state.is_alive());
        self.recording.consent && (self.recording.status.is_exposing() || is_alive())
    }

    /// Whether the recorder may still have something to say of it, also after its end was told.
    pub fn is_open(&self) -> bool {
        !self.is_over() || self.takes.values().any(|take| !take.state.is_over())
    }

    /// Whether it is shown as recorded, and nothing runs that would record the room as it is now.
    pub fn lacks_take(&self, generation: u32) -> bool {
        let runs = |take: &Take| take.state == TakeState::Active && take.generation() == Some(generation);
        self.recording.status == RecordingStatus::Recording
            && self.recording.kind.is_continuous()
            && !self.takes.values().any(runs)
    }

    /// Whether the room as a whole was being recorded, in its present generation, and is not any more.
    pub fn has_died(&self, generation: u32) -> bool {
        let mut whole = self.takes.values().filter(|take| take.generation() == Some(generation)).peekable();
        whole.peek().is_some() && whole.all(|take| !take.state.is_alive())
    }
}

impl Take {
    /// The generation of the room that it was made in, where it is of the whole room.
    pub fn generation(&self) -> Option<u32> {
        match self.part.parse().ok()? {
            Part::Composite(generation) | Part::Audio(generation) => Some(generation),
            Part::Track { .. } => None,
        }
    }

    /// A take as it begins, of a part.
    pub fn of(id: String, part: &Part, file: String) -> Self {
        let (participant, source) = match part {
            Part::Track { participant, source, .. } => (Some(*participant), Some(*source)),
            Part::Composite(_) | Part::Audio(_) => (None, None),
        };
        let part = part.to_string();
        let state = TakeState::Starting;
        let (started_at, ended_at, bytes, duration_ms, error) = (None, None, None, None, None);
        Self { id, part, state, participant, source, file, started_at, ended_at, bytes, duration_ms, error }
    }
}

/// How an automatic recording of a room fared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Automatic {
    /// Somebody stopped it: it does not begin again before the room was empty.
    pub held: bool,
    /// How often in a row it failed.
    pub failures: u32,
    /// Not before this.
    pub retry_at: Option<Millis>,
}

/// What was seen of the media. It may be said twice, late, or in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observation {
    /// These takes of a recording, as the recorder has them.
    Takes { recording: RecordingId, takes: Vec<Take> },
    /// The recorder was asked, and has none of these takes; or, if none are named, nothing of the recording,
    /// and nothing of it was asked for since.
    Missing { recording: RecordingId, takes: BTreeSet<String> },
    /// The recorder has not answered for a while: what runs cannot be told.
    Unreachable { room: RoomId },
    /// What a person's devices publish, all together.
    Publishing { participant: ParticipantId, media: crate::shapes::Media },
}

/// What a take is of. As text it is a part of the name of the take's file, so that whoever finds the file,
/// or a run of the recorder, knows what it belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The picture and sound of a room, in one of its generations.
    Composite(u32),
    /// The sound of a room.
    Audio(u32),
    Track {
        participant: ParticipantId,
        source: Source,
        track: String,
    },
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Composite(generation) => write!(f, "composite.{generation}"),
            Self::Audio(generation) => write!(f, "audio.{generation}"),
            Self::Track { participant, source, track } => write!(f, "{participant}_{}_{track}", source.as_str()),
        }
    }
}

impl FromStr for Part {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let whole = |kind: &str| text.strip_prefix(kind)?.strip_prefix('.')?.parse().ok();
        if let Some(generation) = whole("composite") {
            return Ok(Self::Composite(generation));
        }
        if let Some(generation) = whole("audio") {
            return Ok(Self::Audio(generation));
        }
        let mut parts = text.splitn(3, '_');
        let participant = parts.next().and_then(|id| id.parse().ok()).ok_or(())?;
        let source = parts.next().and_then(Source::named).ok_or(())?;
        let track = parts.next().filter(|track| !track.is_empty()).ok_or(())?;
        Ok(Self::Track { participant, source, track: track.to_owned() })
    }
}

/// The path of a take's file among the objects, without an ending: `tenant/meeting/name-part`. The first
/// take of a room bears the recording's name alone.
pub fn path_of(tenant: &TenantId, meeting: MeetingId, name: &str, part: &Part) -> String {
    let folder = slug(&tenant.0, SLUG_CHARS_MAX);
    match part {
        Part::Composite(0) => format!("{folder}/{meeting}/{name}"),
        part => format!("{folder}/{meeting}/{name}-{part}"),
    }
}

/// Whose a file is, by its path, with whatever folders stand before: the meeting, the recording, the part.
pub fn owner_of(path: &str) -> Option<(MeetingId, RecordingId, Part)> {
    let mut folders = path.rsplit('/');
    let (file, meeting) = (folders.next()?, folders.next()?.parse().ok()?);
    let stem = [".mp4", ".webm", ".ogg", ".m4a"].iter().find_map(|ending| file.strip_suffix(ending)).unwrap_or(file);
    let named = |at: usize| {
        let recording = stem.get(at..at + ID_CHARS)?.parse().ok()?;
        let part = match stem.get(at + ID_CHARS..)? {
            "" => Part::Composite(0),
            rest => rest.strip_prefix('-')?.parse().ok()?,
        };
        Some((meeting, recording, part))
    };
    // A title may have an id in it; the recording's is the last that nothing but a part stands behind.
    stem.rmatch_indices('-').map(|(at, _)| at + 1).chain([0]).find_map(named)
}

const ID_CHARS: usize = 36;

/// The day of a time in UTC, as `2026-11-21`.
fn day_of(at: Millis) -> String {
    // Days since 0000-03-01, in eras of 400 years: leap days stand at the ends of years so.
    let days = at / 86_400_000 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A text as a part of a file's name: letters and digits in lower case, with single hyphens.
fn slug(text: &str, chars_max: usize) -> String {
    let mut slug = String::new();
    for c in text.chars().flat_map(char::to_lowercase) {
        if c.is_alphanumeric() {
            slug.push(c);
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
        if slug.chars().count() >= chars_max {
            break;
        }
    }
    slug.trim_end_matches('-').to_owned()
}

const SLUG_CHARS_MAX: usize = 40;

/// A name that a person can find: the day, the meeting, the room, and the id.
pub fn name_of(meeting: &MeetingInfo, room: &Room, id: RecordingId, at: Millis) -> String {
    let mut parts = vec![day_of(at), slug(&meeting.title, SLUG_CHARS_MAX)];
    if room.kind == RoomKind::Breakout {
        parts.push(slug(&room.name, SLUG_CHARS_MAX));
    }
    parts.push(id.to_string());
    parts.retain(|part| !part.is_empty());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_those_of_the_calendar() {
        let days = [(0, "1970-01-01"), (951_782_400_000, "2000-02-29"), (1_795_219_200_123, "2026-11-21")];
        for (at, day) in days {
            assert_eq!(day_of(at), day);
        }
        assert_eq!(day_of(4_107_542_399_999), "2100-02-28");
        assert_eq!(day_of(4_107_542_400_000), "2100-03-01", "no leap year");
    }

    #[test]
    fn a_file_is_found_by_its_name() {
        let id = |number| uuid::Uuid::from_u128(number);
        let (meeting, recording, participant) = (MeetingId(id(1)), RecordingId(id(2)), ParticipantId(id(3)));
        let track = Part::Track { participant, source: Source::Screen, track: "TR_VS_a-b.c".to_owned() };
        for part in [Part::Composite(0), Part::Composite(7), Part::Audio(0), track] {
            let name = format!("2026-11-21-weekly-{}-room-3-{recording}", id(9));
            let path = path_of(&TenantId("Acme / EU".to_owned()), meeting, &name, &part);
            assert!(path.starts_with("acme-eu/"), "{path}");
            for path in [path.clone(), format!("/out/{path}.webm"), format!("{path}.ogg")] {
                assert_eq!(owner_of(&path), Some((meeting, recording, part.clone())), "{path}");
            }
        }
        for strange in ["", "a/b.mp4", "/x/00000000-0000-0000-0000-000000000001/nothing.mp4"] {
            assert_eq!(owner_of(strange), None, "{strange}");
        }
    }

    #[test]
    fn names_are_made_of_letters_digits_and_hyphens() {
        assert_eq!(slug("  Weekly: A/B ../../etc  ", 40), "weekly-a-b-etc");
        assert_eq!(slug("Größe \u{202e} 東京", 40), "größe-東京");
        assert_eq!(slug("???", 40), "");
        assert_eq!(slug(&"a".repeat(90), 40).len(), 40);
    }
}
