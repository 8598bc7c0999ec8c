//! Sessions: where a person is signed in, since when, and with what browser.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Event, SessionEvent, UserId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::{decode, from_json, json};

pub(crate) struct Sessions;

impl Projection for Sessions {
    fn name(&self) -> &'static str {
        "sessions@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["session"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::Session(event) => changed(tx, recorded, event).await,
                _ => Ok(()),
            }
        })
    }
}

async fn changed(tx: &mut Tx, recorded: &Recorded, event: SessionEvent) -> Result<(), ApplyError> {
    let session = recorded.stream_id.as_str();
    match event {
        SessionEvent::Started { user_id, authenticated_at, expires_at, methods, session_epoch, .. } => {
            let origin = recorded.context.origin.as_ref();
            tx.execute(
                "INSERT INTO sessions
                     (session_id, user_id, session_epoch, methods, ip, user_agent, started_at, expires_at)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
                (
                    session,
                    user_id.as_str(),
                    session_epoch.cast_signed(),
                    json(&methods)?,
                    origin.and_then(|origin| origin.ip.as_deref()),
                    origin.and_then(|origin| origin.user_agent.as_deref()),
                    authenticated_at,
                    expires_at,
                ),
            )
            .await?;
        }
        SessionEvent::Ended { .. } => {
            let sql = "UPDATE sessions SET ended_at = $2 WHERE session_id = $1";
            tx.execute(sql, (session, recorded.recorded_at)).await?;
        }
        SessionEvent::Refused { .. } | SessionEvent::ClientNotified { .. } => {}
    }
    Ok(())
}

/// A place where somebody is signed in.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct SessionRow {
    /// `session_…`
    pub session_id: String,
    methods: String,
    /// From where; `None` once erased.
    pub ip: Option<String>,
    /// With what; `None` once erased.
    pub user_agent: Option<String>,
    /// Since when.
    pub started_at: DateTime<Utc>,
    /// Until when.
    pub expires_at: DateTime<Utc>,
}

impl SessionRow {
    /// How the person proved who they are (RFC 8176).
    #[must_use]
    pub fn methods(&self) -> Vec<String> {
        from_json(&self.methods)
    }
}

/// The open sessions of a user in the current epoch, latest first; `before` is end and id of the last row seen.
///
/// # Errors
/// When the database fails.
pub async fn sessions_of(
    db: &Db,
    user: &UserId,
    epoch: u64,
    now: DateTime<Utc>,
    before: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> Result<Vec<SessionRow>, Error> {
    let epoch = epoch.cast_signed();
    match before {
        None => {
            db.fetch_all(
                "SELECT session_id, methods, ip, user_agent, started_at, expires_at FROM sessions
                 WHERE user_id = $1 AND session_epoch = $2 AND expires_at > $3 AND ended_at IS NULL
                 ORDER BY expires_at DESC, session_id DESC LIMIT $4",
                (user.as_str(), epoch, now, limit),
            )
            .await
        }
        Some((end, session)) => {
            db.fetch_all(
                "SELECT session_id, methods, ip, user_agent, started_at, expires_at FROM sessions
                 WHERE user_id = $1 AND session_epoch = $2 AND expires_at > $3 AND ended_at IS NULL
                   AND (expires_at, session_id) < ($4, $5)
                 ORDER BY expires_at DESC, session_id DESC LIMIT $6",
                (user.as_str(), epoch, now, end, session, limit),
            )
            .await
        }
    }
}
