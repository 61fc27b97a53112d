//! A client as the contract wants it. It numbers its commands, keeps what was not answered, comes
//! back to any node after every close that allows it, and writes down what it was given and told.

use crate::interaction::{Deed, Interaction};
use crate::node::{Down, Socket, Up};
use crate::rooms::Rooms;
use crate::watched::{self, Device};
use crate::world::World;
use convoke_actors::ports::MeetingKey;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

const SILENCE: Duration = Duration::from_secs(25);
/// Unanswered commands at once, here; the contract allows 64.
const WINDOW: usize = 8;

pub enum Order {
    /// The socket is lost; if silently, the node does not learn of it.
    Drop { is_silent: bool },
    /// One last word, and no more commands.
    Finish,
}

pub struct Told {
    pub seq: u64,
    pub kind: String,
    pub data: Value,
}

/// What was answered to a command that makes its mark once in the log, or never.
pub struct Answer {
    pub mark: String,
    pub is_ok: bool,
    pub seq: Option<u64>,
}

#[derive(Default)]
pub struct Record {
    pub name: String,
    pub session: String,
    pub participant: Value,
    pub told: Vec<Told>,
    /// Passed over by a snapshot: from (exclusive) to (inclusive).
    pub skipped: Vec<(u64, u64)>,
    pub cursor: u64,
    /// Every mark that was ever sent.
    pub marks: Vec<String>,
    pub answers: Vec<Answer>,
    /// Answers that came at a cursor (exclusive) before the seq (inclusive) of what they did.
    pub early: Vec<(u64, u64)>,
    pub violations: Vec<String>,
    pub closed: Option<u16>,
    pub last_word: Option<String>,
    pub reconnects: u32,
    pub replays: u32,
    pub roster: Value,
    pub rooms: Rooms,
    pub interaction: Interaction,
}

impl Record {
    /// It has nothing more to wait for.
    pub fn is_done(&self) -> bool {
        let is_answered = |mark: &String| self.answers.iter().any(|answer| answer.mark == *mark);
        self.closed.is_some() || self.last_word.as_ref().is_some_and(is_answered)
    }
}

struct Pending {
    id: u64,
    frame: (&'static str, Value),
    mark: Option<String>,
    /// Which of the votes that were sent this is.
    vote: Option<usize>,
}

enum Ended {
    Lost,
    Closed(u16),
}

struct Client {
    world: Rc<World>,
    key: MeetingKey,
    number: usize,
    record: Rc<RefCell<Record>>,
    orders: mpsc::UnboundedReceiver<Order>,
    resume_token: Option<String>,
    next_id: u64,
    pending: VecDeque<Pending>,
    is_in: bool,
    is_finishing: bool,
    is_leaving: bool,
    speaks_at: Instant,
    made: u64,
    has_raised: bool,
    last_message: Option<Value>,
    device: Device,
}

pub async fn run(
    world: Rc<World>,
    key: MeetingKey,
    number: usize,
    record: Rc<RefCell<Record>>,
    orders: mpsc::UnboundedReceiver<Order>,
) {
    {
        let mut record = record.borrow_mut();
        record.name = format!("p{number}");
        record.session = world.chance.id(world.time.now()).to_string();
    }
    let mut client = Client {
        world,
        key,
        number,
        record,
        orders,
        resume_token: None,
        next_id: 1,
        pending: VecDeque::new(),
        is_in: false,
        is_finishing: false,
        is_leaving: false,
        speaks_at: Instant::now(),
        made: 0,
        has_raised: false,
        last_message: None,
        device: Device::new(),
    };
    loop {
        match client.attach().await {
            Ended::Lost => {}
            Ended::Closed(code) => {
                client.record.borrow_mut().closed = Some(code);
                return;
            }
        }
        client.is_in = false;
        sleep(client.world.chance.pause(200, 1_500)).await;
        client.record.borrow_mut().reconnects += 1;
    }
}

impl Client {
    async fn attach(&mut self) -> Ended {
        let Some(handle) = self.world.any_node() else { return Ended::Lost };
        let mut socket = handle.connect();
        self.trace(|| format!("goes to node {}", handle.link.node));
        drop(handle);
        self.greet(&socket);
        let was_resuming = self.resume_token.is_some();
        let mut heard_at = Instant::now();
        loop {
            tokio::select! {
                biased;
                order = self.orders.recv() => match order {
                    Some(Order::Drop { is_silent }) => {
                        if is_silent {
                            let _ = socket.up.send(Up::Silence);
                            self.world.limbo.borrow_mut().push(socket.up);
                        }
                        return Ended::Lost;
                    }
                    Some(Order::Finish) => {
                        self.is_finishing = true;
                        self.device.is_tame = true;
                        self.speaks_at = Instant::now();
                    }
                    None => return Ended::Lost,
                },
                down = timeout_at(heard_at + SILENCE, socket.down.recv()) => match down {
                    Ok(Some(Down::Frame(messages))) => {
                        heard_at = Instant::now();
                        self.take(messages, &socket);
                    }
                    Ok(Some(Down::Closed(code))) => {
                        let code = code.map_or(1006, convoke_domain::CloseCode::number);
                        self.trace(|| format!("is closed with {code}"));
                        // A session that ended begins anew with its join token.
                        let begins_anew = code == 4501 && was_resuming && self.resume_token.is_none();
                        if self.is_leaving && (code == 4508 || begins_anew) {
                            self.come_back();
                            return Ended::Lost;
                        }
                        let is_over = (4500..4600).contains(&code) && !begins_anew;
                        return if is_over { Ended::Closed(code) } else { Ended::Lost };
                    }
                    Ok(None) | Err(_) => return Ended::Lost,
                },
                () = sleep_until(self.device.acts_at) => self.device.act(&self.world.media, &self.world.chance),
                () = sleep_until(self.speaks_at), if self.is_in && self.pending.len() < WINDOW => self.speak(&socket),
            }
        }
    }

    /// Who has left comes back with another device; what was not answered is given up.
    fn come_back(&mut self) {
        self.is_leaving = false;
        self.resume_token = None;
        self.pending.clear();
        self.has_raised = false;
        let mut record = self.record.borrow_mut();
        record.session = self.world.chance.id(self.world.time.now()).to_string();
        if self.is_finishing && !record.is_done() {
            // The last word went with what was given up: there is another.
            self.speaks_at = Instant::now();
        }
    }

    fn greet(&self, socket: &Socket) {
        let record = self.record.borrow();
        let hello = match &self.resume_token {
            Some(token) => {
                json!({ "id": 0, "type": "resume", "data": { "resume_token": token, "seq": record.cursor } })
            }
            None => {
                let role = if self.number == 0 { "host" } else { "participant" };
                let token = json!({ "meeting": self.key.meeting, "user": record.name, "role": role }).to_string();
                json!({ "id": 0, "type": "join", "data": { "token": token, "session": record.session } })
            }
        };
        self.put(hello, socket);
    }

    fn trace(&self, what: impl FnOnce() -> String) {
        let name = || format!("{} of {}", self.record.borrow().name, self.key.meeting);
        self.world.trace(|| format!("{}: {}", name(), what()));
    }

    fn put(&self, frame: Value, socket: &Socket) {
        self.trace(|| format!("> {frame}"));
        let _ = socket.up.send(Up::Frame(frame.to_string()));
    }

    fn put_pending(&self, pending: &Pending, socket: &Socket) {
        let (kind, data) = &pending.frame;
        self.put(json!({ "id": pending.id, "type": kind, "data": data }), socket);
    }

    fn speak(&mut self, socket: &Socket) {
        let chance = self.world.chance.clone();
        self.speaks_at = Instant::now() + chance.pause(50, 1_000);
        let place = self.world.keys.iter().position(|key| *key == self.key).unwrap_or(0);
        let mark = format!("{place}.{}.{}", self.number, self.made);
        self.made += 1;
        let post = |mark: &str| ("chat.post", json!({ "to": "room", "text": mark }));
        if self.is_finishing {
            // Far away: this was the last word.
            self.speaks_at = Instant::now() + Duration::from_secs(86_400);
            self.record.borrow_mut().last_word = Some(mark.clone());
            return self.send(post(&mark), Some(mark), socket);
        }
        let me = self.record.borrow().participant.clone();
        match (chance.below(44), self.last_message.clone()) {
            (36..=39, _) if self.number == 0 => {
                let people = self.record.borrow().roster.as_array().cloned().unwrap_or_default();
                let room = self.record.borrow().rooms.any(&chance);
                let frame = watched::lead(&self.device, &room, &people, &chance);
                self.send(frame, None, socket);
            }
            (36..=40, _) => self.send(watched::take_part(&self.device, &chance), None, socket),
            (24..=26, _) if self.number == 0 => {
                let deed = self.record.borrow().interaction.lead(&mark, &chance);
                self.interact(deed, mark, socket);
            }
            (24..=33, _) => {
                let now = self.world.time.now();
                let deed = self.record.borrow().interaction.take_part(&mark, &me, now, &chance);
                self.interact(deed, mark, socket);
            }
            (0 | 1, _) => {
                self.send(("participant.rename", json!({ "participant": me, "name": mark })), Some(mark), socket)
            }
            (2 | 3, Some(message)) => {
                self.send(("chat.edit", json!({ "message": message, "text": mark })), Some(mark), socket);
            }
            (4 | 5, _) => {
                self.has_raised = !self.has_raised;
                let kind = if self.has_raised { "hand.raise" } else { "hand.lower" };
                self.send((kind, json!({})), None, socket);
            }
            (6, _) if self.number == 0 => self.promote(socket),
            (8..=11, _) if self.number == 0 => self.arrange(&mark, socket),
            (8, _) if self.number > 0 => {
                let room = self.record.borrow().rooms.any(&chance);
                self.send(("breakout.join", json!({ "room": room })), None, socket);
            }
            (9, _) if self.number > 0 => self.send(("breakout.help", json!({})), None, socket),
            (7, _) if self.number > 0 && chance.is(0.3) => {
                self.is_leaving = true;
                self.send(("leave", json!({})), None, socket);
            }
            _ => self.send(post(&mark), Some(mark), socket),
        }
    }

    /// The host makes somebody else a cohost, a participant again, or the host.
    fn promote(&mut self, socket: &Socket) {
        let (roster, me) = (self.record.borrow().roster.clone(), self.record.borrow().participant.clone());
        let others: Vec<&Value> = roster.as_array().into_iter().flatten().filter(|other| **other != me).collect();
        if others.is_empty() {
            return;
        }
        let chosen = others[self.world.chance.below(others.len())].clone();
        let role = ["cohost", "participant", "host"][self.world.chance.below(3)];
        self.send(("participant.set_role", json!({ "participant": chosen, "role": role })), None, socket);
    }

    /// The host opens rooms, or does something with those that are open.
    fn arrange(&mut self, mark: &str, socket: &Socket) {
        let roster = self.record.borrow().roster.as_array().cloned().unwrap_or_default();
        let chance = self.world.chance.clone();
        let frame = self.record.borrow().rooms.arrange(&roster, mark, &chance);
        let mark = (frame.0 == "breakout.broadcast").then(|| mark.to_owned());
        self.send(frame, mark, socket);
    }

    fn interact(&mut self, deed: Deed, mark: String, socket: &Socket) {
        match deed {
            Deed::Command(kind, data) => self.send((kind, data), None, socket),
            Deed::Marked(kind, data) => self.send((kind, data), Some(mark), socket),
            Deed::Vote(data, sent) => {
                let mut record = self.record.borrow_mut();
                record.interaction.votes.push(sent);
                let number = record.interaction.votes.len() - 1;
                drop(record);
                self.send(("poll.vote", data), None, socket);
                self.pending.back_mut().unwrap().vote = Some(number);
            }
        }
    }

    fn send(&mut self, frame: (&'static str, Value), mark: Option<String>, socket: &Socket) {
        self.record.borrow_mut().marks.extend(mark.clone());
        let pending = Pending { id: self.next_id, frame, mark, vote: None };
        self.next_id += 1;
        self.put_pending(&pending, socket);
        self.pending.push_back(pending);
    }

    fn violation(&self, what: String) {
        self.record.borrow_mut().violations.push(what);
    }

    fn take(&mut self, messages: Vec<Value>, socket: &Socket) {
        let mut is_let_in = false;
        for message in messages {
            self.trace(|| format!("< {message}"));
            self.device.hear(&message, &self.world.chance);
            match (message.get("re").and_then(Value::as_u64), message["seq"].as_u64()) {
                (Some(0), _) => is_let_in |= self.hello(&message),
                (Some(id), _) => self.answer(id, &message),
                (None, Some(seq)) => self.event(seq, message),
                (None, None) if message["type"] == "self.entered" => {
                    let mut record = self.record.borrow_mut();
                    record.rooms.enter(&message["data"]);
                    record.interaction.enter(&message["data"]);
                }
                (None, None) => {}
            }
        }
        if is_let_in {
            // What was not answered is sent again.
            self.pending.iter().for_each(|pending| self.put_pending(pending, socket));
        }
    }

    fn hello(&mut self, message: &Value) -> bool {
        let data = &message["data"];
        if message["ok"] != true {
            if message["error"]["code"] != "unavailable" {
                self.resume_token = None;
            }
            return false;
        }
        if let Some(token) = data["resume_token"].as_str() {
            self.resume_token = Some(token.to_owned());
        }
        let mut record = self.record.borrow_mut();
        if data["resumed"] == true {
            record.replays += 1;
        } else {
            let seq = data["seq"].as_u64().unwrap();
            let cursor = record.cursor;
            record.skipped.push((cursor, seq));
            record.cursor = seq;
            record.participant = data["self"]["participant"]["id"].clone();
            let people = data["participants"].as_array().unwrap();
            record.roster = people.iter().map(|person| person["id"].clone()).collect();
            record.rooms.show(data);
            record.interaction.show(data);
        }
        let last_id = data["last_id"].as_u64().unwrap_or(0);
        let mut next = last_id + 1;
        for pending in self.pending.iter_mut().filter(|pending| pending.id > last_id) {
            pending.id = next;
            next += 1;
        }
        self.next_id = next;
        self.is_in = true;
        true
    }

    fn answer(&mut self, id: u64, message: &Value) {
        let Some(place) = self.pending.iter().position(|pending| pending.id == id) else {
            return self.violation(format!("an answer to nothing that was asked: {message}"));
        };
        let pending = self.pending.remove(place).unwrap();
        let (is_ok, seq) = (message["ok"] == true, message["seq"].as_u64());
        let cursor = self.record.borrow().cursor;
        if let Some(seq) = seq.filter(|seq| *seq > cursor) {
            self.record.borrow_mut().early.push((cursor, seq));
        }
        if let Some(number) = pending.vote {
            self.record.borrow_mut().interaction.votes[number].is_ok = Some(is_ok);
        }
        if let Some(mark) = pending.mark {
            self.record.borrow_mut().answers.push(Answer { mark, is_ok, seq });
        }
    }

    fn event(&mut self, seq: u64, message: Value) {
        let kind = message["type"].as_str().unwrap_or("").to_owned();
        let cursor = self.record.borrow().cursor;
        if seq <= cursor {
            self.violation(format!("event {seq} ({kind}) came after {cursor}"));
        }
        let data = message["data"].clone();
        if kind == "chat.posted" && data["message"]["from"] == self.record.borrow().participant {
            self.last_message = Some(data["message"]["id"].clone());
        }
        let mut record = self.record.borrow_mut();
        record.rooms.event(&kind, &data);
        record.interaction.event(&kind, &data);
        record.cursor = cursor.max(seq);
        record.told.push(Told { seq, kind, data });
    }
}
