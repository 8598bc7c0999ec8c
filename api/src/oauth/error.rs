//! OAuth's own error answers (RFC 6749 §5.2, RFC 6750 §3). The five texts of R094 are exact.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use eventstore::StoreError;
use serde_json::json;

use crate::Problem;

/// An error of the token or userinfo endpoint.
#[derive(Debug)]
pub(crate) struct OAuthError {
    status: StatusCode,
    error: &'static str,
    description: String,
    challenge: Option<String>,
}

impl OAuthError {
    fn new(status: StatusCode, error: &'static str, description: impl Into<String>) -> Self {
        Self { status, error, description: description.into(), challenge: None }
    }

    pub(crate) fn invalid_request(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_request", description)
    }

    /// `status` says why: 413 for one that is too long.
    pub(crate) fn body_unusable(status: StatusCode) -> Self {
        Self::new(status, "invalid_request", "the body must arrive whole and have at most 64 KiB")
    }

    pub(crate) fn invalid_grant(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_grant", description)
    }

    pub(crate) fn unsupported_grant_type() -> Self {
        let description = "grant_type must be authorization_code, refresh_token or client_credentials";
        Self::new(StatusCode::BAD_REQUEST, "unsupported_grant_type", description)
    }

    pub(crate) fn unauthorized_client(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "unauthorized_client", description)
    }

    pub(crate) fn scope_not_allowed() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_scope", "Requested scope not allowed")
    }

    /// RFC 8707 §2.
    pub(crate) fn invalid_target(description: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_target", description)
    }

    /// Unknown and inactive ids alike (C13); `basic` when the client tried HTTP Basic (RFC 6749 §5.2).
    pub(crate) fn client_not_found(basic: bool) -> Self {
        Self::invalid_client("Client not found", basic)
    }

    pub(crate) fn client_authentication_failed(basic: bool) -> Self {
        Self::invalid_client("Client authentication failed", basic)
    }

    /// An `Authorization` header that is not HTTP Basic with an id and a secret.
    pub(crate) fn basic_malformed() -> Self {
        Self::invalid_client("The Authorization header must be HTTP Basic with client id and secret", true)
    }

    fn invalid_client(description: &str, basic: bool) -> Self {
        let challenge = basic.then(|| "Basic realm=\"optare\"".to_owned());
        Self { challenge, ..Self::new(StatusCode::UNAUTHORIZED, "invalid_client", description) }
    }

    /// No token: no error code either (RFC 6750 §3.1).
    pub(crate) fn token_missing() -> Self {
        let missing = Self::new(StatusCode::UNAUTHORIZED, "invalid_request", "An access token is needed");
        Self { challenge: Some("Bearer".to_owned()), ..missing }
    }

    pub(crate) fn invalid_token() -> Self {
        let description = "Access token is invalid or expired";
        let challenge = Some(format!("Bearer error=\"invalid_token\", error_description=\"{description}\""));
        Self { challenge, ..Self::new(StatusCode::UNAUTHORIZED, "invalid_token", description) }
    }

    pub(crate) fn insufficient_scope() -> Self {
        let challenge = Some("Bearer error=\"insufficient_scope\", scope=\"openid\"".to_owned());
        let description = "Check scopes include 'openid profile email'";
        Self { challenge, ..Self::new(StatusCode::FORBIDDEN, "insufficient_scope", description) }
    }

    /// Not now, but soon: nothing is wrong with what was sent.
    pub(crate) fn unavailable(description: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", description)
    }

    fn server_error() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "something went wrong here; it was logged")
    }
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = json!({"error": self.error, "error_description": self.description});
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(challenge) = self.challenge.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

impl From<StoreError> for OAuthError {
    fn from(error: StoreError) -> Self {
        if matches!(error, StoreError::Stopping) {
            return Self::unavailable(error.to_string());
        }
        tracing::error!("a token request failed: {error}");
        Self::server_error()
    }
}

impl From<database::Error> for OAuthError {
    fn from(error: database::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<crate::keys::KeyError> for OAuthError {
    fn from(error: crate::keys::KeyError) -> Self {
        tracing::error!("signing failed: {error}");
        Self::server_error()
    }
}

impl From<Problem> for OAuthError {
    fn from(problem: Problem) -> Self {
        if problem.status() == StatusCode::SERVICE_UNAVAILABLE {
            return Self::unavailable(problem.detail());
        }
        tracing::error!("a token request failed: {}", problem.detail());
        Self::server_error()
    }
}
