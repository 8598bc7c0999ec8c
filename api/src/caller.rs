//! Who calls the management API, and what a request's body says.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use domain::{ApiKey, ApiKeyId, Instance, OrganizationId, Scopes};
use eventstore::{Actor, Context, Idempotency};
use serde::de::DeserializeOwned;

use crate::secrets::{hash_of, hex_digest};
use crate::{App, Arrival, Problem};

const LARGEST_BODY: usize = 256 * 1024;

/// An authenticated caller of the management API (R200, R201).
#[derive(Debug, Clone)]
pub struct Caller {
    /// The organization that the key belongs to.
    pub organization_id: OrganizationId,
    /// What the key may do.
    pub roles: Scopes,
    key_id: ApiKeyId,
    is_operator: bool,
    arrival: Arrival,
}

impl Caller {
    /// The context of what this caller does to `organization`.
    ///
    /// # Errors
    /// When the organization is not the caller's, unless the caller operates the instance: then it does not exist
    /// for it (R220).
    pub fn administering(&self, organization: &OrganizationId) -> Result<Context, Problem> {
        if *organization != self.organization_id && !self.is_operator {
            return Err(Problem::not_found("organization"));
        }
        Ok(self.arrival.context(Actor::ApiKey(self.key_id.to_string()), Some(organization.as_str())))
    }

    /// Refuses a caller whose key has none of `roles` (R233).
    ///
    /// # Errors
    /// Names what is missing.
    pub fn must_have(&self, roles: &[&str]) -> Result<(), Problem> {
        if roles.iter().any(|role| self.roles.contains(*role)) {
            return Ok(());
        }
        Err(Problem::forbidden(format!("this API key needs one of the roles {}", roles.join(", "))))
    }

    /// The context of what this caller does to the instance itself.
    ///
    /// # Errors
    /// Unless the key is of the organization that operates the instance, and may administer it.
    pub fn operating(&self) -> Result<Context, Problem> {
        if !self.is_operator {
            return Err(Problem::forbidden(
                "only an API key of the organization that operates this instance may do this",
            ));
        }
        self.must_have(&["org.admin"])?;
        Ok(self.arrival.context(Actor::ApiKey(self.key_id.to_string()), None))
    }

    /// Makes the request safe to send twice, if it carries an `Idempotency-Key`.
    #[must_use]
    pub fn idempotency<T>(&self, body: &Body<T>) -> Option<Idempotency> {
        let key = format!("{}/{}", self.key_id, body.idempotency_key.as_ref()?);
        Some(Idempotency { key, fingerprint: body.fingerprint.clone() })
    }
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let (key_id, secret) = credentials(&parts.headers).ok_or_else(Problem::unauthorized)?;
        let loaded = app.store.load::<ApiKey>(key_id.as_str()).await?;
        let key = loaded.state.active().ok_or_else(Problem::unauthorized)?;
        if key.secret_hash != hash_of(&secret) {
            return Err(Problem::unauthorized());
        }
        let instance = app.store.load::<Instance>(Instance::ID).await?;
        let is_operator = instance.state.is_operated_by(&key.organization_id);
        let Ok(arrival) = Arrival::from_request_parts(parts, app).await;
        Ok(Self {
            organization_id: key.organization_id.clone(),
            roles: key.roles.clone(),
            key_id,
            is_operator,
            arrival,
        })
    }
}

fn credentials(headers: &HeaderMap) -> Option<(ApiKeyId, String)> {
    let key = bearer(headers)?.parse().ok()?;
    let secret = headers.get("x-api-secret")?.to_str().ok()?.to_owned();
    Some((key, secret))
}

/// The token of `Authorization: Bearer …` (RFC 6750 §2.1).
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// A JSON body, refused with the name of what is wrong in it, and what identifies the request when sent again.
pub struct Body<T> {
    /// What it says.
    pub value: T,
    idempotency_key: Option<String>,
    fingerprint: String,
}

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let headers = request.headers();
        let json = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        if !json.is_some_and(|kind| kind.to_ascii_lowercase().starts_with("application/json")) {
            return Err(Problem::bad_field(
                "content-type",
                "the body must be JSON, with Content-Type: application/json",
            ));
        }
        let idempotency_key = match headers.get("idempotency-key").map(|key| key.to_str()) {
            None => None,
            Some(Ok(key)) if (1..=200).contains(&key.len()) => Some(key.to_owned()),
            Some(_) => {
                return Err(Problem::bad_field(
                    "idempotency-key",
                    "Idempotency-Key must be 1 to 200 visible ASCII characters",
                ));
            }
        };
        let route = format!("{} {}\n", request.method(), request.uri().path());
        let bytes = axum::body::to_bytes(request.into_body(), LARGEST_BODY).await.map_err(|_| {
            Problem::bad_field("body", format!("the body must arrive whole and have at most {LARGEST_BODY} bytes"))
        })?;
        let fingerprint = hex_digest(&[route.as_bytes(), &bytes].concat());
        let value = parse(&bytes)?;
        Ok(Self { value, idempotency_key, fingerprint })
    }
}

/// The body, or a problem that points at the member that is wrong.
fn parse<T: DeserializeOwned>(bytes: &Bytes) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|problem| {
        let path = problem.path().to_string();
        let field = if path == "." { "body" } else { path.as_str() };
        // Where in the text it stands says less than the name.
        let sentence = problem.inner().to_string();
        let sentence = sentence.split(" at line ").next().unwrap_or_default();
        let names_it = sentence.starts_with(field);
        let sentence = if names_it { sentence.to_owned() } else { format!("{field} cannot be used: {sentence}") };
        Problem::bad_field(field, sentence)
    })?;
    json.end().map_err(|problem| Problem::bad_field("body", format!("the body must be one JSON object: {problem}")))?;
    Ok(value)
}
