//! How a request arrived: its id, from where, with what; the start of every context.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;
use eventstore::{Actor, Context, Origin};

use crate::App;
use crate::problem::request_id;

/// A request's circumstances.
#[derive(Debug, Clone)]
pub struct Arrival {
    /// Unique to it; answered as `Request-Id`.
    pub request_id: String,
    /// The trace that it belongs to (W3C Trace Context §3.2), if the caller named one.
    pub trace_id: Option<String>,
    /// From where, with what.
    pub origin: Origin,
}

impl Arrival {
    fn of(parts: &Parts, trusted_proxies: usize) -> Self {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip());
        let ip = before_proxies(&parts.headers, trusted_proxies).or(peer).map(|ip| ip.to_string());
        let user_agent = text(&parts.headers, header::USER_AGENT.as_str()).map(|text| text.chars().take(300).collect());
        let trace_id = text(&parts.headers, "traceparent")
            .and_then(|text| text.split('-').nth(1))
            .filter(|id| id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .map(str::to_owned);
        Self { request_id: request_id(), trace_id, origin: Origin { ip, user_agent } }
    }

    /// The context of what `actor` does by this request, in `tenant` alone if one is given.
    #[must_use]
    pub fn context(&self, actor: Actor, tenant: Option<&str>) -> Context {
        Context {
            actor,
            origin: Some(self.origin.clone()),
            request_id: Some(self.request_id.clone()),
            correlation_id: Some(self.trace_id.clone().unwrap_or_else(|| self.request_id.clone())),
            tenant: tenant.map(str::to_owned),
            ..Context::default()
        }
    }
}

/// The address that the outermost proxy of ours saw: each adds one to the right of `X-Forwarded-For`, and what stands
/// further left is what the caller says.
fn before_proxies(headers: &HeaderMap, trusted_proxies: usize) -> Option<IpAddr> {
    let lines = headers.get_all("x-forwarded-for").iter().filter_map(|line| line.to_str().ok());
    let addresses: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    let place = addresses.len().checked_sub(trusted_proxies).filter(|_| trusted_proxies > 0)?;
    addresses.get(place)?.parse().ok()
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

impl<S: Send + Sync> FromRequestParts<S> for Arrival {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        if let Some(arrival) = parts.extensions.get::<Self>() {
            return Ok(arrival.clone());
        }
        let arrival = Self::of(parts, 0);
        parts.extensions.insert(arrival.clone());
        Ok(arrival)
    }
}

/// Gives each request its id, answers it as `Request-Id`, and logs what became of the request: never its query,
/// which may hold codes.
pub async fn announce(State(app): State<App>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let arrival = Arrival::of(&parts, app.settings.trusted_proxies);
    parts.extensions.insert(arrival.clone());
    let (method, path, began) = (parts.method.clone(), logged(parts.uri.path()).to_owned(), Instant::now());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let (status, millis) = (response.status().as_u16(), began.elapsed().as_millis());
    tracing::info!(request_id = arrival.request_id, "{method} {path} → {status} in {millis} ms");
    if let Ok(id) = HeaderValue::from_str(&arrival.request_id) {
        response.headers_mut().insert("request-id", id);
    }
    response
}

/// A path without the handle of an authorization request, which is for its browser alone.
fn logged(path: &str) -> &str {
    if path.starts_with("/oauth/authorize/") { "/oauth/authorize/…" } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_our_own_proxies_saw_counts() {
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-for", HeaderValue::from_static("10.9.9.9, 192.0.2.1"));
        headers.append("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        let behind = |proxies| before_proxies(&headers, proxies).map(|ip| ip.to_string());
        assert_eq!(behind(0), None);
        assert_eq!(behind(1).as_deref(), Some("10.0.0.1"));
        assert_eq!(behind(2).as_deref(), Some("192.0.2.1"));
        assert_eq!(behind(4), None);
        assert_eq!(before_proxies(&HeaderMap::new(), 1), None);
    }
}
