//! The introspection endpoint (RFC 7662): whether a token holds now, for those who cannot ask the log.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use domain::{ClientId, Grant, GrantId, OrganizationId};
use eventstore::StoreError;
use serde_json::{Value, json};

use super::OAuthError;
use super::client_authentication::{Authenticated, authenticate};
use super::parameters::{Parameters, RawBody};
use crate::access_token::{LiveToken, active_client, authorization_stands, is_member, numeric_date, verify};
use crate::apis::by_identifier;
use crate::secrets::stream_of;
use crate::{App, hash_of};

/// A token of ours that holds.
pub(super) enum Found {
    Access(Box<LiveToken>),
    Refresh(RefreshToken),
}

/// A refresh token that would bring new tokens.
pub(super) struct RefreshToken {
    pub grant_id: GrantId,
    pub client_id: ClientId,
    sub: String,
    scope: String,
    expires_at: i64,
    organization_id: Option<OrganizationId>,
}

/// What a text is, if it is a token that holds. `token_type_hint` is not needed: the kinds look different.
pub(super) async fn find(app: &App, token: &str) -> Result<Option<Found>, StoreError> {
    let Some(stream) = stream_of("refresh_", token) else {
        return Ok(verify(app, token).await?.map(|live| Found::Access(Box::new(live))));
    };
    let grant_id = GrantId::from_uuid(stream);
    let (hash, now) = (hash_of(token), app.now());
    let works = |grant: &Grant| grant.refresh_token(&hash, now, app.settings.refresh_grace).is_some();
    let Some(loaded) = app.store.load_where(grant_id.as_str(), works).await? else { return Ok(None) };
    let refresh = loaded.state.refresh_token(&hash, now, app.settings.refresh_grace);
    let (Some(refresh), Some(granted)) = (refresh, loaded.state.authorization()) else { return Ok(None) };
    if !is_member(app, &granted.user_id, granted.organization_id.as_ref()).await? {
        return Ok(None);
    }
    if !authorization_stands(app, granted).await? || active_client(app, &granted.client_id).await?.is_none() {
        return Ok(None);
    }
    Ok(Some(Found::Refresh(RefreshToken {
        client_id: granted.client_id.clone(),
        sub: granted.user_id.to_string(),
        scope: granted.scopes.to_string(),
        expires_at: numeric_date(refresh.expires_at),
        organization_id: granted.organization_id.clone(),
        grant_id,
    })))
}

/// `POST /oauth/introspect`
pub(crate) async fn post(
    State(app): State<App>,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::from_form_body(&headers, &body)?;
    let who = authenticate(&app, &headers, &parameters).await?;
    // Whoever has only a public id could find out about tokens by trying (RFC 7662 §4).
    if !who.client.client_type.is_confidential() {
        return Err(OAuthError::unauthorized_client("only clients that prove who they are may introspect"));
    }
    let answer = match find(&app, parameters.required("token")?).await? {
        Some(Found::Access(live)) if may_know(&app, &who, &live).await? => access(&app, &live).await?,
        Some(Found::Refresh(refresh)) if refresh.client_id == who.client_id => json!({
            "active": true,
            "client_id": refresh.client_id,
            "sub": refresh.sub,
            "scope": refresh.scope,
            "exp": refresh.expires_at,
            "iss": app.settings.base_url,
            "organization_id": refresh.organization_id,
        }),
        _ => json!({"active": false}),
    };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(answer)).into_response())
}

/// Who was removed from the organization loses it at once (R272).
async fn access(app: &App, live: &LiveToken) -> Result<Value, StoreError> {
    let mut claims = live.claims.clone();
    claims.scope = live.scopes.to_string();
    if let Some(granted) = live.grant.authorization()
        && !is_member(app, &granted.user_id, granted.organization_id.as_ref()).await?
    {
        (claims.organization_id, claims.products) = (None, Vec::new());
    }
    let mut answer = json!(claims);
    answer["active"] = true.into();
    answer["token_type"] = "Bearer".into();
    Ok(answer)
}

/// The client that it was issued to, and those whose organization owns an API that it is for.
async fn may_know(app: &App, who: &Authenticated, live: &LiveToken) -> Result<bool, StoreError> {
    if live.claims.client_id == who.client_id {
        return Ok(true);
    }
    for audience in &live.claims.aud {
        let api = by_identifier(app, audience).await?;
        if api.is_some_and(|(_, api)| api.organization_id == who.client.organization_id) {
            return Ok(true);
        }
    }
    Ok(false)
}
