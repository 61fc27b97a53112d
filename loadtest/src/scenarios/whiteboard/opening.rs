//! How long a board takes to open: from the first byte of the connection until all of it is here.

use convoke_loadtest::board::count_of;
use convoke_loadtest::board::door::Address;
use convoke_loadtest::board::stamp;
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

/// A board that was filled by the author 0, whose last update has this number.
#[derive(Clone)]
pub struct Filled {
    pub address: Address,
    pub last: u32,
}

/// A server may give a state and, behind it, updates: the board is open when the last of them is here.
async fn open(filled: Filled) -> Result<(Duration, Vec<Vec<u8>>), Failure> {
    let (began, dialect) = (Instant::now(), filled.address.dialect.clone());
    let mut socket = filled.address.connect().await?;
    if let Some(hello) = dialect.hello() {
        socket.send(Message::binary(hello)).await?;
    }
    let state = StateVector::default().encode_v1();
    socket.send(Message::binary(dialect.write(&Frame::First(&state)))).await?;
    let opening = async {
        let (mut parts, mut is_synced, mut is_whole) = (Vec::new(), false, false);
        while let Some(message) = socket.next().await {
            let took = began.elapsed();
            let Message::Binary(bytes) = message? else { continue };
            let part = match dialect.read(&bytes)? {
                Frame::Second(part) => {
                    is_synced = true;
                    part
                }
                Frame::Update(part) => part,
                _ => continue,
            };
            stamp::read(part, |stamp| is_whole |= stamp.number == filled.last);
            parts.push(part.to_vec());
            if is_synced && is_whole {
                return Ok::<_, Failure>((took, parts));
            }
        }
        Err("the board was not given".into())
    };
    let opened = tokio::time::timeout(PATIENCE, opening).await??;
    let _ = socket.close(None).await;
    Ok(opened)
}

/// One way in for each of those who open it at once; the first of them also opens it alone.
pub async fn opened(ways: &[Filled]) -> Result<Opened, Failure> {
    let alone = ways.first().ok_or("nobody opens the board")?;
    let (mut single, mut whole) = (Vec::new(), Vec::new());
    for _ in 0..SINGLE {
        let (time, bytes) = open(alone.clone()).await?;
        single.push(time.as_secs_f64() * 1e3);
        whole = bytes;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let crowd = join_all(ways.iter().map(|way| tokio::spawn(open(way.clone())))).await;
    let mut last = Duration::ZERO;
    for opened in crowd {
        last = last.max(opened??.0);
    }
    let bytes = whole.iter().map(Vec::len).sum();
    // Looked into only now: it takes the load tester's own time.
    let shapes = tokio::task::spawn_blocking(move || count_of(&whole)).await??;
    Ok(Opened { single_ms: super::super::median(&mut single), crowd_ms: last.as_secs_f64() * 1e3, shapes, bytes })
}
