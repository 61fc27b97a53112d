//! The log's two stores, SQLite and PostgreSQL, behind one port. They speak the same SQL where they
//! can (`common`); commits, where speed is, are each database's own. The read models share the
//! pools through [`Db`].

mod boards;
mod bounded;
mod common;
mod postgres;
pub(crate) mod secrets;
mod sqlite;
pub(crate) mod writer;

pub(crate) use common::{LogRow, event_of};

use convoke_actors::ports::{Store, StoreError};
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::{PgPool, SqlSafeStr, SqlitePool};
use std::borrow::Cow;
use std::sync::Arc;
use writer::Writer;

/// The database, for everything that is not the log.
#[derive(Clone)]
pub enum Db {
    Sqlite { write: Writer, read: SqlitePool },
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

/// All migrations, embedded. Both folders hold the same ones; a test compares this list with them.
macro_rules! migrations {
    ($dialect:literal) => {
        migrations!($dialect: 1 "0001_log", 2 "0002_read_models", 3 "0003_keys", 4 "0004_outbox", 5 "0005_nodes",
            6 "0006_rooms", 7 "0007_polls", 8 "0008_captions", 9 "0009_webhooks", 10 "0010_recordings",
            11 "0011_transcriptions", 12 "0012_erasing", 13 "0013_whiteboards", 14 "0014_whiteboard_list",
            15 "0015_whiteboard_traces")
    };
    ($dialect:literal: $($version:literal $name:literal),*) => {
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
    /// The database's own clock, as an expression in milliseconds: leases of many nodes go by it.
    pub(crate) fn clock(&self) -> &'static str {
        match self {
            Self::Sqlite { .. } => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
            Self::Postgres(_) => "(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
        }
    }

    /// Brings the schema up to date. PostgreSQL holds an advisory lock meanwhile, so many nodes may
    /// start at once; SQLite has one process anyway.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let failed = |error: sqlx::migrate::MigrateError| StoreError::Unavailable(format!("migration: {error}"));
        match self {
            Self::Sqlite { write, .. } => {
                Migrator::with_migrations(migrations!("sqlite")).run(&*write.turn()).await.map_err(failed)
            }
            Self::Postgres(pool) => {
                let mut connection = pool.acquire().await.map_err(unavailable)?;
                // Neither another node's migration, which this one waits for, nor a long one of its
                // own is bound by the limits of daily statements. A migration that fails leaves the
                // lock with its connection, so the connection does not outlive it.
                connection.close_on_drop();
                sqlx::raw_sql("SET statement_timeout = 0; SET lock_timeout = 0")
                    .execute(&mut *connection)
                    .await
                    .map_err(unavailable)?;
                Migrator::with_migrations(migrations!("postgres")).run(&mut *connection).await.map_err(failed)
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn files(dialect: &str) -> Vec<String> {
        let folder = format!("{}/migrations/{dialect}", env!("CARGO_MANIFEST_DIR"));
        let name = |entry: std::io::Result<std::fs::DirEntry>| entry.unwrap().file_name().into_string().unwrap();
        let mut names: Vec<String> = std::fs::read_dir(folder).unwrap().map(name).collect();
        names.sort();
        names
    }

    fn embedded(migrations: Vec<Migration>) -> Vec<String> {
        migrations.iter().map(|migration| format!("{}.sql", migration.description)).collect()
    }

    #[test]
    fn every_migration_of_the_folders_is_embedded_and_paired() {
        assert_eq!(embedded(migrations!("sqlite")), files("sqlite"));
        assert_eq!(embedded(migrations!("postgres")), files("postgres"));
        assert_eq!(files("sqlite"), files("postgres"));
    }

    #[tokio::test]
    async fn no_error_repeats_the_url() {
        let refused = open("postgres://someone:s3cret@127.0.0.1:1/db").await.err().unwrap().to_string();
        assert!(refused.contains("refused") && !refused.contains("s3cret"), "{refused}");
        let urls = [
            "postgres://someone:s3cret@127.0.0.1:port/db",
            "postgres://someone:s3cret@[/db",
            "mysql://someone:s3cret@host/db",
        ];
        for url in urls {
            let error = open(url).await.err().unwrap();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }
}
