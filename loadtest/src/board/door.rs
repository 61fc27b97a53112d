//! The way in to a board: straight to an address, or through the meeting, which gives a token.

use super::wire::Dialect;
use crate::client::Client;
use crate::rest::Failure;
use futures_util::stream::SplitStream;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

pub type Socket = WebSocketStream<TcpStream>;

/// After so many tries at a server that nobody answers at, the meeting is asked for the way again.
const TRIES: u32 = 3;

/// A board of twenty thousand shapes comes in one message.
const LARGEST: usize = 256 << 20;

#[derive(Clone, Debug)]
pub struct Address {
    /// `host:port`.
    pub host: String,
    /// Path and query, with the slash.
    pub target: String,
    pub dialect: Dialect,
    /// Whether there is a document at the other end, and not a relay of frames.
    pub has_document: bool,
}

impl Address {
    /// `ws://host:port/room`, of a server that speaks y-websocket's protocol.
    pub fn parse(url: &str) -> Result<Self, Failure> {
        let rest = url.strip_prefix("ws://").ok_or("an address begins with ws://")?;
        let (host, room) = rest.split_once('/').ok_or("an address is written ws://host:port/room")?;
        Ok(Self { host: host.to_owned(), target: format!("/{room}"), dialect: Dialect::default(), has_document: true })
    }

    pub async fn connect(&self) -> Result<Socket, Failure> {
        let stream = TcpStream::connect(&self.host).await?;
        stream.set_nodelay(true)?;
        let request = format!("ws://{}{}", self.host, self.target).into_client_request()?;
        let config = WebSocketConfig::default()
            .read_buffer_size(16 * 1024)
            .write_buffer_size(0)
            .max_message_size(Some(LARGEST))
            .max_frame_size(Some(LARGEST));
        Ok(client_async_with_config(request, stream, Some(config)).await?.0)
    }
}

type Halves = (mpsc::UnboundedSender<Message>, SplitStream<Socket>, tokio::task::JoinHandle<()>);

/// Writes from a task of its own, so that a server that reads slowly is still read from.
pub fn split(socket: Socket) -> Halves {
    let (mut sink, source) = socket.split();
    let (sender, mut queue) = mpsc::unbounded_channel();
    let writer = tokio::spawn(async move {
        while let Some(message) = queue.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    });
    (sender, source, writer)
}

pub enum Door {
    Straight(Address),
    Meeting {
        /// Somebody who is in the meeting; a token is good as long as they are.
        client: Client,
        board: String,
        held: Option<Address>,
        /// Tries in vain since the way was told.
        tries: u32,
    },
}

impl Door {
    pub fn of(client: Client, board: &str) -> Self {
        Self::Meeting { client, board: board.to_owned(), held: None, tries: 0 }
    }

    /// A token is used again until it is refused, as providers do.
    pub async fn address(&mut self) -> Result<Address, Failure> {
        match self {
            Self::Straight(address) => Ok(address.clone()),
            Self::Meeting { held: Some(address), .. } => Ok(address.clone()),
            Self::Meeting { client, board, held, tries } => {
                *tries = 0;
                let answer = client.ask("whiteboard.open", json!({ "whiteboard": board })).await?;
                let told = |name: &str| answer.get("data").and_then(|data| data.get(name));
                let (Some(url), Some(token)) =
                    (told("url").and_then(Value::as_str), told("token").and_then(Value::as_str))
                else {
                    return Err(format!("the board was not opened: {answer}").into());
                };
                if told("writable") == Some(&json!(false)) {
                    return Err("the board may not be written to".into());
                }
                let mut address = Address::parse(url)?;
                address.target.push_str(&format!("?token={token}"));
                *held = Some(address.clone());
                Ok(address)
            }
        }
    }

    /// Nobody answered. The node may be gone, and the meeting with another.
    pub fn unanswered(&mut self) {
        if let Self::Meeting { held, tries, .. } = self {
            *tries += 1;
            if *tries >= TRIES {
                *held = None;
            }
        }
    }

    /// The token was refused; the next is another.
    pub fn refused(&mut self) {
        if let Self::Meeting { held, .. } = self {
            *held = None;
        }
    }
}

/// Makes a board in the meeting that somebody is in.
pub async fn make_board(client: &Client, name: &str) -> Result<String, Failure> {
    let answer = client.ask("whiteboard.create", json!({ "name": name })).await?;
    if answer.get("ok") != Some(&json!(true)) {
        return Err(format!("a board was not made: {answer}").into());
    }
    let named = |data: &Value| {
        let board = data.get("whiteboard").filter(|board| board.get("name") == Some(&json!(name)))?;
        board.get("id").and_then(Value::as_str).map(ToOwned::to_owned)
    };
    client
        .until("the board", |record| {
            let mut made = record.heard.iter().filter(|heard| heard.kind == "whiteboard.created");
            made.find_map(|heard| named(&heard.data))
        })
        .await
}
