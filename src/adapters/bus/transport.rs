//! What the bus between nodes needs of an engine: publish and subscribe, at most once.

use async_trait::async_trait;

/// The engine did not take it; nobody knows whether it was done.
#[derive(Debug, thiserror::Error)]
#[error("the bus is out of reach: {0}")]
pub struct OutOfReach(pub String);

/// What is heard comes by a channel that the engine was made with. After a lost connection the
/// engine connects and subscribes again by itself; what was published meanwhile is lost.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Ready when what is published from now on is heard.
    async fn subscribe(&self, channel: &str) -> Result<(), OutOfReach>;
    async fn unsubscribe(&self, channel: &str) -> Result<(), OutOfReach>;
    /// In this order, each to its channel.
    async fn publish(&self, messages: Vec<(String, Vec<u8>)>) -> Result<(), OutOfReach>;
    /// Whether the engine answers.
    async fn ping(&self) -> Result<(), OutOfReach>;
}
