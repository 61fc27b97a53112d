//! Questions, polls and the timer in the terminal. Questions have numbers in the order in which they
//! were asked, options in the order of the poll; a vote is for the poll that was opened last.

use super::text;
use serde_json::{Value, json};
use std::collections::BTreeMap;

pub const HELP: &str = "/ask text /anonymous text /questions /up N /answer N [text] \
                        /poll question | option | option /vote N[,M] /results /timer SECONDS [title]";

type Names = BTreeMap<String, String>;

/// What a line that was typed comes to.
#[derive(Debug, PartialEq)]
pub enum Wish {
    Do(&'static str, Value),
    Say(String),
}

/// What was asked in the present room.
#[derive(Default)]
pub struct Asked {
    questions: Vec<Value>,
    polls: Vec<Value>,
}

fn is_open(one: &&Value) -> bool {
    text(one, "/state") == "open"
}

/// Takes the place of what was known of it before, or stands behind all others; which place that is.
fn put(all: &mut Vec<Value>, one: &Value) -> usize {
    let known = all.iter().position(|other| other["id"] == one["id"]);
    if let Some(place) = known.and_then(|known| all.get_mut(known)) {
        place.clone_from(one);
    } else {
        all.push(one.clone());
    }
    known.unwrap_or(all.len().saturating_sub(1))
}

/// A poll's options with their votes, as far as one is shown them.
fn standing(poll: &Value) -> String {
    let counts = poll["counts"].as_array();
    let options = poll["options"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let options = options.enumerate().map(|(place, option)| {
        let count = counts.and_then(|counts| counts.get(place)).map(|count| format!(": {count}"));
        format!("{} {option}{}", place + 1, count.unwrap_or_default())
    });
    let voters = poll["voters"].as_u64().map(|voters| format!(" ({voters} voted)"));
    format!("{}{}", options.collect::<Vec<_>>().join(", "), voters.unwrap_or_default())
}

impl Asked {
    /// One sees another room, or this one for the first time: lines about what is open there.
    pub fn enter(&mut self, view: &Value) -> Vec<String> {
        let list = |name: &str| view[name].as_array().cloned().unwrap_or_default();
        *self = Self { questions: list("questions"), polls: list("polls") };
        // Ids are in the order of their making; the view is in the order of votes.
        self.questions.sort_by(|one, other| text(one, "/id").cmp(text(other, "/id")));
        let polls = self.polls.iter().filter(is_open);
        let mut lines: Vec<String> =
            polls.map(|poll| format!("* a poll: {} {}", text(poll, "/question"), standing(poll))).collect();
        let open = self.questions.iter().filter(is_open).count();
        lines.extend((open > 0).then(|| format!("* {open} open questions; /questions")));
        lines
    }

    /// A line about an event, if it is one of these.
    pub fn event(&mut self, kind: &str, data: &Value, names: &Names) -> Option<String> {
        let by = |id: &str| names.get(id).map_or(id, String::as_str).to_owned();
        if kind.starts_with("question.") {
            let question = &data["question"];
            let number = put(&mut self.questions, question) + 1;
            let said = text(question, "/text");
            return Some(match (kind, text(question, "/by"), text(question, "/answer")) {
                ("question.asked", "", _) => format!("* question {number}, anonymously: {said}"),
                ("question.asked", asker, _) => format!("* question {number}, by {}: {said}", by(asker)),
                ("question.voted", ..) => format!("* question {number} ({} for it): {said}", question["votes"]),
                ("question.answered", _, "") => format!("* question {number} is answered aloud: {said}"),
                ("question.answered", _, answer) => format!("* question {number}: {said} {answer}"),
                _ => format!("* question {number} is dismissed: {said}"),
            });
        }
        let (poll, question) = (&data["poll"], text(data, "/poll/question"));
        let is_timed = data["timer"]["title"].is_string();
        Some(match kind {
            "poll.opened" | "poll.counted" | "poll.closed" => {
                put(&mut self.polls, poll);
                let what = match (kind, text(poll, "/state")) {
                    ("poll.opened", _) => "a poll",
                    (_, "open") => "so far",
                    _ => "the poll is over",
                };
                format!("* {what}: {question} {}", standing(poll))
            }
            "timer.started" => {
                let times = ["ends_at", "started_at"].map(|name| data["timer"][name].as_u64().unwrap_or(0));
                let seconds = times[0].saturating_sub(times[1]) / 1_000;
                let title = if is_timed { format!(" for {}", text(data, "/timer/title")) } else { String::new() };
                format!("* the timer runs{title}: {seconds} s")
            }
            "timer.ended" => "* the timer has ended".to_owned(),
            "spotlight.changed" => {
                let people = data["participants"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let people: Vec<String> = people.map(by).collect();
                if people.is_empty() {
                    "* the spotlight is off".to_owned()
                } else {
                    format!("* in the spotlight: {}", people.join(", "))
                }
            }
            "caption.recorded" => {
                format!("{} (spoken): {}", by(text(data, "/caption/participant")), text(data, "/caption/text"))
            }
            _ => return None,
        })
    }

    /// What somebody typed, if it is one of these.
    pub fn command(&self, word: &str, rest: &str) -> Option<Wish> {
        let wrong = || Some(Wish::Say(format!("* {HELP}")));
        let (first, others) = rest.split_once(' ').unwrap_or((rest, ""));
        let question = || self.questions.get(first.parse::<usize>().ok()?.checked_sub(1)?).map(|one| one["id"].clone());
        let poll = |kind, mut data: Value| match self.polls.iter().rfind(is_open) {
            Some(poll) => {
                data["poll"] = poll["id"].clone();
                Wish::Do(kind, data)
            }
            None => Wish::Say("* no poll is open".to_owned()),
        };
        match word {
            "/ask" | "/anonymous" => {
                Some(Wish::Do("question.ask", json!({ "text": rest, "anonymous": word == "/anonymous" })))
            }
            "/questions" => Some(Wish::Say(self.questions())),
            "/up" => {
                let Some(question) = question() else { return wrong() };
                Some(Wish::Do("question.vote", json!({ "question": question, "up": true })))
            }
            "/answer" => {
                let Some(question) = question() else { return wrong() };
                let said = if others.is_empty() { ("live", json!(true)) } else { ("text", json!(others)) };
                Some(Wish::Do("question.answer", json!({ "question": question, said.0: said.1 })))
            }
            "/poll" => {
                let mut parts = rest.split('|').map(str::trim);
                let question = parts.next().unwrap_or_default();
                let options: Vec<&str> = parts.collect();
                Some(Wish::Do("poll.open", json!({ "question": question, "options": options, "results": "live" })))
            }
            "/vote" => {
                let choice = |one: &str| one.trim().parse::<u32>().ok()?.checked_sub(1);
                let choices: Option<Vec<u32>> = rest.split(',').map(choice).collect();
                let Some(choices) = choices else { return wrong() };
                Some(poll("poll.vote", json!({ "choices": choices })))
            }
            "/results" => Some(poll("poll.close", json!({}))),
            "/timer" => {
                let Ok(duration_s) = first.parse::<u32>() else { return wrong() };
                let title = (!others.is_empty()).then_some(others);
                Some(Wish::Do("timer.start", json!({ "duration_s": duration_s, "title": title })))
            }
            _ => None,
        }
    }

    /// The open questions, those with the most votes first.
    fn questions(&self) -> String {
        let open = self.questions.iter().enumerate().filter(|(_, one)| is_open(one));
        let mut open: Vec<(u64, usize, &str)> =
            open.map(|(place, one)| (one["votes"].as_u64().unwrap_or(0), place + 1, text(one, "/text"))).collect();
        open.sort_by_key(|(votes, number, _)| (std::cmp::Reverse(*votes), *number));
        let lines: Vec<String> =
            open.iter().map(|(votes, number, said)| format!("* {number}: {said} ({votes} for it)")).collect();
        if lines.is_empty() { "* no question is open".to_owned() } else { lines.join("\n") }
    }
}

#[cfg(test)]
mod tests;
