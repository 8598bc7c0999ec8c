//! Access tokens: JWTs (RFC 9068) that are checked against the log wherever we accept them.

use chrono::{DateTime, Utc};
use domain::{
    Authorization, Client, ClientId, Consent, EndReason, Grant, GrantId, OAuthClient, Organization, OrganizationId,
    Scopes, Session, SessionId, User, UserId,
};
use eventstore::StoreError;
use serde::{Deserialize, Serialize};

use crate::App;

/// The claims of an access token (C11).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct AccessClaims {
    pub iss: String,
    /// The user, or the client itself if it acts for nobody.
    pub sub: String,
    pub aud: Vec<String>,
    pub exp: i64,
    pub iat: i64,
    pub jti: String,
    pub client_id: ClientId,
    pub scope: String,
    pub grant_id: GrantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth_time: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acr: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub amr: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sid: Option<SessionId>,
    /// How often all of the user's sign-ins had been ended before this one (R270).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sv: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub organization_id: Option<OrganizationId>,
    /// The slugs of the products granted (R086).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<String>,
}

/// A token that holds now: its claims and what was granted.
pub(crate) struct LiveToken {
    pub claims: AccessClaims,
    pub scopes: Scopes,
    pub client: Client,
    /// What it rests on: a user's authorization, or the client itself.
    pub grant: std::sync::Arc<Grant>,
}

/// The token's claims if it is ours, has not expired, and everything that it rests on still stands: at once on the node
/// where that ended, within the tail's lag on the others.
pub(crate) async fn verify(app: &App, token: &str) -> Result<Option<LiveToken>, StoreError> {
    let Some(claims) = app.keys.verify_access_token::<AccessClaims>(token) else { return Ok(None) };
    let expired = claims.exp <= app.now().timestamp();
    if expired || claims.iss != app.settings.base_url {
        return Ok(None);
    }
    let allows = |grant: &Grant| grant.allows(&claims.jti);
    let Some(grant) = app.store.load_where(claims.grant_id.as_str(), allows).await? else { return Ok(None) };
    let grant = grant.state;
    if let Some(authorization) = grant.authorization()
        && !authorization_stands(app, authorization).await?
    {
        return Ok(None);
    }
    let Some(client) = active_client(app, &claims.client_id).await? else { return Ok(None) };
    // No more than our own signature says, and than the client may still have (R097, R130).
    let signed: Scopes = claims.scope.parse().unwrap_or_default();
    let scopes = signed.iter().filter(|scope| client.may_have(scope.as_str())).cloned().collect();
    Ok(Some(LiveToken { claims, scopes, client, grant }))
}

/// Whether the sign-in stands and the user did not take the client's consent back (R263, R270).
pub(crate) async fn authorization_stands(app: &App, authorization: &Authorization) -> Result<bool, StoreError> {
    let for_absent_users = authorization.scopes.contains("offline_access");
    if !sign_in_stands(app, &authorization.user_id, &authorization.session_id, for_absent_users).await? {
        return Ok(false);
    }
    let consent = app.store.load::<Consent>(&Consent::id(&authorization.user_id, &authorization.client_id)).await?;
    Ok(consent.state.epoch() == authorization.consent_epoch)
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

/// Whether the user may still act, has not ended all sign-ins since (R270), and has not signed out; what was granted
/// for an absent user (`offline_access`, OpenID Connect Core §11) outlives a sign-out. That a browser's session expired
/// ends nothing: the app's own time began with it.
async fn sign_in_stands(
    app: &App,
    user: &UserId,
    session: &SessionId,
    for_absent_users: bool,
) -> Result<bool, StoreError> {
    let session = app.store.load_where(session.as_str(), |session: &Session| session.sign_in().is_some()).await?;
    let Some(session) = session else { return Ok(false) };
    let over = match session.state.ended() {
        None | Some(EndReason::Expired) => false,
        Some(EndReason::SignedOut | EndReason::Revoked) => !for_absent_users,
        Some(EndReason::PasswordChanged) => true,
    };
    let Some(epoch) = session.state.sign_in().map(|sign_in| sign_in.session_epoch) else { return Ok(false) };
    let stands = |user: &User| user.is_active() && user.session_epoch() == epoch;
    Ok(!over && app.store.load_where(user.as_str(), stands).await?.is_some())
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
