//! The revocation endpoint (RFC 7009): a client gives a token back.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{Grant, GrantCommand, GrantId, RevocationReason};
use eventstore::{Actor, ExecuteError, Execution};

use super::OAuthError;
use super::client_authentication::authenticate;
use super::introspect::{Found, find};
use super::parameters::{Parameters, RawBody};
use crate::{App, Arrival};

/// `POST /oauth/revoke`. A token that is no token (any more) is no error (§2.2).
pub(crate) async fn post(
    State(app): State<App>,
    arrival: Arrival,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::from_form_body(&headers, &body)?;
    let who = authenticate(&app, &headers, &parameters).await?;
    let token = parameters.required("token")?;
    let now = app.now();
    let (grant_id, client_id, command) = match find(&app, token).await? {
        // The family of a refresh token ends whole (§2.1).
        Some(Found::Refresh(refresh)) => {
            let command = GrantCommand::Revoke { reason: RevocationReason::Client, now };
            (refresh.grant_id, refresh.client_id, command)
        }
        Some(Found::Access(live)) => {
            let command = GrantCommand::RevokeAccessToken { access_token_id: live.claims.jti, now };
            (live.claims.grant_id, live.claims.client_id, command)
        }
        None => return Ok(done()),
    };
    if client_id != who.client_id {
        return Err(OAuthError::invalid_request("this token was issued to another client"));
    }
    revoke(&app, &arrival, &grant_id, command, client_id.as_str()).await?;
    Ok(done())
}

async fn revoke(
    app: &App,
    arrival: &Arrival,
    grant_id: &GrantId,
    command: GrantCommand,
    client_id: &str,
) -> Result<(), OAuthError> {
    let mut context = arrival.context(Actor::Client(client_id.to_owned()), None);
    context.client_id = Some(client_id.to_owned());
    match app.store.execute::<Grant>(Execution::new(grant_id.as_str(), command, &context)).await {
        Ok(_) | Err(ExecuteError::Rejected(_)) => Ok(()),
        Err(ExecuteError::Store(error)) => Err(error.into()),
        Err(other) => Err(OAuthError::unavailable(other.to_string())),
    }
}

fn done() -> Response {
    (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response()
}
