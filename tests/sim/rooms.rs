//! What a client makes of breakout rooms: what it shows of them, from snapshots, events and notices
//! alone, and what a host may think of doing next.

use crate::chance::Chance;
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[derive(Default)]
pub struct Rooms {
    /// The room that this person is shown to be in.
    pub own: String,
    /// The state of every room that was told of.
    pub states: BTreeMap<String, String>,
    /// When the present set ends, as it was told.
    pub ends_at: Option<u64>,
}

impl Rooms {
    pub fn show(&mut self, snapshot: &Value) {
        self.states.clear();
        self.put(&snapshot["rooms"]);
        self.own = text(&snapshot["self"]["participant"]["room"]);
        assert_eq!(self.own, text(&snapshot["view"]["room"]), "a snapshot shows one room");
        self.ends_at = snapshot["breakout"]["ends_at"].as_u64();
    }

    pub fn enter(&mut self, entered: &Value) {
        self.own = text(&entered["view"]["room"]);
    }

    fn put(&mut self, rooms: &Value) {
        for room in rooms.as_array().into_iter().flatten() {
            self.states.insert(text(&room["id"]), text(&room["state"]));
        }
    }

    pub fn event(&mut self, kind: &str, data: &Value) {
        match kind {
            "breakout.opened" | "breakout.changed" => {
                self.put(&data["rooms"]);
                self.ends_at = data["ends_at"].as_u64();
            }
            "breakout.closed" => {
                self.put(&data["rooms"]);
                self.ends_at = data["breakout"]["ends_at"].as_u64();
            }
            "breakout.merged" => {
                for room in data["from"].as_array().into_iter().flatten() {
                    self.states.insert(text(room), "closed".to_owned());
                }
                self.ends_at = data["breakout"]["ends_at"].as_u64();
            }
            _ => {}
        }
    }

    fn open(&self) -> Vec<&String> {
        let open = self.states.iter().filter(|(id, state)| *state == "open" && *id != "main");
        open.map(|(id, _)| id).collect()
    }

    pub fn any(&self, chance: &Chance) -> String {
        let open = self.open();
        match chance.below(open.len() + 1) {
            0 => "main".to_owned(),
            number => open[number - 1].clone(),
        }
    }

    /// Something a host may do with the rooms there are, or first of all open some.
    pub fn arrange(&self, people: &[Value], mark: &str, chance: &Chance) -> (&'static str, Value) {
        let open = self.open();
        let is_in_use = self.states.iter().any(|(id, state)| state != "closed" && id != "main");
        if !is_in_use {
            return ("breakout.open", wanted(people, chance));
        }
        match chance.below(12) {
            0..=3 => {
                let moves: Vec<Value> = people
                    .iter()
                    .filter(|_| chance.is(0.7))
                    .map(|id| json!({ "participant": id, "room": self.any(chance) }))
                    .collect();
                ("breakout.move", json!({ "moves": moves }))
            }
            4 | 5 if !open.is_empty() => {
                let from = open[chance.below(open.len())];
                ("breakout.merge", json!({ "from": [from], "into": self.any(chance) }))
            }
            6 => ("breakout.extend", json!({ "by_s": 5 })),
            7 => ("breakout.add", json!({ "name": mark })),
            8 if !open.is_empty() => {
                ("breakout.close", json!({ "room": open[chance.below(open.len())], "now": chance.is(0.5) }))
            }
            9 => ("breakout.close", json!({ "now": chance.is(0.5) })),
            _ => ("breakout.broadcast", json!({ "text": mark })),
        }
    }
}

fn wanted(people: &[Value], chance: &Chance) -> Value {
    let assign = ["manual", "automatic", "self"][chance.below(3)];
    let (listed, _) = people.split_at(chance.below(people.len() + 1));
    let mut data = json!({
        "rooms": [{ "name": "One", "participants": listed }, { "name": "Two" }],
        "assign": assign,
        "warn_s": [2, 4],
        "grace_s": chance.below(4),
        "allow_return": chance.is(0.7),
    });
    if chance.is(0.8) {
        data["duration_s"] = json!(3 + chance.below(20));
    }
    data
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
