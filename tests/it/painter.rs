//! A client of a whiteboard: a document of Yjs and a socket, as an editor has them.

use crate::ok;
use bytes::Bytes;
use convoke_actors::whiteboard::protocol::{self, Message as Said};
use convoke_loadtest::client::Client;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};
use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any, Doc, Map, ReadTxn, Transact, Update};

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Painter {
    doc: Doc,
    /// What it was shown, and nothing else: what stands here is kept.
    shown: Doc,
    socket: WebSocketStream<TcpStream>,
    /// Whether it was told that it may draw.
    pub is_writable: bool,
}

fn elements(doc: &Doc) -> BTreeMap<String, Value> {
    let txn = doc.transact();
    let Some(elements) = txn.get_map("elements") else { return BTreeMap::new() };
    let json = |value: yrs::Out| serde_json::to_value(value.to_json(&txn)).unwrap();
    elements.iter(&txn).map(|(key, value)| (key.to_owned(), json(value))).collect()
}

impl Painter {
    /// Comes to a board by the way that the meeting tells, and waits until it has what is there.
    pub async fn comes(client: &Client, board: &str) -> Self {
        let answer = ok(client, "whiteboard.open", json!({ "whiteboard": board })).await;
        let way = &answer["data"];
        let (url, token) = (way["url"].as_str().unwrap(), way["token"].as_str().unwrap());
        let host = url.split("://").nth(1).unwrap().split('/').next().unwrap();
        let stream = TcpStream::connect(host).await.unwrap();
        let (socket, _) = client_async(format!("{url}?token={token}"), stream).await.unwrap();
        let is_writable = way["writable"] == json!(true);
        let mut painter = Self { doc: Doc::new(), shown: Doc::new(), socket, is_writable };
        let vector = painter.doc.transact().state_vector().encode_v1();
        painter.say(protocol::step_1(&vector)).await;
        while !painter.hear().await {}
        painter
    }

    async fn say(&mut self, frame: Bytes) {
        self.socket.send(Message::Binary(frame)).await.unwrap();
    }

    /// Takes what comes next. True: it was the rest of what it asked for.
    async fn hear(&mut self) -> bool {
        let frame = loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.unwrap();
            match message.unwrap().unwrap() {
                Message::Binary(frame) => break frame,
                Message::Close(frame) => panic!("the board was closed: {frame:?}"),
                _ => {}
            }
        };
        let mut is_rest = false;
        for said in protocol::read(&frame).unwrap() {
            let (Said::Step2(update) | Said::Update(update)) = &said else { continue };
            for doc in [&self.doc, &self.shown] {
                doc.transact_mut().apply_update(Update::decode_v1(update).unwrap()).unwrap();
            }
            is_rest |= matches!(said, Said::Step2(_));
        }
        is_rest
    }

    /// What it sees, of that which is kept.
    pub fn sees(&self) -> BTreeMap<String, Value> {
        elements(&self.shown)
    }

    pub async fn until(&mut self, is_so: impl Fn(&BTreeMap<String, Value>) -> bool) {
        while !is_so(&self.sees()) {
            self.hear().await;
        }
    }

    /// Draws an element, and waits until it is shown back: then it is kept.
    pub async fn draws(&mut self, id: &str, element: Value) {
        let update = {
            let elements = self.doc.get_or_insert_map("elements");
            let mut txn = self.doc.transact_mut();
            elements.insert(&mut txn, id, Any::from_json(&element.to_string()).unwrap());
            txn.encode_update_v1()
        };
        self.say(protocol::update(&update)).await;
        self.until(|shown| shown.contains_key(id)).await;
    }
}

/// An element of a board.
pub fn text(id: &str, index: &str, words: &str) -> Value {
    json!({ "id": id, "type": "text", "index": index, "x": 10, "y": 20, "width": 200, "height": 25,
        "text": words, "fontSize": 20, "strokeColor": "#1e1e1e" })
}
