//! Back to the client: by the query of a redirect, or by a form that the browser posts.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use url::{Url, form_urlencoded};

use super::parameters::Parameters;
use super::trust::Trusted;
use crate::{App, ErrorPage};

/// A form that the browser shall post by itself (OAuth 2.0 Form Post Response Mode §2); a layer of the portal turns it
/// into a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPost {
    /// The registered redirect URI.
    pub action: String,
    /// Names and values.
    pub fields: Vec<(String, String)>,
}

/// How the client wants its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ResponseMode {
    Query,
    FormPost,
}

impl ResponseMode {
    pub fn of(parameters: &Parameters) -> Self {
        if parameters.get("response_mode") == Some("form_post") { Self::FormPost } else { Self::Query }
    }
}

/// Back to the client, with its state as it was and who answers (RFC 9207).
pub(super) fn back(app: &App, trusted: &Trusted, answer: &[(&str, &str)]) -> Response {
    let state = trusted.state.iter().map(|state| ("state", state.as_str()));
    let issuer = [("iss", app.settings.base_url.as_str())];
    let pairs = answer.iter().copied().chain(state).chain(issuer);
    match trusted.response_mode {
        ResponseMode::Query => {
            let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
            redirect(&with_query(trusted.redirect_uri.as_str(), &query))
        }
        ResponseMode::FormPost => {
            let fields = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
            let form = FormPost { action: trusted.redirect_uri.to_string(), fields };
            let mut response = (StatusCode::OK, [(header::CACHE_CONTROL, "no-store")]).into_response();
            response.extensions_mut().insert(form);
            response
        }
    }
}

/// To another site.
pub(super) fn redirect(location: &str) -> Response {
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store")];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Adds to the query that a registered URI has; a URI without a path gets one (R050).
pub(super) fn with_query(uri: &str, query: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if url.cannot_be_a_base() => format!("{uri}?{query}"),
        Ok(mut url) => {
            let joined = url.query().filter(|own| !own.is_empty()).map(|own| format!("{own}&{query}"));
            url.set_query(Some(joined.as_deref().unwrap_or(query)));
            url.into()
        }
        Err(_) => format!("{uri}?{query}"),
    }
}

/// For the person at the browser: nothing may be sent anywhere.
pub(super) fn page(heading: &str, text: &str) -> Response {
    let page = ErrorPage { heading: heading.to_owned(), text: text.to_owned() };
    let mut response = (StatusCode::BAD_REQUEST, format!("{heading}\n{text}\n")).into_response();
    response.extensions_mut().insert(page);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_added_to_the_query_that_is_there() {
        assert_eq!(with_query("https://a.example/cb?x=1", "code=c"), "https://a.example/cb?x=1&code=c");
        assert_eq!(with_query("https://a.example", "code=c"), "https://a.example/?code=c");
        assert_eq!(with_query("com.example.app:/callback", "code=c"), "com.example.app:/callback?code=c");
    }
}
