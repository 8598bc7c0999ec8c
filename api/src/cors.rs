//! Which scripts in browsers may call the token endpoint and its neighbours: those from the origins that an active
//! client lists (R103, R144; Fetch §3.2). Discovery and keys are open to all and say so themselves.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::App;
use crate::oauth::paths;

/// Introspection is for servers, and the authorization endpoint is navigated to.
const PATHS: [&str; 3] = [paths::TOKEN, paths::USERINFO, "/oauth/revoke"];

/// Answers preflights, and tells browsers whether the script may read what follows.
pub(crate) async fn answer(State(app): State<App>, request: Request, next: Next) -> Response {
    if !PATHS.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let allowed = match origin {
        Some(origin) if is_allowed(&app, &origin).await => Some(origin),
        _ => None,
    };
    let is_preflight =
        request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if is_preflight { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if is_preflight { allow(headers) } else { expose(headers) }
    }
    response
}

fn allow(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST"),
        (header::ACCESS_CONTROL_ALLOW_HEADERS, "authorization, content-type"),
        (header::ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn expose(headers: &mut HeaderMap) {
    let readable = HeaderValue::from_static("www-authenticate, retry-after, request-id");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, readable);
}

/// A failing database allows nothing: the browser reports an error, as it would for the request itself.
async fn is_allowed(app: &App, origin: &HeaderValue) -> bool {
    let Ok(origin) = origin.to_str() else { return false };
    if let Some(known) = app.lookups.origins.get(origin) {
        return known;
    }
    match projections::is_allowed_origin(&app.views.db, origin).await {
        Ok(allowed) => {
            app.lookups.origins.insert(origin.to_owned(), allowed);
            allowed
        }
        Err(problem) => {
            tracing::warn!("an origin cannot be looked up: {problem}");
            false
        }
    }
}
