//! Access tokens: JWTs (RFC 9068) that are checked against the log wherever we accept them.

use chrono::{DateTime, Utc};
use domain::{
    Client, ClientId, Grant, GrantId, OAuthClient, Organization, OrganizationId, Scopes, Session, SessionId, User,
    UserId,
};
use eventstore::StoreError;
use serde::{Deserialize, Serialize};

use crate::App;

/// The claims of an access token (C11).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub iss: String,
    pub sub: UserId,
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub auth_time: i64,
    pub jti: String,
    pub client_id: ClientId,
    pub scope: String,
    pub sid: SessionId,
    pub grant_id: GrantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<OrganizationId>,
}

/// A token that holds now: its claims and what was granted.
pub(crate) struct LiveToken {
    pub claims: AccessClaims,
    pub scopes: Scopes,
}

/// The token's claims if it is ours, has not expired, and its grant, client, user and session still stand: at once
/// on the node that revoked, within the tail's lag on the others.
pub(crate) async fn verify(app: &App, token: &str) -> Result<Option<LiveToken>, StoreError> {
    let Some(claims) = app.keys.verify_access_token::<AccessClaims>(token) else { return Ok(None) };
    let expired = claims.exp <= app.now().timestamp();
    if expired || claims.iss != app.settings.base_url {
        return Ok(None);
    }
    let grant = app.store.load::<Grant>(claims.grant_id.as_str()).await?;
    let Some(authorization) = grant.state.authorization().filter(|_| grant.state.is_live()) else { return Ok(None) };
    if active_client(app, &claims.client_id).await?.is_none() || !signed_in_user(app, &claims).await? {
        return Ok(None);
    }
    let scopes = authorization.scopes.clone();
    Ok(Some(LiveToken { claims, scopes }))
}

/// The client, unless it is unknown, disabled or deleted, or its app is not installed any more. The client of an
/// uninstalled app is deleted a moment after the uninstallation, which is why both are asked.
pub(crate) async fn active_client(app: &App, id: &ClientId) -> Result<Option<Client>, StoreError> {
    let loaded = app.store.load::<OAuthClient>(id.as_str()).await?;
    let Some(client) = loaded.state.active() else { return Ok(None) };
    if let Some(of) = &client.installation {
        let organization = app.store.load::<Organization>(client.organization_id.as_str()).await?;
        if organization.state.installation(&of.installation_id).is_none() {
            return Ok(None);
        }
    }
    Ok(Some(client.clone()))
}

/// Whether the user may still act and has not changed the password since the sign-in (R270).
async fn signed_in_user(app: &App, claims: &AccessClaims) -> Result<bool, StoreError> {
    let user = app.store.load::<User>(claims.sub.as_str()).await?;
    let session = app.store.load::<Session>(claims.sid.as_str()).await?;
    let same_password =
        session.state.sign_in().is_some_and(|sign_in| sign_in.password_epoch == user.state.password_epoch());
    Ok(user.state.is_active() && same_password)
}

/// Seconds since 1970, as JWTs count (RFC 7519 §2).
pub(crate) fn numeric_date(time: DateTime<Utc>) -> i64 {
    time.timestamp()
}
