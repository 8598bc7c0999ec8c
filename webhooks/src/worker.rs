//! One claimed delivery, from the lease to its end. No database connection is held while the receiver thinks.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use database::Db;
use domain::{WebhookDelivery, WebhookDeliveryCommand};
use eventstore::{Context, EventStore, Execution, StoreError};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};
use uuid::Uuid;

use crate::Settings;
use crate::deliveries::State;
use crate::lanes::{self, Claim, Ending, Lane, Untold};
use crate::outbox::INSTALLED;
use crate::provisioner::CLIENT_SECRET;
use crate::retry::{next_attempt, span};
use crate::sender::{Attempt, Message, Sender};
use crate::signature::signing_secret;

const NAME: &str = "webhooks";
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);
/// Less than this is not worth beginning an attempt.
const SHORTEST_ATTEMPT: chrono::Duration = chrono::Duration::seconds(1);
const LOST_SECRET: &str = "its client secret is no longer in the vault, so the message cannot be made; uninstall the app and install it again";

/// What sending needs; shared by all that send.
pub(crate) struct Worker {
    pub(crate) store: EventStore,
    pub(crate) db: Db,
    pub(crate) sender: Sender,
    pub(crate) settings: Arc<Settings>,
    pub(crate) stop: CancellationToken,
}

impl Worker {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.store.clock().now()
    }

    /// Leases a lane for as long as an attempt may take.
    pub(crate) async fn claim(&self, lane: &Lane) -> Result<Option<Claim>, database::Error> {
        let now = self.now();
        lanes::claim(&self.db, lane, now, now + self.lease()).await
    }

    fn lease(&self) -> chrono::Duration {
        span(self.settings.timeout + self.settings.lease_margin)
    }

    /// Sends what was claimed, once, and notes how it went.
    pub(crate) async fn run(&self, claim: Claim) {
        match self.attempt(&claim).await {
            Ok(attempt) => self.conclude(&claim, &attempt).await,
            Err(ending) => self.finish(&claim, &ending, None).await,
        }
    }

    /// The attempt, or why there was none.
    async fn attempt(&self, claim: &Claim) -> Result<Attempt, Ending> {
        let delivery = &claim.delivery;
        // The log may know more than the tables, if they were rebuilt or a worker ended at the wrong moment.
        let known = self.store.load_fresh::<WebhookDelivery>(&delivery.delivery_id).await;
        let known = known.map_err(|problem| self.internal(&problem))?;
        if let Some(state) = ended(&known.state) {
            let reason = (state != State::Delivered).then(|| "the log has it that it ended before".to_owned());
            return Err(Ending::Over { state, reason });
        }
        let secret = if delivery.event == INSTALLED {
            let secret = self.store.vault().get(CLIENT_SECRET, &delivery.client_id).await;
            let secret = secret.map_err(|problem| self.internal(&problem))?;
            Some(secret.ok_or_else(|| self.not_sent(State::Held, LOST_SECRET.to_owned()))?)
        } else {
            None
        };
        let app_id = delivery.app_id.parse();
        let app_id =
            app_id.map_err(|problem| self.not_sent(State::Held, format!("its app has no usable id: {problem}")))?;
        let signing = signing_secret(self.store.vault(), &app_id).await.map_err(|problem| self.internal(&problem))?;
        let message = Message {
            id: &delivery.delivery_id,
            event: &delivery.event,
            organization_id: &delivery.organization_id,
            client_id: &delivery.client_id,
            client_secret: secret.as_ref().and_then(|secret| secret.expose_text()),
            sequence: delivery.log_position,
            attempt: delivery.attempts,
        };
        let now = self.now();
        let left = claim.leased_until - now;
        if left < SHORTEST_ATTEMPT {
            return Err(self.not_sent(State::RetryWait, "this server was too slow to begin in time".to_owned()));
        }
        let limit = left.to_std().unwrap_or(self.settings.timeout);
        self.sender
            .post(&message, &claim.url, &signing, now, limit)
            .await
            .ok_or_else(|| self.not_sent(State::Held, "the app's signing secret is not usable; rotate it".to_owned()))
    }

    fn internal(&self, problem: &StoreError) -> Ending {
        warn!("a webhook could not be prepared: {problem}");
        self.not_sent(State::RetryWait, "this server could not prepare it and tries again; its log says why".to_owned())
    }

    fn not_sent(&self, state: State, reason: String) -> Ending {
        Ending::NotSent { state, reason, at: self.now() + span(self.settings.recheck) }
    }

    async fn conclude(&self, claim: &Claim, attempt: &Attempt) {
        let delivery = &claim.delivery;
        let ending = match attempt.acknowledged() {
            Some(status) => {
                info!(delivery.id = %delivery.delivery_id, status, "delivered {}", delivery.delivery_id);
                Ending::Over { state: State::Delivered, reason: None }
            }
            None => self.failed(claim, attempt).await,
        };
        if let Some(command) = terminal(claim, attempt, &ending, self.now())
            && !self.tell_log(claim, command).await
        {
            // The lease runs out, and whoever claims it next begins by asking the log.
            return;
        }
        self.finish(claim, &ending, Some(attempt)).await;
        if matches!(ending, Ending::Over { .. }) && delivery.event == INSTALLED {
            // If this fails, the provisioner does it when it comes to the event.
            if let Err(problem) = self.store.vault().shred(CLIENT_SECRET, &delivery.client_id).await {
                warn!("a delivered secret is not shredded yet: {problem}");
            }
        }
    }

    async fn failed(&self, claim: &Claim, attempt: &Attempt) -> Ending {
        let delivery = &claim.delivery;
        let why = attempt.detail.clone().unwrap_or_default();
        if attempt.status == Some(410) {
            let reason = "the receiver answered 410 Gone, so it is sent nothing more";
            if let Err(problem) = lanes::disable_endpoint(&self.db, &delivery.app_id, &claim.url, reason).await {
                warn!("an endpoint that is gone was not disabled: {problem}");
            }
        }
        let now = self.now();
        let first = delivery.first_attempt_at.unwrap_or(now);
        match next_attempt(&self.settings, delivery.attempts, first, now, attempt.retry_after, random()) {
            Some(at) => Ending::Again { at, reason: format!("attempt {} failed: {why}", delivery.attempts) },
            None => {
                warn!(delivery.id = %delivery.delivery_id, "gave up on {}: {why}", delivery.delivery_id);
                Ending::Over { state: State::Exhausted, reason: Some(why) }
            }
        }
    }

    /// Appends how a delivery ended, however long that takes: until then nobody else may claim it. `false` when the
    /// server stops first.
    async fn tell_log(&self, claim: &Claim, command: WebhookDeliveryCommand) -> bool {
        let delivery = &claim.delivery;
        let context = context(&delivery.caused_by, delivery.correlation_id.as_deref());
        loop {
            let execution = Execution::<WebhookDelivery>::new(&delivery.delivery_id, command.clone(), &context)
                .in_tenant(&delivery.organization_id);
            let Err(problem) = self.store.execute(execution).await else { return true };
            error!("the end of {} could not be recorded, trying again: {problem}", delivery.delivery_id);
            if self.stop.is_cancelled() {
                return false;
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
            if let Err(problem) = lanes::extend(&self.db, claim, self.now() + self.lease()).await {
                warn!("the lease of {} could not be extended: {problem}", delivery.delivery_id);
            }
        }
    }

    async fn finish(&self, claim: &Claim, ending: &Ending, attempt: Option<&Attempt>) {
        while let Err(problem) = lanes::finish(&self.db, claim, ending, attempt, self.now()).await {
            error!("how {} went could not be noted, trying again: {problem}", claim.delivery.delivery_id);
            if self.stop.is_cancelled() {
                return;
            }
            tokio::time::sleep(PAUSE_AFTER_ERROR).await;
        }
    }

    /// Tells the log of what ended in the tables alone: cancelled and superseded deliveries.
    pub(crate) async fn tell_log_of_the_rest(&self) {
        let untold = match lanes::untold(&self.db, 100).await {
            Ok(untold) => untold,
            Err(problem) => return warn!("cancelled webhooks could not be looked for: {problem}"),
        };
        for each in untold {
            if let Err(problem) = self.tell_log_of(&each).await {
                warn!("the end of {} is not recorded yet: {problem}", each.delivery_id);
            }
        }
    }

    async fn tell_log_of(&self, each: &Untold) -> Result<(), String> {
        let command = WebhookDeliveryCommand::Cancel {
            app_id: each.app_id.parse().map_err(|problem| format!("{problem}"))?,
            organization_id: each.organization_id.parse().map_err(|problem| format!("{problem}"))?,
            event: each.event.clone(),
            log_position: each.log_position.cast_unsigned(),
            attempts: u32::try_from(each.attempts).unwrap_or(u32::MAX),
            reason: each.reason.clone().unwrap_or_default(),
            at: self.now(),
        };
        let context = context(&each.caused_by, each.correlation_id.as_deref());
        let execution =
            Execution::<WebhookDelivery>::new(&each.delivery_id, command, &context).in_tenant(&each.organization_id);
        self.store.execute(execution).await.map_err(|problem| problem.to_string())?;
        lanes::told(&self.db, &each.delivery_id).await.map_err(|problem| problem.to_string())
    }
}

fn ended(known: &WebhookDelivery) -> Option<State> {
    match known {
        WebhookDelivery::Pending => None,
        WebhookDelivery::Delivered => Some(State::Delivered),
        WebhookDelivery::Exhausted => Some(State::Exhausted),
        WebhookDelivery::Cancelled => Some(State::Cancelled),
    }
}

/// What the log is told of how a delivery ended; nothing if it goes on.
fn terminal(claim: &Claim, attempt: &Attempt, ending: &Ending, at: DateTime<Utc>) -> Option<WebhookDeliveryCommand> {
    let Ending::Over { reason, .. } = ending else { return None };
    let delivery = &claim.delivery;
    let (Ok(app_id), Ok(organization_id)) = (delivery.app_id.parse(), delivery.organization_id.parse()) else {
        error!("{} has ids that the log cannot take; its end is not recorded", delivery.delivery_id);
        return None;
    };
    let event = delivery.event.clone();
    let log_position = delivery.log_position.cast_unsigned();
    let attempts = u32::try_from(delivery.attempts).unwrap_or(u32::MAX);
    Some(match attempt.acknowledged() {
        Some(status) => {
            WebhookDeliveryCommand::Deliver { app_id, organization_id, event, log_position, attempts, status, at }
        }
        None => {
            let last_failure = reason.clone().unwrap_or_default();
            WebhookDeliveryCommand::Exhaust { app_id, organization_id, event, log_position, attempts, last_failure, at }
        }
    })
}

/// The webhook belongs to what caused its event.
fn context(caused_by: &str, correlation_id: Option<&str>) -> Context {
    Context {
        causation_id: Some(caused_by.to_owned()),
        correlation_id: correlation_id.map(str::to_owned),
        ..Context::system(NAME)
    }
}

/// Between 0 and 1.
fn random() -> f64 {
    let [first, second, ..] = *Uuid::new_v4().as_bytes();
    f64::from(u16::from_be_bytes([first, second])) / f64::from(u16::MAX)
}
