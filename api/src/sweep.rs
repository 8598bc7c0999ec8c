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
