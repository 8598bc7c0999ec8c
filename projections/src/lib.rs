//! Read models: one file each, from the event to the row to the query, and the list of all of them.
//!
//! What may not live here: a rule, a clock, a network call. A row is a function of the log up to a position.

mod apis;
mod app_directory;
mod clients;
mod connected_apps;
mod directory;
mod installations;
mod sessions;
mod subscriptions;
mod user_list;
mod userinfo;
mod verify;

pub use apis::{ApiRow, api, apis_of};
pub use app_directory::{AppRow, app, apps_installable_by};
pub use clients::{ClientRow, ClientSecretRow, client, client_secrets_of, clients_of, is_allowed_origin};
pub use connected_apps::{ConnectedApp, connected_apps_of};
pub use directory::{MemberRow, Membership, OrganizationRow, UserRow, members_of, memberships_of, organization, user};
pub use installations::{InstallationRow, installations_of};
pub use sessions::{SessionRow, sessions_of};
pub use subscriptions::{Licence, ProductRow, SubscriptionRow, is_product, licences_of, products_of, subscriptions_of};
pub use user_list::{ListedUser, listed_user, listed_users};
pub use userinfo::{UserinfoRow, userinfo};
pub use verify::{Difference, verify};

use std::sync::Arc;
use std::time::Duration;

use database::{Db, Error};
use domain::Event;
use eventstore::follow::{ApplyError, Node, Progress, Projection, start_projection};
use eventstore::{Recorded, Tail};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Every projection, in no particular order: none reads another's tables.
#[must_use]
pub fn all() -> Vec<Arc<dyn Projection>> {
    vec![
        Arc::new(directory::Directory),
        Arc::new(app_directory::AppDirectory),
        Arc::new(installations::Installations),
        Arc::new(clients::Clients),
        Arc::new(apis::Apis),
        Arc::new(subscriptions::Subscriptions),
        Arc::new(connected_apps::ConnectedApps),
        Arc::new(sessions::Sessions),
    ]
}

/// The read models of this instance; cheap to clone.
#[derive(Clone)]
pub struct Views {
    /// Where their tables are.
    pub db: Db,
    progress: Arc<[Progress]>,
}

impl Views {
    /// Runs every projection on this node whenever no other node does, until `stop`.
    #[must_use]
    pub fn start(node: &Node, tail: &Tail, stop: &CancellationToken) -> (Self, Vec<JoinHandle<()>>) {
        let started = all().into_iter().map(|each| start_projection(each, node.clone(), tail.clone(), stop.clone()));
        let (progress, tasks): (Vec<_>, Vec<_>) = started.unzip();
        (Self { db: node.db.clone(), progress: progress.into() }, tasks)
    }

    /// Waits until every read model shows `position`; `false` when that took longer than `patience`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn show(&self, position: u64, patience: Duration) -> Result<bool, Error> {
        let deadline = tokio::time::Instant::now() + patience;
        for progress in self.progress.iter() {
            let left = deadline.saturating_duration_since(tokio::time::Instant::now());
            if !progress.reaches(position, left).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// How many streams some follower of the log cannot read past.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn parked_streams(&self) -> Result<i64, Error> {
        let row: Option<(i64,)> = self.db.fetch_optional("SELECT COUNT(*) FROM parked_streams", ()).await?;
        Ok(row.map_or(0, |(count,)| count))
    }

    /// How far each read model is, by name.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoints(&self) -> Result<Vec<(&'static str, u64)>, Error> {
        let mut checkpoints = Vec::with_capacity(self.progress.len());
        for progress in self.progress.iter() {
            checkpoints.push((progress.name(), progress.checkpoint().await?));
        }
        Ok(checkpoints)
    }
}

/// What happened, in the words of the domain.
fn decode(recorded: &Recorded) -> Result<Event, ApplyError> {
    Event::decode(&recorded.stream_type, recorded.schema_version, recorded.payload()?.clone())
        .map_err(|problem| ApplyError::Poison(problem.to_string()))
}

/// A list as the text of a JSON array, for columns that are only shown.
fn json(list: &impl serde::Serialize) -> Result<String, ApplyError> {
    serde_json::to_string(list).map_err(|problem| ApplyError::Poison(problem.to_string()))
}

/// The list in such a column.
fn from_json(column: &str) -> Vec<String> {
    // Only `json` writes these columns.
    serde_json::from_str(column).unwrap_or_default()
}
