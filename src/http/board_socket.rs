//! A socket of a whiteboard, from the handshake on: what its client draws goes to the board, a batch at a time,
//! and nothing more is read before the board has taken that. What is no message closes the socket at once:
//! a client that has drawn what is not taken has to load the board afresh. Whoever goes, with a word or without,
//! leaves what they drew before.

use super::socket::{Writer, frame_length, part, poll_more};
use super::strangers::Stranger;
use super::upgrade;
use super::ws::Seat;
use actix_http::ws::{Codec, Frame, Item};
use actix_web::web::{Bytes, BytesMut};
use convoke_actors::meeting::ToMeeting;
use convoke_actors::outlet::Outlet;
use convoke_actors::ports::Ticket;
use convoke_actors::release::SocketId;
use convoke_actors::whiteboard::hub::BoardHubHandle;
use convoke_actors::whiteboard::words::{AskBoard, Visit};
use convoke_domain::{CloseCode, Rejection, WhiteboardId};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::ReadHalf;
use tokio::time::Instant;
use tokio_util::codec::Decoder;

/// Messages that go to the board together, and their bytes, but for the last.
const TOGETHER_MAX: usize = 64;
const TOGETHER_BYTES_MAX: usize = 1 << 20;
/// Who sends more than they may is read more slowly.
const PAUSE: Duration = Duration::from_millis(5);
/// How long what a client had sent is still read when the client is gone.
const BEQUEST: Duration = Duration::from_secs(10);

pub struct BoardSocket {
    pub outlet: Outlet,
    pub hub: BoardHubHandle,
    pub ticket: Ticket,
    pub board: WhiteboardId,
    pub frame_bytes_max: usize,
    /// Messages a second, and at once.
    pub quota: Quota,
    pub stranger: Stranger,
    pub seat: Seat,
}

impl upgrade::Socket for BoardSocket {
    fn start(self: Box<Self>, mut io: TcpStream, early: BytesMut) {
        let Self { outlet, hub, ticket, board, frame_bytes_max, quota, stranger, seat } = *self;
        let socket = SocketId(hub.meetings.env().clock.id());
        let mut writer = Writer::new(outlet.clone(), stranger);
        let lost_at = Rc::new(Cell::new(None));
        let mut reader = Reader {
            // A message may come in frames, and its parts have a size of their own.
            codec: Codec::new().max_size(frame_bytes_max),
            buffer: early,
            partial: None,
            socket,
            outlet,
            hub,
            ticket,
            board,
            frame_bytes_max,
            limiter: RateLimiter::direct(quota),
            has_parted: false,
            is_refused: false,
            lost_at: Rc::clone(&lost_at),
        };
        let outlet = reader.outlet.clone();
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "a socket is gone already");
        }
        actix_rt::spawn(async move {
            let (mut input, mut output) = io.split();
            let writing = async {
                if !writer.write(&mut output).await {
                    lost_at.set(Some(Instant::now()));
                }
                outlet.hang_up();
            };
            tokio::join!(reader.run(&mut input), writing);
            part(&mut io).await;
            drop(seat);
        });
    }
}

struct Reader {
    codec: Codec,
    buffer: BytesMut,
    /// A message that is not whole yet.
    partial: Option<BytesMut>,
    socket: SocketId,
    outlet: Outlet,
    hub: BoardHubHandle,
    ticket: Ticket,
    board: WhiteboardId,
    frame_bytes_max: usize,
    limiter: DefaultDirectRateLimiter,
    /// The client has said that this is the end.
    has_parted: bool,
    /// What the client sent is not taken, and nothing behind it.
    is_refused: bool,
    /// When it was found that the client is gone without a word.
    lost_at: Rc<Cell<Option<Instant>>>,
}

impl Reader {
    async fn run(&mut self, input: &mut ReadHalf<'_>) {
        self.hub.register(&self.ticket.key, self.board, self.socket, self.outlet.clone());
        if let Err(rejection) = self.visit().await {
            // What may be better in a moment is tried again by the client.
            self.refuse(rejection.close.unwrap_or(CloseCode::GoingAway));
        }
        self.read(input).await;
        self.outlet.hang_up();
        self.hub.unregister(self.board, self.socket);
        let _ = self.ask(AskBoard::Gone { socket: self.socket }).await;
    }

    /// Comes to the board, and waits until it says so.
    async fn visit(&self) -> Result<(), Rejection> {
        self.outlet.greet();
        let Ticket { key, session, participant } = self.ticket.clone();
        let visit = Visit { board: self.board, socket: self.socket, session, participant, desk: self.hub.desk() };
        self.hub.meetings.send(&key, ToMeeting::Visit(visit)).await?;
        poll_fn(|cx| self.outlet.poll_room(cx, usize::MAX)).await;
        Ok(())
    }

    async fn ask(&self, ask: AskBoard) -> Result<(), Rejection> {
        self.hub.meetings.ask_board(&self.ticket.key, self.board, ask).await
    }

    async fn read(&mut self, input: &mut ReadHalf<'_>) {
        loop {
            while let Some(frames) = self.take_frames() {
                for _ in &frames {
                    while !self.is_sent_away() && self.limiter.check().is_err() {
                        tokio::time::sleep(PAUSE).await;
                    }
                }
                if self.is_sent_away() {
                    break;
                }
                let asked = self.ask(AskBoard::Frames { socket: self.socket, frames }).await;
                if let Err(rejection) = asked {
                    self.refuse(rejection.close.unwrap_or(CloseCode::GoingAway));
                }
            }
            if self.has_parted {
                return;
            }
            if self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            if !poll_fn(|cx| self.poll_heard(cx, input)).await {
                return;
            }
            if self.is_sent_away() {
                // What is still on its way is not read any more.
                self.buffer.clear();
            }
        }
    }

    fn poll_heard(&mut self, cx: &mut Context<'_>, input: &mut ReadHalf<'_>) -> Poll<bool> {
        let is_hung_up = self.outlet.poll_hung_up(cx).is_ready();
        if is_hung_up && self.is_sent_away() {
            return Poll::Ready(false);
        }
        let more = poll_more(input, cx, &mut self.buffer);
        if is_hung_up && more.is_pending() {
            return Poll::Ready(false);
        }
        let is_open = ready!(more);
        self.outlet.heard();
        Poll::Ready(is_open)
    }

    /// It is not the client that ends this, or it has been gone for long.
    fn is_sent_away(&self) -> bool {
        let is_lost = self.lost_at.get().is_some_and(|at| at.elapsed() < BEQUEST);
        self.is_refused || self.outlet.closed().is_some() && !is_lost
    }

    fn refuse(&mut self, code: CloseCode) {
        self.is_refused = true;
        self.outlet.close(code);
    }

    fn offend(&mut self) {
        self.refuse(CloseCode::ProtocolError);
    }

    /// The messages that are whole. None: there is none.
    fn take_frames(&mut self) -> Option<Vec<Bytes>> {
        let mut messages: Vec<Bytes> = Vec::new();
        let is_enough = |messages: &[Bytes]| {
            messages.len() >= TOGETHER_MAX || messages.iter().map(Bytes::len).sum::<usize>() >= TOGETHER_BYTES_MAX
        };
        while !self.has_parted && !self.is_sent_away() && !is_enough(&messages) {
            let partial = self.partial.as_ref().map_or(0, BytesMut::len);
            if let Some((_, length)) = frame_length(&self.buffer)
                && length.saturating_add(u64::try_from(partial).unwrap_or(u64::MAX))
                    > u64::try_from(self.frame_bytes_max).unwrap_or(u64::MAX)
            {
                metrics::counter!("convoke_whiteboard_refused_total", "reason" => "too_large").increment(1);
                self.offend();
                break;
            }
            match self.codec.decode(&mut self.buffer) {
                Ok(None) => break,
                Ok(Some(Frame::Binary(message))) if self.partial.is_none() => messages.push(message),
                Ok(Some(Frame::Continuation(item))) => messages.extend(self.put_together(item)),
                Ok(Some(Frame::Ping(payload))) => self.outlet.push_pong(&payload),
                Ok(Some(Frame::Pong(payload))) => self.outlet.heard_pong(&payload),
                Ok(Some(Frame::Close(_))) => self.has_parted = true,
                Ok(Some(Frame::Binary(_) | Frame::Text(_))) | Err(_) => self.offend(),
            }
        }
        (!messages.is_empty()).then_some(messages)
    }

    fn put_together(&mut self, item: Item) -> Option<Bytes> {
        match (item, &mut self.partial) {
            (Item::FirstBinary(part), None) => self.partial = Some(BytesMut::from(part.as_ref())),
            (Item::Continue(part), Some(whole)) => whole.extend_from_slice(&part),
            (Item::Last(part), Some(whole)) => {
                whole.extend_from_slice(&part);
                return self.partial.take().map(BytesMut::freeze);
            }
            _ => self.offend(),
        }
        None
    }
}
