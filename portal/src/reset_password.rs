//! A forgotten password: asking for a link, and setting a new one with it.

use api::fields::{Form, Query};
use api::registration::{self, Asked};
use api::sign_in::Browser;
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::Email;
use serde::Deserialize;
use url::form_urlencoded;

use crate::locale::{Door, fill, texts};
use crate::page::{html, message, paused, with_cookies};

texts! {
    /// The page that asks for the address.
    ForgotTexts {
        title: "Forgot your password?" / "Passwort vergessen?",
        lead: "We send you a link with which you set a new one." / "Wir schicken Ihnen einen Link, mit dem Sie ein neues setzen.",
        email: "E-mail address" / "E-Mail-Adresse",
        submit: "Send the link" / "Link schicken",
        bad_email: "Enter an e-mail address like ada@example.com" / "Geben Sie eine E-Mail-Adresse wie ada@example.com ein",
        paused: "Too many tries from your network. Try again in {}." / "Zu viele Versuche aus Ihrem Netz. Versuchen Sie es in {} noch einmal.",
        sent_title: "Look into your mailbox" / "Sehen Sie in Ihr Postfach",
        sent: "If there is an account for {}, we have sent a link to that address." / "Gibt es ein Konto für {}, so haben wir einen Link an diese Adresse geschickt.",
        no_mail: "A new password cannot be set here: this service has no mail server. Ask whoever runs it."
            / "Ein neues Passwort kann hier nicht gesetzt werden: Dieser Dienst hat keinen Mailserver. Fragen Sie den Betreiber.",
        to_sign_in: "Back to sign-in" / "Zurück zur Anmeldung",
    }
}

texts! {
    /// The page behind the link.
    ResetTexts {
        title: "Set a new password" / "Neues Passwort setzen",
        lead: "It signs you out everywhere." / "Damit werden Sie überall abgemeldet.",
        password: "New password" / "Neues Passwort",
        password_hint: "At least 8 characters" / "Mindestens 8 Zeichen",
        submit: "Set password" / "Passwort setzen",
        bad_password: "Choose a password of at least 8 characters" / "Wählen Sie ein Passwort mit mindestens 8 Zeichen",
        over_title: "This link does not work any more" / "Dieser Link funktioniert nicht mehr",
        over: "It was used before or is too old. Ask for another one." / "Er wurde schon verwendet oder ist zu alt. Fordern Sie einen neuen an.",
        again: "Ask for another link" / "Neuen Link anfordern",
    }
}

#[derive(Template)]
#[template(path = "forgot_password.html")]
struct ForgotPage<'a> {
    door: Door,
    text: &'static ForgotTexts,
    email: &'a str,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "reset_password.html")]
struct ResetPage<'a> {
    door: Door,
    text: &'static ResetTexts,
    token: &'a str,
    error: Option<&'static str>,
}

#[derive(Deserialize)]
pub(crate) struct Forgotten {
    email: String,
}

#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    token: String,
}

#[derive(Deserialize)]
pub(crate) struct NewPassword {
    token: String,
    password: String,
}

pub(crate) async fn ask(State(app): State<App>, door: Door) -> Result<Response, Problem> {
    let text = ForgotTexts::of(door.locale);
    if !app.mailer.is_set_up() {
        return no_mail(door);
    }
    Ok(html(&ForgotPage { door, text, email: "", error: None })?.into_response())
}

pub(crate) async fn send(
    State(app): State<App>,
    arrival: Arrival,
    door: Door,
    Form(form): Form<Forgotten>,
) -> Result<Response, Problem> {
    if !app.mailer.is_set_up() {
        return no_mail(door);
    }
    let (locale, text) = (door.locale, ForgotTexts::of(door.locale));
    let email = form.email.trim();
    let Ok(address) = email.parse::<Email>() else {
        let error = Some(text.bad_email.to_owned());
        return Ok(html(&ForgotPage { door, text, email, error })?.into_response());
    };
    match registration::ask_for_reset(&app, address, &arrival, locale).await? {
        Asked::Yes => message(door, text.sent_title, &fill(text.sent, email), Some((text.to_sign_in, "/sign-in"))),
        Asked::Paused(seconds) => {
            let error = Some(door.pause(text.paused, seconds));
            Ok(paused(seconds, html(&ForgotPage { door, text, email, error })?))
        }
    }
}

pub(crate) async fn show(
    State(app): State<App>,
    door: Door,
    Query(Link { token }): Query<Link>,
) -> Result<Response, Problem> {
    if !registration::can_reset(&app, &token).await? {
        return over(door);
    }
    let text = ResetTexts::of(door.locale);
    Ok(html(&ResetPage { door, text, token: &token, error: None })?.into_response())
}

pub(crate) async fn submit(
    State(app): State<App>,
    browser: Browser,
    door: Door,
    Form(form): Form<NewPassword>,
) -> Result<Response, Problem> {
    let text = ResetTexts::of(door.locale);
    match registration::reset_password(&app, &form.token, &form.password, &browser).await {
        Ok(Some(cookie)) => Ok(with_cookies(vec![cookie], Redirect::to("/sign-in?done=password-set").into_response())),
        Ok(None) => over(door),
        Err(problem) if problem.code() == "invalid_password" => {
            let error = Some(text.bad_password);
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("token", &form.token).finish();
            let door = door.at(format!("/reset-password?{query}"));
            Ok(html(&ResetPage { door, text, token: &form.token, error })?.into_response())
        }
        Err(problem) => Err(problem),
    }
}

fn over(door: Door) -> Result<Response, Problem> {
    let text = ResetTexts::of(door.locale);
    let page = message(door, text.over_title, text.over, Some((text.again, "/forgot-password")))?;
    Ok((StatusCode::BAD_REQUEST, page).into_response())
}

fn no_mail(door: Door) -> Result<Response, Problem> {
    let text = ForgotTexts::of(door.locale);
    let page = message(door, text.title, text.no_mail, Some((text.to_sign_in, "/sign-in")))?;
    Ok((StatusCode::FORBIDDEN, page).into_response())
}
