//! The bus: within one process, and between nodes by Redis.

mod local;
mod redis;
mod wire;

pub use local::LocalBus;
pub use redis::RedisBus;
