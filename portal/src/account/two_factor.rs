//! The second factor: set up with an authenticator app, turned off, new recovery codes.

use api::fields::{Form, Query};
use api::own_account::Confirmed;
use api::sign_in::Browser;
use api::two_factor::{self, Enabled, Setup};
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::User;
use serde::Deserialize;

use super::{ConfirmTexts, Seen, not_confirmed, unconfirmed};
use crate::locale::texts;
use crate::page::{Person, Section, html};

texts! {
    /// The pages of the second factor.
    TwoFactorTexts {
        title: "Two-factor sign-in" / "Zwei-Faktor-Anmeldung",
        account: "Your account" / "Ihr Konto",
        about: "With it, a stolen password is not enough to sign in: an authenticator app on your phone shows a new code every 30 seconds."
            / "Damit genügt ein gestohlenes Passwort nicht mehr: Eine Authenticator-App auf Ihrem Telefon zeigt alle 30 Sekunden einen neuen Code.",
        is_off: "Two-factor sign-in is off." / "Die Zwei-Faktor-Anmeldung ist aus.",
        is_on: "Two-factor sign-in is on." / "Die Zwei-Faktor-Anmeldung ist an.",
        codes_left: "Recovery codes left: {}" / "Übrige Wiederherstellungscodes: {}",
        begin: "Set up" / "Einrichten",
        turn_off_title: "Turn off" / "Ausschalten",
        turn_off: "Turn two-factor sign-in off" / "Zwei-Faktor-Anmeldung ausschalten",
        turned_off: "Two-factor sign-in is turned off." / "Die Zwei-Faktor-Anmeldung ist ausgeschaltet.",
        replace_title: "New recovery codes" / "Neue Wiederherstellungscodes",
        replace_about: "They replace those that you have." / "Sie ersetzen Ihre bisherigen.",
        replace: "Make new recovery codes" / "Neue Wiederherstellungscodes erzeugen",
        set_up_title: "Set up two-factor sign-in" / "Zwei-Faktor-Anmeldung einrichten",
        scan: "Scan this with your authenticator app" / "Scannen Sie dies mit Ihrer Authenticator-App",
        scan_alt: "QR code for your authenticator app" / "QR-Code für Ihre Authenticator-App",
        type_in: "Or enter this key there" / "Oder geben Sie dort diesen Schlüssel ein",
        open: "Open it in an app on this device" / "In einer App auf diesem Gerät öffnen",
        code: "The code that the app shows" / "Der Code, den die App anzeigt",
        wrong_code: "This code is wrong. Wait for the next one and check your device's clock."
            / "Dieser Code ist falsch. Warten Sie auf den nächsten und prüfen Sie die Uhr Ihres Geräts.",
        enable: "Turn on" / "Einschalten",
        codes_title: "Your recovery codes" / "Ihre Wiederherstellungscodes",
        codes_about: "Keep them where you find them without your phone. Each signs you in once instead of a code. They are not shown again."
            / "Bewahren Sie sie dort auf, wo Sie sie ohne Ihr Telefon finden. Jeder gilt einmal anstelle eines Codes. Sie werden nicht noch einmal angezeigt.",
        codes_done: "I have kept them" / "Ich habe sie aufbewahrt",
    }
}

#[derive(Template)]
#[template(path = "account/two_factor.html")]
struct TwoFactorPage {
    person: Person,
    section: Section,
    text: &'static TwoFactorTexts,
    confirm: &'static ConfirmTexts,
    is_on: bool,
    codes_left: usize,
    notice: Option<&'static str>,
    error: Option<String>,
}

#[derive(Template)]
#[template(path = "account/two_factor_set_up.html")]
struct SetUpPage {
    person: Person,
    section: Section,
    text: &'static TwoFactorTexts,
    setup: Setup,
    error: Option<&'static str>,
}

#[derive(Template)]
#[template(path = "account/recovery_codes.html")]
struct CodesPage {
    person: Person,
    section: Section,
    text: &'static TwoFactorTexts,
    codes: Vec<String>,
}

#[derive(Deserialize)]
pub(crate) struct WithPassword {
    current_password: String,
}

#[derive(Deserialize)]
pub(crate) struct WithCode {
    code: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Query(seen): Query<Seen>,
) -> Result<Html<String>, Problem> {
    page(&app, person, seen.done.as_deref() == Some("off"), None).await
}

async fn page(app: &App, person: Person, turned_off: bool, error: Option<String>) -> Result<Html<String>, Problem> {
    let user = app.store.load::<User>(person.session.user_id.as_str()).await?.state;
    let (text, confirm) = (TwoFactorTexts::of(person.locale), ConfirmTexts::of(person.locale));
    let is_on = user.totp_secret_id().is_some();
    html(&TwoFactorPage {
        section: Section::Account,
        text,
        confirm,
        is_on,
        codes_left: user.recovery_codes_left(),
        notice: (turned_off && !is_on).then_some(text.turned_off),
        error,
        person,
    })
}

pub(crate) async fn begin(
    State(app): State<App>,
    person: Person,
    browser: Browser,
    Form(form): Form<WithPassword>,
) -> Result<Response, Problem> {
    match two_factor::begin(&app, &person.session, &form.current_password, &browser).await? {
        Confirmed::Yes => Ok(Redirect::to("/account/two-factor/set-up").into_response()),
        refused => again(&app, person, refused).await,
    }
}

pub(crate) async fn set_up(State(app): State<App>, person: Person) -> Result<Response, Problem> {
    set_up_page(&app, person, None).await
}

async fn set_up_page(app: &App, person: Person, error: Option<&'static str>) -> Result<Response, Problem> {
    let Some(setup) = two_factor::shown(app, &person.session).await? else {
        return Ok(Redirect::to("/account/two-factor").into_response());
    };
    let text = TwoFactorTexts::of(person.locale);
    Ok(html(&SetUpPage { person, section: Section::Account, text, setup, error })?.into_response())
}

pub(crate) async fn enable(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Form(form): Form<WithCode>,
) -> Result<Response, Problem> {
    match two_factor::enable(&app, &person.session, &form.code, &arrival, person.locale).await? {
        Enabled::Yes(codes) => show_codes(person, codes),
        Enabled::WrongCode => {
            let error = Some(TwoFactorTexts::of(person.locale).wrong_code);
            set_up_page(&app, person, error).await
        }
        Enabled::NotBegun => Ok(Redirect::to("/account/two-factor").into_response()),
    }
}

pub(crate) async fn turn_off(
    State(app): State<App>,
    person: Person,
    browser: Browser,
    Form(form): Form<WithPassword>,
) -> Result<Response, Problem> {
    match two_factor::disable(&app, &person.session, &form.current_password, &browser, person.locale).await? {
        Confirmed::Yes => Ok(Redirect::to("/account/two-factor?done=off").into_response()),
        refused => again(&app, person, refused).await,
    }
}

pub(crate) async fn replace_codes(
    State(app): State<App>,
    person: Person,
    browser: Browser,
    Form(form): Form<WithPassword>,
) -> Result<Response, Problem> {
    match two_factor::replace_recovery_codes(&app, &person.session, &form.current_password, &browser).await? {
        Ok(codes) => show_codes(person, codes),
        Err(refused) => again(&app, person, refused).await,
    }
}

async fn again(app: &App, person: Person, refused: Confirmed) -> Result<Response, Problem> {
    let error = unconfirmed(&person, refused);
    Ok(not_confirmed(refused, page(app, person, false, error).await?))
}

fn show_codes(person: Person, codes: Vec<String>) -> Result<Response, Problem> {
    let text = TwoFactorTexts::of(person.locale);
    Ok(html(&CodesPage { person, section: Section::Account, text, codes })?.into_response())
}
