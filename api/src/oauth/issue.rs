//! The tokens that an answer of the token endpoint holds.

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Duration, Utc};
use domain::{Authorization, Client, ClientId, ClientToken, GrantId, RefreshIssue, Scopes, SigningAlgorithm};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::OAuthError;
use super::claims::acr;
use crate::access_token::{AccessClaims, numeric_date};
use crate::keys::{ACCESS_TOKEN, ID_TOKEN};
use crate::secrets::token_of;
use crate::{App, hash_of};

/// What is about to be issued.
pub(super) struct Issue {
    pub now: DateTime<Utc>,
    pub grant_id: GrantId,
    pub access_token_id: String,
    /// In clear, for the answer alone.
    pub refresh_token: String,
    pub refresh: RefreshIssue,
}

impl Issue {
    pub fn new(app: &App, client: &Client, grant_id: Uuid, authorized_at: Option<DateTime<Utc>>) -> Self {
        let now = app.now();
        let refresh_token = token_of("refresh_", grant_id);
        let settings = &client.settings;
        let lifetime = settings.refresh_token_lifetime.map_or(app.settings.refresh_token_lifetime, seconds);
        let last = authorized_at.zip(settings.refresh_token_absolute_lifetime).map(|(at, cap)| at + seconds(cap));
        let expires_at = last.map_or(now + lifetime, |last| last.min(now + lifetime));
        let refresh = RefreshIssue { hash: hash_of(&refresh_token), expires_at };
        Self { now, grant_id: GrantId::from_uuid(grant_id), access_token_id: access_token_id(), refresh_token, refresh }
    }
}

/// A new access token's id (`jti`).
pub(super) fn access_token_id() -> String {
    format!("at_{}", Uuid::now_v7().simple())
}

pub(super) fn seconds(number: u32) -> Duration {
    Duration::seconds(i64::from(number))
}

/// How long this client's access tokens hold (R083): what was set for the API, else for the client, else for all.
pub(super) fn access_token_lifetime(app: &App, client: &Client, of_api: Option<u32>) -> Duration {
    of_api.or(client.settings.access_token_lifetime).map_or(app.settings.access_token_lifetime, seconds)
}

/// The tokens for what a user authorized.
pub(super) struct UserTokens<'a> {
    pub app: &'a App,
    pub client_id: &'a ClientId,
    pub client: &'a Client,
    pub granted: &'a Authorization,
    /// What this access token is for: all that was granted, or a part of it (RFC 6749 §6).
    pub scopes: &'a Scopes,
    pub audiences: Vec<String>,
    pub session_version: Option<u64>,
    pub lifetime: Duration,
}

impl UserTokens<'_> {
    /// The answer of the token endpoint (R081); `requested` are single claims for the ID token.
    pub fn answer(
        &self,
        issue: &Issue,
        requested: Map<String, Value>,
        with_refresh_token: bool,
    ) -> Result<Value, OAuthError> {
        let Self { app, client_id, client, granted, scopes, .. } = self;
        let access_token = self.access_token(issue)?;
        let mut answer = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": self.lifetime.num_seconds(),
            "scope": scopes.to_string(),
        });
        if with_refresh_token {
            answer["refresh_token"] = issue.refresh_token.clone().into();
        }
        if granted.scopes.contains("openid") {
            let algorithm = client.settings.id_token_signed_response_alg;
            let mut claims = requested;
            let own = json!({
                "iss": app.settings.base_url,
                "sub": granted.user_id,
                "aud": client_id,
                "exp": numeric_date(issue.now + self.lifetime),
                "iat": numeric_date(issue.now),
                "auth_time": numeric_date(granted.auth_time),
                "acr": acr(&granted.methods),
                "sid": granted.session_id,
                "at_hash": at_hash(algorithm, &access_token),
            });
            claims.extend(own.as_object().cloned().unwrap_or_default());
            if !granted.methods.is_empty() {
                claims.insert("amr".to_owned(), granted.methods.clone().into());
            }
            if let Some(nonce) = &granted.nonce {
                claims.insert("nonce".to_owned(), nonce.clone().into());
            }
            answer["id_token"] = app.keys.sign(algorithm, ID_TOKEN, &claims, issue.now)?.into();
        }
        Ok(answer)
    }

    fn access_token(&self, issue: &Issue) -> Result<String, OAuthError> {
        let Self { app, client_id, granted, scopes, .. } = self;
        let products = granted.products.iter().filter(|slug| scopes.contains(slug)).map(ToString::to_string);
        let claims = AccessClaims {
            iss: app.settings.base_url.clone(),
            sub: granted.user_id.to_string(),
            aud: self.audiences.clone(),
            exp: numeric_date(issue.now + self.lifetime),
            iat: numeric_date(issue.now),
            jti: issue.access_token_id.clone(),
            client_id: (*client_id).clone(),
            scope: scopes.to_string(),
            grant_id: issue.grant_id.clone(),
            auth_time: Some(numeric_date(granted.auth_time)),
            acr: Some(acr(&granted.methods).to_owned()),
            amr: granted.methods.clone(),
            sid: Some(granted.session_id.clone()),
            sv: self.session_version,
            organization_id: granted.organization_id.clone(),
            products: products.collect(),
        };
        Ok(app.keys.sign(SigningAlgorithm::Es256, ACCESS_TOKEN, &claims, issue.now)?)
    }
}

/// Whether the client gets refresh tokens: if the user agreed to `offline_access`, and an app of the marketplace or of
/// the organization itself without asking (C6, R099, OpenID Connect Core §11).
pub(super) fn stays_signed_in(client: &Client, granted: &Authorization) -> bool {
    granted.scopes.contains("offline_access") || client.approval().is_some()
}

/// The access token of a client that acts for itself (RFC 6749 §4.4.3).
pub(super) fn client_token(app: &App, grant_id: &GrantId, token: &ClientToken) -> Result<String, OAuthError> {
    let claims = AccessClaims {
        iss: app.settings.base_url.clone(),
        sub: token.client_id.to_string(),
        aud: audience_of(&token.audiences, &token.client_id),
        exp: numeric_date(token.expires_at),
        iat: numeric_date(token.at),
        jti: token.access_token_id.clone(),
        client_id: token.client_id.clone(),
        scope: token.scopes.to_string(),
        grant_id: grant_id.clone(),
        auth_time: None,
        acr: None,
        amr: Vec::new(),
        sid: None,
        sv: None,
        organization_id: Some(token.organization_id.clone()),
        products: Vec::new(),
    };
    Ok(app.keys.sign(SigningAlgorithm::Es256, ACCESS_TOKEN, &claims, token.at)?)
}

/// The APIs, or the client itself if there is none (R085).
pub(super) fn audience_of(apis: &[domain::ApiIdentifier], client_id: &ClientId) -> Vec<String> {
    if apis.is_empty() { vec![client_id.to_string()] } else { apis.iter().map(ToString::to_string).collect() }
}

/// The left half of the access token's hash, by the ID token's algorithm (OpenID Connect Core §3.1.3.6).
fn at_hash(algorithm: SigningAlgorithm, access_token: &str) -> String {
    let hash = match algorithm {
        SigningAlgorithm::Rs256 | SigningAlgorithm::Es256 => &digest::SHA256,
        // Ed25519 signs with SHA-512.
        SigningAlgorithm::EdDsa => &digest::SHA512,
    };
    let digest = digest::digest(hash, access_token.as_bytes());
    let digest = digest.as_ref();
    URL_SAFE_NO_PAD.encode(&digest[..digest.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_an_access_token_is_the_one_of_the_specification() {
        // OpenID Connect Core appendix A.3.
        let hash = at_hash(SigningAlgorithm::Rs256, "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y");
        assert_eq!(hash, "77QmUPtjPfzWtF2AnpK9RQ");
    }
}
