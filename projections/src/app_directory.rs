//! The app directory: what an organization can install.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{AppEvent, AppId, Event, OrganizationId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct AppDirectory;

impl Projection for AppDirectory {
    fn name(&self) -> &'static str {
        "app_directory@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["app"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::App(event) => changed(tx, recorded, event).await,
                _ => Ok(()),
            }
        })
    }
}

async fn changed(tx: &mut Tx, recorded: &Recorded, event: AppEvent) -> Result<(), ApplyError> {
    let app = recorded.stream_id.as_str();
    match event {
        AppEvent::Defined {
            organization_id,
            name,
            title,
            version,
            description,
            webhook_url,
            redirect_uris,
            launch_url,
            scopes,
            visibility,
        } => {
            tx.execute(
                "INSERT INTO apps (app_id, organization_id, name, title, version, description, visibility, webhook_url,
                                   launch_url, redirect_uris, scopes, defined_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
                (
                    app,
                    organization_id.as_str(),
                    name.as_str(),
                    title.as_str(),
                    version,
                    description,
                    visibility.as_str(),
                    webhook_url.as_ref().map(|url| url.as_str()),
                    launch_url.as_ref().map(|url| url.as_str()),
                    json(&redirect_uris)?,
                    json(&scopes)?,
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        AppEvent::WebhookUrlChanged { webhook_url } => {
            let url = webhook_url.as_ref().map(|url| url.as_str());
            tx.execute("UPDATE apps SET webhook_url = $2 WHERE app_id = $1", (app, url)).await?;
        }
        AppEvent::RedirectUrisChanged { redirect_uris } => {
            tx.execute("UPDATE apps SET redirect_uris = $2 WHERE app_id = $1", (app, json(&redirect_uris)?)).await?;
        }
        AppEvent::TitleChanged { title } => {
            tx.execute("UPDATE apps SET title = $2 WHERE app_id = $1", (app, title.as_str())).await?;
        }
    }
    Ok(())
}

/// An app in the directory.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct AppRow {
    /// `app_…`
    pub app_id: String,
    /// The vendor.
    pub organization_id: String,
    /// Unique, in lower case.
    pub name: String,
    /// As users see it.
    pub title: String,
    /// The vendor's version text.
    pub version: String,
    /// What it does.
    pub description: Option<String>,
    /// public, private
    pub visibility: String,
    /// Where its webhooks go.
    pub webhook_url: Option<String>,
    /// Where it is opened.
    pub launch_url: Option<String>,
    redirect_uris: String,
    scopes: String,
    /// When.
    pub defined_at: DateTime<Utc>,
}

impl AppRow {
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

/// A page of the apps that an organization may install, by id, after `after`: public ones and its own.
///
/// # Errors
/// When the database fails.
pub async fn apps_installable_by(
    db: &Db,
    organization: &OrganizationId,
    after: &str,
    limit: i64,
) -> Result<Vec<AppRow>, Error> {
    db.fetch_all(
        "SELECT app_id, organization_id, name, title, version, description, visibility, webhook_url, launch_url,
                redirect_uris, scopes, defined_at
         FROM apps WHERE (visibility = 'public' OR organization_id = $1) AND app_id > $2 ORDER BY app_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}

/// One app.
///
/// # Errors
/// When the database fails.
pub async fn app(db: &Db, id: &AppId) -> Result<Option<AppRow>, Error> {
    db.fetch_optional(
        "SELECT app_id, organization_id, name, title, version, description, visibility, webhook_url, launch_url,
                redirect_uris, scopes, defined_at
         FROM apps WHERE app_id = $1",
        (id.as_str(),),
    )
    .await
}
