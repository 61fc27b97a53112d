//! The floor: the least that a server can do with a message is to send it to everybody in the
//! room. A plain broadcaster, as a process of its own, so that its CPU can be read like the
//! server's.

use convoke_loadtest::rest::Failure;
use futures_util::{SinkExt, StreamExt};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};

type Rooms = Arc<Mutex<HashMap<String, Vec<mpsc::UnboundedSender<Message>>>>>;

/// Prints its port, and serves until it is killed.
pub async fn serve() -> Result<bool, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?.port());
    let rooms = Rooms::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let rooms = Arc::clone(&rooms);
        tokio::spawn(async move {
            let _ = relay(stream, rooms).await;
        });
    }
}

async fn relay(stream: TcpStream, rooms: Rooms) -> Result<(), Failure> {
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
            let rooms = rooms.lock().unwrap_or_else(PoisonError::into_inner);
            for peer in rooms.get(&room).into_iter().flatten() {
                let _ = peer.send(message.clone());
            }
        }
    }
    Ok(())
}
