//! Answers that requests ask for again and again, kept for a moment.

use std::time::Duration;

use domain::ResourceServerId;
use moka::sync::Cache;

/// So long may another node's change of a client's origins go unnoticed here.
const ORIGINS_KEPT: Duration = Duration::from_secs(5);

/// What is remembered; cheap to clone.
#[derive(Clone)]
pub struct Lookups {
    /// Whether an active client lists an origin.
    pub(crate) origins: Cache<String, bool>,
    /// Which API has an identifier: true until that API is deleted, which its reader sees.
    pub(crate) apis: Cache<String, ResourceServerId>,
}

impl Default for Lookups {
    fn default() -> Self {
        Self {
            origins: Cache::builder().max_capacity(10_000).time_to_live(ORIGINS_KEPT).build(),
            apis: Cache::builder().max_capacity(10_000).build(),
        }
    }
}
