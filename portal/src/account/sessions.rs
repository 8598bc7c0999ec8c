//! Where a person is signed in.

use api::fields::{Form, Query};
use api::{App, Arrival, Problem, own_account};
use askama::Template;
use axum::extract::State;
use axum::http::header;
use axum::response::{Html, IntoResponse, Redirect, Response};
use chrono::{DateTime, Utc};
use domain::SessionId;
use projections::SessionRow;
use serde::Deserialize;

use super::Seen;
use crate::client::cut;
use crate::locale::texts;
use crate::page::{Person, Section, html};

const PAGE: i64 = 20;

texts! {
    /// The list of sessions.
    SessionsTexts {
        title: "Sessions" / "Sitzungen",
        account: "Your account" / "Ihr Konto",
        about: "You are signed in here. End what you do not recognise, and change your password." / "Hier sind Sie angemeldet. Beenden Sie, was Sie nicht kennen, und ändern Sie Ihr Passwort.",
        this_one: "This browser" / "Dieser Browser",
        unknown: "Unknown browser" / "Unbekannter Browser",
        since: "Since" / "Seit",
        address: "Address" / "Adresse",
        with_code: "with a second factor" / "mit zweitem Faktor",
        end: "End session" / "Sitzung beenden",
        ended: "The session is ended." / "Die Sitzung ist beendet.",
        more: "Earlier sessions" / "Frühere Sitzungen",
        all_title: "Sign out everywhere" / "Überall abmelden",
        all_about: "Ends every session and signs you out of every app, here too." / "Beendet alle Sitzungen und meldet Sie aus allen Apps ab, auch hier.",
        all: "Sign out everywhere" / "Überall abmelden",
    }
}

#[derive(Template)]
#[template(path = "account/sessions.html")]
struct SessionsPage {
    person: Person,
    section: Section,
    text: &'static SessionsTexts,
    sessions: Vec<SessionRow>,
    next: Option<String>,
    notice: Option<&'static str>,
}

impl SessionsPage {
    fn is_this(&self, session: &SessionRow) -> bool {
        session.session_id == self.person.session.session_id.as_str()
    }

    fn has_code(&self, session: &SessionRow) -> bool {
        session.methods().iter().any(|method| method == "mfa")
    }
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    /// End and id of the last session of the page before.
    before: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    session_id: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Query(asked): Query<Asked>,
    Query(seen): Query<Seen>,
) -> Result<Html<String>, Problem> {
    let before = asked.before.as_deref().and_then(|text| text.split_once(' '));
    let before = before.and_then(|(end, id)| Some((DateTime::<Utc>::from_timestamp_micros(end.parse().ok()?)?, id)));
    let mut sessions = own_account::sessions(&app, &person.session, before, PAGE + 1).await?;
    let next = cut(&mut sessions, PAGE)
        .map(|last| format!("/account/sessions?before={}+{}", last.expires_at.timestamp_micros(), last.session_id));
    let text = SessionsTexts::of(person.locale);
    let notice = (seen.done.as_deref() == Some("ended")).then_some(text.ended);
    html(&SessionsPage { person, section: Section::Account, text, sessions, next, notice })
}

pub(crate) async fn end(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Form(chosen): Form<Chosen>,
) -> Result<Redirect, Problem> {
    let id: SessionId = chosen.session_id.parse().map_err(|_| Problem::not_found("session"))?;
    own_account::end_session(&app, &person.session, &id, &arrival).await?;
    // Whoever ended this one is asked to sign in there.
    Ok(Redirect::to("/account/sessions?done=ended"))
}

pub(crate) async fn end_all(State(app): State<App>, person: Person, arrival: Arrival) -> Result<Response, Problem> {
    let cookie = own_account::sign_out_everywhere(&app, &person.session, &arrival).await?;
    let signed_out = Redirect::to("/sign-in?done=signed-out-everywhere");
    Ok(([(header::SET_COOKIE, cookie)], signed_out).into_response())
}
