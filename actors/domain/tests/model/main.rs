//! The model test: random plans are carried out on the meeting and on a model of its roster and
//! lobby (`roster`, `deeds`), which was written from `SPEC.md` and knows nothing of the decisions.
//! After every step both must say the same, and what is true at any time (`checks`) must hold.
//! A failing plan is made as short as it gets and printed; paste its steps into a test to keep it.
//!
//! `PROPTEST_CASES=5000 cargo test -p convoke-domain --test model` looks for longer.

// In a test, whatever should not be may crash; helpers outside of test functions included.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::as_conversions)]

mod boards;
mod checks;
#[path = "../common/mod.rs"]
mod common;
mod deeds;
mod interaction;
mod plan;
mod recordings;
mod rooms;
mod roster;

use common::*;
use convoke_domain::breakout::{Destination, OpenRooms, PlannedRoom};
use convoke_domain::command::{Join, NewInvitation, Nothing, OneOrAll};
use convoke_domain::shapes::{Role, Settings, SettingsPatch, Source, Status, WhiteboardPolicy};
use convoke_domain::turn::Reply;
use convoke_domain::whiteboard::CreateWhiteboard;
use convoke_domain::*;
use deeds::{Verdict, Who, has};
use plan::{Asker, BoardDeed, Deed, Patch, RoomDeed, SESSIONS_OF_USER, Step, USERS, Which, Whose, board_name};
use proptest::prelude::*;
use roster::{AtDoor, Roster};
use std::collections::BTreeMap;
use uuid::Uuid;

struct Run {
    scene: Scene,
    roster: Roster,
    follower: checks::Follower,
    numbers: BTreeMap<SessionId, u64>,
    messages: Vec<MessageId>,
    last_asked: Option<(SessionId, u64, Command)>,
    last_joined: Option<Join>,
    steps: usize,
}

fn user(number: u8) -> UserId {
    UserId(format!("user-{number}"))
}

fn device(number: u8) -> SessionId {
    session(u128::from(number) + 1)
}

fn settings_of(patch: &Patch) -> SettingsPatch {
    SettingsPatch {
        lobby: patch.lobby,
        join_before_host: patch.before_host,
        locked: patch.locked,
        max_participants: patch.seats,
        max_duration_s: patch.duration_s,
        host_absent_end_s: patch.absent_s,
        whiteboard: patch.boards,
        ..SettingsPatch::default()
    }
}

impl Run {
    fn new(beginning: &Patch, limits: Limits) -> Self {
        let settings = Settings::default().patched(&settings_of(beginning));
        let scene = Scene::limited(limits.clone(), |default| *default = settings.clone());
        let roster = Roster {
            limits: limits.clone(),
            now: START,
            status: Status::Scheduled,
            lobby: settings.lobby,
            before_host: settings.join_before_host,
            locked: settings.locked,
            seats: settings.max_participants,
            duration_s: settings.max_duration_s,
            absent_s: settings.host_absent_end_s,
            started_at: None,
            empty_since: None,
            leaderless_since: None,
            was_led: false,
            people: Vec::new(),
            hands: Vec::new(),
            rooms: rooms::Rooms::new(),
            boards: boards::Boards {
                is_hosts_only: settings.whiteboard == WhiteboardPolicy::Hosts,
                ..Default::default()
            },
        };
        Self {
            follower: checks::Follower::new(scene.state.clone(), limits),
            scene,
            roster,
            numbers: BTreeMap::new(),
            messages: Vec::new(),
            last_asked: None,
            last_joined: None,
            steps: 0,
        }
    }

    /// Carries a step out on the meeting, and on the model where there is one to compare with.
    fn step(&mut self, step: &Step, is_modelled: bool) {
        self.steps += 1;
        if let Step::Pass(ms) = step {
            self.scene.now += ms;
        }
        if !matches!(step, Step::Recovered) {
            self.roster.pass_to(self.scene.now);
        }
        match step {
            Step::Join { user: number, session, role } => {
                let join = Join {
                    session: device(*session),
                    user: number.map(user),
                    name: format!("Name {}", self.steps),
                    role: *role,
                };
                self.last_joined = Some(join.clone());
                self.join(join, is_modelled);
            }
            Step::JoinAgain => {
                self.scene.take(Input::Tick).expect("time passes");
                self.follow();
                if let Some(join) = self.last_joined.clone() {
                    let was_inside = self.scene.state.sessions.contains_key(&join.session);
                    let is_same = self.join(join.clone(), is_modelled);
                    let opened = self.scene.kinds().contains(&"session.opened");
                    assert!(!(is_same && was_inside && opened), "PR3: joining again opens nothing");
                }
            }
            Step::Lost(which) => {
                let session = self.session(*which);
                self.roster.lost(session);
                self.scene.take(Input::SessionLost(session)).expect("being lost is never refused");
            }
            Step::Back(which) => {
                let session = self.session(*which);
                let expected = self.roster.back(session);
                let reply = self.scene.take(Input::SessionBack(session));
                assert!(!is_modelled || reply.is_ok() == expected, "{reply:?}");
            }
            Step::Pass(_) => {
                self.scene.take(Input::Tick).expect("time passes");
                let next = deadlines::next_at(&self.scene.state, &self.scene.limits);
                assert!(next.is_none_or(|at| at > self.scene.now), "MT8: what is due has fired");
            }
            Step::Ask(asker, deed) => self.ask(asker, deed, is_modelled),
            Step::AskAgain => self.ask_again(),
            Step::Erase(number) => {
                self.roster.erase(&user(*number));
                self.scene.take(Input::Erase(user(*number))).expect("erasure is never refused");
            }
            Step::Recovered => {
                self.roster.now = self.scene.now;
                self.roster.recovered();
                self.scene.take(Input::Recovered).expect("recovery is never refused");
            }
        }
        self.roster.watch();
        if is_modelled {
            self.roster.rooms.learn(&self.scene.recorded);
            self.roster.learn_spread(&self.scene.state);
            self.roster.said(&self.scene.recorded);
            self.roster.learn_boards(&self.scene.recorded);
        }
        self.check(is_modelled);
    }

    fn join(&mut self, join: Join, is_modelled: bool) -> bool {
        let door = AtDoor { session: join.session, user: join.user.clone(), role: join.role };
        let reply = self.scene.take(Input::Join(join));
        let given = match &reply {
            Ok(Reply::Inside(id) | Reply::Waiting(id)) => Some(*id),
            Ok(other) => panic!("no answer to a join: {other:?}"),
            Err(_) => None,
        };
        if let (Ok(Reply::Inside(_)), Some(id)) = (&reply, given) {
            assert!(self.scene.state.inside.contains(&id), "who is told to be inside, is");
        }
        if let (Ok(Reply::Waiting(_)), Some(id)) = (&reply, given) {
            assert!(self.scene.state.waiting.contains(&id), "who is told to wait, waits");
        }
        if is_modelled {
            // An id is there for newcomers only; that it is new is checked by the comparison.
            let fallback = given.or(Some(ParticipantId(Uuid::nil())));
            assert_eq!(reply.is_ok(), self.roster.join(&door, fallback), "{reply:?}");
        }
        reply.is_ok()
    }

    fn ask(&mut self, asker: &Asker, deed: &Deed, is_modelled: bool) {
        let command = self.command(deed);
        let (by, who) = match asker {
            Asker::Operator => {
                let who = Who { person: None, session: None, role: Role::Host, is_operator: true };
                (By::Operator, Some(who))
            }
            Asker::Token { user: number, role } => {
                let user = number.map(user);
                let who = self.roster.who_by_token(user.as_ref(), *role);
                (By::Token { user, role: *role }, who)
            }
            Asker::Session(which) => {
                let session = self.session(*which);
                // After a session left and came again its numbers start anew.
                let last = self.scene.state.sessions.get(&session).map_or(0, |known| known.last_id);
                let taken = self.numbers.get(&session).copied().unwrap_or(0);
                let id = if last == 0 { 1 } else { last.max(taken) + 1 };
                self.numbers.insert(session, id);
                self.last_asked = Some((session, id, command.clone()));
                (By::Session { session, id }, self.roster.who_by_session(session))
            }
        };
        let may = who.as_ref().is_some_and(|who| has(who.role, deed));
        let verdict = self.roster.ask(who, deed);
        let reply = self.scene.take(Input::Command { by, command });
        if let Some(Event::ChatPosted { message }) = self.scene.recorded.last().map(|recorded| &recorded.event) {
            self.messages.push(message.id);
        }
        if !is_modelled {
            return;
        }
        assert!(may || reply.is_err(), "RO1: {asker:?} may not {deed:?}");
        match verdict {
            Verdict::Taken => assert!(reply.is_ok(), "{asker:?} {deed:?}: {reply:?}"),
            Verdict::Refused => assert!(reply.is_err(), "{asker:?} {deed:?} was taken"),
            Verdict::Either => {}
        }
    }

    /// CM3: the same number again has no effect, if it had one.
    fn ask_again(&mut self) {
        // Whatever is due is not what is asked about here.
        self.scene.take(Input::Tick).expect("time passes");
        self.follow();
        let Some((session, id, command)) = self.last_asked.clone() else { return };
        let known = self.scene.state.sessions.get(&session);
        if known.is_none_or(|known| !known.answers.contains_key(&id)) {
            return;
        }
        let over = self.scene.state.info.status.is_over();
        let reply = self.scene.take(Input::Command { by: By::Session { session, id }, command });
        assert!(over || reply.is_ok(), "answered as the first time: {reply:?}");
        assert!(self.scene.recorded.is_empty(), "CM3: no second effect");
    }

    fn session(&self, which: Which) -> SessionId {
        let state = &self.scene.state;
        let open = || state.sessions.keys().copied().collect::<Vec<_>>();
        let (number, found) = match which {
            Which::This(number) => return device(number),
            Which::Open(number) => (number, open()),
            Which::Lead(number) => {
                let leads = state.leads.iter().filter_map(|id| state.member(*id));
                let found: Vec<SessionId> = leads.flat_map(|member| member.sessions.iter().copied()).collect();
                (number, if found.is_empty() { open() } else { found })
            }
        };
        let count = found.len().max(1);
        found.get(usize::from(number) % count).copied().unwrap_or(device(number))
    }

    fn id(&self, number: u8) -> ParticipantId {
        let nobody = ParticipantId(Uuid::from_u128(u128::MAX));
        self.roster.target(number).map_or(nobody, |i| self.roster.people[i].id)
    }

    fn whom(&self, whom: Option<u8>) -> OneOrAll {
        OneOrAll { participant: whom.map(|number| self.id(number)), all: whom.is_none() }
    }

    fn message(&self, number: u8) -> MessageId {
        let nothing = MessageId(Uuid::from_u128(u128::MAX));
        let count = self.messages.len().max(1);
        self.messages.get(usize::from(number) % count).copied().unwrap_or(nothing)
    }

    fn command(&self, deed: &Deed) -> Command {
        let nothing = Nothing {};
        match deed {
            Deed::Leave { all, to } => Command::Leave { all: *all, transfer_to: to.map(|to| self.id(to)) },
            Deed::Start => Command::StartMeeting(nothing),
            Deed::End => Command::EndMeeting(nothing),
            Deed::Cancel => Command::CancelMeeting,
            Deed::Update(patch) => update(settings_of(patch)),
            Deed::Admit(whom) => Command::AdmitGuest(self.whom(*whom)),
            Deed::Deny(whom) => Command::DenyGuest(self.whom(*whom)),
            Deed::TellLobby => Command::MessageLobby { text: "soon".to_owned() },
            Deed::SetRole(whom, to) => role(self.id(*whom), *to),
            Deed::Rename(whom) => {
                Command::Rename { participant: self.id(*whom), name: format!("Renamed {}", self.steps) }
            }
            Deed::Mute(whom) => Command::Mute { whom: self.whom(*whom), source: Source::Audio },
            Deed::Permit(whom, allowed) => {
                Command::Permit { whom: self.whom(*whom), source: Source::Screen, allowed: *allowed }
            }
            Deed::Media(audio, screen) => Command::SetMedia { audio: *audio, video: false, screen: *screen },
            Deed::Remove { whom, ban } => Command::Remove { participant: self.id(*whom), ban: *ban },
            Deed::ToLobby(whom) => to_lobby(self.id(*whom)),
            Deed::List => Command::ListParticipants { cursor: None },
            Deed::Raise => Command::RaiseHand(nothing),
            Deed::Lower(Whose::Own) => Command::LowerHand(OneOrAll { participant: None, all: false }),
            Deed::Lower(Whose::Of(whom)) => Command::LowerHand(one(self.id(*whom))),
            Deed::Lower(Whose::All) => Command::LowerHand(all()),
            Deed::React => Command::React { emoji: "👋".to_owned() },
            Deed::Say(to) => {
                let to = to.map_or(To::Room, |number| To::Participant(self.id(number)));
                Command::PostMessage { to, text: format!("message {}", self.steps), reply_to: None }
            }
            Deed::Edit(number) => {
                Command::EditMessage { message: self.message(*number), text: format!("edited {}", self.steps) }
            }
            Deed::Delete(number) => Command::DeleteMessage { message: self.message(*number) },
            Deed::ReactTo(number, on) => {
                Command::ReactToMessage { message: self.message(*number), emoji: "👍".to_owned(), on: *on }
            }
            Deed::Rooms(deed) => self.room_command(deed),
            Deed::Boards(deed) => self.board_command(deed),
            Deed::Invite => Command::Invite {
                invitations: vec![NewInvitation {
                    id: InvitationId(Uuid::from_u128(self.steps as u128)),
                    email: "ann@example.org".to_owned(),
                    role: Role::Participant,
                    code_digest: "digest".to_owned(),
                }],
            },
        }
    }

    fn room_command(&self, deed: &RoomDeed) -> Command {
        let room = |number: &u8| self.roster.rooms.id(*number);
        match deed {
            RoomDeed::Open { rooms, assign, listed, users, duration_s, grace_s, may_return } => {
                let in_room = |number: u8, other: &u8| *rooms > 0 && other % rooms == number;
                let planned = |number: u8| PlannedRoom {
                    name: format!("Room {number}"),
                    participants: listed
                        .iter()
                        .filter(|(_, to)| in_room(number, to))
                        .map(|(i, _)| self.id(*i))
                        .collect(),
                    users: users.iter().filter(|(_, to)| in_room(number, to)).map(|(i, _)| user(*i)).collect(),
                };
                Command::OpenBreakout(OpenRooms {
                    rooms: (0..*rooms).map(planned).collect(),
                    assign: Some(*assign),
                    duration_s: *duration_s,
                    grace_s: Some(*grace_s),
                    allow_return: Some(*may_return),
                    ..OpenRooms::default()
                })
            }
            RoomDeed::Move(moves) => Command::MovePeople {
                moves: moves.iter().map(|(i, to)| Destination { participant: self.id(*i), room: room(to) }).collect(),
            },
            RoomDeed::Go(to) => Command::JoinRoom { room: room(to) },
            RoomDeed::Extend { by_s, in_ms } => Command::ExtendBreakout {
                by_s: *by_s,
                ends_at: in_ms.and_then(|ms| self.scene.now.checked_add_signed(ms)),
            },
            RoomDeed::Add => Command::AddRoom { name: "Added".to_owned() },
            RoomDeed::Rename(which) => Command::RenameRoom { room: room(which), name: format!("Room {}", self.steps) },
            RoomDeed::Broadcast => Command::Broadcast { text: format!("to all {}", self.steps) },
            RoomDeed::Help => Command::RequestHelp(Nothing {}),
            RoomDeed::Merge { from, into } => {
                Command::MergeRooms { from: from.iter().map(room).collect(), into: room(into) }
            }
            RoomDeed::Close { room: which, now } => Command::CloseRooms { room: which.as_ref().map(room), now: *now },
        }
    }

    fn board_command(&self, deed: &BoardDeed) -> Command {
        let room = |number: &u8| self.roster.rooms.id(*number);
        let board = |number: &u8| boards::id(&self.scene.state, *number);
        match deed {
            BoardDeed::Create { name, room: wanted, copy_of, access } => Command::CreateWhiteboard(CreateWhiteboard {
                name: board_name(*name),
                room: wanted.as_ref().map(room),
                copy_of: copy_of.as_ref().map(board),
                access: *access,
            }),
            BoardDeed::Update { board: which, name, access } => {
                Command::UpdateWhiteboard { whiteboard: board(which), name: name.map(board_name), access: *access }
            }
            BoardDeed::Delete(which) => Command::DeleteWhiteboard { whiteboard: board(which) },
            BoardDeed::Open(which) => Command::OpenWhiteboard { whiteboard: board(which) },
            BoardDeed::Copy { board: which, rooms } => Command::CopyWhiteboard {
                whiteboard: board(which),
                rooms: rooms.as_ref().map(|rooms| rooms.iter().map(room).collect()),
            },
            BoardDeed::Keep(which) => Command::KeepWhiteboard { whiteboard: board(which) },
        }
    }

    /// Follows what the last input caused, once.
    fn follow(&mut self) {
        for recorded in self.scene.recorded.drain(..) {
            self.follower.follow(&recorded);
        }
    }

    fn check(&mut self, is_modelled: bool) {
        self.follow();
        assert_eq!(self.follower.seq(), self.scene.state.seq, "LG1: every event was followed");
        checks::holds(&self.scene.state);
        if is_modelled {
            checks::same(&self.roster, &self.scene.state);
        }
    }

    fn finish(self) {
        let text = serde_json::to_string(&self.scene.state).expect("a state is written down");
        let read: Meeting = serde_json::from_str(&text).expect("a state is read");
        assert_eq!(read, self.scene.state, "LG2: a snapshot is the state");
        let overwritten = checks::overwritten(&self.scene.log, &self.scene.limits);
        assert_eq!(overwritten, self.scene.state, "LG6: an overwritten log folds to the state");
    }
}

fn config() -> ProptestConfig {
    // The plan that fails is printed; nothing is written beside the sources.
    ProptestConfig { failure_persistence: None, max_shrink_iters: 20_000, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_meeting_and_the_model_agree(
        beginning in plan::beginning(),
        steps in prop::collection::vec(plan::step(), 1..150),
    ) {
        let limits = Limits {
            sessions_per_participant_max: 2,
            lobby_max: 4,
            breakout_rooms_max: 3,
            whiteboards_max: 3,
            whiteboards_total_max: 7,
            ..Limits::default()
        };
        let mut run = Run::new(&beginning, limits);
        for step in &steps {
            run.step(step, true);
        }
        run.finish();
    }

    #[test]
    fn whiteboards_of_the_meeting_and_of_the_model_agree(steps in prop::collection::vec(plan::board_step(), 1..60)) {
        let limits =
            Limits { breakout_rooms_max: 3, whiteboards_max: 3, whiteboards_total_max: 7, ..Limits::default() };
        let mut run = Run::new(&Patch::default(), limits);
        for step in plan::board_scene().iter().chain(&steps) {
            run.step(step, true);
        }
        run.finish();
    }

    /// With limits so small that people, sessions, answers and messages are forgotten all the time.
    #[test]
    fn what_is_always_true_holds_though_the_meeting_forgets(
        beginning in plan::beginning(),
        steps in prop::collection::vec(plan::step(), 1..150),
    ) {
        let limits = Limits {
            sessions_per_participant_max: 1,
            lobby_max: 2,
            gone_max: 1,
            bans_max: 1,
            closed_sessions_max: 1,
            answers_kept_max: 1,
            live_messages_max: 2,
            breakout_rooms_max: 3,
            rooms_kept_max: 4,
            whiteboards_max: 2,
            whiteboards_total_max: 5,
            ..Limits::default()
        };
        let mut run = Run::new(&beginning, limits);
        for step in &steps {
            run.step(step, false);
        }
        run.finish();
    }
}

/// The plan's numbers name what they are meant to.
#[test]
fn sessions_of_users_and_guests_are_apart() {
    assert_eq!(device(USERS * SESSIONS_OF_USER), session(u128::from(USERS * SESSIONS_OF_USER) + 1));
    assert_ne!(device(0), device(USERS * SESSIONS_OF_USER));
}
