//! `/v1/clients`: who may call it, and how a client reads in JSON.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::Duration;
use domain::{ClientChange, ClientId, ClientSettings, ClientType, OrganizationId};
use eventstore::Context;
use projections::{ClientRow, ClientSecretRow};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    DEFAULT_OVERLAP, MadeIn, NewClient, change_client, create_client, delete_client, disable_client, enable_client,
    existing_client, revoke_secret, rotate_secret,
};
use crate::apis::{OrganizationPage, hidden};
use crate::apps::next_cursor;
use crate::caller::{Body, read};
use crate::fields::{Path, Query};
use crate::{App, Caller, Problem};

const PAGE: i64 = 100;
/// Whoever makes clients decides what they may ask for, so nothing less will do.
const ROLES: [&str; 1] = ["org.admin"];

/// Makes a client (`POST /v1/clients`); the answer has its secret, once.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    caller.must_have(&ROLES)?;
    let idempotency = caller.idempotency(&body);
    let mut members = body.value;
    let client_type = take::<ClientType>(&mut members, &["type", "client_type", "clientType"])?
        .ok_or_else(|| Problem::bad_field("type", "type is missing: it must be one of spa, web, native, m2m"))?;
    let organization_id = take::<OrganizationId>(&mut members, &["organization_id", "organizationId"])?;
    let organization_id = caller.organization_or(organization_id)?;
    let context = caller.administering(&organization_id)?;
    let new = NewClient { organization_id, client_type, change: read(Value::Object(members))?, made_in: MadeIn::Api };
    let made = create_client(&app, new, &context, idempotency).await?;
    let created_at = projections::client(&app.views.db, &made.client_id).await?.map(|row| row.created_at);
    let client = &made.client;
    let mut answer = shown(&Shown {
        id: made.client_id.as_str(),
        organization_id: client.organization_id.as_str(),
        installation_id: None,
        name: client.name.as_str(),
        client_type: client.client_type.as_str(),
        status: "active",
        redirect_uris: &client.redirect_uris,
        scopes: &client.scopes,
        settings: &client.settings,
    });
    answer["createdAt"] = json!(created_at);
    if let Some(secret) = made.secret {
        answer["client_secret"] = secret.into();
    }
    made.written.answer(&app, StatusCode::CREATED, answer).await
}

/// Takes a member under any of its names.
fn take<T: serde::de::DeserializeOwned>(
    members: &mut Map<String, Value>,
    names: &[&'static str],
) -> Result<Option<T>, Problem> {
    let mut found = None;
    for name in names {
        if let Some(value) = members.remove(*name) {
            let wrong =
                |problem: serde_json::Error| Problem::bad_field(name, format!("{name} cannot be used: {problem}"));
            found = Some(serde_json::from_value(value).map_err(wrong)?);
        }
    }
    Ok(found)
}

/// Lists an organization's clients.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<OrganizationPage>,
) -> Result<Json<Value>, Problem> {
    caller.must_have(&ROLES)?;
    let organization = caller.organization_or(page.organization_id)?;
    caller.administering(&organization)?;
    let rows = projections::clients_of(&app.views.db, &organization, &page.cursor, PAGE).await?;
    let next = next_cursor(&rows, PAGE, |row| &row.client_id);
    let clients: Vec<Value> = rows.iter().map(shown_row).collect();
    Ok(Json(json!({"clients": clients, "next_cursor": next})))
}

/// Shows a client; of its secrets, what tells one from another.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ClientId>,
) -> Result<Json<Value>, Problem> {
    context(&app, &caller, &id).await?;
    Ok(Json(shown_whole(&app, &id).await?))
}

/// Changes a client; what is left out stays.
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ClientId>,
    body: Body<Map<String, Value>>,
) -> Result<Response, Problem> {
    let context = context(&app, &caller, &id).await?;
    let idempotency = caller.idempotency(&body);
    if body.value.contains_key("type") {
        let detail = "type stays as it is, since a client's secret and grants depend on it: make another client";
        return Err(Problem::bad_field("type", detail));
    }
    let change: ClientChange = read(Value::Object(body.value))?;
    let written = change_client(&app, &id, change, &context, idempotency).await?;
    let answer = shown_whole(&app, &id).await?;
    written.answer(&app, StatusCode::OK, answer).await
}

/// Deletes a client (R151).
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ClientId>,
) -> Result<Response, Problem> {
    let context = context(&app, &caller, &id).await?;
    delete_client(&app, &id, &context).await?.answer_empty(&app).await
}

/// Disables a client (R023).
pub(crate) async fn disable(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ClientId>,
) -> Result<Response, Problem> {
    let context = context(&app, &caller, &id).await?;
    let written = disable_client(&app, &id, &context).await?;
    let answer = shown_whole(&app, &id).await?;
    written.answer(&app, StatusCode::OK, answer).await
}

/// Enables a client again (R023).
pub(crate) async fn enable(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ClientId>,
) -> Result<Response, Problem> {
    let context = context(&app, &caller, &id).await?;
    let written = enable_client(&app, &id, &context).await?;
    let answer = shown_whole(&app, &id).await?;
    written.answer(&app, StatusCode::OK, answer).await
}

/// `POST /v1/clients/{id}/secrets`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    /// How long the secret so far goes on working; 24 hours if nobody says.
    #[serde(alias = "overlapSeconds")]
    overlap_seconds: Option<u32>,
    /// Ends the secret so far at once.
    #[serde(default, alias = "revokePrevious")]
    revoke_previous: bool,
}

/// Gives a client a new secret (R147, R148); the answer has it, once.
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<ClientId>,
    body: Body<Rotate>,
) -> Result<Response, Problem> {
    let context = context(&app, &caller, &id).await?;
    let idempotency = caller.idempotency(&body);
    let overlap = match body.value {
        Rotate { revoke_previous: true, overlap_seconds: Some(1..) } => {
            let detail = "overlap_seconds and revoke_previous exclude each other: give one of them";
            return Err(Problem::bad_field("overlap_seconds", detail));
        }
        Rotate { revoke_previous: true, .. } => Duration::zero(),
        Rotate { overlap_seconds: Some(seconds), .. } => Duration::seconds(i64::from(seconds)),
        Rotate { overlap_seconds: None, .. } => DEFAULT_OVERLAP,
    };
    let made = rotate_secret(&app, &id, overlap, &context, idempotency).await?;
    let mut answer = json!({
        "client_id": id, "secret_id": made.secret_id, "previousExpiresAt": made.previous_expires_at,
    });
    if let Some(secret) = made.secret {
        answer["client_secret"] = secret.into();
    }
    made.written.answer(&app, StatusCode::CREATED, answer).await
}

/// Ends a secret at once (R149).
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path((id, secret_id)): Path<(ClientId, String)>,
) -> Result<Response, Problem> {
    let context = context(&app, &caller, &id).await?;
    revoke_secret(&app, &id, &secret_id, &context).await?.answer_empty(&app).await
}

/// The context of what the caller does to a client, if it is one of its organization's (R220).
async fn context(app: &App, caller: &Caller, id: &ClientId) -> Result<Context, Problem> {
    caller.must_have(&ROLES)?;
    let client = existing_client(app, id).await?;
    caller.administering(&client.organization_id).map_err(|problem| hidden(problem, "client"))
}

async fn shown_whole(app: &App, id: &ClientId) -> Result<Value, Problem> {
    let row = projections::client(&app.views.db, id).await?.ok_or_else(|| Problem::not_found("client"))?;
    let secrets = projections::client_secrets_of(&app.views.db, id, app.now()).await?;
    let mut answer = shown_row(&row);
    answer["secrets"] = secrets.iter().map(shown_secret).collect();
    Ok(answer)
}

fn shown_secret(row: &ClientSecretRow) -> Value {
    json!({
        "id": row.secret_id, "last_four": row.last_four, "createdAt": row.created_at, "expiresAt": row.expires_at,
        "lastUsedAt": row.last_used_at,
    })
}

fn shown_row(row: &ClientRow) -> Value {
    let mut answer = shown(&Shown {
        id: &row.client_id,
        organization_id: &row.organization_id,
        installation_id: row.installation_id.as_deref(),
        name: &row.name,
        client_type: &row.client_type,
        status: &row.status,
        redirect_uris: &row.redirect_uris(),
        scopes: &row.scopes(),
        settings: &row.settings(),
    });
    answer["createdAt"] = json!(row.created_at);
    answer
}

struct Shown<'a, U, S> {
    id: &'a str,
    organization_id: &'a str,
    installation_id: Option<&'a str>,
    name: &'a str,
    client_type: &'a str,
    status: &'a str,
    redirect_uris: &'a U,
    scopes: &'a S,
    settings: &'a ClientSettings,
}

/// Every setting under the name that changes it, also those that have their default.
fn shown<U: Serialize, S: Serialize>(client: &Shown<U, S>) -> Value {
    let settings = client.settings;
    json!({
        "client_id": client.id,
        "organization_id": client.organization_id,
        "installation_id": client.installation_id,
        "name": client.name,
        "type": client.client_type,
        "status": client.status,
        "description": settings.description,
        "logo_uri": settings.logo_uri,
        "redirect_uris": client.redirect_uris,
        "post_logout_redirect_uris": settings.post_logout_redirect_uris,
        "allowed_origins": settings.allowed_origins,
        "allowed_scopes": client.scopes,
        "allowed_audiences": settings.allowed_audiences,
        "token_endpoint_auth_method": settings.token_endpoint_auth_method,
        "jwks": settings.jwks,
        "backchannel_logout_uri": settings.backchannel_logout_uri,
        "initiate_login_uri": settings.initiate_login_uri,
        "first_party": settings.first_party,
        "require_s256": settings.require_s256,
        "ignore_unknown_scopes": settings.ignore_unknown_scopes,
        "id_token_signed_response_alg": settings.id_token_signed_response_alg,
        "access_token_lifetime": settings.access_token_lifetime,
        "refresh_token_lifetime": settings.refresh_token_lifetime,
        "refresh_token_absolute_lifetime": settings.refresh_token_absolute_lifetime,
    })
}
