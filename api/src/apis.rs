//! APIs that tokens are for: their identifiers and scopes (R096, R129).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{
    Api, ApiIdentifier, OrganizationId, ResourceServer, ResourceServerCommand, ResourceServerId, Scopes, Title,
};
use eventstore::{Claim, ClaimChange, Context, ExecuteError, Execution, Receipt, StoreError};
use projections::ApiRow;
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::apps::next_cursor;
use crate::caller::Body;
use crate::fields::{Path, Query};
use crate::written::Written;
use crate::{App, Caller, Problem};

const PAGE: i64 = 100;
const ROLES: [&str; 1] = ["org.admin"];

/// The API that tokens name by `identifier`, with its id; none if there is none (any more).
///
/// # Errors
/// When the log fails.
pub async fn by_identifier(app: &App, identifier: &str) -> Result<Option<(ResourceServerId, Api)>, StoreError> {
    if let Some(id) = app.lookups.apis.get(identifier) {
        if let Some(api) = active(app, &id).await? {
            return Ok(Some((id, api)));
        }
        app.lookups.apis.invalidate(identifier);
    }
    let owner = app.store.owner_of(&claim(identifier)).await?;
    let Some(id) = owner.and_then(|owner| owner.parse::<ResourceServerId>().ok()) else { return Ok(None) };
    let Some(api) = active(app, &id).await? else { return Ok(None) };
    app.lookups.apis.insert(identifier.to_owned(), id.clone());
    Ok(Some((id, api)))
}

async fn active(app: &App, id: &ResourceServerId) -> Result<Option<Api>, StoreError> {
    let is_active = |api: &ResourceServer| api.active().is_some();
    let loaded = app.store.load_where(id.as_str(), is_active).await?;
    Ok(loaded.and_then(|loaded| loaded.state.active().cloned()))
}

/// What makes an identifier unique on the instance.
fn claim(identifier: &str) -> Claim {
    Claim { kind: "api_identifier", value: identifier.to_owned(), personal: false }
}

/// `POST /v1/apis`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Define {
    identifier: ApiIdentifier,
    /// By default the identifier.
    name: Option<Title>,
    #[serde(default)]
    scopes: Scopes,
    #[serde(alias = "accessTokenLifetime")]
    access_token_lifetime: Option<u32>,
    /// By default the caller's.
    #[serde(alias = "organizationId")]
    organization_id: Option<OrganizationId>,
}

/// Defines an API.
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: Body<Define>) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    let idempotency = caller.idempotency(&body);
    let Define { identifier, name, scopes, access_token_lifetime, organization_id } = body.value;
    let organization_id = caller.organization_or(organization_id)?;
    let context = caller.administering(&organization_id)?;
    let name = match name {
        Some(name) => name,
        None => identifier.as_str().chars().take(120).collect::<String>().parse()?,
    };
    let id = ResourceServerId::from_uuid(Uuid::now_v7());
    let taken = ClaimChange::Take(claim(identifier.as_str()), id.to_string());
    let tenant = organization_id.to_string();
    let command = ResourceServerCommand::Define { organization_id, identifier, name, scopes, access_token_lifetime };
    let execution =
        Execution::new(id.as_str(), command, &context).in_tenant(tenant).claiming([taken]).idempotent(idempotency);
    let receipt = match app.store.execute::<ResourceServer>(execution).await {
        Err(ExecuteError::ClaimTaken(_)) => {
            let detail = "this identifier is already taken; choose another";
            return Err(Problem::new(StatusCode::CONFLICT, "identifier_taken", detail).about("identifier"));
        }
        outcome => outcome?,
    };
    answer(&app, &receipt, StatusCode::CREATED).await
}

/// `PATCH /v1/apis/{id}`; what is left out stays.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Redefine {
    name: Option<Title>,
    scopes: Option<Scopes>,
    /// `null` goes back to the instance's setting.
    #[serde(default, alias = "accessTokenLifetime", deserialize_with = "given")]
    access_token_lifetime: Option<Option<u32>>,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Changes an API; its identifier stays, since tokens name it.
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ResourceServerId>,
    body: Body<Redefine>,
) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    let (context, _) = administering(&app, &caller, &id).await?;
    let idempotency = caller.idempotency(&body);
    let Redefine { name, scopes, access_token_lifetime } = body.value;
    let command = ResourceServerCommand::Redefine { name, scopes, access_token_lifetime };
    let execution = Execution::new(id.as_str(), command, &context).idempotent(idempotency);
    let receipt = app.store.execute::<ResourceServer>(execution).await?;
    answer(&app, &receipt, StatusCode::OK).await
}

/// Deletes an API: no token is issued for it any more, and its identifier is free.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ResourceServerId>,
) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    let (context, api) = administering(&app, &caller, &id).await?;
    let free = ClaimChange::Release(claim(api.identifier.as_str()), id.to_string());
    let execution = Execution::new(id.as_str(), ResourceServerCommand::Delete, &context).claiming([free]);
    let receipt = app.store.execute::<ResourceServer>(execution).await?;
    app.lookups.apis.invalidate(api.identifier.as_str());
    Written::by(&receipt).answer_empty(&app).await
}

/// Shows an API.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ResourceServerId>,
) -> Result<Json<Value>, Problem> {
    let row = projections::api(&app.views.db, &id).await?.ok_or_else(|| Problem::not_found("api"))?;
    caller.reading(&row.organization_id.parse()?).map_err(|problem| hidden(problem, "api"))?;
    Ok(Json(shown(&row)))
}

/// A page, of one organization.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OrganizationPage {
    #[serde(default)]
    pub cursor: String,
    #[serde(alias = "organizationId")]
    pub organization_id: Option<OrganizationId>,
}

/// Lists an organization's APIs.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<OrganizationPage>,
) -> Result<Json<Value>, Problem> {
    let organization = caller.organization_or(page.organization_id)?;
    caller.reading(&organization)?;
    let rows = projections::apis_of(&app.views.db, &organization, &page.cursor, PAGE).await?;
    let next = next_cursor(&rows, PAGE, |row| &row.api_id);
    let apis: Vec<Value> = rows.iter().map(shown).collect();
    Ok(Json(json!({"apis": apis, "next_cursor": next})))
}

/// The context of changing an API, for those whose it is.
async fn administering(app: &App, caller: &Caller, id: &ResourceServerId) -> Result<(Context, Api), Problem> {
    let api = active(app, id).await?.ok_or_else(|| Problem::not_found("api"))?;
    let context = caller.administering(&api.organization_id).map_err(|problem| hidden(problem, "api"))?;
    Ok((context, api))
}

/// What belongs to an organization that does not exist for the caller does not exist either (R220).
pub(crate) fn hidden(problem: Problem, thing: &str) -> Problem {
    if problem.status() == StatusCode::NOT_FOUND { Problem::not_found(thing) } else { problem }
}

async fn answer(app: &App, receipt: &Receipt<ResourceServer>, status: StatusCode) -> Result<Response, Problem> {
    let id: ResourceServerId = receipt.stream_id.parse()?;
    app.shown(receipt.position).await?;
    let created_at = projections::api(&app.views.db, &id).await?.map(|row| row.created_at);
    let Some(api) = receipt.state.active() else { return Err(Problem::not_found("api")) };
    let body = json!({
        "id": id, "organization_id": api.organization_id, "identifier": api.identifier, "name": api.name,
        "scopes": api.scopes, "access_token_lifetime": api.access_token_lifetime, "createdAt": created_at,
    });
    Written::by(receipt).answer(app, status, body).await
}

fn shown(row: &ApiRow) -> Value {
    json!({
        "id": row.api_id, "organization_id": row.organization_id, "identifier": row.identifier, "name": row.name,
        "scopes": row.scopes(), "access_token_lifetime": row.access_token_lifetime, "createdAt": row.created_at,
    })
}
