//! Signing in.

pub(crate) mod code;

use api::fields::{Form, Query};
use api::oauth::authorize::{AskedBy, asked_by};
use api::registration::{Registration, registration};
use api::sign_in::{Attempt, Browser, Visitor};
use api::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::continue_to::ContinueTo;
use crate::locale::{Door, texts};
use crate::page::{go_on, html, paused, with_cookies};

texts! {
    /// The page that asks for address and password.
    SignInTexts {
        title: "Sign in" / "Anmelden",
        to_continue: "to continue to" / "weiter zu",
        signed_out: "You are signed out." / "Sie sind abgemeldet.",
        signed_out_everywhere: "You are signed out everywhere." / "Sie sind überall abgemeldet.",
        password_set: "Your new password counts from now on. Sign in with it."
            / "Ihr neues Passwort gilt ab jetzt. Melden Sie sich damit an.",
        verified: "Your e-mail address is confirmed." / "Ihre E-Mail-Adresse ist bestätigt.",
        over: "That took too long or too many codes. Sign in again."
            / "Das hat zu lange gedauert oder zu viele Codes gebraucht. Melden Sie sich noch einmal an.",
        refused: "E-mail address or password is wrong" / "E-Mail-Adresse oder Passwort ist falsch",
        paused: "Too many failed sign-ins. Try again in {}, or set a new password by mail."
            / "Zu viele fehlgeschlagene Anmeldungen. Versuchen Sie es in {} noch einmal, oder setzen Sie per Mail ein neues Passwort.",
        email: "E-mail address" / "E-Mail-Adresse",
        password: "Password" / "Passwort",
        submit: "Sign in" / "Anmelden",
        forgot: "Forgot your password?" / "Passwort vergessen?",
        register: "Create an account" / "Konto anlegen",
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
    error: Option<String>,
    may_register: bool,
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
    let notice = match asked.done.as_deref() {
        Some("signed-out") => Some(text.signed_out),
        Some("signed-out-everywhere") => Some(text.signed_out_everywhere),
        Some("password-set") => Some(text.password_set),
        Some("verified") => Some(text.verified),
        Some("over") => Some(text.over),
        _ => None,
    };
    let email = client.as_ref().and_then(|asked| asked.login_hint.clone()).unwrap_or_default();
    let page = SignInPage {
        door,
        text,
        continue_to: &continue_to,
        client: client.map(|asked| asked.client),
        email: &email,
        notice,
        error: None,
        may_register: registration(&app) == Registration::Open,
    };
    Ok(html(&page)?.into_response())
}

pub(crate) async fn submit(
    State(app): State<App>,
    browser: Browser,
    door: Door,
    Form(form): Form<Credentials>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(form.continue_to.as_deref());
    let email = form.email.trim();
    let (door, client) = told(&app, door, &continue_to).await;
    let text = SignInTexts::of(door.locale);
    let refused = |door: Door, error: String| {
        html(&SignInPage {
            door: door.at(continue_to.sign_in()),
            text,
            continue_to: &continue_to,
            client: client.map(|asked| asked.client),
            email,
            notice: None,
            error: Some(error),
            may_register: registration(&app) == Registration::Open,
        })
    };
    match api::sign_in::sign_in(&app, email, &form.password, &browser).await? {
        Attempt::Admitted(admitted) => Ok(with_cookies(admitted.cookies, go_on(door, &continue_to)?)),
        Attempt::CodeNeeded(cookie) => {
            let to_code = Redirect::to(&continue_to.after("/sign-in/code"));
            Ok(with_cookies(vec![cookie], to_code.into_response()))
        }
        // Not 401, which must name a scheme that browsers know (RFC 9110 §15.5.2): the page itself is the answer.
        Attempt::Refused => Ok(refused(door, text.refused.to_owned())?.into_response()),
        Attempt::Paused(seconds) => {
            let sentence = door.pause(text.paused, seconds);
            Ok(paused(seconds, refused(door, sentence)?))
        }
    }
}

/// What the client that waits behind a page says about it: whose it is, and in which language.
pub(crate) async fn told(app: &App, door: Door, continue_to: &ContinueTo) -> (Door, Option<AskedBy>) {
    let asked = asked_by(app, continue_to.as_str()).await;
    let door = door.for_client(asked.as_ref().and_then(|asked| asked.ui_locales.as_deref()));
    (door, asked)
}
