//! A client as the contract wants it: numbers its commands, keeps what was not answered, comes back
//! after every close that allows it, resumes with its cursor, and sends again under the numbers
//! that the server goes on with. Everything it is given is written down for the verifier.

use crate::rest::Failure;
use futures_util::{SinkExt, StreamExt};
use rand::Rng;
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
const HANDSHAKE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(25);
/// Unanswered commands at once.
const WINDOW: usize = 64;

pub type Socket = WebSocketStream<TcpStream>;

#[derive(Clone)]
pub struct Options {
    /// `host:port`.
    pub host: String,
    /// Other nodes of the same cluster, gone to in turn when a socket is lost.
    pub others: Vec<String>,
    pub token: String,
    pub session: String,
    pub name: Option<String>,
    /// The first wait before coming back, doubled up to 30 s. The contract says 500 ms.
    pub backoff: Duration,
}

impl Options {
    pub fn new(host: &str, token: String) -> Self {
        Self {
            host: host.to_owned(),
            others: Vec::new(),
            token,
            session: uuid::Uuid::now_v7().to_string(),
            name: None,
            backoff: BACKOFF_FIRST,
        }
    }
}

/// One event, as it came.
#[derive(Clone, Debug)]
pub struct Heard {
    pub seq: u64,
    pub kind: String,
    pub data: Value,
    pub received: Instant,
}

/// One command that was answered `ok`.
#[derive(Clone, Debug)]
pub struct Acknowledged {
    pub kind: String,
    pub data: Value,
    pub seq: Option<u64>,
}

/// What a client was given, for the verifier and for tests.
#[derive(Default)]
pub struct Record {
    pub heard: Vec<Heard>,
    pub keep_events: bool,
    pub events: u64,
    pub notices: Vec<(String, Value)>,
    /// The seqs that were passed over by a snapshot: from (exclusive) to (inclusive).
    pub skipped: Vec<(u64, u64)>,
    pub acknowledged: Vec<Acknowledged>,
    pub refused: Vec<(String, Value)>,
    /// What was asked for and refused, for the verifier: it has no effect.
    pub declined: Vec<(String, Value)>,
    pub violations: Vec<String>,
    pub snapshot: Option<Value>,
    pub is_waiting: bool,
    pub cursor: u64,
    pub joins: u64,
    pub resumes_replayed: u64,
    pub resumes_snapshot: u64,
    pub reconnects: u64,
    pub signals: u64,
    /// The captions among the signals, while events are kept.
    pub captions: Vec<Value>,
    /// What was said of who publishes what, while events are kept: participants, and their media.
    pub states: Vec<(String, Value)>,
    pub closed: Option<u16>,
    /// The last close code, also of closes that were followed by a resume.
    pub last_close: Option<u16>,
}

enum Order {
    Send { kind: String, data: Value, reply: Option<oneshot::Sender<Value>> },
    Raw(Message),
    Drop,
    Stop,
}

pub struct Client {
    orders: mpsc::UnboundedSender<Order>,
    record: Arc<Mutex<Record>>,
    changed: watch::Receiver<u64>,
    task: tokio::task::JoinHandle<()>,
}

impl Client {
    /// Starts a client; it joins by itself.
    pub fn start(options: Options) -> Self {
        let (orders, inbox) = mpsc::unbounded_channel();
        let record = Arc::new(Mutex::new(Record { keep_events: true, ..Record::default() }));
        let (change, changed) = watch::channel(0);
        let life = Life {
            backoff: options.backoff,
            options,
            inbox,
            record: Arc::clone(&record),
            change,
            resume_token: None,
            has_ended: false,
            next_id: 1,
            pending: VecDeque::new(),
            queued: VecDeque::new(),
            is_in: false,
            attempts: 0,
        };
        let task = tokio::spawn(life.run());
        Self { orders, record, changed, task }
    }

    pub fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends a command and waits for its answer, through as many sockets as it takes.
    pub async fn ask(&self, kind: &str, data: Value) -> Result<Value, Failure> {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Send { kind: kind.to_owned(), data, reply: Some(reply) });
        match tokio::time::timeout(Duration::from_secs(60), answer).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(format!("{kind} was not answered: the client ended ({:?})", self.record().closed).into()),
            Err(_) => Err(format!("{kind} was not answered").into()),
        }
    }

    /// Sends a command without waiting; its answer is written down.
    pub fn send(&self, kind: &str, data: Value) {
        self.order(Order::Send { kind: kind.to_owned(), data, reply: None });
    }

    /// Sends a frame as it is, for tests of bad input.
    pub fn send_raw(&self, message: Message) {
        self.order(Order::Raw(message));
    }

    /// Loses the socket, without a close frame; the client comes back by itself.
    pub fn drop_socket(&self) {
        self.order(Order::Drop);
    }

    fn order(&self, order: Order) {
        // A client that has ended takes no orders; its record says why it ended.
        let _ = self.orders.send(order);
    }

    /// Waits until the record shows something.
    pub async fn until<T>(&self, what: &str, mut look: impl FnMut(&Record) -> Option<T>) -> Result<T, Failure> {
        let mut changed = self.changed.clone();
        let waiting = async {
            loop {
                changed.mark_unchanged();
                if let Some(found) = look(&self.record()) {
                    return Ok(found);
                }
                if changed.changed().await.is_err() {
                    let last = look(&self.record());
                    return last.ok_or_else(|| format!("the client ended before: {what}").into());
                }
            }
        };
        match tokio::time::timeout(Duration::from_secs(60), waiting).await {
            Ok(found) => found,
            Err(_) => Err(format!("waited in vain for: {what}").into()),
        }
    }

    pub async fn joined(&self) -> Result<Value, Failure> {
        self.until("a snapshot", |record| record.snapshot.clone()).await
    }

    pub async fn waiting(&self) -> Result<(), Failure> {
        self.until("the lobby", |record| record.is_waiting.then_some(())).await
    }

    pub async fn event(&self, kind: &str) -> Result<Heard, Failure> {
        self.until(kind, |record| record.heard.iter().find(|heard| heard.kind == kind).cloned()).await
    }

    pub async fn closed(&self) -> Result<u16, Failure> {
        self.until("a close", |record| record.closed).await
    }

    /// Ends the client, its socket closed in order.
    pub async fn stop(self) -> Arc<Mutex<Record>> {
        self.order(Order::Stop);
        let _ = self.task.await;
        self.record
    }
}

struct Pending {
    id: u64,
    kind: String,
    data: Value,
    reply: Option<oneshot::Sender<Value>>,
}

/// The client's own task.
struct Life {
    options: Options,
    inbox: mpsc::UnboundedReceiver<Order>,
    record: Arc<Mutex<Record>>,
    change: watch::Sender<u64>,
    resume_token: Option<String>,
    /// Its session is over, and its join token may still be good.
    has_ended: bool,
    next_id: u64,
    pending: VecDeque<Pending>,
    queued: VecDeque<Pending>,
    is_in: bool,
    backoff: Duration,
    attempts: usize,
}

enum End {
    /// Come back.
    Lost,
    /// The server said not to.
    Closed(u16),
    Stopped,
}

impl Life {
    async fn run(mut self) {
        loop {
            match self.attach().await {
                End::Lost => {}
                End::Closed(code) => {
                    self.note(|record| record.closed = Some(code));
                    return;
                }
                End::Stopped => return,
            }
            self.is_in = false;
            let jitter = rand::rng().random_range(0.5..1.0);
            tokio::time::sleep(self.backoff.mul_f64(jitter)).await;
            self.backoff = self.backoff.saturating_mul(2).min(BACKOFF_MAX);
            self.note(|record| record.reconnects += 1);
        }
    }

    fn note(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record.lock().unwrap_or_else(PoisonError::into_inner));
        self.change.send_modify(|count| *count += 1);
    }

    fn cursor(&self) -> u64 {
        self.record.lock().unwrap_or_else(PoisonError::into_inner).cursor
    }

    async fn attach(&mut self) -> End {
        let turn = self.attempts % (self.options.others.len() + 1);
        let host = turn.checked_sub(1).and_then(|other| self.options.others.get(other)).unwrap_or(&self.options.host);
        self.attempts += 1;
        self.has_ended = false;
        // A node that stands still takes connections and answers none.
        let Ok(Ok(mut socket)) = tokio::time::timeout(HANDSHAKE, connect(host)).await else { return End::Lost };
        let hello = match &self.resume_token {
            Some(token) => {
                json!({ "id": 0, "type": "resume", "data": { "resume_token": token, "seq": self.cursor() } })
            }
            None => json!({ "id": 0, "type": "join", "data": {
                "token": self.options.token, "session": self.options.session, "name": self.options.name } }),
        };
        if socket.send(Message::text(hello.to_string())).await.is_err() {
            return End::Lost;
        }
        loop {
            tokio::select! {
                order = self.inbox.recv() => match order {
                    None | Some(Order::Stop) => {
                        let _ = socket.close(None).await;
                        return End::Stopped;
                    }
                    Some(Order::Drop) => return End::Lost,
                    Some(Order::Raw(message)) => {
                        if socket.send(message).await.is_err() {
                            return End::Lost;
                        }
                    }
                    Some(Order::Send { kind, data, reply }) => {
                        self.queued.push_back(Pending { id: 0, kind, data, reply });
                        if self.send_queued(&mut socket).await.is_err() {
                            return End::Lost;
                        }
                    }
                },
                message = tokio::time::timeout(SILENCE, socket.next()) => match message {
                    Ok(Some(Ok(Message::Text(text)))) => {
                        let reattached = self.take(&text);
                        let sent = if reattached { self.send_again(&mut socket).await } else { Ok(()) };
                        if sent.is_err() || self.send_queued(&mut socket).await.is_err() {
                            return End::Lost;
                        }
                    }
                    Ok(Some(Ok(Message::Close(frame)))) => {
                        let code = frame.map_or(1005, |frame| u16::from(frame.code));
                        self.note(|record| record.last_close = Some(code));
                        let is_final = (4500..4600).contains(&code) && !self.has_ended;
                        return if is_final { End::Closed(code) } else { End::Lost };
                    }
                    Ok(Some(Ok(_))) => {}
                    Ok(Some(Err(_)) | None) | Err(_) => return End::Lost,
                },
            }
        }
    }

    async fn send_queued(&mut self, socket: &mut Socket) -> Result<(), Failure> {
        while self.is_in && self.pending.len() < WINDOW {
            let Some(mut command) = self.queued.pop_front() else { return Ok(()) };
            command.id = self.next_id;
            self.next_id += 1;
            let frame = frame(&command);
            self.pending.push_back(command);
            socket.send(frame).await?;
        }
        Ok(())
    }

    /// What was not answered is sent again: numbers that the server has taken, as they are; the
    /// others go on where the server is.
    async fn send_again(&mut self, socket: &mut Socket) -> Result<(), Failure> {
        for command in &self.pending {
            socket.send(frame(command)).await?;
        }
        Ok(())
    }

    fn renumber(&mut self, last_id: u64) {
        let mut next = last_id + 1;
        for command in self.pending.iter_mut().filter(|command| command.id > last_id) {
            command.id = next;
            next += 1;
        }
        self.next_id = next;
    }

    /// Takes a frame; true if it let the client in (again).
    fn take(&mut self, text: &str) -> bool {
        let messages: Vec<Value> = match serde_json::from_str(text) {
            Ok(messages) => messages,
            Err(error) => {
                self.note(|record| record.violations.push(format!("a frame is no array: {error}")));
                return false;
            }
        };
        let mut reattached = false;
        for message in messages {
            if let Some(seq) = message.get("seq").and_then(Value::as_u64).filter(|_| message.get("re").is_none()) {
                self.event(seq, &message);
            } else if let Some(re) = message.get("re") {
                reattached |= self.answer(re.as_u64(), &message);
            } else {
                reattached |= self.notice(&message);
            }
        }
        reattached
    }

    fn event(&self, seq: u64, message: &Value) {
        let kind = message.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let data = message.get("data").cloned().unwrap_or(Value::Null);
        self.note(|record| {
            if seq <= record.cursor {
                record.violations.push(format!("event {seq} ({kind}) came after {}", record.cursor));
            }
            record.cursor = record.cursor.max(seq);
            record.events += 1;
            if record.keep_events {
                record.heard.push(Heard { seq, kind, data, received: Instant::now() });
            }
        });
    }

    fn answer(&mut self, re: Option<u64>, message: &Value) -> bool {
        let data = message.get("data").cloned().unwrap_or(Value::Null);
        let is_ok = message.get("ok").and_then(Value::as_bool).unwrap_or(false);
        if re == Some(0) {
            if is_ok {
                return self.hello(&data);
            }
            // A session that ended begins anew with its join token, and one that is to come later goes on
            // then; a refusal that closes is followed by its close code.
            let error = message.get("error").cloned().unwrap_or(Value::Null);
            let code = error.get("code").and_then(Value::as_str);
            if code != Some("unavailable") {
                let resumed = self.resume_token.take().is_some();
                self.has_ended = resumed && code == Some("unauthenticated");
            }
            self.note(|record| record.refused.push(("hello".to_owned(), error)));
            return false;
        }
        let position = self.pending.iter().position(|command| Some(command.id) == re);
        let Some(command) = position.and_then(|position| self.pending.remove(position)) else {
            if re.is_some() {
                self.note(|record| record.violations.push(format!("an answer to nothing that was asked: {message}")));
            } else {
                self.note(|record| record.refused.push(("frame".to_owned(), message.clone())));
            }
            return false;
        };
        let seq = message.get("seq").and_then(Value::as_u64);
        self.note(|record| {
            if is_ok {
                let (kind, data) = (command.kind.clone(), command.data.clone());
                record.acknowledged.push(Acknowledged { kind, data, seq });
            } else {
                let error = message.get("error").cloned().unwrap_or(Value::Null);
                record.refused.push((command.kind.clone(), error));
                record.declined.push((command.kind.clone(), command.data.clone()));
            }
        });
        if let Some(reply) = command.reply {
            let _ = reply.send(message.clone());
        }
        false
    }

    fn hello(&mut self, data: &Value) -> bool {
        self.backoff = self.options.backoff;
        if let Some(token) = data.get("resume_token").and_then(Value::as_str) {
            self.resume_token = Some(token.to_owned());
        }
        let last_id = data.get("last_id").and_then(Value::as_u64).unwrap_or(0);
        if data.get("waiting").is_some() {
            self.note(|record| record.is_waiting = true);
        } else if data.get("resumed").is_some() {
            self.note(|record| record.resumes_replayed += 1);
        } else {
            self.snapshot(data);
        }
        self.renumber(last_id);
        self.is_in = true;
        true
    }

    fn snapshot(&self, data: &Value) {
        let seq = data.get("seq").and_then(Value::as_u64).unwrap_or(0);
        self.note(|record| {
            if record.snapshot.is_some() {
                record.resumes_snapshot += 1;
            } else {
                record.joins += 1;
            }
            record.skipped.push((record.cursor, seq));
            record.cursor = seq;
            record.is_waiting = false;
            record.snapshot = Some(data.clone());
        });
    }

    fn notice(&mut self, message: &Value) -> bool {
        let kind = message.get("type").and_then(Value::as_str).unwrap_or("").to_owned();
        let data = message.get("data").cloned().unwrap_or(Value::Null);
        match kind.as_str() {
            "tick" => {}
            "reaction.shown" | "media.states" | "caption.shown" => self.note(|record| {
                record.signals += 1;
                if let Some(caption) = data.get("caption").filter(|_| record.keep_events) {
                    record.captions.push(caption.clone());
                }
                let states = data.get("states").and_then(Value::as_array).filter(|_| record.keep_events);
                for state in states.into_iter().flatten() {
                    let who = state.get("participant").and_then(Value::as_str).unwrap_or("").to_owned();
                    record.states.push((who, state.get("media").cloned().unwrap_or(Value::Null)));
                }
            }),
            "self.admitted" => {
                if let Some(snapshot) = data.get("snapshot") {
                    self.snapshot(snapshot);
                }
                self.note(|record| record.notices.push((kind, data)));
            }
            "self.waiting" => self.note(|record| {
                record.is_waiting = true;
                record.notices.push((kind, data));
            }),
            _ => self.note(|record| record.notices.push((kind, data))),
        }
        false
    }
}

fn frame(command: &Pending) -> Message {
    Message::text(json!({ "id": command.id, "type": command.kind, "data": command.data }).to_string())
}

/// A socket of the contract's subprotocol, with small buffers.
pub async fn connect(host: &str) -> Result<Socket, Failure> {
    let stream = TcpStream::connect(host).await?;
    stream.set_nodelay(true)?;
    let mut request = format!("ws://{host}/ws").into_client_request()?;
    request.headers_mut().insert("sec-websocket-protocol", "convoke.v1".parse()?);
    let config = WebSocketConfig::default()
        .read_buffer_size(4 * 1024)
        .write_buffer_size(0)
        .max_message_size(Some(64 << 20))
        .max_frame_size(Some(64 << 20));
    let (socket, _) = client_async_with_config(request, stream, Some(config)).await?;
    Ok(socket)
}
