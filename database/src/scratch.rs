//! A PostgreSQL database for a while: benchmarks and rehearsals must not touch what is there.

use std::str::FromStr;

use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};
use url::Url;

use crate::Error;

/// A database of its own on a given server, there until [`Self::remove`].
#[derive(Debug)]
pub struct ScratchDatabase {
    server: PgConnectOptions,
    name: String,
    url: String,
}

impl ScratchDatabase {
    /// Makes a database whose name starts with `prefix` on the server of `url`, which names one that exists.
    ///
    /// # Errors
    /// When the address is wrong, nobody answers, or this user may not make databases.
    pub async fn create(url: &str, prefix: &str) -> Result<Self, Error> {
        let server = PgConnectOptions::from_str(url).map_err(|error| Error::Address(error.to_string()))?;
        let mut own = Url::parse(url).map_err(|error| Error::Address(error.to_string()))?;
        let mut connection = server.connect().await?;
        let unused: String =
            sqlx::query_scalar("SELECT replace(gen_random_uuid()::text, '-', '')").fetch_one(&mut connection).await?;
        let name = format!("{prefix}_{}", &unused[..12]);
        own.set_path(&name);
        // A name cannot be a parameter; this one is a literal and hexadecimal digits.
        connection.execute(AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).await?;
        connection.close().await?;
        Ok(Self { server, name, url: own.into() })
    }

    /// Where it is.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Removes it, whoever is connected.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn remove(self) -> Result<(), Error> {
        let mut connection = self.server.connect().await?;
        connection.execute(AssertSqlSafe(format!("DROP DATABASE IF EXISTS \"{}\" WITH (FORCE)", self.name))).await?;
        Ok(connection.close().await?)
    }
}
