//! Webhooks: from the log to the apps, in order, none lost, none repeated once it was acknowledged.
//!
//! What lives here: the client that an installation needs ([`start`] runs its provisioner), the outbox that turns
//! events into deliveries, the lanes that keep them in order, the workers that send them, the addresses they may go
//! to, and their signatures. What may not live here: a rule about installations, pages, and any fact of its own: the
//! tables can be dropped and are filled again from the log.
//!
//! The way of a message: `organization.app_installed` → provisioner → `oauth_client.provisioned` → outbox → a due
//! lane → a hint (in this process, or by NATS) → a worker leases the lane, sends, appends `webhook_delivery.delivered`,
//! notes it, and lets the lane go on. Should a hint be lost, a sweep finds the lane.

mod address;
mod deliveries;
mod dispatch;
mod hint;
mod jetstream;
mod lanes;
mod logout_notices;
mod masking;
mod memory;
mod outbox;
mod provisioner;
mod relay;
mod retry;
mod sender;
mod settings;
mod signature;
mod worker;

pub use address::{RefusedAddress, check_url, is_public};
pub use deliveries::{AttemptRow, DeliveryRow, State, attempts_of, deliveries_of};
pub use logout_notices::{LogoutParts, LogoutSettings, Signer, start_logout_notices};
pub use settings::Settings;
pub use signature::signing_secret;

use std::sync::Arc;

use eventstore::follow::{Node, Progress, start_projection, start_reactor};
use eventstore::{EventStore, StoreError};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use dispatch::Dispatcher;
use jetstream::JetStream;
use outbox::Outbox;
use provisioner::Provisioner;
use sender::Sender;
use worker::Worker;

/// What the delivery of webhooks is made of.
pub struct Parts {
    /// The log, its vault and its clock.
    pub store: EventStore,
    /// This process, and the database with the tables of deliveries.
    pub node: Node,
    /// The numbers.
    pub settings: Settings,
    /// `nats://host:4222`, several with commas; without it hints stay in this process.
    pub nats_url: Option<String>,
    /// Ends it.
    pub stop: CancellationToken,
}

/// The delivery of webhooks, running.
pub struct Running {
    /// How far the outbox is.
    pub outbox: Progress,
    /// They end after `stop`, as soon as what is in flight has ended.
    pub tasks: Vec<JoinHandle<()>>,
}

/// Why the delivery of webhooks could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of NATS is malformed.
    #[error("NATS_URL is not usable: {0}; give nats://host:4222, or leave it out to run without NATS")]
    NatsAddress(String),
    /// The HTTP client could not be made.
    #[error("webhooks cannot be sent from here: {0}; install the system's root certificates (Debian: ca-certificates)")]
    HttpClient(#[source] reqwest::Error),
    /// The log or its vault failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Provisions installed apps and delivers their webhooks, until `parts.stop`. A NATS server that does not answer is
/// no error: deliveries go on without it.
///
/// # Errors
/// When the NATS address is malformed, the log fails, or this machine has no root certificates.
pub async fn start(parts: Parts) -> Result<Running, Error> {
    let Parts { store, node, settings, nats_url, stop } = parts;
    let (settings, db) = (Arc::new(settings), node.db.clone());
    let sender = Sender::new(settings.clone()).map_err(Error::HttpClient)?;
    let jetstream = match nats_url.as_deref().map(str::trim).filter(|address| !address.is_empty()) {
        Some(address) => Some(Arc::new(JetStream::connect(address, settings.clone()).await?)),
        None => None,
    };
    memory::begin(&db, &store).await?;

    let (hints, hinted) = unbounded_channel();
    let (signals, signalled) = unbounded_channel();
    let tail = store.tail().clone();
    let provisioner = Arc::new(Provisioner { store: store.clone() });
    let provisioning = start_reactor(provisioner, node.clone(), tail.clone(), stop.clone());
    let (outbox, projecting) = start_projection(Arc::new(Outbox { hints }), node, tail, stop.clone());
    let relay = relay::run(hinted, outbox.clone(), jetstream.clone(), signals.clone(), stop.clone());
    let mut tasks = vec![provisioning, projecting, tokio::spawn(relay)];
    if let Some(jetstream) = jetstream {
        tasks.push(tokio::spawn(jetstream.clone().keep(stop.clone())));
        tasks.push(tokio::spawn(jetstream.pull(db.clone(), signals.clone(), stop.clone())));
    }
    let worker = Arc::new(Worker { store, db, sender, settings, stop });
    tasks.push(tokio::spawn(Dispatcher::new(worker, signals, outbox.clone()).run(signalled)));
    Ok(Running { outbox, tasks })
}
