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

/// The token's claims if it is ours, has not expired, its grant and client live, and the user has not changed the
/// password since: at once on the node where that ended, within the tail's lag on the others.
pub(crate) async fn verify(app: &App, token: &str) -> Result<Option<LiveToken>, StoreError> {
    let Some(claims) = app.keys.verify_access_token::<AccessClaims>(token) else { return Ok(None) };
    let expired = claims.exp <= app.now().timestamp();
    if expired || claims.iss != app.settings.base_url {
        return Ok(None);
    }
    let Some(grant) = app.store.load_where::<Grant>(claims.grant_id.as_str(), Grant::is_live).await? else {
        return Ok(None);
    };
    let Some(authorization) = grant.state.authorization() else { return Ok(None) };
    let stands = sign_in_stands(app, &claims.sub, &claims.sid).await?;
    if !stands || active_client(app, &claims.client_id).await?.is_none() {
        return Ok(None);
    }
    let scopes = authorization.scopes.clone();
    Ok(Some(LiveToken { claims, scopes }))
}

/// The client, unless it is unknown, disabled or deleted, or its app is not installed any more. The client of an
/// uninstalled app is deleted a moment after the uninstallation, which is why both are asked.
pub(crate) async fn active_client(app: &App, id: &ClientId) -> Result<Option<Client>, StoreError> {
    let is_active = |client: &OAuthClient| client.active().is_some();
    let Some(loaded) = app.store.load_where(id.as_str(), is_active).await? else { return Ok(None) };
    let Some(client) = loaded.state.active() else { return Ok(None) };
    if let Some(of) = &client.installation {
        let is_installed = |organization: &Organization| organization.installation(&of.installation_id).is_some();
        if app.store.load_where(client.organization_id.as_str(), is_installed).await?.is_none() {
            return Ok(None);
        }
        // What its vendor changes of the app holds for every client of it at once (R189).
        let of_app = app.store.load::<domain::App>(of.app_id.as_str()).await?.state;
        if let Some(definition) = of_app.definition() {
            let (name, redirect_uris) = (definition.title.clone(), definition.redirect_uris.clone());
            return Ok(Some(Client { name, redirect_uris, ..client.clone() }));
        }
    }
    Ok(Some(client.clone()))
}

/// Whether the user may still act and has not changed the password since that sign-in (R270).
pub(crate) async fn sign_in_stands(app: &App, user: &UserId, session: &SessionId) -> Result<bool, StoreError> {
    let session = app.store.load_where(session.as_str(), |session: &Session| session.sign_in().is_some()).await?;
    let Some(epoch) = session.and_then(|loaded| loaded.state.sign_in().map(|sign_in| sign_in.password_epoch)) else {
        return Ok(false);
    };
    let stands = |user: &User| user.is_active() && user.password_epoch() == epoch;
    Ok(app.store.load_where(user.as_str(), stands).await?.is_some())
}

/// Whether the user is (still) a member of an organization; without one there is nothing to ask.
pub(crate) async fn is_member(
    app: &App,
    user: &UserId,
    organization: Option<&OrganizationId>,
) -> Result<bool, StoreError> {
    let Some(id) = organization else { return Ok(true) };
    let is_member = |organization: &Organization| organization.role_of(user).is_some();
    Ok(app.store.load_where(id.as_str(), is_member).await?.is_some())
}

/// Seconds since 1970, as JWTs count (RFC 7519 §2).
pub(crate) fn numeric_date(time: DateTime<Utc>) -> i64 {
    time.timestamp()
}
