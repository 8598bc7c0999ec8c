//! `/v1/keys`: the signing keys, for whoever operates the instance.

use axum::Json;
use axum::extract::State;
use axum::response::IntoResponse;
use domain::{InstanceEvent, SigningAlgorithm};
use serde::Deserialize;
use serde_json::{Value, json};

use super::rotation::{Rotation, rotate, shown};
use crate::caller::Body;
use crate::{App, Caller, Problem};

/// `POST /v1/keys/rotate`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rotate {
    algorithm: Option<String>,
    #[serde(default)]
    now: bool,
    #[serde(default)]
    revoke: bool,
}

/// Lists the keys (`GET /v1/keys`).
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Value>, Problem> {
    caller.operating()?;
    // Another node may have rotated a moment ago.
    app.keys.refresh().await?;
    Ok(Json(json!({"keys": shown(&app)})))
}

/// Replaces keys (`POST /v1/keys/rotate`).
pub(crate) async fn rotate_keys(
    State(app): State<App>,
    caller: Caller,
    body: Body<Rotate>,
) -> Result<impl IntoResponse, Problem> {
    let context = caller.operating()?;
    let idempotency = caller.idempotency(&body);
    let Rotate { algorithm, now, revoke } = body.value;
    let algorithm = algorithm.map(|text| text.parse::<SigningAlgorithm>()).transpose();
    let algorithm =
        algorithm.map_err(|wrong| Problem::bad_field("algorithm", format!("algorithm {}", wrong.reason)))?;
    let receipt = rotate(&app, Rotation { algorithm, now, revoke }, &context, idempotency).await?;
    let added = receipt.events.iter().filter_map(|event| match event {
        InstanceEvent::SigningKeyAdded { key, .. } => Some(key.kid.as_str()),
        _ => None,
    });
    let answer = json!({"added": added.collect::<Vec<_>>(), "keys": shown(&app)});
    Ok(([("optare-position", receipt.position.to_string())], Json(answer)))
}
