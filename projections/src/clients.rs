//! OAuth clients, as administrators list and open them, and whose scripts may call us.

use chrono::{DateTime, Duration, Utc};
use database::{Db, Error, Tx};
use domain::{ClientId, ClientSecretHash, ClientSettings, Event, GrantEvent, OAuthClientEvent, OrganizationId, Origin};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct Clients;

impl Projection for Clients {
    fn name(&self) -> &'static str {
        "clients@2"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["oauth_client", "grant"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::OAuthClient(event) => changed(tx, recorded, event).await,
                Event::Grant(
                    GrantEvent::CodeRedeemed { secret_id: Some(secret), at, .. }
                    | GrantEvent::Refreshed { secret_id: Some(secret), at, .. },
                ) => Ok(used(tx, recorded.context.client_id.as_deref(), &secret, at).await?),
                Event::Grant(GrantEvent::ClientTokenIssued(token)) => match &token.secret_id {
                    Some(secret) => Ok(used(tx, Some(token.client_id.as_str()), secret, token.at).await?),
                    None => Ok(()),
                },
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
            secret,
            settings,
        } => {
            tx.execute(
                "INSERT INTO clients (client_id, organization_id, installation_id, name, client_type, status,
                                      redirect_uris, scopes, settings, created_at)
                 VALUES ($1, $2, $3, $4, $5, 'active', $6, $7, $8, $9)",
                (
                    client,
                    organization_id.as_str(),
                    installation.as_ref().map(|of| of.installation_id.as_str()),
                    name.as_str(),
                    client_type.as_str(),
                    json(&redirect_uris)?,
                    json(&scopes)?,
                    json(&settings)?,
                    recorded.recorded_at,
                ),
            )
            .await?;
            set_origins(tx, client, &settings.allowed_origins).await?;
            if let Some(secret) = secret {
                add_secret(tx, recorded, &secret).await?;
            }
        }
        OAuthClientEvent::Reconfigured { name, redirect_uris, scopes, settings } => {
            let redirect_uris = redirect_uris.map(|uris| json(&uris)).transpose()?;
            let scopes = scopes.map(|scopes| json(&scopes)).transpose()?;
            let settings_json = settings.as_ref().map(json).transpose()?;
            tx.execute(
                "UPDATE clients SET name = COALESCE($2, name), redirect_uris = COALESCE($3, redirect_uris),
                                    scopes = COALESCE($4, scopes), settings = COALESCE($5, settings)
                 WHERE client_id = $1",
                (
                    client,
                    name.as_ref().map(AsRef::as_ref),
                    redirect_uris.as_deref(),
                    scopes.as_deref(),
                    settings_json.as_deref(),
                ),
            )
            .await?;
            if let Some(settings) = settings {
                set_origins(tx, client, &settings.allowed_origins).await?;
            }
        }
        OAuthClientEvent::SecretRotated { secret_id, hash, hint, previous_expires_at } => {
            end_older_secrets(tx, recorded, previous_expires_at).await?;
            add_secret(tx, recorded, &ClientSecretHash { secret_id, hash, hint }).await?;
        }
        OAuthClientEvent::SecretRevoked { secret_id } => {
            let sql = "UPDATE client_secrets SET revoked_at = $3 WHERE client_id = $1 AND secret_id = $2";
            tx.execute(sql, (client, secret_id, recorded.recorded_at)).await?;
        }
        OAuthClientEvent::Disabled { .. } => set_status(tx, client, "disabled").await?,
        OAuthClientEvent::Enabled => set_status(tx, client, "active").await?,
        OAuthClientEvent::Deleted { .. } => {
            set_status(tx, client, "deleted").await?;
            tx.execute("DELETE FROM client_secrets WHERE client_id = $1", (client,)).await?;
            set_origins(tx, client, &[]).await?;
        }
    }
    Ok(())
}

/// When tokens were last issued for a secret, to the minute: a client may use it a thousand times a second.
async fn used(tx: &mut Tx, client: Option<&str>, secret: &str, at: DateTime<Utc>) -> Result<(), Error> {
    let Some(client) = client else { return Ok(()) };
    tx.execute(
        "UPDATE client_secrets SET last_used_at = $3
         WHERE client_id = $1 AND secret_id = $2 AND (last_used_at IS NULL OR last_used_at < $4)",
        (client, secret, at, at - Duration::minutes(1)),
    )
    .await?;
    Ok(())
}

async fn set_status(tx: &mut Tx, client: &str, status: &str) -> Result<(), Error> {
    tx.execute("UPDATE clients SET status = $2 WHERE client_id = $1", (client, status)).await?;
    Ok(())
}

async fn set_origins(tx: &mut Tx, client: &str, origins: &[Origin]) -> Result<(), Error> {
    tx.execute("DELETE FROM client_origins WHERE client_id = $1", (client,)).await?;
    for origin in origins {
        let sql = "INSERT INTO client_origins (origin, client_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        tx.execute(sql, (origin.as_str(), client)).await?;
    }
    Ok(())
}

async fn add_secret(tx: &mut Tx, recorded: &Recorded, secret: &ClientSecretHash) -> Result<(), Error> {
    tx.execute(
        "INSERT INTO client_secrets (client_id, secret_id, number, last_four, created_at) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (client_id, secret_id) DO UPDATE
         SET number = excluded.number, last_four = excluded.last_four, created_at = excluded.created_at,
             expires_at = NULL, revoked_at = NULL, last_used_at = NULL",
        (
            recorded.stream_id.as_str(),
            secret.secret_id.as_str(),
            recorded.position.cast_signed(),
            secret.hint.as_deref(),
            recorded.recorded_at,
        ),
    )
    .await?;
    Ok(())
}

/// The newest secret so far gets an end, those before it ended (R148); an end that was set does not move back.
async fn end_older_secrets(tx: &mut Tx, recorded: &Recorded, newest_ends: DateTime<Utc>) -> Result<(), Error> {
    let client = recorded.stream_id.as_str();
    tx.execute(
        "UPDATE client_secrets SET revoked_at = $2
         WHERE client_id = $1 AND revoked_at IS NULL
           AND number < (SELECT MAX(number) FROM client_secrets WHERE client_id = $1 AND revoked_at IS NULL)",
        (client, recorded.recorded_at),
    )
    .await?;
    tx.execute(
        "UPDATE client_secrets SET expires_at = $2
         WHERE client_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)",
        (client, newest_ends),
    )
    .await?;
    Ok(())
}

/// An OAuth client.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ClientRow {
    /// Its public identifier.
    pub client_id: String,
    /// Whose it is.
    pub organization_id: String,
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
    settings: String,
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

    /// What its administrators chose.
    #[must_use]
    pub fn settings(&self) -> ClientSettings {
        // Only `json` writes this column.
        serde_json::from_str(&self.settings).unwrap_or_default()
    }

    /// Whether it may sign people in and call APIs (R023).
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == "active"
    }
}

/// A secret of a client that works, or worked until a moment ago.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ClientSecretRow {
    /// `sec_…`
    pub secret_id: String,
    /// Its last four characters; `None` for one that people never saw.
    pub last_four: Option<String>,
    /// When.
    pub created_at: DateTime<Utc>,
    /// Set once a newer one replaces it.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it last proved who the client is.
    pub last_used_at: Option<DateTime<Utc>>,
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
        "SELECT client_id, organization_id, installation_id, name, client_type, status, redirect_uris, scopes, settings,
                created_at
         FROM clients
         WHERE organization_id = $1 AND client_id > $2 AND status <> 'deleted' ORDER BY client_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}

/// One client, unless it was deleted.
///
/// # Errors
/// When the database fails.
pub async fn client(db: &Db, id: &ClientId) -> Result<Option<ClientRow>, Error> {
    db.fetch_optional(
        "SELECT client_id, organization_id, installation_id, name, client_type, status, redirect_uris, scopes, settings,
                created_at
         FROM clients WHERE client_id = $1 AND status <> 'deleted'",
        (id.as_str(),),
    )
    .await
}

/// A client's secrets that work at `now`, the newest first: two at most.
///
/// # Errors
/// When the database fails.
pub async fn client_secrets_of(db: &Db, id: &ClientId, now: DateTime<Utc>) -> Result<Vec<ClientSecretRow>, Error> {
    db.fetch_all(
        "SELECT secret_id, last_four, created_at, expires_at, last_used_at FROM client_secrets
         WHERE client_id = $1 AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $2)
         ORDER BY number DESC",
        (id.as_str(), now),
    )
    .await
}

/// Whether an active client lists this origin (R144): compared exactly.
///
/// # Errors
/// When the database fails.
pub async fn is_allowed_origin(db: &Db, origin: &str) -> Result<bool, Error> {
    let found: Option<(String,)> = db
        .fetch_optional(
            "SELECT c.client_id FROM client_origins o JOIN clients c ON c.client_id = o.client_id
             WHERE o.origin = $1 AND c.status = 'active' LIMIT 1",
            (origin,),
        )
        .await?;
    Ok(found.is_some())
}
