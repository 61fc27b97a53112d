//! Recordings under random plans. The recorder says things in any order, twice, or never; people come,
//! go, move, consent and talk; rooms open, merge and close; time passes. A model written from `SPEC.md`
//! follows the log event by event: it keeps what is known of the takes, since when a recording has had
//! its status, how automatic ones fared, and who consented, and says of each event whether it could come
//! then. After every step the state must be as the model says, and at the end nothing is left half-way.

use crate::common::*;
use convoke_domain::breakout::{Destination, OpenRooms, PlannedRoom};
use convoke_domain::command::Nothing;
use convoke_domain::event::LeaveReason;
use convoke_domain::recording::{
    Observation, Part, RecordingKind, RecordingStatus, StartRecording, Take, TakeState, path_of,
};
use convoke_domain::shapes::{Media, Role, RoomKind, RoomState, SettingsPatch, Source, Status};
use convoke_domain::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PEOPLE: usize = 4;

/// Numbers mean one of those there are at that time.
#[derive(Clone, Debug)]
enum Step {
    /// By the host, or by the backend.
    Start {
        is_backend: bool,
        kind: RecordingKind,
        room: usize,
    },
    Stop {
        is_backend: bool,
        which: Option<usize>,
    },
    Consent {
        who: usize,
        which: usize,
        given: bool,
    },
    Settings {
        auto: Option<bool>,
        people: Option<u32>,
        consent: Option<bool>,
    },
    Media {
        who: usize,
        media: Media,
    },
    Publishing {
        who: usize,
        media: Media,
    },
    Takes {
        which: usize,
        runs: Vec<Said>,
    },
    Missing {
        which: usize,
        runs: BTreeSet<usize>,
    },
    Unreachable(usize),
    Come(usize),
    Lost(usize),
    Back(usize),
    Leave(usize),
    ToLobby(usize),
    /// The last numbered command of somebody once more, under its number.
    Again(usize),
    Rooms {
        is_recorded: bool,
    },
    Move {
        who: usize,
        room: usize,
    },
    Merge,
    CloseRooms {
        now: bool,
    },
    Pass(u64),
    Recovered,
    End,
}

/// A run of the recorder as it is told: its name, its generation or none for a track, and how far it came.
type Said = (usize, Option<u32>, TakeState);

fn media() -> impl Strategy<Value = Media> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(audio, video, screen)| Media { audio, video, screen })
}

fn run() -> impl Strategy<Value = Said> {
    let state = prop_oneof![
        2 => Just(TakeState::Starting),
        4 => Just(TakeState::Active),
        1 => Just(TakeState::Ending),
        2 => Just(TakeState::Complete),
        2 => Just(TakeState::Failed),
    ];
    (0..3usize, prop::option::weighted(0.8, 0..3u32), state)
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        5 => Just(RecordingKind::Composite),
        1 => Just(RecordingKind::Audio),
        1 => Just(RecordingKind::Tracks),
        1 => Just(RecordingKind::Screen),
    ];
    let settings = (prop::option::of(any::<bool>()), prop::option::of(1..4u32), prop::option::of(any::<bool>()));
    prop_oneof![
        5 => (any::<bool>(), kind, 0..4usize).prop_map(|(is_backend, kind, room)| Step::Start { is_backend, kind, room }),
        3 => (any::<bool>(), prop::option::weighted(0.8, 0..8usize))
            .prop_map(|(is_backend, which)| Step::Stop { is_backend, which }),
        5 => (0..PEOPLE, 0..8usize, prop::bool::weighted(0.7))
            .prop_map(|(who, which, given)| Step::Consent { who, which, given }),
        4 => settings.prop_map(|(auto, people, consent)| Step::Settings { auto, people, consent }),
        5 => (0..PEOPLE, media()).prop_map(|(who, media)| Step::Media { who, media }),
        3 => (0..PEOPLE, media()).prop_map(|(who, media)| Step::Publishing { who, media }),
        18 => (0..8usize, prop::collection::vec(run(), 0..3)).prop_map(|(which, runs)| Step::Takes { which, runs }),
        2 => (0..8usize, prop::collection::btree_set(0..3usize, 0..3))
            .prop_map(|(which, runs)| Step::Missing { which, runs }),
        2 => (0..4usize).prop_map(Step::Unreachable),
        6 => (0..PEOPLE).prop_map(Step::Come),
        2 => (0..PEOPLE).prop_map(Step::Lost),
        2 => (0..PEOPLE).prop_map(Step::Back),
        4 => (0..PEOPLE).prop_map(Step::Leave),
        1 => (1..PEOPLE).prop_map(Step::ToLobby),
        2 => (0..PEOPLE).prop_map(Step::Again),
        2 => any::<bool>().prop_map(|is_recorded| Step::Rooms { is_recorded }),
        5 => (0..PEOPLE, 0..4usize).prop_map(|(who, room)| Step::Move { who, room }),
        1 => Just(Step::Merge),
        1 => any::<bool>().prop_map(|now| Step::CloseRooms { now }),
        5 => (0..5_000u64).prop_map(Step::Pass),
        4 => prop_oneof![Just(30_000u64), Just(60_000)].prop_map(Step::Pass),
        1 => prop_oneof![Just(300_000u64), Just(600_000), Just(6 * 3_600_000)].prop_map(Step::Pass),
        1 => Just(Step::Recovered),
    ]
}

/// What the model knows of a recording.
struct Known {
    room: RoomId,
    kind: RecordingKind,
    consent: bool,
    status: RecordingStatus,
    interrupted: bool,
    has_run: bool,
    takes: BTreeMap<String, (Option<u32>, TakeState)>,
    consents: BTreeMap<ParticipantId, bool>,
    asked_at: Millis,
    since: Millis,
    emptied: Option<Millis>,
    lapsed: Option<Millis>,
    /// The meeting has forgotten it.
    is_gone: bool,
    /// Statuses that were told while the recorder could be asked.
    told: Vec<RecordingStatus>,
}

use RecordingStatus::*;

impl Known {
    fn runs(&self) -> bool {
        matches!(self.status, Pending | Recording)
    }
    fn is_over(&self) -> bool {
        matches!(self.status, Completed | Failed)
    }
    /// Also one that was given up, as long as something of it may be taken down.
    fn is_asking(&self) -> bool {
        let may_record = self.any(|state| state < TakeState::Ending);
        self.consent && !self.is_gone && (matches!(self.status, Pending | Recording | Stopping) || may_record)
    }
    fn is_continuous(&self) -> bool {
        matches!(self.kind, RecordingKind::Composite | RecordingKind::Audio)
    }
    fn any(&self, is: impl Fn(TakeState) -> bool) -> bool {
        self.takes.values().any(|(_, state)| is(*state))
    }
    fn has_file(&self) -> bool {
        self.any(|state| state == TakeState::Complete)
    }
    /// RC4: its takes of the room's present generation have ended.
    fn has_died(&self, generation: u32) -> bool {
        let mut whole = self.takes.values().filter(|(of, _)| *of == Some(generation)).peekable();
        let is_alive = |state: TakeState| matches!(state, TakeState::Starting | TakeState::Active);
        self.is_continuous() && whole.peek().is_some() && !whole.any(|(_, state)| is_alive(*state))
    }
    /// RC3: what follows of the takes.
    fn settled(&self, generation: u32) -> RecordingStatus {
        let is_alive = |state| matches!(state, TakeState::Starting | TakeState::Active);
        match self.status {
            Completed | Failed => self.status,
            Pending | Recording if !self.has_died(generation) => {
                let is_active = self.any(|state| state == TakeState::Active);
                if is_active || self.has_run { Recording } else { Pending }
            }
            Stopping | Processing if self.takes.is_empty() => self.status,
            _ if self.status != Processing && self.any(is_alive) => Stopping,
            _ if self.any(|state| state < TakeState::Complete) => Processing,
            _ if self.has_file() => Completed,
            _ => Failed,
        }
    }
    /// RC5, RC6, RC9: when something becomes of it by itself.
    fn due(&self) -> Option<Millis> {
        let own = match self.status {
            _ if self.interrupted => Some(self.since + 600_000),
            Pending if self.is_continuous() => Some(self.since + 60_000),
            Stopping => Some(self.since + 300_000),
            Processing => Some(self.since + 6 * 3_600_000),
            _ => None,
        };
        if !self.runs() {
            return own;
        }
        let emptied = self.emptied.map(|at| at + 30_000);
        let lapsed = self.lapsed.map(|at| at + 60_000);
        [own, emptied, lapsed, Some(self.asked_at + 6 * 3_600_000)].into_iter().flatten().min()
    }
}

/// How automatic recordings of a room fared.
#[derive(Clone, Copy, Default)]
struct Fared {
    held: bool,
    failures: u32,
    retry_at: Option<Millis>,
}

struct Run {
    scene: Scene,
    people: Vec<Device>,
    known: BTreeMap<RecordingId, Known>,
    fared: BTreeMap<RoomId, Fared>,
    generations: BTreeMap<RoomId, u32>,
    last: BTreeMap<usize, (SessionId, u64, Command)>,
    numbers: BTreeMap<SessionId, u64>,
    /// The state as the log was followed.
    state: Meeting,
    learned: usize,
    /// Somebody asks for something to be stopped.
    is_stopping: bool,
    /// Somebody asks for a recording.
    is_starting: bool,
}

fn nth<K: Copy, V>(map: &BTreeMap<K, V>, number: usize) -> Option<K> {
    map.keys().nth(number.checked_rem(map.len())?).copied()
}

fn people_in(state: &Meeting, room: RoomId) -> u32 {
    let there = state.members.values().filter(|m| m.is_inside() && m.participant.room == room);
    u32::try_from(there.filter(|m| !m.participant.role.is_service()).count()).expect("few")
}

/// RC7: from how many people on the settings ask for this room.
fn wanted_from(state: &Meeting, id: RoomId) -> Option<u32> {
    let settings = &state.info.settings;
    match state.rooms.get(&id)?.kind {
        RoomKind::Main => settings.auto_record.then_some(settings.auto_record_min_participants),
        RoomKind::Breakout => state.breakout.as_ref().is_some_and(|set| set.shown.record).then_some(1),
    }
}

impl Run {
    fn new(limits: Limits) -> Self {
        let mut scene = Scene::limited(limits, |_| {});
        let state = scene.state.clone();
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let role = if number == 0 { Role::Host } else { Role::Participant };
            people.push(scene.enters(&format!("Person {number}"), role));
        }
        let mut run = Self {
            scene,
            people,
            known: BTreeMap::new(),
            fared: BTreeMap::new(),
            generations: BTreeMap::new(),
            last: BTreeMap::new(),
            numbers: BTreeMap::new(),
            state,
            learned: 1,
            is_stopping: false,
            is_starting: false,
        };
        run.learn();
        run
    }

    fn room(&self, number: usize) -> RoomId {
        nth(&self.scene.state.rooms, number).expect("the main room at least")
    }

    fn generation(&self, room: RoomId) -> u32 {
        self.generations.get(&room).copied().unwrap_or_default()
    }

    fn unfinished(&self) -> usize {
        self.known.values().filter(|known| !known.is_over()).count()
    }

    fn inside(&self, who: usize) -> Option<ParticipantId> {
        let member = self.scene.find(&self.people[who])?;
        member.is_inside().then_some(member.participant.id)
    }

    /// RC1: whether a recording of this kind runs there.
    fn is_recorded(&self, room: RoomId, kind: RecordingKind) -> bool {
        self.known.values().any(|known| known.runs() && (known.room, known.kind) == (room, kind))
    }

    /// RC8: whether their consent is missing where they are.
    fn is_withheld(&self, id: ParticipantId, room: RoomId) -> bool {
        let there = self.known.values().filter(|known| known.is_asking()).filter(|known| known.room == room);
        there.into_iter().any(|known| known.consents.get(&id) != Some(&true))
    }

    /// RC7: whether an automatic recording of the room is to begin, as far as the room goes.
    fn is_due(&self, state: &Meeting, room: RoomId) -> bool {
        let fared = self.fared.get(&room).copied().unwrap_or_default();
        let is_blocked = fared.held || fared.failures >= 3 || fared.retry_at.is_some_and(|at| at > self.scene.now);
        state.info.status == Status::Live
            && state.rooms[&room].state == RoomState::Open
            && wanted_from(state, room).is_some_and(|people| people_in(state, room) >= people)
            && !is_blocked
            && !self.is_recorded(room, RecordingKind::Composite)
    }

    fn come(&mut self, who: usize) {
        let device = self.people[who].clone();
        if !self.scene.state.sessions.contains_key(&device.session) {
            let _ = self.scene.join(&device);
            self.learn();
        }
        if self.scene.find(&device).is_some_and(|member| member.is_waiting()) {
            let _ = self.scene.operator(Command::AdmitGuest(all()));
            self.learn();
        }
    }

    /// Asks as this person, who comes in again if they are not here. None, if they cannot.
    fn ask(&mut self, who: usize, command: Command) -> Option<Result<turn::Reply, Rejection>> {
        self.come(who);
        let session = self.people[who].session;
        let known = self.scene.state.sessions.get(&session)?.last_id;
        let number = self.numbers.entry(session).or_default();
        *number = if known == 0 { 1 } else { (*number).max(known) + 1 };
        let id = *number;
        self.last.insert(who, (session, id, command.clone()));
        Some(self.scene.take(Input::Command { by: By::Session { session, id }, command }))
    }

    fn ask_as(&mut self, is_backend: bool, command: Command) -> Option<Result<turn::Reply, Rejection>> {
        if is_backend { Some(self.scene.operator(command)) } else { self.ask(0, command) }
    }

    fn see(&mut self, seen: Observation) {
        self.scene.take(Input::Seen(seen)).expect("what is seen is never refused");
    }

    /// Follows the log from where it was left.
    fn learn(&mut self) {
        while let Some(recorded) = self.scene.log.get(self.learned).cloned() {
            self.learned += 1;
            self.follow(&recorded);
        }
    }

    fn follow(&mut self, recorded: &Recorded) {
        let at = recorded.at;
        match &recorded.event {
            Event::RecordingChanged { recording, held, by } => self.changed(recorded, recording, *held, *by),
            Event::TakeChanged { recording, take } => {
                let generation = take.part.rsplit_once('.').and_then(|(_, number)| number.parse().ok());
                let generation = generation.filter(|_| !take.part.contains('_'));
                let known = self.known.get_mut(recording).expect("a recording there is");
                let before = known.takes.insert(take.id.clone(), (generation, take.state));
                if let Some((_, before)) = before {
                    assert!(before < TakeState::Complete && before < take.state, "RC3: {before:?} {:?}", take.state);
                }
            }
            Event::RecordingConsented { recording, participant, given } => {
                let known = self.known.get_mut(recording).expect("a recording there is");
                assert!(known.consent, "RC8: nobody is asked otherwise");
                known.consents.insert(*participant, *given);
            }
            Event::MeetingRecovered {} => {
                for known in self.known.values_mut().filter(|known| !known.is_over()) {
                    known.since = at;
                    known.emptied = known.emptied.map(|_| at);
                    known.lapsed = known.lapsed.map(|_| at);
                }
            }
            Event::ParticipantLeft { participant, reason: LeaveReason::ToLobby, .. } => {
                *self.generations.entry(participant.room).or_default() += 1;
            }
            _ => {}
        }
        apply::apply(&mut self.state, recorded, &self.scene.limits);
        self.recount(at);
    }

    /// What follows of who is where, after each event.
    fn recount(&mut self, at: Millis) {
        let state = &self.state;
        for (id, known) in &mut self.known {
            known.is_gone = !state.recordings.contains_key(id);
            assert!(!known.is_gone || known.is_over(), "RC2: only what is over is forgotten");
        }
        self.fared.retain(|room, _| people_in(state, *room) > 0);
        for (id, known) in self.known.iter_mut().filter(|(_, known)| !known.is_over()) {
            let generation = self.generations.get(&known.room).copied().unwrap_or_default();
            let is_empty = people_in(state, known.room) == 0;
            known.emptied = if is_empty { known.emptied.or(Some(at)) } else { None };
            let is_taken = known.takes.values().any(|take| *take == (Some(generation), TakeState::Active));
            let lapses = known.status == Recording && known.is_continuous() && !is_taken;
            known.lapsed = if lapses { known.lapsed.or(Some(at)) } else { None };
            let live = &state.recordings[id];
            assert_eq!((live.emptied_at, live.lapsed_at), (known.emptied, known.lapsed), "LG5: a recount");
            assert_eq!(live.since, known.since);
        }
        let unfinished = self.known.iter().filter(|(_, known)| !known.is_over()).map(|(id, _)| *id).collect();
        assert_eq!(state.unfinished, unfinished, "LG5: unfinished");
        for member in state.members.values().filter(|m| m.is_inside() && !m.participant.role.is_service()) {
            let is_withheld = self.is_withheld(member.participant.id, member.participant.room);
            assert!(!is_withheld || member.participant.media == Media::default(), "RC8: not without consent");
        }
    }

    fn changed(&mut self, recorded: &Recorded, now: &recording::Recording, held: bool, by: Option<ParticipantId>) {
        let at = recorded.at;
        let ran = self.known.get(&now.id).is_some_and(Known::runs);
        if !self.known.contains_key(&now.id) {
            assert_eq!((now.status, now.interrupted), (Pending, false), "RC2");
            assert!(self.unfinished() < self.scene.limits.recordings_at_once_max, "RC1");
            assert!(!self.is_recorded(now.room, now.kind), "RC1: one of a kind");
            if now.automatic {
                assert!(self.is_due(&self.state, now.room), "RC7: not where it is not asked for");
                assert_eq!((now.kind, recorded.cause), (RecordingKind::Composite, None), "RC7, CM1");
            } else {
                assert!(self.is_starting, "RC1: somebody asked");
            }
            let known = Known {
                room: now.room,
                kind: now.kind,
                consent: now.consent,
                status: Pending,
                interrupted: false,
                has_run: false,
                takes: BTreeMap::new(),
                consents: by.filter(|_| now.consent).map(|id| (id, true)).into_iter().collect(),
                asked_at: at,
                since: at,
                emptied: None,
                lapsed: None,
                is_gone: false,
                told: vec![Pending],
            };
            self.known.insert(now.id, known);
        } else {
            let is_asked_for = self.state.rooms.contains_key(&now.room) && wanted_from(&self.state, now.room).is_some();
            let known = self.known.get_mut(&now.id).expect("known");
            assert!(!known.is_over(), "RC2: final is final");
            assert_ne!((known.status, known.interrupted), (now.status, now.interrupted), "RC2: once");
            if known.interrupted || now.interrupted {
                assert!(now.status != Pending || known.runs(), "RC9");
            } else {
                assert!(!known.told.contains(&now.status), "RC2: once: {:?} {:?}", known.told, now.status);
                known.told.push(now.status);
            }
            match now.status {
                Pending => {}
                Recording => assert!(known.any(|state| state == TakeState::Active) || known.has_run, "RC2"),
                Stopping => {
                    let is_halted = self.is_stopping && known.runs();
                    assert_eq!(
                        held,
                        is_halted && (now.automatic || (is_asked_for && now.kind == RecordingKind::Composite))
                    );
                }
                Processing => assert!(known.any(|state| state < TakeState::Complete), "RC2"),
                Completed => assert!(known.has_file(), "RC4"),
                Failed => {
                    assert!(!known.has_file(), "RC4");
                    assert!(now.error.is_some(), "RC4: it says why");
                }
            }
            known.has_run = known.has_run || now.status == Recording;
            (known.status, known.interrupted, known.since) = (now.status, now.interrupted, at);
            assert_eq!(now.ended_at.is_some(), !known.runs(), "it has an end when it is to end");
            assert!(
                now.started_at.is_none_or(|began| began >= now.asked_at && now.ended_at.is_none_or(|end| began <= end))
            );
        }
        if now.automatic || held {
            let fared = self.fared.entry(now.room).or_default();
            fared.held |= held;
            fared.retry_at = None;
            match now.status {
                Failed => {
                    fared.failures += 1;
                    fared.retry_at =
                        [Some(30_000), Some(60_000), None].get(fared.failures as usize - 1).copied().flatten();
                    fared.retry_at = fared.retry_at.map(|wait| at + wait);
                }
                Completed => {
                    fared.failures = 0;
                    fared.retry_at = ran.then_some(at + 30_000);
                }
                _ => {}
            }
        }
    }
}

impl Run {
    /// What the recorder would say of a run of it. A room is begun anew before anything is recorded of it.
    fn take(&self, id: RecordingId, (run, generation, state): Said) -> Take {
        let room = self.known[&id].room;
        let part = match generation {
            Some(number) => Part::Composite(number % (self.generation(room) + 1)),
            None => Part::Track {
                participant: ParticipantId(uuid::Uuid::from_u128(5)),
                source: Source::Audio,
                track: "TR_a".to_owned(),
            },
        };
        let live = self.scene.state.recordings.get(&id);
        let name = live.map_or_else(|| format!("gone-{id}"), |live| live.recording.name.clone());
        let file = path_of(&self.scene.state.tenant, self.scene.state.info.id, &name, &part);
        // A run is of one part all its life.
        let name = format!("run-{run}-{part}");
        Take { state, ..Take::of(name, &part, file) }
    }

    fn step(&mut self, step: &Step) {
        // What is due fires before anything else is looked at; the model learns it from the events.
        self.scene.take(Input::Tick).expect("time passes");
        self.learn();
        match step {
            Step::Start { is_backend, kind, room } => {
                if !is_backend {
                    self.come(0);
                }
                let room = self.room(*room);
                let wanted = StartRecording { room: Some(room), kind: *kind, ..StartRecording::default() };
                let is_done = self.scene.state.info.status == Status::Live
                    && self.scene.state.rooms[&room].state == RoomState::Open
                    && !self.is_recorded(room, *kind)
                    && self.unfinished() < self.scene.limits.recordings_at_once_max;
                self.is_starting = true;
                let Some(reply) = self.ask_as(*is_backend, Command::StartRecording(wanted)) else { return };
                assert_eq!(reply.is_ok(), is_done, "RC1: {reply:?}");
            }
            Step::Stop { is_backend, which } => {
                if !is_backend {
                    self.come(0);
                }
                let id = match which {
                    Some(which) => Some(nth(&self.known, *which).unwrap_or(RecordingId(uuid::Uuid::nil()))),
                    None => None,
                };
                let is_over = self.scene.state.info.status.is_over();
                let is_known = id.is_none_or(|id| self.scene.state.recordings.contains_key(&id));
                self.is_stopping = true;
                let Some(reply) = self.ask_as(*is_backend, Command::StopRecording { recording: id }) else { return };
                assert_eq!(reply.is_ok(), is_known && !is_over, "RC5: {reply:?}");
                self.learn();
                let is_meant = |of: &RecordingId| id.is_none_or(|id| id == *of);
                let goes_on = self.known.iter().any(|(of, known)| is_meant(of) && known.runs());
                assert!(reply.is_err() || !goes_on, "RC5: stopped");
            }
            Step::Consent { who, which, given } => {
                self.come(*who);
                let Some(id) = nth(&self.known, *which) else { return };
                let known = &self.known[&id];
                let asks = known.is_asking();
                let is_done = asks && self.inside(*who).is_some() && self.scene.state.info.status == Status::Live;
                let command = Command::ConsentToRecording { recording: id, given: *given };
                let Some(reply) = self.ask(*who, command) else { return };
                assert_eq!(reply.is_ok(), is_done, "RC8: {reply:?}");
            }
            Step::Settings { auto, people, consent } => {
                let patch = SettingsPatch {
                    auto_record: *auto,
                    auto_record_min_participants: *people,
                    recording_consent: *consent,
                    ..SettingsPatch::default()
                };
                let _ = self.scene.operator(update(patch));
            }
            Step::Media { who, media } => {
                self.come(*who);
                let Some(id) = self.inside(*who) else { return };
                let room = self.scene.state.members[&id].participant.room;
                let is_done = !self.is_withheld(id, room) || *media == Media::default();
                let command = Command::SetMedia { audio: media.audio, video: media.video, screen: media.screen };
                let Some(reply) = self.ask(*who, command) else { return };
                assert_eq!(reply.is_ok(), is_done, "RC8: {reply:?}");
            }
            Step::Publishing { who, media } => {
                let Some(participant) = self.inside(*who) else { return };
                let room = self.scene.state.members[&participant].participant.room;
                self.see(Observation::Publishing { participant, media: *media });
                let expected = if self.is_withheld(participant, room) { Media::default() } else { *media };
                assert_eq!(self.scene.state.members[&participant].participant.media, expected, "MD10");
            }
            Step::Takes { which, runs } => {
                let Some(recording) = nth(&self.known, *which) else { return };
                let takes: Vec<Take> = runs.iter().map(|run| self.take(recording, *run)).collect();
                self.see(Observation::Takes { recording, takes: takes.clone() });
                self.saw(recording, &takes);
            }
            Step::Missing { which, runs } => {
                let Some(recording) = nth(&self.known, *which) else { return };
                let names = self.known[&recording].takes.keys().enumerate();
                let takes: BTreeSet<String> =
                    names.filter(|(number, _)| runs.contains(number)).map(|(_, name)| name.clone()).collect();
                self.see(Observation::Missing { recording, takes: takes.clone() });
                self.missed(recording, &takes);
            }
            Step::Unreachable(room) => {
                let room = self.room(*room);
                self.see(Observation::Unreachable { room });
                self.learn();
                let there = self.known.values().filter(|known| known.room == room);
                assert!(there.into_iter().all(|known| known.status != RecordingStatus::Recording), "RC9");
            }
            Step::Come(who) => self.come(*who),
            Step::Lost(who) => self.scene.lost(&self.people[*who].clone()),
            Step::Back(who) => drop(self.scene.back(&self.people[*who].clone())),
            Step::Leave(who) => {
                let session = self.people[*who].session;
                if self.scene.state.sessions.contains_key(&session) {
                    let _ = self.ask(*who, Command::Leave { all: true, transfer_to: None });
                }
            }
            Step::ToLobby(who) => {
                if let Some(id) = self.inside(*who) {
                    let _ = self.scene.operator(to_lobby(id));
                }
            }
            Step::Again(who) => {
                let Some((session, id, command)) = self.last.get(who).cloned() else { return };
                let Some(known) = self.scene.state.sessions.get(&session) else { return };
                if id <= known.last_id {
                    let _ = self.scene.take(Input::Command { by: By::Session { session, id }, command });
                    assert!(self.scene.recorded.is_empty(), "CM3: {:?}", self.scene.kinds());
                }
            }
            Step::Rooms { is_recorded } => {
                let room = |name: &str| PlannedRoom { name: name.into(), participants: vec![], users: vec![] };
                let rooms = vec![room("One"), room("Two")];
                let wanted = OpenRooms { rooms, record: Some(*is_recorded), ..OpenRooms::default() };
                let _ = self.scene.operator(Command::OpenBreakout(wanted));
            }
            Step::Move { who, room } => {
                let Some(participant) = self.inside(*who) else { return };
                let moves = vec![Destination { participant, room: self.room(*room) }];
                let _ = self.scene.operator(Command::MovePeople { moves });
            }
            Step::Merge => {
                let rooms: Vec<RoomId> = self.scene.state.set_rooms().map(|room| room.id).collect();
                if let [one, other, ..] = rooms[..] {
                    let _ = self.scene.operator(Command::MergeRooms { from: vec![one], into: other });
                }
            }
            Step::CloseRooms { now } => {
                let _ = self.scene.operator(Command::CloseRooms { room: None, now: *now });
            }
            Step::Pass(ms) => {
                self.scene.now += ms;
                self.scene.take(Input::Tick).expect("time passes");
            }
            Step::Recovered => drop(self.scene.take(Input::Recovered).expect("never refused")),
            Step::End => drop(self.scene.operator(Command::EndMeeting(Nothing {}))),
        }
        self.learn();
        self.is_stopping = false;
        self.is_starting = false;
        // A recovery fires nothing; the next turn does.
        self.scene.take(Input::Tick).expect("time passes");
        self.learn();
        self.check();
    }

    /// RC3: what the recorder said has changed what it may.
    fn saw(&mut self, id: RecordingId, takes: &[Take]) {
        let is_kept = self.state.recordings.contains_key(&id);
        let before = &self.known[&id];
        let (mut expected, room) = (before.takes.clone(), before.room);
        for take in takes.iter().filter(|_| is_kept) {
            let generation = take.generation();
            let is_place = expected.len() < self.scene.limits.takes_max;
            match expected.get_mut(&take.id) {
                Some((_, known)) if *known < TakeState::Complete => *known = (*known).max(take.state),
                Some(_) => {}
                None if is_place => drop(expected.insert(take.id.clone(), (generation, take.state))),
                None => {}
            }
        }
        let told = Known { takes: expected.clone(), told: vec![], consents: BTreeMap::new(), ..*before };
        let status = if is_kept { told.settled(self.generation(room)) } else { before.status };
        self.learn();
        let after = &self.known[&id];
        assert_eq!(after.takes, expected, "RC3");
        assert_eq!(after.status, status, "RC3: {:?}", after.takes);
        assert!(!is_kept || !after.interrupted, "RC9: it was asked");
    }

    /// RC6: what the recorder does not know is lost; where it knows nothing, all of it.
    fn missed(&mut self, id: RecordingId, lost: &BTreeSet<String>) {
        let is_kept = self.state.recordings.contains_key(&id);
        let before = &self.known[&id];
        let (mut expected, room) = (before.takes.clone(), before.room);
        let is_lost = |name: &String| is_kept && (lost.is_empty() || lost.contains(name));
        for (_, (_, state)) in expected.iter_mut().filter(|(name, _)| is_lost(name)) {
            *state = if *state < TakeState::Complete { TakeState::Failed } else { *state };
        }
        let told = Known { takes: expected.clone(), told: vec![], consents: BTreeMap::new(), ..*before };
        let status = match told.status {
            Stopping if lost.is_empty() && expected.is_empty() => Failed,
            before if !is_kept => before,
            _ => told.settled(self.generation(room)),
        };
        self.learn();
        let after = &self.known[&id];
        assert_eq!((after.status, &after.takes), (status, &expected), "RC6");
    }

    fn check(&self) {
        let state = &self.scene.state;
        let now = self.scene.now;
        let next = deadlines::next_at(state, &self.scene.limits);
        assert!(next.is_none_or(|at| at > now), "MT8: what is due has fired");
        for (id, known) in &self.known {
            let Some(live) = state.recordings.get(id) else {
                assert!(known.is_over(), "RC10: unfinished ones always");
                continue;
            };
            let is = &live.recording;
            assert_eq!((is.status, is.interrupted), (known.status, known.interrupted));
            assert_eq!(live.consents, known.consents, "RC8");
            let takes = live.takes.iter().map(|(id, take)| (id.clone(), (take.generation(), take.state)));
            assert_eq!(takes.collect::<BTreeMap<_, _>>(), known.takes);
            assert!(live.takes.len() <= self.scene.limits.takes_max, "RC10");
            let due = known.due();
            assert_eq!(due.is_some(), !known.is_over(), "nothing is half-way for ever");
            assert!(due.is_none_or(|due| due > now && next.is_some_and(|next| next <= due)), "RC6");
            let room = &state.rooms.get(&known.room);
            let is_closed = room.is_none_or(|room| room.state == RoomState::Closed);
            assert!(!known.runs() || (!is_closed && state.info.status == Status::Live), "RC5: it ends with its room");
        }
        let over = state.recordings.len() - state.unfinished.len();
        assert!(over <= self.scene.limits.recordings_kept_max, "RC10");
        let has_place = self.unfinished() < self.scene.limits.recordings_at_once_max;
        let is_missed = |room: &&RoomId| has_place && self.is_due(state, **room);
        assert_eq!(state.rooms.keys().find(is_missed), None, "RC7: wherever it is asked for");
    }

    /// Time alone brings everything to its end.
    fn finish(mut self) {
        self.step(&Step::End);
        let mut turns = 0;
        while let Some(at) = deadlines::next_at(&self.scene.state, &self.scene.limits) {
            turns += 1;
            assert!(turns <= self.known.len(), "each has one end");
            self.step(&Step::Pass(at - self.scene.now));
        }
        assert!(self.scene.state.unfinished.is_empty(), "nothing is half-way for ever");
        assert!(self.known.values().all(Known::is_over));
        let text = serde_json::to_string(&self.scene.state).expect("a state is written down");
        let read: Meeting = serde_json::from_str(&text).expect("a state is read");
        assert_eq!(read, self.scene.state, "LG2: a snapshot is the state");
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn recordings_under_random_plans(steps in prop::collection::vec(step(), 1..80)) {
        let limits = Limits { recordings_at_once_max: 4, empty_ms: 24 * 3_600_000, ..Limits::default() };
        let mut run = Run::new(limits);
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }

    /// With limits so small that recordings are forgotten and takes are not taken all the time.
    #[test]
    fn recordings_that_are_forgotten(steps in prop::collection::vec(step(), 1..80)) {
        let limits = Limits { recordings_at_once_max: 2, recordings_kept_max: 1, takes_max: 2, ..Limits::default() };
        let mut run = Run::new(limits);
        for step in &steps {
            run.step(step);
        }
        run.finish();
    }
}
