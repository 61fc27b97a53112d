//! The WebSocket endpoint: who may open a socket, and what it is made of. The only file that names
//! actix-web-actors, and only the handshake is taken from there: that crate's own context buffers
//! without bound, so a [`Socket`] serves the connection instead.

use super::socket::Socket;
use super::strangers::Strangers;
use super::upgrade::Slot;
use super::{caller, origin};
use crate::config::Proxies;
use actix_web::web::Data;
use actix_web::{HttpRequest, HttpResponse};
use actix_web_actors::ws;
use convoke_actors::hub::HubHandle;
use convoke_actors::outlet::{Bounds, Outlet};
use convoke_actors::ports::Doors;
use convoke_actors::session::{Pace, SessionActor};
use convoke_actors::supervisor::Meetings;
use convoke_domain::Rejection;
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

pub async fn connect(
    request: HttpRequest,
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
    let Some(slot) = Slot::of(&request) else {
        return Err(super::Problem::from(Rejection::bad_request("not a WebSocket handshake: it has a body")));
    };
    let outlet = Outlet::new(sockets.bounds);
    let session = SessionActor::new(
        sockets.meetings.clone(),
        Arc::clone(&sockets.doors),
        hub.get_ref().clone(),
        outlet.clone(),
        sockets.pace,
    );
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
