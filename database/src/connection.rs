//! A connection that its owner keeps, for the few who write all the time: giving one back to the pool after each
//! statement, and taking it again, costs a round trip or two, since the pool asks the server whether it is there.

use sqlx::pool::PoolConnection;
use sqlx::{Postgres, Sqlite};

use crate::{Args, Db, Error};

/// A connection that is out of the pool until it is dropped.
pub enum Connection {
    /// To the server.
    Postgres(PoolConnection<Postgres>),
    /// The writing one.
    Sqlite(PoolConnection<Sqlite>),
}

impl Connection {
    /// Runs one statement in a transaction of its own and answers how many rows it touched.
    ///
    /// # Errors
    /// When the database refuses the statement or cannot be reached.
    pub async fn execute<'a>(&mut self, sql: &'static str, args: impl Args<'a>) -> Result<u64, Error> {
        Ok(match self {
            Self::Postgres(one) => sqlx::query_with(sql, args.postgres()?).execute(&mut **one).await?.rows_affected(),
            Self::Sqlite(one) => sqlx::query_with(sql, args.sqlite()?).execute(&mut **one).await?.rows_affected(),
        })
    }
}

impl Db {
    /// Takes a writing connection out of the pool.
    ///
    /// # Errors
    /// When no connection can be had.
    pub async fn connection(&self) -> Result<Connection, Error> {
        Ok(match self {
            Self::Postgres(pool) => Connection::Postgres(pool.acquire().await?),
            Self::Sqlite { write, .. } => Connection::Sqlite(write.acquire().await?),
        })
    }
}
