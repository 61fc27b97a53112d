//! The bus: within one process, and between nodes over a transport, which is Redis.

mod local;
mod nodes;
mod redis;
mod transport;
mod wire;

pub use local::LocalBus;
pub use nodes::NodeBus;
pub use redis::RedisTransport;
pub use transport::{OutOfReach, Transport};
