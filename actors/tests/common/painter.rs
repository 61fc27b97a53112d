//! A client of a board: a document of Yjs and a socket, as an editor has them.

use super::{Socket, World};
use bytes::Bytes;
use convoke_actors::meeting::ToMeeting;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::MeetingKey;
use convoke_actors::release::SocketId;
use convoke_actors::supervisor::Meetings;
use convoke_actors::whiteboard::hub::BoardHubHandle;
use convoke_actors::whiteboard::protocol::{self, Message, Presence};
use convoke_actors::whiteboard::words::{AskBoard, Visit};
use convoke_domain::shapes::Role;
use convoke_domain::{CloseCode, ParticipantId, Rejection, SessionId, WhiteboardId};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::time::Duration;
use uuid::Uuid;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Doc, Map, ReadTxn, StateVector, Transact, Update};

/// How long a test waits, by the paused clock.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Painter {
    pub doc: Doc,
    pub outlet: Outlet,
    pub socket: SocketId,
    pub board: WhiteboardId,
    pub session: SessionId,
    participant: ParticipantId,
    key: MeetingKey,
    meetings: Meetings,
    hub: BoardHubHandle,
    /// The parts of a message that is not whole yet.
    partial: Vec<u8>,
    pub closed: Option<u16>,
    /// Updates that were shown, in order.
    pub shown: Vec<Bytes>,
    pub cursors: BTreeMap<u64, String>,
    /// Why it was sent away, if it was told.
    pub denied: Option<String>,
    pub is_synced: bool,
    /// How often it was given what it lacks.
    pub synced: u32,
    /// It says only what the test has it say.
    pub is_mute: bool,
}

impl Socket {
    /// Makes a board.
    pub async fn board(&mut self, data: Value) -> WhiteboardId {
        let id = self.command("whiteboard.create", data).await;
        self.answer(id).await;
        let made = self.heard.iter().rev().find(|message| message["type"] == "whiteboard.created").unwrap();
        made["data"]["whiteboard"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Asks for something, and waits until it is answered.
    pub async fn ask(&mut self, kind: &str, data: Value) -> Value {
        let id = self.command(kind, data).await;
        self.answer(id).await
    }

    pub fn participant(&self) -> ParticipantId {
        self.id().as_str().unwrap().parse().unwrap()
    }

    pub fn session_id(&self) -> SessionId {
        let token: Value = serde_json::from_str(&self.resume_token()).unwrap();
        serde_json::from_value(token["session"].clone()).unwrap()
    }
}

impl World {
    /// A host, and a board that they made.
    pub async fn with_board(&self) -> (Socket, WhiteboardId) {
        let mut host = self.join("ada", Role::Host).await;
        let board = host.board(json!({ "name": "Plan" })).await;
        (host, board)
    }

    /// Comes to a board as somebody who is in the meeting.
    pub async fn painter(&self, board: WhiteboardId, socket: &Socket, client: u64) -> Painter {
        let mut painter = self.easel(board, socket, client);
        painter.come().await.unwrap();
        painter.until(|painter| painter.is_synced || painter.closed.is_some()).await;
        painter
    }

    /// Somebody who has not come yet.
    pub fn easel(&self, board: WhiteboardId, socket: &Socket, client: u64) -> Painter {
        Painter {
            doc: Doc::with_client_id(client),
            outlet: Outlet::new(Bounds::default()),
            socket: SocketId(Uuid::now_v7()),
            board,
            session: socket.session_id(),
            participant: socket.participant(),
            key: self.key.clone(),
            meetings: self.meetings.clone(),
            hub: self.board_hub.clone(),
            partial: Vec::new(),
            closed: None,
            shown: Vec::new(),
            cursors: BTreeMap::new(),
            denied: None,
            is_synced: false,
            synced: 0,
            is_mute: false,
        }
    }
}

impl Painter {
    async fn come(&mut self) -> Result<(), Rejection> {
        self.hub.register(&self.key, self.board, self.socket, self.outlet.clone());
        self.outlet.greet();
        let visit = Visit {
            board: self.board,
            socket: self.socket,
            session: self.session,
            participant: self.participant,
            desk: self.hub.desk(),
        };
        self.meetings.send(&self.key, ToMeeting::Visit(visit)).await
    }

    /// Its socket is gone, and it comes by another, with all that it has.
    pub async fn comes_again(&mut self) -> Result<(), Rejection> {
        self.goes().await;
        self.outlet = Outlet::new(Bounds::default());
        self.socket = SocketId(Uuid::now_v7());
        (self.closed, self.is_synced, self.denied) = (None, false, None);
        self.partial.clear();
        self.come().await?;
        self.until(|painter| {
            painter.is_synced || painter.closed.is_some() || (painter.is_mute && painter.outlet.has_begun())
        })
        .await;
        Ok(())
    }

    pub async fn goes(&mut self) {
        self.hub.unregister(self.board, self.socket);
        self.outlet.hang_up();
        let _ = self.meetings.ask_board(&self.key, self.board, AskBoard::Gone { socket: self.socket }).await;
    }

    pub async fn says(&self, frame: Bytes) -> Result<(), Rejection> {
        let ask = AskBoard::Frames { socket: self.socket, frames: vec![frame] };
        self.meetings.ask_board(&self.key, self.board, ask).await
    }

    /// As [`Self::says`], and does not wait until it was taken.
    pub fn sends(&self, frame: Bytes) {
        let ask = AskBoard::Frames { socket: self.socket, frames: vec![frame] };
        let (meetings, key, board) = (self.meetings.clone(), self.key.clone(), self.board);
        actix::spawn(async move { drop(meetings.ask_board(&key, board, ask).await) });
    }

    pub fn meetings(&self) -> Meetings {
        self.meetings.clone()
    }

    pub fn key(&self) -> MeetingKey {
        self.key.clone()
    }

    pub fn paints(&self, key: &str, value: impl Into<Any>) -> Bytes {
        let elements = self.doc.get_or_insert_map("elements");
        let mut txn = self.doc.transact_mut();
        elements.insert(&mut txn, key, value.into());
        txn.encode_update_v1().into()
    }

    /// Draws, and says so.
    pub async fn draws(&self, key: &str, value: impl Into<Any>) -> Bytes {
        let update = self.paints(key, value);
        self.says(protocol::update(&update)).await.unwrap();
        update
    }

    pub async fn points(&self, client: u64, clock: u32, state: &str) {
        let cursor = Presence { client, clock, state: state.to_owned() };
        self.says(protocol::cursors([&cursor].into_iter())).await.unwrap();
    }

    pub fn sees(&self) -> BTreeMap<String, Any> {
        let txn = self.doc.transact();
        let Some(elements) = txn.get_map("elements") else { return BTreeMap::new() };
        let json = |value: yrs::Out| yrs::types::ToJson::to_json(&value, &txn);
        elements.iter(&txn).map(|(key, value)| (key.to_owned(), json(value))).collect()
    }

    /// Handles what it is given until this holds.
    pub async fn until(&mut self, done: impl Fn(&Self) -> bool) {
        let waiting = async {
            while !done(self) {
                self.next().await;
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.expect("it does not come to that");
    }

    pub async fn until_closed(&mut self, code: CloseCode) {
        self.until(|painter| painter.closed.is_some()).await;
        assert_eq!(self.closed, Some(code.number()), "{:?}", self.denied);
    }

    /// Handles whatever comes within so long.
    pub async fn hears_for(&mut self, most: Duration) {
        let _ = tokio::time::timeout(most, async {
            loop {
                self.next().await;
            }
        })
        .await;
    }

    async fn next(&mut self) {
        let outlet = self.outlet.clone();
        let Some(mut bytes) = poll_fn(|cx| outlet.poll_next(cx)).await else {
            return std::future::pending().await;
        };
        // A part of a message that is cut comes behind its header.
        let length = match bytes[1] & 0x7F {
            126 => 4 + usize::from(u16::from_be_bytes([bytes[2], bytes[3]])),
            127 => 10 + usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(),
            short => 2 + usize::from(short),
        };
        if bytes.len() < length {
            let rest = poll_fn(|cx| outlet.poll_next(cx)).await.unwrap();
            bytes = [bytes, rest].concat().into();
        }
        assert_eq!(bytes.len(), length, "one frame");
        let head = if length >= 65_536 + 10 {
            10
        } else if length >= 126 + 4 {
            4
        } else {
            2
        };
        let payload = &bytes[head..];
        match bytes[0] & 0x0F {
            0x8 => self.closed = Some(u16::from_be_bytes([payload[0], payload[1]])),
            0x9 => self.outlet.heard_pong(payload),
            _ => {
                self.partial.extend_from_slice(payload);
                if bytes[0] & 0x80 != 0 {
                    let message = Bytes::from(std::mem::take(&mut self.partial));
                    self.handle(message).await;
                }
            }
        }
    }

    async fn handle(&mut self, frame: Bytes) {
        if frame.first() == Some(&2) {
            self.denied = Some(String::from_utf8_lossy(&frame[2..]).into_owned());
            return;
        }
        if self.is_mute {
            return;
        }
        for message in protocol::read(&frame).unwrap() {
            match message {
                Message::Step1(theirs) => {
                    let (ours, missing) = {
                        let txn = self.doc.transact();
                        (txn.state_vector().encode_v1(), txn.encode_state_as_update_v1(&theirs))
                    };
                    let _ = self.says(protocol::step_1(&ours)).await;
                    let _ = self.says(protocol::step_2(&missing)).await;
                }
                Message::Step2(update) => {
                    self.apply(&update);
                    self.is_synced = true;
                    self.synced += 1;
                }
                Message::Update(update) => {
                    self.apply(&update);
                    self.shown.push(update);
                }
                Message::Awareness(cursors) => {
                    for Presence { client, state, .. } in cursors {
                        match state.as_str() {
                            "null" => self.cursors.remove(&client),
                            _ => self.cursors.insert(client, state),
                        };
                    }
                }
                Message::QueryAwareness => {}
            }
        }
    }

    fn apply(&self, update: &[u8]) {
        self.doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
    }

    pub fn vector(&self) -> StateVector {
        self.doc.transact().state_vector()
    }
}
