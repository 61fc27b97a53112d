//! An open socket, from the handshake on: one loop that reads it and one that writes what waits in
//! the session's [`Outlet`]. Either of the two ending ends the other. Thousands of sockets say
//! nothing most of the time, so neither loop keeps a buffer while it waits: what comes in passes
//! through the stack, and frames go out from the memory that all sockets of their class share.

use super::strangers::Stranger;
use super::upgrade;
use super::ws::Seat;
use actix::{Actor, Addr};
use actix_http::ws::{Codec, Frame};
use actix_web::web::{Buf, BytesMut};
use bytestring::ByteString;
use convoke_actors::outlet::Outlet;
use convoke_actors::session::{Hangup, Incoming, SessionActor, Unreadable};
use convoke_domain::Rejection;
use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio_util::codec::Decoder;

/// Bytes that are read at once.
const READ_BYTES: usize = 4 * 1024;
/// Small frames that wait go out together, up to this size.
const WRITE_BYTES: usize = 16 * 1024;
/// How long a peer may take to close its side when all has been said.
const PART: Duration = Duration::from_secs(1);

/// What a socket is made of; nothing of it runs before the handshake is answered.
pub struct Socket {
    pub outlet: Outlet,
    pub session: SessionActor,
    pub in_flight_max: usize,
    pub frame_bytes_max: usize,
    pub stranger: Stranger,
    pub seat: Seat,
}

impl upgrade::Socket for Socket {
    /// Serves the connection until it is over, in a task of its own: that of an HTTP connection would
    /// stay as large as it was.
    fn start(self: Box<Self>, mut io: TcpStream, early: BytesMut) {
        let mut reader = Reader {
            codec: Codec::new().max_size(self.frame_bytes_max),
            buffer: early,
            session: self.session.start(),
            outlet: self.outlet.clone(),
            in_flight_max: self.in_flight_max,
            frame_bytes_max: self.frame_bytes_max,
            skip: 0,
        };
        let mut writer = Writer::new(self.outlet, self.stranger);
        let seat = self.seat;
        // What waits goes out together already; nothing is gained by waiting for more.
        if let Err(error) = io.set_nodelay(true) {
            tracing::debug!(%error, "a socket is gone already");
        }
        // A block that borrows: a future that is handed a value by another keeps room for it twice.
        actix_rt::spawn(async move {
            let (mut input, mut output) = io.split();
            tokio::join!(reader.run(&mut input), writer.run(&mut output));
            part(&mut io).await;
            drop(seat);
        });
    }
}

/// Ends a connection. A socket that is closed with something unread in it takes back what is still
/// on its way, so the peer is given a moment to read that and to close its side.
pub async fn part(io: &mut TcpStream) {
    let _ = io.shutdown().await;
    let mut unread = BytesMut::new();
    let rest = async {
        while poll_fn(|cx| poll_more(io, cx, &mut unread)).await {
            unread.clear();
        }
    };
    let _ = tokio::time::timeout(PART, rest).await;
}

/// Adds what has come in to the buffer; false when no more will.
pub(super) fn poll_more(io: &mut (impl AsyncRead + Unpin), cx: &mut Context<'_>, buffer: &mut BytesMut) -> Poll<bool> {
    let mut bytes = [MaybeUninit::uninit(); READ_BYTES];
    let mut read = ReadBuf::uninit(&mut bytes);
    let outcome = ready!(Pin::new(io).poll_read(cx, &mut read));
    buffer.extend_from_slice(read.filled());
    Poll::Ready(outcome.is_ok() && !read.filled().is_empty())
}

pub(super) struct Writer {
    outlet: Outlet,
    /// Until the socket has its place in a meeting.
    stranger: Option<Stranger>,
}

impl Writer {
    pub(super) fn new(outlet: Outlet, stranger: Stranger) -> Self {
        Self { outlet, stranger: Some(stranger) }
    }

    pub(super) async fn run(&mut self, output: &mut WriteHalf<'_>) {
        self.write(output).await;
        self.outlet.hang_up();
    }

    /// Until all has been said; false when the peer is gone before that.
    pub(super) async fn write(&mut self, output: &mut WriteHalf<'_>) -> bool {
        let mut is_there = true;
        while let Some(mut bytes) = poll_fn(|cx| self.outlet.poll_some(cx, WRITE_BYTES)).await {
            if self.outlet.has_begun() {
                self.stranger = None;
            }
            if output.write_all_buf(&mut bytes).await.is_err() {
                is_there = self.outlet.closed().is_some();
                break;
            }
        }
        // The peer is told at once, whatever the reader still waits for.
        let _ = output.shutdown().await;
        is_there
    }
}

struct Reader {
    codec: Codec,
    buffer: BytesMut,
    session: Addr<SessionActor>,
    outlet: Outlet,
    in_flight_max: usize,
    frame_bytes_max: usize,
    /// Bytes of a frame that is too large, still to be passed over.
    skip: usize,
}

/// How long the frame at the front is, header included, and how long its payload; None while the
/// header is not complete. The codec tells a frame's size only when it has read the whole.
pub(super) fn frame_length(buffer: &[u8]) -> Option<(usize, u64)> {
    let second = buffer.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    match second & 0x7F {
        126 => {
            let bytes: [u8; 2] = buffer.get(2..4)?.try_into().ok()?;
            Some((4 + mask, u64::from(u16::from_be_bytes(bytes))))
        }
        127 => {
            let bytes: [u8; 8] = buffer.get(2..10)?.try_into().ok()?;
            Some((10 + mask, u64::from_be_bytes(bytes)))
        }
        short => Some((2 + mask, u64::from(short))),
    }
}

impl Reader {
    async fn run(&mut self, input: &mut ReadHalf<'_>) {
        while self.take_frames().await {
            if self.buffer.is_empty() {
                // An idle connection keeps no buffer.
                self.buffer = BytesMut::new();
            }
            if !poll_fn(|cx| self.poll_heard(cx, input)).await {
                break;
            }
        }
        self.outlet.hang_up();
        let _ = self.session.send(Hangup).await;
    }

    /// Ready when the peer said something, false when it will say no more.
    fn poll_heard(&mut self, cx: &mut Context<'_>, input: &mut ReadHalf<'_>) -> Poll<bool> {
        if self.outlet.poll_hung_up(cx).is_ready() {
            return Poll::Ready(false);
        }
        let is_open = ready!(poll_more(input, cx, &mut self.buffer));
        self.outlet.heard();
        Poll::Ready(is_open)
    }

    /// Passes over what belongs to a frame that is too large; false while more of it is to come.
    fn pass_over(&mut self) -> bool {
        let some = self.skip.min(self.buffer.len());
        self.buffer.advance(some);
        self.skip -= some;
        self.skip == 0
    }

    /// False when the socket is to be read no further.
    async fn take_frames(&mut self) -> bool {
        loop {
            if !self.pass_over() {
                return true;
            }
            if let Some((header, length)) = frame_length(&self.buffer)
                && length > u64::try_from(self.frame_bytes_max).unwrap_or(u64::MAX)
            {
                self.skip = usize::try_from(length).unwrap_or(usize::MAX).saturating_add(header);
                if !self.refuse(Rejection::too_large("the frame is too large")).await {
                    return false;
                }
                continue;
            }
            match self.codec.decode(&mut self.buffer) {
                Ok(None) => return true,
                Ok(Some(Frame::Text(bytes))) => {
                    let sent = match ByteString::try_from(bytes) {
                        Ok(text) => self.session.send(Incoming(text)).await.is_ok(),
                        Err(_) => self.refuse(Rejection::bad_request("a frame is UTF-8")).await,
                    };
                    if !sent {
                        return false;
                    }
                    poll_fn(|cx| self.outlet.poll_room(cx, self.in_flight_max)).await;
                }
                Ok(Some(Frame::Ping(payload))) => self.outlet.push_pong(&payload),
                Ok(Some(Frame::Pong(payload))) => self.outlet.heard_pong(&payload),
                Ok(Some(Frame::Close(_))) => return false,
                Ok(Some(Frame::Binary(_) | Frame::Continuation(_))) => {
                    if !self.refuse(Rejection::bad_request("a frame is one whole text frame")).await {
                        return false;
                    }
                }
                Err(_) => {
                    self.outlet.close(convoke_domain::CloseCode::ProtocolError);
                    return true;
                }
            }
        }
    }

    async fn refuse(&self, rejection: Rejection) -> bool {
        self.session.send(Unreadable(rejection)).await.is_ok()
    }
}
