//! The WebSocket endpoint: the only file that names actix-web-actors. It takes the handshake and
//! the frame codec from there and nothing else: that crate's own context buffers without bound, so
//! the response body drains the session's [`Outlet`] instead, and a task of its own reads the
//! socket. Either of the two ending ends the other.

use super::strangers::{Stranger, Strangers};
use super::{caller, origin};
use crate::config::Proxies;
use actix::{Actor, Addr};
use actix_http::ws::Codec;
use actix_web::web::{Buf, Bytes, BytesMut, Data, Payload};
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws;
use bytestring::ByteString;
use convoke_actors::hub::HubHandle;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::Doors;
use convoke_actors::session::{Hangup, Incoming, Pace, SessionActor, Unreadable};
use convoke_actors::supervisor::Meetings;
use convoke_domain::Rejection;
use futures_util::{Stream, StreamExt};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use tokio_util::codec::Decoder;

const PROTOCOL: &str = "convoke.v1";
/// A large frame goes out in pieces of this size, each flushed: the connection's write buffer grows to
/// what it was ever given and never shrinks, so a snapshot at once would stay in memory for ever.
const PIECE_BYTES: usize = 4 * 1024;

/// What every socket of the node is made with.
pub struct Sockets {
    pub meetings: Meetings,
    pub doors: Arc<dyn Doors>,
    pub bounds: Bounds,
    pub pace: Pace,
    pub frame_bytes_max: usize,
    pub connections_max: usize,
    pub allowed_origins: Vec<String>,
    pub proxies: Proxies,
    pub strangers: Strangers,
    pub open: AtomicUsize,
    pub readiness: Arc<super::health::Readiness>,
}

pub async fn connect(
    request: HttpRequest,
    payload: Payload,
    sockets: Data<Sockets>,
    hub: Data<HubHandle>,
) -> Result<HttpResponse, super::Problem> {
    if !origin::is_allowed(&request, &sockets.allowed_origins) {
        return Err(super::Problem::from(Rejection::not_permitted("this origin is not allowed")));
    }
    if sockets.readiness.is_draining() {
        return Err(super::Problem::from(Rejection::unavailable("the node is stopping")));
    }
    let offered = request.headers().get_all("sec-websocket-protocol").filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
    if !offered.is_empty() && !offered.contains(&PROTOCOL) {
        return Err(super::Problem::from(Rejection::bad_request("the subprotocol is convoke.v1")));
    }
    let seat = Seat::take(&sockets)?;
    let stranger = sockets.strangers.enter(caller::address(&request, &sockets.proxies))?;
    let mut response = ws::handshake_with_protocols(&request, &[PROTOCOL])
        .map_err(|error| super::Problem::from(Rejection::bad_request(format!("not a WebSocket handshake: {error}"))))?;
    let outlet = Outlet::new(sockets.bounds);
    let session = SessionActor::new(
        sockets.meetings.clone(),
        Arc::clone(&sockets.doors),
        hub.get_ref().clone(),
        outlet.clone(),
        sockets.pace,
    )
    .start();
    let reader = Reader {
        payload,
        codec: Codec::new().max_size(sockets.frame_bytes_max),
        buffer: BytesMut::new(),
        session: session.clone(),
        outlet: outlet.clone(),
        in_flight_max: sockets.pace.in_flight_max,
        frame_bytes_max: sockets.frame_bytes_max,
        skip: 0,
    };
    actix_rt::spawn(reader.run());
    Ok(response.streaming(Body {
        outlet,
        rest: Bytes::new(),
        must_flush: false,
        stranger: Some(stranger),
        _seat: seat,
    }))
}

/// One of the node's places for sockets, given back when the socket ends.
struct Seat(Data<Sockets>);

impl Seat {
    fn take(sockets: &Data<Sockets>) -> Result<Self, super::Problem> {
        if sockets.open.fetch_add(1, Ordering::AcqRel) >= sockets.connections_max {
            sockets.open.fetch_sub(1, Ordering::AcqRel);
            return Err(super::Problem::from(Rejection::unavailable("the node has no room for another socket")));
        }
        Ok(Self(sockets.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The response body: what waits in the outlet.
struct Body {
    outlet: Outlet,
    /// What is left of a large frame.
    rest: Bytes,
    must_flush: bool,
    /// Until the socket has its place in a meeting.
    stranger: Option<Stranger>,
    _seat: Seat,
}

impl Stream for Body {
    type Item = Result<Bytes, actix_web::Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.stranger.is_some() && self.outlet.has_begun() {
            self.stranger = None;
        }
        if std::mem::take(&mut self.must_flush) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.rest.is_empty() {
            match self.outlet.poll_next(cx) {
                Poll::Ready(Some(bytes)) => self.rest = bytes,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
        let piece = self.rest.len().min(PIECE_BYTES);
        let piece = self.rest.split_to(piece);
        self.must_flush = !self.rest.is_empty();
        Poll::Ready(Some(Ok(piece)))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        self.outlet.hang_up();
    }
}

struct Reader {
    payload: Payload,
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
fn frame_length(buffer: &[u8]) -> Option<(usize, u64)> {
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
    /// Passes over what belongs to a frame that is too large; false while more of it is to come.
    fn pass_over(&mut self) -> bool {
        let some = self.skip.min(self.buffer.len());
        self.buffer.advance(some);
        self.skip -= some;
        self.skip == 0
    }

    async fn run(mut self) {
        loop {
            let more = tokio::select! {
                more = self.payload.next() => more,
                () = poll_fn(|cx| self.outlet.poll_hung_up(cx)) => None,
            };
            let Some(Ok(bytes)) = more else { break };
            self.outlet.heard();
            self.buffer.extend_from_slice(&bytes);
            if !self.take_frames().await {
                break;
            }
            if self.buffer.is_empty() {
                // An idle connection keeps no buffer.
                self.buffer = BytesMut::new();
            }
        }
        self.outlet.hang_up();
        let _ = self.session.send(Hangup).await;
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
                Ok(Some(ws::Frame::Text(bytes))) => {
                    let sent = match ByteString::try_from(bytes) {
                        Ok(text) => self.session.send(Incoming(text)).await.is_ok(),
                        Err(_) => self.refuse(Rejection::bad_request("a frame is UTF-8")).await,
                    };
                    if !sent {
                        return false;
                    }
                    poll_fn(|cx| self.outlet.poll_room(cx, self.in_flight_max)).await;
                }
                Ok(Some(ws::Frame::Ping(payload))) => self.outlet.push_pong(&payload),
                Ok(Some(ws::Frame::Pong(payload))) => self.outlet.heard_pong(&payload),
                Ok(Some(ws::Frame::Close(_))) => return false,
                Ok(Some(ws::Frame::Binary(_) | ws::Frame::Continuation(_))) => {
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
