//! A meeting with recordings, as its log tells of them: what a recorder would have reported, written down
//! without one.

#![allow(dead_code)]

use convoke::adapters::store::Opened;
use convoke_actors::meeting::row_of;
use convoke_actors::ports::{Commit, EventRow, MeetingKey};
use convoke_domain::apply::apply;
use convoke_domain::command::{Create, Join};
use convoke_domain::event::{Audience, Recorded};
use convoke_domain::recording::{
    Format, Part, Recording, RecordingKind, RecordingStatus, Take, TakeState, name_of, path_of,
};
use convoke_domain::shapes::{Role, Settings};
use convoke_domain::{
    Event, Input, Limits, Meeting, MeetingId, Millis, Now, Output, ParticipantId, RecordingId, RoomId, Seq, SessionId,
    TenantId, UserId, turn,
};
use std::time::Duration;
use uuid::Uuid;

pub const DAY: u64 = 86_400_000;
/// When all of it happens.
pub const THEN: Millis = 1_700_000_000_000;

pub struct Tape {
    pub key: MeetingKey,
    pub state: Meeting,
    pub rows: Vec<EventRow>,
    at: Millis,
    written: usize,
}

impl Tape {
    pub fn begin(tenant: &str, title: &str) -> Self {
        let key = MeetingKey { tenant: TenantId(tenant.into()), meeting: MeetingId(Uuid::now_v7()) };
        let create = Create {
            tenant: key.tenant.clone(),
            id: key.meeting,
            title: title.into(),
            scheduled_at: None,
            recurrence: None,
            settings: Settings::default(),
            breakout: None,
        };
        let (state, first) = turn::begin(create, Now { at: THEN, entropy: 1 }, &Limits::default()).unwrap();
        Self { key, state, rows: vec![row_of(&first)], at: THEN, written: 0 }
    }

    pub fn play(&mut self, input: Input) {
        self.at += 1;
        let now = Now { at: self.at, entropy: self.at.into() };
        let outcome = turn::execute(&mut self.state, input, now, &Limits::default());
        self.rows.extend(outcome.outputs.iter().filter_map(|output| match output {
            Output::Event(recorded) => Some(row_of(recorded)),
            Output::Effect(_) => None,
        }));
        outcome.reply.unwrap();
    }

    pub fn join(&mut self, user: &str, role: Role) -> ParticipantId {
        let session = SessionId(Uuid::now_v7());
        self.play(Input::Join(Join { session, user: Some(UserId(user.into())), name: user.into(), role }));
        self.state.sessions[&session].participant
    }

    pub fn say(&mut self, event: Event) {
        let recorded =
            Recorded { seq: self.state.seq.next(), at: self.at, cause: None, audience: Audience::Everyone, event };
        apply(&mut self.state, &recorded, &Limits::default());
        self.rows.push(row_of(&recorded));
    }

    /// A recording that was asked for at that time.
    pub fn recording(&mut self, kind: RecordingKind, asked_at: Millis) -> Recording {
        let id = RecordingId(Uuid::now_v7());
        let room = self.state.rooms[&RoomId::Main].clone();
        let recording = Recording {
            id,
            room: RoomId::Main,
            status: RecordingStatus::Pending,
            kind,
            format: Format::Mp4,
            audio_tracks: false,
            screen_share: false,
            consent: false,
            automatic: false,
            name: name_of(&self.state.info, &room, id, asked_at),
            asked_at,
            started_at: None,
            ended_at: None,
            interrupted: false,
            error: None,
        };
        self.say(Event::RecordingChanged { recording: recording.clone(), held: false, by: None });
        recording
    }

    pub fn changed(&mut self, recording: &Recording) {
        self.say(Event::RecordingChanged { recording: recording.clone(), held: false, by: None });
    }

    /// A take with its file.
    pub fn take(&mut self, recording: &Recording, part: &Part, ending: &str, bytes: Option<u64>) -> Take {
        let file = format!("{}.{ending}", path_of(&self.key.tenant, self.key.meeting, &recording.name, part));
        let id = format!("EG_{}", Uuid::now_v7().simple());
        let mut take = Take::of(id, part, file);
        take.state = TakeState::Active;
        self.say(Event::TakeChanged { recording: recording.id, take: take.clone() });
        take.state = TakeState::Complete;
        (take.bytes, take.duration_ms) = (bytes, Some(4_000));
        (take.started_at, take.ended_at) = (Some(recording.asked_at), Some(recording.asked_at + 4_000));
        self.say(Event::TakeChanged { recording: recording.id, take: take.clone() });
        take
    }

    pub fn ended(&mut self, recording: &Recording, status: RecordingStatus, ended_at: Millis) -> Recording {
        let started_at = Some(recording.asked_at);
        let recording = Recording { status, started_at, ended_at: Some(ended_at), ..recording.clone() };
        self.changed(&recording);
        recording
    }

    /// A composite that ended so many days before now, with its one file.
    pub fn composite(&mut self, now: Millis, days: u64) -> (Recording, Take) {
        let ended_at = now - days * DAY;
        let recording = self.recording(RecordingKind::Composite, ended_at - 4_000);
        let take = self.take(&recording, &Part::Composite(0), "mp4", Some(10));
        (self.ended(&recording, RecordingStatus::Completed, ended_at), take)
    }

    /// Writes to the log what is not written yet.
    pub async fn write(&mut self, opened: &Opened) {
        let store = opened.store.as_ref();
        let life = store.boot("tape", Duration::from_secs(600)).await.unwrap();
        if self.written == 0 {
            assert!(store.create(&self.key, &self.rows[0], None).await.unwrap());
            self.written = 1;
        }
        let term = store.take(&self.key, &life).await.unwrap().term;
        let (after, events) = (Seq(u64::try_from(self.written).unwrap()), self.rows[self.written..].to_vec());
        let commit = Commit {
            key: self.key.clone(),
            term,
            after,
            events,
            wake_at: None,
            outbox: Vec::new(),
            boards: Vec::new(),
        };
        store.commit(&[commit], &[]).await.unwrap();
        self.written = self.rows.len();
        store.release(&self.key, term).await.unwrap();
        store.retire(&life).await.unwrap();
    }
}
