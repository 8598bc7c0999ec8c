//! What every handler is given.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use eventstore::EventStore;
use projections::Views;

use crate::{Lookups, Mailer, Passwords, Problem, Settings, SigningKeys};

/// The running service; cheap to clone.
#[derive(Clone)]
pub struct App {
    /// The log.
    pub store: EventStore,
    /// The read models.
    pub views: Views,
    /// What an operator chose.
    pub settings: Arc<Settings>,
    /// What signs tokens.
    pub keys: Arc<SigningKeys>,
    /// What hashes passwords, a bounded number at a time.
    pub passwords: Passwords,
    /// What sends mails.
    pub mailer: Mailer,
    /// Answers that are asked for with almost every request.
    pub lookups: Lookups,
}

impl App {
    /// The time.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.store.clock().now()
    }

    /// Waits until the read models show `position`, so that whoever wrote it finds it.
    ///
    /// # Errors
    /// When the database fails. Read models that are late are not an error: the write stands.
    pub async fn shown(&self, position: u64) -> Result<(), Problem> {
        if !self.views.show(position, self.settings.read_patience).await? {
            tracing::warn!(position, "the read models do not show position {position} yet");
        }
        Ok(())
    }
}
