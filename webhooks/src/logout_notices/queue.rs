//! The queue of notices: claimed with a lease, so that several nodes work and a crash loses nothing.

use chrono::{DateTime, Utc};
use database::{Db, Error};

/// A claimed notice, with this attempt counted.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(super) struct Notice {
    pub(super) session_id: String,
    pub(super) client_id: String,
    pub(super) user_id: String,
    pub(super) uri: String,
    pub(super) algorithm: String,
    pub(super) caused_by: String,
    pub(super) correlation_id: Option<String>,
    pub(super) attempts: i64,
    fence: i64,
}

/// The clients that have something due.
pub(super) async fn due_clients(db: &Db, now: DateTime<Utc>) -> Result<Vec<String>, Error> {
    let sql = "SELECT DISTINCT client_id FROM logout_notices WHERE finished = FALSE AND due_at <= $1";
    let rows: Vec<(String,)> = db.fetch_all(sql, (now,)).await?;
    Ok(rows.into_iter().map(|(client_id,)| client_id).collect())
}

/// Claims up to `limit` due notices of a client until `until`.
pub(super) async fn claim(
    db: &Db,
    client_id: &str,
    now: DateTime<Utc>,
    until: DateTime<Utc>,
    limit: usize,
) -> Result<Vec<Notice>, Error> {
    let mut tx = db.begin().await?;
    // Asked twice on purpose: PostgreSQL looks at the outer condition again when another node was faster.
    let claimed = tx
        .fetch_all(
            "UPDATE logout_notices SET due_at = $3, attempts = attempts + 1, fence = fence + 1, reason = NULL
             WHERE client_id = $1 AND finished = FALSE AND due_at <= $2 AND session_id IN
                 (SELECT n.session_id FROM logout_notices n
                  WHERE n.client_id = $1 AND n.finished = FALSE AND n.due_at <= $2 ORDER BY n.due_at LIMIT $4)
             RETURNING session_id, client_id, user_id, uri, algorithm, caused_by, correlation_id, attempts, fence",
            (client_id, now, until, i64::try_from(limit).unwrap_or(i64::MAX)),
        )
        .await?;
    tx.commit().await?;
    Ok(claimed)
}

/// Tries again then; nothing happens if the claim was lost.
pub(super) async fn retry(db: &Db, notice: &Notice, at: DateTime<Utc>, reason: &str) -> Result<(), Error> {
    let sql = "UPDATE logout_notices SET due_at = $4, reason = $5
               WHERE session_id = $1 AND client_id = $2 AND fence = $3 AND finished = FALSE";
    let Notice { session_id, client_id, fence, .. } = notice;
    db.execute(sql, (session_id.as_str(), client_id.as_str(), *fence, at, reason)).await?;
    Ok(())
}

/// Holds a claim for longer; nothing happens if it was lost.
pub(super) async fn extend(db: &Db, notice: &Notice, until: DateTime<Utc>) -> Result<(), Error> {
    let sql = "UPDATE logout_notices SET due_at = $4
               WHERE session_id = $1 AND client_id = $2 AND fence = $3 AND finished = FALSE";
    let Notice { session_id, client_id, fence, .. } = notice;
    db.execute(sql, (session_id.as_str(), client_id.as_str(), *fence, until)).await?;
    Ok(())
}

/// Notes how it ended, which the log knows already.
pub(super) async fn finish(db: &Db, notice: &Notice, outcome: &str, reason: Option<&str>) -> Result<(), Error> {
    let sql = "UPDATE logout_notices SET finished = TRUE, outcome = $3, reason = $4
               WHERE session_id = $1 AND client_id = $2";
    db.execute(sql, (notice.session_id.as_str(), notice.client_id.as_str(), outcome, reason)).await?;
    Ok(())
}

/// Takes all claims from workers that are known to be gone: what waits for another try says why.
pub(super) async fn release_all(db: &Db, now: DateTime<Utc>) -> Result<(), Error> {
    let sql = "UPDATE logout_notices SET due_at = $1 WHERE finished = FALSE AND attempts > 0 AND reason IS NULL";
    db.execute(sql, (now,)).await?;
    Ok(())
}

/// Forgets what is older than `then`.
pub(super) async fn forget(db: &Db, then: DateTime<Utc>) -> Result<(), Error> {
    db.execute("DELETE FROM logout_parties WHERE authorized_at < $1", (then,)).await?;
    db.execute("DELETE FROM logout_notices WHERE finished = TRUE AND enqueued_at < $1", (then,)).await?;
    Ok(())
}
