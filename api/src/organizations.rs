//! Organizations and their members.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{Organization, OrganizationCommand, OrganizationId, OrganizationName, Role, User, UserId};
use eventstore::Execution;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::apps::{Page, next_cursor};
use crate::caller::Body;
use crate::fields::{Path, Query};
use crate::written::Written;
use crate::{App, Caller, Problem};

const PAGE: i64 = 100;
/// What changes an organization's name: a key's role, or a token's scope (R127).
const WRITE: [&str; 2] = ["org.admin", "organization:write"];

/// `POST /v1/organizations`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Create {
    name: OrganizationName,
    /// By default whoever made the API key.
    #[serde(alias = "ownerId")]
    owner_id: Option<UserId>,
}

/// Creates an organization with its owner; for the operator of the instance.
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: Body<Create>) -> Result<Response, Problem> {
    let context = caller.operating()?;
    let idempotency = caller.idempotency(&body);
    let Create { name, owner_id } = body.value;
    let missing = || Problem::bad_field("owner_id", "owner_id is missing: an organization needs an owner");
    let owner = owner_id.or_else(|| caller.person().cloned()).ok_or_else(missing)?;
    if !exists(&app, &owner).await? {
        return Err(Problem::bad_field("owner_id", "owner_id must be the id of a user; create the user first"));
    }
    let id = OrganizationId::from_uuid(Uuid::now_v7());
    let command = OrganizationCommand::Create { name, owner };
    let execution = Execution::new(id.as_str(), command, &context).in_tenant(id.as_str()).idempotent(idempotency);
    let receipt = app.store.execute::<Organization>(execution).await?;
    let id = receipt.stream_id.parse()?;
    app.shown(receipt.position).await?;
    let answer = shown(&app, &id, receipt.state.name()).await?;
    Written::by(&receipt).answer(&app, StatusCode::CREATED, answer).await
}

/// Shows an organization's details (R127).
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrganizationId>,
) -> Result<Json<Value>, Problem> {
    caller.reading(&id)?;
    let exists = |organization: &Organization| organization.exists();
    let loaded = app.store.load_where(id.as_str(), exists).await?.ok_or_else(|| Problem::not_found("organization"))?;
    shown(&app, &id, loaded.state.name()).await.map(Json)
}

/// `PATCH /v1/organizations/{id}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rename {
    name: Option<OrganizationName>,
}

/// Renames an organization (R127).
pub(crate) async fn rename(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrganizationId>,
    body: Body<Rename>,
) -> Result<Response, Problem> {
    let context = caller.administering(&id)?;
    caller.must_have(&WRITE)?;
    let idempotency = caller.idempotency(&body);
    let Some(name) = body.value.name else {
        return Err(Problem::bad_field("name", "name is missing: it is what can be changed"));
    };
    let command = OrganizationCommand::Rename { name };
    let execution = Execution::new(id.as_str(), command, &context).idempotent(idempotency);
    let receipt = app.store.execute::<Organization>(execution).await?;
    app.shown(receipt.position).await?;
    let answer = shown(&app, &id, receipt.state.name()).await?;
    Written::by(&receipt).answer(&app, StatusCode::OK, answer).await
}

/// Lists who belongs to an organization, with what role.
pub(crate) async fn members(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrganizationId>,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    caller.reading(&id)?;
    if projections::organization(&app.views.db, &id).await?.is_none() {
        return Err(Problem::not_found("organization"));
    }
    let rows = projections::members_of(&app.views.db, &id, &page.cursor, PAGE).await?;
    let next = next_cursor(&rows, PAGE, |row| &row.user_id);
    let members: Vec<Value> = rows
        .iter()
        .map(|row| json!({"user_id": row.user_id, "role": row.role, "email": row.email, "name": row.name}))
        .collect();
    Ok(Json(json!({"members": members, "next_cursor": next})))
}

/// `PUT /v1/organizations/{id}/members/{user_id}`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Membership {
    role: Role,
}

/// Makes a user a member, or changes a member's role; asking for what holds already is nothing.
pub(crate) async fn put_member(
    State(app): State<App>,
    caller: Caller,
    Path((id, user_id)): Path<(OrganizationId, UserId)>,
    body: Body<Membership>,
) -> Result<Response, Problem> {
    let context = caller.administering(&id)?;
    caller.must_have(&["org.admin"])?;
    let idempotency = caller.idempotency(&body);
    let role = body.value.role;
    // Nobody is made a member of an organization by knowing an id: people of other organizations do not exist here.
    let known = if caller.is_operator() {
        exists(&app, &user_id).await?
    } else {
        let is_member = |organization: &Organization| organization.role_of(&user_id).is_some();
        app.store.load_where(id.as_str(), is_member).await?.is_some()
    };
    if !known {
        return Err(Problem::not_found("user"));
    }
    let (organization, is_new_owner) = (app.store.load::<Organization>(id.as_str()).await?.state, role.is_owner());
    caller.may_touch_owners(&organization, is_new_owner || is_owner(&organization, &user_id))?;
    let command = OrganizationCommand::AddMember { user_id: user_id.clone(), role: role.clone() };
    let execution = Execution::new(id.as_str(), command, &context).idempotent(idempotency);
    let receipt = app.store.execute::<Organization>(execution).await?;
    let answer = json!({"organization_id": id, "user_id": user_id, "role": role});
    Written::by(&receipt).answer(&app, StatusCode::OK, answer).await
}

/// Ends a membership.
pub(crate) async fn remove_member(
    State(app): State<App>,
    caller: Caller,
    Path((id, user_id)): Path<(OrganizationId, UserId)>,
) -> Result<Response, Problem> {
    let context = caller.administering(&id)?;
    caller.must_have(&["org.admin"])?;
    let organization = app.store.load::<Organization>(id.as_str()).await?.state;
    caller.may_touch_owners(&organization, is_owner(&organization, &user_id))?;
    let command = OrganizationCommand::RemoveMember { user_id };
    let receipt = app.store.execute::<Organization>(Execution::new(id.as_str(), command, &context)).await?;
    Written::by(&receipt).answer_empty(&app).await
}

fn is_owner(organization: &Organization, user: &UserId) -> bool {
    organization.role_of(user).is_some_and(Role::is_owner)
}

async fn exists(app: &App, user: &UserId) -> Result<bool, Problem> {
    Ok(app.store.load_where::<User>(user.as_str(), User::exists).await?.is_some())
}

/// The name comes from the log; a read model that is late has no date yet.
async fn shown(app: &App, id: &OrganizationId, name: Option<&OrganizationName>) -> Result<Value, Problem> {
    let created_at = projections::organization(&app.views.db, id).await?.map(|row| row.created_at);
    Ok(json!({"id": id, "name": name, "createdAt": created_at}))
}
