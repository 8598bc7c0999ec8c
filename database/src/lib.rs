//! One SQL text for both engines: open a database, run a statement with `$1` parameters, read rows.
//! What may not live here: anything that knows what the tables mean.

mod args;
mod connection;
mod dump;
mod error;
mod folder;
mod open;
mod scratch;

pub use args::{Args, Row};
pub use connection::Connection;
pub use error::Error;
pub use folder::Folder;
pub use open::{LOG_POSTGRES, LOG_SQLITE, Schema, VIEWS, open_postgres, open_sqlite};
pub use scratch::ScratchDatabase;

use sqlx::{Postgres, Sqlite, Transaction};

/// Which engine a [`Db`] talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL, several nodes.
    Postgres,
    /// SQLite in a data folder, one process.
    Sqlite,
}

/// A database of either engine; cheap to clone.
#[derive(Debug, Clone)]
pub enum Db {
    /// A pool of connections.
    Postgres(sqlx::PgPool),
    /// Readers beside the one writer.
    Sqlite {
        /// Read-only connections.
        read: sqlx::SqlitePool,
        /// The only connection that writes, so that no statement ever meets a busy database.
        write: sqlx::SqlitePool,
    },
}

/// A transaction of either engine; rolled back when dropped.
pub enum Tx {
    /// Read committed.
    Postgres(Transaction<'static, Postgres>),
    /// Takes the write lock at once (`BEGIN IMMEDIATE`).
    Sqlite(Transaction<'static, Sqlite>),
}

impl Db {
    /// The engine behind it.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite { .. } => Engine::Sqlite,
        }
    }

    /// Starts a writing transaction.
    ///
    /// # Errors
    /// When no connection can be had.
    pub async fn begin(&self) -> Result<Tx, Error> {
        Ok(match self {
            Self::Postgres(pool) => Tx::Postgres(pool.begin().await?),
            Self::Sqlite { write, .. } => Tx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
        })
    }

    /// Runs one statement and answers how many rows it touched.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached.
    pub async fn execute<'a>(&self, sql: &'static str, args: impl Args<'a>) -> Result<u64, Error> {
        Ok(match self {
            Self::Postgres(pool) => sqlx::query_with(sql, args.postgres()?).execute(pool).await?.rows_affected(),
            Self::Sqlite { write, .. } => sqlx::query_with(sql, args.sqlite()?).execute(write).await?.rows_affected(),
        })
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached, or a row has another shape.
    pub async fn fetch_all<'a, T: Row>(&self, sql: &'static str, args: impl Args<'a>) -> Result<Vec<T>, Error> {
        Ok(match self {
            Self::Postgres(pool) => sqlx::query_as_with(sql, args.postgres()?).fetch_all(pool).await?,
            Self::Sqlite { read, .. } => sqlx::query_as_with(sql, args.sqlite()?).fetch_all(read).await?,
        })
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached, or the row has another shape.
    pub async fn fetch_optional<'a, T: Row>(&self, sql: &'static str, args: impl Args<'a>) -> Result<Option<T>, Error> {
        Ok(match self {
            Self::Postgres(pool) => sqlx::query_as_with(sql, args.postgres()?).fetch_optional(pool).await?,
            Self::Sqlite { read, .. } => sqlx::query_as_with(sql, args.sqlite()?).fetch_optional(read).await?,
        })
    }

    /// Whether [`Self::close`] was called.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Postgres(pool) => pool.is_closed(),
            Self::Sqlite { write, .. } => write.is_closed(),
        }
    }

    /// Waits until [`Self::close`] is called, for those who hold a connection.
    pub fn closed(&self) -> impl Future<Output = ()> + Send + use<> {
        match self {
            Self::Postgres(pool) => pool.close_event(),
            Self::Sqlite { write, .. } => write.close_event(),
        }
    }

    /// Closes all connections, after the statements that run.
    pub async fn close(&self) {
        match self {
            Self::Postgres(pool) => pool.close().await,
            Self::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
        }
    }
}

impl Tx {
    /// The engine behind it.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self {
            Self::Postgres(_) => Engine::Postgres,
            Self::Sqlite(_) => Engine::Sqlite,
        }
    }

    /// Runs one statement and answers how many rows it touched.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached.
    pub async fn execute<'a>(&mut self, sql: &'static str, args: impl Args<'a>) -> Result<u64, Error> {
        Ok(match self {
            Self::Postgres(tx) => sqlx::query_with(sql, args.postgres()?).execute(&mut **tx).await?.rows_affected(),
            Self::Sqlite(tx) => sqlx::query_with(sql, args.sqlite()?).execute(&mut **tx).await?.rows_affected(),
        })
    }

    /// All rows of a query.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached, or a row has another shape.
    pub async fn fetch_all<'a, T: Row>(&mut self, sql: &'static str, args: impl Args<'a>) -> Result<Vec<T>, Error> {
        Ok(match self {
            Self::Postgres(tx) => sqlx::query_as_with(sql, args.postgres()?).fetch_all(&mut **tx).await?,
            Self::Sqlite(tx) => sqlx::query_as_with(sql, args.sqlite()?).fetch_all(&mut **tx).await?,
        })
    }

    /// The first row of a query, if there is one.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached, or the row has another shape.
    pub async fn fetch_optional<'a, T: Row>(
        &mut self,
        sql: &'static str,
        args: impl Args<'a>,
    ) -> Result<Option<T>, Error> {
        Ok(match self {
            Self::Postgres(tx) => sqlx::query_as_with(sql, args.postgres()?).fetch_optional(&mut **tx).await?,
            Self::Sqlite(tx) => sqlx::query_as_with(sql, args.sqlite()?).fetch_optional(&mut **tx).await?,
        })
    }

    /// Makes everything since [`Db::begin`] durable and visible.
    ///
    /// # Errors
    /// When the database cannot; then nothing of it holds.
    pub async fn commit(self) -> Result<(), Error> {
        match self {
            Self::Postgres(tx) => tx.commit().await?,
            Self::Sqlite(tx) => tx.commit().await?,
        }
        Ok(())
    }
}
