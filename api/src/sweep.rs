//! Takes away what has expired, every minute: rows that nothing reads any more.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::App;

const PAUSE: Duration = Duration::from_secs(60);

/// One statement per table whose rows expire; `$1` is the time. A table of yours? Add its line.
const TABLES: &[(&str, &str)] = &[
    ("tries", "DELETE FROM tries WHERE expires_at < $1"),
    ("known_devices", "DELETE FROM known_devices WHERE expires_at < $1"),
    ("pending_sign_ins", "DELETE FROM pending_sign_ins WHERE expires_at < $1"),
    ("totp_setups", "DELETE FROM totp_setups WHERE expires_at < $1"),
    ("totp_steps", "DELETE FROM totp_steps WHERE expires_at < $1"),
    ("mail_links", "DELETE FROM mail_links WHERE expires_at < $1"),
    ("authorization_requests", "DELETE FROM authorization_requests WHERE expires_at < $1"),
    ("client_assertions", "DELETE FROM client_assertions WHERE expires_at < $1"),
];

/// Sweeps until `stop`.
pub fn start(app: App, stop: CancellationToken) -> JoinHandle<()> {
    tokio::spawn(async move {
        while stop.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_some() {
            sweep(&app).await;
        }
    })
}

async fn sweep(app: &App) {
    for (table, statement) in TABLES {
        match app.views.db.execute(statement, (app.now(),)).await {
            Ok(0) => {}
            Ok(rows) => debug!("swept {rows} rows from {table}"),
            // It is tried again in a minute.
            Err(problem) => warn!("{table} could not be swept: {problem}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use database::{VIEWS, open_sqlite};

    use super::*;

    #[tokio::test]
    async fn every_statement_takes_away_what_has_expired_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let db = open_sqlite(&folder.path().join("views.sqlite"), VIEWS).await.unwrap();
        let now = chrono::Utc::now();
        for at in [now - chrono::Duration::seconds(1), now + chrono::Duration::seconds(1)] {
            let sql = "INSERT INTO totp_steps (user_id, step, expires_at) VALUES ($1, 1, $2)";
            db.execute(sql, (at.to_rfc3339(), at)).await.unwrap();
        }
        for (table, statement) in TABLES {
            let swept = db.execute(statement, (now,)).await.unwrap_or_else(|problem| panic!("{table}: {problem}"));
            assert_eq!(swept, u64::from(*table == "totp_steps"), "{table}");
        }
    }
}
