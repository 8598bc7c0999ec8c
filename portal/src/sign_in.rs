//! Signing in.

use api::fields::{Form, Query};
use api::oauth::authorize::{AskedBy, asked_by};
use api::sign_in::{Attempt, Visitor};
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
    /// The page that asks for address and password.
    SignInTexts {
        title: "Sign in" / "Anmelden",
        to_continue: "to continue to" / "weiter zu",
        signed_out: "You are signed out." / "Sie sind abgemeldet.",
        refused: "E-mail address or password is wrong" / "E-Mail-Adresse oder Passwort ist falsch",
        email: "E-mail address" / "E-Mail-Adresse",
        password: "Password" / "Passwort",
        submit: "Sign in" / "Anmelden",
    }
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage<'a> {
    door: Door,
    text: &'static SignInTexts,
    continue_to: &'a ContinueTo,
    /// Whose page follows, if it is not ours.
    client: Option<String>,
    email: &'a str,
    notice: Option<&'static str>,
    refused: bool,
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
    door: Door,
    Query(asked): Query<Asked>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(asked.continue_to.as_deref());
    // The authorization endpoint sends those who are signed in only to sign in again (`prompt=login`, `max_age`).
    if session.is_some() && !continue_to.is_authorization() {
        return Ok(Redirect::to(continue_to.as_str()).into_response());
    }
    let (door, client) = told(&app, door, &continue_to).await;
    let text = SignInTexts::of(door.locale);
    let notice = (asked.done.as_deref() == Some("signed-out")).then_some(text.signed_out);
    let email = client.as_ref().and_then(|asked| asked.login_hint.clone()).unwrap_or_default();
    let client = client.map(|asked| asked.client);
    let page = SignInPage { door, text, continue_to: &continue_to, client, email: &email, notice, refused: false };
    Ok(html(&page)?.into_response())
}

pub(crate) async fn submit(
    State(app): State<App>,
    arrival: Arrival,
    door: Door,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(form.continue_to.as_deref());
    let (door, client) = told(&app, door, &continue_to).await;
    match api::sign_in::sign_in(&app, form.email.trim(), &form.password, &arrival).await? {
        Attempt::Admitted(cookie, _) => {
            Ok(([(header::SET_COOKIE, cookie)], go_on(door, &continue_to)?).into_response())
        }
        // Not 401, which must name a scheme that browsers know (RFC 9110 §15.5.2): the page itself is the answer.
        Attempt::Refused => {
            let text = SignInTexts::of(door.locale);
            let door = door.at(continue_to.sign_in());
            let (email, client) = (form.email.trim(), client.map(|asked| asked.client));
            let page = SignInPage { door, text, continue_to: &continue_to, client, email, notice: None, refused: true };
            Ok(html(&page)?.into_response())
        }
    }
}

/// What the client that waits behind a page says about it: whose it is, and in which language.
pub(crate) async fn told(app: &App, door: Door, continue_to: &ContinueTo) -> (Door, Option<AskedBy>) {
    let asked = asked_by(app, continue_to.as_str()).await;
    let door = door.for_client(asked.as_ref().and_then(|asked| asked.ui_locales.as_deref()));
    (door, asked)
}
