//! The userinfo endpoint (OpenID Connect Core §5.3): claims as they are now, limited to what was granted.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::OAuthError;
use crate::App;
use crate::access_token::verify;
use crate::caller::bearer;

/// `GET` and `POST /oauth/userinfo`
pub(crate) async fn show(State(app): State<App>, headers: HeaderMap) -> Result<Response, OAuthError> {
    let token = bearer(&headers).ok_or_else(OAuthError::token_missing)?;
    let live = verify(&app, token).await?.ok_or_else(OAuthError::invalid_token)?;
    if !live.scopes.contains("openid") {
        return Err(OAuthError::insufficient_scope());
    }
    let organization = live.claims.organization_id.as_ref();
    let row = projections::userinfo(&app.views.db, &live.claims.sub, organization)
        .await?
        // The log knows this user, so the read model is behind.
        .ok_or_else(|| OAuthError::unavailable("the read models are being rebuilt; send the request again"))?;
    let mut claims = json!({"sub": live.claims.sub});
    if live.scopes.contains("profile") {
        claims["name"] = row.name.into();
    }
    if live.scopes.contains("email") {
        claims["email_verified"] = row.email.is_some().then_some(row.email_verified).into();
        claims["email"] = row.email.into();
    }
    // Who was removed from the organization loses it at the next call (R272). Both spellings, always equal (C1).
    if let (Some(id), Some(role)) = (organization, row.role) {
        let in_context =
            ["organization", "organization:read", "profile"].iter().any(|scope| live.scopes.contains(*scope));
        if in_context {
            claims["organization_id"] = id.as_str().into();
            claims["organizationId"] = id.as_str().into();
        }
        if live.scopes.contains("organization") {
            claims["organization_name"] = row.organization_name.into();
            claims["role"] = role.into();
        }
    }
    if let Some(claims) = claims.as_object_mut() {
        claims.retain(|_, value| !value.is_null());
    }
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(claims)).into_response())
}
