//! A meeting to try rules on. A [`Scene`] holds the state, the log and the clock; every input it
//! takes is checked against the rules of the log (LG1, LG2, LG3), so that each test proves them
//! again. A test reads: who comes, what they ask, what the meeting is then.

#![allow(dead_code)] // each test binary uses its part

use convoke_domain::command::{Create, Join, One, OneOrAll};
use convoke_domain::shapes::{Role, Settings, SettingsPatch};
use convoke_domain::state::Member;
use convoke_domain::turn::{Outcome, Reply, begin};
use convoke_domain::*;
use std::collections::BTreeMap;
use uuid::Uuid;

pub const START: Millis = 1_795_219_200_000;

/// Somebody with a device: what they would say at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub session: SessionId,
    pub user: Option<UserId>,
    pub name: String,
    pub role: Role,
}

pub fn session(number: u128) -> SessionId {
    SessionId(Uuid::from_u128(number))
}

impl Device {
    /// Another device of the same user.
    pub fn other(&self, number: u128) -> Self {
        Self { session: session(self.session.0.as_u128() + number * 1_000), ..self.clone() }
    }
}

pub struct Scene {
    pub state: Meeting,
    pub limits: Limits,
    pub now: Millis,
    pub log: Vec<Recorded>,
    /// What the last input caused, its due deadlines included.
    pub recorded: Vec<Recorded>,
    pub effects: Vec<Effect>,
    pub after: Vec<Effect>,
    replica: Meeting,
    numbers: BTreeMap<SessionId, u64>,
    devices: u128,
}

pub fn create_with(settings: Settings) -> Create {
    Create {
        tenant: TenantId("acme".to_owned()),
        id: MeetingId(Uuid::from_u128(7)),
        title: "Weekly".to_owned(),
        scheduled_at: None,
        recurrence: None,
        settings,
        breakout: None,
    }
}

impl Scene {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        Self::limited(Limits::default(), change)
    }

    pub fn limited(limits: Limits, change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings::default();
        change(&mut settings);
        let now = Now { at: START, entropy: 1 };
        let (state, first) = begin(create_with(settings), now, &limits).expect("a meeting");
        Self {
            replica: state.clone(),
            state,
            limits,
            now: START,
            log: vec![first],
            recorded: Vec::new(),
            effects: Vec::new(),
            after: Vec::new(),
            numbers: BTreeMap::new(),
            devices: 0,
        }
    }

    /// Takes an input and proves what is true of every one.
    pub fn take(&mut self, input: Input) -> Result<Reply, Rejection> {
        let now = Now { at: self.now, entropy: self.log.len() as u128 };
        let before = self.state.clone();
        let is_recovery = input == Input::Recovered;
        let outcome = execute(&mut self.state, input, now, &self.limits);
        let Outcome { outputs, reply, after } = outcome;
        self.recorded.clear();
        self.effects.clear();
        for output in outputs {
            match output {
                Output::Event(event) => self.recorded.push(event),
                Output::Effect(effect) => self.effects.push(effect),
            }
        }
        self.after = after;
        for recorded in &self.recorded {
            let last = self.log.last().expect("a first event");
            assert_eq!(recorded.seq, last.seq.next(), "LG1: no gap");
            assert!(recorded.at >= last.at, "LG1: time never decreases");
            let text = serde_json::to_string(recorded).expect("an event is written down");
            let read: Recorded = serde_json::from_str(&text).expect("an event is read");
            assert_eq!(&read, recorded, "LG2: what is read is what was written");
            apply::apply(&mut self.replica, &read, &self.limits);
            self.log.push(read);
        }
        assert_eq!(self.replica, self.state, "LG2: the log folds to the state");
        if reply.is_err() && !is_recovery {
            let mut ticked = before;
            execute(&mut ticked, Input::Tick, now, &self.limits);
            assert_eq!(ticked, self.state, "LG3: a refused input has no effect");
        }
        reply
    }

    // Who comes.

    pub fn user(&mut self, name: &str, role: Role) -> Device {
        Device { user: Some(UserId(format!("user-{name}"))), ..self.guest_as(name, role) }
    }

    pub fn guest(&mut self, name: &str) -> Device {
        self.guest_as(name, Role::Participant)
    }

    pub fn guest_as(&mut self, name: &str, role: Role) -> Device {
        self.devices += 1;
        Device { session: session(self.devices), user: None, name: name.to_owned(), role }
    }

    pub fn join(&mut self, device: &Device) -> Result<Reply, Rejection> {
        let reply = self.take(Input::Join(Join {
            session: device.session,
            user: device.user.clone(),
            name: device.name.clone(),
            role: device.role,
        }));
        if reply.is_ok() {
            let known = self.state.sessions.get(&device.session).expect("an open session").last_id;
            let number = self.numbers.entry(device.session).or_default();
            *number = known.max(*number);
        }
        reply
    }

    /// A user who comes in at once.
    pub fn enters(&mut self, name: &str, role: Role) -> Device {
        let device = self.user(name, role);
        let reply = self.join(&device);
        assert!(matches!(reply, Ok(Reply::Inside(_))), "{name} comes in, not {reply:?}");
        device
    }

    /// A user who is held in the lobby.
    pub fn waits(&mut self, name: &str) -> Device {
        let device = self.user(name, Role::Participant);
        let reply = self.join(&device);
        assert!(matches!(reply, Ok(Reply::Waiting(_))), "{name} waits, not {reply:?}");
        device
    }

    // What they ask.

    pub fn ask(&mut self, device: &Device, command: Command) -> Result<Reply, Rejection> {
        let number = self.numbers.entry(device.session).or_default();
        *number += 1;
        let by = By::Session { session: device.session, id: *number };
        self.take(Input::Command { by, command })
    }

    pub fn operator(&mut self, command: Command) -> Result<Reply, Rejection> {
        self.take(Input::Command { by: By::Operator, command })
    }

    pub fn token(&mut self, device: &Device, command: Command) -> Result<Reply, Rejection> {
        let by = By::Token { user: device.user.clone(), role: device.role };
        self.take(Input::Command { by, command })
    }

    /// A command that must be done.
    pub fn does(&mut self, device: &Device, command: Command) {
        let reply = self.ask(device, command);
        assert!(reply.is_ok(), "refused: {reply:?}");
    }

    /// A command that must be refused with this code.
    pub fn refused(&mut self, device: &Device, command: Command, code: Code) {
        let refusal = self.ask(device, command).expect_err("a refusal");
        assert_eq!(refusal.code, code, "{refusal}");
    }

    pub fn lost(&mut self, device: &Device) {
        self.take(Input::SessionLost(device.session)).expect("a lost session is no error");
    }

    pub fn back(&mut self, device: &Device) -> Result<Reply, Rejection> {
        self.take(Input::SessionBack(device.session))
    }

    /// Lets time pass, and the meeting notice.
    pub fn pass(&mut self, ms: Millis) {
        self.now += ms;
        self.take(Input::Tick).expect("time passes");
    }

    // What the meeting is then.

    pub fn find(&self, device: &Device) -> Option<&Member> {
        self.state.find(device.user.as_ref(), device.session)
    }

    pub fn member(&self, device: &Device) -> &Member {
        self.find(device).expect("somebody the meeting knows")
    }

    pub fn id(&self, device: &Device) -> ParticipantId {
        self.member(device).participant.id
    }

    pub fn role(&self, device: &Device) -> Role {
        self.member(device).participant.role
    }

    pub fn is_inside(&self, device: &Device) -> bool {
        self.find(device).is_some_and(Member::is_inside)
    }

    pub fn is_waiting(&self, device: &Device) -> bool {
        self.find(device).is_some_and(Member::is_waiting)
    }

    pub fn kinds(&self) -> Vec<&'static str> {
        self.recorded.iter().map(|recorded| recorded.event.kind()).collect()
    }

    pub fn event(&self, kind: &str) -> &Recorded {
        let mut found = self.recorded.iter().filter(|recorded| recorded.event.kind() == kind);
        found.next().unwrap_or_else(|| panic!("no {kind} among {:?}", self.kinds()))
    }

    /// How a device's socket was closed by the last input.
    pub fn closed(&self, device: &Device) -> Option<CloseCode> {
        self.after.iter().find_map(|effect| match effect {
            Effect::Close { sessions, code } if sessions.contains(&device.session) => Some(*code),
            Effect::CloseAll(code) => Some(*code),
            _ => None,
        })
    }

    pub fn message_id(&self) -> MessageId {
        match &self.event("chat.posted").event {
            Event::ChatPosted { message } => message.id,
            other => panic!("not a message: {other:?}"),
        }
    }

    pub fn settings(&mut self, host: &Device, patch: SettingsPatch) {
        self.does(host, update(patch));
    }
}

pub fn update(patch: SettingsPatch) -> Command {
    Command::UpdateMeeting { title: None, settings: Some(patch), scheduled_at: None }
}

pub fn one(id: ParticipantId) -> OneOrAll {
    OneOrAll { participant: Some(id), all: false }
}

pub fn all() -> OneOrAll {
    OneOrAll { participant: None, all: true }
}

pub fn leave() -> Command {
    Command::Leave { all: false, transfer_to: None }
}

pub fn to_lobby(participant: ParticipantId) -> Command {
    Command::SendToLobby(One { participant })
}

pub fn remove(participant: ParticipantId) -> Command {
    Command::Remove { participant, ban: false }
}

pub fn ban(participant: ParticipantId) -> Command {
    Command::Remove { participant, ban: true }
}

pub fn role(participant: ParticipantId, role: Role) -> Command {
    Command::SetRole { participant, role }
}

pub fn say(text: &str) -> Command {
    Command::PostMessage { to: To::Room, text: text.to_owned(), reply_to: None }
}
