//! Forms count only when our own pages sent them.

use api::{App, Problem};
use axum::response::{IntoResponse, Response};
use tower_http::csrf::{CsrfLayer, ProtectionError};
use url::Url;

/// Refuses what another site's page submits, by `Sec-Fetch-Site` or `Origin`; what sends neither is no browser and
/// has no cookies of anybody.
pub(crate) fn from_our_own_pages(app: &App) -> CsrfLayer<fn(ProtectionError) -> Response> {
    let layer = CsrfLayer::new().with_rejection_response(refuse as fn(_) -> _);
    // Also when a proxy rewrites `Host`.
    let origin = Url::parse(&app.settings.base_url).map(|url| url.origin().ascii_serialization());
    match origin.ok().map(|origin| layer.clone().add_trusted_origin(origin)) {
        Some(Ok(trusting)) => trusting,
        _ => layer,
    }
}

fn refuse(_: ProtectionError) -> Response {
    let detail = "this form was sent from another site; nothing was done. Open the page here and try again";
    Problem::new(axum::http::StatusCode::FORBIDDEN, "cross_origin_form", detail).into_response()
}
