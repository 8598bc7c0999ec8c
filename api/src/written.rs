//! How writes are answered.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::Value;

use crate::{App, Problem};

/// Where a write stands: in the log, and in its stream.
#[derive(Debug, Clone, Copy)]
pub struct Written {
    /// A read model that has seen this position shows it.
    pub position: u64,
    /// What was written now has this version.
    pub version: u64,
}

impl Written {
    /// Of a receipt.
    pub(crate) fn by<A: cqrs_es::Aggregate>(receipt: &eventstore::Receipt<A>) -> Self {
        Self { position: receipt.position, version: receipt.version }
    }

    /// Answers once the read models show it, with `Optare-Position` and `ETag`.
    pub(crate) async fn answer(self, app: &App, status: StatusCode, body: Value) -> Result<Response, Problem> {
        app.shown(self.position).await?;
        Ok((status, self.headers(), Json(body)).into_response())
    }

    /// Answers without a body once the read models show it.
    pub(crate) async fn answer_empty(self, app: &App) -> Result<Response, Problem> {
        app.shown(self.position).await?;
        Ok((StatusCode::NO_CONTENT, self.headers()).into_response())
    }

    fn headers(self) -> [(&'static str, String); 2] {
        [("optare-position", self.position.to_string()), ("etag", format!("\"{}\"", self.version))]
    }
}
