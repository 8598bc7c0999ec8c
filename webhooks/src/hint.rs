//! Hints that something is due. A lost one costs a sweep's time, a wrong one a look into the database.

use aws_lc_rs::digest::{SHA256, digest};

/// An app has something to receive.
#[derive(Debug, Clone)]
pub(crate) struct Hint {
    pub(crate) app_id: String,
    /// What it is, if it is one thing.
    pub(crate) delivery: Option<DueDelivery>,
}

/// A delivery that became due.
#[derive(Debug, Clone)]
pub(crate) struct DueDelivery {
    pub(crate) delivery_id: String,
    pub(crate) organization_id: String,
    /// The number of the attempt that is due.
    pub(crate) attempt: i64,
}

/// So many subjects share the hints.
const SHARDS: u8 = 64;

/// Which of them a lane's hints take: always the same one.
pub(crate) fn shard(app_id: &str, organization_id: &str) -> u8 {
    let hash = digest(&SHA256, format!("{app_id}/{organization_id}").as_bytes());
    hash.as_ref().first().map_or(0, |byte| byte % SHARDS)
}
