//! The page that posts an answer to a client (OAuth 2.0 Form Post Response Mode §2): by itself where scripts run, by a
//! button elsewhere.

use api::Locale;
use api::oauth::FormPost;
use askama::Template;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use crate::headers::protect_page;
use crate::locale::{Languages, texts};

/// The only script of ours; the policy allows its hash and nothing else.
const SUBMIT: &str = "document.forms[0].submit()";
/// No `form-action`: the client's own redirects after the form would fall under it.
const POLICY: &str = "default-src 'none'; script-src 'sha256-ePniVEkSivX/c7XWBGafqh8tSpiRrKiqYeqbG7N1TOE='; \
                      frame-ancestors 'none'; base-uri 'none'";

texts! {
    FormPostTexts {
        title: "One moment" / "Einen Moment",
        go_on: "Continue" / "Weiter",
    }
}

#[derive(Template)]
#[template(path = "form_post.html")]
struct FormPostPage {
    locale: Locale,
    text: &'static FormPostTexts,
    form: FormPost,
}

/// Turns an answer that carries a [`FormPost`] into that page.
pub(crate) async fn show_as_page(request: Request, next: Next) -> Response {
    let languages = Languages::of(request.headers());
    let mut response = next.run(request).await;
    let Some(form) = response.extensions_mut().remove::<FormPost>() else { return response };
    let locale = languages.best(None);
    let page = FormPostPage { locale, text: FormPostTexts::of(locale), form };
    let Ok(html) = page.render().inspect_err(|problem| tracing::error!("a form post failed: {problem}")) else {
        return response;
    };
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    parts.headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    protect_page(&mut parts.headers);
    Response::from_parts(parts, html.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_fields() {
        let fields = vec![("state".to_owned(), "\"><script>alert(1)</script>".to_owned())];
        let form = FormPost { action: "https://app.example/cb?a=1&b=2".to_owned(), fields };
        let page = FormPostPage { locale: Locale::En, text: FormPostTexts::of(Locale::En), form }.render().unwrap();
        assert!(!page.contains("<script>alert"), "{page}");
        assert!(page.contains("cb?a=1&#38;b=2"), "{page}");
        assert!(page.contains(&format!("<script>{SUBMIT}</script>")), "{page}");
    }
}
