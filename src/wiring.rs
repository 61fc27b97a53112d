//! The one place where ports meet adapters: opens the database, makes the actors, serves, and
//! stops everything in order when it is told to.

use crate::adapters::budgets::RedisBudgets;
use crate::adapters::bus::{LocalBus, NodeBus, RedisTransport, Way};
use crate::adapters::clock::SystemClock;
use crate::adapters::media;
use crate::adapters::store::{self, Db};
use crate::auth::{ApiKey, Gate, Keyring, ResumeTokens, parse_keys};
use crate::config::Config;
use crate::http::health::Readiness;
use crate::http::{
    Edge,
    limits::{RateLimits, Shared},
    origin, routes,
    strangers::Strangers,
    upgrade::upgrades,
    ws,
};
use crate::news::Inlet;
use crate::objects::{Keeper, Ledger, Links, LookPolicy, Looker, Looking, Objects, ObjectsError, Tools};
use crate::outbox::{Delivering, InvitationCodes, Outbox};
use crate::projections::Projections;
use crate::transcription::{self, Jobs, Transcriber, Transcripts, deepgram};
use crate::webhooks::{Client, NoClient, Secrets, Webhooks};
use crate::whiteboards::Exporter;
use actix::Actor;
use actix_http::HttpService;
use actix_server::Server;
use actix_service::map_config;
use actix_web::dev::AppConfig;
use actix_web::web::{self, Data};
use actix_web::{App, middleware};
use convoke_actors::hub::{CloseSockets, Follow, Hub};
use convoke_actors::journal::Journal;
use convoke_actors::node::Node;
use convoke_actors::ports::{Bus, Clock, MediaError, StoreError};
use convoke_actors::supervisor::{Env, Life, Meetings, Supervisor};
use convoke_actors::whiteboard::Whiteboards;
use convoke_actors::whiteboard::deep::Place;
use convoke_actors::whiteboard::hub::{BoardHub, CloseBoards};
use convoke_domain::CloseCode;
use futures_util::future::join_all;
use secrecy::ExposeSecret;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How long the head of a request may take.
const REQUEST: Duration = Duration::from_secs(10);
/// How long a peer may take to close its side after an answer that ends the connection.
const DISCONNECT: Duration = Duration::from_secs(1);
const TIDY: Duration = Duration::from_secs(60);

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Keys(#[from] crate::auth::KeyError),
    #[error("cannot listen on {0}: {1}")]
    Bind(std::net::SocketAddr, std::io::Error),
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
    /// Without the URL, which may hold a password.
    #[error("the Redis URL {0}")]
    Bus(&'static str),
    #[error("{0}")]
    Media(#[from] MediaError),
    #[error("{0}")]
    Webhooks(#[from] NoClient),
    #[error("{0}")]
    Objects(#[from] ObjectsError),
    #[error("{0}")]
    Transcriber(#[from] deepgram::NoClient),
    #[error("metrics: {0}")]
    Metrics(String),
}

/// The API keys: the configured ones, or the one that the database keeps, made at the first start.
pub async fn api_keys(config: &Config, db: &Db) -> Result<Vec<ApiKey>, ServeError> {
    if let Some(keys) = &config.api_keys {
        return Ok(parse_keys(keys.expose_secret())?);
    }
    let kept = db.api_keys().await?;
    if !kept.is_empty() {
        return Ok(kept);
    }
    db.make_api_key(SystemClock::default().now()).await?;
    let made = db.api_keys().await?;
    for key in &made {
        // The one time that it is shown; afterwards the database keeps it.
        eprintln!("An API key was made: {}/{}:{}", key.tenant, key.key, key.secret.expose_secret());
    }
    Ok(made)
}

/// What writes to the sockets of one thread.
type HubsOfThread = (actix::Addr<Hub>, actix::Addr<BoardHub>);

struct Buses {
    bus: Arc<dyn Bus>,
    follow: Arc<dyn Follow>,
    nodes: Option<Arc<NodeBus>>,
    redis: Option<Arc<RedisTransport>>,
}

/// The bus within the process, or between nodes where Redis is named.
fn buses(config: &Config, node: &str, db: &Db) -> Result<Buses, ServeError> {
    let url = match (&config.redis_url, db) {
        (Some(url), Db::Postgres(_)) => url,
        (named, _) => {
            if named.is_some() {
                tracing::warn!("Redis is not used: with SQLite there is one node and no other");
            }
            let bus = Arc::new(LocalBus::default());
            return Ok(Buses { bus: bus.clone(), follow: bus, nodes: None, redis: None });
        }
    };
    let way = Way::parse(url.expose_secret()).map_err(ServeError::Bus)?;
    let (redis, inbox) = RedisTransport::start(way, node);
    let bus = NodeBus::start(redis.clone(), inbox, node, uuid::Uuid::now_v7());
    Ok(Buses { bus: bus.clone(), follow: bus.clone(), nodes: Some(bus), redis: Some(redis) })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

pub async fn serve(config: Config) -> Result<(), ServeError> {
    let prometheus = metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .map_err(|error| ServeError::Metrics(error.to_string()))?;
    let opened = store::open(config.database_url.expose_secret()).await?;
    opened.db.migrate().await?;
    let keyring = Keyring::new(api_keys(&config, &opened.db).await?);
    let secret = opened.db.secret("resume").await?;
    let gate = Arc::new(Gate::new(keyring.clone(), ResumeTokens::new(secret.as_bytes())));
    let timing = config.timing();
    let node_name = config.node_id.clone().unwrap_or_else(|| match &opened.db {
        // Its file is locked, so whoever opens it next is this node in another life.
        Db::Sqlite { .. } => "embedded".to_owned(),
        Db::Postgres(_) => uuid::Uuid::now_v7().to_string(),
    });
    let until = tokio::time::Instant::now() + timing.lease;
    let life = Life::new(opened.store.boot(&node_name, timing.lease).await?, until);
    tracing::info!(node = %node_name, epoch = life.get().epoch, "the node begins");

    let threads = match config.meeting_threads {
        0 => (cores() / 2).max(1),
        chosen => chosen,
    };
    let arbiters: Vec<actix::Arbiter> = (0..threads).map(|_| actix::Arbiter::new()).collect();
    let Buses { bus, follow, nodes, redis } = buses(&config, &node_name, &opened.db)?;
    let codes = InvitationCodes::new(opened.db.secret("invitations").await?.as_bytes());
    let webhooks = Webhooks::new(
        opened.db.clone(),
        Arc::clone(&opened.store),
        Secrets::new(&opened.db.secret("webhooks").await?),
        Client::new(config.webhook_allow_private == "yes")?,
        Arc::default(),
    );
    let outbox = Outbox::new(&config, &opened.db, codes.clone(), &webhooks);
    let journal_store = outbox.recording(Arc::clone(&opened.store));
    // A thread of its own where there are many that write; one alone is spared the way to another.
    let journal_thread = match arbiters.as_slice() {
        [only] => only.handle(),
        _ => actix::Arbiter::new().handle(),
    };
    let journal = Journal::start_in_arbiter(&journal_thread, |_| Journal::new(journal_store));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::default());
    // Before anybody is let in: sockets of two nodes are told apart by their times.
    clock.correct(opened.store.now().await?);
    let media = media::open(&config)?;
    let env = Env {
        store: Arc::clone(&opened.store),
        journal,
        bus,
        clock: Arc::clone(&clock),
        doors: gate.clone(),
        media: media.media,
        media_rooms: media.rooms,
        recorder: media.recorder,
        limits: Arc::new(config.limits()),
        life: Arc::clone(&life),
        timing,
        whiteboards: Whiteboards::new(config.whiteboard_bounds(), Place::Aside),
    };
    let meetings = Meetings::new(env, &arbiters);
    let _supervisor = Supervisor::start_here(meetings.clone());
    if let Some(nodes) = &nodes {
        nodes.serve(meetings.clone());
    }
    let projections =
        Projections::new(Arc::clone(&opened.store), opened.db.clone()).telling(Arc::clone(webhooks.written()));
    let upkeep = tokio::spawn(crate::telemetry::upkeep(prometheus.clone()));
    let projecting = tokio::spawn(projections.clone().run(meetings.clone()));
    let objects = Objects::open(&config.objects_url)?;
    let ledger = Ledger::new(opened.db.clone());
    let links = Links::new(opened.db.secret("objects").await?.as_bytes());
    let every = Duration::from_secs(config.retention_interval_s);
    let keeper = Arc::new(Keeper::new(ledger.clone(), objects.clone(), every));
    let keeping = Arc::clone(&keeper).start();
    let looking = looking(&config, ledger, objects.clone());
    let jobs = Jobs::new(opened.db.clone());
    let (transcripts, transcribing) = transcribing(&config, jobs, objects, &webhooks)?;
    let delivering = outbox.start();
    let (inlet, telling) = match Inlet::start(&config, &meetings, keyring.tenants().cloned().collect()) {
        Some((inlet, telling)) => (Some(Data::new(inlet)), Some(telling)),
        None => (None, None),
    };
    let readiness = Arc::new(Readiness::default());
    let shared = redis.as_ref().map(|redis| -> Arc<dyn Shared> { Arc::new(RedisBudgets::new(redis.link())) });
    let edge = Data::new(Edge {
        node: Node::new(meetings.clone()),
        keyring,
        projections,
        codes,
        webhooks,
        keeper,
        links,
        link_ttl_s_max: config.link_ttl_s_max,
        transcripts,
        exporter: Exporter::new(config.export_pace()),
        public_url: config.public_url.clone(),
        limits: RateLimits::new(&config, shared),
        proxies: config.proxies(),
    });
    let tidying = tokio::spawn(tidy(edge.clone()));
    let sockets = Data::new(ws::Sockets {
        meetings: meetings.clone(),
        doors: gate,
        bounds: config.bounds(),
        pace: config.pace(),
        frame_bytes_max: config.frame_bytes_max,
        connections_max: config.connections_max,
        allowed_origins: config.allowed_origins.clone(),
        proxies: config.proxies(),
        strangers: Strangers::new(config.unjoined_per_address_max),
        open: AtomicUsize::new(0),
        readiness: Arc::clone(&readiness),
        public_url: config.public_url.clone(),
        board_pace: config.board_pace(),
    });
    let hubs: Arc<Mutex<Vec<HubsOfThread>>> = Arc::default();
    let numbers = Arc::new(AtomicU64::new(0));
    let workers = if config.workers == 0 { cores() } else { config.workers };
    let server = {
        let (meetings, readiness, hubs, clock) = (meetings.clone(), Arc::clone(&readiness), Arc::clone(&hubs), clock);
        let sockets = sockets.clone();
        let body_bytes_max = config.body_bytes_max;
        let (tick, allowed) = (Duration::from_secs(config.tick_s), config.allowed_origins.clone());
        let builder = Server::build().workers(workers).disable_signals().shutdown_timeout(config.shutdown_s);
        let stopping = builder.graceful_shutdown_signal();
        builder.bind("convoke", config.bind, move || {
            // Runs once on each worker thread: the hub belongs to its thread.
            let number = numbers.fetch_add(1, Ordering::Relaxed);
            let (hub, handle) = Hub::start_here(number, Arc::clone(&follow), Arc::clone(&clock), tick);
            let bus = Arc::clone(&meetings.env().bus);
            let (board_hub, board_handle) =
                BoardHub::start_here(number, bus.board_hubs(), bus.as_ref(), meetings.clone());
            hubs.lock().unwrap_or_else(PoisonError::into_inner).push((hub, board_hub));
            let app = || {
                let allowed = allowed.clone();
                let cors = actix_cors::Cors::default()
                    .allowed_origin_fn(move |value, head| {
                        let host = head.headers().get("host").and_then(|host| host.to_str().ok()).unwrap_or("");
                        value.to_str().is_ok_and(|value| origin::is_listed(value, host, &allowed))
                    })
                    .allowed_methods(["GET", "POST", "PATCH", "PUT", "DELETE"])
                    .allowed_headers([
                        "authorization",
                        "content-type",
                        "idempotency-key",
                        "if-none-match",
                        "if-range",
                        "range",
                        "traceparent",
                        "x-request-id",
                    ])
                    .expose_headers([
                        "accept-ranges",
                        "content-disposition",
                        "content-range",
                        "etag",
                        "x-request-id",
                        "x-ratelimit-limit",
                        "x-ratelimit-remaining",
                        "x-ratelimit-reset",
                        "retry-after",
                    ])
                    .max_age(600);
                App::new()
                    .app_data(edge.clone())
                    .app_data(sockets.clone())
                    .app_data(Data::new(handle.clone()))
                    .app_data(Data::new(board_handle.clone()))
                    .app_data(Data::new(Arc::clone(&readiness)))
                    .app_data(Data::new(meetings.clone()))
                    .app_data(Data::new(prometheus.clone()))
                    .app_data(web::PayloadConfig::new(body_bytes_max))
                    .configure(|app| {
                        if let Some(inlet) = &inlet {
                            app.app_data(inlet.clone());
                        }
                    })
                    .wrap(middleware::from_fn(crate::http::envelope::wrap))
                    .wrap(cors)
                    .configure(routes::routes)
            };
            let stopping = stopping.clone();
            HttpService::build()
                .client_request_timeout(REQUEST)
                .client_disconnect_timeout(DISCONNECT)
                .graceful_shutdown_signal(move || {
                    let stopping = stopping.clone();
                    async move { stopping.notified().await }
                })
                .upgrade(upgrades(app()))
                .finish(map_config(app(), |_| AppConfig::default()))
                .tcp()
        })
    };
    let server = server.map_err(|error| ServeError::Bind(config.bind, error))?.run();
    tracing::info!(bind = %config.bind, "listening");
    let handle = server.handle();
    let serving = actix_rt::spawn(server);
    wait_for_signal().await;

    tracing::info!("stopping");
    readiness.drain();
    // Everything decided is written and answered before a socket is told to go.
    meetings.stop().await;
    let hubs: Vec<_> = std::mem::take(&mut *hubs.lock().unwrap_or_else(PoisonError::into_inner));
    for (hub, board_hub) in &hubs {
        let _ = hub.send(CloseSockets { meeting: None, code: CloseCode::GoingAway }).await;
        let _ = board_hub.send(CloseBoards(CloseCode::GoingAway)).await;
    }
    sockets.gone(Duration::from_secs(config.shutdown_s)).await;
    handle.stop(true).await;
    if let Ok(served) = serving.await {
        served?;
    }
    projecting.abort();
    upkeep.abort();
    tidying.abort();
    drop(telling);
    keeping.stop().await;
    if let Some(looking) = looking {
        looking.stop().await;
    }
    if let Some(transcribing) = transcribing {
        transcribing.stop().await;
    }
    join_all(delivering.into_iter().map(Delivering::stop)).await;
    life.end();
    opened.store.retire(&life.get()).await?;
    opened.db.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Looks at recordings where the tools for it are installed; where they are not, what is to be looked at waits.
fn looking(config: &Config, ledger: Ledger, objects: Objects) -> Option<Looking> {
    let tool = Duration::from_secs(config.look_s);
    let policy = LookPolicy { tool, bytes_max: config.look_bytes_max, ..LookPolicy::default() };
    match Tools::installed() {
        Ok(tools) => Some(Looker::new(ledger, objects, tools, policy).start()),
        Err(missing) => {
            tracing::info!(
                "{missing} is not installed: recordings get no pictures, and durations from the recorder alone"
            );
            None
        }
    }
}

/// Transcribes recordings where a transcriber is configured; where none is, what there is can be read.
fn transcribing(
    config: &Config,
    jobs: Jobs,
    objects: Objects,
    webhooks: &Webhooks,
) -> Result<(Transcripts, Option<transcription::Working>), ServeError> {
    let wake = Arc::new(Notify::new());
    let Some(deepgram) = deepgram::Deepgram::open(config)? else {
        return Ok((Transcripts { jobs, languages: Vec::new(), wake }, None));
    };
    let transcriber: Arc<dyn Transcriber> = Arc::new(deepgram);
    let policy = transcription::Policy::new(config);
    let webhooks = webhooks.clone();
    let worker =
        transcription::Worker { jobs: jobs.clone(), objects, transcriber, webhooks, policy, wake: Arc::clone(&wake) };
    let transcripts = Transcripts { jobs, languages: config.transcription_languages.clone(), wake };
    Ok((transcripts, Some(worker.start())))
}

/// Whoever is limited no longer is forgotten, or addresses would be remembered without end.
async fn tidy(edge: Data<Edge>) {
    let mut interval = tokio::time::interval(TIDY);
    loop {
        interval.tick().await;
        edge.limits.tidy();
    }
}

async fn wait_for_signal() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => {
                signal.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = terminate => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
