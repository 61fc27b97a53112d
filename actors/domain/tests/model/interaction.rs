//! Questions and polls under random plans: a model of who voted for what, written from `SPEC.md`,
//! says what may be asked and how the votes must stand; and after every step the log, overwritten
//! where its events ask for that, must still fold to the state, and name nobody who is veiled.

use crate::common::*;
use convoke_domain::breakout::{Destination, OpenRooms, PlannedRoom};
use convoke_domain::command::Nothing;
use convoke_domain::poll::{OpenPoll, PollState, Results};
use convoke_domain::shapes::Role;
use convoke_domain::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const PEOPLE: usize = 5;

/// Numbers mean one of those there are at that time.
#[derive(Clone, Debug)]
enum Step {
    Open {
        results: Results,
        anonymous: bool,
        multiple: bool,
        options: usize,
        duration_s: Option<u32>,
    },
    Vote {
        who: usize,
        device: bool,
        poll: usize,
        choices: Vec<u32>,
    },
    Close(usize),
    Ask {
        who: usize,
        anonymous: bool,
    },
    Up {
        who: usize,
        device: bool,
        question: usize,
        up: bool,
    },
    Settle {
        question: usize,
        answered: bool,
    },
    /// The last numbered command of somebody once more, under its number.
    Again(usize),
    Lost(usize),
    Back(usize),
    Leave(usize),
    Rooms,
    Move {
        who: usize,
        room: usize,
    },
    Merge,
    CloseRooms,
    Pass(u64),
    Recovered,
    End,
}

fn step() -> impl Strategy<Value = Step> {
    let results = prop_oneof![Just(Results::Live), Just(Results::Closed), Just(Results::Hosts)];
    let duration = prop_oneof![3 => Just(None), 1 => (1..4u32).prop_map(Some)];
    prop_oneof![
        4 => (results, any::<bool>(), any::<bool>(), 2..4usize, duration).prop_map(
            |(results, anonymous, multiple, options, duration_s)| Step::Open {
                results, anonymous, multiple, options, duration_s
            }
        ),
        20 => (0..PEOPLE, any::<bool>(), 0..8usize, prop::collection::vec(0..4u32, 0..3))
            .prop_map(|(who, device, poll, choices)| Step::Vote { who, device, poll, choices }),
        2 => (0..8usize).prop_map(Step::Close),
        5 => (0..PEOPLE, any::<bool>()).prop_map(|(who, anonymous)| Step::Ask { who, anonymous }),
        10 => (0..PEOPLE, any::<bool>(), 0..8usize, any::<bool>())
            .prop_map(|(who, device, question, up)| Step::Up { who, device, question, up }),
        2 => (0..8usize, any::<bool>()).prop_map(|(question, answered)| Step::Settle { question, answered }),
        4 => (0..PEOPLE).prop_map(Step::Again),
        2 => (0..PEOPLE).prop_map(Step::Lost),
        2 => (0..PEOPLE).prop_map(Step::Back),
        1 => (1..PEOPLE).prop_map(Step::Leave),
        1 => Just(Step::Rooms),
        3 => (0..PEOPLE, 0..3usize).prop_map(|(who, room)| Step::Move { who, room }),
        1 => Just(Step::Merge),
        1 => Just(Step::CloseRooms),
        8 => (0..1_500u64).prop_map(Step::Pass),
        1 => Just(Step::Pass(31_000)),
        1 => Just(Step::Recovered),
    ]
}

#[derive(Default)]
struct Ballot {
    anonymous: bool,
    multiple: bool,
    options: u32,
    is_open: bool,
    votes: BTreeMap<usize, BTreeSet<u32>>,
}

#[derive(Default)]
struct Asked {
    is_open: bool,
    votes: BTreeSet<usize>,
}

struct Run {
    scene: Scene,
    people: Vec<[Device; 2]>,
    polls: BTreeMap<PollId, Ballot>,
    questions: BTreeMap<QuestionId, Asked>,
    told_at: BTreeMap<uuid::Uuid, Millis>,
    last: BTreeMap<usize, (SessionId, u64, Command)>,
    numbers: BTreeMap<SessionId, u64>,
    /// How far of the log was looked at.
    learned: usize,
}

fn nth<K: Copy, V>(map: &BTreeMap<K, V>, number: usize) -> Option<K> {
    map.keys().nth(number.checked_rem(map.len())?).copied()
}

impl Run {
    fn new() -> Self {
        let mut scene = Scene::new();
        let mut people = Vec::new();
        for number in 0..PEOPLE {
            let role = if number == 0 { Role::Host } else { Role::Participant };
            let first = scene.enters(&format!("Person {number}"), role);
            let second = first.other(9);
            scene.join(&second).expect("another device");
            people.push([first, second]);
        }
        Self {
            scene,
            people,
            polls: BTreeMap::new(),
            questions: BTreeMap::new(),
            told_at: BTreeMap::new(),
            last: BTreeMap::new(),
            numbers: BTreeMap::new(),
            learned: 0,
        }
    }

    fn room(&self, who: usize) -> Option<RoomId> {
        let member = self.scene.find(&self.people[who][0])?;
        member.is_inside().then_some(member.participant.room)
    }

    /// Asks as this person, from a device of theirs that has a session; comes in again if there is none.
    fn ask(&mut self, who: usize, device: bool, command: Command) -> Result<turn::Reply, Rejection> {
        let device = self.people[who][usize::from(device)].clone();
        if !self.scene.state.sessions.contains_key(&device.session) {
            self.scene.join(&device).expect("comes again");
            self.learn();
        }
        let known = self.scene.state.sessions[&device.session].last_id;
        let number = self.numbers.entry(device.session).or_default();
        *number = if known == 0 { 1 } else { (*number).max(known) + 1 };
        let id = *number;
        self.last.insert(who, (device.session, id, command.clone()));
        self.scene.take(Input::Command { by: By::Session { session: device.session, id }, command })
    }

    /// What the events say of new polls and questions, and of those that are over.
    fn learn(&mut self) {
        let new = self.scene.log[std::mem::replace(&mut self.learned, self.scene.log.len())..].to_vec();
        // The end tells what was not told yet, whenever it comes.
        let is_end = new.iter().any(|recorded| recorded.event.kind() == "meeting.ended");
        for recorded in new {
            let counted = match &recorded.event {
                Event::PollOpened { poll, .. } => {
                    let options = u32::try_from(poll.options.len()).expect("few");
                    let (anonymous, multiple) = (poll.anonymous, poll.multiple);
                    let ballot = Ballot { anonymous, multiple, options, is_open: true, votes: BTreeMap::new() };
                    self.polls.insert(poll.id, ballot);
                    None
                }
                Event::PollClosed { poll, .. } => {
                    let ballot = self.polls.get_mut(&poll.id).expect("known");
                    assert!(std::mem::take(&mut ballot.is_open), "PO3: once");
                    None
                }
                Event::PollCounted { poll } if poll.state == PollState::Open => Some(poll.id.0),
                Event::QuestionAsked { question } => {
                    self.questions.insert(question.id, Asked { is_open: true, votes: BTreeSet::new() });
                    None
                }
                Event::QuestionAnswered { question, .. } | Event::QuestionDismissed { question, .. } => {
                    let asked = self.questions.get_mut(&question.id).expect("known");
                    assert!(std::mem::take(&mut asked.is_open), "QU3: once");
                    assert_eq!(question.votes as usize, asked.votes.len(), "QU4");
                    None
                }
                Event::QuestionVoted { question } => Some(question.id.0),
                _ => None,
            };
            if let Some(of) = counted.filter(|_| !is_end)
                && let Some(before) = self.told_at.insert(of, recorded.at)
            {
                assert!(recorded.at - before >= self.scene.limits.count_interval_ms, "CH7: twice a second");
            }
        }
    }

    /// A command that the model expects to be done, or refused.
    fn expect(&mut self, is_done: bool, reply: &Result<turn::Reply, Rejection>) {
        assert_eq!(reply.is_ok(), is_done, "{reply:?}");
    }

    fn step(&mut self, step: &Step) {
        // What is due fires before anything else is looked at; the model learns it from the events.
        self.scene.take(Input::Tick).expect("time passes");
        self.learn();
        match step {
            Step::Open { results, anonymous, multiple, options, duration_s } => {
                let wanted = OpenPoll {
                    question: "Which?".to_owned(),
                    options: (0..*options).map(|n| format!("Option {n}")).collect(),
                    multiple: *multiple,
                    anonymous: *anonymous,
                    results: *results,
                    duration_s: *duration_s,
                };
                let room = self.room(0).unwrap_or_default();
                let open = self.scene.state.polls.values().filter(|p| p.is_open() && p.poll.room == room).count();
                let reply = self.ask(0, false, Command::OpenPoll(wanted));
                self.expect(open < self.scene.limits.polls_open_max, &reply);
            }
            Step::Vote { who, device, poll, choices } => {
                let Some(id) = nth(&self.polls, *poll) else { return };
                let reply = self.ask(*who, *device, Command::Vote { poll: id, choices: choices.clone() });
                let ballot = &self.polls[&id];
                let different: BTreeSet<u32> = choices.iter().copied().collect();
                let is_here = self.room(*who) == Some(self.scene.state.polls[&id].poll.room);
                let is_vote = !choices.is_empty()
                    && different.len() == choices.len()
                    && choices.iter().all(|choice| *choice < ballot.options)
                    && (ballot.multiple || choices.len() == 1);
                let is_done = is_here && ballot.is_open && is_vote;
                self.expect(is_done, &reply);
                if is_done {
                    self.polls.get_mut(&id).expect("known").votes.insert(*who, different);
                }
            }
            Step::Close(poll) => {
                let Some(id) = nth(&self.polls, *poll) else { return };
                let is_open = self.polls[&id].is_open;
                let reply = self.ask(0, false, Command::ClosePoll { poll: id });
                self.expect(is_open, &reply);
            }
            Step::Ask { who, anonymous } => {
                let reply = self.ask(*who, false, Command::AskQuestion { text: "Why?".into(), anonymous: *anonymous });
                self.expect(true, &reply);
            }
            Step::Up { who, device, question, up } => {
                let Some(id) = nth(&self.questions, *question) else { return };
                let reply = self.ask(*who, *device, Command::VoteForQuestion { question: id, up: *up });
                let is_here = self.room(*who) == Some(self.scene.state.questions[&id].question.room);
                let is_done = is_here && self.questions[&id].is_open;
                self.expect(is_done, &reply);
                let votes = &mut self.questions.get_mut(&id).expect("known").votes;
                match (is_done, up) {
                    (true, true) => drop(votes.insert(*who)),
                    (true, false) => drop(votes.remove(who)),
                    (false, _) => {}
                }
            }
            Step::Settle { question, answered } => {
                let Some(id) = nth(&self.questions, *question) else { return };
                let is_open = self.questions[&id].is_open;
                let command = match answered {
                    true => Command::AnswerQuestion { question: id, text: None, live: true },
                    false => Command::DismissQuestion { question: id },
                };
                let reply = self.ask(0, true, command);
                self.expect(is_open, &reply);
            }
            Step::Again(who) => {
                let Some((session, id, command)) = self.last.get(who).cloned() else { return };
                let Some(known) = self.scene.state.sessions.get(&session) else { return };
                // A number that had no effect may be used again; this is about those that had one.
                if id <= known.last_id {
                    let _ = self.scene.take(Input::Command { by: By::Session { session, id }, command });
                    assert!(self.scene.recorded.is_empty(), "CM3: {:?}", self.scene.kinds());
                }
            }
            Step::Lost(who) => self.people[*who].clone().iter().for_each(|device| self.scene.lost(device)),
            Step::Back(who) => {
                for device in self.people[*who].clone() {
                    let _ = self.scene.back(&device);
                }
            }
            Step::Leave(who) => {
                let _ = self.ask(*who, false, Command::Leave { all: true, transfer_to: None });
            }
            Step::Rooms => {
                let room = |name: &str| PlannedRoom { name: name.into(), participants: vec![], users: vec![] };
                let wanted = OpenRooms { rooms: vec![room("One"), room("Two")], ..OpenRooms::default() };
                let _ = self.ask(0, false, Command::OpenBreakout(wanted));
            }
            Step::Move { who, room } => {
                let Some(room) = nth(&self.scene.state.rooms, *room) else { return };
                let Some(member) = self.scene.find(&self.people[*who][0]) else { return };
                let moves = vec![Destination { participant: member.participant.id, room }];
                let _ = self.ask(0, false, Command::MovePeople { moves });
            }
            Step::Merge => {
                let rooms: Vec<RoomId> = self.scene.state.set_rooms().map(|room| room.id).collect();
                if let [one, other, ..] = rooms[..] {
                    let _ = self.ask(0, false, Command::MergeRooms { from: vec![one], into: other });
                }
            }
            Step::CloseRooms => {
                let _ = self.ask(0, false, Command::CloseRooms { room: None, now: true });
            }
            Step::Pass(ms) => {
                self.scene.now += ms;
                self.scene.take(Input::Tick).expect("time passes");
            }
            Step::Recovered => drop(self.scene.take(Input::Recovered).expect("never refused")),
            Step::End => drop(self.ask(0, false, Command::EndMeeting(Nothing {})).expect("ended")),
        }
        self.learn();
        self.check();
    }

    fn check(&self) {
        let state = &self.scene.state;
        for (id, ballot) in &self.polls {
            let live = &state.polls[id];
            let recount: Vec<u32> = (0..ballot.options)
                .map(|option| ballot.votes.values().filter(|choices| choices.contains(&option)).count() as u32)
                .collect();
            assert_eq!(live.counts, recount, "PO5: a recount");
            assert_eq!(live.voters as usize, ballot.votes.len(), "PO2: one vote a person");
            assert!(live.counts.iter().all(|count| *count <= live.voters), "PO5: votes never above voters");
            assert_eq!(live.is_open(), ballot.is_open);
            assert!(live.is_open() || live.votes.is_empty());
            let is_veiled = ballot.is_open && ballot.anonymous;
            assert_eq!(state.veils.contains_key(&id.0), is_veiled, "AN2: the key goes with the poll");
        }
        for (id, asked) in &self.questions {
            assert_eq!(state.questions[id].votes as usize, asked.votes.len(), "QU2: one vote a person");
        }
        let mut of = BTreeSet::new();
        for recorded in &self.scene.log {
            if let Event::AnonymityEnded { of: ended, .. } = &recorded.event {
                of.extend(ended);
            }
        }
        let mut log = self.scene.log.clone();
        for recorded in &mut log {
            redact::anonymous(recorded, &of);
        }
        let mut folded = apply::create(&log[0]).expect("a meeting");
        for recorded in &log[1..] {
            apply::apply(&mut folded, recorded, &self.scene.limits);
        }
        assert_eq!(&folded, state, "LG6: what is overwritten folds to the same");
        let is_veiled = |of: uuid::Uuid| {
            self.polls.get(&PollId(of)).is_some_and(|ballot| ballot.anonymous)
                || state.questions.get(&QuestionId(of)).is_some_and(|live| live.question.anonymous)
        };
        for recorded in self.scene.log.iter().filter(|r| r.event.veiled_by().is_some_and(is_veiled)) {
            let row = serde_json::to_string(recorded).expect("written");
            for device in self.people.iter().flatten() {
                assert!(!row.contains(&device.session.to_string()), "AN1: {row}");
            }
            assert!(!state.members.keys().any(|id| row.contains(&id.to_string())), "AN1: {row}");
        }
    }
}

proptest! {
    #![proptest_config(crate::config())]

    #[test]
    fn questions_and_polls_under_random_plans(steps in prop::collection::vec(step(), 1..60)) {
        let mut run = Run::new();
        for step in &steps {
            run.step(step);
        }
        run.step(&Step::End);
        prop_assert!(run.scene.state.veils.is_empty());
    }
}
