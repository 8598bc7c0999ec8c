//! One's own account: who one is here, the password, the second factor, where one is signed in.

pub(crate) mod password;
pub(crate) mod sessions;
pub(crate) mod two_factor;

use api::fields::Query;
use api::own_account::Confirmed;
use api::registration::{Asked, ask_for_verification};
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::{Email, User};
use serde::Deserialize;

use crate::locale::{fill, in_words, texts};
use crate::page::{Person, Section, html, paused};

texts! {
    /// The first page of the account.
    AccountTexts {
        title: "Your account" / "Ihr Konto",
        profile: "Profile" / "Profil",
        name: "Name" / "Name",
        email: "E-mail address" / "E-Mail-Adresse",
        unknown: "erased" / "gelöscht",
        verified: "confirmed" / "bestätigt",
        unverified: "not confirmed" / "nicht bestätigt",
        verify: "Send the link again" / "Link noch einmal schicken",
        sent: "We have sent you a link. Open it to confirm your address." / "Wir haben Ihnen einen Link geschickt. Öffnen Sie ihn, um Ihre Adresse zu bestätigen.",
        paused: "Too many mails were asked for. Try again in {}." / "Es wurden zu viele Mails angefordert. Versuchen Sie es in {} noch einmal.",
        language: "Language" / "Sprache",
        security: "Security" / "Sicherheit",
        password: "Password" / "Passwort",
        password_about: "Change it if somebody else may know it." / "Ändern Sie es, wenn es jemand anderes kennen könnte.",
        password_link: "Change password" / "Passwort ändern",
        password_changed: "Your password is changed. You are signed out everywhere else." / "Ihr Passwort ist geändert. Überall sonst sind Sie abgemeldet.",
        two_factor: "Two-factor sign-in" / "Zwei-Faktor-Anmeldung",
        two_factor_about: "Besides the password, a code from your phone." / "Zusätzlich zum Passwort ein Code von Ihrem Telefon.",
        two_factor_link: "Two-factor sign-in settings" / "Zwei-Faktor-Anmeldung einstellen",
        on: "On" / "An",
        off: "Off" / "Aus",
        sessions: "Sessions" / "Sitzungen",
        sessions_about: "Where you are signed in." / "Wo Sie angemeldet sind.",
        sessions_link: "See your sessions" / "Sitzungen ansehen",
    }
}

texts! {
    /// What the forms have in common that ask for the password once more.
    pub(crate) ConfirmTexts {
        label: "Your current password" / "Ihr aktuelles Passwort",
        wrong: "This is not your current password" / "Das ist nicht Ihr aktuelles Passwort",
        paused: "Too many wrong passwords. Try again in {}." / "Zu viele falsche Passwörter. Versuchen Sie es in {} noch einmal.",
    }
}

#[derive(Template)]
#[template(path = "account/overview.html")]
struct OverviewPage {
    person: Person,
    section: Section,
    text: &'static AccountTexts,
    email: Option<String>,
    name: Option<String>,
    email_verified: bool,
    has_two_factor: bool,
    may_send: bool,
    notice: Option<&'static str>,
    error: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Seen {
    done: Option<String>,
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Query(seen): Query<Seen>,
) -> Result<Html<String>, Problem> {
    let text = AccountTexts::of(person.locale);
    let notice = match seen.done.as_deref() {
        Some("sent") => Some(text.sent),
        Some("password-changed") => Some(text.password_changed),
        _ => None,
    };
    html(&overview(&app, person, notice, None).await?)
}

async fn overview(
    app: &App,
    person: Person,
    notice: Option<&'static str>,
    error: Option<String>,
) -> Result<OverviewPage, Problem> {
    let user = app.store.load::<User>(person.session.user_id.as_str()).await?.state;
    let row = projections::user(&app.views.db, &person.session.user_id).await?;
    let (email, name) = row.map_or((None, None), |row| (row.email, row.name));
    Ok(OverviewPage {
        text: AccountTexts::of(person.locale),
        section: Section::Account,
        email,
        name,
        email_verified: user.email_verified(),
        has_two_factor: user.totp_secret_id().is_some(),
        may_send: app.mailer.is_set_up(),
        notice,
        error,
        person,
    })
}

/// Sends the link to prove the address again.
pub(crate) async fn verify(State(app): State<App>, person: Person, arrival: Arrival) -> Result<Response, Problem> {
    let row = projections::user(&app.views.db, &person.session.user_id).await?;
    if let Some(Ok(email)) = row.and_then(|row| row.email).map(|email| email.parse::<Email>())
        && let Asked::Paused(seconds) =
            ask_for_verification(&app, &person.session.user_id, &email, &arrival, person.locale).await?
    {
        let sentence = fill(AccountTexts::of(person.locale).paused, in_words(person.locale, seconds));
        return Ok(paused(seconds, html(&overview(&app, person, None, Some(sentence)).await?)?));
    }
    Ok(Redirect::to("/account?done=sent").into_response())
}

/// Why a form that asks for the password once more did nothing; `None` if it was right.
fn unconfirmed(person: &Person, confirmed: Confirmed) -> Option<String> {
    let text = ConfirmTexts::of(person.locale);
    match confirmed {
        Confirmed::Yes => None,
        Confirmed::No => Some(text.wrong.to_owned()),
        Confirmed::Paused(seconds) => Some(fill(text.paused, in_words(person.locale, seconds))),
    }
}

/// The page with that reason, as an answer with the status that fits it.
fn not_confirmed(confirmed: Confirmed, page: Html<String>) -> Response {
    match confirmed {
        Confirmed::Paused(seconds) => paused(seconds, page),
        Confirmed::Yes | Confirmed::No => page.into_response(),
    }
}
