//! How long a board takes to open: from the first byte of the connection until all of it is here.

use convoke_loadtest::board::count_of;
use convoke_loadtest::board::door::Address;
use convoke_loadtest::board::wire::Frame;
use convoke_loadtest::rest::Failure;
use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use std::time::{Duration, Instant};
use tokio_tungstenite::tungstenite::Message;
use yrs::StateVector;
use yrs::updates::encoder::Encode;

/// Singly so often, and the middle of it is taken.
const SINGLE: u32 = 5;
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default)]
pub struct Opened {
    /// The middle one of several openings, one after the other.
    pub single_ms: f64,
    /// Until the last of all who open it at once has it.
    pub crowd_ms: f64,
    pub shapes: u32,
    /// As it came over the wire.
    pub bytes: usize,
}

async fn open(address: Address) -> Result<(Duration, Vec<u8>), Failure> {
    let began = Instant::now();
    let mut socket = address.connect().await?;
    if let Some(hello) = address.dialect.hello() {
        socket.send(Message::binary(hello)).await?;
    }
    let state = StateVector::default().encode_v1();
    socket.send(Message::binary(address.dialect.write(&Frame::First(&state)))).await?;
    let whole = tokio::time::timeout(PATIENCE, async {
        while let Some(message) = socket.next().await {
            if let Message::Binary(bytes) = message?
                && let Frame::Second(whole) = address.dialect.read(&bytes)?
            {
                return Ok::<_, Failure>((began.elapsed(), whole.to_vec()));
            }
        }
        Err("the board was not given".into())
    })
    .await??;
    let _ = socket.close(None).await;
    Ok(whole)
}

/// One address for each of those who open it at once; the first of them also opens it alone.
pub async fn opened(addresses: &[Address]) -> Result<Opened, Failure> {
    let alone = addresses.first().ok_or("nobody opens the board")?;
    let (mut single, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..SINGLE {
        let (time, bytes) = open(alone.clone()).await?;
        single.push(time.as_secs_f64() * 1e3);
        whole = bytes;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let crowd = join_all(addresses.iter().map(|address| tokio::spawn(open(address.clone())))).await;
    let mut last = Duration::ZERO;
    for opened in crowd {
        last = last.max(opened??.0);
    }
    let bytes = whole.len();
    // Looked into only now: it takes the load tester's own time.
    let shapes = tokio::task::spawn_blocking(move || count_of(&whole)).await??;
    Ok(Opened { single_ms: super::super::median(&mut single), crowd_ms: last.as_secs_f64() * 1e3, shapes, bytes })
}
