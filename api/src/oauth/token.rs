//! The token endpoint (RFC 6749 §3.2): a code, a refresh token or the client itself becomes tokens.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use domain::{
    Authorization, ClientToken, ClientType, Grant, GrantCommand, GrantError, GrantEvent, GrantId, Scopes, Session,
    Verifier,
};
use eventstore::{Actor, ExecuteError, Execution};
use serde_json::{Value, json};
use uuid::Uuid;

use super::OAuthError;
use super::audience::{UNKNOWN_AUDIENCE, resource_servers};
use super::claims::Subject;
use super::client_authentication::{Authenticated, authenticate};
use super::issue::{
    Issue, UserTokens, access_token_id, access_token_lifetime, audience_of, client_token, stays_signed_in,
};
use super::parameters::{Parameters, RawBody};
use crate::access_token::{authorization_stands, is_member};
use crate::secrets::{base64_digest, stream_of};
use crate::{App, Arrival, hash_of};

/// `POST /oauth/token`
pub(crate) async fn post(
    State(app): State<App>,
    arrival: Arrival,
    headers: HeaderMap,
    RawBody(body): RawBody,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::from_form_or_json(&headers, &body)?;
    let grant_type = parameters.required("grant_type")?;
    let who = authenticate(&app, &headers, &parameters).await?;
    let request = TokenRequest { app: &app, arrival: &arrival, parameters: &parameters, who };
    let answer = match grant_type {
        "authorization_code" => request.redeem_code().await?,
        "refresh_token" => request.refresh().await?,
        "client_credentials" => request.for_client().await?,
        _ => return Err(OAuthError::unsupported_grant_type()),
    };
    Ok(([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(answer)).into_response())
}

struct TokenRequest<'a> {
    app: &'a App,
    arrival: &'a Arrival,
    parameters: &'a Parameters,
    who: Authenticated,
}

/// What this answer's access token is for, if the client wants less than all (RFC 6749 §6, RFC 8707 §2.2).
struct Narrowed {
    scopes: Scopes,
    audiences: Vec<String>,
    session_version: Option<u64>,
    lifetime_of_api: Option<u32>,
}

impl TokenRequest<'_> {
    async fn redeem_code(&self) -> Result<Value, OAuthError> {
        self.must_sign_people_in()?;
        let code = self.parameters.required("code")?;
        let redirect_uri = self.parameters.required("redirect_uri")?.to_owned();
        let grant_id = stream_of("auth_", code).ok_or_else(|| refused(GrantError::InvalidCode))?;
        let verifier = self
            .parameters
            .get("code_verifier")
            .map(|plain| Verifier { plain: plain.to_owned(), s256: base64_digest(plain.as_bytes()) });
        let (granted, narrowed) = self.what_stands(grant_id, None).await?;
        let issue = Issue::new(self.app, &self.who.client, grant_id, granted.authorized_at);
        let with_refresh_token = stays_signed_in(&self.who.client, &granted);
        let command = GrantCommand::RedeemCode {
            code_hash: hash_of(code),
            client_id: self.who.client_id.clone(),
            redirect_uri,
            verifier,
            now: issue.now,
            access_token_id: issue.access_token_id.clone(),
            secret_id: self.who.secret_id.clone(),
            refresh: with_refresh_token.then(|| issue.refresh.clone()),
        };
        self.execute(issue, command, narrowed, with_refresh_token).await
    }

    async fn refresh(&self) -> Result<Value, OAuthError> {
        self.must_sign_people_in()?;
        let presented = self.parameters.required("refresh_token")?;
        let grant_id = stream_of("refresh_", presented).ok_or_else(|| refused(GrantError::InvalidRefreshToken))?;
        let (granted, narrowed) = self.what_stands(grant_id, self.parameters.get("scope")).await?;
        let issue = Issue::new(self.app, &self.who.client, grant_id, granted.authorized_at);
        let command = GrantCommand::Refresh {
            presented: hash_of(presented),
            client_id: self.who.client_id.clone(),
            now: issue.now,
            grace: self.app.settings.refresh_grace,
            access_token_id: issue.access_token_id.clone(),
            secret_id: self.who.secret_id.clone(),
            next: issue.refresh.clone(),
        };
        // The one that was presented is used up, whatever the client may ask for by now.
        self.execute(issue, command, narrowed, true).await
    }

    /// The type of a client fixes its grants (R098).
    fn must_sign_people_in(&self) -> Result<(), OAuthError> {
        if self.who.client.client_type == ClientType::M2m {
            return Err(OAuthError::unauthorized_client("a machine-to-machine client uses client_credentials"));
        }
        Ok(())
    }

    /// What was authorized, if it still stands: the same sign-in, consent and organization (R270, R047), and which part
    /// of it the client wants now.
    async fn what_stands(&self, grant_id: Uuid, scope: Option<&str>) -> Result<(Authorization, Narrowed), OAuthError> {
        let grant_id = GrantId::from_uuid(grant_id);
        let grant = self.app.store.load::<Grant>(grant_id.as_str()).await?.state;
        let Some(granted) = grant.authorization().cloned() else { return Err(refused(GrantError::NotFound)) };
        // Whoever has somebody else's code or token learns nothing by it; the command refuses it.
        if granted.client_id == self.who.client_id {
            let stands = authorization_stands(self.app, &granted).await?
                && is_member(self.app, &granted.user_id, granted.organization_id.as_ref()).await?;
            if !stands {
                return Err(OAuthError::invalid_grant("The user must sign in again"));
            }
        }
        let narrowed = self.narrow(&granted, scope).await?;
        Ok((granted, narrowed))
    }

    async fn narrow(&self, granted: &Authorization, scope: Option<&str>) -> Result<Narrowed, OAuthError> {
        let mut scopes = granted.scopes.clone();
        if let Some(asked) = scope {
            scopes = asked.parse().map_err(|_| OAuthError::scope_not_allowed())?;
            if scopes.is_empty() || !scopes.is_subset_of(&granted.scopes) {
                return Err(OAuthError::scope_not_allowed());
            }
        }
        scopes = scopes.iter().filter(|scope| self.who.client.may_have(scope.as_str())).cloned().collect();
        if let Some(organization) = granted.organization_id.as_ref().filter(|_| !granted.products.is_empty()) {
            // A licence that ended takes its scope along (R217).
            let licences = projections::licences_of(&self.app.views.db, organization, self.app.now()).await?;
            let lost = |slug: &str| {
                granted.products.iter().any(|product| product.as_str() == slug)
                    && !licences.iter().any(|licence| licence.slug == slug)
            };
            scopes = scopes.iter().filter(|scope| !lost(scope.as_str())).cloned().collect();
        }
        let asked: Vec<&str> = self.parameters.audiences().collect();
        if asked.iter().any(|asked| !granted.audiences.iter().any(|audience| audience.as_str() == *asked)) {
            return Err(OAuthError::invalid_target(UNKNOWN_AUDIENCE.1));
        }
        let audiences = if asked.is_empty() {
            let with_userinfo = scopes.contains("openid") && !granted.audiences.is_empty();
            let own = with_userinfo.then(|| self.app.settings.base_url.clone());
            audience_of(&granted.audiences, &self.who.client_id).into_iter().chain(own).collect()
        } else {
            asked.iter().map(|&asked| asked.to_owned()).collect()
        };
        let lifetime_of_api = match granted.audiences.is_empty() {
            true => None,
            false => resource_servers(self.app, &self.who.client, &granted.audiences)
                .await?
                .ok_or_else(|| OAuthError::invalid_target(UNKNOWN_AUDIENCE.1))?
                .iter()
                .filter_map(|api| api.access_token_lifetime)
                .min(),
        };
        let session = self.app.store.load::<Session>(granted.session_id.as_str()).await?.state;
        let session_version = session.sign_in().map(|sign_in| sign_in.session_epoch);
        Ok(Narrowed { scopes, audiences, session_version, lifetime_of_api })
    }

    async fn execute(
        &self,
        issue: Issue,
        command: GrantCommand,
        narrowed: Narrowed,
        with_refresh_token: bool,
    ) -> Result<Value, OAuthError> {
        let Self { app, who, .. } = self;
        let mut context = self.arrival.context(Actor::Client(who.client_id.to_string()), None);
        context.client_id = Some(who.client_id.to_string());
        let execution = Execution::new(issue.grant_id.as_str(), command, &context);
        let receipt = app.store.execute::<Grant>(execution).await.map_err(|error| match error {
            ExecuteError::Rejected(rule) => refused(rule),
            ExecuteError::Store(error) => error.into(),
            // Nothing is wrong with the grant: the client may send it again.
            other => OAuthError::unavailable(other.to_string()),
        })?;
        let issued = receipt
            .events
            .iter()
            .any(|event| matches!(event, GrantEvent::CodeRedeemed { .. } | GrantEvent::Refreshed { .. }));
        let Some(granted) = receipt.state.authorization().filter(|_| issued) else {
            // A replay: the events say that the whole family was revoked.
            return Err(OAuthError::invalid_grant("This grant was used before and is revoked"));
        };
        let subject = Subject {
            user: &granted.user_id,
            organization: granted.organization_id.as_ref(),
            client: &who.client,
            scopes: &granted.scopes,
        };
        let requested = subject.id_token(app, &granted.claims).await?;
        let tokens = UserTokens {
            app,
            client_id: &who.client_id,
            client: &who.client,
            granted,
            scopes: &narrowed.scopes,
            audiences: narrowed.audiences,
            session_version: narrowed.session_version,
            lifetime: access_token_lifetime(app, &who.client, narrowed.lifetime_of_api),
        };
        tokens.answer(&issue, requested, with_refresh_token)
    }

    /// The client acts for itself (RFC 6749 §4.4, R095–R097).
    async fn for_client(&self) -> Result<Value, OAuthError> {
        let Self { app, who, parameters, .. } = self;
        let client = &who.client;
        if client.client_type != ClientType::M2m {
            return Err(OAuthError::unauthorized_client("only machine-to-machine clients use client_credentials"));
        }
        let asked: Vec<&str> = parameters.audiences().collect();
        let apis = resource_servers(app, client, &asked)
            .await?
            .ok_or_else(|| OAuthError::invalid_target(UNKNOWN_AUDIENCE.1))?;
        // Of an API only its own scopes, of those the ones that the client was given.
        let allowed = |scope: &str| {
            client.scopes.contains(scope) && (apis.is_empty() || apis.iter().any(|api| api.scopes.contains(scope)))
        };
        let scopes: Scopes = match parameters.get("scope") {
            Some(asked) => asked.parse().map_err(|_| OAuthError::scope_not_allowed())?,
            None => client.scopes.iter().filter(|scope| allowed(scope.as_str())).cloned().collect(),
        };
        if !scopes.iter().all(|scope| allowed(scope.as_str())) {
            return Err(OAuthError::scope_not_allowed());
        }
        let now = app.now();
        let of_api = apis.iter().filter_map(|api| api.access_token_lifetime).min();
        let lifetime = access_token_lifetime(app, client, of_api);
        let token = ClientToken {
            client_id: who.client_id.clone(),
            organization_id: client.organization_id.clone(),
            scopes,
            audiences: apis.into_iter().map(|api| api.identifier).collect(),
            access_token_id: access_token_id(),
            at: now,
            expires_at: now + lifetime,
            secret_id: who.secret_id.clone(),
        };
        let grant_id = GrantId::from_uuid(Uuid::now_v7());
        let access_token = client_token(app, &grant_id, &token)?;
        let scope = token.scopes.to_string();
        let mut context = self.arrival.context(Actor::Client(who.client_id.to_string()), None);
        context.client_id = Some(who.client_id.to_string());
        let command = GrantCommand::IssueClientToken(Box::new(token));
        let execution = Execution::new(grant_id.as_str(), command, &context).in_tenant(client.organization_id.as_str());
        app.store.execute::<Grant>(execution).await.map_err(|error| match error {
            ExecuteError::Store(error) => OAuthError::from(error),
            other => OAuthError::unavailable(other.to_string()),
        })?;
        Ok(json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": lifetime.num_seconds(),
            "scope": scope,
        }))
    }
}

fn refused(rule: GrantError) -> OAuthError {
    match rule {
        GrantError::NotFound => OAuthError::invalid_grant("This grant does not exist"),
        rule => OAuthError::invalid_grant(rule.to_string()),
    }
}
