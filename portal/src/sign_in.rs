//! Signing in and out.

use api::fields::{Form, Query};
use api::oauth::authorize::asked_by;
use api::sign_in::{Attempt, Visitor};
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;
use url::form_urlencoded;

use crate::headers::policy_for_form_to;
use crate::page::html;

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    continue_to: &'a str,
    /// Whose page follows, if it is not ours.
    destination: Option<&'a str>,
    email: &'a str,
    refused: bool,
    signed_out: bool,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(rename = "continue")]
    continue_to: Option<String>,
    done: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    email: String,
    password: String,
    #[serde(rename = "continue")]
    continue_to: Option<String>,
}

pub(crate) async fn show(
    State(app): State<App>,
    Visitor(session): Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(asked.continue_to.as_deref());
    // The authorization endpoint sends those who are signed in only to sign in again (`prompt=login`, `max_age`).
    if session.is_some() && !continue_to.is_authorization() {
        return Ok(Redirect::to(continue_to.as_str()).into_response());
    }
    let signed_out = asked.done.as_deref() == Some("signed-out");
    page(&app, &continue_to, "", false, signed_out).await
}

pub(crate) async fn submit(
    State(app): State<App>,
    arrival: Arrival,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(form.continue_to.as_deref());
    match api::sign_in::sign_in(&app, form.email.trim(), &form.password, &arrival).await? {
        Attempt::Admitted(cookie, _) => {
            Ok(([(header::SET_COOKIE, cookie)], Redirect::to(continue_to.as_str())).into_response())
        }
        // Not 401, which must name a scheme that browsers know (RFC 9110 §15.5.2): the page itself is the answer.
        Attempt::Refused => page(&app, &continue_to, &form.email, true, false).await,
    }
}

pub(crate) async fn sign_out(
    State(app): State<App>,
    Visitor(session): Visitor,
    arrival: Arrival,
) -> Result<Response, Problem> {
    let signed_out = Redirect::to("/sign-in?done=signed-out");
    let Some(session) = session else { return Ok(signed_out.into_response()) };
    let cookie = api::sign_in::sign_out(&app, &session, &arrival).await?;
    Ok(([(header::SET_COOKIE, cookie)], signed_out).into_response())
}

async fn page(
    app: &App,
    continue_to: &ContinueTo,
    email: &str,
    refused: bool,
    signed_out: bool,
) -> Result<Response, Problem> {
    let target = asked_by(app, continue_to.as_str()).await.and_then(|asked| asked.origin);
    let destination = target.as_deref().and_then(|target| target.split_once("://")).map(|(_, host)| host);
    let page = html(&SignInPage { continue_to: continue_to.as_str(), destination, email, refused, signed_out })?;
    // Browsers apply `form-action` to the redirects that follow the form, too.
    let policy = policy_for_form_to(target.as_deref());
    Ok(([(header::CONTENT_SECURITY_POLICY, policy)], page).into_response())
}

/// Where a person goes on after signing in: a path on this server, never another site.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ContinueTo(String);

impl ContinueTo {
    /// What was asked for, or the dashboard.
    pub(crate) fn read(asked: Option<&str>) -> Self {
        Self(asked.filter(|path| is_path_here(path)).unwrap_or("/portal/dashboard").to_owned())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the sign-in page that leads there.
    pub(crate) fn sign_in(&self) -> String {
        format!(
            "/sign-in?{}",
            form_urlencoded::Serializer::new(String::new()).append_pair("continue", &self.0).finish()
        )
    }

    fn is_authorization(&self) -> bool {
        self.0.starts_with("/oauth/authorize?")
    }
}

/// Browsers read `//host` and `/\host` as another host, and drop tabs and line breaks before they look (URL §4.4).
fn is_path_here(text: &str) -> bool {
    text.starts_with('/')
        && !text.starts_with("//")
        && !text.contains('\\')
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    #[test]
    fn a_path_on_this_server_is_kept() {
        let here = Url::parse("https://id.example/").unwrap();
        for path in [
            "/",
            "/portal/apps?organization=org_1",
            "/oauth/authorize?redirect_uri=https://crm.example/cb&state=a%20b",
            "/.//evil.example",
            "/@evil.example",
        ] {
            assert_eq!(ContinueTo::read(Some(path)).as_str(), path);
            assert_eq!(here.join(path).unwrap().origin(), here.origin(), "{path}");
        }
    }

    #[test]
    fn every_other_address_becomes_the_dashboard() {
        for address in [
            "",
            "portal/apps",
            "//evil.example",
            "///evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "/portal\\..\\..",
            "/\t/evil.example",
            "/\n/evil.example",
            " //evil.example",
            "https://evil.example/",
            "https:evil.example",
            "javascript:alert(1)",
            "/portal/é",
            "/a\r\nset-cookie: x=y",
        ] {
            assert_eq!(ContinueTo::read(Some(address)).as_str(), "/portal/dashboard", "{address:?}");
        }
        assert_eq!(ContinueTo::read(None).as_str(), "/portal/dashboard");
    }

    #[test]
    fn the_way_back_survives_the_sign_in_page() {
        let back = "/oauth/authorize?client_id=app_1&state=a%26b";
        let address = ContinueTo::read(Some(back)).sign_in();
        let query = address.strip_prefix("/sign-in?").unwrap();
        let (name, value) = form_urlencoded::parse(query.as_bytes()).next().unwrap();
        assert_eq!((&*name, &*value), ("continue", back));
    }
}
