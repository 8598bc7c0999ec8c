//! Installing and uninstalling apps (section H).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use domain::{
    App as AppAggregate, AppId, ClientId, Installation, InstallationId, Organization, OrganizationCommand,
    OrganizationEvent, OrganizationId,
};
use eventstore::{Context, Execution, Idempotency};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::apps::{Page, next_cursor};
use crate::caller::Body;
use crate::fields::{Path, Query};
use crate::{App, Caller, Problem};

const PAGE: i64 = 100;
const ROLES: [&str; 2] = ["org.admin", "org.admin.apps"];

/// `POST /v1/organizations/{id}/installations`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Install {
    #[serde(alias = "appId")]
    app_id: AppId,
}

/// What installing an app did.
pub struct Installed {
    /// The installation, new or the one that was there.
    pub installation: Installation,
    /// Read models that have seen this position show it.
    pub position: u64,
    /// The organization's version.
    pub version: u64,
    /// Whether it was installed by this request.
    pub is_new: bool,
}

/// Installs an app for an organization: its client is made and its webhook sent from there on (R160, R161).
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    body: Body<Install>,
) -> Result<impl IntoResponse, Problem> {
    caller.must_have(&ROLES)?;
    let context = caller.administering(&organization)?;
    let idempotency = caller.idempotency(&body);
    let installed = install(&app, &organization, &body.value.app_id, &context, idempotency).await?;
    app.shown(installed.position).await?;
    let status = if installed.is_new { StatusCode::CREATED } else { StatusCode::OK };
    let headers = [("optare-position", installed.position.to_string()), ("etag", format!("\"{}\"", installed.version))];
    let Installation { installation_id, app_id, client_id } = installed.installation;
    let answer = json!({
        "id": installation_id, "organization_id": organization, "app_id": app_id, "client_id": client_id,
    });
    Ok((status, headers, Json(answer)))
}

/// Installs an app; one that is installed already stays as it is.
///
/// # Errors
/// When the app does not exist for this organization.
pub async fn install(
    app: &App,
    organization: &OrganizationId,
    app_id: &AppId,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<Installed, Problem> {
    let wanted = app.store.load::<AppAggregate>(app_id.as_str()).await?;
    if !wanted.state.installable_by(organization) {
        return Err(Problem::not_found("app"));
    }
    let command = OrganizationCommand::InstallApp {
        installation_id: InstallationId::from_uuid(Uuid::now_v7()),
        app_id: app_id.clone(),
        client_id: ClientId::for_installation(Uuid::now_v7()),
    };
    let execution = Execution::new(organization.as_str(), command, context).idempotent(idempotency);
    let receipt = app.store.execute::<Organization>(execution).await?;
    let new = receipt.events.iter().find_map(|event| match event {
        OrganizationEvent::AppInstalled { installation_id, app_id, client_id } => Some(Installation {
            installation_id: installation_id.clone(),
            app_id: app_id.clone(),
            client_id: client_id.clone(),
        }),
        _ => None,
    });
    let is_new = new.is_some();
    let installation = new
        .or_else(|| receipt.state.installation_of(app_id).cloned())
        .ok_or_else(|| Problem::internal("installing an app did not install it"))?;
    Ok(Installed { installation, position: receipt.position, version: receipt.version, is_new })
}

/// Uninstalls an app (R163).
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((organization, installation)): Path<(OrganizationId, InstallationId)>,
) -> Result<impl IntoResponse, Problem> {
    caller.must_have(&ROLES)?;
    let context = caller.administering(&organization)?;
    let position = uninstall(&app, &organization, installation, &context).await?;
    app.shown(position).await?;
    Ok((StatusCode::NO_CONTENT, [("optare-position", position.to_string())]))
}

/// Uninstalls an app; its client's tokens are refused from the answer on, on other nodes within their lag.
///
/// # Errors
/// When it is not installed.
pub async fn uninstall(
    app: &App,
    organization: &OrganizationId,
    installation_id: InstallationId,
    context: &Context,
) -> Result<u64, Problem> {
    let command = OrganizationCommand::UninstallApp { installation_id };
    let receipt = app.store.execute::<Organization>(Execution::new(organization.as_str(), command, context)).await?;
    Ok(receipt.position)
}

/// Lists what an organization has installed.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    caller.reading(&organization)?;
    let rows = projections::installations_of(&app.views.db, &organization, &page.cursor, PAGE).await?;
    let next = next_cursor(&rows, PAGE, |row| &row.installation_id);
    let installations: Vec<Value> = rows
        .iter()
        .map(|row| {
            json!({
                "id": row.installation_id, "organization_id": organization, "app_id": row.app_id,
                "client_id": row.client_id, "status": row.status, "installedAt": row.installed_at,
            })
        })
        .collect();
    Ok(Json(json!({"installations": installations, "next_cursor": next})))
}
