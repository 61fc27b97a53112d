//! The bus: within one process, and between nodes by Redis. `redis` says what nodes tell each other;
//! `way`, `link` and `subscriptions` are the connection below it, whichever kind of Redis it leads to.

mod answers;
mod link;
mod local;
mod redis;
mod subscriptions;
mod way;
mod wire;

pub use link::{Connection, Link, Script};
pub use local::LocalBus;
pub use redis::RedisBus;
pub use way::{Way, check_url};
