//! Connected apps: which client may act for which user, since when, and until when.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Authorization, ConsentEvent, Event, GrantEvent, UserId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct ConnectedApps;

impl Projection for ConnectedApps {
    fn name(&self) -> &'static str {
        "connected_apps@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["grant", "consent"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::Grant(event) => changed(tx, recorded, event).await,
                Event::Consent(ConsentEvent::Revoked { user_id, client_id, at, .. }) => {
                    let sql = "UPDATE grants SET revoked_at = $3, revoked_because = 'user'
                               WHERE user_id = $1 AND client_id = $2 AND revoked_at IS NULL";
                    tx.execute(sql, (user_id.as_str(), client_id.as_str(), at)).await?;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }
}

async fn changed(tx: &mut Tx, recorded: &Recorded, event: GrantEvent) -> Result<(), ApplyError> {
    let grant = recorded.stream_id.as_str();
    match event {
        GrantEvent::Authorized(authorization) => {
            let Authorization { client_id, user_id, organization_id, scopes, .. } = *authorization;
            tx.execute(
                "INSERT INTO grants (grant_id, user_id, client_id, organization_id, scopes, granted_at)
                 VALUES ($1, $2, $3, $4, $5, $6)",
                (
                    grant,
                    user_id.as_str(),
                    client_id.as_str(),
                    organization_id.as_ref().map(|id| id.as_str()),
                    json(&scopes)?,
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        GrantEvent::CodeRedeemed { at, .. } | GrantEvent::Refreshed { at, .. } => {
            tx.execute("UPDATE grants SET last_used_at = $2 WHERE grant_id = $1", (grant, at)).await?;
        }
        GrantEvent::Revoked { reason, at } => {
            let sql = "UPDATE grants SET revoked_at = $2, revoked_because = $3 WHERE grant_id = $1";
            tx.execute(sql, (grant, at, reason.as_str())).await?;
        }
        // Clients that act for themselves are nobody's connected apps.
        GrantEvent::ClientTokenIssued(_)
        | GrantEvent::AccessTokenRevoked { .. }
        | GrantEvent::CodeReplayed { .. }
        | GrantEvent::RefreshReplayed { .. } => {}
    }
    Ok(())
}

/// A client that may act for a user, over all of its grants.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ConnectedApp {
    /// The client.
    pub client_id: String,
    /// As its administrator called it.
    pub name: String,
    scopes: String,
    /// Since when.
    pub granted_at: DateTime<Utc>,
    /// When tokens were last issued for it.
    pub last_used_at: Option<DateTime<Utc>>,
}

impl ConnectedApp {
    /// What was granted the last time.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        from_json(&self.scopes)
    }
}

/// A page of the apps that act for a user, by client id, after `after` (R262).
///
/// # Errors
/// When the database fails.
pub async fn connected_apps_of(db: &Db, user: &UserId, after: &str, limit: i64) -> Result<Vec<ConnectedApp>, Error> {
    db.fetch_all(
        "SELECT g.client_id, c.name, MIN(g.granted_at) AS granted_at, MAX(g.last_used_at) AS last_used_at,
                (SELECT l.scopes FROM grants l WHERE l.user_id = $1 AND l.client_id = g.client_id
                    AND l.revoked_at IS NULL ORDER BY l.grant_id DESC LIMIT 1) AS scopes
         FROM grants g JOIN clients c ON c.client_id = g.client_id
         WHERE g.user_id = $1 AND g.client_id > $2 AND g.revoked_at IS NULL AND c.status <> 'deleted'
         GROUP BY g.client_id, c.name ORDER BY g.client_id LIMIT $3",
        (user.as_str(), after, limit),
    )
    .await
}
