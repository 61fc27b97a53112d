//! Somebody at a board, done by hand: what is drawn, sent, and seen is what the test says. It reads by itself,
//! as a browser does, and does not come back by itself.

use super::Way;
use convoke_loadtest::board::door::{Socket, split};
use convoke_loadtest::board::wire::{Dialect, Frame};
use convoke_loadtest::board::{ELEMENTS, Made, Shown};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::{Error, Message};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Doc, Map, ReadTxn, StateVector, Transact, Update, any};

/// No test waits for less than this; a machine may be busy with others.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What somebody has, and was told.
pub struct Seen {
    doc: Doc,
    pub is_synced: bool,
    /// All that was shown to this one.
    pub shown: Made,
    /// Updates that were shown one by one.
    pub updates: usize,
    pub closed: Option<u16>,
}

impl Seen {
    pub fn shows(&self) -> Shown {
        Shown::of(&self.doc)
    }

    /// What each element says.
    pub fn elements(&self) -> BTreeMap<String, String> {
        let Any::Map(elements) = self.shows().elements else { return BTreeMap::new() };
        let said = |element: &Any| match element {
            Any::Map(parts) => parts.get("says").map_or_else(String::new, ToString::to_string),
            other => other.to_string(),
        };
        elements.iter().map(|(key, element)| (key.clone(), said(element))).collect()
    }

    pub fn has(&self, key: &str) -> bool {
        self.elements().contains_key(key)
    }

    /// As the client in JavaScript tells it.
    pub fn document(&self) -> Value {
        let shown = self.shows();
        let vector: BTreeMap<String, u32> =
            shown.state.iter().map(|(client, clock)| (client.get().to_string(), *clock)).collect();
        let deleted: BTreeMap<String, Vec<[u32; 2]>> = shown
            .deleted
            .iter()
            .map(|(client, ranges)| (client.get().to_string(), ranges.iter().map(|one| [one.start, one.end]).collect()))
            .collect();
        json!({ "elements": shown.elements, "vector": vector, "deleted": deleted, "pending": false })
    }

    fn take(&mut self, frame: Frame<'_>) -> Option<Vec<u8>> {
        match frame {
            Frame::First(theirs) => {
                let theirs = StateVector::decode_v1(theirs).unwrap();
                return Some(self.doc.transact().encode_state_as_update_v1(&theirs));
            }
            Frame::Second(update) => {
                self.apply(update);
                self.is_synced = true;
            }
            Frame::Update(update) => {
                self.updates += 1;
                self.apply(update);
            }
            Frame::Awareness(_) | Frame::Query | Frame::Denied(_) | Frame::Other(_) => {}
        }
        None
    }

    fn apply(&mut self, update: &[u8]) {
        let update = Update::decode_v1(update).unwrap();
        self.shown.add(&update);
        self.doc.transact_mut().apply_update(update).unwrap();
    }
}

pub struct Painter {
    seen: Arc<Mutex<Seen>>,
    changed: watch::Receiver<u64>,
    sender: mpsc::UnboundedSender<Message>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Painter {
    /// Comes with nothing, and waits until it has been brought up to date.
    pub async fn new(way: &Way) -> Self {
        let painter = Self::with(Doc::with_client_id(u64::from(rand::random::<u32>())), way).await.unwrap();
        painter.until("to be up to date", |seen| seen.is_synced.then_some(())).await;
        painter
    }

    /// Comes with what another had; the status, where nobody is let in.
    pub async fn with(doc: Doc, way: &Way) -> Result<Self, u16> {
        let socket = match way.address().connect().await {
            Ok(socket) => socket,
            Err(error) => match error.downcast_ref::<Error>() {
                Some(Error::Http(response)) => return Err(response.status().as_u16()),
                _ => panic!("{error}"),
            },
        };
        Ok(Self::on(doc, socket))
    }

    fn on(doc: Doc, socket: Socket) -> Self {
        let (sender, source, writer) = split(socket);
        let state = doc.transact().state_vector().encode_v1();
        let seen = Seen { doc, is_synced: false, shown: Made::default(), updates: 0, closed: None };
        let seen = Arc::new(Mutex::new(seen));
        let (change, changed) = watch::channel(0);
        sender.send(Message::binary(Dialect::default().write(&Frame::First(&state)))).unwrap();
        let reader = tokio::spawn(read(source, Arc::clone(&seen), sender.clone(), change));
        Self { seen, changed, sender, tasks: [reader, writer] }
    }

    /// With all that it has, and no more than one socket at a time.
    pub async fn again(self, way: &Way) -> Result<Self, u16> {
        let doc = self.seen().doc.clone();
        drop(self);
        Self::with(doc, way).await
    }

    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }

    /// What the document becomes, and the update that it takes; it is not sent.
    pub fn paints(&self, key: &str, says: &str) -> Vec<u8> {
        let seen = self.seen();
        let elements = seen.doc.get_or_insert_map(ELEMENTS);
        let mut writing = seen.doc.transact_mut();
        elements.insert(&mut writing, key, any!({ "id": key, "says": says }));
        writing.encode_update_v1()
    }

    pub fn draws(&self, key: &str, says: &str) {
        self.sends(&self.paints(key, says));
    }

    pub fn erases(&self, key: &str) {
        let update = {
            let seen = self.seen();
            let elements = seen.doc.get_or_insert_map(ELEMENTS);
            let mut writing = seen.doc.transact_mut();
            elements.remove(&mut writing, key);
            writing.encode_update_v1()
        };
        self.sends(&update);
    }

    pub fn sends(&self, update: &[u8]) {
        self.raw(Message::binary(Dialect::default().write(&Frame::Update(update))));
    }

    /// A message as it is. Whoever has gone says nothing.
    pub fn raw(&self, message: Message) {
        let _ = self.sender.send(message);
    }

    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&Seen) -> Option<T>) -> T {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look(&self.seen()) {
                    return found;
                }
                if changed.changed().await.is_err() {
                    let closed = self.seen().closed;
                    return look(&self.seen()).unwrap_or_else(|| panic!("closed with {closed:?} before {what}"));
                }
            }
        };
        tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
    }

    pub async fn sees(&self, key: &str) {
        self.until(&format!("element {key}"), |seen| seen.has(key).then_some(())).await;
    }

    pub async fn closed(&self) -> u16 {
        self.until("a close", |seen| seen.closed).await
    }
}

impl Drop for Painter {
    /// Without a word, as when a network is gone.
    fn drop(&mut self) {
        self.tasks.iter().for_each(tokio::task::JoinHandle::abort);
    }
}

async fn read(
    mut source: SplitStream<Socket>,
    seen: Arc<Mutex<Seen>>,
    sender: mpsc::UnboundedSender<Message>,
    change: watch::Sender<u64>,
) {
    loop {
        let closed = match source.next().await {
            Some(Ok(Message::Binary(bytes))) => {
                let answer = seen.lock().unwrap().take(Dialect::default().read(&bytes).unwrap());
                if let Some(update) = answer {
                    let _ = sender.send(Message::binary(Dialect::default().write(&Frame::Second(&update))));
                }
                None
            }
            Some(Ok(Message::Close(frame))) => Some(frame.map_or(1005, |frame| u16::from(frame.code))),
            Some(Ok(_)) => None,
            // Lost without a word.
            Some(Err(_)) | None => Some(1006),
        };
        if closed.is_some() {
            seen.lock().unwrap().closed = closed;
            return;
        }
        change.send_modify(|count| *count += 1);
    }
}
