//! What has to hold when everything is quiet again, whatever happened before.

use crate::client::Record;
use crate::database::Meeting;
use crate::interaction::mark_of;
use crate::painters;
use crate::told::Story;
use crate::watched;
use crate::world::End;
use convoke_actors::ports::EventRow;
use convoke_domain::{Audience, ParticipantId, SessionId};
use serde_json::Value;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Rooms close by themselves, until the very end.
const NEWS_MS: u64 = 5_000;

/// Everything that does not hold.
pub fn violations(end: &End) -> Vec<String> {
    let mut found = end.world.database.usurped.lock().unwrap().clone();
    let mut tables = end.world.database.tables.lock().unwrap();
    for (place, key) in end.world.keys.iter().enumerate() {
        let canvases: Vec<_> = end.people[place].iter().map(|person| Rc::clone(&person.canvas)).collect();
        painters::violations(&mut tables, key, &canvases, &mut |what| found.push(format!("meeting {place}: {what}")));
    }
    for (place, key) in end.world.keys.iter().enumerate() {
        let meeting = &tables.meetings[key];
        let log = Log::of(meeting, end.world.time.now().saturating_sub(NEWS_MS));
        let mut say = |what: String| found.push(format!("meeting {place}: {what}"));
        log.check(&mut say);
        if let Some(state) = &log.story.state {
            watched::statuses(&log.story.log, &mut say);
            watched::media_is_as_wanted(&end.world.media, key, state, end.world.time.now(), &mut say);
        }
        for person in &end.people[place] {
            let record = person.record.borrow();
            let mut say = |what: String| say(format!("{} ({}): {what}", record.name, record.session));
            record.violations.iter().cloned().for_each(&mut say);
            marks(&log, &record, &mut say);
            is_what_the_log_says(&log, &record, &mut say);
            log.story.is_shown(&record, &mut say);
            log.story.votes_are_kept(&record, &mut say);
            is_not_stuck(&log, &record, &mut say);
        }
    }
    found
}

struct Log<'a> {
    meeting: &'a Meeting,
    /// Each with its audience and its data.
    rows: Vec<(&'a EventRow, Audience, Value)>,
    /// What the log folds to, before each of its events, and at its end.
    story: Story,
    /// What happened before this must have reached everybody.
    old: u64,
}

impl<'a> Log<'a> {
    fn of(meeting: &'a Meeting, old: u64) -> Self {
        let row = |row: &'a EventRow| {
            (row, serde_json::from_str(&row.audience).unwrap(), serde_json::from_str(&row.data).unwrap())
        };
        Self { meeting, old, rows: meeting.events.values().map(row).collect(), story: Story::of(meeting) }
    }

    fn is_over(&self) -> bool {
        self.rows.iter().any(|(row, _, _)| row.kind == "meeting.ended")
    }

    fn check(&self, say: &mut impl FnMut(String)) {
        if let Some(reason) = &self.meeting.failed {
            say(format!("it is marked failed: {reason}"));
        }
        for (place, (row, _, _)) in self.rows.iter().enumerate() {
            if row.seq.0 != u64::try_from(place).unwrap() + 1 {
                say(format!("the log has a hole before {}", row.seq));
            }
        }
        let times: Vec<u64> = self.rows.iter().map(|(row, _, _)| row.at).collect();
        if !times.is_sorted() {
            say("time runs backwards in the log".into());
        }
        if !self.meeting.terms.values().is_sorted() {
            say("an older term wrote after a newer one".into());
        }
        let ends = self.rows.iter().filter(|(row, _, _)| row.kind == "meeting.ended").count();
        if ends > 1 {
            say(format!("it ended {ends} times"));
        }
        self.story.check(say);
        self.check_causes(say);
        self.check_presence(say);
    }

    /// A session's commands stand in the order of their numbers, each in one place.
    fn check_causes(&self, say: &mut impl FnMut(String)) {
        let mut last: BTreeMap<SessionId, u64> = BTreeMap::new();
        let mut before = None;
        for (row, _, _) in &self.rows {
            if let Some(cause) = row.cause.filter(|cause| Some(*cause) != before) {
                let known = last.insert(cause.session, cause.id).unwrap_or(0);
                if cause.id <= known {
                    say(format!("at {}: command {} of {} comes after {known}", row.seq, cause.id, cause.session));
                }
            }
            before = row.cause;
        }
    }

    /// Nobody goes who was not there, or comes who is there.
    fn check_presence(&self, say: &mut impl FnMut(String)) {
        let mut present: BTreeMap<String, bool> = BTreeMap::new();
        for (row, _, data) in &self.rows {
            let id = data["participant"]["id"].as_str().or(data["participant"].as_str());
            let (Some(id), Some(is_there)) = (id, shows(&row.kind)) else { continue };
            let was = present.insert(id.to_owned(), is_there).unwrap_or(false);
            let is_possible = match row.kind.as_str() {
                "participant.joined" => !was,
                _ => was,
            };
            if !is_possible {
                say(format!("at {}: {} of {id}, who {}", row.seq, row.kind, if was { "is there" } else { "is not" }));
            }
        }
    }
}

/// Whether somebody is there afterwards.
fn shows(kind: &str) -> Option<bool> {
    match kind {
        "participant.joined" | "participant.disconnected" | "participant.reconnected" => Some(true),
        "participant.left" => Some(false),
        _ => None,
    }
}

/// What was acknowledged is there once; what was refused is not; nothing is there twice.
fn marks(log: &Log<'_>, record: &Record, say: &mut impl FnMut(String)) {
    let mut places: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (row, _, data) in &log.rows {
        let mark = match row.kind.as_str() {
            "chat.posted" | "chat.edited" => data["message"]["text"].as_str().map(str::to_owned),
            "participant.renamed" => data["participant"]["name"].as_str().map(str::to_owned),
            "breakout.broadcast" => data["text"].as_str().map(str::to_owned),
            _ => mark_of(row, data),
        };
        if let Some(mark) = mark {
            places.entry(mark).or_default().push(row.seq.0);
        }
    }
    for mark in &record.marks {
        let found = places.get(mark.as_str()).map_or(&[][..], Vec::as_slice);
        if found.len() > 1 {
            say(format!("{mark} is doubled: at {found:?}"));
        }
        for answer in record.answers.iter().filter(|answer| answer.mark == *mark) {
            match (answer.is_ok, found) {
                (true, []) => say(format!("{mark} was acknowledged and is lost")),
                (false, [seq, ..]) => say(format!("{mark} was refused and stands at {seq}")),
                (true, [seq, ..]) if answer.seq.is_some_and(|told| told != *seq) => {
                    say(format!("{mark} stands at {seq}, and was said to stand at {:?}", answer.seq));
                }
                _ => {}
            }
        }
    }
}

/// What a client was told equals what the log has for it, apart from what a snapshot told.
fn is_what_the_log_says(log: &Log<'_>, record: &Record, say: &mut impl FnMut(String)) {
    let Ok(participant) = serde_json::from_value::<ParticipantId>(record.participant.clone()) else { return };
    for (cursor, seq) in &record.early {
        // What nobody is told, or only others are, cannot come before the answer.
        let is_for_them = |row: &&(&EventRow, Audience, Value)| log.story.is_for(participant, row.0.seq.0, &row.1);
        let passed = log.rows.iter().filter(|row| (*cursor + 1..=*seq).contains(&row.0.seq.0));
        if passed.filter(is_for_them).count() > 0 {
            say(format!("an answer of {seq} came at {cursor}, before its events"));
        }
    }
    let was_skipped = |seq: u64| record.skipped.iter().any(|(from, to)| *from < seq && seq <= *to);
    let told: BTreeMap<u64, (&str, &Value)> =
        record.told.iter().map(|told| (told.seq, (told.kind.as_str(), &told.data))).collect();
    for (row, audience, data) in &log.rows {
        let seq = row.seq.0;
        let is_for_them = log.story.is_for(participant, row.seq.0, audience);
        match (told.get(&seq), is_for_them) {
            (Some(_), false) => say(format!("was told {} at {seq}, which is not for them", row.kind)),
            (Some((kind, heard)), _) if *kind != row.kind || *heard != data => {
                say(format!("was told {kind} {heard} at {seq}; the log has {} {data}", row.kind));
            }
            // After the end nobody is told anything.
            (None, true) if row.at < log.old && !was_skipped(seq) && (seq <= record.cursor || !log.is_over()) => {
                say(format!("was never told {} at {seq}; the cursor is {}", row.kind, record.cursor));
            }
            _ => {}
        }
    }
    if let Some((seq, _)) = told.iter().find(|(seq, _)| **seq > u64::try_from(log.rows.len()).unwrap()) {
        say(format!("was told of {seq}, which the log does not have"));
    }
}

fn is_not_stuck(log: &Log<'_>, record: &Record, say: &mut impl FnMut(String)) {
    match record.closed {
        Some(4504) if log.is_over() => {}
        Some(code) => say(format!("was closed with {code}")),
        None if !record.is_done() => say("is stuck: its last word was not answered".into()),
        None => {}
    }
    if let Some(refused) = record.answers.iter().find(|a| Some(&a.mark) == record.last_word.as_ref() && !a.is_ok) {
        say(format!("its last word {} was refused", refused.mark));
    }
}
