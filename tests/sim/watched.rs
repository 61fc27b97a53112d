//! The media in the simulation: what a client does with its credentials, and what must hold between the
//! media server and the log when all is quiet.

use crate::chance::Chance;
use crate::media::{Credentials, MediaServer, is_whole};
use convoke_actors::ports::{Guest, MeetingKey};
use convoke_domain::recording::RecordingStatus;
use convoke_domain::shapes::{Media as Sources, RoomState, Source, Status};
use convoke_domain::{Event, Meeting, Recorded, RecordingId, RoomId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

const SOURCES: [Source; 3] = [Source::Audio, Source::Video, Source::Screen];
/// What changed so short ago may still be on its way.
const SETTLING_MS: u64 = 20_000;

/// A client's device at the media server.
pub struct Device {
    /// The latest that it was given.
    granted: Option<Credentials>,
    /// All that it ever was given: an old one is as good as a new one, to whoever wants to try.
    past: Vec<Credentials>,
    connected: Option<Credentials>,
    /// Recordings that it was told of, by whether they run and ask for consent.
    recordings: BTreeMap<String, bool>,
    /// When it next does something.
    pub acts_at: Instant,
    /// It does what it should from now on.
    pub is_tame: bool,
}

impl Device {
    pub fn new() -> Self {
        let far = Instant::now() + Duration::from_secs(86_400);
        Self {
            granted: None,
            past: Vec::new(),
            connected: None,
            recordings: BTreeMap::new(),
            acts_at: far,
            is_tame: false,
        }
    }

    /// Whatever a message has of credentials and recordings.
    pub fn hear(&mut self, message: &Value, chance: &Chance) {
        let data = &message["data"];
        for media in [&data["view"]["media"], &data["media"], &data["snapshot"]["view"]["media"]] {
            if let Ok(granted) = serde_json::from_value::<Credentials>(media.clone()) {
                if self.granted.as_ref() != Some(&granted) {
                    self.past.push(granted.clone());
                }
                self.granted = Some(granted);
                self.acts_at = self.acts_at.min(Instant::now() + chance.pause(5, 1_500));
            }
        }
        let list = data["recordings"].as_array().into_iter().flatten();
        let one = (message["type"] == "recording.changed").then_some(&data["recording"]);
        for recording in list.chain(one) {
            let asks = recording["consent"] == true && recording["ended_at"].is_null();
            self.recordings.insert(recording["id"].as_str().unwrap_or_default().to_owned(), asks);
        }
    }

    /// A recording that asks for somebody's consent, or any that runs.
    pub fn recording(&self, chance: &Chance) -> Option<String> {
        let known: Vec<&String> = self.recordings.keys().collect();
        (!known.is_empty()).then(|| known[chance.below(known.len())].clone())
    }

    pub fn act(&mut self, server: &Arc<MediaServer>, chance: &Chance) {
        self.acts_at = Instant::now() + chance.pause(300, 4_000);
        let Some(granted) = self.granted.clone() else { return };
        let is_there = |credentials: &Credentials| {
            let tables = server.tables.lock().unwrap();
            tables.rooms.get(&credentials.room).is_some_and(|there| there.contains_key(&credentials.session))
        };
        if self.connected.as_ref().is_some_and(|connected| !is_there(connected)) {
            self.connected = None;
        }
        if !self.is_tame && chance.is(0.03) {
            let old = self.past[chance.below(self.past.len())].clone();
            server.connect(&old);
        }
        match self.connected.clone() {
            Some(connected) if connected.room == granted.room => {}
            before => {
                // A few forget to go.
                if let Some(before) = before.filter(|_| self.is_tame || chance.is(0.9)) {
                    server.disconnect(&before.room, before.session);
                }
                if server.connect(&granted) {
                    self.connected = Some(granted.clone());
                }
                return;
            }
        }
        if !self.is_tame {
            let source = SOURCES[chance.below(SOURCES.len())];
            server.publish(&granted.room, granted.session, source, chance.is(0.6));
        }
    }
}

/// What anybody may do of media and recordings.
pub fn take_part(device: &Device, chance: &Chance) -> (&'static str, Value) {
    match (chance.below(3), device.recording(chance)) {
        (0, Some(recording)) => ("recording.consent", json!({ "recording": recording, "given": chance.is(0.8) })),
        _ => {
            let (audio, video, screen) = (chance.is(0.5), chance.is(0.5), chance.is(0.2));
            ("participant.set_media", json!({ "audio": audio, "video": video, "screen": screen }))
        }
    }
}

/// What hosts may do.
pub fn lead(device: &Device, room: &str, people: &[Value], chance: &Chance) -> (&'static str, Value) {
    let source = SOURCES[chance.below(SOURCES.len())].as_str();
    match (chance.below(8), device.recording(chance), people.first()) {
        (0..=2, ..) => {
            let kind = ["composite", "tracks", "audio", "screen"][chance.below(4)];
            ("recording.start", json!({ "room": room, "kind": kind, "audio_tracks": chance.is(0.3) }))
        }
        (3, Some(recording), _) => ("recording.stop", json!({ "recording": recording })),
        (4 | 5, ..) => ("participant.mute", json!({ "all": true, "source": source })),
        (6, _, Some(_)) => {
            let participant = &people[chance.below(people.len())];
            let data = json!({ "participant": participant, "source": source, "allowed": chance.is(0.5) });
            ("participant.permit", data)
        }
        _ => ("participant.permit", json!({ "all": true, "source": source, "allowed": chance.is(0.6) })),
    }
}

/// Each status of a recording was told once, but where the recorder was away.
pub fn statuses(log: &[Recorded], say: &mut impl FnMut(String)) {
    let mut told: BTreeMap<RecordingId, Vec<(RecordingStatus, bool)>> = BTreeMap::new();
    for recorded in log {
        let Event::RecordingChanged { recording, .. } = &recorded.event else { continue };
        let before = told.entry(recording.id).or_default();
        if before.iter().any(|(status, _)| status.is_over()) {
            say(format!("at {}: {} goes on after its end", recorded.seq, recording.id));
        }
        let is_again = before.iter().any(|(status, _)| *status == recording.status);
        let was_away = before.last().is_some_and(|(_, interrupted)| *interrupted) || recording.interrupted;
        if is_again && !was_away {
            say(format!("at {}: {} is {:?} again: {before:?}", recorded.seq, recording.id, recording.status));
        }
        before.push((recording.status, recording.interrupted));
    }
}

pub fn media_is_as_wanted(
    server: &MediaServer,
    key: &MeetingKey,
    state: &Meeting,
    now: u64,
    say: &mut impl FnMut(String),
) {
    let is_live = state.info.status == Status::Live;
    {
        let tables = server.tables.lock().unwrap();
        let actual: BTreeMap<(RoomId, u32), &BTreeMap<_, Guest>> = tables
            .rooms
            .iter()
            .filter(|(room, _)| room.key == *key)
            .map(|(room, there)| ((room.room, room.generation), there))
            .collect();
        let open = state.rooms.values().filter(|room| is_live && room.state != RoomState::Closed);
        let wanted: BTreeSet<(RoomId, u32)> = open.map(|room| (room.id, state.generation(room.id))).collect();
        for room in &wanted {
            if !actual.contains_key(room) {
                say(format!("the media has no room {room:?}"));
            }
        }
        for (room, there) in &actual {
            // What somebody's old credentials made of a meeting that is over goes by itself, after they do.
            if !wanted.contains(room) && is_live {
                say(format!("the media has a room {room:?}, with {there:?}"));
            }
        }
        if is_live {
            people_are_as_wanted(&actual, state, say);
        }
    }
    recordings_are_as_wanted(server, key, state, now, say);
}

fn people_are_as_wanted(
    actual: &BTreeMap<(RoomId, u32), &BTreeMap<convoke_domain::SessionId, Guest>>,
    state: &Meeting,
    say: &mut impl FnMut(String),
) {
    let mut published = BTreeMap::new();
    for ((room, _), there) in actual {
        for (session, guest) in there.iter() {
            let member = state.session_member(*session).filter(|member| member.is_inside());
            let Some(member) = member.filter(|member| member.participant.room == *room) else {
                say(format!("{session} is in {room} at the media server, and is not wanted there"));
                continue;
            };
            let may = state.may_publish_all(member);
            if guest.may != may {
                say(format!("{session} may publish {:?} at the media server, and by the rules {may:?}", guest.may));
            }
            let all: &mut Sources = published.entry(member.participant.id).or_default();
            let own = guest.publishes();
            *all = Sources {
                audio: all.audio || own.audio,
                video: all.video || own.video,
                screen: all.screen || own.screen,
            };
        }
    }
    for member in state.people() {
        let media = published.get(&member.participant.id).copied().unwrap_or_default();
        if media != member.participant.media {
            let shown = member.participant.media;
            say(format!("{} publishes {media:?} and is shown with {shown:?}", member.participant.id));
        }
        if let Some(source) = member.mutes.keys().find(|source| media.has(**source)) {
            say(format!("{} was muted and is heard: {source:?}", member.participant.id));
        }
    }
}

fn recordings_are_as_wanted(
    server: &MediaServer,
    key: &MeetingKey,
    state: &Meeting,
    now: u64,
    say: &mut impl FnMut(String),
) {
    let alive: Vec<_> = server.alive().into_iter().filter(|(room, ..)| room.key == *key).collect();
    for (room, recording, take) in &alive {
        let live = state.recordings.get(recording);
        let is_new = live.is_some_and(|live| live.since + SETTLING_MS > now);
        let runs = live.is_some_and(|live| live.is_running());
        let is_former = take.generation().is_some_and(|generation| generation != state.generation(room.room));
        if (!runs || is_former) && !is_new {
            say(format!("{take:?} runs for nobody: its recording is {:?}", live.map(|live| &live.recording)));
        }
    }
    for live in state.unfinished().filter(|live| live.since + SETTLING_MS <= now) {
        let recording = &live.recording;
        let own = || alive.iter().filter(|(_, id, _)| *id == recording.id);
        let is_quiet = matches!(recording.status, RecordingStatus::Recording)
            || (recording.status == RecordingStatus::Pending && !recording.kind.is_continuous());
        if !is_quiet || recording.interrupted {
            say(format!("{recording:?} is not at rest; it has {:?}", live.takes));
        } else if recording.kind.is_continuous() && !own().any(|(_, _, take)| is_whole(take)) {
            say(format!("{recording:?} is shown as recorded, and is not: {:?}", live.takes));
        }
    }
    let asked = state.info.settings.auto_record && state.info.status == Status::Live;
    let past = state.automatic.get(&RoomId::Main).copied().unwrap_or_default();
    let is_running = state.unfinished().any(|live| live.is_running() && live.recording.room == RoomId::Main);
    if asked && !past.held && past.failures == 0 && state.counts_at_least(RoomId::Main, 1) && !is_running {
        say("the main room is to be recorded, and is not".to_owned());
    }
}
