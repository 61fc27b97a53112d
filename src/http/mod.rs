//! The edge: REST, one file a resource, and the WebSocket endpoint. `routes` is the index.

pub mod asyncapi;
mod board_socket;
pub mod breakout;
pub mod caller;
mod caused;
pub mod csv;
pub mod envelope;
pub mod health;
pub mod invitations;
pub mod limits;
pub mod livekit;
pub mod log;
pub mod meetings;
pub mod objects;
pub mod origin;
pub mod people;
pub mod polls;
pub mod post;
pub mod problem;
pub mod questions;
pub mod reads;
mod recorder;
pub mod recordings;
pub mod report;
pub mod routes;
pub mod socket;
pub mod storage;
pub mod strangers;
pub mod tokens;
pub mod transcript;
pub mod transcripts;
pub mod upgrade;
pub mod webhooks;
mod whiteboards;
pub mod ws;

pub use problem::Problem;

use crate::auth::Keyring;
use crate::objects::{Keeper, Links};
use crate::outbox::InvitationCodes;
use crate::projections::Projections;
use crate::transcription::Transcripts;
use crate::webhooks::Webhooks;
use crate::whiteboards::Exporter;
use convoke_actors::node::Node;
use std::sync::Arc;

/// What the REST handlers share.
pub struct Edge {
    pub node: Node,
    pub keyring: Keyring,
    pub projections: Projections,
    pub codes: InvitationCodes,
    pub webhooks: Webhooks,
    pub keeper: Arc<Keeper>,
    pub links: Links,
    pub link_ttl_s_max: u64,
    pub transcripts: Transcripts,
    pub exporter: Exporter,
    pub public_url: Option<String>,
    pub limits: limits::RateLimits,
    pub proxies: crate::config::Proxies,
}
