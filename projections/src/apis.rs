//! APIs that tokens are for, as administrators list them.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Event, OrganizationId, ResourceServerEvent, ResourceServerId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct Apis;

impl Projection for Apis {
    fn name(&self) -> &'static str {
        "apis@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["resource_server"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::ResourceServer(event) => changed(tx, recorded, event).await,
                _ => Ok(()),
            }
        })
    }
}

async fn changed(tx: &mut Tx, recorded: &Recorded, event: ResourceServerEvent) -> Result<(), ApplyError> {
    let api = recorded.stream_id.as_str();
    match event {
        ResourceServerEvent::Defined { organization_id, identifier, name, scopes, access_token_lifetime } => {
            tx.execute(
                "INSERT INTO apis (api_id, organization_id, identifier, name, scopes, access_token_lifetime, created_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                (
                    api,
                    organization_id.as_str(),
                    identifier.as_str(),
                    name.as_str(),
                    json(&scopes)?,
                    access_token_lifetime.map(i64::from),
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        ResourceServerEvent::Redefined { name, scopes, access_token_lifetime } => {
            tx.execute(
                "UPDATE apis SET name = $2, scopes = $3, access_token_lifetime = $4 WHERE api_id = $1",
                (api, name.as_str(), json(&scopes)?, access_token_lifetime.map(i64::from)),
            )
            .await?;
        }
        ResourceServerEvent::Deleted => {
            tx.execute("DELETE FROM apis WHERE api_id = $1", (api,)).await?;
        }
    }
    Ok(())
}

/// An API.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ApiRow {
    /// `api_…`
    pub api_id: String,
    /// Whose it is.
    pub organization_id: String,
    /// What tokens name it by.
    pub identifier: String,
    /// As administrators see it.
    pub name: String,
    scopes: String,
    /// In seconds; `None` means the instance's.
    pub access_token_lifetime: Option<i64>,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl ApiRow {
    /// What tokens for it can allow.
    #[must_use]
    pub fn scopes(&self) -> Vec<String> {
        from_json(&self.scopes)
    }
}

/// A page of an organization's APIs, by id, after `after`.
///
/// # Errors
/// When the database fails.
pub async fn apis_of(db: &Db, organization: &OrganizationId, after: &str, limit: i64) -> Result<Vec<ApiRow>, Error> {
    db.fetch_all(
        "SELECT api_id, organization_id, identifier, name, scopes, access_token_lifetime, created_at FROM apis
         WHERE organization_id = $1 AND api_id > $2 ORDER BY api_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}

/// One API.
///
/// # Errors
/// When the database fails.
pub async fn api(db: &Db, id: &ResourceServerId) -> Result<Option<ApiRow>, Error> {
    let sql = "SELECT api_id, organization_id, identifier, name, scopes, access_token_lifetime, created_at FROM apis
               WHERE api_id = $1";
    db.fetch_optional(sql, (id.as_str(),)).await
}
