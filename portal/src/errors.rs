//! Errors as pages, for people; programs get what the handler answered.

use api::{ErrorPage, Problem};
use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::headers::protect_page;

#[derive(Template)]
#[template(path = "error.html")]
struct Page {
    status: StatusCode,
    heading: String,
    text: String,
}

pub(crate) async fn no_such_page() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "route_not_found", "there is nothing at this address")
}

pub(crate) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address cannot be used in this way")
}

/// Turns an answer that carries an [`ErrorPage`] into that page, if the request prefers one; its status stays.
pub(crate) async fn show_as_pages(request: Request, next: Next) -> Response {
    let prefers_html = prefers_html(request.headers());
    let mut response = next.run(request).await;
    let Some(ErrorPage { heading, text }) = response.extensions_mut().remove::<ErrorPage>() else { return response };
    response.headers_mut().append(header::VARY, HeaderValue::from_static("accept"));
    if !prefers_html {
        return response;
    }
    let page = Page { status: response.status(), heading, text: sentence(&text) };
    let Ok(html) = page.render().inspect_err(|problem| tracing::error!("an error page failed: {problem}")) else {
        return response;
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    protect_page(&mut parts.headers);
    Response::from_parts(parts, html.into())
}

/// Whether HTML is named and no kind of JSON is wanted more (RFC 9110 §12.5.1).
fn prefers_html(headers: &HeaderMap) -> bool {
    let accepted: Vec<(&str, f32)> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let kind = parts.next().unwrap_or_default();
            let weight = parts.find_map(|part| part.strip_prefix("q=")).and_then(|weight| weight.parse().ok());
            (kind, weight.unwrap_or(1.0))
        })
        .collect();
    let weight = |wanted: fn(&str) -> bool| {
        accepted.iter().filter(|(kind, _)| wanted(kind)).map(|(_, weight)| *weight).fold(0.0, f32::max)
    };
    let html = weight(|kind| kind == "text/html");
    html > 0.0 && html >= weight(|kind| kind == "application/json" || kind.ends_with("+json"))
}

/// Problems are written to follow a code, in lower case; OAuth's codes and names of fields stay as they are.
fn sentence(text: &str) -> String {
    let first_word = text.split(' ').next().unwrap_or_default();
    if first_word.contains(['_', ':']) {
        return text.to_owned();
    }
    let mut letters = text.chars();
    let mut sentence: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !sentence.ends_with(['.', '!', '?']) {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefers(accept: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept.parse().unwrap());
        prefers_html(&headers)
    }

    #[test]
    fn browsers_get_pages_and_programs_do_not() {
        assert!(prefers("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(prefers("application/json;q=0.5, text/html"));
        assert!(!prefers("*/*"));
        assert!(!prefers("application/json"));
        assert!(!prefers("application/problem+json, text/html;q=0.9"));
        assert!(!prefers("text/html;q=0"));
        assert!(!prefers_html(&HeaderMap::new()));
    }

    #[test]
    fn a_problem_reads_as_a_sentence_and_a_code_as_it_is() {
        assert_eq!(sentence("there is no such app"), "There is no such app.");
        assert_eq!(sentence("invalid_client: Client not found"), "invalid_client: Client not found");
    }
}
