//! `convoke`: serve, migrate, check, token. Flags override the environment, which overrides the
//! file; `--set key=value` reaches every setting.

use crate::adapters::store;
use crate::auth::{Bearer, Keyring, Mint};
use crate::config::Config;
use crate::{telemetry, wiring};
use clap::{Parser, Subcommand};
use convoke_domain::command::Create;
use convoke_domain::event::EVENT_VERSION;
use convoke_domain::shapes::{Role, Settings};
use convoke_domain::{MeetingId, TenantId, UserId};
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs meetings: roster, roles, lobby, chat; across reconnects and crashes.
///
/// Settings come from convoke.toml, then from the environment (CONVOKE_BIND, CONVOKE_DATABASE_URL,
/// CONVOKE_API_KEYS, …), then from flags. `convoke check` says what is in force.
#[derive(Parser)]
#[command(name = "convoke", version)]
struct Arguments {
    /// The settings file [default: convoke.toml, if it is there]
    #[arg(long, global = true)]
    config: Option<PathBuf>,
    /// Address to listen on [env: CONVOKE_BIND]
    #[arg(long, global = true)]
    bind: Option<String>,
    /// sqlite://path or postgres://… [env: CONVOKE_DATABASE_URL]
    #[arg(long, global = true)]
    database_url: Option<String>,
    /// Any other setting, as key=value
    #[arg(long = "set", value_name = "KEY=VALUE", global = true)]
    set: Vec<String>,
    #[command(subcommand)]
    command: Option<Task>,
}

#[derive(Subcommand)]
enum Task {
    /// Migrates the database and serves (the default)
    Serve,
    /// Brings the database's schema up to date
    Migrate,
    /// Checks configuration and connections, one line each
    Check,
    /// Makes a join token
    Token {
        /// The meeting's id; with --create, its title
        #[arg(long)]
        meeting: String,
        #[arg(long)]
        name: String,
        /// host, cohost, participant, viewer, agent or recorder
        #[arg(long, default_value = "participant")]
        role: String,
        /// Absent: a guest
        #[arg(long)]
        user: Option<String>,
        /// How long it lasts, in seconds
        #[arg(long, default_value_t = 3_600)]
        ttl_s: u64,
        /// The tenant, where there are several
        #[arg(long)]
        tenant: Option<String>,
    },
    /// Before serving: makes a meeting and prints tokens for a host and a guest, as one JSON line
    Demo,
}

pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut flags: Vec<(String, String)> = Vec::new();
    for (name, value) in [("bind", &arguments.bind), ("database_url", &arguments.database_url)] {
        if let Some(value) = value {
            flags.push((name.to_owned(), value.clone()));
        }
    }
    for setting in &arguments.set {
        let Some((key, value)) = setting.split_once('=') else {
            eprintln!("convoke: --set takes KEY=VALUE");
            return ExitCode::from(2);
        };
        flags.push((key.to_owned(), value.to_owned()));
    }
    let config = match Config::load(arguments.config.as_deref(), &flags) {
        Ok(config) => config,
        Err(error) => {
            eprintln!("convoke: {error}");
            return ExitCode::from(2);
        }
    };
    let task = arguments.command.unwrap_or(Task::Serve);
    actix_rt::System::new().block_on(async move {
        match run(task, config).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(message) => {
                eprintln!("convoke: {message}");
                ExitCode::FAILURE
            }
        }
    })
}

async fn run(task: Task, config: Config) -> Result<(), String> {
    match task {
        Task::Serve => {
            let _telemetry = telemetry::begin(&config);
            wiring::serve(config).await.map_err(|error| error.to_string())
        }
        Task::Migrate => {
            let opened = open(&config).await?;
            opened.db.migrate().await.map_err(|error| error.to_string())?;
            println!("the schema is up to date");
            Ok(())
        }
        Task::Check => check(&config).await,
        Task::Token { meeting, name, role, user, ttl_s, tenant } => {
            let opened = open(&config).await?;
            let keyring = keyring(&config, &opened).await?;
            let tenant = chosen(&keyring, tenant)?;
            let meeting: MeetingId = meeting.parse().map_err(|_| "--meeting is a meeting's id".to_owned())?;
            let role: Role = serde_json::from_value(serde_json::Value::String(role))
                .map_err(|_| "there is no such role".to_owned())?;
            let mint = Mint { meeting, user: user.map(UserId), name: Some(name), role, ttl_s };
            println!("{}", minted(&config, &keyring, &tenant, mint)?);
            Ok(())
        }
        Task::Demo => demo(&config).await,
    }
}

async fn open(config: &Config) -> Result<store::Opened, String> {
    store::open(config.database_url.expose_secret()).await.map_err(|error| error.to_string())
}

async fn keyring(config: &Config, opened: &store::Opened) -> Result<Keyring, String> {
    opened.db.migrate().await.map_err(|error| error.to_string())?;
    let keys = wiring::api_keys(config, &opened.db).await.map_err(|error| error.to_string())?;
    Ok(Keyring::new(keys))
}

fn chosen(keyring: &Keyring, tenant: Option<String>) -> Result<TenantId, String> {
    if let Some(tenant) = tenant {
        return Ok(TenantId(tenant));
    }
    let mut tenants = keyring.tenants();
    match (tenants.next(), tenants.next()) {
        (Some(only), None) => Ok(only.clone()),
        _ => Err("name the tenant with --tenant".to_owned()),
    }
}

fn minted(config: &Config, keyring: &Keyring, tenant: &TenantId, mint: Mint) -> Result<serde_json::Value, String> {
    let (token, expires_at) = keyring.mint_join(tenant, mint).ok_or("the tenant has no API key")?;
    debug_assert!(matches!(keyring.verify(&token), Ok(Bearer::Join(_))));
    let base = config.public_url.clone().unwrap_or_else(|| format!("http://{}", config.bind));
    Ok(serde_json::json!({
        "token": token,
        "expires_at": expires_at,
        "join_url": format!("{}/join#token={token}", base.trim_end_matches('/')),
    }))
}

async fn demo(config: &Config) -> Result<(), String> {
    use convoke_actors::ports::{Clock, MeetingKey};
    let opened = open(config).await?;
    let keyring = keyring(config, &opened).await?;
    let tenant = keyring.tenants().next().cloned().ok_or("there is no API key")?;
    let meeting = MeetingId(uuid::Uuid::now_v7());
    let clock = crate::adapters::clock::SystemClock;
    let now = convoke_domain::Now { at: clock.now(), entropy: clock.entropy() };
    let create = Create {
        tenant: tenant.clone(),
        id: meeting,
        title: "A first meeting".to_owned(),
        scheduled_at: None,
        recurrence: None,
        settings: Settings::default(),
    };
    let limits = config.limits();
    let (_, recorded) = convoke_domain::turn::begin(create, now, &limits).map_err(|error| error.to_string())?;
    let row = convoke_actors::meeting::row_of(&recorded);
    debug_assert_eq!(row.version, EVENT_VERSION);
    let key = MeetingKey { tenant: tenant.clone(), meeting };
    opened.store.create(&key, &row, None).await.map_err(|error| error.to_string())?;
    let way = |name: &str, user: Option<&str>, role: Role| {
        let user = user.map(|user| UserId(user.to_owned()));
        minted(config, &keyring, &tenant, Mint { meeting, user, name: Some(name.to_owned()), role, ttl_s: 24 * 3_600 })
    };
    let host = way("Host", Some("host"), Role::Host)?;
    let guest = way("Guest", None, Role::Participant)?;
    println!("{}", serde_json::json!({ "meeting": meeting, "host": host, "guest": guest }));
    opened.db.close().await;
    Ok(())
}

async fn check(config: &Config) -> Result<(), String> {
    println!("configuration  ok");
    println!("listen         {}", config.bind);
    let mut failed = false;
    match open(config).await {
        Ok(opened) => match opened.store.now().await {
            Ok(_) => println!("database       ok"),
            Err(error) => {
                failed = true;
                println!("database       {error}");
            }
        },
        Err(error) => {
            failed = true;
            println!("database       {error}");
        }
    }
    match &config.api_keys {
        Some(keys) => match crate::auth::parse_keys(keys.expose_secret()) {
            Ok(keys) => println!("API keys       {} configured", keys.len()),
            Err(error) => {
                failed = true;
                println!("API keys       {error}");
            }
        },
        None => println!("API keys       kept in the database"),
    }
    println!("media          {}", config.media);
    if failed { Err("something is not as it should be".to_owned()) } else { Ok(()) }
}
