//! What the recorder does for a room, held against the recordings that are wanted. A take that is wanted
//! and not listed is begun, one that runs and is not wanted is ended, and whatever is seen is told to the
//! meeting, which makes the recording's status of it. A listing that is older than a beginning does not
//! say that the beginning failed; a recorder that does not answer says nothing at all.

use super::words::{Wanted, WantedRecording};
use crate::ports::{Guest, MediaRoom, TakeOrder, Takes};
use convoke_domain::recording::{
    Observation, Part, Recording, RecordingKind, RecordingStatus, Take, TakeState, path_of,
};
use convoke_domain::shapes::Source;
use convoke_domain::{ParticipantId, RecordingId, RoomId, SessionId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;

/// How often the recorder is asked: while something is to change, while files are finished, otherwise.
const SOON: Duration = Duration::from_secs(3);
const LATER: Duration = Duration::from_secs(15);
const INTERVAL: Duration = Duration::from_secs(30);
/// A take that was begun so short ago may be missing in a listing.
const LISTED_AFTER: Duration = Duration::from_secs(10);
/// How soon a take is asked again to end.
const END_AGAIN: Duration = Duration::from_secs(10);
/// How long the recorder may say nothing before what it does is doubted.
pub const AWAY: Duration = Duration::from_secs(20);

pub struct Recorders {
    /// Since when nothing was begun from here, and nothing else wanted: a listing must be younger than that.
    changed_at: Instant,
    /// The takes of the meeting, as last seen; none before the first listing.
    listed: Option<BTreeMap<RecordingId, BTreeMap<String, Take>>>,
    /// Those that stood in the listing before it, too.
    twice_listed: BTreeSet<String>,
    list_at: Instant,
    /// What was begun from here, and when; some of it may be in no listing yet.
    began: BTreeMap<(RecordingId, Part), Instant>,
    ended: BTreeMap<String, Instant>,
    silent_since: Option<Instant>,
    /// When the meeting was last told that what runs is to be doubted.
    doubted_at: Option<Instant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// With a listing not older than this.
    List(Duration),
    Begin(Box<TakeOrder>),
    End(String),
}

impl Recorders {
    pub fn new(now: Instant) -> Self {
        Self {
            changed_at: now,
            listed: None,
            twice_listed: BTreeSet::new(),
            list_at: now,
            began: BTreeMap::new(),
            ended: BTreeMap::new(),
            silent_since: None,
            doubted_at: None,
        }
    }

    /// Something else is wanted: it is looked at at once.
    pub fn want(&mut self, wanted: &Wanted, now: Instant) {
        let is_pressing = |wanted: &WantedRecording| interval_of(&wanted.recording) == SOON;
        if wanted.recordings.values().any(is_pressing) {
            self.list_at = self.list_at.min(now);
        }
        self.changed_at = now;
        self.began.retain(|(id, _), _| wanted.recordings.contains_key(id));
    }

    pub fn next_at(&self, wanted: &Wanted) -> Option<Instant> {
        let doubt = self.silent_since.filter(|_| is_running(wanted));
        let doubt = doubt.and_then(|since| self.doubted_at.unwrap_or(since).checked_add(AWAY));
        Some(self.list_at).into_iter().chain(doubt).min()
    }

    /// `is_seen`: people were looked at since the newest recording was wanted, and what they may not is taken down.
    pub fn next_step(
        &self,
        wanted: &Wanted,
        there: &BTreeMap<SessionId, Guest>,
        is_seen: bool,
        now: Instant,
    ) -> Option<Step> {
        if now >= self.list_at {
            // Never from before something was begun, or wanted, here.
            return Some(Step::List(now.duration_since(self.changed_at).min(LATER)));
        }
        let listed = self.listed.as_ref()?;
        let stray = listed.iter().flat_map(|(id, takes)| takes.values().map(move |take| (*id, take)));
        let rests = |take: &Take| self.ended.get(&take.id).is_some_and(|at| now.duration_since(*at) < END_AGAIN);
        let to_end = |(id, take): &(RecordingId, &Take)| {
            take.state.is_alive() && !rests(take) && self.is_stray(wanted, *id, take)
        };
        if let Some((_, take)) = { stray }.find(to_end) {
            return Some(Step::End(take.id.clone()));
        }
        if wanted.is_closed() {
            return None;
        }
        let running = wanted.recordings.values().filter(|wanted| wanted.recording.status.is_running());
        for WantedRecording { recording, takes } in running.filter(|wanted| is_seen || !wanted.recording.consent) {
            // What the meeting has heard of is not begun again, whatever became of it.
            let listed = listed.get(&recording.id).into_iter().flat_map(BTreeMap::values);
            let known: BTreeSet<&str> =
                listed.map(|take| take.part.as_str()).chain(takes.values().map(|(part, _)| part.as_str())).collect();
            let is_taken = |part: &Part| {
                self.began.contains_key(&(recording.id, part.clone())) || known.contains(part.to_string().as_str())
            };
            if let Some(part) = parts(recording, wanted, there).into_iter().find(|part| !is_taken(part)) {
                return Some(Step::Begin(Box::new(order(&wanted.media, recording, part))));
            }
        }
        None
    }

    /// A take that runs for nobody: of a recording that is not to run, or of a generation of the room that is
    /// over. The main room looks after what no room does; such a take may be ahead of the word that wants it.
    fn is_stray(&self, wanted: &Wanted, id: RecordingId, take: &Take) -> bool {
        match wanted.recordings.get(&id) {
            Some(this) => {
                let is_former = take.generation().is_some_and(|generation| generation != wanted.media.generation);
                let is_double = || {
                    let takes = self.listed.iter().flat_map(|listed| listed.get(&id)).flat_map(BTreeMap::values);
                    let alive = takes.filter(|other| other.part == take.part && other.state.is_alive());
                    alive.map(|other| &other.id).min() != Some(&take.id)
                };
                !this.recording.status.is_running() || wanted.is_closed() || is_former || is_double()
            }
            None => {
                let is_main = wanted.media.room == RoomId::Main;
                is_main && !wanted.elsewhere.recordings.contains(&id) && self.twice_listed.contains(&take.id)
            }
        }
    }

    /// Whether something runs here that was not asked to end.
    pub fn has_to_end(&self, wanted: &Wanted) -> bool {
        let is_left =
            |(take, (_, state)): (&String, &(String, TakeState))| state.is_alive() && !self.ended.contains_key(take);
        wanted.recordings.values().any(|wanted| wanted.takes.iter().any(is_left))
    }

    fn interval(&self, wanted: &Wanted) -> Duration {
        let unfinished = wanted.recordings.values().map(|wanted| interval_of(&wanted.recording));
        unfinished.min().unwrap_or(INTERVAL)
    }

    /// It was listed. Answers what the meeting is to hear.
    pub fn listed(&mut self, takes: Takes, wanted: &Wanted, now: Instant) -> Vec<Observation> {
        self.silent_since = None;
        self.doubted_at = None;
        self.list_at = now.checked_add(self.interval(wanted)).unwrap_or(now);
        self.began.retain(|_, at| now.duration_since(*at) < LISTED_AFTER);
        self.ended.retain(|_, at| now.duration_since(*at) < END_AGAIN);
        let by_id = |takes: Vec<Take>| takes.into_iter().map(|take| (take.id.clone(), take)).collect();
        let mut listed: BTreeMap<RecordingId, BTreeMap<String, Take>> =
            takes.by_recording.into_iter().map(|(id, takes)| (id, by_id(takes))).collect();
        let mut news = Vec::new();
        let none = BTreeMap::new();
        for (id, wanted) in &wanted.recordings {
            let takes = listed.get(id).unwrap_or(&none);
            let begun: BTreeSet<String> =
                self.began.keys().filter(|(of, _)| of == id).map(|(_, part)| part.to_string()).collect();
            let is_lost = |(take, (part, state)): &(&String, &(String, TakeState))| {
                !state.is_over() && !takes.contains_key(*take) && !begun.contains(part)
            };
            let lost: BTreeSet<String> = wanted.takes.iter().filter(is_lost).map(|(take, _)| take.clone()).collect();
            let is_stopping = wanted.recording.status == RecordingStatus::Stopping;
            let has_nothing = wanted.takes.is_empty() && takes.is_empty() && begun.is_empty() && is_stopping;
            if !lost.is_empty() || has_nothing {
                news.push(Observation::Missing { recording: *id, takes: lost });
            }
            let has_news = takes.values().any(|take| is_news(wanted, take));
            // One that is to stop, and has nothing more that could be told, ends by being looked at.
            let is_through = wanted.takes.values().all(|(_, state)| state.is_over()) && !wanted.takes.is_empty();
            if has_news || wanted.recording.interrupted || (is_stopping && is_through) {
                let takes = takes.values().cloned().collect();
                news.push(Observation::Takes { recording: *id, takes });
            }
        }
        self.keep_begun(&mut listed);
        let before = self.listed.replace(listed).unwrap_or_default();
        self.twice_listed = before.into_values().flat_map(BTreeMap::into_keys).collect();
        news
    }

    /// A listing may be older than a beginning. What was begun just now is known nevertheless: it may have to
    /// be ended at once.
    fn keep_begun(&self, listed: &mut BTreeMap<RecordingId, BTreeMap<String, Take>>) {
        for (id, part) in self.began.keys() {
            let (known, name) = (self.listed.as_ref().and_then(|listed| listed.get(id)), part.to_string());
            for take in known.into_iter().flat_map(BTreeMap::values).filter(|take| take.part == name) {
                listed.entry(*id).or_default().entry(take.id.clone()).or_insert_with(|| take.clone());
            }
        }
    }

    /// The recorder was asked for something and did not answer, or with an error.
    pub fn failed(&mut self, wanted: &Wanted, now: Instant) {
        self.silent_since.get_or_insert(now);
        // There may be no recorder at all, and then nothing of it is missed.
        if wanted.recordings.is_empty() {
            self.list_at = now.checked_add(INTERVAL).unwrap_or(now);
        }
    }

    /// Whether what runs is to be doubted from now on.
    pub fn doubts(&mut self, wanted: &Wanted, now: Instant) -> Option<Observation> {
        let is_long = self.silent_since.is_some_and(|since| now.duration_since(since) >= AWAY);
        let is_told = self.doubted_at.is_some_and(|at| now.duration_since(at) < AWAY);
        if !is_long || is_told || !is_running(wanted) {
            return None;
        }
        self.doubted_at = Some(now);
        Some(Observation::Unreachable { room: wanted.media.room })
    }

    /// It was begun; the recorder says so.
    pub fn began(&mut self, order: &TakeOrder, take: Take, now: Instant) -> Observation {
        self.began.insert((order.recording, order.part.clone()), now);
        self.changed_at = now;
        self.list_at = self.list_at.min(now.checked_add(SOON).unwrap_or(now));
        self.hear(order.recording, take.clone());
        Observation::Takes { recording: order.recording, takes: vec![take] }
    }

    /// It was asked for; whether it was begun, nobody knows. It is not asked for again before a listing could
    /// show it.
    pub fn may_have_begun(&mut self, order: &TakeOrder, now: Instant) {
        self.began.insert((order.recording, order.part.clone()), now);
        self.changed_at = now;
        self.list_at = self.list_at.min(now.checked_add(SOON).unwrap_or(now));
    }

    pub fn ended(&mut self, take: &str, now: Instant) {
        self.ended.insert(take.to_owned(), now);
        self.list_at = self.list_at.min(now.checked_add(SOON).unwrap_or(now));
    }

    fn hear(&mut self, id: RecordingId, take: Take) {
        let takes = self.listed.get_or_insert_default().entry(id).or_default();
        let is_newer = takes.get(&take.id).is_none_or(|known| !known.state.is_over() && take.state > known.state);
        if is_newer {
            takes.insert(take.id.clone(), take);
        }
    }

    /// The media server says that these takes changed. Answers what the meeting is to hear.
    pub fn news(&mut self, takes: Vec<(RecordingId, Take)>, wanted: &Wanted, now: Instant) -> Vec<Observation> {
        let mut news = Vec::new();
        for (recording, take) in takes {
            // What was never listed is no reason to believe that all is known.
            if self.listed.is_some() {
                self.hear(recording, take.clone());
            }
            match wanted.recordings.get(&recording) {
                Some(known) if is_news(known, &take) => {
                    news.push(Observation::Takes { recording, takes: vec![take] });
                }
                Some(_) => {}
                None => self.list_at = self.list_at.min(now),
            }
        }
        news
    }
}

/// Whether somebody is shown as recorded.
fn is_running(wanted: &Wanted) -> bool {
    wanted.recordings.values().any(|wanted| wanted.recording.status == RecordingStatus::Recording)
}

fn is_news(wanted: &WantedRecording, take: &Take) -> bool {
    wanted.takes.get(&take.id).is_none_or(|(_, known)| !known.is_over() && take.state > *known)
}

fn interval_of(recording: &Recording) -> Duration {
    match recording.status {
        RecordingStatus::Pending | RecordingStatus::Stopping => SOON,
        RecordingStatus::Processing => LATER,
        _ => INTERVAL,
    }
}

/// What a recording is to have takes of, just now.
fn parts(recording: &Recording, wanted: &Wanted, there: &BTreeMap<SessionId, Guest>) -> Vec<Part> {
    let generation = wanted.media.generation;
    let (whole, is_of): (Option<Part>, Vec<Source>) = match recording.kind {
        RecordingKind::Composite => (Some(Part::Composite(generation)), Vec::new()),
        RecordingKind::Audio => (Some(Part::Audio(generation)), Vec::new()),
        RecordingKind::Tracks => (None, vec![Source::Audio, Source::Video, Source::Screen]),
        RecordingKind::Screen => (None, vec![Source::Screen]),
    };
    let is_meant = |source: Source| {
        is_of.contains(&source)
            || (recording.audio_tracks && source == Source::Audio)
            || (recording.screen_share && source == Source::Screen)
    };
    let mut parts: Vec<Part> = whole.into_iter().collect();
    for (participant, person) in wanted.people.iter().filter(|(_, person)| !person.is_service) {
        let guests = person.sessions.iter().filter_map(|session| there.get(session));
        let tracks = guests.flat_map(|guest| &guest.tracks);
        let tracks = tracks.filter(|track| is_meant(track.source) && person.may.has(track.source));
        parts.extend(tracks.map(|track| part_of(*participant, track.source, &track.id)));
    }
    parts
}

fn part_of(participant: ParticipantId, source: Source, track: &str) -> Part {
    Part::Track { participant, source, track: track.to_owned() }
}

fn order(room: &MediaRoom, recording: &Recording, part: Part) -> TakeOrder {
    let path = path_of(&room.key.tenant, room.key.meeting, &recording.name, &part);
    TakeOrder { room: room.clone(), recording: recording.id, part, format: recording.format, path }
}
