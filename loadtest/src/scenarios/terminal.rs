//! A person's client in the terminal: what happens is a line, what one types is said. `/help`
//! lists the rest. It works on a pipe too.

mod asked;

use asked::{Asked, Wish};
use clap::Args;
use convoke_loadtest::client::{Client, Heard, Options};
use convoke_loadtest::rest::Failure;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::io::{AsyncBufReadExt, BufReader};

#[derive(Args)]
pub struct Arguments {
    /// A link as the server gives it: http://host:port/join#token=…
    link: String,
    /// One's name, where the token does not say it
    #[arg(long)]
    name: Option<String>,
}

const HELP: &str = "a line is said to the room; /who /hand /lower /lobby /admit NAME|all /deny NAME|all \
                    /dm NAME text /mute NAME|all /lock /unlock /rooms /open COUNT /go ROOM /tell text \
                    /help-me /close [now] /end /leave";

pub async fn run(arguments: Arguments) -> Result<bool, Failure> {
    let (base, token) = arguments.link.split_once("/join#token=").ok_or("the link has no #token=")?;
    let host = base.trim_start_matches("http://").to_owned();
    let client = Client::start(Options { name: arguments.name, ..Options::new(&host, token.to_owned()) });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    let mut shown = Shown::default();
    let mut changes = tokio::time::interval(std::time::Duration::from_millis(50));
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                None => {
                    shown.update(&client);
                    return Ok(true);
                }
                Some(line) => {
                    client.until("a way in", |r| (r.snapshot.is_some() || r.closed.is_some() || r.is_waiting).then_some(())).await?;
                    shown.update(&client);
                    say(&client, &shown, line.trim()).await?;
                }
            },
            _ = changes.tick() => shown.update(&client),
        }
        let closed = client.record().closed;
        if let Some(code) = closed {
            shown.update(&client);
            println!("* the meeting closed this connection ({code})");
            return Ok(true);
        }
    }
}

/// What has been printed, and who is who.
#[derive(Default)]
struct Shown {
    events: usize,
    notices: usize,
    is_in: bool,
    is_waiting: bool,
    names: BTreeMap<String, String>,
    lobby: BTreeMap<String, String>,
    /// Rooms that are not closed, by id.
    rooms: BTreeMap<String, String>,
    asked: Asked,
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or("")
}

impl Shown {
    fn update(&mut self, client: &Client) {
        let record = client.record();
        if let Some(snapshot) = record.snapshot.as_ref().filter(|_| !self.is_in) {
            self.is_in = true;
            for person in snapshot["participants"].as_array().into_iter().flatten() {
                self.names.insert(text(person, "/id").to_owned(), text(person, "/name").to_owned());
            }
            for entry in snapshot["lobby"].as_array().into_iter().flatten() {
                self.lobby.insert(text(entry, "/participant").to_owned(), text(entry, "/name").to_owned());
            }
            self.put_rooms(snapshot);
            let role = text(snapshot, "/self/participant/role");
            println!(
                "* you are in \"{}\" as {role}, with {} people; /help",
                text(snapshot, "/meeting/title"),
                self.names.len()
            );
            for message in snapshot.pointer("/view/messages").and_then(Value::as_array).into_iter().flatten() {
                println!("{}: {}", self.name(text(message, "/from")), text(message, "/text"));
            }
            self.asked.enter(&snapshot["view"]).iter().for_each(|line| println!("{line}"));
        }
        if record.is_waiting && !self.is_waiting {
            println!("* you wait in the lobby");
        }
        self.is_waiting = record.is_waiting;
        for heard in record.heard.iter().skip(self.events) {
            self.event(heard);
        }
        self.events = record.heard.len();
        for (kind, data) in record.notices.iter().skip(self.notices) {
            match kind.as_str() {
                "lobby.message" => println!("* from the hosts: {}", text(data, "/text")),
                "self.entered" => {
                    println!("* you are in {} now", self.room(text(data, "/view/room")));
                    self.asked.enter(&data["view"]).iter().for_each(|line| println!("{line}"));
                }
                "screen.requested" => {
                    println!("* {} would like to share their screen", self.name(text(data, "/participant")));
                }
                _ => {}
            }
        }
        self.notices = record.notices.len();
    }

    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        self.names.get(id).map_or(id, String::as_str)
    }

    fn put_rooms(&mut self, data: &Value) {
        for room in data["rooms"].as_array().into_iter().flatten() {
            let (id, name) = (text(room, "/id").to_owned(), text(room, "/name").to_owned());
            if text(room, "/state") == "closed" {
                self.rooms.remove(&id)
            } else {
                self.rooms.insert(id, name)
            };
        }
    }

    fn room<'a>(&'a self, id: &'a str) -> &'a str {
        self.rooms.get(id).map_or(id, String::as_str)
    }

    fn event(&mut self, heard: &Heard) {
        let data = &heard.data;
        let person = text(data, "/participant/name");
        match heard.kind.as_str() {
            "participant.joined" => {
                self.names.insert(text(data, "/participant/id").to_owned(), person.to_owned());
                println!("* {person} came in");
            }
            "participant.left" | "participant.removed" => println!("* {person} went away"),
            "participant.disconnected" => println!("* {person} lost the connection"),
            "participant.reconnected" => println!("* {person} is back"),
            "participant.role_changed" => println!("* {person} is {} now", text(data, "/participant/role")),
            "participant.renamed" => {
                self.names.insert(text(data, "/participant/id").to_owned(), person.to_owned());
                println!("* somebody is called {person} now");
            }
            "lobby.entered" => {
                self.lobby.insert(text(data, "/entry/participant").to_owned(), text(data, "/entry/name").to_owned());
                println!("* {} waits in the lobby", text(data, "/entry/name"));
            }
            "lobby.admitted" | "lobby.denied" | "lobby.left" => {
                self.lobby.remove(text(data, "/participant"));
            }
            "hand.raised" => println!("* {} raised a hand", self.name(text(data, "/hand/participant"))),
            "hands.lowered" => println!("* hands were lowered"),
            "chat.posted" => {
                let private =
                    if ["room", "everyone"].contains(&text(data, "/message/to")) { "" } else { " (privately)" };
                println!("{}{private}: {}", self.name(text(data, "/message/from")), text(data, "/message/text"));
            }
            "chat.edited" => {
                println!("{} (edited): {}", self.name(text(data, "/message/from")), text(data, "/message/text"))
            }
            "chat.deleted" => println!("* a message was deleted"),
            "breakout.opened" | "breakout.changed" => {
                self.put_rooms(data);
                let rooms = self.rooms.iter().filter(|(id, _)| *id != "main").map(|(_, name)| name.as_str());
                println!("* breakout rooms: {}", rooms.collect::<Vec<_>>().join(", "));
            }
            "breakout.closed" => {
                self.put_rooms(data);
                println!("* breakout rooms were closed");
            }
            "breakout.merged" => {
                for from in data["from"].as_array().into_iter().flatten() {
                    self.rooms.remove(from.as_str().unwrap_or_default());
                }
            }
            "breakout.ending_soon" => println!("* the breakout rooms end in {} s", data["warn_s"]),
            "breakout.broadcast" => println!("* to all rooms: {}", text(data, "/text")),
            "breakout.help_requested" => {
                println!("* {} asks for help in {}", self.name(text(data, "/by")), self.room(text(data, "/room")));
            }
            "meeting.ended" => println!("* the meeting has ended"),
            kind => self.asked.event(kind, data, &self.names).iter().for_each(|line| println!("{line}")),
        }
    }

    fn find(names: &BTreeMap<String, String>, wanted: &str) -> Option<String> {
        names.iter().find(|(_, name)| name.eq_ignore_ascii_case(wanted)).map(|(id, _)| id.clone())
    }
}

async fn say(client: &Client, shown: &Shown, line: &str) -> Result<(), Failure> {
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let whom = |names: &BTreeMap<String, String>| match rest {
        "all" => Some(json!({ "all": true })),
        name => Shown::find(names, name).map(|id| json!({ "participant": id })),
    };
    let command = match word {
        "" => None,
        "/help" => {
            println!("{HELP} {}", asked::HELP);
            None
        }
        "/who" => {
            println!("* {}", shown.names.values().cloned().collect::<Vec<_>>().join(", "));
            None
        }
        "/lobby" => {
            println!("* {}", shown.lobby.values().cloned().collect::<Vec<_>>().join(", "));
            None
        }
        "/rooms" => {
            println!("* {}", shown.rooms.values().cloned().collect::<Vec<_>>().join(", "));
            None
        }
        "/open" => {
            let count = rest.parse::<u32>().unwrap_or(2);
            let rooms: Vec<Value> = (1..=count).map(|number| json!({ "name": format!("Room {number}") })).collect();
            Some(("breakout.open", json!({ "rooms": rooms, "assign": "automatic" })))
        }
        "/go" => Shown::find(&shown.rooms, rest).map(|id| ("breakout.join", json!({ "room": id }))),
        "/help-me" => Some(("breakout.help", json!({}))),
        "/tell" => Some(("breakout.broadcast", json!({ "text": rest }))),
        "/close" => Some(("breakout.close", json!({ "now": rest == "now" }))),
        "/hand" => Some(("hand.raise", json!({}))),
        "/lower" => Some(("hand.lower", json!({}))),
        "/admit" => whom(&shown.lobby).map(|data| ("lobby.admit", data)),
        "/deny" => whom(&shown.lobby).map(|data| ("lobby.deny", data)),
        "/mute" => whom(&shown.names).map(|mut data| {
            data["source"] = json!("audio");
            ("participant.mute", data)
        }),
        "/dm" => rest.split_once(' ').and_then(|(name, said)| {
            let id = Shown::find(&shown.names, name)?;
            Some(("chat.post", json!({ "to": id, "text": said })))
        }),
        "/lock" => Some(("meeting.update", json!({ "settings": { "locked": true } }))),
        "/unlock" => Some(("meeting.update", json!({ "settings": { "locked": false } }))),
        "/end" => Some(("meeting.end", json!({}))),
        "/leave" => Some(("leave", json!({}))),
        _ if word.starts_with('/') => match shown.asked.command(word, rest) {
            Some(Wish::Do(kind, data)) => Some((kind, data)),
            Some(Wish::Say(line)) => {
                println!("{line}");
                None
            }
            None => {
                println!("* {HELP} {}", asked::HELP);
                None
            }
        },
        _ => Some(("chat.post", json!({ "to": "room", "text": line }))),
    };
    if let Some((kind, data)) = command {
        let answer = client.ask(kind, data).await?;
        if answer["ok"] != true {
            println!("* refused: {}", text(&answer, "/error/message"));
        }
    }
    Ok(())
}
