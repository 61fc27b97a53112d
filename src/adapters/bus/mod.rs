//! The bus: within one process, and between nodes over a transport, which is Redis. `nodes` and `wire`
//! say what nodes tell each other; `redis` is the transport, with `way`, `link`, `outbound` and
//! `subscriptions` below it, whichever Redis it leads to.

mod answers;
mod link;
mod local;
mod nodes;
mod outbound;
mod redis;
mod subscriptions;
mod transport;
mod way;
mod wire;

pub use link::{Connection, Link, Script};
pub use local::LocalBus;
pub use nodes::NodeBus;
pub use redis::RedisTransport;
pub use transport::Transport;
pub use way::{Way, check_url};
