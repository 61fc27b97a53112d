//! The connection to Redis, kept: found, watched, given up when it breaks or falls silent, and found
//! again. It hides which of three it is: one server, the master that Sentinels name, or a Cluster,
//! where channels are sharded, so that a message goes through one shard instead of all. Subscriptions
//! end with the connection; whoever has some hears of each new connection (`arrivals`).

use super::way::Way;
use futures_util::future::pending;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, ProtocolVersion, PushInfo, PushKind, RedisResult,
    ServerErrorKind,
};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// How long an answer is waited for.
const RESPONSE: Duration = Duration::from_secs(1);
pub const PULSE: Duration = Duration::from_millis(500);
/// A shorter silence of Redis is nothing that anybody is told of.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// Asking all Sentinels and the master itself, or all nodes of a Cluster, takes longer than one answer.
const FINDING: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);
/// A master that was replaced may still be reachable from here, and have nobody else on it.
const MASTER_CHECK: Duration = Duration::from_secs(5);
/// What cannot be sent now is not sent later, so a Cluster's redirections are followed and no more.
const CLUSTER_RETRIES: u32 = 3;
const CLUSTER_WAIT_MS: (u64, u64) = (20, 200);

pub struct Link {
    way: Way,
    current: watch::Sender<Option<Connection>>,
    answered: Mutex<Option<Instant>>,
    pushes: mpsc::UnboundedSender<PushInfo>,
}

impl Link {
    /// Connects in the background: a Redis that is away does not keep a node from starting. What
    /// comes from Redis by itself comes out of the receiver. `probe` is a channel that nobody hears;
    /// in a Cluster it stands for the shard that this node cannot do without.
    pub fn start(way: Way, probe: String) -> (Arc<Self>, mpsc::UnboundedReceiver<PushInfo>) {
        let (pushes, inbox) = mpsc::unbounded_channel();
        let link = Arc::new(Self { way, current: watch::Sender::new(None), answered: Mutex::default(), pushes });
        tokio::spawn(Arc::clone(&link).keep(probe));
        (link, inbox)
    }

    /// Whether Redis answers, short absences aside.
    pub fn is_there(&self) -> bool {
        let answered = *self.answered.lock().unwrap_or_else(PoisonError::into_inner);
        answered.is_some_and(|at| at.elapsed() < PATIENCE)
    }

    /// Whether each channel has its own way, which may be closed while others are open.
    pub fn is_sharded(&self) -> bool {
        matches!(self.way, Way::Cluster(_))
    }

    /// Changes with every connection that comes or goes.
    pub fn arrivals(&self) -> watch::Receiver<Option<Connection>> {
        self.current.subscribe()
    }

    pub fn connection(&self) -> Option<Connection> {
        self.current.borrow().clone()
    }

    /// Publishes when there is a connection, which is waited for; not for long, and then it is not sent.
    pub async fn publish(&self, messages: Vec<(String, Vec<u8>)>) -> bool {
        let published = async {
            let connection = self.arrivals().wait_for(Option::is_some).await.ok()?.clone();
            connection?.publish(messages).await.ok()
        };
        matches!(tokio::time::timeout(RESPONSE, published).await, Ok(Some(())))
    }

    async fn keep(self: Arc<Self>, probe: String) {
        let mut is_told = false;
        loop {
            let over = Arc::new(Notify::new());
            match tokio::time::timeout(FINDING, self.connect(&over)).await {
                Ok(Ok((connection, server))) => {
                    is_told = false;
                    self.current.send_replace(Some(connection.clone()));
                    tokio::select! {
                        () = over.notified() => {}
                        () = self.falls_silent(connection, &probe) => tracing::warn!("Redis does not answer"),
                        () = self.is_replaced(server) => tracing::warn!("Redis has another master"),
                    }
                    self.current.send_replace(None);
                }
                failed if !is_told => {
                    is_told = true;
                    // Told by its kind: whatever else an error says may come from the URL.
                    let error = failed.ok().and_then(Result::err);
                    let kind = error.as_ref().map(redis::RedisError::kind);
                    let code = error.as_ref().and_then(redis::RedisError::code);
                    tracing::warn!(?kind, code, "no connection to Redis");
                }
                _ => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// A new connection, and the server's address where Sentinels have named it.
    async fn connect(&self, over: &Arc<Notify>) -> RedisResult<(Connection, Option<String>)> {
        match &self.way {
            Way::One(client) => Ok((self.connect_to(client, over).await?, None)),
            Way::Sentinels(sentinels) => {
                let master = sentinels.lock().await.async_get_client().await?;
                let address = master.get_connection_info().addr().to_string();
                Ok((self.connect_to(&master, over).await?, Some(address)))
            }
            Way::Cluster(nodes) => {
                let builder = ClusterClientBuilder::new(nodes.clone())
                    .use_protocol(ProtocolVersion::RESP3)
                    .push_sender(self.pushes.clone())
                    .connection_timeout(RESPONSE)
                    .response_timeout(RESPONSE)
                    .retries(CLUSTER_RETRIES)
                    .min_retry_wait(CLUSTER_WAIT_MS.0)
                    .max_retry_wait(CLUSTER_WAIT_MS.1);
                // It finds lost nodes and moved slots again by itself.
                Ok((Connection::Cluster(builder.build()?.get_async_connection().await?), None))
            }
        }
    }

    async fn connect_to(&self, client: &Client, over: &Arc<Notify>) -> RedisResult<Connection> {
        let (pushes, over) = (self.pushes.clone(), Arc::clone(over));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(RESPONSE))
            .set_response_timeout(Some(RESPONSE))
            .set_push_sender(move |push: PushInfo| {
                if push.kind == PushKind::Disconnection {
                    over.notify_one();
                }
                pushes.send(push)
            });
        client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::One)
    }

    /// Ends when nothing was answered for too long.
    async fn falls_silent(&self, mut connection: Connection, probe: &str) {
        let mut last = Instant::now();
        while last.elapsed() < PATIENCE {
            let answer = tokio::time::timeout(RESPONSE, connection.publish(vec![(probe.to_owned(), Vec::new())])).await;
            if matches!(answer, Ok(Ok(()))) {
                last = Instant::now();
                *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(last);
            }
            tokio::time::sleep(PULSE).await;
        }
    }

    /// Ends when the Sentinels name another master than the one that is connected.
    async fn is_replaced(&self, server: Option<String>) {
        let (Way::Sentinels(sentinels), Some(server)) = (&self.way, server) else { return pending().await };
        loop {
            tokio::time::sleep(MASTER_CHECK).await;
            let named = async { sentinels.lock().await.async_get_client().await };
            // Sentinels that do not answer, or are just at it, say nothing against this one.
            if let Ok(Ok(master)) = tokio::time::timeout(FINDING, named).await
                && master.get_connection_info().addr().to_string() != server
            {
                return;
            }
        }
    }
}

#[derive(Clone)]
pub enum Connection {
    One(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Publishes in the order given; in a Cluster, to channels of one shard.
    async fn publish(&mut self, messages: Vec<(String, Vec<u8>)>) -> RedisResult<()> {
        let verb = if matches!(self, Self::Cluster(_)) { "SPUBLISH" } else { "PUBLISH" };
        let mut pipe = redis::pipe();
        for (channel, bytes) in messages {
            pipe.cmd(verb).arg(channel).arg(bytes).ignore();
        }
        match self {
            Self::One(one) => pipe.exec_async(one).await,
            Self::Cluster(cluster) => pipe.exec_async(cluster).await,
        }
    }

    pub async fn subscribe(&mut self, channel: &str) -> RedisResult<()> {
        match self {
            Self::One(one) => one.subscribe(channel).await,
            Self::Cluster(cluster) => cluster.ssubscribe(channel).await,
        }
    }

    pub async fn unsubscribe(&mut self, channel: &str) -> RedisResult<()> {
        match self {
            Self::One(one) => one.unsubscribe(channel).await,
            Self::Cluster(cluster) => cluster.sunsubscribe(channel).await,
        }
    }

    async fn query<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::One(one) => command.query_async(one).await,
            Self::Cluster(cluster) => command.query_async(cluster).await,
        }
    }

    /// Runs a script on one key. A server that does not know it yet is sent the whole, which also
    /// makes it known: to that server alone, because in a Cluster another one may be away.
    pub async fn run<T: FromRedisValue>(&mut self, script: &Script, key: &str, arguments: &[u64]) -> RedisResult<T> {
        let mut short = redis::cmd("EVALSHA");
        short.arg(&script.hash).arg(1).arg(key).arg(arguments);
        match self.query(&short).await {
            Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                self.query(redis::cmd("EVAL").arg(script.code).arg(1).arg(key).arg(arguments)).await
            }
            told => told,
        }
    }
}

/// A script in Lua, and the name that Redis knows it by.
pub struct Script {
    code: &'static str,
    hash: String,
}

impl Script {
    pub fn new(code: &'static str) -> Self {
        Self { code, hash: redis::Script::new(code).get_hash().to_owned() }
    }
}
