//! Redis as the transport between nodes: its pub/sub over one RESP3 connection that is made again,
//! with its subscriptions, whenever it is lost.

use super::transport::{OutOfReach, Transport};
use async_trait::async_trait;
use bytes::Bytes;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{IntoConnectionInfo, ProtocolVersion, PushInfo, PushKind, RedisError, Value};
use std::time::Duration;
use tokio::sync::mpsc;

const RESPONSE: Duration = Duration::from_secs(1);

pub struct RedisTransport(ConnectionManager);

impl RedisTransport {
    /// Connects in the background; a Redis that is away does not keep a node from starting.
    pub fn connect(url: &str) -> Result<(Self, mpsc::UnboundedReceiver<Bytes>), RedisError> {
        let info = url.into_connection_info()?;
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = redis::Client::open(info.set_redis_settings(redis))?;
        let (pushes, pushed) = mpsc::unbounded_channel();
        let config = ConnectionManagerConfig::new()
            .set_push_sender(pushes)
            .set_automatic_resubscription()
            .set_response_timeout(Some(RESPONSE))
            .set_connection_timeout(Some(RESPONSE))
            .set_min_delay(Duration::from_millis(50))
            .set_max_delay(Duration::from_millis(500))
            .set_number_of_retries(6);
        let connection = ConnectionManager::new_lazy_with_config(client, config)?;
        let (heard, inbox) = mpsc::unbounded_channel();
        actix_rt::spawn(hear(pushed, heard));
        Ok((Self(connection), inbox))
    }
}

/// Passes on what was published, and nothing else that Redis says.
async fn hear(mut pushed: mpsc::UnboundedReceiver<PushInfo>, heard: mpsc::UnboundedSender<Bytes>) {
    while let Some(push) = pushed.recv().await {
        match push.kind {
            PushKind::Message => {
                if let Some(Value::BulkString(bytes)) = push.data.into_iter().nth(1)
                    && heard.send(bytes.into()).is_err()
                {
                    return;
                }
            }
            PushKind::Disconnection => tracing::warn!("the connection to Redis broke"),
            _ => {}
        }
    }
}

fn out_of_reach(error: impl std::fmt::Display) -> OutOfReach {
    OutOfReach(error.to_string())
}

#[async_trait]
impl Transport for RedisTransport {
    async fn subscribe(&self, channel: &str) -> Result<(), OutOfReach> {
        self.0.clone().subscribe(channel).await.map_err(out_of_reach)
    }

    async fn unsubscribe(&self, channel: &str) -> Result<(), OutOfReach> {
        self.0.clone().unsubscribe(channel).await.map_err(out_of_reach)
    }

    async fn publish(&self, messages: Vec<(String, Vec<u8>)>) -> Result<(), OutOfReach> {
        let mut pipe = redis::pipe();
        for (channel, bytes) in messages {
            pipe.cmd("PUBLISH").arg(channel).arg(bytes).ignore();
        }
        let mut connection = self.0.clone();
        match tokio::time::timeout(RESPONSE, pipe.query_async::<()>(&mut connection)).await {
            Ok(sent) => sent.map_err(out_of_reach),
            Err(late) => Err(out_of_reach(late)),
        }
    }

    async fn ping(&self) -> Result<(), OutOfReach> {
        let mut connection = self.0.clone();
        redis::cmd("PING").query_async::<String>(&mut connection).await.map(drop).map_err(out_of_reach)
    }
}
