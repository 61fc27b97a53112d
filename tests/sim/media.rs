//! The media server and its recorder: one for all nodes, with rooms, devices, tracks and takes. It does
//! what such servers do: answers late, with errors or not at all; does what it was asked and loses the
//! answer; tells what happened twice, late, in any order or never; forgets everything; lets in whoever
//! has credentials, and makes a room that is not there for them; ends recordings by itself.

use crate::chance::{Chance, Outside, Time};
use crate::link::Link;
use async_trait::async_trait;
use convoke_actors::ports::{
    Glance, Guest, MediaError, MediaNews, MediaRequest, MediaRoom, MediaRooms, MeetingKey, Recorder, TakeOrder, Takes,
    Track,
};
use convoke_domain::recording::{Part, Take, TakeState};
use convoke_domain::shapes::{Media as Sources, Source};
use convoke_domain::{RecordingId, SessionId};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::sleep;

/// What may happen to everything that is asked of the media server, as shares of one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct MediaWeather {
    pub refused: f64,
    /// It is done, and nobody is told.
    pub unknown: f64,
    pub stuck: f64,
    /// Of what it tells by itself.
    pub lost: f64,
    pub doubled: f64,
    pub late: f64,
    /// A take never begins, or dies.
    pub stillborn: f64,
    pub dies: f64,
}

/// How long a room is kept that everybody has left.
const DEPARTURE: Duration = Duration::from_secs(10);

struct Entry {
    room: MediaRoom,
    recording: RecordingId,
    take: Take,
}

#[derive(Default)]
pub struct Tables {
    pub rooms: BTreeMap<MediaRoom, BTreeMap<SessionId, Guest>>,
    takes: Vec<Entry>,
}

/// What a client is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credentials {
    pub room: MediaRoom,
    pub session: SessionId,
    pub may: Sources,
}

pub struct MediaServer {
    pub tables: Mutex<Tables>,
    pub weather: Mutex<MediaWeather>,
    pub absences: Mutex<u32>,
    pub time: Time,
    pub chance: Chance,
    pub outside: Outside,
    /// What it tells, on its way to any node.
    pub news: mpsc::UnboundedSender<(MeetingKey, MediaNews)>,
    number: std::sync::atomic::AtomicU64,
}

impl MediaServer {
    pub fn new(
        (time, chance, outside): (Time, Chance, Outside),
        weather: MediaWeather,
        news: mpsc::UnboundedSender<(MeetingKey, MediaNews)>,
    ) -> Self {
        Self {
            tables: Mutex::default(),
            weather: Mutex::new(weather),
            absences: Mutex::new(0),
            time,
            chance,
            outside,
            news,
            number: std::sync::atomic::AtomicU64::new(0),
        }
    }

    fn next(&self) -> u64 {
        self.number.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    }

    fn is_away(&self) -> bool {
        *self.absences.lock().unwrap() > 0
    }

    fn tell(self: &Arc<Self>, key: &MeetingKey, news: MediaNews) {
        let weather = *self.weather.lock().unwrap();
        if self.chance.is(weather.lost) {
            return;
        }
        let copies = if self.chance.is(weather.doubled) { 2 } else { 1 };
        for _ in 0..copies {
            let most = if self.chance.is(weather.late) { 8_000 } else { 100 };
            let (server, key, news) = (Arc::clone(self), key.clone(), news.clone());
            self.outside.spawn(async move {
                sleep(server.chance.pause(1, most)).await;
                // After the end of the simulation nobody listens.
                let _ = server.news.send((key, news));
            });
        }
    }

    fn changed(self: &Arc<Self>, room: &MediaRoom) {
        self.tell(&room.key, MediaNews { rooms: [room.room].into(), takes: Vec::new() });
    }

    /// A device comes with credentials, which make the room if need be.
    pub fn connect(self: &Arc<Self>, credentials: &Credentials) -> bool {
        if self.is_away() {
            return false;
        }
        let Credentials { room, session, may } = credentials;
        let guest = Guest { may: *may, tracks: Vec::new() };
        self.tables.lock().unwrap().rooms.entry(room.clone()).or_default().insert(*session, guest);
        self.changed(room);
        true
    }

    pub fn disconnect(self: &Arc<Self>, room: &MediaRoom, session: SessionId) {
        let gone = self.tables.lock().unwrap().rooms.get_mut(room).and_then(|there| there.remove(&session));
        if gone.is_some() {
            self.changed(room);
            let (server, room) = (Arc::clone(self), room.clone());
            self.outside.spawn(async move {
                sleep(DEPARTURE).await;
                let mut tables = server.tables.lock().unwrap();
                if tables.rooms.get(&room).is_some_and(BTreeMap::is_empty) {
                    tables.rooms.remove(&room);
                }
            });
        }
    }

    /// A device publishes, mutes, or takes down a track, as far as it may.
    pub fn publish(self: &Arc<Self>, room: &MediaRoom, session: SessionId, source: Source, on: bool) {
        let number = self.next();
        let chance = self.chance.clone();
        {
            let mut tables = self.tables.lock().unwrap();
            let Some(guest) = tables.rooms.get_mut(room).and_then(|there| there.get_mut(&session)) else { return };
            if !guest.may.has(source) {
                return;
            }
            let known = guest.tracks.iter_mut().find(|track| track.source == source);
            match known {
                Some(track) => {
                    track.is_muted = !on;
                    // Muting is told to nobody but the devices.
                    return;
                }
                None if on => {
                    let id = format!("TR_{number}");
                    guest.tracks.push(Track { id, source, is_muted: chance.is(0.1) });
                }
                None => return,
            }
        }
        self.changed(room);
    }

    /// It forgets all that it had, as by a restart: everybody is thrown out, every take dies with it.
    pub fn forget(self: &Arc<Self>) {
        let mut tables = self.tables.lock().unwrap();
        tables.rooms.clear();
        let remembers = self.chance.is(0.5);
        for entry in tables.takes.iter_mut().filter(|entry| !entry.take.state.is_over()) {
            entry.take.state = TakeState::Failed;
            entry.take.error = Some("the server went away".to_owned());
        }
        if !remembers {
            tables.takes.clear();
        }
    }

    /// A take comes so far; told to whoever hears it. A take that is over stays so.
    fn advance(self: &Arc<Self>, id: &str, state: TakeState) {
        let told = {
            let mut tables = self.tables.lock().unwrap();
            let Some(entry) = tables.takes.iter_mut().find(|entry| entry.take.id == id) else { return };
            if entry.take.state >= state || entry.take.state.is_over() {
                return;
            }
            entry.take.state = state;
            match state {
                TakeState::Active => entry.take.started_at = Some(self.time.now()),
                TakeState::Complete => {
                    entry.take.ended_at = Some(self.time.now());
                    entry.take.bytes = Some(1_000);
                }
                _ => {}
            }
            (entry.room.key.clone(), entry.recording, entry.take.clone())
        };
        let (key, recording, take) = told;
        self.tell(&key, MediaNews { takes: vec![(recording, take)], ..MediaNews::default() });
    }

    fn after(self: &Arc<Self>, id: &str, most_ms: u64, state: TakeState) {
        let (server, id) = (Arc::clone(self), id.to_owned());
        self.outside.spawn(async move {
            sleep(server.chance.pause(50, most_ms)).await;
            server.advance(&id, state);
        });
    }

    fn finish(self: &Arc<Self>, id: &str) {
        self.advance(id, TakeState::Ending);
        self.after(id, 3_000, TakeState::Complete);
    }

    /// What runs in a room as a whole ends with it, as does what is of the tracks of those who were there.
    fn end_takes_in(self: &Arc<Self>, room: &MediaRoom) {
        let there: Vec<String> = {
            let tables = self.tables.lock().unwrap();
            let entries = tables.takes.iter().filter(|entry| entry.room == *room && entry.take.state.is_alive());
            entries.map(|entry| entry.take.id.clone()).collect()
        };
        for id in there {
            self.finish(&id);
        }
    }

    /// The takes that run, with the rooms that they run in.
    pub fn alive(&self) -> Vec<(MediaRoom, RecordingId, Take)> {
        let tables = self.tables.lock().unwrap();
        let alive = tables.takes.iter().filter(|entry| entry.take.state.is_alive());
        alive.map(|entry| (entry.room.clone(), entry.recording, entry.take.clone())).collect()
    }
}

/// The media server as one life of a node sees it.
pub struct Media {
    pub server: Arc<MediaServer>,
    pub link: Arc<Link>,
    /// Whether this life may speak for a meeting just now, by the database.
    pub database: Arc<crate::database::Database>,
}

impl Media {
    /// The way there, and what may befall on it. Whether it is done at all, and whether the answer comes back.
    async fn ask<T>(&self, key: &MeetingKey, change: impl FnOnce() -> T) -> Result<T, MediaError> {
        self.database.speaks_for(&self.link, key);
        let server = &self.server;
        let weather = *server.weather.lock().unwrap();
        let most = if server.chance.is(0.05) { 3_000 } else { 30 };
        sleep(server.chance.pause(1, most)).await;
        if server.is_away() {
            sleep(server.chance.pause(1, 2_500)).await;
            return Err(MediaError("away".to_owned()));
        }
        if server.chance.is(weather.refused) {
            return Err(MediaError("refused".to_owned()));
        }
        if server.chance.is(weather.stuck) {
            std::future::pending::<()>().await;
        }
        let done = change();
        sleep(server.chance.pause(1, 30)).await;
        if server.chance.is(weather.unknown) {
            return Err(MediaError("no answer".to_owned()));
        }
        Ok(done)
    }

    fn with<T>(&self, room: &MediaRoom, session: SessionId, change: impl FnOnce(&mut Guest) -> T) -> Option<T> {
        let mut tables = self.server.tables.lock().unwrap();
        tables.rooms.get_mut(room).and_then(|there| there.get_mut(&session)).map(change)
    }
}

#[async_trait]
impl MediaRooms for Media {
    async fn ensure(&self, room: &MediaRoom) -> Result<(), MediaError> {
        let ensure = || {
            self.server.tables.lock().unwrap().rooms.entry(room.clone()).or_default();
        };
        self.ask(&room.key, ensure).await
    }

    async fn delete(&self, room: &MediaRoom) -> Result<(), MediaError> {
        let delete = || {
            self.server.tables.lock().unwrap().rooms.remove(room);
            self.server.end_takes_in(room);
        };
        self.ask(&room.key, delete).await
    }

    async fn glance(&self, key: &MeetingKey, _: Duration) -> Result<Option<Glance>, MediaError> {
        let glance = || {
            let tables = self.server.tables.lock().unwrap();
            let ours = tables.rooms.iter().filter(|(room, _)| room.key == *key);
            ours.map(|(room, there)| ((room.room, room.generation), u32::try_from(there.len()).unwrap())).collect()
        };
        self.ask(key, glance).await.map(Some)
    }

    async fn present(&self, room: &MediaRoom) -> Result<Option<BTreeMap<SessionId, Guest>>, MediaError> {
        let present = || self.server.tables.lock().unwrap().rooms.get(room).cloned().unwrap_or_default();
        self.ask(&room.key, present).await.map(Some)
    }

    async fn remove(&self, room: &MediaRoom, session: SessionId) -> Result<(), MediaError> {
        self.ask(&room.key, || self.server.disconnect(room, session)).await
    }

    async fn permit(&self, room: &MediaRoom, session: SessionId, may: Sources) -> Result<(), MediaError> {
        let permit = || {
            self.with(room, session, |guest| {
                guest.may = may;
                guest.tracks.retain(|track| may.has(track.source));
            });
            self.server.changed(room);
        };
        self.ask(&room.key, permit).await
    }

    async fn mute(&self, room: &MediaRoom, session: SessionId, track: &str) -> Result<(), MediaError> {
        let mute = || {
            self.with(room, session, |guest| {
                guest.tracks.iter_mut().filter(|other| other.id == track).for_each(|track| track.is_muted = true);
            });
        };
        self.ask(&room.key, mute).await
    }

    fn reports_presence(&self) -> bool {
        true
    }
}

#[async_trait]
impl Recorder for Media {
    fn is_there(&self) -> bool {
        true
    }

    async fn begin(&self, order: &TakeOrder) -> Result<Take, MediaError> {
        let begin = || {
            let id = format!("EG_{}", self.server.next());
            let take = Take::of(id.clone(), &order.part, format!("{}.mp4", order.path));
            let (room, recording) = (order.room.clone(), order.recording);
            self.server.tables.lock().unwrap().takes.push(Entry { room, recording, take: take.clone() });
            let weather = *self.server.weather.lock().unwrap();
            if !self.server.chance.is(weather.stillborn) {
                self.server.after(&id, 2_500, TakeState::Active);
            }
            if self.server.chance.is(weather.dies) {
                self.server.after(&id, 20_000, TakeState::Failed);
            }
            take
        };
        self.ask(&order.room.key, begin).await
    }

    async fn end(&self, id: &str) -> Result<(), MediaError> {
        let of = |entry: &&Entry| entry.take.id == id;
        let key = self.server.tables.lock().unwrap().takes.iter().find(of).map(|entry| entry.room.key.clone());
        let Some(key) = key else { return Ok(()) };
        self.ask(&key, || self.server.finish(id)).await
    }

    async fn takes(&self, key: &MeetingKey, _: Duration) -> Result<Takes, MediaError> {
        let list = || {
            let mut takes = Takes::default();
            for entry in self.server.tables.lock().unwrap().takes.iter().filter(|entry| entry.room.key == *key) {
                takes.by_recording.entry(entry.recording).or_default().push(entry.take.clone());
            }
            takes
        };
        self.ask(key, list).await
    }
}

/// Credentials are what they say.
pub fn credentials_of(request: &MediaRequest) -> String {
    let MediaRequest { room, session, may, .. } = request.clone();
    serde_json::to_string(&Credentials { room, session, may }).unwrap()
}

/// Whether a take is of a whole room.
pub fn is_whole(take: &Take) -> bool {
    matches!(take.part.parse(), Ok(Part::Composite(_) | Part::Audio(_)))
}
