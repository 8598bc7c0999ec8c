//! From the log to the notices: who signed in to what, and what ends it.

use database::{Error, Tx};
use domain::ClientSettings;
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};
use serde::Deserialize;
use tokio::sync::watch;

/// Fills the tables of notices.
pub(super) struct LogoutOutbox {
    /// The position of the last event that enqueued one.
    pub(super) enqueued: watch::Sender<u64>,
}

/// Of `grant.authorized`: who signed in to which client within which session.
#[derive(Deserialize)]
struct Party {
    session_id: String,
    client_id: String,
    user_id: String,
}

impl Projection for LogoutOutbox {
    fn name(&self) -> &'static str {
        "logout_notices@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["grant", "oauth_client", "session", "user"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, event: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(self.apply_one(tx, event))
    }
}

impl LogoutOutbox {
    async fn apply_one(&self, tx: &mut Tx, event: &Recorded) -> Result<(), ApplyError> {
        let stream = event.stream_id.as_str();
        let enqueued = match event.event_type.as_str() {
            "oauth_client.provisioned" | "oauth_client.reconfigured" => {
                endpoint_changed(tx, event).await?;
                0
            }
            "grant.authorized" => {
                signed_in(tx, event).await?;
                0
            }
            "session.client_notified" => {
                ended(tx, event).await?;
                0
            }
            "session.ended" => {
                let enqueued = enqueue(tx, event, OF_SESSION).await?;
                tx.execute("DELETE FROM logout_parties WHERE session_id = $1", (stream,)).await?;
                enqueued
            }
            // Each of these ends all sessions of the user.
            "user.password_set" | "user.signed_out_everywhere" | "user.suspended" => {
                let enqueued = enqueue(tx, event, OF_USER).await?;
                tx.execute("DELETE FROM logout_parties WHERE user_id = $1", (stream,)).await?;
                enqueued
            }
            "oauth_client.deleted" => {
                let enqueued = enqueue(tx, event, OF_CLIENT).await?;
                tx.execute("DELETE FROM logout_parties WHERE client_id = $1", (stream,)).await?;
                tx.execute("DELETE FROM logout_endpoints WHERE client_id = $1", (stream,)).await?;
                enqueued
            }
            _ => 0,
        };
        if enqueued > 0 {
            self.enqueued.send_replace(event.position);
        }
        Ok(())
    }
}

async fn endpoint_changed(tx: &mut Tx, event: &Recorded) -> Result<(), ApplyError> {
    let settings = &event.payload()?["settings"];
    if settings.is_null() {
        // Made with the defaults, or changed in something else.
        return Ok(());
    }
    let settings = ClientSettings::deserialize(settings).map_err(|problem| ApplyError::Poison(problem.to_string()))?;
    let client_id = event.stream_id.as_str();
    let Some(uri) = &settings.backchannel_logout_uri else {
        tx.execute("DELETE FROM logout_endpoints WHERE client_id = $1", (client_id,)).await?;
        return Ok(());
    };
    let algorithm = settings.id_token_signed_response_alg.as_str();
    tx.execute(
        "INSERT INTO logout_endpoints (client_id, uri, algorithm) VALUES ($1, $2, $3)
         ON CONFLICT (client_id) DO UPDATE SET uri = excluded.uri, algorithm = excluded.algorithm",
        (client_id, uri.as_str(), algorithm),
    )
    .await?;
    // What could not be sent so far goes to the new address.
    tx.execute(
        "UPDATE logout_notices SET uri = $2, algorithm = $3 WHERE client_id = $1 AND finished = FALSE",
        (client_id, uri.as_str(), algorithm),
    )
    .await?;
    Ok(())
}

async fn signed_in(tx: &mut Tx, event: &Recorded) -> Result<(), ApplyError> {
    let party = Party::deserialize(event.payload()?).map_err(|problem| ApplyError::Poison(problem.to_string()))?;
    tx.execute(
        "INSERT INTO logout_parties (session_id, client_id, user_id, authorized_at) VALUES ($1, $2, $3, $4)
         ON CONFLICT (session_id, client_id) DO UPDATE SET authorized_at = excluded.authorized_at",
        (party.session_id.as_str(), party.client_id.as_str(), party.user_id.as_str(), event.recorded_at),
    )
    .await?;
    Ok(())
}

/// As the log has it; the worker has usually noted it before.
async fn ended(tx: &mut Tx, event: &Recorded) -> Result<(), ApplyError> {
    let payload = event.payload()?;
    tx.execute(
        "UPDATE logout_notices SET finished = TRUE, outcome = $3 WHERE session_id = $1 AND client_id = $2",
        (event.stream_id.as_str(), payload["client_id"].as_str(), payload["outcome"].as_str()),
    )
    .await?;
    Ok(())
}

/// One statement each, because a column's name cannot be bound.
const OF_SESSION: &str = "INSERT INTO logout_notices (session_id, client_id, user_id, uri, algorithm, caused_by,
         correlation_id, enqueued_at, due_at, attempts, fence, finished)
     SELECT p.session_id, p.client_id, p.user_id, e.uri, e.algorithm, $2, $3, $4, $4, 0, 0, FALSE
     FROM logout_parties p JOIN logout_endpoints e ON e.client_id = p.client_id WHERE p.session_id = $1
     ON CONFLICT (session_id, client_id) DO NOTHING";
const OF_USER: &str = "INSERT INTO logout_notices (session_id, client_id, user_id, uri, algorithm, caused_by,
         correlation_id, enqueued_at, due_at, attempts, fence, finished)
     SELECT p.session_id, p.client_id, p.user_id, e.uri, e.algorithm, $2, $3, $4, $4, 0, 0, FALSE
     FROM logout_parties p JOIN logout_endpoints e ON e.client_id = p.client_id WHERE p.user_id = $1
     ON CONFLICT (session_id, client_id) DO NOTHING";
const OF_CLIENT: &str = "INSERT INTO logout_notices (session_id, client_id, user_id, uri, algorithm, caused_by,
         correlation_id, enqueued_at, due_at, attempts, fence, finished)
     SELECT p.session_id, p.client_id, p.user_id, e.uri, e.algorithm, $2, $3, $4, $4, 0, 0, FALSE
     FROM logout_parties p JOIN logout_endpoints e ON e.client_id = p.client_id WHERE p.client_id = $1
     ON CONFLICT (session_id, client_id) DO NOTHING";

async fn enqueue(tx: &mut Tx, event: &Recorded, of: &'static str) -> Result<u64, Error> {
    let correlation_id = event.context.correlation_id.as_deref().or(event.context.request_id.as_deref());
    tx.execute(of, (event.stream_id.as_str(), event.event_id.as_str(), correlation_id, event.recorded_at)).await
}
