//! The other ports: a clock, media, doors and a bus, with panics and losses on demand.

use actix::Recipient;
use convoke_actors::hub::{Deliver, Follow};
use convoke_actors::ports::*;
use convoke_actors::release::{Batch, Item, SocketId};
use convoke_actors::whiteboard::hub::BoardHubs;
use convoke_actors::whiteboard::words::{Desk, Show};
use convoke_domain::recording::{Take, TakeState};
use convoke_domain::shapes::{Media as Sources, Source};
use convoke_domain::{Millis, RecordingId, RoomId, SessionId, TenantId, UserId, WhiteboardId};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The paused clock as wall time, with panics on demand.
pub struct FakeClock {
    pub began: tokio::time::Instant,
    pub panics: AtomicU32,
}

impl Clock for FakeClock {
    fn now(&self) -> Millis {
        let due = |left: u32| left.checked_sub(1);
        if self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            panic!("injected into the clock");
        }
        1_700_000_000_000 + u64::try_from(self.began.elapsed().as_millis()).unwrap()
    }
    fn entropy(&self) -> u128 {
        4
    }
}

/// Credentials; a panic on demand, which strikes within the command that asks for them.
pub struct FakeMedia {
    pub panics: AtomicU32,
    /// How long credentials are good for.
    pub lifetime: Mutex<Option<Duration>>,
}

impl Media for FakeMedia {
    fn credentials(&self, _: &MediaRequest) -> String {
        let due = |left: u32| left.checked_sub(1);
        if self.panics.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            panic!("injected into the media");
        }
        r#"{"kind":"none"}"#.into()
    }
    fn lifetime(&self) -> Option<Duration> {
        *self.lifetime.lock().unwrap()
    }
}

/// A media server in memory. It writes down what it is asked, and fails on demand.
#[derive(Default)]
pub struct FakeRooms {
    /// Every call in order, with its room: `ensure main`.
    pub calls: Mutex<Vec<String>>,
    /// Who is where, by room and generation.
    pub there: Mutex<BTreeMap<(RoomId, u32), BTreeMap<SessionId, Guest>>>,
    /// Calls about this room panic, as often as is said.
    pub cursed: Mutex<Option<(RoomId, u32)>>,
    pub is_away: AtomicBool,
    /// Nothing is answered.
    pub is_stuck: AtomicBool,
    pub reports_presence: AtomicBool,
}

impl FakeRooms {
    async fn called(&self, what: &str, room: RoomId) -> Result<(), MediaError> {
        self.calls.lock().unwrap().push(format!("{what} {room}"));
        let is_cursed = match self.cursed.lock().unwrap().as_mut() {
            Some((cursed, left)) if *cursed == room && *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        };
        assert!(!is_cursed, "injected into the media of a room");
        if self.is_stuck.load(Ordering::SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.is_away.load(Ordering::SeqCst) { Err(MediaError("away".into())) } else { Ok(()) }
    }

    pub fn generations(&self, room: RoomId) -> Vec<u32> {
        self.there.lock().unwrap().keys().filter(|(other, _)| *other == room).map(|(_, number)| *number).collect()
    }

    pub fn exists(&self, room: RoomId) -> bool {
        !self.generations(room).is_empty()
    }

    /// It loses a room, or all, as by a restart.
    pub fn forget(&self, room: Option<RoomId>) {
        self.there.lock().unwrap().retain(|(other, _), _| room.is_some_and(|room| room != *other));
    }

    pub fn people(&self, room: RoomId) -> BTreeSet<SessionId> {
        let there = self.there.lock().unwrap();
        there.iter().filter(|((other, _), _)| *other == room).flat_map(|(_, there)| there.keys().copied()).collect()
    }

    /// Somebody connects, whoever wants them there.
    pub fn enter(&self, room: RoomId, session: SessionId) {
        let generation = self.generations(room).into_iter().max().unwrap_or_default();
        let mut there = self.there.lock().unwrap();
        there.values_mut().for_each(|people| drop(people.remove(&session)));
        let may = convoke_domain::shapes::Media { audio: true, video: true, screen: true };
        there.entry((room, generation)).or_default().insert(session, Guest { may, tracks: Vec::new() });
    }

    /// Somebody who is there publishes a track.
    pub fn publish(&self, session: SessionId, source: Source, id: &str) {
        let track = Track { id: id.to_owned(), source, is_muted: false };
        self.with(session, |guest| guest.tracks.push(track));
    }

    pub fn with<T>(&self, session: SessionId, change: impl FnOnce(&mut Guest) -> T) -> Option<T> {
        self.there.lock().unwrap().values_mut().find_map(|there| there.get_mut(&session)).map(change)
    }

    pub fn count(&self, what: &str, room: RoomId) -> usize {
        let call = format!("{what} {room}");
        self.calls.lock().unwrap().iter().filter(|other| **other == call).count()
    }

    fn in_room(&self, room: &MediaRoom, change: impl FnOnce(&mut BTreeMap<SessionId, Guest>)) {
        self.there.lock().unwrap().get_mut(&(room.room, room.generation)).map(change);
    }
}

#[async_trait::async_trait]
impl MediaRooms for FakeRooms {
    async fn ensure(&self, room: &MediaRoom) -> Result<(), MediaError> {
        self.called("ensure", room.room).await?;
        self.there.lock().unwrap().entry((room.room, room.generation)).or_default();
        Ok(())
    }
    async fn delete(&self, room: &MediaRoom) -> Result<(), MediaError> {
        self.called("delete", room.room).await?;
        self.there.lock().unwrap().remove(&(room.room, room.generation));
        Ok(())
    }
    async fn glance(&self, _: &MeetingKey, _: Duration) -> Result<Option<Glance>, MediaError> {
        self.called("glance", RoomId::Main).await?;
        let there = self.there.lock().unwrap();
        Ok(Some(there.iter().map(|(room, there)| (*room, u32::try_from(there.len()).unwrap())).collect()))
    }
    async fn present(&self, room: &MediaRoom) -> Result<Option<BTreeMap<SessionId, Guest>>, MediaError> {
        self.called("present", room.room).await?;
        Ok(Some(self.there.lock().unwrap().get(&(room.room, room.generation)).cloned().unwrap_or_default()))
    }
    async fn remove(&self, room: &MediaRoom, session: SessionId) -> Result<(), MediaError> {
        self.called("remove", room.room).await?;
        self.in_room(room, |there| drop(there.remove(&session)));
        Ok(())
    }
    async fn permit(&self, room: &MediaRoom, session: SessionId, may: Sources) -> Result<(), MediaError> {
        self.called("permit", room.room).await?;
        self.in_room(room, |there| {
            if let Some(guest) = there.get_mut(&session) {
                guest.may = may;
                guest.tracks.retain(|track| may.has(track.source));
            }
        });
        Ok(())
    }
    async fn mute(&self, room: &MediaRoom, session: SessionId, track: &str) -> Result<(), MediaError> {
        self.called("mute", room.room).await?;
        self.in_room(room, |there| {
            let tracks = there.get_mut(&session).into_iter().flat_map(|guest| &mut guest.tracks);
            tracks.filter(|other| other.id == track).for_each(|track| track.is_muted = true);
        });
        Ok(())
    }
    fn reports_presence(&self) -> bool {
        self.reports_presence.load(Ordering::SeqCst)
    }
}

/// A recorder in memory, whose takes do what a test says.
#[derive(Default)]
pub struct FakeRecorder {
    /// Every take, with the room that it is of.
    pub takes: Mutex<Vec<(RoomId, RecordingId, Take)>>,
    pub calls: Mutex<Vec<String>>,
    pub is_away: AtomicBool,
    /// A take is begun, and the answer is lost.
    pub loses_answers: AtomicBool,
}

impl FakeRecorder {
    fn called(&self, what: &str) -> Result<(), MediaError> {
        self.calls.lock().unwrap().push(what.to_owned());
        if self.is_away.load(Ordering::SeqCst) { Err(MediaError("away".into())) } else { Ok(()) }
    }

    /// Every take of a recording comes so far.
    pub fn all(&self, state: TakeState) {
        for (_, _, take) in self.takes.lock().unwrap().iter_mut().filter(|(_, _, take)| !take.state.is_over()) {
            take.state = take.state.max(state);
        }
    }

    pub fn states(&self) -> Vec<(RoomId, TakeState)> {
        self.takes.lock().unwrap().iter().map(|(room, _, take)| (*room, take.state)).collect()
    }

    /// The rooms in which a take is alive.
    pub fn alive(&self) -> BTreeSet<RoomId> {
        self.states().into_iter().filter(|(_, state)| state.is_alive()).map(|(room, _)| room).collect()
    }
}

#[async_trait::async_trait]
impl Recorder for FakeRecorder {
    fn is_there(&self) -> bool {
        true
    }
    async fn begin(&self, order: &TakeOrder) -> Result<Take, MediaError> {
        self.called("begin")?;
        let mut takes = self.takes.lock().unwrap();
        let id = format!("EG_{}", takes.len());
        let take = Take::of(id, &order.part, format!("{}.mp4", order.path));
        takes.push((order.room.room, order.recording, take.clone()));
        if self.loses_answers.load(Ordering::SeqCst) { Err(MediaError("lost".into())) } else { Ok(take) }
    }
    async fn end(&self, id: &str) -> Result<(), MediaError> {
        self.called("end")?;
        let mut takes = self.takes.lock().unwrap();
        for (_, _, take) in takes.iter_mut().filter(|(_, _, take)| take.id == id && take.state.is_alive()) {
            take.state = TakeState::Ending;
        }
        Ok(())
    }
    async fn takes(&self, _: &MeetingKey, _: Duration) -> Result<Takes, MediaError> {
        self.called("list")?;
        let mut by_recording = BTreeMap::<RecordingId, Vec<Take>>::new();
        for (_, recording, take) in self.takes.lock().unwrap().iter() {
            by_recording.entry(*recording).or_default().push(take.clone());
        }
        Ok(Takes { by_recording })
    }
}

/// Tokens are JSON here.
pub struct FakeDoors;

impl Doors for FakeDoors {
    fn admission(&self, token: &str) -> Option<Admission> {
        assert!(token != "panic", "injected into the doors");
        let token: Value = serde_json::from_str(token).ok()?;
        Some(Admission {
            key: key_of(&token["meeting"]),
            user: token["user"].as_str().map(|user| UserId(user.into())),
            name: token["user"].as_str().map(ToOwned::to_owned),
            role: serde_json::from_value(token["role"].clone()).ok()?,
        })
    }
    fn ticket(&self, token: &str) -> Option<Ticket> {
        let token: Value = serde_json::from_str(token).ok()?;
        Some(Ticket {
            key: key_of(&token["meeting"]),
            session: serde_json::from_value(token["session"].clone()).ok()?,
            participant: serde_json::from_value(token["participant"].clone()).ok()?,
        })
    }
    fn resume_token(&self, ticket: &Ticket) -> String {
        json!({ "meeting": ticket.key.meeting, "session": ticket.session, "participant": ticket.participant })
            .to_string()
    }
    fn board_ticket(&self, token: &str) -> Option<(Ticket, WhiteboardId)> {
        let (board, rest) = token.split_once(' ')?;
        Some((self.ticket(rest)?, board.parse().ok()?))
    }
    fn board_token(&self, ticket: &Ticket, board: WhiteboardId) -> String {
        format!("{board} {}", self.resume_token(ticket))
    }
}

fn key_of(meeting: &Value) -> MeetingKey {
    MeetingKey { tenant: TenantId("t".into()), meeting: serde_json::from_value(meeting.clone()).unwrap() }
}

#[derive(Default)]
pub struct FakeBus {
    hubs: Mutex<Vec<Recipient<Deliver>>>,
    overrun: Mutex<Vec<Arc<AtomicBool>>>,
    /// Batches to be lost.
    pub loses: AtomicU32,
    pub boards: BoardHubs,
    /// So many words of boards to their hubs are lost.
    pub loses_shown: AtomicU32,
    /// The sockets that were given places, the latest last.
    pub placed: Mutex<Vec<SocketId>>,
}

impl FakeBus {
    /// What follows the meetings is told that it was given too much at once.
    pub fn overrun_next(&self) {
        for flag in self.overrun.lock().unwrap().iter() {
            flag.store(true, Ordering::SeqCst);
        }
    }
}

impl Bus for FakeBus {
    fn board_hubs(&self) -> &BoardHubs {
        &self.boards
    }

    fn show(&self, desk: &Desk, show: Arc<Show>) {
        let due = |left: u32| left.checked_sub(1);
        if self.loses_shown.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_err() {
            self.boards.show(desk.hub, show);
        }
    }

    fn publish(&self, batch: Arc<Batch>) {
        let due = |left: u32| left.checked_sub(1);
        if self.loses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, due).is_ok() {
            return;
        }
        let placed = batch.items.iter().filter_map(|item| match item {
            Item::Place { socket, .. } => Some(*socket),
            _ => None,
        });
        self.placed.lock().unwrap().extend(placed);
        for hub in self.hubs.lock().unwrap().iter() {
            hub.try_send(Deliver(Arc::clone(&batch))).unwrap();
        }
    }
}

impl Follow for FakeBus {
    fn follow(&self, _: &MeetingKey, _: u64, to: Recipient<Deliver>, overrun: Arc<AtomicBool>) {
        let mut hubs = self.hubs.lock().unwrap();
        if hubs.is_empty() {
            hubs.push(to);
            self.overrun.lock().unwrap().push(overrun);
        }
    }
    fn unfollow(&self, _: &MeetingKey, _: u64) {}
}
