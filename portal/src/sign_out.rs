//! Signing out, with a question first where only a client says that the person wants it.

use api::fields::{Form, Query};
use api::sign_in::Visitor;
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::continue_to::ContinueTo;
use crate::locale::{Door, texts};
use crate::page::{go_on, html};

texts! {
    /// The page that asks whether to sign out (OpenID Connect RP-Initiated Logout §2).
    SignOutTexts {
        title: "Sign out" / "Abmelden",
        asks: "Do you want to sign out?" / "Möchten Sie sich abmelden?",
        submit: "Sign out" / "Abmelden",
        stay: "Stay signed in" / "Angemeldet bleiben",
    }
}

#[derive(Template)]
#[template(path = "sign_out.html")]
struct SignOutPage<'a> {
    door: Door,
    text: &'static SignOutTexts,
    continue_to: &'a ContinueTo,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(rename = "continue")]
    continue_to: Option<String>,
}

pub(crate) async fn show(
    Visitor(session): Visitor,
    door: Door,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let continue_to = after(asked.continue_to.as_deref());
    if session.is_none() {
        return Ok(Redirect::to(continue_to.as_str()).into_response());
    }
    let text = SignOutTexts::of(door.locale);
    Ok(html(&SignOutPage { door, text, continue_to: &continue_to })?.into_response())
}

pub(crate) async fn submit(
    State(app): State<App>,
    Visitor(session): Visitor,
    arrival: Arrival,
    door: Door,
    Form(form): Form<Asked>,
) -> Result<Response, Problem> {
    let on = go_on(door, &after(form.continue_to.as_deref()))?;
    let Some(session) = session else { return Ok(on) };
    let cookie = api::sign_in::sign_out(&app, &session, &arrival).await?;
    Ok(([(header::SET_COOKIE, cookie)], on).into_response())
}

/// Back to the end session endpoint, which knows whither; by default our own page that says so.
fn after(asked: Option<&str>) -> ContinueTo {
    let to_client = asked.filter(|path| path.starts_with("/oauth/logout?"));
    ContinueTo::read(Some(to_client.unwrap_or("/sign-in?done=signed-out")))
}
