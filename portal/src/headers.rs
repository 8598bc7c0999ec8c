//! What tells browsers to distrust our pages' surroundings.

use api::App;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

const POLICY: &str =
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The policy of a page whose form may lead to the origin `target`.
pub(crate) fn policy_for_form_to(target: Option<&str>) -> HeaderValue {
    // A host may hold `;` and `,`, which would start another directive or policy.
    let is_plain = |text: &&str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b":/.-_+[]".contains(&b));
    target
        .filter(is_plain)
        .map(|target| POLICY.replace("form-action 'self'", &format!("form-action 'self' {target}")))
        .and_then(|policy| policy.try_into().ok())
        .unwrap_or(HeaderValue::from_static(POLICY))
}

/// Adds to every page what it did not say itself.
pub(crate) async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if is_html(response.headers()) {
        protect_page(response.headers_mut());
    }
    response
}

pub(crate) fn protect_page(headers: &mut HeaderMap) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Other sites learn nothing. `no-referrer` would make browsers send `Origin: null` with our own forms, which
        // then look like another site's wherever `Sec-Fetch-Site` is missing (Fetch §3.2, plain http in a LAN).
        (header::REFERRER_POLICY, "same-origin"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
}

/// Once seen, browsers use only TLS for this host (RFC 6797).
pub(crate) async fn require_tls(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if app.settings.is_https() {
        let year = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

fn is_html(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_may_lead_to_one_origin_more() {
        let policy = policy_for_form_to(Some("https://crm.example:8443"));
        assert!(policy.to_str().unwrap().contains("; form-action 'self' https://crm.example:8443; "));
    }

    #[test]
    fn a_target_cannot_add_directives() {
        for target in [None, Some("https://a;sandbox"), Some("https://a,b"), Some("https://a 'unsafe-inline'")] {
            assert_eq!(policy_for_form_to(target), POLICY);
        }
    }
}
