//! Hints between nodes, by NATS JetStream. It may be down, slow, or lose everything: that costs latency only, because
//! what is due stands in the database and every node sweeps it. Only what nats-server 2.9 knows is used.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::stream::{Config, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, HeaderMap, Message, Request, ServerAddr};
use database::Db;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::dispatch::Signal;
use crate::hint::{DueDelivery, shard};
use crate::{Error, Settings, lanes};

const STREAM: &str = "OPTARE_WEBHOOKS";
const SUBJECTS: &str = "optare.webhooks.>";
const CONSUMER: &str = "optare_webhooks";
/// So many requests for the next hint a node keeps open.
const PULLERS: usize = 8;
/// So long one of them is open; also how long a node may not notice that a restarted server forgot it.
const PULL_OPEN: Duration = Duration::from_secs(5);
const PULL_PATIENCE: Duration = Duration::from_secs(7);
const ACK_PATIENCE: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(500);
/// More hints than this at once are not published one by one: the node looks by itself.
const PUBLISHING: usize = 256;
const MAX_HINTS: i64 = 1_000_000;
const MAX_UNACKNOWLEDGED: i64 = 10_000;

/// A hint as it travels: small, and nothing in it is secret.
#[derive(Serialize, Deserialize)]
struct Payload {
    delivery: String,
    attempt: i64,
}

/// This node's connection.
pub(crate) struct JetStream {
    client: Client,
    context: Context,
    settings: Arc<Settings>,
    /// Whether the stream and the consumer were there when last heard of.
    there: AtomicBool,
    /// Told when they seem not to be.
    missing: Notify,
    publishing: Arc<Semaphore>,
    complained: AtomicBool,
}

impl JetStream {
    /// Begins to connect; a server that is not there yet is connected to when it comes.
    pub(crate) async fn connect(address: &str, settings: Arc<Settings>) -> Result<Self, Error> {
        let refused = |problem: &dyn std::fmt::Display| Error::NatsAddress(problem.to_string());
        let servers: Result<Vec<ServerAddr>, _> =
            address.split(',').map(|server| ServerAddr::from_str(server.trim())).collect();
        let client = ConnectOptions::new()
            .name("optare webhooks")
            .retry_on_initial_connect()
            .connection_timeout(Duration::from_secs(5))
            .event_callback(|event| async move { debug!("NATS: {event}") })
            .connect(servers.map_err(|problem| refused(&problem))?)
            .await
            .map_err(|problem| refused(&problem))?;
        Ok(Self {
            context: jetstream::new(client.clone()),
            client,
            settings,
            there: AtomicBool::new(false),
            missing: Notify::new(),
            publishing: Arc::new(Semaphore::new(PUBLISHING)),
            complained: AtomicBool::new(false),
        })
    }

    fn connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    fn usable(&self) -> bool {
        self.connected() && self.there.load(Ordering::Relaxed)
    }

    fn miss(&self) {
        self.there.store(false, Ordering::Relaxed);
        self.missing.notify_one();
    }

    /// Keeps the stream and the consumer there, until `stop`.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        let keeping = async {
            // Connecting takes a moment; only what takes longer is worth a warning.
            let connected = async {
                while !self.connected() {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let _ = tokio::time::timeout(ACK_PATIENCE, connected).await;
            loop {
                match self.create().await {
                    Ok(()) => {
                        if self.complained.swap(false, Ordering::Relaxed) {
                            info!("NATS is back; webhooks are handed out by it again");
                        }
                        self.there.store(true, Ordering::Relaxed);
                        self.missing.notified().await;
                    }
                    Err(problem) => self.complain(&problem),
                }
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            () = keeping => {}
            () = stop.cancelled() => {}
        }
    }

    async fn create(&self) -> Result<(), String> {
        if !self.connected() {
            return Err("it is not connected".to_owned());
        }
        let config = Config {
            name: STREAM.to_owned(),
            description: Some("hints that a webhook is due; may be lost at any time".to_owned()),
            subjects: vec![SUBJECTS.to_owned()],
            retention: RetentionPolicy::WorkQueue,
            storage: StorageType::File,
            max_age: self.settings.hint_max_age,
            max_messages: MAX_HINTS,
            num_replicas: self.settings.hint_replicas,
            ..Config::default()
        };
        self.context.get_or_create_stream(config).await.map_err(|problem| problem.to_string())?;
        let consumer = pull::Config {
            durable_name: Some(CONSUMER.to_owned()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.settings.hint_ack_wait,
            max_ack_pending: MAX_UNACKNOWLEDGED,
            ..pull::Config::default()
        };
        self.context.create_consumer_on_stream(consumer, STREAM).await.map_err(|problem| problem.to_string())?;
        Ok(())
    }

    fn complain(&self, problem: &str) {
        if !self.complained.swap(true, Ordering::Relaxed) {
            warn!("NATS cannot be used ({problem}); webhooks are delivered without it, up to a second later");
        }
    }

    /// Tells all nodes of a due delivery; if that fails, this one looks at it.
    pub(crate) fn publish_or(self: Arc<Self>, app_id: String, due: DueDelivery, signals: UnboundedSender<Signal>) {
        let permit = self.publishing.clone().try_acquire_owned();
        let (true, Ok(permit)) = (self.usable(), permit) else {
            let _ = signals.send(Signal::Due(app_id, None));
            return;
        };
        tokio::spawn(async move {
            if let Err(problem) = self.publish(&app_id, &due).await {
                debug!("a hint was not published: {problem}");
                self.miss();
                let _ = signals.send(Signal::Due(app_id, None));
            }
            drop(permit);
        });
    }

    async fn publish(&self, app_id: &str, due: &DueDelivery) -> Result<(), String> {
        let subject = format!("optare.webhooks.{}", shard(app_id, &due.organization_id));
        let payload = Payload { delivery: due.delivery_id.clone(), attempt: due.attempt };
        let payload = serde_json::to_vec(&payload).map_err(|problem| problem.to_string())?;
        let mut headers = HeaderMap::new();
        // Not the delivery alone: the server would swallow its next attempt.
        headers.insert("Nats-Msg-Id", format!("{}.{}", due.delivery_id, due.attempt));
        let publishing = async {
            let ack = self.context.publish_with_headers(subject, headers, payload.into()).await;
            ack.map_err(|problem| problem.to_string())?.await.map_err(|problem| problem.to_string())
        };
        match tokio::time::timeout(ACK_PATIENCE, publishing).await {
            Ok(acknowledged) => acknowledged.map(|_| ()),
            Err(_) => Err("no acknowledgement in time".to_owned()),
        }
    }

    /// Takes hints and passes them to the pool, until `stop`.
    pub(crate) async fn pull(self: Arc<Self>, db: Db, signals: UnboundedSender<Signal>, stop: CancellationToken) {
        // No more in hand than can be worked on: another node may have more time.
        let in_hand = Arc::new(Semaphore::new(self.settings.concurrency.max(1)));
        let pulling = (0..PULLERS).map(|_| {
            let (jetstream, db, signals, in_hand) = (self.clone(), db.clone(), signals.clone(), in_hand.clone());
            tokio::spawn(async move { jetstream.pull_one_by_one(&db, &signals, &in_hand).await })
        });
        let pulling: Vec<_> = pulling.collect();
        stop.cancelled().await;
        pulling.iter().for_each(tokio::task::JoinHandle::abort);
    }

    async fn pull_one_by_one(&self, db: &Db, signals: &UnboundedSender<Signal>, in_hand: &Arc<Semaphore>) {
        let subject = format!("$JS.API.CONSUMER.MSG.NEXT.{STREAM}.{CONSUMER}");
        let wish = format!(r#"{{"batch":1,"expires":{}}}"#, PULL_OPEN.as_nanos());
        loop {
            let Ok(permit) = in_hand.clone().acquire_owned().await else { return };
            if !self.usable() {
                tokio::time::sleep(PAUSE / 5).await;
                continue;
            }
            // An inbox of its own: a hint comes under its own subject, by which the shared inbox finds nobody. If the
            // consumer is gone, nothing comes at all.
            let request = Request::new().payload(wish.clone().into()).timeout(Some(PULL_PATIENCE));
            let request = request.inbox(self.client.new_inbox());
            match self.client.send_request(subject.clone(), request).await {
                Ok(message) if message.status.is_none() => self.pass_on(message, permit, db, signals).await,
                // 404 and 408: there is nothing.
                Ok(message) if message.status.is_some_and(|status| matches!(status.as_u16(), 404 | 408)) => {}
                Ok(_) | Err(_) => {
                    self.miss();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    async fn pass_on(
        &self,
        message: Message,
        permit: OwnedSemaphorePermit,
        db: &Db,
        signals: &UnboundedSender<Signal>,
    ) {
        let receipt = Receipt { client: self.client.clone(), reply: message.reply, _permit: permit };
        let payload: Option<Payload> = serde_json::from_slice(&message.payload).ok();
        let app_id = match payload {
            Some(payload) => lanes::app_of(db, &payload.delivery).await.ok().flatten(),
            None => None,
        };
        match app_id {
            Some(app_id) => drop(signals.send(Signal::Due(app_id, Some(receipt)))),
            // Of other tables, or nothing we wrote; if it is due, the sweep finds it.
            None => receipt.give_back().await,
        }
    }
}

/// A hint in hand, to be given back as soon as its lane was claimed, or found claimed.
pub(crate) struct Receipt {
    client: Client,
    reply: Option<async_nats::Subject>,
    _permit: OwnedSemaphorePermit,
}

impl Receipt {
    pub(crate) async fn give_back(self) {
        if let Some(reply) = self.reply
            && let Err(problem) = self.client.publish(reply, "+ACK".into()).await
        {
            debug!("a hint was not acknowledged and will come again: {problem}");
        }
    }
}
