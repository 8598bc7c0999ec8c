//! The second step of signing in: a code of the authenticator app, or a recovery code.

use api::fields::{Form, Query};
use api::sign_in::{Browser, CodeAttempt};
use api::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::told;
use crate::continue_to::ContinueTo;
use crate::locale::{Door, texts};
use crate::page::{go_on, html, paused, with_cookies};

texts! {
    /// The page that asks for a code.
    CodeTexts {
        title: "Enter your code" / "Code eingeben",
        lead: "Your authenticator app shows it." / "Ihre Authenticator-App zeigt ihn an.",
        code: "Code" / "Code",
        hint: "Without your app, use one of your recovery codes." / "Ohne Ihre App verwenden Sie einen Ihrer Wiederherstellungscodes.",
        refused: "This code is wrong or was used before" / "Dieser Code ist falsch oder wurde schon verwendet",
        paused: "Too many wrong codes. Try again in {}." / "Zu viele falsche Codes. Versuchen Sie es in {} noch einmal.",
        submit: "Sign in" / "Anmelden",
        again: "Start again" / "Von vorn beginnen",
    }
}

#[derive(Template)]
#[template(path = "sign_in_code.html")]
struct CodePage<'a> {
    door: Door,
    text: &'static CodeTexts,
    continue_to: &'a ContinueTo,
    error: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(rename = "continue")]
    continue_to: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Code {
    code: String,
    #[serde(rename = "continue")]
    continue_to: Option<String>,
}

pub(crate) async fn show(
    State(app): State<App>,
    door: Door,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Problem> {
    let continue_to = ContinueTo::read(asked.continue_to.as_deref());
    let (door, _) = told(&app, door, &continue_to).await;
    html(&CodePage { text: CodeTexts::of(door.locale), door, continue_to: &continue_to, error: None })
}

pub(crate) async fn submit(
    State(app): State<App>,
    browser: Browser,
    door: Door,
    Form(form): Form<Code>,
) -> Result<Response, Problem> {
    let continue_to = ContinueTo::read(form.continue_to.as_deref());
    let (door, _) = told(&app, door, &continue_to).await;
    let text = CodeTexts::of(door.locale);
    let refused = |door: Door, error: String| {
        let door = door.at(continue_to.after("/sign-in/code"));
        html(&CodePage { door, text, continue_to: &continue_to, error: Some(error) })
    };
    match api::sign_in::sign_in_with_code(&app, &form.code, &browser).await? {
        CodeAttempt::Admitted(admitted) => Ok(with_cookies(admitted.cookies, go_on(door, &continue_to)?)),
        CodeAttempt::Refused => Ok(refused(door, text.refused.to_owned())?.into_response()),
        CodeAttempt::Paused(seconds) => {
            let sentence = door.pause(text.paused, seconds);
            Ok(paused(seconds, refused(door, sentence)?))
        }
        CodeAttempt::Over => Ok(Redirect::to(&format!("{}&done=over", continue_to.sign_in())).into_response()),
    }
}
