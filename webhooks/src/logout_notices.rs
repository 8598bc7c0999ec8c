//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): when a session ends, each client that was signed in
//! to within it is told, by a token that the instance signed.
//!
//! The way of a notice: `session.ended`, or what ends all sessions of a user or a client → a row, in the transaction
//! of the checkpoint → a worker claims it, signs, POSTs, appends `session.client_notified`, notes it. A worker that
//! ends at the wrong moment leaves a claim that runs out; whoever claims it next begins by asking the log.

mod outbox;
mod queue;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use database::{Db, Engine};
use domain::{ClientId, LogoutOutcome, Session, SessionCommand, SigningAlgorithm};
use eventstore::follow::{Node, Progress, start_projection};
use eventstore::{Context, EventStore, ExecuteError, Execution, Idempotency, StoreError};
use reqwest::Client;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info, warn};
use url::form_urlencoded;
use uuid::Uuid;

use crate::retry::span;
use crate::sender::{explain, http_client, vetted};
use crate::{Error, Settings};
use outbox::LogoutOutbox;
use queue::Notice;

const NAME: &str = "logout-notices";
/// What the token says that happened (Back-Channel Logout §2.4).
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";
/// A captured token is soon of no use; a retry gets a new one.
const TOKEN_LIFETIME: chrono::Duration = chrono::Duration::minutes(2);
/// One client that hangs holds no more than these.
const CONCURRENCY_PER_CLIENT: usize = 4;
const LEASE_MARGIN: Duration = Duration::from_secs(5);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
const TIDYING: Duration = Duration::from_secs(3600);
/// Who signed in to a client so long ago is signed out there.
const FORGET_AFTER: chrono::Duration = chrono::Duration::days(90);

/// How clients are told that a session ended.
#[derive(Debug, Clone)]
pub struct LogoutSettings {
    /// How long one attempt may take. Default: 5 s.
    pub timeout: Duration,
    /// How long to wait after the first, second, … failed attempt; after the last of them it is given up.
    /// Default: 10 s, 50 s, 150 s, 390 s, so five attempts within ten minutes.
    pub retry_steps: Vec<Duration>,
    /// How often due notices are looked for, whether or not this node enqueued one. Default: 1 s.
    pub sweep: Duration,
}

impl Default for LogoutSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry_steps: [10, 50, 150, 390].map(Duration::from_secs).to_vec(),
            sweep: Duration::from_secs(1),
        }
    }
}

/// Signs the claims of a logout token (type `logout+jwt`) with the instance's key of an algorithm; the error is a
/// sentence.
pub type Signer = Arc<dyn Fn(SigningAlgorithm, &Value) -> Result<String, String> + Send + Sync>;

/// What telling clients is made of.
pub struct LogoutParts {
    /// The log and its clock.
    pub store: EventStore,
    /// This process, and the database with the tables of notices.
    pub node: Node,
    /// Where requests may go.
    pub http: Settings,
    /// The numbers.
    pub settings: LogoutSettings,
    /// `iss` of the tokens.
    pub issuer: String,
    /// What signs them.
    pub sign: Signer,
    /// Ends it.
    pub stop: CancellationToken,
}

/// Tells clients of the sessions that end, until `parts.stop`.
///
/// # Errors
/// When this machine has no root certificates.
pub fn start_logout_notices(parts: LogoutParts) -> Result<Vec<JoinHandle<()>>, Error> {
    let LogoutParts { store, node, http, settings, issuer, sign, stop } = parts;
    let client = http_client(&Settings { timeout: settings.timeout, ..http.clone() }).map_err(Error::HttpClient)?;
    let (enqueued, told) = watch::channel(0);
    let (db, tail) = (node.db.clone(), store.tail().clone());
    let (outbox, following) = start_projection(Arc::new(LogoutOutbox { enqueued }), node, tail, stop.clone());
    let worker = Worker { store, db, client, allow_private: http.allow_private, settings, issuer, sign, stop };
    Ok(vec![following, tokio::spawn(Arc::new(worker).run(outbox, told))])
}

struct Worker {
    store: EventStore,
    db: Db,
    client: Client,
    allow_private: bool,
    settings: LogoutSettings,
    issuer: String,
    sign: Signer,
    stop: CancellationToken,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Worker {
    async fn run(self: Arc<Self>, outbox: Progress, mut told: watch::Receiver<u64>) {
        let stop = self.stop.clone();
        tokio::select! {
            () = self.catch_up(&outbox) => {}
            () = stop.cancelled() => return,
        }
        let tidying = tokio::spawn(self.clone().tidy());
        let running = TaskTracker::new();
        let mut slots = HashMap::new();
        loop {
            if let Err(problem) = self.start_due(&running, &mut slots).await {
                warn!("logout notices could not be looked for: {problem}");
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(self.settings.sweep) => {}
                changed = told.changed() => if changed.is_ok() {
                    // The row is there when the outbox has committed it; the next look finds it otherwise.
                    let position = *told.borrow_and_update();
                    let _ = outbox.reaches(position, self.settings.sweep).await;
                } else {
                    tokio::time::sleep(self.settings.sweep).await;
                },
            }
        }
        tidying.abort();
        running.close();
        running.wait().await;
    }

    /// Nobody is told before the outbox has seen who was told earlier.
    async fn catch_up(&self, outbox: &Progress) {
        let head = self.store.tail().head();
        loop {
            match outbox.reaches(head, Duration::from_secs(1)).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(problem) => {
                    warn!("logout notices wait, the outbox cannot be asked how far it is: {problem}");
                    tokio::time::sleep(PAUSE_AFTER_ERROR).await;
                }
            }
        }
        // A data folder has one process, so whoever held a claim is gone.
        if self.db.engine() == Engine::Sqlite
            && let Err(problem) = queue::release_all(&self.db, self.store.clock().now()).await
        {
            warn!("claims of the last run end by themselves, not at once: {problem}");
        }
    }

    async fn tidy(self: Arc<Self>) {
        loop {
            if let Err(problem) = queue::forget(&self.db, self.store.clock().now() - FORGET_AFTER).await {
                warn!("old logout notices are not forgotten yet: {problem}");
            }
            tokio::time::sleep(TIDYING).await;
        }
    }

    /// Claims what is due, as much as each client has slots for, and sends it in tasks of their own.
    async fn start_due(
        self: &Arc<Self>,
        running: &TaskTracker,
        slots: &mut HashMap<String, Arc<Semaphore>>,
    ) -> Result<(), database::Error> {
        let now = self.store.clock().now();
        slots.retain(|_, slots| slots.available_permits() < CONCURRENCY_PER_CLIENT);
        for client_id in queue::due_clients(&self.db, now).await? {
            let slots =
                slots.entry(client_id.clone()).or_insert_with(|| Arc::new(Semaphore::new(CONCURRENCY_PER_CLIENT)));
            let free = slots.available_permits();
            if free == 0 {
                continue;
            }
            let until = now + span(self.settings.timeout + LEASE_MARGIN);
            for notice in queue::claim(&self.db, &client_id, now, until, free).await? {
                // Only this task takes permits, so as many as were free still are.
                let Ok(slot) = slots.clone().try_acquire_owned() else { break };
                let worker = self.clone();
                running.spawn(async move {
                    worker.tell(&notice).await;
                    drop(slot);
                });
            }
        }
        Ok(())
    }

    async fn tell(&self, notice: &Notice) {
        match self.was_told(notice).await {
            Ok(None) => {}
            Ok(Some(outcome)) => return self.finish(notice, &outcome, None).await,
            Err(problem) => return self.again(notice, &format!("this server could not prepare it: {problem}")).await,
        }
        match self.post(notice).await {
            Ok(status) => {
                info!(client.id = notice.client_id, status, "told {} that a session ended", notice.client_id);
                self.conclude(notice, LogoutOutcome::Acknowledged, None).await;
            }
            Err(reason) => self.again(notice, &reason).await,
        }
    }

    /// The log may know more than the tables, if they were rebuilt or a worker ended at the wrong moment.
    async fn was_told(&self, notice: &Notice) -> Result<Option<String>, StoreError> {
        for event in self.store.events_of("session", &notice.session_id, 0).await? {
            if event.event_type == "session.client_notified" && event.payload()?["client_id"] == notice.client_id {
                return Ok(event.payload()?["outcome"].as_str().map(str::to_owned));
            }
        }
        Ok(None)
    }

    /// POSTs the token; answers the status if the client acknowledged, else why not.
    async fn post(&self, notice: &Notice) -> Result<u16, String> {
        let url = vetted(&notice.uri, self.allow_private).map_err(|(_, reason)| reason)?;
        let algorithm = notice.algorithm.parse().map_err(|wrong: domain::InvalidValue| wrong.to_string())?;
        let token = (self.sign)(algorithm, &self.claims(notice))?;
        let body = form_urlencoded::Serializer::new(String::new()).append_pair("logout_token", &token).finish();
        let request = self
            .client
            .post(url)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("cache-control", "no-store")
            .body(body);
        // The answer has nothing to read (§2.8).
        let response = request.send().await.map_err(|problem| explain(&problem.without_url()).1)?;
        let status = response.status();
        if status.is_success() { Ok(status.as_u16()) } else { Err(format!("the client answered {}", status.as_u16())) }
    }

    /// Back-Channel Logout §2.4: never with a nonce, so that nobody takes it for an ID token.
    fn claims(&self, notice: &Notice) -> Value {
        let now = self.store.clock().now();
        json!({
            "iss": self.issuer, "aud": notice.client_id, "iat": now.timestamp(),
            "exp": (now + TOKEN_LIFETIME).timestamp(), "jti": token_id(notice), "sub": notice.user_id,
            "sid": notice.session_id, "events": {EVENT: {}},
        })
    }

    async fn again(&self, notice: &Notice, reason: &str) {
        let failed_before = usize::try_from(notice.attempts - 1).unwrap_or(0);
        let Some(step) = self.settings.retry_steps.get(failed_before) else {
            warn!(client.id = notice.client_id, "gave up telling {} of a logout: {reason}", notice.client_id);
            return self.conclude(notice, LogoutOutcome::Failed, Some(reason)).await;
        };
        let at = self.store.clock().now() + span(*step);
        if let Err(problem) = queue::retry(&self.db, notice, at, reason).await {
            warn!("a logout notice is tried again when its claim runs out: {problem}");
        }
    }

    async fn conclude(&self, notice: &Notice, outcome: LogoutOutcome, reason: Option<&str>) {
        if self.tell_log(notice, outcome).await {
            self.finish(notice, outcome.as_str(), reason).await;
        }
    }

    /// Appends how it ended, however long that takes: until then nobody else may claim it. `false` when the server
    /// stops first.
    async fn tell_log(&self, notice: &Notice, outcome: LogoutOutcome) -> bool {
        let Ok(client_id) = notice.client_id.parse::<ClientId>() else { return true };
        let attempts = u32::try_from(notice.attempts).unwrap_or(u32::MAX);
        let command = SessionCommand::NoteClientNotified { client_id, outcome, attempts };
        let context = Context {
            causation_id: Some(notice.caused_by.clone()),
            correlation_id: notice.correlation_id.clone(),
            ..Context::system(NAME)
        };
        // One outcome per client and session, whoever comes first.
        let key = format!("{NAME}/{}/{}", notice.session_id, notice.client_id);
        loop {
            let once = Idempotency { key: key.clone(), fingerprint: NAME.to_owned() };
            let execution =
                Execution::<Session>::new(&notice.session_id, command.clone(), &context).idempotent(Some(once));
            let problem = match self.store.execute(execution).await {
                Ok(_) | Err(ExecuteError::Rejected(_)) => return true,
                Err(problem) => problem,
            };
            error!("that a client was told of a logout could not be recorded, trying again: {problem}");
            if self.stop.is_cancelled() {
                return false;
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            let until = self.store.clock().now() + span(self.settings.timeout + LEASE_MARGIN);
            if let Err(problem) = queue::extend(&self.db, notice, until).await {
                warn!("the claim of a logout notice could not be extended: {problem}");
            }
        }
    }

    async fn finish(&self, notice: &Notice, outcome: &str, reason: Option<&str>) {
        // If this fails, the claim runs out, and whoever is next finds the outcome in the log.
        if let Err(problem) = queue::finish(&self.db, notice, outcome, reason).await {
            warn!("how a logout notice ended could not be noted: {problem}");
        }
    }
}

/// The same at each attempt: a client that remembers it sees that it was told before.
fn token_id(notice: &Notice) -> String {
    let hash = digest(&SHA256, format!("{}/{}/{}", notice.caused_by, notice.session_id, notice.client_id).as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
    format!("logout_{}", Uuid::from_bytes(bytes).simple())
}
