//! Questions, polls and the timer in the simulation: what a client shows of them, from snapshots,
//! events and notices alone; what it may think of doing with them; and what must hold in the end.

use crate::chance::Chance;
use crate::client::Record;
use convoke_actors::ports::EventRow;
use convoke_domain::poll::Poll;
use convoke_domain::shapes::RoomState;
use convoke_domain::veil::Veil;
use convoke_domain::{Event, ParticipantId, PollId, Recorded, RoomId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use uuid::Uuid;

type State = convoke_domain::Meeting;

/// A vote that was sent, and what was answered.
pub struct Sent {
    pub poll: String,
    pub choices: Vec<u32>,
    pub is_ok: Option<bool>,
}

#[derive(Default)]
pub struct Interaction {
    /// What belongs to the room that this person is shown to be in.
    polls: BTreeMap<String, Value>,
    questions: BTreeMap<String, Value>,
    timer: Value,
    pub votes: Vec<Sent>,
}

pub enum Deed {
    Command(&'static str, Value),
    /// It makes its mark in the log once, or never.
    Marked(&'static str, Value),
    Vote(Value, Sent),
}

fn by_id(list: &Value) -> BTreeMap<String, Value> {
    list.as_array().into_iter().flatten().map(|item| (text(&item["id"]), item.clone())).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

impl Interaction {
    pub fn show(&mut self, snapshot: &Value) {
        self.enter(snapshot);
        self.timer = snapshot["timer"].clone();
    }

    pub fn enter(&mut self, entered: &Value) {
        self.polls = by_id(&entered["view"]["polls"]);
        self.questions = by_id(&entered["view"]["questions"]);
    }

    pub fn event(&mut self, kind: &str, data: &Value) {
        match kind {
            "poll.opened" | "poll.counted" | "poll.closed" => {
                self.polls.insert(text(&data["poll"]["id"]), data["poll"].clone());
            }
            "question.asked" | "question.voted" | "question.answered" | "question.dismissed" => {
                self.questions.insert(text(&data["question"]["id"]), data["question"].clone());
            }
            "timer.started" => self.timer = data["timer"].clone(),
            "timer.ended" | "meeting.ended" => self.timer = Value::Null,
            _ => {}
        }
    }

    fn any(list: &BTreeMap<String, Value>, chance: &Chance) -> Option<String> {
        let open: Vec<&String> = list.iter().filter(|(_, item)| item["state"] == "open").map(|(id, _)| id).collect();
        (!open.is_empty()).then(|| open[chance.below(open.len())].clone())
    }

    /// Something that anybody may do.
    pub fn take_part(&self, mark: &str, me: &Value, now: u64, chance: &Chance) -> Deed {
        let (poll, question) = (Self::any(&self.polls, chance), Self::any(&self.questions, chance));
        match (chance.below(6), poll, question) {
            (0..=2, Some(poll), _) => {
                let choice = u32::try_from(chance.below(2)).unwrap();
                let frame = json!({ "poll": poll, "choices": [choice] });
                Deed::Vote(frame, Sent { poll, choices: vec![choice], is_ok: None })
            }
            (3, _, Some(question)) => {
                Deed::Command("question.vote", json!({ "question": question, "up": chance.is(0.7) }))
            }
            (4, ..) => {
                let (start_at, end_at) = (now.saturating_sub(100), now);
                let data = json!({ "participant": me, "lang": "en", "text": mark, "start_at": start_at, "end_at": end_at, "final": true });
                Deed::Marked("caption.publish", data)
            }
            _ => Deed::Marked("question.ask", json!({ "text": mark, "anonymous": chance.is(0.6) })),
        }
    }

    /// Something that hosts may do.
    pub fn lead(&self, mark: &str, chance: &Chance) -> Deed {
        let (poll, question) = (Self::any(&self.polls, chance), Self::any(&self.questions, chance));
        match (chance.below(8), poll, question) {
            (0 | 1, Some(poll), _) => Deed::Command("poll.close", json!({ "poll": poll })),
            (2, _, Some(question)) => Deed::Marked("question.answer", json!({ "question": question, "text": mark })),
            (3, _, Some(question)) => Deed::Command("question.dismiss", json!({ "question": question })),
            (4, ..) if self.timer.is_null() => {
                Deed::Command("timer.start", json!({ "duration_s": 1 + chance.below(20) }))
            }
            (4, ..) => Deed::Command("timer.stop", json!({})),
            _ => {
                let results = ["live", "closed", "hosts"][chance.below(3)];
                let mut data = json!({
                    "question": mark, "options": ["one", "two"], "results": results, "anonymous": chance.is(0.6),
                });
                if chance.is(0.5) {
                    data["duration_s"] = json!(1 + chance.below(20));
                }
                Deed::Marked("poll.open", data)
            }
        }
    }
}

/// What the log says of polls and questions after an event: by room, and for those who lead.
#[derive(Default)]
pub struct Truth {
    /// Each with its room, and whether that is closed.
    items: BTreeMap<String, ((RoomId, bool), [Value; 2])>,
    timer: Value,
}

impl Truth {
    pub fn of(state: &State) -> Self {
        let place = |room| (room, state.rooms.get(&room).is_none_or(|room| room.state == RoomState::Closed));
        let mut items = BTreeMap::new();
        for live in state.polls.values() {
            let shown = [false, true].map(|leads| told(&json!(live.shown(leads))));
            items.insert(live.poll.id.to_string(), (place(live.poll.room), shown));
        }
        for live in state.questions.values() {
            let shown = told(&json!(live.counted()));
            items.insert(live.question.id.to_string(), (place(live.question.room), [shown.clone(), shown]));
        }
        Self { items, timer: json!(state.timer) }
    }

    pub fn is_another_after(recorded: &Recorded) -> bool {
        let kind = recorded.event.kind();
        ["poll.", "question.", "timer.", "anonymity.", "breakout.merged", "breakout.closed", "meeting.ended"]
            .iter()
            .any(|start| kind.starts_with(start))
    }

    /// What a client shows is what the log says: of what is open all but the counts, which are told now
    /// and then; of what is over, all.
    pub fn is_shown(&self, record: &Record, place: (RoomId, bool), say: &mut impl FnMut(String)) {
        let shown = &record.interaction;
        if shown.timer != self.timer {
            say(format!("shows the timer {}; the log has {}", shown.timer, self.timer));
        }
        for (id, item) in shown.polls.iter().chain(&shown.questions) {
            let Some((_, truth)) = self.items.get(id) else {
                say(format!("shows {id}, which the log does not have"));
                continue;
            };
            let truth = &truth[usize::from(place.1)];
            // A room's things go with it when it is merged; whoever saw them there is shown them anew.
            let mut item = told(item);
            item["room"] = truth["room"].clone();
            if item != *truth {
                say(format!("shows {item}; the log has {truth}"));
            }
        }
        let has = |id: &String| shown.polls.contains_key(id) || shown.questions.contains_key(id);
        for (id, ((room, is_closed), truth)) in &self.items {
            // What is left of a closed room is for those who lead in the main room.
            let is_here = *room == place.0 || (*is_closed && place == (RoomId::Main, true));
            if is_here && truth[0]["state"] == "open" && !has(id) {
                say(format!("does not show {}", truth[0]));
            }
        }
    }
}

/// Without the counts, where they are still to change.
fn told(item: &Value) -> Value {
    let mut item = item.clone();
    if item["state"] == "open" {
        for count in ["counts", "voters", "votes"] {
            item.as_object_mut().unwrap().remove(count);
        }
    }
    item
}

/// The counts of every poll equal a recount of the log.
pub fn recount(log: &[Recorded], state: &State, say: &mut impl FnMut(String)) {
    for (poll, votes) in votes(log) {
        let Some(live) = state.polls.get(&poll) else {
            say(format!("{poll} has votes and is not there"));
            continue;
        };
        let counts: Vec<u32> = (0..2)
            .map(|option| u32::try_from(votes.values().filter(|choices| choices.contains(&option)).count()).unwrap())
            .collect();
        if live.counts != counts || usize::try_from(live.voters).unwrap() != votes.len() {
            say(format!("{poll} has {:?} by {}; the log has {votes:?}", live.counts, live.voters));
        }
    }
    let is_closed = |poll: &Poll| {
        let counts = state.polls.get(&poll.id).map(|live| &live.counts);
        poll.counts.as_ref().is_none_or(|told| Some(told) == counts)
    };
    for recorded in log {
        if let Event::PollClosed { poll, .. } = &recorded.event
            && !is_closed(poll)
        {
            say(format!("at {}: {poll:?} is not what it came to", recorded.seq));
        }
    }
}

/// The last vote of each voter in each poll.
fn votes(log: &[Recorded]) -> BTreeMap<PollId, BTreeMap<Uuid, Vec<u32>>> {
    let mut found: BTreeMap<PollId, BTreeMap<Uuid, Vec<u32>>> = BTreeMap::new();
    for recorded in log {
        if let Event::PollVoted { poll, voter, choices } = &recorded.event {
            found.entry(*poll).or_default().insert(*voter, choices.clone());
        }
    }
    found
}

/// Whoever was told that their vote was taken finds it in the log, or a later one of theirs.
pub fn votes_are_kept(log: &[Recorded], record: &Record, say: &mut impl FnMut(String)) {
    let Ok(participant) = serde_json::from_value::<ParticipantId>(record.participant.clone()) else { return };
    let keys: BTreeMap<Uuid, Uuid> = log
        .iter()
        .filter_map(|recorded| match &recorded.event {
            Event::AnonymityBegun { of, key } => Some((*of, *key)),
            _ => None,
        })
        .collect();
    let votes = votes(log);
    let mut last: BTreeMap<&str, usize> = BTreeMap::new();
    let sent = &record.interaction.votes;
    for (number, vote) in sent.iter().enumerate().filter(|(_, vote)| vote.is_ok == Some(true)) {
        last.insert(&vote.poll, number);
    }
    for (poll, number) in last {
        let id: PollId = poll.parse().unwrap();
        let voter = keys.get(&id.0).map_or(participant.0, |key| Veil::new(*key).pseudonym(participant));
        let kept = votes.get(&id).and_then(|votes| votes.get(&voter));
        let later = sent[number..].iter().filter(|vote| vote.poll == poll && vote.is_ok != Some(false));
        if !later.clone().any(|vote| Some(&vote.choices) == kept) {
            say(format!("voted {:?} in {poll}; the log has {kept:?}", sent[number].choices));
        }
    }
}

/// The text by which a deed is found in the log.
pub fn mark_of(row: &EventRow, data: &Value) -> Option<String> {
    let mark = match row.kind.as_str() {
        "question.asked" => &data["question"]["text"],
        "question.answered" => &data["question"]["answer"],
        "poll.opened" => &data["poll"]["question"],
        "caption.recorded" => &data["caption"]["text"],
        _ => return None,
    };
    mark.as_str().map(str::to_owned)
}
