//! Redis as the transport between nodes: one server, the master that Sentinels name, or a Cluster.

use super::link::Link;
use super::outbound::Outbound;
use super::subscriptions::Subscriptions;
use super::transport::Transport;
use super::way::Way;
use super::wire::probe_channel;
use async_trait::async_trait;
use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

pub struct RedisTransport {
    link: Arc<Link>,
    outbound: Outbound,
    subscriptions: Arc<Subscriptions>,
}

impl RedisTransport {
    /// Connects in the background; a Redis that is away does not keep a node from starting. Runs on
    /// the present runtime, which must outlive it.
    pub fn start(way: Way, node: &str) -> (Arc<Self>, mpsc::UnboundedReceiver<Bytes>) {
        let (link, pushed) = Link::start(way, probe_channel(node));
        let subscriptions = Subscriptions::start(Arc::clone(&link));
        let (heard, inbox) = mpsc::unbounded_channel();
        tokio::spawn(hear(Arc::clone(&subscriptions), pushed, heard));
        let outbound = Outbound::start(Arc::clone(&link));
        (Arc::new(Self { link, outbound, subscriptions }), inbox)
    }

    /// The connection, for whatever else nodes share by Redis.
    pub fn link(&self) -> Arc<Link> {
        Arc::clone(&self.link)
    }
}

async fn hear(
    subscriptions: Arc<Subscriptions>,
    mut pushed: mpsc::UnboundedReceiver<PushInfo>,
    heard: mpsc::UnboundedSender<Bytes>,
) {
    while let Some(PushInfo { kind, data }) = pushed.recv().await {
        match (kind, data.into_iter().take(2).collect::<Vec<_>>().as_mut_slice()) {
            (PushKind::Message | PushKind::SMessage, [_, Value::BulkString(bytes)]) => {
                // A bus that is gone hears nothing.
                let _ = heard.send(std::mem::take(bytes).into());
            }
            // A shard that moves ends the subscriptions to it.
            (PushKind::SUnsubscribe, [Value::BulkString(channel), ..]) => {
                subscriptions.ended(String::from_utf8_lossy(channel).into_owned());
            }
            // Of a Cluster one node may go while the connection as a whole stays.
            (PushKind::Disconnection, _) => {
                tracing::warn!("a connection to Redis broke");
                subscriptions.renew();
            }
            _ => {}
        }
    }
}

#[async_trait]
impl Transport for RedisTransport {
    fn listen(&self, channel: String) {
        self.subscriptions.want(channel);
    }

    fn ignore(&self, channel: String) {
        self.subscriptions.unwant(channel);
    }

    async fn is_heard(&self, channel: &str, at_most: Duration) {
        self.subscriptions.is_heard(channel, at_most).await;
    }

    fn publish(&self, channel: String, bytes: Vec<u8>) {
        self.outbound.send(channel, bytes);
    }

    fn is_there(&self) -> bool {
        self.link.is_there()
    }
}
