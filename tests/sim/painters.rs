//! Everybody draws on their meeting's board, beside whatever else they do: while they are connected and while
//! they are not. What a board showed anybody is never missing afterwards, and in the end all see the same.

use crate::node::Brush;
use crate::world::World;
use crate::{client, database};
use bytes::Bytes;
use convoke_actors::node::Node;
use convoke_actors::ports::{MeetingKey, Ticket};
use convoke_actors::whiteboard::deep::Place;
use convoke_actors::whiteboard::document::Document;
use convoke_actors::whiteboard::protocol::{self, Message};
use convoke_domain::whiteboard::CreateWhiteboard;
use convoke_domain::{By, Command, WhiteboardId};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Doc, Map, ReadTxn, StateVector, Transact, Update};

/// Things on one board.
const THINGS: usize = 12;
/// A client of Yjs that hears nothing for so long connects again.
const SILENCE: Duration = Duration::from_secs(30);
/// Updates before a state takes the place of a log.
pub const TAIL: usize = 25;

pub enum Up {
    Frame(Bytes),
}

pub enum Down {
    Message(Bytes),
    Closed(Option<u16>),
}

/// A socket of a board, as its client has it.
pub struct Easel {
    pub up: mpsc::UnboundedSender<Up>,
    pub down: mpsc::UnboundedReceiver<Down>,
}

/// What somebody drew and saw.
pub struct Canvas {
    /// What they have.
    pub own: Doc,
    /// What they were shown, and nothing else.
    pub shown: Doc,
    pub board: Option<WhiteboardId>,
    pub is_synced: bool,
    pub is_shut_out: bool,
    pub drawn: u32,
    pub violations: Vec<String>,
}

impl Canvas {
    pub fn new(client: u64) -> Self {
        Self {
            own: Doc::with_client_id(client),
            shown: Doc::with_client_id(1),
            board: None,
            is_synced: false,
            is_shut_out: false,
            drawn: 0,
            violations: Vec::new(),
        }
    }
}

pub fn sees(doc: &Doc) -> BTreeMap<String, Any> {
    let txn = doc.transact();
    let Some(elements) = txn.get_map("elements") else { return BTreeMap::new() };
    elements.iter(&txn).map(|(key, value)| (key.to_owned(), yrs::types::ToJson::to_json(&value, &txn))).collect()
}

fn apply(doc: &Doc, update: &[u8]) {
    doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
}

/// Makes the board of a meeting; none, if the meeting is over before.
pub async fn make_board(world: &Rc<World>, key: &MeetingKey) {
    loop {
        if world.board_of(key).is_some() {
            return;
        }
        if let Some(handle) = world.any_node() {
            let key = key.clone();
            let wanted = CreateWhiteboard { name: "Board".to_owned(), ..CreateWhiteboard::default() };
            let make = |meetings| async move {
                Node::new(meetings).command(&key, By::Operator, Command::CreateWhiteboard(wanted)).await
            };
            let _ = handle.run(make).await;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

pub async fn run(world: Rc<World>, key: MeetingKey, record: Rc<RefCell<client::Record>>, canvas: Rc<RefCell<Canvas>>) {
    let mut draws_at = Instant::now();
    loop {
        sleep(world.chance.pause(50, 800)).await;
        if record.borrow().closed.is_some() {
            return;
        }
        let (board, ticket) = {
            let record = record.borrow();
            let participant = serde_json::from_value(record.participant.clone()).ok();
            let session = record.session.parse().ok();
            (world.board_of(&key), participant.zip(session))
        };
        let (Some(board), Some((participant, session))) = (board, ticket) else { continue };
        canvas.borrow_mut().board = Some(board);
        let Some(handle) = world.any_node() else { continue };
        let ticket = Ticket { key: key.clone(), session, participant };
        let mut easel = handle.paint(Brush { board, ticket });
        drop(handle);
        canvas.borrow_mut().is_shut_out = false;
        let code = serve(&world, &mut easel, &canvas, &mut draws_at).await;
        let mut canvas = canvas.borrow_mut();
        canvas.is_synced = false;
        match code {
            // They are in another room, or their session is over and they come again with another.
            Some(4501..=4503 | 4505 | 4508) => canvas.is_shut_out = true,
            Some(4504) => return,
            Some(code @ 4500..) => canvas.violations.push(format!("the board was closed with {code}")),
            _ => {}
        }
    }
}

/// One connection, until it ends; how it was closed.
async fn serve(world: &World, easel: &mut Easel, canvas: &RefCell<Canvas>, draws_at: &mut Instant) -> Option<u16> {
    let mut heard_at = Instant::now();
    loop {
        tokio::select! {
            biased;
            down = timeout_at(heard_at + SILENCE, easel.down.recv()) => match down {
                Ok(Some(Down::Message(message))) => {
                    heard_at = Instant::now();
                    canvas.borrow_mut().hear(&message, easel);
                }
                Ok(Some(Down::Closed(code))) => return code,
                Ok(None) | Err(_) => return None,
            },
            () = sleep_until(*draws_at), if world.time.elapsed_ms() < world.plan.span_ms => {
                *draws_at = Instant::now() + world.chance.pause(100, 1_500);
                let (thing, is_gone) = (world.chance.below(THINGS), world.chance.is(0.2));
                let update = canvas.borrow_mut().draw(thing, is_gone);
                // Now and then the connection ends before what was drawn is away.
                if world.chance.is(0.03) {
                    return None;
                }
                let _ = easel.up.send(Up::Frame(protocol::update(&update)));
            }
        }
    }
}

impl Canvas {
    fn draw(&mut self, thing: usize, is_gone: bool) -> Bytes {
        self.drawn += 1;
        let elements = self.own.get_or_insert_map("elements");
        let mut txn = self.own.transact_mut();
        if is_gone {
            elements.remove(&mut txn, &format!("e{thing}"));
        } else {
            elements.insert(&mut txn, format!("e{thing}"), i64::from(self.drawn));
        }
        txn.encode_update_v1().into()
    }

    fn hear(&mut self, frame: &Bytes, easel: &Easel) {
        if frame.first() == Some(&2) {
            return self.violations.push(format!("denied: {}", String::from_utf8_lossy(&frame[2..])));
        }
        for message in protocol::read(frame).unwrap() {
            match message {
                Message::Step1(theirs) => {
                    // Whatever it showed, it has.
                    let shown = self.shown.transact().state_vector();
                    if let Some((client, clock)) = shown.iter().find(|(client, clock)| theirs.get(client) < **clock) {
                        let has = theirs.get(client);
                        self.violations.push(format!("of {client} it showed {clock}, and has {has}"));
                    }
                    let txn = self.own.transact();
                    let ours = protocol::step_1(&txn.state_vector().encode_v1());
                    let rest = protocol::step_2(&txn.encode_state_as_update_v1(&theirs));
                    let _ = easel.up.send(Up::Frame(ours));
                    let _ = easel.up.send(Up::Frame(rest));
                }
                Message::Step2(update) => {
                    apply(&self.own, &update);
                    apply(&self.shown, &update);
                    self.is_synced = true;
                }
                Message::Update(update) => {
                    apply(&self.own, &update);
                    apply(&self.shown, &update);
                }
                Message::Awareness(_) | Message::QueryAwareness => {}
            }
        }
    }
}

/// What does not hold of a board when everything is quiet.
pub fn violations(
    tables: &mut database::Tables,
    key: &MeetingKey,
    canvases: &[Rc<RefCell<Canvas>>],
    say: &mut impl FnMut(String),
) {
    let Some(board) = canvases.iter().find_map(|canvas| canvas.borrow().board) else { return };
    let Ok(log) = tables.boards.log(key, board) else { return say("the board has no log".to_owned()) };
    let kept = Doc::with_client_id(2);
    let document = futures_util::FutureExt::now_or_never(Document::load(log, Place::Here)).unwrap();
    let mut document = match document {
        Ok(document) => document,
        Err(error) => return say(format!("the board cannot be read: {error}")),
    };
    for message in document.since(&StateVector::default()).unwrap() {
        for message in protocol::read(&message).unwrap() {
            let (Message::Step2(update) | Message::Update(update)) = message else { continue };
            apply(&kept, &update);
        }
    }
    let vector = kept.transact().state_vector();
    for (number, canvas) in canvases.iter().enumerate() {
        let canvas = canvas.borrow();
        canvas.violations.iter().for_each(|what| say(format!("p{number} at the board: {what}")));
        let shown = canvas.shown.transact().state_vector();
        if let Some((client, _)) = shown.iter().find(|(client, clock)| vector.get(client) < **clock) {
            say(format!("p{number} was shown what {client} drew, and it is not kept"));
        }
        if !canvas.is_synced {
            continue;
        }
        if canvas.own.transact().state_vector() != vector || sees(&canvas.own) != sees(&kept) {
            let own = canvas.own.transact().state_vector();
            say(format!("p{number} sees {:?} {own:?}, and {:?} {vector:?} is kept", sees(&canvas.own), sees(&kept)));
        }
    }
}
