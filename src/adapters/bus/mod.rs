//! The bus: within one process, and between nodes by Redis. `redis` and `wire` say what nodes tell each
//! other; `way`, `link`, `outbound` and `subscriptions` are the connection below, whichever Redis it leads to.

mod answers;
mod link;
mod local;
mod outbound;
mod redis;
mod subscriptions;
mod way;
mod wire;

pub use link::{Connection, Link, Script};
pub use local::LocalBus;
pub use redis::RedisBus;
pub use way::{Way, check_url};
