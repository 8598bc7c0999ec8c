//! Registering, and proving that an address is one's own.

use api::fields::{Form, Query};
use api::registration::{self, Asked, Registration, registration};
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Email, PersonName};
use serde::Deserialize;

use crate::locale::{Door, fill, texts};
use crate::page::{html, message, paused};

texts! {
    /// The page on which somebody registers.
    RegisterTexts {
        title: "Create an account" / "Konto anlegen",
        name: "Your name" / "Ihr Name",
        email: "E-mail address" / "E-Mail-Adresse",
        password: "Password" / "Passwort",
        password_hint: "At least 8 characters" / "Mindestens 8 Zeichen",
        submit: "Create account" / "Konto anlegen",
        sign_in: "Sign in instead" / "Stattdessen anmelden",
        bad_name: "Enter your name, in one line" / "Geben Sie Ihren Namen ein, in einer Zeile",
        bad_email: "Enter an e-mail address like ada@example.com" / "Geben Sie eine E-Mail-Adresse wie ada@example.com ein",
        bad_password: "Choose a password of at least 8 characters" / "Wählen Sie ein Passwort mit mindestens 8 Zeichen",
        paused: "Too many tries from your network. Try again in {}." / "Zu viele Versuche aus Ihrem Netz. Versuchen Sie es in {} noch einmal.",
        sent_title: "Look into your mailbox" / "Sehen Sie in Ihr Postfach",
        sent: "We have sent a mail to {}. It says how to go on." / "Wir haben eine Mail an {} geschickt. Darin steht, wie es weitergeht.",
        closed: "You cannot register here. Ask an administrator of your organization for an account."
            / "Sie können sich hier nicht registrieren. Bitten Sie einen Administrator Ihrer Organisation um ein Konto.",
        no_mail: "You cannot register here yet: this service has no mail server. Tell whoever runs it."
            / "Sie können sich hier noch nicht registrieren: Dieser Dienst hat keinen Mailserver. Sagen Sie es dem Betreiber.",
        to_sign_in: "Sign in" / "Anmelden",
    }
}

texts! {
    /// The page behind the link in the mail.
    VerifyTexts {
        title: "Confirm your e-mail address" / "E-Mail-Adresse bestätigen",
        lead: "Is it you who registered with the address that got the link?"
            / "Haben Sie sich mit der Adresse registriert, die den Link bekam?",
        submit: "Yes, confirm it" / "Ja, bestätigen",
        over_title: "This link does not work any more" / "Dieser Link funktioniert nicht mehr",
        over: "It was used before or is too old. Sign in and ask for another one on your account page."
            / "Er wurde schon verwendet oder ist zu alt. Melden Sie sich an und fordern Sie auf Ihrer Kontoseite einen neuen an.",
        to_account: "Go to your account" / "Zu Ihrem Konto",
    }
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage<'a> {
    door: Door,
    text: &'static RegisterTexts,
    name: &'a str,
    email: &'a str,
    error: Option<String>,
    /// The field that the error is about.
    wrong: &'static str,
}

#[derive(Template)]
#[template(path = "verify_email.html")]
struct VerifyPage<'a> {
    door: Door,
    text: &'static VerifyTexts,
    token: &'a str,
}

#[derive(Deserialize)]
pub(crate) struct NewAccount {
    name: String,
    email: String,
    password: String,
}

#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    token: String,
}

pub(crate) async fn show(State(app): State<App>, door: Door) -> Result<Response, Problem> {
    let text = RegisterTexts::of(door.locale);
    if let Some(closed) = closed(&app, &door)? {
        return Ok(closed);
    }
    Ok(html(&RegisterPage { door, text, name: "", email: "", error: None, wrong: "" })?.into_response())
}

pub(crate) async fn submit(
    State(app): State<App>,
    arrival: Arrival,
    door: Door,
    Form(form): Form<NewAccount>,
) -> Result<Response, Problem> {
    if let Some(closed) = closed(&app, &door)? {
        return Ok(closed);
    }
    let (locale, text) = (door.locale, RegisterTexts::of(door.locale));
    let again = |wrong: &'static str, error: String| {
        let (name, email) = (form.name.trim(), form.email.trim());
        html(&RegisterPage { door: door.clone(), text, name, email, error: Some(error), wrong })
    };
    let Ok(name) = form.name.parse::<PersonName>() else {
        return Ok(again("name", text.bad_name.to_owned())?.into_response());
    };
    let Ok(email) = form.email.parse::<Email>() else {
        return Ok(again("email", text.bad_email.to_owned())?.into_response());
    };
    match registration::register(&app, email.clone(), name, &form.password, &arrival, locale).await {
        Ok(Asked::Yes) => message(door, text.sent_title, &fill(text.sent, &email), Some((text.to_sign_in, "/sign-in"))),
        Ok(Asked::Paused(seconds)) => Ok(paused(seconds, again("", door.pause(text.paused, seconds))?)),
        Err(problem) if problem.code() == "invalid_password" => {
            Ok(again("password", text.bad_password.to_owned())?.into_response())
        }
        Err(problem) => Err(problem),
    }
}

/// The page that says why nobody can register here.
fn closed(app: &App, door: &Door) -> Result<Option<Response>, Problem> {
    let text = RegisterTexts::of(door.locale);
    let why = match registration(app) {
        Registration::Open => return Ok(None),
        Registration::Closed => text.closed,
        Registration::NoMail => text.no_mail,
    };
    let page = message(door.clone(), text.title, why, Some((text.to_sign_in, "/sign-in")))?;
    Ok(Some((StatusCode::FORBIDDEN, page).into_response()))
}

/// Programs that look into mails open links, too; so the link only leads to a button.
pub(crate) async fn show_verification(
    State(app): State<App>,
    door: Door,
    Query(Link { token }): Query<Link>,
) -> Result<Response, Problem> {
    if !registration::can_verify(&app, &token).await? {
        return over(door);
    }
    let text = VerifyTexts::of(door.locale);
    Ok(html(&VerifyPage { door, text, token: &token })?.into_response())
}

pub(crate) async fn verify(
    State(app): State<App>,
    arrival: Arrival,
    door: Door,
    Form(Link { token }): Form<Link>,
) -> Result<Response, Problem> {
    if !registration::verify_email(&app, &token, &arrival).await? {
        return over(door);
    }
    // Whoever is signed in goes on from there to the portal.
    Ok(Redirect::to("/sign-in?done=verified").into_response())
}

fn over(door: Door) -> Result<Response, Problem> {
    let text = VerifyTexts::of(door.locale);
    let page = message(door, text.over_title, text.over, Some((text.to_account, "/account")))?;
    Ok((StatusCode::BAD_REQUEST, page).into_response())
}
