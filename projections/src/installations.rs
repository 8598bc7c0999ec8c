//! Which organization has installed which app, now and in the past.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Event, OAuthClientEvent, OrganizationEvent, OrganizationId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::decode;

pub(crate) struct Installations;

impl Projection for Installations {
    fn name(&self) -> &'static str {
        "installations@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["organization", "oauth_client"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::Organization(OrganizationEvent::AppInstalled { installation_id, app_id, client_id }) => {
                    tx.execute(
                        "INSERT INTO installations (installation_id, organization_id, app_id, client_id, status, installed_at)
                         VALUES ($1, $2, $3, $4, 'installing', $5)",
                        (
                            installation_id.as_str(),
                            recorded.stream_id.as_str(),
                            app_id.as_str(),
                            client_id.as_str(),
                            recorded.recorded_at,
                        ),
                    )
                    .await?;
                }
                Event::OAuthClient(OAuthClientEvent::Provisioned { installation: Some(of), .. }) => {
                    // Not one that was uninstalled before its client existed.
                    let sql = "UPDATE installations SET status = 'installed'
                               WHERE installation_id = $1 AND status = 'installing'";
                    tx.execute(sql, (of.installation_id.as_str(),)).await?;
                }
                Event::Organization(OrganizationEvent::AppUninstalled { installation_id, .. }) => {
                    let sql = "UPDATE installations SET status = 'uninstalled', uninstalled_at = $2 WHERE installation_id = $1";
                    tx.execute(sql, (installation_id.as_str(), recorded.recorded_at)).await?;
                }
                _ => {}
            }
            Ok(())
        })
    }
}

/// An app that an organization has installed.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct InstallationRow {
    /// `inst_…`
    pub installation_id: String,
    /// `app_…`, of the app.
    pub app_id: String,
    /// The OAuth client made for it.
    pub client_id: String,
    /// installing, installed
    pub status: String,
    /// When.
    pub installed_at: DateTime<Utc>,
}

/// A page of what an organization has installed now, by id, after `after`.
///
/// # Errors
/// When the database fails.
pub async fn installations_of(
    db: &Db,
    organization: &OrganizationId,
    after: &str,
    limit: i64,
) -> Result<Vec<InstallationRow>, Error> {
    db.fetch_all(
        "SELECT installation_id, app_id, client_id, status, installed_at FROM installations
         WHERE organization_id = $1 AND installation_id > $2 AND status <> 'uninstalled'
         ORDER BY installation_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}
