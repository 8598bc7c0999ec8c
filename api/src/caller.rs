//! Who calls the management API, and what a request's body says.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use domain::{ApiKey, ApiKeyId, ClientId, Instance, Organization, OrganizationId, Role, Scopes, UserId};
use eventstore::{Actor, Context, Idempotency, StoreError};
use serde::de::{DeserializeOwned, Deserializer};

use crate::access_token::{LiveToken, verify};
use crate::secrets::{hash_of, hex_digest};
use crate::{App, Arrival, Problem};

const LARGEST_BODY: usize = 256 * 1024;

/// An authenticated caller of the management API (R200, R201, C21).
#[derive(Clone)]
pub struct Caller {
    principal: Principal,
    /// The organization that it acts for; none for a person's token outside of any.
    organization_id: Option<OrganizationId>,
    /// The roles of a key, the scopes of a token.
    rights: Scopes,
    is_operator: bool,
    /// Keeps the fingerprints of requests, which may hold passwords, from being guessed at.
    seal: String,
    arrival: Arrival,
}

/// Who it is.
#[derive(Clone)]
enum Principal {
    /// A program with a key of its organization.
    ApiKey { id: ApiKeyId, created_by: Option<UserId> },
    /// A person, through a client.
    User { id: UserId, client_id: ClientId, is_admin: bool },
    /// A client for itself, which its organization allowed to have these scopes.
    Client { id: ClientId },
}

impl Caller {
    /// The organization that it acts for.
    ///
    /// # Errors
    /// When its token is for none.
    pub fn organization(&self) -> Result<&OrganizationId, Problem> {
        self.organization_id.as_ref().ok_or_else(|| {
            Problem::forbidden("this token is for no organization; ask for the scope organization when signing in")
        })
    }

    /// The organization that a request is about: the one it names, or the caller's.
    ///
    /// # Errors
    /// When it names one that the caller may not administer (R221).
    pub fn organization_or(&self, named: Option<OrganizationId>) -> Result<OrganizationId, Problem> {
        let organization = match named {
            Some(named) => named,
            None => self.organization()?.clone(),
        };
        self.must_know(&organization)?;
        Ok(organization)
    }

    /// The context of what this caller changes in `organization`.
    ///
    /// # Errors
    /// When the organization is not the caller's, unless the caller operates the instance: then it does not exist
    /// for it (R220). When the caller is a person who does not administer it.
    pub fn administering(&self, organization: &OrganizationId) -> Result<Context, Problem> {
        self.must_know(organization)?;
        if matches!(self.principal, Principal::User { is_admin: false, .. }) {
            return Err(Problem::forbidden("only owners and admins of the organization may change this"));
        }
        Ok(self.context(Some(organization)))
    }

    /// Lets a person make, change or remove owners only as an owner: an admin could otherwise take the organization over.
    ///
    /// # Errors
    /// Says so.
    pub fn may_touch_owners(&self, organization: &Organization, touches_owners: bool) -> Result<(), Problem> {
        let Principal::User { id, .. } = &self.principal else { return Ok(()) };
        if !touches_owners || organization.role_of(id).is_some_and(Role::is_owner) {
            return Ok(());
        }
        Err(Problem::forbidden("only an owner may make, change or remove owners"))
    }

    /// Lets the caller see what belongs to `organization` (R127).
    ///
    /// # Errors
    /// When the organization is not the caller's, or its token does not allow to read it.
    pub fn reading(&self, organization: &OrganizationId) -> Result<(), Problem> {
        self.must_know(organization)?;
        match self.principal {
            Principal::ApiKey { .. } => Ok(()),
            Principal::User { .. } | Principal::Client { .. } => {
                self.must_have(&["organization:read", "organization:write", "org.admin"])
            }
        }
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
        Ok(self.context(None))
    }

    /// Refuses tokens: what follows is for programs with an API key alone.
    ///
    /// # Errors
    /// Says so.
    pub fn must_be_key(&self) -> Result<&ApiKeyId, Problem> {
        match &self.principal {
            Principal::ApiKey { id, .. } => Ok(id),
            Principal::User { .. } | Principal::Client { .. } => Err(Problem::forbidden("this needs an API key")),
        }
    }

    /// Refuses a caller that has none of these roles or scopes (R193, R233).
    ///
    /// # Errors
    /// Names what is missing.
    pub fn must_have(&self, rights: &[&str]) -> Result<(), Problem> {
        if rights.iter().any(|right| self.rights.contains(*right)) {
            return Ok(());
        }
        let what = match self.principal {
            Principal::ApiKey { .. } => "API key needs one of the roles",
            Principal::User { .. } | Principal::Client { .. } => "token needs one of the scopes",
        };
        Err(Problem::forbidden(format!("this {what} {}", rights.join(", "))))
    }

    /// What its key or token allows.
    #[must_use]
    pub fn rights(&self) -> &Scopes {
        &self.rights
    }

    /// Whether it operates the instance: then every organization exists for it.
    #[must_use]
    pub fn is_operator(&self) -> bool {
        self.is_operator
    }

    /// The person behind it: who signed in, or who made the key (R203).
    #[must_use]
    pub fn person(&self) -> Option<&UserId> {
        match &self.principal {
            Principal::ApiKey { created_by, .. } => created_by.as_ref(),
            Principal::User { id, .. } => Some(id),
            Principal::Client { .. } => None,
        }
    }

    /// The context of what it does, in one organization alone if one is given.
    #[must_use]
    pub fn context(&self, organization: Option<&OrganizationId>) -> Context {
        let (actor, client_id) = match &self.principal {
            Principal::ApiKey { id, .. } => (Actor::ApiKey(id.to_string()), None),
            Principal::User { id, client_id, .. } => (Actor::User(id.to_string()), Some(client_id)),
            Principal::Client { id } => (Actor::Client(id.to_string()), Some(id)),
        };
        let context = self.arrival.context(actor, organization.map(|id| id.as_str()));
        Context { client_id: client_id.map(ToString::to_string), ..context }
    }

    /// Makes the request safe to send twice, if it carries an `Idempotency-Key`.
    #[must_use]
    pub fn idempotency<T>(&self, body: &Body<T>) -> Option<Idempotency> {
        let caller = match &self.principal {
            Principal::ApiKey { id, .. } => id.to_string(),
            Principal::User { id, client_id, .. } => format!("{client_id}/{id}"),
            Principal::Client { id } => id.to_string(),
        };
        let key = format!("{caller}/{}", body.idempotency_key.as_ref()?);
        let fingerprint = hex_digest(format!("{}/{}", self.seal, body.fingerprint).as_bytes());
        Some(Idempotency { key, fingerprint })
    }

    fn must_know(&self, organization: &OrganizationId) -> Result<(), Problem> {
        if self.is_operator || self.organization_id.as_ref() == Some(organization) {
            return Ok(());
        }
        Err(Problem::not_found("organization"))
    }

    async fn by_key(app: &App, id: ApiKeyId, secret: &str, arrival: Arrival) -> Result<Self, Problem> {
        let loaded = app.store.load::<ApiKey>(id.as_str()).await?;
        let key = loaded.state.active().ok_or_else(Problem::unauthorized)?;
        if key.secret_hash != hash_of(secret) {
            return Err(Problem::unauthorized());
        }
        let instance = app.store.load::<Instance>(Instance::ID).await?;
        let is_operator = instance.state.is_operated_by(&key.organization_id) && key.roles.contains("org.admin");
        Ok(Self {
            principal: Principal::ApiKey { id, created_by: key.created_by.clone() },
            organization_id: Some(key.organization_id.clone()),
            rights: key.roles.clone(),
            is_operator,
            seal: hex_digest(format!("idempotency/{secret}").as_bytes()),
            arrival,
        })
    }

    async fn by_token(app: &App, token: &str, arrival: Arrival) -> Result<Self, Problem> {
        let LiveToken { claims, scopes, .. } = verify(app, token).await?.ok_or_else(Problem::unauthorized)?;
        // A token for another API was given to that API, which must not act here with it.
        if !claims.aud.iter().any(|audience| audience == claims.client_id.as_str()) {
            return Err(Problem::forbidden("this token is for another API: ask for one without audience and resource"));
        }
        let mut organization_id = claims.organization_id;
        let principal = match claims.sub.as_str().parse::<UserId>() {
            Ok(id) => {
                let role = role_in(app, organization_id.as_ref(), &id).await?;
                // Whoever is not a member any more does not know the organization.
                organization_id = organization_id.filter(|_| role.is_some());
                Principal::User { id, client_id: claims.client_id, is_admin: role.is_some_and(|role| role.is_admin()) }
            }
            Err(_) => Principal::Client { id: claims.client_id },
        };
        // Tokens change, so that the same request may be sent again with another one; passwords come with keys alone.
        let seal = String::new();
        Ok(Self { principal, organization_id, rights: scopes, is_operator: false, seal, arrival })
    }
}

async fn role_in(app: &App, organization: Option<&OrganizationId>, user: &UserId) -> Result<Option<Role>, StoreError> {
    let Some(organization) = organization else { return Ok(None) };
    let is_member = |organization: &Organization| organization.role_of(user).is_some();
    let loaded = app.store.load_where(organization.as_str(), is_member).await?;
    Ok(loaded.and_then(|loaded| loaded.state.role_of(user).cloned()))
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(arrival) = Arrival::from_request_parts(parts, app).await;
        let presented = bearer(&parts.headers).ok_or_else(Problem::unauthorized)?;
        if !presented.starts_with("key_") {
            return Self::by_token(app, presented, arrival).await;
        }
        let secret = parts.headers.get("x-api-secret").and_then(|secret| secret.to_str().ok());
        match (presented.parse(), secret) {
            (Ok(id), Some(secret)) => Self::by_key(app, id, secret, arrival).await,
            _ => Err(Problem::unauthorized()),
        }
    }
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
        let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let is_json = kind.to_ascii_lowercase().starts_with("application/json");
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
        // Some requests say everything in their address: then nothing is an empty object.
        let value = match bytes.is_empty() {
            true => parse(b"{}")?,
            false if is_json => parse(&bytes)?,
            false => {
                let detail = "the body must be JSON, with Content-Type: application/json";
                return Err(Problem::bad_field("content-type", detail));
            }
        };
        Ok(Self { value, idempotency_key, fingerprint })
    }
}

/// The body, or a problem that points at the member that is wrong.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = read(&mut json)?;
    json.end().map_err(|problem| Problem::bad_field("body", format!("the body must be one JSON object: {problem}")))?;
    Ok(value)
}

/// A value, or a problem that points at the member that is wrong.
pub(crate) fn read<'de, T: DeserializeOwned, D: Deserializer<'de>>(input: D) -> Result<T, Problem> {
    serde_path_to_error::deserialize(input).map_err(|problem| {
        let path = problem.path().to_string();
        let field = if path == "." { "body" } else { path.as_str() };
        // Where in the text it stands says less than the name.
        let sentence = problem.inner().to_string();
        let sentence = sentence.split(" at line ").next().unwrap_or_default();
        let names_it = sentence.starts_with(field);
        let sentence = if names_it { sentence.to_owned() } else { format!("{field} cannot be used: {sentence}") };
        Problem::bad_field(field, sentence)
    })
}
