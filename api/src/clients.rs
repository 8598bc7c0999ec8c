//! OAuth clients: what administrators arrange by the management API and on the pages (section G).

mod routes;

pub(crate) use routes::{change, create, delete, disable, enable, list, revoke, rotate, show};

use axum::http::StatusCode;
use chrono::{DateTime, Duration, Utc};
use domain::{
    Client, ClientChange, ClientId, ClientSecretHash, ClientSettings, ClientType, OAuthClient, OAuthClientCommand,
    OAuthClientEvent, OrganizationId, Scopes,
};
use eventstore::{Context, Execution, Idempotency, Receipt};
use uuid::Uuid;

use crate::secrets::client_secret;
use crate::{App, Problem, Written, hash_of};

/// What a client that people sign in to may ask for when nobody says.
pub const DEFAULT_SCOPES: &str = "openid profile email organization offline_access";

/// For so long the secret before the newest works when nobody says (R147).
pub const DEFAULT_OVERLAP: Duration = Duration::hours(24);

/// Where a client was made, which its id shows (C15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MadeIn {
    /// By a program.
    Api,
    /// By a person, on a page.
    Console,
}

/// A new client.
pub struct NewClient {
    /// Whose it is.
    pub organization_id: OrganizationId,
    /// Fixes its grants, secret and PKCE rules (R135).
    pub client_type: ClientType,
    /// Its name and whatever else is not the default.
    pub change: ClientChange,
    /// By whom.
    pub made_in: MadeIn,
}

/// A client that was just made.
pub struct ClientMade {
    /// Its public identifier.
    pub client_id: ClientId,
    /// As it was made.
    pub client: Client,
    /// Shown this once; `None` for one that has none, and when the same request was answered before.
    pub secret: Option<String>,
    /// Where it stands.
    pub written: Written,
}

/// A secret that was just made.
pub struct SecretMade {
    /// `sec_…`
    pub secret_id: String,
    /// Shown this once; `None` when the same request was answered before.
    pub secret: Option<String>,
    /// When the one before it ends.
    pub previous_expires_at: DateTime<Utc>,
    /// Where it stands.
    pub written: Written,
}

/// Makes a client of an organization.
///
/// # Errors
/// When a value is missing or does not fit its type.
pub async fn create_client(
    app: &App,
    new: NewClient,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<ClientMade, Problem> {
    let NewClient { organization_id, client_type, change, made_in } = new;
    let Some(name) = change.name.clone() else {
        return Err(Problem::bad_field("name", "name is missing: people read it when they are asked to sign in"));
    };
    check_addresses(app, &change)?;
    let settings = Box::new(ClientSettings::default().with(&change));
    let secret = (client_type.is_confidential() && !settings.uses_own_key()).then(NewSecret::random);
    let scopes = match change.allowed_scopes {
        Some(scopes) => scopes,
        None if client_type == ClientType::M2m => Scopes::default(),
        None => DEFAULT_SCOPES.parse()?,
    };
    let id = match (client_type, made_in) {
        (ClientType::M2m, _) => ClientId::for_machine(Uuid::now_v7()),
        (_, MadeIn::Console) => ClientId::for_interactive(Uuid::now_v7()),
        (_, MadeIn::Api) => ClientId::for_client(Uuid::now_v7()),
    };
    let tenant = organization_id.to_string();
    let command = OAuthClientCommand::Provision {
        organization_id,
        installation: None,
        name,
        client_type,
        redirect_uris: change.redirect_uris.unwrap_or_default(),
        scopes,
        secret: secret.as_ref().map(|secret| secret.stored.clone()),
        settings,
    };
    let execution = Execution::new(id.as_str(), command, context).in_tenant(tenant).idempotent(idempotency);
    let receipt = app.store.execute::<OAuthClient>(execution).await?;
    let written = seen(app, &receipt).await?;
    // A repeated request is answered with what was made the first time, whatever it is now.
    let mut made = OAuthClient::default();
    for event in receipt.events {
        made.apply(event);
    }
    let client = made.client().cloned().ok_or_else(|| Problem::internal("making a client did not make it"))?;
    let secret = secret.filter(|_| !receipt.replayed).map(|secret| secret.text);
    Ok(ClientMade { client_id: receipt.stream_id.parse()?, client, secret, written })
}

/// Changes a client; what the change leaves out stays.
///
/// # Errors
/// When a value does not fit its type, or the client is an installed app's.
pub async fn change_client(
    app: &App,
    id: &ClientId,
    change: ClientChange,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<Written, Problem> {
    must_be_of_no_app(app, id).await?;
    check_addresses(app, &change)?;
    execute(app, id, OAuthClientCommand::Reconfigure(Box::new(change)), context, idempotency).await
}

/// Gives a client a new secret; the one so far works for `overlap` more (R147).
///
/// # Errors
/// When the client keeps no secret, or is an installed app's.
pub async fn rotate_secret(
    app: &App,
    id: &ClientId,
    overlap: Duration,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<SecretMade, Problem> {
    must_be_of_no_app(app, id).await?;
    let secret = NewSecret::random();
    let command = OAuthClientCommand::RotateSecret { secret: secret.stored.clone(), now: app.now(), overlap };
    let execution = Execution::new(id.as_str(), command, context).idempotent(idempotency);
    let receipt = app.store.execute::<OAuthClient>(execution).await?;
    let written = seen(app, &receipt).await?;
    let Some(OAuthClientEvent::SecretRotated { secret_id, previous_expires_at, .. }) = receipt.events.first() else {
        return Err(Problem::internal("rotating a secret did not make one"));
    };
    Ok(SecretMade {
        secret_id: secret_id.clone(),
        secret: (!receipt.replayed).then_some(secret.text),
        previous_expires_at: *previous_expires_at,
        written,
    })
}

/// Ends a secret at once (R149).
///
/// # Errors
/// When the client has no such secret, or is an installed app's.
pub async fn revoke_secret(app: &App, id: &ClientId, secret_id: &str, context: &Context) -> Result<Written, Problem> {
    must_be_of_no_app(app, id).await?;
    let secret_id = secret_id.to_owned();
    execute(app, id, OAuthClientCommand::RevokeSecret { secret_id }, context, None).await
}

/// Stops a client from doing anything (R023).
///
/// # Errors
/// When there is none.
pub async fn disable_client(app: &App, id: &ClientId, context: &Context) -> Result<Written, Problem> {
    let reason = "an administrator disabled it".to_owned();
    execute(app, id, OAuthClientCommand::Disable { reason }, context, None).await
}

/// Lets a disabled client go on, with the secrets that it had.
///
/// # Errors
/// When there is none.
pub async fn enable_client(app: &App, id: &ClientId, context: &Context) -> Result<Written, Problem> {
    execute(app, id, OAuthClientCommand::Enable, context, None).await
}

/// Deletes a client: its secrets and all its tokens are refused from the answer on (R151).
///
/// # Errors
/// When it is an installed app's: that ends with the installation.
pub async fn delete_client(app: &App, id: &ClientId, context: &Context) -> Result<Written, Problem> {
    must_be_of_no_app(app, id).await?;
    let reason = "an administrator deleted it".to_owned();
    execute(app, id, OAuthClientCommand::Delete { reason }, context, None).await
}

/// The client, also while it is disabled.
///
/// # Errors
/// When there is none (any more).
pub async fn existing_client(app: &App, id: &ClientId) -> Result<Client, Problem> {
    let exists = |client: &OAuthClient| client.client().is_some();
    let loaded = app.store.load_where(id.as_str(), exists).await?;
    loaded.and_then(|loaded| loaded.state.client().cloned()).ok_or_else(|| Problem::not_found("client"))
}

/// What the app's vendor chose or was told, the organization that installed it does not change.
async fn must_be_of_no_app(app: &App, id: &ClientId) -> Result<(), Problem> {
    if existing_client(app, id).await?.installation.is_none() {
        return Ok(());
    }
    let detail = "this client belongs to an installed app; it is disabled here, and ends when the app is uninstalled";
    Err(Problem::new(StatusCode::CONFLICT, "client_of_an_app", detail))
}

async fn execute(
    app: &App,
    id: &ClientId,
    command: OAuthClientCommand,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<Written, Problem> {
    let execution = Execution::new(id.as_str(), command, context).idempotent(idempotency);
    let receipt = app.store.execute::<OAuthClient>(execution).await?;
    seen(app, &receipt).await
}

/// Waits for the read models, and forgets what this node remembers of clients' origins.
async fn seen(app: &App, receipt: &Receipt<OAuthClient>) -> Result<Written, Problem> {
    app.shown(receipt.position).await?;
    app.lookups.origins.invalidate_all();
    Ok(Written::by(receipt))
}

/// We call this address ourselves, so it must not be one of our own network's.
fn check_addresses(app: &App, change: &ClientChange) -> Result<(), Problem> {
    match &change.backchannel_logout_uri {
        Some(Some(uri)) => webhooks::check_url(uri.url(), app.settings.dev)
            .map_err(|refused| Problem::bad_field("backchannel_logout_uri", refused)),
        _ => Ok(()),
    }
}

/// A secret before it is shown.
struct NewSecret {
    text: String,
    stored: ClientSecretHash,
}

impl NewSecret {
    fn random() -> Self {
        let text = client_secret("sk_");
        let stored = ClientSecretHash {
            secret_id: format!("sec_{}", Uuid::now_v7().simple()),
            hash: hash_of(&text),
            hint: text.get(text.len() - 4..).map(str::to_owned),
        };
        Self { text, stored }
    }
}
