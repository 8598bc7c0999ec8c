//! API keys of organizations, made and revoked by programs (R231–R233).

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{ApiKey, ApiKeyCommand, ApiKeyId, Organization, OrganizationId, Scopes, Title};
use eventstore::Execution;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::caller::Body;
use crate::fields::Path;
use crate::secrets::client_secret;
use crate::written::Written;
use crate::{App, Caller, Problem, hash_of};

/// `POST /v1/organizations/{id}/api-keys`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    name: Title,
    /// By default `org.admin`.
    roles: Option<Scopes>,
}

/// Makes a key; its secret is answered once. Nobody gives a key what their own may not do.
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(organization): Path<OrganizationId>,
    body: Body<Create>,
) -> Result<Response, Problem> {
    let context = caller.administering(&organization)?;
    caller.must_be_key()?;
    caller.must_have(&["org.admin"])?;
    let idempotency = caller.idempotency(&body);
    let Create { name, roles } = body.value;
    let roles = match roles {
        Some(roles) => roles,
        None => "org.admin".parse()?,
    };
    if !caller.is_operator() && !roles.is_subset_of(caller.rights()) {
        return Err(Problem::bad_field("roles", format!("roles must be among your key's own: {}", caller.rights())));
    }
    let exists = |organization: &Organization| organization.exists();
    if app.store.load_where(organization.as_str(), exists).await?.is_none() {
        return Err(Problem::not_found("organization"));
    }
    let id = ApiKeyId::from_uuid(Uuid::now_v7());
    let secret = client_secret("sk_");
    let command = ApiKeyCommand::Create {
        organization_id: organization.clone(),
        name: name.clone(),
        created_by: None,
        roles: roles.clone(),
        secret_hash: hash_of(&secret),
    };
    let execution =
        Execution::new(id.as_str(), command, &context).in_tenant(organization.as_str()).idempotent(idempotency);
    let receipt = app.store.execute::<ApiKey>(execution).await?;
    let mut answer = json!({"id": receipt.stream_id, "organization_id": organization, "name": name, "roles": roles});
    if !receipt.replayed {
        answer["api_secret"] = secret.into();
    }
    Written::by(&receipt).answer(&app, StatusCode::CREATED, answer).await
}

/// Revokes a key: its next request is refused (R232).
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    Path((organization, id)): Path<(OrganizationId, ApiKeyId)>,
) -> Result<Response, Problem> {
    let context = caller.administering(&organization)?;
    caller.must_be_key()?;
    caller.must_have(&["org.admin"])?;
    let command = ApiKeyCommand::Revoke { reason: None };
    let receipt = app.store.execute::<ApiKey>(Execution::new(id.as_str(), command, &context)).await?;
    Written::by(&receipt).answer_empty(&app).await
}
