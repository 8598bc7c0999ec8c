//! Lanes: per app and organization one delivery at a time, in the order of the log, by a lease in the database.
//!
//! Every function that changes a delivery locks the lane's row first, so the outbox and the workers never meet.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};

use crate::deliveries::State;
use crate::sender::{Attempt, Failure};

const SUPERSEDED: &str =
    "the app was uninstalled before this message was acknowledged; its credentials ended with that";

/// An app and an organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lane {
    pub(crate) app_id: String,
    pub(crate) organization_id: String,
}

/// A delivery that has not ended, with where its app takes webhooks now.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct Delivery {
    pub(crate) delivery_id: String,
    pub(crate) app_id: String,
    pub(crate) organization_id: String,
    pub(crate) event: String,
    pub(crate) client_id: String,
    pub(crate) log_position: i64,
    pub(crate) caused_by: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) first_attempt_at: Option<DateTime<Utc>>,
    state: String,
    reason: Option<String>,
    credentials_ready: bool,
    superseded_by: Option<i64>,
    retry_at: Option<DateTime<Utc>>,
    url: Option<String>,
    disabled_reason: Option<String>,
}

/// A leased lane: its first delivery may be sent until the lease ends.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) lane: Lane,
    /// With this attempt counted.
    pub(crate) delivery: Delivery,
    pub(crate) url: String,
    pub(crate) leased_until: DateTime<Utc>,
    fence: i64,
}

/// What became of a claim.
#[derive(Debug)]
pub(crate) enum Ending {
    /// It is over, and the log knows.
    Over { state: State, reason: Option<String> },
    /// This attempt failed.
    Again { at: DateTime<Utc>, reason: String },
    /// There was no attempt; it is looked at again then.
    NotSent { state: State, at: DateTime<Utc>, reason: String },
}

/// What a lane has to do next.
enum Next {
    Nothing,
    Wait { delivery_id: String, state: String, reason: Option<String>, until: Option<DateTime<Utc>> },
    Send(Box<Delivery>, String),
}

/// Locks a lane, made if it is new, and answers whether a worker has it.
pub(crate) async fn lock(tx: &mut Tx, lane: &Lane) -> Result<bool, Error> {
    let row: Option<(bool,)> = tx
        .fetch_optional(
            "INSERT INTO webhook_lanes (app_id, organization_id, leased, fence) VALUES ($1, $2, FALSE, 0)
             ON CONFLICT (app_id, organization_id) DO UPDATE SET fence = webhook_lanes.fence
             RETURNING leased",
            (lane.app_id.as_str(), lane.organization_id.as_str()),
        )
        .await?;
    Ok(row.is_some_and(|(leased,)| leased))
}

/// Finds out what a locked lane that nobody has leased does next, and notes it; answers a delivery that became due.
pub(crate) async fn settle(tx: &mut Tx, lane: &Lane, at: DateTime<Utc>) -> Result<Option<Delivery>, Error> {
    match next(tx, lane, at).await? {
        Next::Send(delivery, _) => {
            let sql = "UPDATE webhook_deliveries SET state = 'due', reason = 'the next free worker sends it'
                       WHERE delivery_id = $1";
            tx.execute(sql, (delivery.delivery_id.as_str(),)).await?;
            release(tx, lane, Some(at)).await?;
            Ok(Some(*delivery))
        }
        other => {
            rest(tx, lane, other).await?;
            Ok(None)
        }
    }
}

/// The first delivery that has not ended decides; one that was superseded ends here.
async fn next(tx: &mut Tx, lane: &Lane, at: DateTime<Utc>) -> Result<Next, Error> {
    let delivery = loop {
        let Some(first) = first_unfinished(tx, lane).await? else { return Ok(Next::Nothing) };
        if first.superseded_by.is_none() {
            break first;
        }
        let sql = "UPDATE webhook_deliveries SET state = 'superseded', reason = $2, retry_at = NULL,
                          finished = TRUE, finished_at = $3
                   WHERE delivery_id = $1";
        tx.execute(sql, (first.delivery_id.as_str(), SUPERSEDED, at)).await?;
    };
    let held = |reason: String| (State::Held, Some(reason));
    let (state, reason) = match (&delivery.url, &delivery.disabled_reason) {
        (None, _) => held("the app has no webhook URL; give it one and this is sent".to_owned()),
        (Some(_), Some(reason)) => held(format!("{reason}; give the app a new webhook URL and this is sent")),
        (Some(_), None) if !delivery.credentials_ready => {
            (State::Waiting, Some("the credentials that it carries are being made".to_owned()))
        }
        (Some(url), None) => match delivery.retry_at.filter(|retry_at| *retry_at > at) {
            None => return Ok(Next::Send(Box::new(delivery.clone()), url.clone())),
            until => {
                let Delivery { delivery_id, state, reason, .. } = delivery;
                return Ok(Next::Wait { delivery_id, state, reason, until });
            }
        },
    };
    Ok(Next::Wait { delivery_id: delivery.delivery_id, state: state.as_str().to_owned(), reason, until: None })
}

async fn first_unfinished(tx: &mut Tx, lane: &Lane) -> Result<Option<Delivery>, Error> {
    tx.fetch_optional(
        "SELECT d.delivery_id, d.app_id, d.organization_id, d.event, d.client_id, d.log_position, d.caused_by,
                d.correlation_id, d.state, d.reason, d.credentials_ready, d.superseded_by, d.attempts,
                d.first_attempt_at, d.retry_at, e.url, e.disabled_reason
         FROM webhook_deliveries d LEFT JOIN webhook_endpoints e ON e.app_id = d.app_id
         WHERE d.app_id = $1 AND d.organization_id = $2 AND d.finished = FALSE
         ORDER BY d.log_position LIMIT 1",
        (lane.app_id.as_str(), lane.organization_id.as_str()),
    )
    .await
}

/// Notes what a lane waits for, and that nobody has it.
async fn rest(tx: &mut Tx, lane: &Lane, next: Next) -> Result<(), Error> {
    let Next::Wait { delivery_id, state, reason, until } = next else { return release(tx, lane, None).await };
    let sql = "UPDATE webhook_deliveries SET state = $2, reason = $3 WHERE delivery_id = $1";
    tx.execute(sql, (delivery_id, state, reason)).await?;
    release(tx, lane, until).await
}

async fn release(tx: &mut Tx, lane: &Lane, due_at: Option<DateTime<Utc>>) -> Result<(), Error> {
    let sql = "UPDATE webhook_lanes SET leased = FALSE, due_at = $3 WHERE app_id = $1 AND organization_id = $2";
    tx.execute(sql, (lane.app_id.as_str(), lane.organization_id.as_str(), due_at)).await?;
    Ok(())
}

/// Leases a lane if it is due and its first delivery can be sent.
pub(crate) async fn claim(
    db: &Db,
    lane: &Lane,
    now: DateTime<Utc>,
    leased_until: DateTime<Utc>,
) -> Result<Option<Claim>, Error> {
    let mut tx = db.begin().await?;
    let leased: Option<(i64,)> = tx
        .fetch_optional(
            "UPDATE webhook_lanes SET leased = TRUE, fence = fence + 1, due_at = $4
             WHERE app_id = $1 AND organization_id = $2 AND due_at <= $3 RETURNING fence",
            (lane.app_id.as_str(), lane.organization_id.as_str(), now, leased_until),
        )
        .await?;
    let Some((fence,)) = leased else { return Ok(None) };
    let claim = match next(&mut tx, lane, now).await? {
        Next::Send(delivery, url) => {
            note_lost_attempt(&mut tx, &delivery, &url, now).await?;
            let sql = "UPDATE webhook_deliveries
                       SET state = 'leased', reason = NULL, retry_at = NULL, attempts = attempts + 1,
                           first_attempt_at = COALESCE(first_attempt_at, $2)
                       WHERE delivery_id = $1";
            tx.execute(sql, (delivery.delivery_id.as_str(), now)).await?;
            let first_attempt_at = delivery.first_attempt_at.or(Some(now));
            let delivery = Delivery { attempts: delivery.attempts + 1, first_attempt_at, ..*delivery };
            Some(Claim { lane: lane.clone(), delivery, url, leased_until, fence })
        }
        other => {
            rest(&mut tx, lane, other).await?;
            None
        }
    };
    tx.commit().await?;
    Ok(claim)
}

/// A lease that ran out: its worker may have sent the message, or not.
async fn note_lost_attempt(tx: &mut Tx, delivery: &Delivery, url: &str, now: DateTime<Utc>) -> Result<(), Error> {
    if delivery.state != State::Leased.as_str() || delivery.attempts == 0 {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO webhook_attempts (delivery_id, attempt, url, started_at, latency_ms, failure, detail)
         VALUES ($1, $2, $3, $4, 0, 'unknown', 'the worker ended before it noted how this attempt went')
         ON CONFLICT (delivery_id, attempt) DO NOTHING",
        (delivery.delivery_id.as_str(), delivery.attempts, url, now),
    )
    .await?;
    Ok(())
}

/// Holds a claim for longer; nothing happens if it was lost.
pub(crate) async fn extend(db: &Db, claim: &Claim, until: DateTime<Utc>) -> Result<(), Error> {
    let sql = "UPDATE webhook_lanes SET due_at = $4
               WHERE app_id = $1 AND organization_id = $2 AND fence = $3 AND leased = TRUE";
    let lane = &claim.lane;
    db.execute(sql, (lane.app_id.as_str(), lane.organization_id.as_str(), claim.fence, until)).await?;
    Ok(())
}

/// Notes how a claim ended and lets its lane go on; what others did meanwhile, because the lease was lost or the
/// outbox was faster, stays.
pub(crate) async fn finish(
    db: &Db,
    claim: &Claim,
    ending: &Ending,
    attempt: Option<&Attempt>,
    now: DateTime<Utc>,
) -> Result<(), Error> {
    let (lane, delivery) = (&claim.lane, &claim.delivery);
    let mut tx = db.begin().await?;
    let sql = "UPDATE webhook_lanes SET leased = FALSE, due_at = NULL
               WHERE app_id = $1 AND organization_id = $2 AND fence = $3 AND leased = TRUE";
    let held = tx.execute(sql, (lane.app_id.as_str(), lane.organization_id.as_str(), claim.fence)).await? == 1;
    if let Some(attempt) = attempt {
        note_attempt(&mut tx, claim, attempt).await?;
    }
    if held {
        note_ending(&mut tx, &delivery.delivery_id, ending, now).await?;
        settle(&mut tx, lane, now).await?;
    }
    tx.commit().await
}

async fn note_ending(tx: &mut Tx, delivery_id: &str, ending: &Ending, now: DateTime<Utc>) -> Result<(), Error> {
    match ending {
        Ending::Over { state, reason } => {
            let sql = "UPDATE webhook_deliveries SET state = $2, reason = $3, retry_at = NULL, finished = TRUE,
                              finished_at = $4, in_log = TRUE
                       WHERE delivery_id = $1";
            tx.execute(sql, (delivery_id, state.as_str(), reason.as_deref(), now)).await?;
        }
        Ending::Again { at, reason } => {
            let sql = "UPDATE webhook_deliveries SET state = 'retry_wait', reason = $2, retry_at = $3
                       WHERE delivery_id = $1";
            tx.execute(sql, (delivery_id, reason.as_str(), *at)).await?;
        }
        Ending::NotSent { state, at, reason } => {
            let sql = "UPDATE webhook_deliveries SET state = $2, reason = $3, retry_at = $4, attempts = attempts - 1,
                              first_attempt_at = CASE WHEN attempts <= 1 THEN NULL ELSE first_attempt_at END
                       WHERE delivery_id = $1";
            tx.execute(sql, (delivery_id, state.as_str(), reason.as_str(), *at)).await?;
        }
    }
    Ok(())
}

async fn note_attempt(tx: &mut Tx, claim: &Claim, attempt: &Attempt) -> Result<(), Error> {
    let id = claim.delivery.delivery_id.as_str();
    let (status, failure) = (attempt.status.map(i64::from), attempt.failure.map(Failure::as_str));
    tx.execute(
        "INSERT INTO webhook_attempts
             (delivery_id, attempt, url, started_at, latency_ms, status, failure, detail, response)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (delivery_id, attempt) DO NOTHING",
        (
            id,
            claim.delivery.attempts,
            claim.url.as_str(),
            attempt.started_at,
            attempt.latency_ms,
            status,
            failure,
            attempt.detail.as_deref(),
            attempt.response.as_deref(),
        ),
    )
    .await?;
    let sql = "UPDATE webhook_deliveries SET last_status = $2, last_failure = $3 WHERE delivery_id = $1";
    tx.execute(sql, (id, status, attempt.detail.as_deref())).await?;
    Ok(())
}

/// The apps that have due lanes.
pub(crate) async fn due_apps(db: &Db, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
    let rows: Vec<(String,)> =
        db.fetch_all("SELECT DISTINCT app_id FROM webhook_lanes WHERE due_at <= $1", (now,)).await?;
    Ok(rows.into_iter().map(|(app_id,)| app_id).collect())
}

/// Some due lanes of an app, those that wait longest first.
pub(crate) async fn due_lanes(db: &Db, app_id: &str, now: DateTime<Utc>, limit: usize) -> Result<Vec<Lane>, Error> {
    let sql = "SELECT organization_id FROM webhook_lanes WHERE app_id = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3";
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<(String,)> = db.fetch_all(sql, (app_id, now, limit)).await?;
    let lane = |(organization_id,)| Lane { app_id: app_id.to_owned(), organization_id };
    Ok(rows.into_iter().map(lane).collect())
}

/// Whom a delivery goes to.
pub(crate) async fn app_of(db: &Db, delivery_id: &str) -> Result<Option<String>, Error> {
    let sql = "SELECT app_id FROM webhook_deliveries WHERE delivery_id = $1";
    let row: Option<(String,)> = db.fetch_optional(sql, (delivery_id,)).await?;
    Ok(row.map(|(app_id,)| app_id))
}

/// Takes all lanes from workers that are known to be gone.
pub(crate) async fn release_all(db: &Db, now: DateTime<Utc>) -> Result<u64, Error> {
    db.execute("UPDATE webhook_lanes SET due_at = $1 WHERE leased = TRUE", (now,)).await
}

/// The receiver does not want any more; only if it is still the one that said so.
pub(crate) async fn disable_endpoint(db: &Db, app_id: &str, url: &str, reason: &str) -> Result<(), Error> {
    let sql = "UPDATE webhook_endpoints SET disabled_reason = $3 WHERE app_id = $1 AND url = $2";
    db.execute(sql, (app_id, url, reason)).await?;
    Ok(())
}

/// A delivery that ended in the database, which the log does not know of yet.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct Untold {
    pub(crate) delivery_id: String,
    pub(crate) app_id: String,
    pub(crate) organization_id: String,
    pub(crate) event: String,
    pub(crate) log_position: i64,
    pub(crate) caused_by: String,
    pub(crate) correlation_id: Option<String>,
    pub(crate) attempts: i64,
    pub(crate) reason: Option<String>,
}

/// Some deliveries that were cancelled or superseded and are not in the log as such.
pub(crate) async fn untold(db: &Db, limit: i64) -> Result<Vec<Untold>, Error> {
    let sql = "SELECT delivery_id, app_id, organization_id, event, log_position, caused_by, correlation_id, attempts,
                      reason
               FROM webhook_deliveries WHERE finished = TRUE AND in_log = FALSE ORDER BY log_position LIMIT $1";
    db.fetch_all(sql, (limit,)).await
}

/// The log knows now.
pub(crate) async fn told(db: &Db, delivery_id: &str) -> Result<(), Error> {
    db.execute("UPDATE webhook_deliveries SET in_log = TRUE WHERE delivery_id = $1", (delivery_id,)).await?;
    Ok(())
}
