//! A new password.

use api::fields::Form;
use api::own_account::{PasswordChange, change_password};
use api::sign_in::Browser;
use api::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::{ConfirmTexts, not_confirmed, unconfirmed};
use crate::locale::texts;
use crate::page::{Person, Section, html, with_cookies};

texts! {
    /// The page that changes the password.
    PasswordTexts {
        title: "Change password" / "Passwort ändern",
        account: "Your account" / "Ihr Konto",
        lead: "A new password signs you out everywhere else: on other devices and in every app."
            / "Mit einem neuen Passwort werden Sie überall sonst abgemeldet: auf anderen Geräten und in allen Apps.",
        new: "New password" / "Neues Passwort",
        hint: "At least 8 characters" / "Mindestens 8 Zeichen",
        bad: "Choose a password of at least 8 characters" / "Wählen Sie ein Passwort mit mindestens 8 Zeichen",
        submit: "Change password" / "Passwort ändern",
    }
}

#[derive(Template)]
#[template(path = "account/password.html")]
struct PasswordPage {
    person: Person,
    section: Section,
    text: &'static PasswordTexts,
    confirm: &'static ConfirmTexts,
    error: Option<String>,
    is_new_wrong: bool,
}

impl PasswordPage {
    fn new(person: Person, error: Option<String>, is_new_wrong: bool) -> Self {
        let (text, confirm) = (PasswordTexts::of(person.locale), ConfirmTexts::of(person.locale));
        Self { person, section: Section::Account, text, confirm, error, is_new_wrong }
    }
}

#[derive(Deserialize)]
pub(crate) struct NewPassword {
    current_password: String,
    password: String,
}

pub(crate) async fn show(person: Person) -> Result<Html<String>, Problem> {
    html(&PasswordPage::new(person, None, false))
}

pub(crate) async fn submit(
    State(app): State<App>,
    person: Person,
    browser: Browser,
    Form(form): Form<NewPassword>,
) -> Result<Response, Problem> {
    let changed =
        change_password(&app, &person.session, &form.current_password, &form.password, &browser, person.locale).await;
    match changed {
        Ok(PasswordChange::Done(admitted)) => {
            Ok(with_cookies(admitted.cookies, Redirect::to("/account?done=password-changed").into_response()))
        }
        Ok(PasswordChange::Not(confirmed)) => {
            let error = unconfirmed(&person, confirmed);
            Ok(not_confirmed(confirmed, html(&PasswordPage::new(person, error, false))?))
        }
        Err(problem) if problem.code() == "invalid_password" => {
            let error = Some(PasswordTexts::of(person.locale).bad.to_owned());
            Ok(html(&PasswordPage::new(person, error, true))?.into_response())
        }
        Err(problem) => Err(problem),
    }
}
