//! Deliveries as people see them: where each one is, why it waits, and how every attempt went.

use chrono::{DateTime, Utc};
use database::{Db, Error};
use domain::{AppId, DeliveryId, OrganizationId};

/// Where a delivery is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Behind an earlier one of its lane.
    Queued,
    /// First of its lane, but what it tells of is not ready.
    Waiting,
    /// The next free worker sends it.
    Due,
    /// A worker has it.
    Leased,
    /// The last attempt failed; there will be another one.
    RetryWait,
    /// Somebody must do something first.
    Held,
    /// The receiver answered 2xx.
    Delivered,
    /// The last attempt of all failed.
    Exhausted,
    /// Nothing of it was ever sent, and nothing needs to be.
    Cancelled,
    /// A later event made it pointless before the receiver acknowledged it.
    Superseded,
}

impl State {
    /// The word in the database and on the screen.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Leased => "leased",
            Self::RetryWait => "retry_wait",
            Self::Held => "held",
            Self::Delivered => "delivered",
            Self::Exhausted => "exhausted",
            Self::Cancelled => "cancelled",
            Self::Superseded => "superseded",
        }
    }
}

/// A delivery and where it is.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct DeliveryRow {
    /// The receiver's `webhook-id`.
    pub delivery_id: String,
    /// The app that is told.
    pub app_id: String,
    /// The organization that it is about.
    pub organization_id: String,
    /// `app.installed` or `app.uninstalled`.
    pub event: String,
    /// The OAuth client that it is about.
    pub client_id: String,
    /// Where in the log the event is that it tells of.
    pub log_position: i64,
    /// When that happened.
    pub recorded_at: DateTime<Utc>,
    /// The word of a [`State`].
    pub state: String,
    /// In words, whenever it waits or ended without arriving.
    pub reason: Option<String>,
    /// So often it may have arrived.
    pub attempts: i64,
    /// When it is tried again.
    pub retry_at: Option<DateTime<Utc>>,
    /// The last answer's status.
    pub last_status: Option<i64>,
    /// What went wrong last.
    pub last_failure: Option<String>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// How one attempt went.
#[derive(Debug, Clone, PartialEq, Eq, sqlx::FromRow)]
pub struct AttemptRow {
    /// From 1.
    pub attempt: i64,
    /// Where it went.
    pub url: String,
    /// When.
    pub started_at: DateTime<Utc>,
    /// How long it took.
    pub latency_ms: i64,
    /// The answer's status, if one came.
    pub status: Option<i64>,
    /// Why none came, in one word.
    pub failure: Option<String>,
    /// The same in words.
    pub detail: Option<String>,
    /// The first bytes of the answer.
    pub response: Option<String>,
}

/// What an app was told about an organization, the latest first, 100 at most.
///
/// # Errors
/// When the database fails.
pub async fn deliveries_of(
    db: &Db,
    organization_id: &OrganizationId,
    app_id: &AppId,
) -> Result<Vec<DeliveryRow>, Error> {
    let sql = "SELECT delivery_id, app_id, organization_id, event, client_id, log_position, recorded_at, state, reason,
                      attempts, retry_at, last_status, last_failure, finished_at
               FROM webhook_deliveries WHERE organization_id = $1 AND app_id = $2
               ORDER BY log_position DESC LIMIT 100";
    db.fetch_all(sql, (organization_id.as_str(), app_id.as_str())).await
}

/// The attempts of a delivery, in order.
///
/// # Errors
/// When the database fails.
pub async fn attempts_of(db: &Db, delivery_id: &DeliveryId) -> Result<Vec<AttemptRow>, Error> {
    let sql = "SELECT attempt, url, started_at, latency_ms, status, failure, detail, response
               FROM webhook_attempts WHERE delivery_id = $1 ORDER BY attempt";
    db.fetch_all(sql, (delivery_id.as_str(),)).await
}
