//! The userinfo endpoint (OpenID Connect Core §5.3): claims as they are now, limited to what was granted.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::OAuthError;
use super::claims::Subject;
use super::parameters::{Parameters, RawBody};
use crate::App;
use crate::access_token::verify;
use crate::caller::bearer;

/// `GET /oauth/userinfo`
pub(crate) async fn get(State(app): State<App>, headers: HeaderMap) -> Result<Response, OAuthError> {
    answer(&app, bearer(&headers)).await
}

/// `POST /oauth/userinfo`; the token may stand in a form (RFC 6750 §2.2), but not in two places.
pub(crate) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, OAuthError> {
    let form = Parameters::from_form_body(&headers, &body).ok();
    match (bearer(&headers), form.as_ref().and_then(|form| form.get("access_token"))) {
        (Some(_), Some(_)) => Err(OAuthError::invalid_request("the access token must be sent in one way, not in two")),
        (in_header, in_form) => answer(&app, in_header.or(in_form)).await,
    }
}

async fn answer(app: &App, token: Option<&str>) -> Result<Response, OAuthError> {
    let token = token.ok_or_else(OAuthError::token_missing)?;
    let live = verify(app, token).await?.ok_or_else(OAuthError::invalid_token)?;
    // A token that was narrowed to an API was given to that API, which is not to ask about people with it.
    let is_for_us =
        |audience: &String| audience == live.claims.client_id.as_str() || *audience == app.settings.base_url;
    let is_allowed = live.scopes.contains("openid") && live.claims.aud.iter().any(is_for_us);
    // A client's own token is about nobody (R121).
    let Some(granted) = live.grant.authorization().filter(|_| is_allowed) else {
        return Err(OAuthError::insufficient_scope());
    };
    let subject = Subject {
        user: &granted.user_id,
        organization: granted.organization_id.as_ref(),
        client: &live.client,
        scopes: &live.scopes,
    };
    let claims = subject.userinfo(app, &granted.claims).await?;
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(claims)).into_response())
}
