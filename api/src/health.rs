//! Whether this node lives and can serve, and the clock of a development server.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::post;
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{App, Problem};

/// So many events behind, a node still counts as ready.
const TOLERATED_LAG: u64 = 10_000;

/// The process answers.
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// The database answers and the read models are not far behind the log.
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let head = app.store.tail().head();
    match app.views.checkpoints().await {
        Ok(checkpoints) => {
            let late = checkpoints.iter().any(|(_, position)| position + TOLERATED_LAG < head);
            let status = if late { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
            let positions: serde_json::Map<_, _> =
                checkpoints.into_iter().map(|(name, position)| (name.to_owned(), position.into())).collect();
            // Parked streams do not stop the node from serving, but somebody must look after them.
            let parked = app.views.parked_streams().await.unwrap_or_default();
            (status, Json(json!({"ready": !late, "head": head, "read_models": positions, "parked_streams": parked})))
        }
        Err(problem) => {
            tracing::error!("not ready: {problem}");
            (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"ready": false, "problem": "the database does not answer"})))
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u32,
}

/// `POST /dev/clock`, which only a server with `--dev` has.
pub(crate) fn development(app: &App) -> Router<App> {
    if !app.settings.dev {
        return Router::new();
    }
    Router::new().route("/dev/clock", post(advance_clock))
}

async fn advance_clock(State(app): State<App>, Json(body): Json<Advance>) -> Result<Json<Value>, Problem> {
    app.store.clock().advance(body.advance_seconds);
    Ok(Json(json!({"now": app.now()})))
}
