//! A person at a board: draws at a given rate, shows a cursor, loses the socket, draws on without one, comes
//! back and is brought up to date, as a provider of Yjs would. What came back to them they hold the server
//! to: it is durable, so the server has to have it whenever they come back.

use super::Made;
use super::door::{Address, Door, Socket, split};
use super::hand::{Hand, Style};
use super::record::Record;
use super::stamp;
use super::wire::{self, Frame};
use crate::rest::Failure;
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use rand::Rng;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio_tungstenite::tungstenite::{Error, Message};
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, ReadTxn, StateVector, Transact, Update};

const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
const SILENCE: Duration = Duration::from_secs(45);

#[derive(Clone, Copy, PartialEq)]
pub enum Phase {
    Draw,
    /// Nothing new is drawn, and nobody drops; what is on its way arrives.
    Settle,
    Stop,
}

#[derive(Clone)]
pub struct Options {
    /// Different for everybody at the board.
    pub author: u16,
    /// How many they are.
    pub authors: u16,
    /// Updates a second.
    pub rate: f64,
    /// Cursors a second.
    pub cursors: f64,
    /// After how long a socket is dropped, on the average.
    pub drop_every: Option<Duration>,
}

pub struct Person {
    pub doc: Doc,
    record: Arc<Mutex<Record>>,
    task: tokio::task::JoinHandle<()>,
}

impl Person {
    pub fn start(options: Options, door: Door, phase: watch::Receiver<Phase>) -> Result<Self, Failure> {
        let doc = Doc::with_client_id(rand::random::<u32>().into());
        let record = Arc::new(Mutex::new(Record::new()?));
        let life = Life {
            hand: Hand::new(options.author, Style::Free { authors: options.authors }),
            doc: doc.clone(),
            record: Arc::clone(&record),
            next: Instant::now(),
            options,
            door,
            phase,
            backoff: BACKOFF_FIRST,
            clock: 0,
            owed: None,
            seen: Vec::new(),
        };
        Ok(Self { doc, record, task: tokio::spawn(life.run()) })
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After the phase has said to stop.
    pub async fn ended(&mut self) {
        let _ = (&mut self.task).await;
    }
}

struct Life {
    options: Options,
    door: Door,
    phase: watch::Receiver<Phase>,
    doc: Doc,
    hand: Hand,
    record: Arc<Mutex<Record>>,
    backoff: Duration,
    /// When the next update is to be drawn.
    next: Instant,
    /// The cursor's own numbering.
    clock: u64,
    /// What the server had said before this socket, until it has shown that it still has it.
    owed: Option<Made>,
    /// The last number heard of each author.
    seen: Vec<u32>,
}

enum End {
    Lost,
    Dropped,
    Stopped,
}

fn gap(a_second: f64) -> Duration {
    Duration::from_secs_f64(1.0 / a_second.max(0.001))
}

impl Life {
    async fn run(mut self) {
        loop {
            let end = match self.attach().await {
                Ok(end) => end,
                Err(error) => {
                    self.note(|record| record.violations.push(error.to_string()));
                    return;
                }
            };
            if *self.phase.borrow() == Phase::Stop || matches!(end, End::Stopped) {
                return;
            }
            self.note(|record| {
                record.is_synced = false;
                match end {
                    End::Dropped => record.drops += 1,
                    _ => record.lost += 1,
                }
            });
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(self.backoff.mul_f64(jitter)).await;
            self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX);
            self.draw_offline();
        }
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn is_drawing(&self) -> bool {
        *self.phase.borrow() == Phase::Draw
    }

    /// What was due meanwhile is drawn without a socket; the sync carries it over.
    fn draw_offline(&mut self) {
        if !self.is_drawing() {
            self.next = Instant::now();
        }
        while self.is_drawing() && self.next <= Instant::now() {
            self.next += gap(self.options.rate);
            self.hand.draw(&self.doc, None);
            self.note(|record| record.drawn_offline += 1);
        }
    }

    async fn attach(&mut self) -> Result<End, Failure> {
        let address = match self.door.address().await {
            Ok(address) => address,
            Err(error) => {
                self.note(|record| record.last_refusal = Some(error.to_string()));
                return Ok(End::Lost);
            }
        };
        let owed = self.record.lock().unwrap_or_else(PoisonError::into_inner).acknowledged.clone();
        self.owed = Some(owed);
        let socket = match address.connect().await {
            Ok(socket) => socket,
            Err(error) => {
                match error.downcast_ref() {
                    Some(Error::Http(_)) => self.door.refused(),
                    _ => self.door.unanswered(),
                }
                self.note(|record| record.last_refusal = Some(error.to_string()));
                return Ok(End::Lost);
            }
        };
        let (sender, source, writer) = split(socket);
        let end = self.talk(&address, &sender, source).await;
        // Without a close frame, as when a network is gone.
        writer.abort();
        end
    }

    async fn talk(
        &mut self,
        address: &Address,
        sender: &mpsc::UnboundedSender<Message>,
        mut source: SplitStream<Socket>,
    ) -> Result<End, Failure> {
        let send = |frame: &Frame<'_>| {
            let _ = sender.send(Message::binary(address.dialect.write(frame)));
        };
        if let Some(hello) = address.dialect.hello() {
            let _ = sender.send(Message::binary(hello));
        }
        let state = self.doc.transact().state_vector().encode_v1();
        send(&Frame::First(&state));
        self.clock += 2;
        let mut cursor_at = Instant::now();
        let drop_at =
            self.options.drop_every.map(|mean| Instant::now() + mean.mul_f64(rand::rng().random_range(0.2..1.8)));
        loop {
            let is_drawing = self.is_drawing();
            let drop_at = drop_at.filter(|_| is_drawing);
            tokio::select! {
                () = tokio::time::sleep_until(self.next.into()), if is_drawing => {
                    let scheduled = self.next;
                    self.next += gap(self.options.rate);
                    let update = self.hand.draw(&self.doc, Some(scheduled));
                    send(&Frame::Update(&update));
                    self.note(|record| record.drawn += 1);
                }
                () = tokio::time::sleep_until(cursor_at.into()), if is_drawing => {
                    cursor_at += gap(self.options.cursors);
                    send(&Frame::Awareness(&self.cursor()));
                }
                () = tokio::time::sleep_until(drop_at.unwrap_or_else(Instant::now).into()), if drop_at.is_some() => {
                    return Ok(End::Dropped);
                }
                changed = self.phase.changed() => match changed.map(|()| *self.phase.borrow_and_update()) {
                    // Everybody at another moment.
                    Ok(Phase::Draw) => {
                        self.next = Instant::now() + gap(self.options.rate).mul_f64(rand::rng().random_range(0.0..1.0));
                    }
                    Ok(Phase::Settle) => {}
                    Ok(Phase::Stop) | Err(_) => {
                        let _ = sender.send(Message::Close(None));
                        return Ok(End::Stopped);
                    }
                },
                message = tokio::time::timeout(SILENCE, source.next()) => match message {
                    Ok(Some(Ok(Message::Binary(bytes)))) => {
                        if let Some(answer) = self.take(address.dialect.read(&bytes)?)? {
                            let _ = sender.send(Message::binary(address.dialect.write(&answer.as_frame())));
                        }
                    }
                    Ok(Some(Ok(Message::Close(frame)))) => {
                        let code = frame.map_or(1005, |frame| u16::from(frame.code));
                        self.note(|record| record.last_close = Some(code));
                        if (4500..4600).contains(&code) {
                            return Err(format!("closed with {code}, not to come back").into());
                        }
                        return Ok(End::Lost);
                    }
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(_)) | None) | Err(_) => return Ok(End::Lost),
                },
            }
        }
    }

    fn cursor(&mut self) -> Vec<u8> {
        self.clock += 1;
        let (x, y) = (rand::rng().random_range(0..4_000), rand::rng().random_range(0..4_000));
        let name = self.options.author;
        let state =
            format!(r##"{{"user":{{"name":"Person {name}","color":"#1971c2"}},"pointer":{{"x":{x},"y":{y}}}}}"##);
        wire::cursor(self.doc.client_id().get(), self.clock, &state)
    }

    fn take(&mut self, frame: Frame<'_>) -> Result<Option<Answer>, Failure> {
        match frame {
            Frame::First(state) => {
                let state = StateVector::decode_v1(state)?;
                if let Some(missing) = self.owed.as_ref().and_then(|owed| owed.missing_of_state(&state)) {
                    self.lost(&missing);
                }
                let update = self.doc.transact().encode_state_as_update_v1(&state);
                return Ok(Some(Answer::Second(update)));
            }
            Frame::Second(update) => {
                let update = Update::decode_v1(update)?;
                let deleted = update.delete_set();
                if let Some(missing) = self.owed.take().and_then(|owed| owed.missing_of_deletions(deleted)) {
                    self.lost(&missing);
                }
                self.doc.transact_mut().apply_update(update)?;
                self.backoff = BACKOFF_FIRST;
                self.note(|record| {
                    record.syncs += 1;
                    record.is_synced = true;
                });
            }
            Frame::Update(update) => {
                let mut stamps = Vec::new();
                stamp::read(update, |stamp| stamps.push(stamp));
                let update = Update::decode_v1(update)?;
                self.note_update(&stamps, &update);
                self.doc.transact_mut().apply_update(update)?;
            }
            Frame::Awareness(_) => self.note(|record| record.cursors += 1),
            Frame::Query => return Ok(Some(Answer::Cursor(self.cursor()))),
            Frame::Denied(_) | Frame::Other(_) => {}
        }
        Ok(None)
    }

    fn lost(&self, missing: &str) {
        let author = self.options.author;
        let text = format!("person {author} came back, and what they had been sent is gone: {missing}");
        self.note(|record| record.violations.push(text));
    }

    fn note_update(&mut self, stamps: &[stamp::Stamp], update: &Update) {
        let (record, own) = (Arc::clone(&self.record), self.options.author);
        let mut record = record.lock().unwrap_or_else(PoisonError::into_inner);
        record.acknowledged.add(update);
        for stamp in stamps {
            let author = usize::from(stamp.author);
            if self.seen.len() <= author {
                self.seen.resize(author + 1, 0);
            }
            // What is sent again after a loss is no news.
            if let Some(seen) = self.seen.get_mut(author).filter(|seen| **seen < stamp.number) {
                *seen = stamp.number;
                if stamp.author == own {
                    record.echoed += 1;
                } else {
                    record.deliveries += 1;
                    let micros = u64::try_from(stamp.age().as_micros()).unwrap_or(u64::MAX);
                    record.latency.saturating_record(micros.max(1));
                }
            }
        }
    }
}

enum Answer {
    Second(Vec<u8>),
    Cursor(Vec<u8>),
}

impl Answer {
    fn as_frame(&self) -> Frame<'_> {
        match self {
            Self::Second(update) => Frame::Second(update),
            Self::Cursor(states) => Frame::Awareness(states),
        }
    }
}
