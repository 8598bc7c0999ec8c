//! Leadership: one node leads each follower, another takes over within two seconds, an old leader is fenced.

use chrono::Duration;
use database::{Db, Engine, Error, Tx};

use crate::Clock;

/// A leader that is silent for so long is replaced.
const LEASE_MILLIS: i64 = 1_500;
/// A leader renews at least so often.
pub(crate) const RENEW: std::time::Duration = std::time::Duration::from_millis(500);

/// This process among the nodes; cheap to clone.
#[derive(Clone)]
pub struct Node {
    /// Where checkpoints are kept.
    pub db: Db,
    /// A name that no other process has.
    pub name: String,
    /// For leases.
    pub clock: Clock,
}

/// Leadership of one follower.
pub(crate) struct Lease {
    pub(crate) position: u64,
    epoch: i64,
}

impl Node {
    /// Leads `follower` if nobody does; the checkpoint is where to go on.
    pub(crate) async fn lead(&self, follower: &str) -> Result<Option<Lease>, Error> {
        let (now, until) = self.term();
        self.db
            .execute(
                "INSERT INTO followers (name, position, leader, epoch, leased_until) VALUES ($1, 0, '', 0, $2)
                 ON CONFLICT (name) DO NOTHING",
                (follower, now),
            )
            .await?;
        // A data folder has one process, so whoever led before is gone.
        let alone = self.db.engine() == Engine::Sqlite;
        let mut tx = self.db.begin().await?;
        let row: Option<(i64, i64)> = tx
            .fetch_optional(
                "UPDATE followers SET leader = $2, epoch = epoch + 1, leased_until = $4
                 WHERE name = $1 AND (leader = $2 OR leased_until <= $3 OR $5)
                 RETURNING position, epoch",
                (follower, self.name.as_str(), now, until, alone),
            )
            .await?;
        tx.commit().await?;
        Ok(row.map(|(position, epoch)| Lease { position: position.cast_unsigned(), epoch }))
    }

    /// Keeps the lead; `false` when another node took it.
    pub(crate) async fn renew(&self, follower: &str, lease: &Lease) -> Result<bool, Error> {
        let (_, until) = self.term();
        let sql = "UPDATE followers SET leased_until = $3 WHERE name = $1 AND epoch = $2";
        Ok(self.db.execute(sql, (follower, lease.epoch, until)).await? == 1)
    }

    /// Gives the lead up, so that another node need not wait.
    pub(crate) async fn resign(&self, follower: &str, lease: &Lease) -> Result<(), Error> {
        let (now, _) = self.term();
        let sql = "UPDATE followers SET leased_until = $3 WHERE name = $1 AND epoch = $2";
        self.db.execute(sql, (follower, lease.epoch, now)).await?;
        Ok(())
    }

    /// Moves the checkpoint inside `tx`; `false` when another node leads now: then `tx` must not be committed.
    pub(crate) async fn advance(&self, tx: &mut Tx, follower: &str, lease: &Lease, to: u64) -> Result<bool, Error> {
        let (_, until) = self.term();
        let sql = "UPDATE followers SET position = $4, leased_until = $5
                   WHERE name = $1 AND epoch = $2 AND position = $3";
        let args = (follower, lease.epoch, lease.position.cast_signed(), to.cast_signed(), until);
        Ok(tx.execute(sql, args).await? == 1)
    }

    fn term(&self) -> (chrono::DateTime<chrono::Utc>, chrono::DateTime<chrono::Utc>) {
        let now = self.clock.now();
        (now, now + Duration::milliseconds(LEASE_MILLIS))
    }
}
