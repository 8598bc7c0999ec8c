//! Users, as programs register and read them.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use domain::{Email, OrganizationCommand, PersonName, Role, UserEvent, UserId};
use eventstore::{Execution, Idempotency};
use projections::ListedUser;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::accounts::{NewUser, register_user_once};
use crate::apps::{Page, next_cursor};
use crate::caller::Body;
use crate::fields::{Path, Query};
use crate::written::Written;
use crate::{App, Caller, Problem};

const PAGE: i64 = 100;

/// `POST /v1/users`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Register {
    email: Email,
    name: PersonName,
    password: Option<String>,
    #[serde(alias = "emailVerified")]
    email_verified: Option<bool>,
}

/// Registers a user. Whom an organization's key registers becomes a member of it; only the operator may vouch for an
/// address and register people for no organization.
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: Body<Register>) -> Result<Response, Problem> {
    caller.must_be_key()?;
    caller.must_have(&["org.admin"])?;
    let idempotency = caller.idempotency(&body);
    let Register { email, name, password, email_verified } = body.value;
    if email_verified.is_some() && !caller.is_operator() {
        let detail = "email_verified can be set by the operator of this instance only";
        return Err(Problem::forbidden(detail).about("email_verified"));
    }
    let user = NewUser { email, name, password, email_verified: email_verified.unwrap_or(false) };
    let receipt = register_user_once(&app, user, &caller.context(None), idempotency).await?;
    let id: UserId = receipt.stream_id.parse()?;
    let mut written = Written::by(&receipt);
    if !caller.is_operator() {
        let organization = caller.organization()?;
        let command = OrganizationCommand::AddMember { user_id: id.clone(), role: Role::Member };
        let context = caller.context(Some(organization));
        // Also when the request comes again because this step was not reached the first time; who was made a member
        // then may have another role by now, or have left.
        let once = Some(Idempotency { key: format!("join/{id}"), fingerprint: organization.to_string() });
        let execution = Execution::<domain::Organization>::new(organization.as_str(), command, &context);
        written.position = app.store.execute(execution.idempotent(once)).await?.position;
    }
    let Some(UserEvent::Registered { email, name, email_verified }) = receipt.events.first() else {
        return Err(Problem::internal("registering a user did not register it"));
    };
    app.shown(written.position).await?;
    let registered_at = projections::listed_user(&app.views.db, &id).await?.map(|row| row.registered_at);
    let answer = json!({
        "id": id, "email": email.value(), "name": name.value(), "email_verified": email_verified, "status": "active",
        "createdAt": registered_at,
    });
    written.answer(&app, StatusCode::CREATED, answer).await
}

/// Shows a user, to the operator and to those of an organization that the user belongs to (R220).
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<UserId>,
) -> Result<Json<Value>, Problem> {
    caller.must_be_key()?;
    if !caller.is_operator() {
        let organization = app.store.load::<domain::Organization>(caller.organization()?.as_str()).await?;
        if organization.state.role_of(&id).is_none() {
            return Err(Problem::not_found("user"));
        }
    }
    let row = projections::listed_user(&app.views.db, &id).await?.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(shown(&row)))
}

/// Shows whoever is behind the token or made the key (R203).
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Result<Json<Value>, Problem> {
    let id = caller.person().ok_or_else(|| Problem::not_found("user"))?;
    let row = projections::listed_user(&app.views.db, id).await?.ok_or_else(|| Problem::not_found("user"))?;
    Ok(Json(shown(&row)))
}

/// Lists the caller's organization's users; the operator's key lists all.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(page): Query<Page>,
) -> Result<Json<Value>, Problem> {
    caller.must_be_key()?;
    let organization = if caller.is_operator() { None } else { Some(caller.organization()?) };
    let rows = projections::listed_users(&app.views.db, organization, &page.cursor, PAGE).await?;
    let next = next_cursor(&rows, PAGE, |row| &row.user_id);
    let users: Vec<Value> = rows.iter().map(shown).collect();
    Ok(Json(json!({"users": users, "next_cursor": next})))
}

fn shown(row: &ListedUser) -> Value {
    json!({
        "id": row.user_id, "email": row.email, "name": row.name, "email_verified": row.email_verified,
        "status": row.status, "createdAt": row.registered_at,
    })
}
