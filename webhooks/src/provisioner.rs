//! What an installation needs and its end takes away: the OAuth client, and its secret until it is delivered.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{
    App, AppId, ClientId, ClientSecretHash, ClientType, Event, InstallationId, InstallationOf, OAuthClient,
    OAuthClientCommand, OAuthClientError, OrganizationEvent, OrganizationId, SecretHash, WebhookDeliveryEvent,
};
use eventstore::follow::{Boxed, ReactError, Reactor};
use eventstore::{Context, EventStore, ExecuteError, Execution, Idempotency, Recorded, Secret};
use tracing::{error, info};

use crate::outbox::INSTALLED;
use crate::signature::random_bytes;

/// The vault's kind of client secrets that wait for their delivery; the name is the client's id.
pub(crate) const CLIENT_SECRET: &str = "client_secret";

const NAME: &str = "provisioner@1";

/// Turns installations into OAuth clients, and uninstallations into their end.
pub(crate) struct Provisioner {
    pub(crate) store: EventStore,
}

impl Reactor for Provisioner {
    fn name(&self) -> &'static str {
        NAME
    }

    fn react<'a>(&'a self, event: &'a Recorded) -> Boxed<'a, Result<(), ReactError>> {
        Box::pin(self.react_to(event))
    }
}

impl Provisioner {
    async fn react_to(&self, event: &Recorded) -> Result<(), ReactError> {
        match decode(event)? {
            Some(Event::Organization(OrganizationEvent::AppInstalled { installation_id, app_id, client_id })) => {
                self.provision(event, installation_id, app_id, &client_id).await
            }
            Some(Event::Organization(OrganizationEvent::AppUninstalled { client_id, .. })) => {
                self.delete(event, &client_id).await
            }
            Some(Event::WebhookDelivery(
                WebhookDeliveryEvent::Delivered { event, log_position, .. }
                | WebhookDeliveryEvent::Exhausted { event, log_position, .. },
            )) if event == INSTALLED => self.forget_secret(log_position).await,
            _ => Ok(()),
        }
    }

    async fn provision(
        &self,
        event: &Recorded,
        installation_id: InstallationId,
        app_id: AppId,
        client_id: &ClientId,
    ) -> Result<(), ReactError> {
        // Once it exists its secret may have been delivered and shredded: another one would be the wrong one.
        if self.store.load::<OAuthClient>(client_id.as_str()).await?.version > 0 {
            return Ok(());
        }
        let app = self.store.load_fresh::<App>(app_id.as_str()).await?.state;
        let Some(app) = app.definition() else {
            error!("position {} installs {app_id}, which does not exist; it gets no client", event.position);
            return Ok(());
        };
        let fresh = Secret::new(format!("secret_{}", URL_SAFE_NO_PAD.encode(random_bytes())));
        let secret = self.store.vault().put_if_absent(CLIENT_SECRET, client_id.as_str(), &fresh).await?;
        let organization_id: OrganizationId = event.stream_id.parse().map_err(refused)?;
        let tenant = organization_id.to_string();
        let command = OAuthClientCommand::Provision {
            organization_id,
            installation: Some(InstallationOf { installation_id, app_id }),
            name: app.title.clone(),
            client_type: ClientType::Web,
            redirect_uris: app.redirect_uris.clone(),
            scopes: app.scopes.clone(),
            secret: Some(ClientSecretHash {
                secret_id: format!("sec_{}", event.position),
                hash: hash(&secret)?,
                hint: None,
            }),
            settings: Box::default(),
        };
        let context = Context::caused_by(NAME, event);
        let execution = Execution::<OAuthClient>::new(client_id.as_str(), command, &context)
            .in_tenant(tenant)
            .idempotent(Some(once(event, client_id)));
        match self.store.execute(execution).await {
            Ok(_) => {
                info!(client.id = %client_id, "made client {client_id} for the installation at {}", event.position);
                Ok(())
            }
            Err(ExecuteError::Rejected(OAuthClientError::AlreadyProvisioned | OAuthClientError::Deleted)) => Ok(()),
            Err(problem) => Err(refused(problem)),
        }
    }

    async fn delete(&self, event: &Recorded, client_id: &ClientId) -> Result<(), ReactError> {
        let command = OAuthClientCommand::Delete { reason: "the app was uninstalled".to_owned() };
        let context = Context::caused_by(NAME, event);
        let execution = Execution::<OAuthClient>::new(client_id.as_str(), command, &context)
            .idempotent(Some(once(event, client_id)));
        match self.store.execute(execution).await {
            Ok(_) | Err(ExecuteError::Rejected(OAuthClientError::NotFound | OAuthClientError::Deleted)) => {}
            Err(problem) => return Err(refused(problem)),
        }
        Ok(self.store.vault().shred(CLIENT_SECRET, client_id.as_str()).await?)
    }

    /// The worker does so too, unless it ended in between.
    async fn forget_secret(&self, log_position: u64) -> Result<(), ReactError> {
        let Some(before) = log_position.checked_sub(1) else { return Ok(()) };
        let page = self.store.tail().page(before, 1).await?;
        let Some(cause) = page.first() else { return Ok(()) };
        let Some(Event::Organization(OrganizationEvent::AppInstalled { client_id, .. })) = decode(cause)? else {
            return Ok(());
        };
        // Asking costs less than a transaction.
        if self.store.vault().get(CLIENT_SECRET, client_id.as_str()).await?.is_some() {
            self.store.vault().shred(CLIENT_SECRET, client_id.as_str()).await?;
        }
        Ok(())
    }
}

fn decode(event: &Recorded) -> Result<Option<Event>, ReactError> {
    let ours = [
        "organization.app_installed",
        "organization.app_uninstalled",
        "webhook_delivery.delivered",
        "webhook_delivery.exhausted",
    ];
    if !ours.contains(&event.event_type.as_str()) {
        return Ok(None);
    }
    let payload = event.payload()?.clone();
    Event::decode(&event.stream_type, event.schema_version, payload).map(Some).map_err(refused)
}

fn refused(problem: impl std::fmt::Display) -> ReactError {
    ReactError(problem.to_string())
}

fn once(event: &Recorded, client_id: &ClientId) -> Idempotency {
    Idempotency { key: format!("{NAME}/{}", event.position), fingerprint: client_id.to_string() }
}

fn hash(secret: &Secret) -> Result<SecretHash, ReactError> {
    let hex: String = digest(&SHA256, secret.expose()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    hex.parse().map_err(refused)
}
