//! OAuth clients, as administrators list them.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Event, OAuthClientEvent, OrganizationId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct Clients;

impl Projection for Clients {
    fn name(&self) -> &'static str {
        "clients@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["oauth_client"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::OAuthClient(event) => changed(tx, recorded, event).await,
                _ => Ok(()),
            }
        })
    }
}

async fn changed(tx: &mut Tx, recorded: &Recorded, event: OAuthClientEvent) -> Result<(), ApplyError> {
    let client = recorded.stream_id.as_str();
    match event {
        OAuthClientEvent::Provisioned {
            organization_id,
            installation,
            name,
            client_type,
            redirect_uris,
            scopes,
            secret: _,
            settings: _,
        } => {
            tx.execute(
                "INSERT INTO clients (client_id, organization_id, installation_id, name, client_type, status,
                                      redirect_uris, scopes, created_at)
                 VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8)",
                (
                    client,
                    organization_id.as_str(),
                    installation.as_ref().map(|of| of.installation_id.as_str()),
                    name.as_str(),
                    client_type.as_str(),
                    json(&redirect_uris)?,
                    json(&scopes)?,
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        OAuthClientEvent::Reconfigured { name, redirect_uris, scopes, settings: _ } => {
            let redirect_uris = redirect_uris.map(|uris| json(&uris)).transpose()?;
            let scopes = scopes.map(|scopes| json(&scopes)).transpose()?;
            tx.execute(
                "UPDATE clients SET name = COALESCE($2, name), redirect_uris = COALESCE($3, redirect_uris),
                                    scopes = COALESCE($4, scopes)
                 WHERE client_id = $1",
                (client, name.as_ref().map(AsRef::as_ref), redirect_uris.as_deref(), scopes.as_deref()),
            )
            .await?;
        }
        OAuthClientEvent::Disabled { .. } => set_status(tx, client, "disabled").await?,
        OAuthClientEvent::Enabled => set_status(tx, client, "active").await?,
        OAuthClientEvent::Deleted { .. } => set_status(tx, client, "deleted").await?,
        OAuthClientEvent::SecretRotated { .. } | OAuthClientEvent::SecretRevoked { .. } => {}
    }
    Ok(())
}

async fn set_status(tx: &mut Tx, client: &str, status: &str) -> Result<(), Error> {
    tx.execute("UPDATE clients SET status = $2 WHERE client_id = $1", (client, status)).await?;
    Ok(())
}

/// An OAuth client.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ClientRow {
    /// Its public identifier.
    pub client_id: String,
    /// Set when it belongs to an installed app.
    pub installation_id: Option<String>,
    /// As administrators see it.
    pub name: String,
    /// spa, web, native, m2m
    pub client_type: String,
    /// active, disabled
    pub status: String,
    redirect_uris: String,
    scopes: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl ClientRow {
    /// Where it may be returned to with a code.
    #[must_use]
    pub fn redirect_uris(&self) -> Vec<String> {
        from_json(&self.redirect_uris)
    }

    /// What it may ask for.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        from_json(&self.scopes)
    }
}

/// A page of an organization's clients, by id, after `after`; deleted ones are left out.
///
/// # Errors
/// When the database fails.
pub async fn clients_of(
    db: &Db,
    organization: &OrganizationId,
    after: &str,
    limit: i64,
) -> Result<Vec<ClientRow>, Error> {
    db.fetch_all(
        "SELECT client_id, installation_id, name, client_type, status, redirect_uris, scopes, created_at FROM clients
         WHERE organization_id = $1 AND client_id > $2 AND status <> 'deleted' ORDER BY client_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}
