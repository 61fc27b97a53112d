//! The Convoke server: the edge and the adapters around the actors.

pub mod adapters;
pub mod auth;
pub mod cli;
pub mod config;
pub mod http;
pub mod news;
pub mod objects;
pub mod outbox;
pub mod projections;
pub mod telemetry;
pub mod transcription;
pub mod webhooks;
pub mod whiteboards;
pub mod wiring;
