//! Somebody who draws and listens and keeps no document of what others draw, so that what is measured is the
//! server and not the load tester: updates are valid, and what arrives is told by its stamps.

use convoke_loadtest::board::ELEMENTS;
use convoke_loadtest::board::door::{Address, Door, split};
use convoke_loadtest::board::hand::{Hand, Style};
use convoke_loadtest::board::stamp;
use convoke_loadtest::board::wire::Frame;
use convoke_loadtest::rest::Failure;
use convoke_loadtest::server::usage;
use futures_util::StreamExt;
use futures_util::future::join_all;
use hdrhistogram::Histogram;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::Message;
use yrs::updates::encoder::Encode;
use yrs::{Doc, ReadTxn, StateVector, Transact};

/// For how long nothing may come of what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A timer is as exact as this. Whoever is woken later was kept waiting, and that counts.
const TIMER: Duration = Duration::from_millis(2);

pub struct Painter {
    author: u16,
    hand: Hand,
    doc: Doc,
    address: Address,
    sender: mpsc::UnboundedSender<Message>,
    /// The last own number that came back.
    echoed: watch::Receiver<u32>,
    heard: Arc<Heard>,
    /// Its meeting client stays in the meeting.
    _door: Door,
}

struct Heard {
    /// Updates of others.
    others: AtomicU64,
    latency: Mutex<Histogram<u64>>,
    /// What the server said last before it closed the socket.
    why: Mutex<String>,
}

impl Painter {
    pub async fn start(mut door: Door, author: u16, style: Style) -> Result<Self, Failure> {
        let address = door.address().await?;
        let (sender, mut source, _writer) = split(address.connect().await?);
        let doc = Doc::with_client_id(rand::random::<u32>().into());
        doc.get_or_insert_map(ELEMENTS);
        if let Some(hello) = address.dialect.hello() {
            let _ = sender.send(Message::binary(hello));
        }
        if address.has_document {
            let state = StateVector::default().encode_v1();
            let _ = sender.send(Message::binary(address.dialect.write(&Frame::First(&state))));
        }
        let latency = Mutex::new(Histogram::new_with_bounds(1, 120_000_000, 3)?);
        let heard = Arc::new(Heard { others: AtomicU64::new(0), latency, why: Mutex::default() });
        let (echo, echoed) = watch::channel(0);
        let (told, dialect, replies) = (Arc::clone(&heard), address.dialect.clone(), sender.downgrade());
        let has_document = address.has_document;
        let listened = doc.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = source.next().await {
                let bytes = match message {
                    Message::Binary(bytes) => bytes,
                    Message::Close(Some(close)) => {
                        told.parted(&format!("closed with {}", close.code));
                        continue;
                    }
                    _ => continue,
                };
                match dialect.read(&bytes) {
                    Ok(Frame::Update(update)) => stamp::read(update, |stamp| {
                        if stamp.author == author {
                            echo.send_replace(stamp.number);
                        } else {
                            told.note(stamp.age());
                        }
                    }),
                    Ok(Frame::Denied(why)) => told.parted(&String::from_utf8_lossy(why)),
                    Ok(Frame::First(_)) if has_document => {
                        let update = listened.transact().encode_state_as_update_v1(&StateVector::default());
                        if let Some(replies) = replies.upgrade() {
                            let _ = replies.send(Message::binary(dialect.write(&Frame::Second(&update))));
                        }
                    }
                    _ => {}
                }
            }
        });
        Ok(Self { author, hand: Hand::new(author, style), doc, address, sender, echoed, heard, _door: door })
    }

    /// The number of the last update.
    pub fn drawn(&self) -> u32 {
        self.hand.drawn()
    }

    fn send(&self, update: &[u8]) {
        let _ = self.sender.send(Message::binary(self.address.dialect.write(&Frame::Update(update))));
    }

    /// Draws at this rate until it is told to stop, or for so long; how many updates that were.
    async fn paint(&mut self, pace: Pace<'_>) -> u64 {
        let gap = Duration::from_secs_f64(1.0 / pace.rate.max(0.001));
        // Everybody at another moment of the same second.
        let began = Instant::now() + gap.mul_f64(f64::from(self.author) / f64::from(pace.painters.max(1)));
        let mut sent = 0;
        loop {
            let scheduled = began + gap * sent;
            tokio::time::sleep_until(scheduled.into()).await;
            if scheduled >= pace.until || pace.is_over.load(Ordering::Relaxed) {
                return u64::from(sent);
            }
            let now = Instant::now();
            let moment = if now.saturating_duration_since(scheduled) < TIMER { now } else { scheduled };
            let update = self.hand.draw(&self.doc, Some(moment));
            self.send(&update);
            sent += 1;
        }
    }

    /// Draws as fast as it comes back, with so many on their way at once.
    pub async fn rush(&mut self, count: u32, window: u32) -> Result<(), Failure> {
        for _ in 0..count {
            let update = self.hand.draw(&self.doc, Some(Instant::now()));
            self.send(&update);
            self.caught_up(window).await?;
        }
        self.caught_up(0).await
    }

    /// Puts so many shapes on the board, a few hundred with each update.
    pub async fn fill(&mut self, shapes: u32) -> Result<(), Failure> {
        let mut left = shapes;
        while left > 0 {
            let count = left.min(200);
            let update = self.hand.draw_many(&self.doc, count, Instant::now());
            self.send(&update);
            self.caught_up(4).await?;
            left -= count;
        }
        self.caught_up(0).await
    }

    /// Waits until all but so many of one's own updates have come back.
    pub async fn caught_up(&mut self, but: u32) -> Result<(), Failure> {
        let drawn = self.hand.drawn();
        let waiting = self.echoed.wait_for(|echoed| echoed + but >= drawn);
        match tokio::time::timeout(PATIENCE, waiting).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => {
                let why = self.heard.why.lock().unwrap_or_else(PoisonError::into_inner);
                Err(format!("a painter's socket was closed: {why}").into())
            }
            Err(_) => Err("an update did not come back".into()),
        }
    }
}

impl Heard {
    fn parted(&self, why: &str) {
        let mut all = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.is_empty() {
            all.push_str("; ");
        }
        all.push_str(why);
    }

    fn note(&self, age: Duration) {
        self.others.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(age.as_micros()).unwrap_or(u64::MAX).max(1);
        self.latency.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(micros);
    }
}

#[derive(Clone, Copy)]
struct Pace<'a> {
    /// Of each.
    rate: f64,
    painters: u16,
    until: Instant,
    is_over: &'a AtomicBool,
}

/// What a turn has shown.
pub struct Turn {
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Microseconds of the server's CPU an update.
    pub cpu_us: f64,
    pub updates: u64,
    /// Deliveries that did not come.
    pub missing: u64,
}

/// Everybody draws for so long, or until it is over.
pub async fn turn(
    painters: &mut [Painter],
    pid: u32,
    rate: f64,
    duration: Duration,
    is_over: &AtomicBool,
) -> Result<Turn, Failure> {
    let count = u64::try_from(painters.len())?;
    let heard = |painters: &[Painter]| -> u64 {
        painters.iter().map(|painter| painter.heard.others.load(Ordering::Relaxed)).sum()
    };
    for painter in painters.iter() {
        painter.heard.latency.lock().unwrap_or_else(PoisonError::into_inner).reset();
    }
    let cpu = || usage(pid).map(|usage| usage.0).ok_or("the server is gone");
    let stamped = |painters: &[Painter]| painters.iter().map(|painter| u64::from(painter.hand.drawn())).sum::<u64>();
    let (before, heard_before, stamped_before) = (cpu()?, heard(painters), stamped(painters));
    let pace = Pace { rate, painters: u16::try_from(count)?, until: Instant::now() + duration, is_over };
    let updates: u64 = join_all(painters.iter_mut().map(|painter| painter.paint(pace))).await.iter().sum();
    join_all(painters.iter_mut().map(|painter| painter.caught_up(0))).await.into_iter().collect::<Result<(), _>>()?;
    let wanted = (stamped(painters) - stamped_before) * count.saturating_sub(1);
    let until = Instant::now() + PATIENCE;
    while heard(painters) - heard_before < wanted && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let spent = cpu()? - before;
    let mut latency = Histogram::<u64>::new_with_bounds(1, 120_000_000, 3)?;
    for painter in painters.iter() {
        latency.add(&*painter.heard.latency.lock().unwrap_or_else(PoisonError::into_inner))?;
    }
    Ok(Turn {
        p50_ms: latency.value_at_quantile(0.5) as f64 / 1e3,
        p99_ms: latency.value_at_quantile(0.99) as f64 / 1e3,
        cpu_us: spent * 1e6 / updates.max(1) as f64,
        updates,
        missing: wanted.saturating_sub(heard(painters) - heard_before),
    })
}
