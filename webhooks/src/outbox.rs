//! The outbox: events become deliveries, once each, with the checkpoint in the same transaction.

use aws_lc_rs::digest::{SHA256, digest};
use chrono::{DateTime, Utc};
use database::{Error, Tx};
use domain::{
    AppEvent, AppId, ClientId, DeliveryId, Event, OAuthClientEvent, OrganizationEvent, WebhookDeliveryEvent, WebhookUrl,
};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};
use tokio::sync::mpsc::UnboundedSender;
use uuid::Uuid;

use crate::deliveries::State;
use crate::hint::{DueDelivery, Hint};
use crate::lanes::{self, Lane};
use crate::memory;

/// What a receiver is told when an app was installed, with the credentials of its client.
pub(crate) const INSTALLED: &str = "app.installed";
/// What a receiver is told when an app was uninstalled.
pub(crate) const UNINSTALLED: &str = "app.uninstalled";

const NEVER_SENT: &str = "the app was uninstalled before anything was sent, so there is nothing to tell";

/// Fills the tables of deliveries.
pub(crate) struct Outbox {
    /// Told of what became due, with the position after whose commit that holds.
    pub(crate) hints: UnboundedSender<(u64, Hint)>,
}

impl Projection for Outbox {
    fn name(&self) -> &'static str {
        "outbox@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["app", "organization", "oauth_client", "webhook_delivery"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, event: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(self.apply_one(tx, event))
    }
}

impl Outbox {
    async fn apply_one(&self, tx: &mut Tx, recorded: &Recorded) -> Result<(), ApplyError> {
        if !is_ours(&recorded.event_type) {
            return Ok(());
        }
        let event = Event::decode(&recorded.stream_type, recorded.schema_version, recorded.payload()?.clone())
            .map_err(|problem| ApplyError::Poison(problem.to_string()))?;
        match event {
            Event::App(AppEvent::Defined { webhook_url, .. } | AppEvent::WebhookUrlChanged { webhook_url }) => {
                self.endpoint_changed(tx, recorded, webhook_url.as_ref()).await?;
            }
            Event::Organization(OrganizationEvent::AppInstalled { app_id, client_id, .. }) => {
                self.installed(tx, recorded, &app_id, &client_id).await?;
            }
            Event::OAuthClient(OAuthClientEvent::Provisioned { installation: Some(of), organization_id, .. }) => {
                let lane = Lane { app_id: of.app_id.to_string(), organization_id: organization_id.to_string() };
                self.provisioned(tx, recorded, &lane).await?;
            }
            Event::Organization(OrganizationEvent::AppUninstalled { app_id, client_id, .. }) => {
                self.uninstalled(tx, recorded, &app_id, &client_id).await?;
            }
            Event::WebhookDelivery(ended) => self.ended(tx, recorded, ended).await?,
            _ => {}
        }
        Ok(())
    }

    async fn endpoint_changed(&self, tx: &mut Tx, recorded: &Recorded, url: Option<&WebhookUrl>) -> Result<(), Error> {
        let app_id = recorded.stream_id.as_str();
        tx.execute(
            "INSERT INTO webhook_endpoints (app_id, url) VALUES ($1, $2)
             ON CONFLICT (app_id) DO UPDATE SET url = excluded.url, disabled_reason = NULL",
            (app_id, url.map(WebhookUrl::as_str)),
        )
        .await?;
        // Whatever failed or was held before goes to the new URL, at once.
        let woken = tx
            .execute(
                "UPDATE webhook_lanes SET due_at = CASE WHEN leased = TRUE THEN due_at ELSE $2 END
                 WHERE app_id = $1 AND EXISTS
                     (SELECT 1 FROM webhook_deliveries d WHERE d.app_id = webhook_lanes.app_id
                      AND d.organization_id = webhook_lanes.organization_id AND d.finished = FALSE)",
                (app_id, recorded.recorded_at),
            )
            .await?;
        tx.execute(
            "UPDATE webhook_deliveries SET state = 'due', reason = 'the app has a new webhook URL', retry_at = NULL
             WHERE app_id = $1 AND finished = FALSE AND state IN ('held', 'retry_wait')",
            (app_id,),
        )
        .await?;
        if woken > 0 {
            self.tell(recorded, Hint { app_id: app_id.to_owned(), delivery: None });
        }
        Ok(())
    }

    async fn installed(&self, tx: &mut Tx, recorded: &Recorded, app: &AppId, client: &ClientId) -> Result<(), Error> {
        let sql = "SELECT app_id FROM webhook_endpoints WHERE app_id = $1 AND url IS NOT NULL";
        let listening: Option<(String,)> = tx.fetch_optional(sql, (app.as_str(),)).await?;
        if listening.is_none() {
            return Ok(());
        }
        let lane = lane_of(recorded, app);
        let leased = lanes::lock(tx, &lane).await?;
        insert(tx, recorded, &lane, client, &New { event: INSTALLED, credentials_ready: false, never_sent: false })
            .await?;
        self.settle(tx, recorded, &lane, leased).await
    }

    async fn provisioned(&self, tx: &mut Tx, recorded: &Recorded, lane: &Lane) -> Result<(), Error> {
        let client_id = recorded.stream_id.as_str();
        if install_of(tx, client_id).await?.is_none() {
            return Ok(());
        }
        let leased = lanes::lock(tx, lane).await?;
        let sql = "UPDATE webhook_deliveries SET credentials_ready = TRUE WHERE client_id = $1";
        tx.execute(sql, (client_id,)).await?;
        self.settle(tx, recorded, lane, leased).await
    }

    /// A receiver that may have heard of the installation hears of its end; one that has not hears of neither.
    async fn uninstalled(&self, tx: &mut Tx, recorded: &Recorded, app: &AppId, client: &ClientId) -> Result<(), Error> {
        if install_of(tx, client.as_str()).await?.is_none() {
            return Ok(());
        }
        let lane = lane_of(recorded, app);
        let leased = lanes::lock(tx, &lane).await?;
        // Again, now that no worker can change it.
        let Some(install) = install_of(tx, client.as_str()).await? else { return Ok(()) };
        let never_sent =
            !install.finished && install.attempts == 0 && install.log_position > memory::forgotten_up_to(tx).await?;
        let id = install.delivery_id.as_str();
        if never_sent {
            let sql =
                "UPDATE webhook_deliveries SET state = 'cancelled', reason = $2, finished = TRUE, finished_at = $3
                       WHERE delivery_id = $1";
            tx.execute(sql, (id, NEVER_SENT, recorded.recorded_at)).await?;
        } else if !install.finished {
            let sql = "UPDATE webhook_deliveries SET superseded_by = $2 WHERE delivery_id = $1";
            tx.execute(sql, (id, recorded.position.cast_signed())).await?;
        }
        insert(tx, recorded, &lane, client, &New { event: UNINSTALLED, credentials_ready: true, never_sent }).await?;
        self.settle(tx, recorded, &lane, leased).await
    }

    async fn ended(&self, tx: &mut Tx, recorded: &Recorded, ended: WebhookDeliveryEvent) -> Result<(), Error> {
        let Some(before) = find(tx, &recorded.stream_id).await? else { return Ok(()) };
        let lane = Lane { app_id: before.app_id, organization_id: before.organization_id };
        let leased = lanes::lock(tx, &lane).await?;
        let Some(now) = find(tx, &recorded.stream_id).await? else { return Ok(()) };
        let outcome = Outcome::of(ended);
        if now.finished && now.in_log && now.state == outcome.state.as_str() {
            return Ok(());
        }
        note(tx, &recorded.stream_id, &now, &outcome).await?;
        let leased_for_this = now.state == State::Leased.as_str();
        self.settle(tx, recorded, &lane, leased && !leased_for_this).await
    }

    async fn settle(&self, tx: &mut Tx, recorded: &Recorded, lane: &Lane, leased: bool) -> Result<(), Error> {
        if leased {
            return Ok(());
        }
        if let Some(due) = lanes::settle(tx, lane, recorded.recorded_at).await? {
            let attempt = due.attempts + 1;
            let (delivery_id, organization_id) = (due.delivery_id, due.organization_id);
            let delivery = Some(DueDelivery { delivery_id, organization_id, attempt });
            self.tell(recorded, Hint { app_id: due.app_id, delivery });
        }
        Ok(())
    }

    /// Nobody listens while the server stops.
    fn tell(&self, recorded: &Recorded, hint: Hint) {
        let _ = self.hints.send((recorded.position, hint));
    }
}

fn is_ours(event_type: &str) -> bool {
    matches!(
        event_type,
        "app.defined"
            | "app.webhook_url_changed"
            | "organization.app_installed"
            | "organization.app_uninstalled"
            | "oauth_client.provisioned"
            | "webhook_delivery.delivered"
            | "webhook_delivery.exhausted"
            | "webhook_delivery.cancelled"
    )
}

fn lane_of(recorded: &Recorded, app: &AppId) -> Lane {
    Lane { app_id: app.to_string(), organization_id: recorded.stream_id.clone() }
}

/// The same for the same event, also in tables that were rebuilt; no two instances share one.
fn delivery_id(recorded: &Recorded, app_id: &str) -> DeliveryId {
    let hash = digest(&SHA256, format!("{}/{app_id}", recorded.event_id).as_bytes());
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
    DeliveryId::from_uuid(Uuid::from_bytes(bytes))
}

struct New {
    event: &'static str,
    credentials_ready: bool,
    never_sent: bool,
}

async fn insert(tx: &mut Tx, recorded: &Recorded, lane: &Lane, client: &ClientId, new: &New) -> Result<(), Error> {
    let (state, reason) = if new.never_sent {
        (State::Cancelled, NEVER_SENT)
    } else {
        (State::Queued, "an earlier message to this app about this organization goes first")
    };
    tx.execute(
        "INSERT INTO webhook_deliveries
             (delivery_id, app_id, organization_id, event, client_id, log_position, caused_by, correlation_id,
              recorded_at, state, reason, credentials_ready, attempts, finished, finished_at, in_log)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, 0, $13, $14, FALSE)
         ON CONFLICT DO NOTHING",
        (
            delivery_id(recorded, &lane.app_id).as_str(),
            lane.app_id.as_str(),
            lane.organization_id.as_str(),
            new.event,
            client.as_str(),
            recorded.position.cast_signed(),
            recorded.event_id.as_str(),
            recorded.context.correlation_id.as_deref().or(recorded.context.request_id.as_deref()),
            recorded.recorded_at,
            state.as_str(),
            reason,
            new.credentials_ready,
            new.never_sent,
            new.never_sent.then_some(recorded.recorded_at),
        ),
    )
    .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Install {
    delivery_id: String,
    log_position: i64,
    attempts: i64,
    finished: bool,
}

async fn install_of(tx: &mut Tx, client_id: &str) -> Result<Option<Install>, Error> {
    let sql = "SELECT delivery_id, log_position, attempts, finished FROM webhook_deliveries
               WHERE client_id = $1 AND event = 'app.installed'";
    tx.fetch_optional(sql, (client_id,)).await
}

#[derive(sqlx::FromRow)]
struct Found {
    app_id: String,
    organization_id: String,
    state: String,
    attempts: i64,
    finished: bool,
    in_log: bool,
}

async fn find(tx: &mut Tx, delivery_id: &str) -> Result<Option<Found>, Error> {
    let sql = "SELECT app_id, organization_id, state, attempts, finished, in_log
               FROM webhook_deliveries WHERE delivery_id = $1";
    tx.fetch_optional(sql, (delivery_id,)).await
}

/// How a delivery ended, as the log has it.
struct Outcome {
    state: State,
    attempts: u32,
    status: Option<u16>,
    reason: Option<String>,
    at: DateTime<Utc>,
}

impl Outcome {
    fn of(event: WebhookDeliveryEvent) -> Self {
        use WebhookDeliveryEvent as E;
        match event {
            E::Delivered { attempts, status, at, .. } => {
                Self { state: State::Delivered, attempts, status: Some(status), reason: None, at }
            }
            E::Exhausted { attempts, last_failure, at, .. } => {
                Self { state: State::Exhausted, attempts, status: None, reason: Some(last_failure), at }
            }
            E::Cancelled { attempts, reason, at, .. } => {
                Self { state: State::Cancelled, attempts, status: None, reason: Some(reason), at }
            }
        }
    }
}

async fn note(tx: &mut Tx, delivery_id: &str, now: &Found, outcome: &Outcome) -> Result<(), Error> {
    // The log calls both cancelled.
    if now.state == State::Superseded.as_str() && outcome.state == State::Cancelled {
        tx.execute("UPDATE webhook_deliveries SET in_log = TRUE WHERE delivery_id = $1", (delivery_id,)).await?;
        return Ok(());
    }
    tx.execute(
        "UPDATE webhook_deliveries
         SET state = $2, reason = $3, attempts = $4, last_status = COALESCE($5, last_status), retry_at = NULL,
             finished = TRUE, finished_at = $6, in_log = TRUE
         WHERE delivery_id = $1",
        (
            delivery_id,
            outcome.state.as_str(),
            outcome.reason.as_deref(),
            now.attempts.max(i64::from(outcome.attempts)),
            outcome.status.map(i64::from),
            outcome.at,
        ),
    )
    .await?;
    Ok(())
}
