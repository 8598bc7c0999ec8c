//! The token endpoint (RFC 6749 §3.2): a code or a refresh token becomes tokens.

use std::collections::HashMap;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use domain::{
    Authorization, Client, ClientId, Grant, GrantCommand, GrantError, GrantEvent, GrantId, RefreshIssue, Verifier,
};
use eventstore::{Actor, ExecuteError, Execution};
use serde_json::{Value, json};
use url::form_urlencoded;
use uuid::Uuid;

use super::OAuthError;
use super::client_authentication::{Authenticated, authenticate};
use crate::access_token::{AccessClaims, is_member, numeric_date, sign_in_stands};
use crate::secrets::{base64_digest, stream_of, token_of};
use crate::{App, Arrival, hash_of};

/// The parameters of a request, each given once (RFC 6749 §3.2).
#[derive(Debug)]
pub(crate) struct Parameters(HashMap<String, String>);

impl Parameters {
    /// Reads a query or form body; the error is the name that is given twice.
    pub(crate) fn from_form(form: &[u8]) -> Result<Self, String> {
        let mut parameters = HashMap::new();
        for (name, value) in form_urlencoded::parse(form) {
            if parameters.insert(name.to_string(), value.into_owned()).is_some() {
                return Err(name.into_owned());
            }
        }
        Ok(Self(parameters))
    }

    /// A value; one without text counts as left out (RFC 6749 §3.1).
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn required(&self, name: &str) -> Result<&str, OAuthError> {
        self.get(name).ok_or_else(|| OAuthError::invalid_request(format!("{name} is missing")))
    }

    /// Reads the body of a token request: a form, or a JSON object of strings (C5).
    fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Self, OAuthError> {
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        match kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
            "application/x-www-form-urlencoded" => Self::from_form(body)
                .map_err(|repeated| OAuthError::invalid_request(format!("{repeated} is given twice"))),
            "application/json" => unique::object_of_strings(body).map(Self).map_err(|problem| {
                OAuthError::invalid_request(format!("the body must be a JSON object of strings: {problem}"))
            }),
            _ => Err(OAuthError::invalid_request(
                "Content-Type must be application/x-www-form-urlencoded or application/json",
            )),
        }
    }
}

/// `POST /oauth/token`
pub(crate) async fn post(
    State(app): State<App>,
    arrival: Arrival,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, OAuthError> {
    let parameters = Parameters::from_body(&headers, &body)?;
    let grant_type = parameters.required("grant_type")?;
    let Authenticated { client_id, client, .. } = authenticate(&app, &headers, &parameters).await?;
    let request = TokenRequest { app: &app, arrival: &arrival, parameters: &parameters, client_id, client };
    let answer = match grant_type {
        "authorization_code" => request.redeem_code().await?,
        "refresh_token" => request.refresh().await?,
        other => return Err(OAuthError::unsupported_grant_type(other)),
    };
    Ok(([(header::CACHE_CONTROL, "no-store"), (header::PRAGMA, "no-cache")], Json(answer)).into_response())
}

struct TokenRequest<'a> {
    app: &'a App,
    arrival: &'a Arrival,
    parameters: &'a Parameters,
    client_id: ClientId,
    client: Client,
}

impl TokenRequest<'_> {
    async fn redeem_code(&self) -> Result<Value, OAuthError> {
        let code = self.parameters.required("code")?;
        let redirect_uri = self.parameters.required("redirect_uri")?.to_owned();
        let grant_id = stream_of("auth_", code).ok_or_else(|| refused(GrantError::InvalidCode))?;
        let verifier = self
            .parameters
            .get("code_verifier")
            .map(|plain| Verifier { plain: plain.to_owned(), s256: base64_digest(plain.as_bytes()) });
        let issue = self.issue(grant_id);
        self.must_stand(&issue.grant_id).await?;
        let command = GrantCommand::RedeemCode {
            code_hash: hash_of(code),
            client_id: self.client_id.clone(),
            redirect_uri,
            verifier,
            now: issue.now,
            access_token_id: issue.access_token_id.clone(),
            refresh: Some(issue.refresh.clone()),
        };
        self.execute(issue, command).await
    }

    async fn refresh(&self) -> Result<Value, OAuthError> {
        let presented = self.parameters.required("refresh_token")?;
        let grant_id = stream_of("refresh_", presented).ok_or_else(|| refused(GrantError::InvalidRefreshToken))?;
        let issue = self.issue(grant_id);
        self.must_stand(&issue.grant_id).await?;
        let command = GrantCommand::Refresh {
            presented: hash_of(presented),
            client_id: self.client_id.clone(),
            now: issue.now,
            grace: self.app.settings.refresh_grace,
            access_token_id: issue.access_token_id.clone(),
            next: issue.refresh.clone(),
        };
        self.execute(issue, command).await
    }

    /// Who granted it may still act, with the same password, in the same organization (R270, R047).
    async fn must_stand(&self, grant_id: &GrantId) -> Result<(), OAuthError> {
        let grant = self.app.store.load::<Grant>(grant_id.as_str()).await?;
        let Some(granted) = grant.state.authorization() else { return Err(refused(GrantError::NotFound)) };
        let stands = sign_in_stands(self.app, &granted.user_id, &granted.session_id).await?
            && is_member(self.app, &granted.user_id, granted.organization_id.as_ref()).await?;
        if stands { Ok(()) } else { Err(OAuthError::invalid_grant("The user must sign in again")) }
    }

    fn issue(&self, grant_id: Uuid) -> Issue {
        let now = self.app.now();
        let refresh_token = token_of("refresh_", grant_id);
        let refresh =
            RefreshIssue { hash: hash_of(&refresh_token), expires_at: now + self.app.settings.refresh_token_lifetime };
        let access_token_id = format!("at_{}", Uuid::now_v7().simple());
        Issue { now, grant_id: GrantId::from_uuid(grant_id), access_token_id, refresh_token, refresh }
    }

    async fn execute(&self, issue: Issue, command: GrantCommand) -> Result<Value, OAuthError> {
        let mut context = self.arrival.context(Actor::Client(self.client_id.to_string()), None);
        context.client_id = Some(self.client_id.to_string());
        let execution = Execution::new(issue.grant_id.as_str(), command, &context);
        let receipt = self.app.store.execute::<Grant>(execution).await.map_err(|error| match error {
            ExecuteError::Rejected(rule) => refused(rule),
            ExecuteError::Store(error) => error.into(),
            // Nothing is wrong with the grant: the client may send it again.
            other => OAuthError::unavailable(other.to_string()),
        })?;
        let issued = receipt
            .events
            .iter()
            .any(|event| matches!(event, GrantEvent::CodeRedeemed { .. } | GrantEvent::Refreshed { .. }));
        match receipt.state.authorization() {
            Some(authorization) if issued => self.answer(&issue, authorization),
            // A replay: the events say that the whole family was revoked.
            _ => Err(OAuthError::invalid_grant("This grant was used before and is revoked")),
        }
    }

    fn answer(&self, issue: &Issue, granted: &Authorization) -> Result<Value, OAuthError> {
        let Self { app, client_id, .. } = self;
        let lifetime = app.settings.access_token_lifetime;
        let (iat, exp) = (numeric_date(issue.now), numeric_date(issue.now + lifetime));
        let auth_time = numeric_date(granted.auth_time);
        let access_token = app.keys.sign_access_token(&AccessClaims {
            iss: app.settings.base_url.clone(),
            sub: granted.user_id.clone(),
            aud: vec![client_id.to_string()],
            exp,
            iat,
            auth_time,
            jti: issue.access_token_id.clone(),
            client_id: client_id.clone(),
            scope: granted.scopes.to_string(),
            sid: granted.session_id.clone(),
            grant_id: issue.grant_id.clone(),
            organization_id: granted.organization_id.clone(),
        })?;
        let mut answer = json!({
            "access_token": access_token,
            "token_type": "Bearer",
            "expires_in": lifetime.num_seconds(),
            "scope": granted.scopes.to_string(),
        });
        // An app of the marketplace stays signed in without asking for `offline_access` (C6, Core §11).
        if self.client.installation.is_some() || granted.scopes.contains("offline_access") {
            answer["refresh_token"] = issue.refresh_token.clone().into();
        }
        if granted.scopes.contains("openid") {
            let mut claims = json!({
                "iss": app.settings.base_url, "sub": granted.user_id, "aud": client_id, "exp": exp, "iat": iat,
                "auth_time": auth_time, "sid": granted.session_id,
            });
            if let Some(nonce) = &granted.nonce {
                claims["nonce"] = nonce.clone().into();
            }
            answer["id_token"] = app.keys.sign_id_token(&claims)?.into();
        }
        Ok(answer)
    }
}

/// What is about to be issued.
struct Issue {
    now: DateTime<Utc>,
    grant_id: GrantId,
    access_token_id: String,
    refresh_token: String,
    refresh: RefreshIssue,
}

fn refused(rule: GrantError) -> OAuthError {
    match rule {
        GrantError::NotFound => OAuthError::invalid_grant("This grant does not exist"),
        rule => OAuthError::invalid_grant(rule.to_string()),
    }
}

/// JSON objects of strings in which no name stands twice: serde_json alone would take the last one.
mod unique {
    use std::collections::HashMap;
    use std::fmt;

    use serde::de::{Deserializer, Error, MapAccess, Visitor};

    pub(super) fn object_of_strings(body: &[u8]) -> Result<HashMap<String, String>, serde_json::Error> {
        let mut json = serde_json::Deserializer::from_slice(body);
        let object = json.deserialize_map(Object)?;
        json.end()?;
        Ok(object)
    }

    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = HashMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
            f.write_str("an object of strings")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            let mut object = HashMap::new();
            while let Some((name, value)) = members.next_entry::<String, String>()? {
                if object.contains_key(&name) {
                    return Err(A::Error::custom(format!("{name} is given twice")));
                }
                object.insert(name, value);
            }
            Ok(object)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_given_twice_is_refused_in_both_forms() {
        assert_eq!(Parameters::from_form(b"a=1&a=2").unwrap_err(), "a");
        assert!(unique::object_of_strings(br#"{"a": "1", "a": "2"}"#).is_err());
        assert!(unique::object_of_strings(br#"{"a": 1}"#).is_err());
        assert!(unique::object_of_strings(br#"{"a": "1"} x"#).is_err());
    }

    #[test]
    fn a_parameter_without_a_value_counts_as_left_out() {
        let parameters = Parameters::from_form(b"state=&scope=a+b").unwrap();
        assert_eq!(parameters.get("state"), None);
        assert_eq!(parameters.get("scope"), Some("a b"));
    }
}
