//! Secrets that are not facts: signing keys, the look-up key, client secrets until they are delivered.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::Db;

use crate::keys::{MasterKey, Secret};
use crate::{Clock, StoreError};

/// Sealed secrets by kind and name; cheap to clone.
#[derive(Clone)]
pub struct Vault {
    db: Db,
    master: Arc<MasterKey>,
    clock: Clock,
}

impl Vault {
    pub(crate) fn new(db: Db, master: Arc<MasterKey>, clock: Clock) -> Self {
        Self { db, master, clock }
    }

    /// Stores a secret unless one is there, and answers the one that is there now, so that two callers with the
    /// same name end with the same secret.
    ///
    /// # Errors
    /// When the database fails or the master key does not open what is stored.
    pub async fn put_if_absent(&self, kind: &str, name: &str, secret: &Secret) -> Result<Secret, StoreError> {
        let sealed = self.master.wrap(&purpose(kind, name), secret.expose());
        let inserted = self
            .db
            .execute(
                "INSERT INTO vault (kind, name, sealed, created_at) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (kind, name) DO NOTHING",
                (kind, name, sealed, self.clock.now()),
            )
            .await?;
        if inserted == 1 {
            return Ok(secret.clone());
        }
        self.get(kind, name).await?.ok_or(StoreError::WrongMasterKey)
    }

    /// Reads a secret.
    ///
    /// # Errors
    /// When the database fails or the master key does not open it.
    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<Secret>, StoreError> {
        let row: Option<(Vec<u8>,)> =
            self.db.fetch_optional("SELECT sealed FROM vault WHERE kind = $1 AND name = $2", (kind, name)).await?;
        row.map(|(sealed,)| self.open(kind, name, &sealed)).transpose()
    }

    /// All secrets of a kind, oldest first, with their names and times.
    ///
    /// # Errors
    /// When the database fails or the master key does not open one.
    pub async fn list(&self, kind: &str) -> Result<Vec<(String, Secret, DateTime<Utc>)>, StoreError> {
        let rows: Vec<(String, Vec<u8>, DateTime<Utc>)> = self
            .db
            .fetch_all("SELECT name, sealed, created_at FROM vault WHERE kind = $1 ORDER BY created_at, name", (kind,))
            .await?;
        rows.into_iter().map(|(name, sealed, at)| Ok((name.clone(), self.open(kind, &name, &sealed)?, at))).collect()
    }

    /// Destroys a secret; nothing happens if there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn shred(&self, kind: &str, name: &str) -> Result<(), StoreError> {
        self.db.execute("DELETE FROM vault WHERE kind = $1 AND name = $2", (kind, name)).await?;
        Ok(())
    }

    fn open(&self, kind: &str, name: &str, sealed: &[u8]) -> Result<Secret, StoreError> {
        Ok(Secret::new(self.master.unwrap(&purpose(kind, name), sealed)?))
    }
}

fn purpose(kind: &str, name: &str) -> String {
    format!("vault/{kind}/{name}")
}
