//! The log's two stores, SQLite and PostgreSQL, behind one port. They speak the same SQL where they
//! can (`common`); commits, where speed is, are each database's own. The read models share the
//! pools through [`Db`].

mod common;
mod postgres;
pub(crate) mod secrets;
mod sqlite;

use convoke_actors::ports::{Store, StoreError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlSafeStr, SqlitePool};
use std::borrow::Cow;
use std::sync::Arc;

/// The database, for everything that is not the log.
#[derive(Clone)]
pub enum Db {
    Sqlite { write: SqlitePool, read: SqlitePool },
    Postgres(PgPool),
}

pub struct Opened {
    pub store: Arc<dyn Store>,
    pub db: Db,
}

/// Opens the store that the URL names: `sqlite://path`, `sqlite::memory:` or `postgres://…`. The
/// URL may hold a password, so no error repeats it.
pub async fn open(url: &str) -> Result<Opened, StoreError> {
    if url.starts_with("sqlite:") {
        sqlite::open(url).await
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        postgres::open(url).await
    } else {
        Err(StoreError::Unavailable("the database URL begins with sqlite:// or postgres://".to_owned()))
    }
}

/// What a database error says, without what it was connecting to.
pub(crate) fn unavailable(error: sqlx::Error) -> StoreError {
    StoreError::Unavailable(match error {
        sqlx::Error::Configuration(_) => "the database URL cannot be understood".to_owned(),
        other => other.to_string(),
    })
}

macro_rules! migrations {
    ($dialect:literal: $($version:literal $name:literal),* $(,)?) => {
        vec![$(Migration::new(
            $version,
            Cow::Borrowed($name),
            MigrationType::Simple,
            include_str!(concat!("../../../migrations/", $dialect, "/", $name, ".sql")).into_sql_str(),
            false,
        )),*]
    };
}

impl Db {
    /// Brings the schema up to date. PostgreSQL holds an advisory lock meanwhile, so many nodes may
    /// start at once; SQLite has one process anyway.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::migrate::MigrateError| StoreError::Unavailable(format!("migration: {error}"));
        match self {
            Self::Sqlite { write, .. } => {
                let migrations = migrations!("sqlite": 1 "0001_log", 2 "0002_read_models", 3 "0003_keys");
                Migrator::with_migrations(migrations).run(write).await.map_err(failed)
            }
            Self::Postgres(pool) => {
                let migrations = migrations!("postgres": 1 "0001_log", 2 "0002_read_models", 3 "0003_keys");
                Migrator::with_migrations(migrations).run(pool).await.map_err(failed)
            }
        }
    }

    pub async fn close(&self) {
        match self {
            Self::Sqlite { write, read } => {
                read.close().await;
                write.close().await;
            }
            Self::Postgres(pool) => pool.close().await,
        }
    }
}

pub(crate) fn to_i64(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

pub(crate) fn to_u64(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}
