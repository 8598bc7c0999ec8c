//! Opening a database and bringing its schema up to date.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use migrations::Migration;
use sqlx::migrate::{Migrate, MigrateError, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, PgConnection, SqlSafeStr};

use crate::{Db, Error};

/// A connection that rested so long may have been cut off.
const RESTED: Duration = Duration::from_secs(1);

/// A schema: its steps, and the table that remembers which of them were taken.
#[derive(Debug, Clone, Copy)]
pub struct Schema {
    /// Name of the table of steps taken.
    pub table: &'static str,
    /// The steps, in order.
    pub steps: &'static [Migration],
    /// Whether a commit must survive a power cut (the log), or may be rebuilt (read models). SQLite only.
    pub durable: bool,
}

/// The log on PostgreSQL.
pub const LOG_POSTGRES: Schema = Schema { table: "log_migrations", steps: migrations::LOG_POSTGRES, durable: true };
/// The log on SQLite.
pub const LOG_SQLITE: Schema = Schema { table: "log_migrations", steps: migrations::LOG_SQLITE, durable: true };
/// Read models, checkpoints and deliveries; can be dropped and rebuilt.
pub const VIEWS: Schema = Schema { table: "views_migrations", steps: migrations::VIEWS, durable: false };

/// Opens a PostgreSQL database with `connections` connections at most and brings `schemas` up to date.
///
/// # Errors
/// When the address is wrong, nobody answers, or a schema is newer than this program.
pub async fn open_postgres(url: &str, connections: u32, schemas: &[Schema]) -> Result<Db, Error> {
    if !url.starts_with("postgres://") && !url.starts_with("postgresql://") {
        return Err(Error::Address("it does not start with postgres://".to_owned()));
    }
    let options = PgConnectOptions::from_str(url).map_err(|error| Error::Address(error.to_string()))?;
    let address =
        format!("{}:{}/{}", options.get_host(), options.get_port(), options.get_database().unwrap_or_default());
    // A node that hangs must not hold the ledger's lock, nor wait for it for ever.
    let options = options.application_name("optare").options([
        ("statement_timeout", "30s"),
        ("lock_timeout", "10s"),
        ("idle_in_transaction_session_timeout", "30s"),
    ]);
    // One connection first: a pool would keep trying, and then not say why.
    let unreachable = |source| Error::Unreachable { address: address.clone(), source };
    let options = match without_tls(&options).await {
        Some(options) => options,
        None => {
            PgConnection::connect_with(&options).await.map_err(unreachable)?.close().await?;
            options
        }
    };
    let pool = PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(Duration::from_secs(10))
        // Asking the server before each statement whether it is there would double the round trips.
        .test_before_acquire(false)
        .before_acquire(|connection, known| {
            Box::pin(async move {
                if known.idle_for > RESTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_with(options)
        .await
        .map_err(unreachable)?;
    for schema in schemas {
        let mut connection = pool.acquire().await?;
        migrate(&mut *connection, *schema, &address).await?;
    }
    Ok(Db::Postgres(pool))
}

/// The same without TLS, if that was not asked for and the server is on this machine and allows it: between two
/// processes of one machine it protects nothing. (sqlx 0.9.0 leaves Nagle's algorithm on, which makes messages of
/// more than one TLS record wait 40 ms for the server: launchbadge/sqlx#4335.)
async fn without_tls(options: &PgConnectOptions) -> Option<PgConnectOptions> {
    let here = ["localhost", "127.0.0.1", "::1", "[::1]"].contains(&options.get_host());
    if !here || !matches!(options.get_ssl_mode(), PgSslMode::Prefer) {
        return None;
    }
    let options = options.clone().ssl_mode(PgSslMode::Disable);
    PgConnection::connect_with(&options).await.ok()?.close().await.ok()?;
    Some(options)
}

/// Opens a SQLite file (made if absent) and brings its schema up to date.
///
/// # Errors
/// When the file cannot be read as a database, or its schema is newer than this program.
pub async fn open_sqlite(file: &Path, schema: Schema) -> Result<Db, Error> {
    let corrupt = |source| Error::Corrupt { file: file.display().to_string(), source };
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(if schema.durable { SqliteSynchronous::Full } else { SqliteSynchronous::Normal })
        .busy_timeout(Duration::from_secs(5))
        .statement_cache_capacity(200);
    let write = SqlitePoolOptions::new()
        .max_connections(1)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options.clone().create_if_missing(true))
        .await
        .map_err(corrupt)?;
    let mut connection = write.acquire().await?;
    migrate(&mut *connection, schema, &file.display().to_string()).await?;
    drop(connection);
    let read = SqlitePoolOptions::new()
        .max_connections(4)
        .test_before_acquire(false)
        .connect_with(options.read_only(true))
        .await
        .map_err(corrupt)?;
    Ok(Db::Sqlite { read, write })
}

async fn migrate<C>(connection: &mut C, schema: Schema, place: &str) -> Result<(), Error>
where
    C: Migrate + Send,
{
    let steps = schema.steps.iter().map(|step| {
        sqlx::migrate::Migration::new(
            step.version,
            Cow::Borrowed(step.name),
            MigrationType::Simple,
            step.sql.into_sql_str(),
            false,
        )
    });
    let migrator =
        Migrator { migrations: steps.collect(), table_name: Cow::Borrowed(schema.table), ..Migrator::DEFAULT };
    migrator.run_direct(None, connection, false).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => Error::Newer { place: place.to_owned(), version },
        other => Error::Migration { place: place.to_owned(), problem: other.to_string() },
    })
}
