//! What the bus between nodes needs of an engine: publish and subscribe, at most once. What is heard
//! comes by a channel that the engine was made with. After a lost connection it connects and listens
//! again by itself; what was published meanwhile is lost.

use async_trait::async_trait;
use std::time::Duration;

#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Hears this channel from now on.
    fn listen(&self, channel: String);
    fn ignore(&self, channel: String);
    /// Waits until a channel is heard, or not so long.
    async fn is_heard(&self, channel: &str, at_most: Duration);
    /// In order within each channel. What cannot be sent now is not sent later.
    fn publish(&self, channel: String, bytes: Vec<u8>);
    /// Whether the engine answers, short absences aside.
    fn is_there(&self) -> bool;
}
