//! The WebSocket endpoint: who may open a socket, and what it is made of. The only file that names
//! actix-web-actors, and only the handshake is taken from there: that crate's own context buffers
//! without bound, so a [`Socket`] serves the connection instead.

use super::board_socket::BoardSocket;
use super::socket::Socket;
use super::strangers::Strangers;
use super::upgrade::Slot;
use super::{caller, origin};
use crate::config::Proxies;
use actix_web::web::{Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws;
use convoke_actors::hub::HubHandle;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::Doors;
use convoke_actors::session::{Pace, SessionActor};
use convoke_actors::supervisor::Meetings;
use convoke_actors::whiteboard::hub::BoardHubHandle;
use convoke_domain::{Code, Rejection, WhiteboardId};
use governor::Quota;
use serde::Deserialize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const PROTOCOL: &str = "convoke.v1";

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
    pub public_url: Option<String>,
    /// Messages a second of one socket of a board, and at once.
    pub board_pace: Quota,
}

impl Sockets {
    /// Waits until the last socket is gone, or for so long.
    pub async fn gone(&self, most: Duration) {
        let last = async {
            while self.open.load(Ordering::Acquire) > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let _ = tokio::time::timeout(most, last).await;
    }
}

/// Whether somebody may open a socket here and now.
fn admit(request: &HttpRequest, sockets: &Sockets) -> Result<(), super::Problem> {
    if !origin::is_allowed(request, &sockets.allowed_origins) {
        return Err(super::Problem::from(Rejection::not_permitted("this origin is not allowed")));
    }
    if sockets.readiness.is_draining() {
        return Err(super::Problem::from(Rejection::unavailable("the node is stopping")));
    }
    Ok(())
}

fn no_handshake(error: &dyn std::fmt::Display) -> super::Problem {
    super::Problem::from(Rejection::bad_request(format!("not a WebSocket handshake: {error}")))
}

/// What clients reach this server by, as `wss://host`.
fn base(request: &HttpRequest, sockets: &Sockets) -> String {
    let base = super::tokens::base_of(sockets.public_url.as_deref(), request);
    match base.strip_prefix("http") {
        Some(rest) => format!("ws{rest}"),
        None => base,
    }
}

/// A whiteboard, by the y-websocket protocol. Its token says who comes, and the meeting whether they may.
pub async fn connect_board(
    request: HttpRequest,
    sockets: Data<Sockets>,
    hub: Data<BoardHubHandle>,
    board: Path<String>,
    query: Query<BoardQuery>,
) -> Result<HttpResponse, super::Problem> {
    admit(&request, &sockets)?;
    let unknown = || Rejection::new(Code::Unauthenticated, "the token does not open this whiteboard");
    let (ticket, opens) = sockets.doors.board_ticket(&query.token).ok_or_else(unknown)?;
    if board.parse::<WhiteboardId>().ok() != Some(opens) {
        return Err(unknown().into());
    }
    let seat = Seat::take(&sockets)?;
    let stranger = sockets.strangers.enter(caller::address(&request, &sockets.proxies))?;
    let mut response = ws::handshake(&request).map_err(|error| no_handshake(&error))?;
    let slot = Slot::of(&request).ok_or_else(|| no_handshake(&"it has a body"))?;
    let frame_bytes_max = sockets.meetings.env().whiteboards.bounds.frame_bytes_max;
    slot.fill(BoardSocket {
        outlet: Outlet::new(board_bounds(sockets.bounds, frame_bytes_max)),
        hub: hub.get_ref().clone(),
        ticket,
        board: opens,
        frame_bytes_max,
        quota: sockets.board_pace,
        stranger,
        seat,
    });
    Ok(response.finish())
}

/// A board shows at once what was drawn until a commit was done: a message of the largest, and others before
/// it. Whoever has read all that was before is not slow for that. The bytes are the same for all sockets of a
/// thread.
fn board_bounds(bounds: Bounds, frame_bytes_max: usize) -> Bounds {
    Bounds { reliable_bytes_max: bounds.reliable_bytes_max.max(frame_bytes_max.saturating_mul(2)), ..bounds }
}

#[derive(Deserialize)]
pub struct BoardQuery {
    #[serde(default)]
    token: String,
}

pub async fn connect(
    request: HttpRequest,
    sockets: Data<Sockets>,
    hub: Data<HubHandle>,
) -> Result<HttpResponse, super::Problem> {
    admit(&request, &sockets)?;
    let offered = request.headers().get_all("sec-websocket-protocol").filter_map(|value| value.to_str().ok());
    let offered: Vec<&str> = offered.flat_map(|value| value.split(',')).map(str::trim).collect();
    if !offered.is_empty() && !offered.contains(&PROTOCOL) {
        return Err(super::Problem::from(Rejection::bad_request("the subprotocol is convoke.v1")));
    }
    let seat = Seat::take(&sockets)?;
    let stranger = sockets.strangers.enter(caller::address(&request, &sockets.proxies))?;
    let mut response = ws::handshake_with_protocols(&request, &[PROTOCOL]).map_err(|error| no_handshake(&error))?;
    let slot = Slot::of(&request).ok_or_else(|| no_handshake(&"it has a body"))?;
    let outlet = Outlet::new(sockets.bounds);
    let session = SessionActor::new(
        sockets.meetings.clone(),
        Arc::clone(&sockets.doors),
        hub.get_ref().clone(),
        outlet.clone(),
        sockets.pace,
    )
    .at(base(&request, &sockets));
    slot.fill(Socket {
        outlet,
        session,
        in_flight_max: sockets.pace.in_flight_max,
        frame_bytes_max: sockets.frame_bytes_max,
        stranger,
        seat,
    });
    Ok(response.finish())
}

/// One of the node's places for sockets, given back when the socket ends.
pub struct Seat(Data<Sockets>);

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
