//! Apps: what vendors offer for installation.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::{
    App as AppAggregate, AppChange, AppCommand, AppEvent, AppId, AppName, LaunchUrl, OrganizationId, RedirectUri,
    Scopes, Title, Visibility, WebhookUrl,
};
use eventstore::{Claim, ClaimChange, Context, Execution, Idempotency, Receipt};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::apis::hidden;
use crate::caller::Body;
use crate::fields::{Path, Query};
use crate::written::Written;
use crate::{App, Caller, Problem};

/// What an app may ask for when its vendor does not say.
const DEFAULT_SCOPES: &str = "openid profile email organization offline_access";
const PAGE: i64 = 100;

/// A new app, as `POST /v1/apps` takes it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefineApp {
    /// Unique, in lower case.
    pub name: AppName,
    /// As users see it, also on the consent page (R040).
    pub title: Title,
    /// The vendor's own version text.
    #[serde(default = "first_version")]
    pub version: String,
    /// What it does.
    pub description: Option<String>,
    /// Where `app.installed` and `app.uninstalled` go (R161).
    #[serde(alias = "webhookUrl")]
    pub webhook_url: Option<WebhookUrl>,
    /// Where codes may be sent, compared exactly (R025).
    #[serde(default, alias = "redirectUris")]
    pub redirect_uris: Vec<RedirectUri>,
    /// Where "Open" leads; by default the first redirect URI gets a code at once (R056).
    #[serde(alias = "launchUrl")]
    pub launch_url: Option<LaunchUrl>,
    /// What it may ask for.
    pub scopes: Option<Vec<String>>,
    /// public: all may install it; private: only the vendor.
    #[serde(default = "private")]
    pub visibility: Visibility,
}

fn first_version() -> String {
    "1.0.0".to_owned()
}

fn private() -> Visibility {
    Visibility::Private
}

/// Where a list goes on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Page {
    #[serde(default)]
    pub cursor: String,
}

/// Defines an app (`POST /v1/apps`); the answer has the secret that signs its webhooks.
pub(crate) async fn define(
    State(app): State<App>,
    caller: Caller,
    body: Body<DefineApp>,
) -> Result<impl IntoResponse, Problem> {
    caller.must_have(&["org.admin", "org.admin.apps"])?;
    let vendor = caller.organization()?.clone();
    let context = caller.administering(&vendor)?;
    let idempotency = caller.idempotency(&body);
    let receipt = define_app(&app, &vendor, body.value, &context, idempotency).await?;
    app.shown(receipt.position).await?;
    let mut answer = shown_app(&receipt)?;
    let id: AppId = receipt.stream_id.parse()?;
    let secret = webhooks::signing_secret(app.store.vault(), &id).await?;
    answer["webhook_secret"] = secret.expose_text().into();
    let headers = [("optare-position", receipt.position.to_string()), ("etag", format!("\"{}\"", receipt.version))];
    Ok((StatusCode::CREATED, headers, Json(answer)))
}

/// Defines an app of `vendor`.
///
/// # Errors
/// When a value is malformed or the name is taken.
pub async fn define_app(
    app: &App,
    vendor: &OrganizationId,
    new: DefineApp,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<Receipt<AppAggregate>, Problem> {
    let id = AppId::from_uuid(Uuid::now_v7());
    if let Some(url) = &new.webhook_url {
        check_webhook_url(app, url)?;
    }
    plain_text("version", Some(&new.version), 64)?;
    plain_text("description", new.description.as_deref(), 2_000)?;
    let scopes = new.scopes.map_or_else(|| DEFAULT_SCOPES.to_owned(), |scopes| scopes.join(" "));
    let claim = Claim { kind: "name", value: new.name.to_string(), personal: false };
    let command = AppCommand::Define {
        organization_id: vendor.clone(),
        name: new.name,
        title: new.title,
        version: new.version,
        description: new.description,
        webhook_url: new.webhook_url,
        redirect_uris: new.redirect_uris,
        launch_url: new.launch_url,
        scopes: scopes.parse::<Scopes>()?,
        visibility: new.visibility,
    };
    let execution = Execution::new(id.as_str(), command, context)
        .in_tenant(vendor.as_str())
        .claiming([ClaimChange::Take(claim, id.to_string())])
        .idempotent(idempotency);
    Ok(app.store.execute(execution).await?)
}

/// `PATCH /v1/apps/{id}`; what is left out stays, `"webhook_url": null` ends its webhooks.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Change {
    title: Option<Title>,
    #[serde(default, alias = "webhookUrl", deserialize_with = "given")]
    webhook_url: Option<Option<WebhookUrl>>,
    #[serde(alias = "redirectUris")]
    redirect_uris: Option<Vec<RedirectUri>>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<WebhookUrl>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes an app of the caller's organization: the next webhooks go to the new URL (R168), and its clients have the
/// new redirect URIs at once (R189).
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<AppId>,
    body: Body<Change>,
) -> Result<Response, Problem> {
    caller.must_have(&["org.admin", "org.admin.apps"])?;
    let is_defined = |app: &AppAggregate| app.definition().is_some();
    let defined = app.store.load_where(id.as_str(), is_defined).await?;
    let vendor = defined.as_ref().and_then(|loaded| loaded.state.definition()).map(|app| &app.organization_id);
    let vendor = vendor.ok_or_else(|| Problem::not_found("app"))?;
    let context = caller.administering(vendor).map_err(|problem| hidden(problem, "app"))?;
    let idempotency = caller.idempotency(&body);
    let Change { title, webhook_url, redirect_uris } = body.value;
    if let Some(Some(url)) = &webhook_url {
        check_webhook_url(&app, url)?;
    }
    let command = AppCommand::Change(AppChange { title, webhook_url, redirect_uris });
    let execution = Execution::new(id.as_str(), command, &context).idempotent(idempotency);
    let receipt = app.store.execute::<AppAggregate>(execution).await?;
    let Some(now) = receipt.state.definition() else { return Err(Problem::not_found("app")) };
    let answer = json!({
        "id": id, "name": now.name, "title": now.title, "version": now.version, "description": now.description,
        "visibility": now.visibility, "webhook_url": now.webhook_url, "launch_url": now.launch_url,
        "redirect_uris": now.redirect_uris, "scopes": now.scopes,
    });
    Written::by(&receipt).answer(&app, StatusCode::OK, answer).await
}

fn check_webhook_url(app: &App, url: &WebhookUrl) -> Result<(), Problem> {
    webhooks::check_url(url.url(), app.settings.dev).map_err(|refused| Problem::bad_field("webhook_url", refused))
}

/// Text that people read: no control characters but line breaks, and an end to it.
fn plain_text(field: &'static str, text: Option<&str>, longest: usize) -> Result<(), Problem> {
    let Some(text) = text else { return Ok(()) };
    if text.chars().count() > longest || text.chars().any(|char| char.is_control() && char != '\n') {
        let detail = format!("{field} must have at most {longest} characters, without control characters");
        return Err(Problem::bad_field(field, detail));
    }
    Ok(())
}

/// Lists what the caller's organization may install (`GET /v1/apps`).
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    let organization = caller.organization()?;
    caller.reading(organization)?;
    let rows = projections::apps_installable_by(&app.views.db, organization, &page.cursor, PAGE).await?;
    let next = next_cursor(&rows, PAGE, |row| &row.app_id);
    let apps: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": row.app_id, "name": row.name, "title": row.title, "version": row.version,
                "description": row.description, "visibility": row.visibility, "launch_url": row.launch_url,
                "redirect_uris": row.redirect_uris(), "scopes": row.scopes(), "createdAt": row.defined_at,
                // Only its vendor may know where an app's webhooks go.
                "webhook_url": row.webhook_url.as_ref().filter(|_| row.organization_id == organization.as_str()),
            })
        })
        .collect();
    Ok(Json(json!({"apps": apps, "next_cursor": next})))
}

/// Where the next page starts; `None` on the last one.
pub(crate) fn next_cursor<T>(rows: &[T], page: i64, key: impl Fn(&T) -> &str) -> Option<String> {
    let full = i64::try_from(rows.len()).is_ok_and(|len| len == page);
    rows.last().filter(|_| full).map(|row| key(row).to_owned())
}

fn shown_app(receipt: &Receipt<AppAggregate>) -> Result<Value, Problem> {
    // A repeated request is answered with what was defined the first time, whatever it is now.
    let Some(AppEvent::Defined {
        name,
        title,
        version,
        description,
        webhook_url,
        redirect_uris,
        launch_url,
        scopes,
        visibility,
        ..
    }) = receipt.events.first()
    else {
        return Err(Problem::internal("defining an app did not define it"));
    };
    Ok(json!({
        "id": receipt.stream_id, "name": name, "title": title, "version": version, "description": description,
        "visibility": visibility, "webhook_url": webhook_url, "launch_url": launch_url,
        "redirect_uris": redirect_uris, "scopes": scopes,
    }))
}
