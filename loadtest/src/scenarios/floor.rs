//! The floor: the least that a server can do with a message is to send it to everybody in the
//! room. A plain broadcaster, as a process of its own, so that its CPU can be read like the
//! server's. With a file it does the least that a server can do that loses nothing: it sends a
//! message when that is in the file, and the disk has said so.

use convoke_loadtest::rest::Failure;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::fs::File;
use std::io::{Seek, Write};
use std::path::PathBuf;
use std::sync::mpsc as channel;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

type Rooms = Arc<Mutex<HashMap<String, Vec<mpsc::UnboundedSender<Message>>>>>;

/// The file has its whole length from the start, and is written over and over: a sync is then one write.
const FILE_BYTES: u64 = 32 << 20;

/// What is kept before it is sent: the room and the message.
type Keeping = Option<channel::Sender<(String, Message)>>;

#[derive(clap::Args)]
pub struct Arguments {
    /// Write each message to this file, and sync it, before it is sent
    #[arg(long)]
    keep: Option<PathBuf>,
}

/// Prints its port, and serves until it is killed.
pub async fn serve(arguments: &Arguments) -> Result<bool, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let rooms = Rooms::default();
    let keeping = arguments.keep.as_ref().map(|path| keep(path, Arc::clone(&rooms))).transpose()?;
    loop {
        let (stream, _) = listener.accept().await?;
        let (rooms, keeping) = (Arc::clone(&rooms), keeping.clone());
        tokio::spawn(async move {
            let _ = relay(stream, rooms, keeping).await;
        });
    }
}

/// A thread that writes what has come, syncs, and sends it.
fn keep(path: &PathBuf, rooms: Rooms) -> Result<channel::Sender<(String, Message)>, Failure> {
    let mut file = File::create(path)?;
    file.write_all(&vec![0; usize::try_from(FILE_BYTES)?])?;
    file.sync_all()?;
    file.rewind()?;
    let (sender, receiver) = channel::channel::<(String, Message)>();
    std::thread::spawn(move || -> std::io::Result<()> {
        let mut at = 0;
        while let Ok(first) = receiver.recv() {
            let batch: Vec<_> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let bytes: Vec<u8> = batch.iter().flat_map(|(_, message)| message.clone().into_data()).collect();
            at += bytes.len() as u64;
            if at > FILE_BYTES {
                file.rewind()?;
                at = bytes.len() as u64;
            }
            file.write_all(&bytes)?;
            file.sync_data()?;
            batch.into_iter().for_each(|(room, message)| send(&rooms, &room, &message));
        }
        Ok(())
    });
    Ok(sender)
}

fn send(rooms: &Rooms, room: &str, message: &Message) {
    let rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
    for peer in rooms.get(room).into_iter().flatten() {
        let _ = peer.send(message.clone());
    }
}

async fn relay(stream: TcpStream, rooms: Rooms, keeping: Keeping) -> Result<(), Failure> {
    stream.set_nodelay(true)?;
    let mut room = String::new();
    #[allow(clippy::result_large_err)] // the library's own signature
    let look = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut room);
        Ok(response)
    };
    let socket = accept_hdr_async(stream, look).await?;
    let (mut sink, mut source) = socket.split();
    let (sender, mut receiver) = mpsc::unbounded_channel();
    rooms.lock().unwrap_or_else(PoisonError::into_inner).entry(room.clone()).or_default().push(sender);
    tokio::spawn(async move {
        while let Some(message) = receiver.recv().await {
            if sink.send(message).await.is_err() {
                return;
            }
        }
    });
    while let Some(Ok(message)) = source.next().await {
        if message.is_text() || message.is_binary() {
            match &keeping {
                Some(keeping) => keeping.send((room.clone(), message))?,
                None => send(&rooms, &room, &message),
            }
        }
    }
    Ok(())
}
