//! The Convoke server: the edge and the adapters around the actors.

pub mod adapters;
