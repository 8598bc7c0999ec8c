//! Errors as RFC 9457 problem documents: a sentence for a person and a code for a program.

use axum::Json;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use domain::{
    ApiKeyError, AppError, ConsentError, GrantError, InstanceError, InvalidId, InvalidValue, OAuthClientError,
    OrganizationError, ProductError, ResourceServerError, SessionError, SubscriptionError, UserError,
};
use eventstore::{ExecuteError, StoreError};
use serde_json::json;
use tracing::error;
use uuid::Uuid;

/// What went wrong, for the caller. Codes never change, wording may.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: String,
    detail: String,
    pointer: Option<String>,
    retry_after: Option<u32>,
}

/// An error that a person at a browser should read; a layer of the portal turns it into a page.
#[derive(Debug, Clone)]
pub struct ErrorPage {
    /// What happened, in two or three words.
    pub heading: String,
    /// The sentence.
    pub text: String,
}

impl Problem {
    /// A problem with a stable code.
    pub fn new(status: StatusCode, code: impl Into<String>, detail: impl ToString) -> Self {
        Self { status, code: code.into(), detail: detail.to_string(), pointer: None, retry_after: None }
    }

    /// A field that cannot be used: names it and says what it must be.
    pub fn bad_field(field: &str, detail: impl ToString) -> Self {
        // `redirect_uris[0]` is `/redirect_uris/0` as a JSON pointer (RFC 6901), and no part of a stable code.
        let pointer = field.replace(['.', '['], "/").replace(']', "");
        let name: String = field.chars().take_while(|char| !matches!(char, '.' | '[')).collect();
        let code = format!("invalid_{}", name.replace('-', "_"));
        Self { pointer: Some(format!("/{pointer}")), ..Self::new(StatusCode::BAD_REQUEST, code, detail) }
    }

    /// Something that the caller cannot mend; the cause is logged, never shown.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        error!("a request failed: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "something went wrong here; it was logged")
    }

    /// Too much at once.
    #[must_use]
    pub fn overloaded() -> Self {
        let detail = "the server is busy; send the request again in a few seconds";
        Self { retry_after: Some(5), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded", detail) }
    }

    /// No or wrong credentials.
    #[must_use]
    pub fn unauthorized() -> Self {
        let detail = "authentication is needed: send an API key as `Authorization: Bearer key_…` with its secret as `X-API-Secret`, or an access token as `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Not for this caller.
    pub fn forbidden(detail: impl ToString) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// Not there, or not for this caller to know.
    #[must_use]
    pub fn not_found(thing: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            format!("{thing}_not_found"),
            format!("there is no such {}", thing.replace('_', " ")),
        )
    }

    /// The same about the field `name`, so that a form can show it there.
    #[must_use]
    pub fn about(self, name: &str) -> Self {
        Self { pointer: Some(format!("/{name}")), ..self }
    }

    /// The field that it is about, if it is about one: `redirect_uris` also for one of them.
    #[must_use]
    pub fn field(&self) -> Option<&str> {
        self.pointer.as_deref()?.trim_start_matches('/').split('/').next()
    }

    /// Its code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Its status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its sentence.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let page = ErrorPage {
            heading: self.status.canonical_reason().unwrap_or("Error").to_owned(),
            text: self.detail.clone(),
        };
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        if let Some(pointer) = self.pointer {
            body["errors"] = json!([{"pointer": pointer, "detail": self.detail}]);
        }
        let mut response = (self.status, Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response.extensions_mut().insert(page);
        response
    }
}

/// A route that does not exist.
pub(crate) async fn no_such_route() -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "route_not_found",
        "there is no such route; see /openapi.json for those there are",
    )
}

/// A route that exists, but not for this method.
pub(crate) async fn no_such_method(method: Method) -> Problem {
    let detail = format!("this route does not take {method}; the Allow header names what it takes");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

impl From<database::Error> for Problem {
    fn from(error: database::Error) -> Self {
        StoreError::from(error).into()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Stopping => Self::overloaded(),
            other => Self::internal(other),
        }
    }
}

impl<E> From<ExecuteError<E>> for Problem
where
    E: std::error::Error + Into<Self>,
{
    fn from(error: ExecuteError<E>) -> Self {
        match error {
            ExecuteError::Rejected(rule) => rule.into(),
            ExecuteError::NotFound(thing) => Self::not_found(thing),
            ExecuteError::ClaimTaken(ref claim) => {
                let field = claim.replace(' ', "_");
                let pointer = Some(format!("/{field}"));
                Self { pointer, ..Self::new(StatusCode::CONFLICT, format!("{field}_taken"), error) }
            }
            ExecuteError::IdempotencyMismatch => {
                Self::new(StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused", error)
            }
            ExecuteError::Contended(_) => {
                Self { retry_after: Some(1), ..Self::new(StatusCode::CONFLICT, "contended", error) }
            }
            ExecuteError::Store(error) => error.into(),
        }
    }
}

impl From<InvalidValue> for Problem {
    fn from(error: InvalidValue) -> Self {
        Self::bad_field(error.field, error)
    }
}

impl From<InvalidId> for Problem {
    fn from(error: InvalidId) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", error)
    }
}

/// One `match` per error type gives status and code.
macro_rules! problems {
    ($($error:ty { $($variant:pat => $status:ident $code:literal),+ $(,)? })+) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                let (status, code) = match error {
                    $($variant => (StatusCode::$status, $code),)+
                };
                // `invalid_<field>` says which field it is.
                let pointer = code.strip_prefix("invalid_").filter(|_| status == StatusCode::BAD_REQUEST);
                Self { pointer: pointer.map(|field| format!("/{field}")), ..Self::new(status, code, error) }
            }
        }
    )+};
}

problems! {
    OrganizationError {
        OrganizationError::NotFound => NOT_FOUND "organization_not_found",
        OrganizationError::AlreadyExists => CONFLICT "organization_already_exists",
        OrganizationError::LastOwner => CONFLICT "last_owner",
        OrganizationError::NotAMember => NOT_FOUND "member_not_found",
        OrganizationError::NotInstalled => NOT_FOUND "installation_not_found",
    }
    UserError {
        UserError::NotFound => NOT_FOUND "user_not_found",
        UserError::AlreadyRegistered => CONFLICT "user_already_registered",
        UserError::Suspended { .. } => CONFLICT "user_suspended",
        UserError::TotpAlreadyEnabled => CONFLICT "totp_already_enabled",
        UserError::TotpNotEnabled => CONFLICT "totp_not_enabled",
        UserError::WrongRecoveryCode => BAD_REQUEST "wrong_recovery_code",
    }
    SessionError {
        SessionError::NotFound => NOT_FOUND "session_not_found",
        SessionError::AlreadyUsed => CONFLICT "session_already_used",
    }
    AppError {
        AppError::NotFound => NOT_FOUND "app_not_found",
        AppError::AlreadyDefined => CONFLICT "app_already_defined",
    }
    OAuthClientError {
        OAuthClientError::NotFound => NOT_FOUND "client_not_found",
        OAuthClientError::AlreadyProvisioned => CONFLICT "client_already_provisioned",
        OAuthClientError::Deleted => NOT_FOUND "client_deleted",
        OAuthClientError::SecretNotAllowed => BAD_REQUEST "secret_not_allowed",
        OAuthClientError::SecretRequired => BAD_REQUEST "secret_required",
        OAuthClientError::SecretNotFound => NOT_FOUND "secret_not_found",
        OAuthClientError::AuthMethodUnfit => BAD_REQUEST "invalid_token_endpoint_auth_method",
        OAuthClientError::KeysRequired => BAD_REQUEST "invalid_jwks",
        OAuthClientError::AccessLifetimeOutOfRange => BAD_REQUEST "invalid_access_token_lifetime",
        OAuthClientError::RefreshLifetimeOutOfRange => BAD_REQUEST "invalid_refresh_token_lifetime",
        OAuthClientError::RedirectUrisUnused => BAD_REQUEST "invalid_redirect_uris",
        OAuthClientError::RedirectUriSchemeUnfit => BAD_REQUEST "invalid_redirect_uris",
        OAuthClientError::LogoutUrisUnused => BAD_REQUEST "invalid_post_logout_redirect_uris",
        OAuthClientError::LogoutUriSchemeUnfit => BAD_REQUEST "invalid_post_logout_redirect_uris",
    }
    ResourceServerError {
        ResourceServerError::NotFound => NOT_FOUND "api_not_found",
        ResourceServerError::AlreadyDefined => CONFLICT "api_already_defined",
        ResourceServerError::Deleted => NOT_FOUND "api_deleted",
        ResourceServerError::LifetimeOutOfRange => BAD_REQUEST "invalid_access_token_lifetime",
        ResourceServerError::ReservedScope(_) => BAD_REQUEST "invalid_scopes",
    }
    ProductError {
        ProductError::NotFound => NOT_FOUND "product_not_found",
        ProductError::AlreadyExists => CONFLICT "product_already_exists",
    }
    SubscriptionError {
        SubscriptionError::NotFound => NOT_FOUND "subscription_not_found",
        SubscriptionError::AlreadyExists => CONFLICT "subscription_already_exists",
        SubscriptionError::NoSeats => BAD_REQUEST "invalid_total_seats",
        SubscriptionError::NegativePrice => BAD_REQUEST "invalid_price_per_seat",
        SubscriptionError::Cancelled => CONFLICT "subscription_cancelled",
    }
    ApiKeyError {
        ApiKeyError::NotFound => NOT_FOUND "api_key_not_found",
        ApiKeyError::AlreadyExists => CONFLICT "api_key_already_exists",
        ApiKeyError::Revoked => CONFLICT "api_key_revoked",
    }
    InstanceError {
        InstanceError::AlreadyInitialised => CONFLICT "already_initialised",
        InstanceError::KeyAlreadyAdded => CONFLICT "signing_key_already_added",
    }
    GrantError {
        _ => CONFLICT "invalid_grant",
    }
}

impl From<ConsentError> for Problem {
    fn from(error: ConsentError) -> Self {
        match error {}
    }
}

/// A new request's id.
pub(crate) fn request_id() -> String {
    format!("req_{}", Uuid::now_v7().simple())
}
