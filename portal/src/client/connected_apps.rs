//! The apps that act for a person, and taking that back (R262, R263).

use api::fields::{Form, Query};
use api::{App, Arrival, Problem, own_account};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, Redirect};
use domain::ClientId;
use projections::ConnectedApp;
use serde::Deserialize;

use super::cut;
use crate::locale::texts;
use crate::page::{Person, Section, html};

const PAGE: i64 = 50;

texts! {
    /// The list of connected apps.
    ConnectedAppsTexts {
        title: "Connected Apps" / "Verbundene Apps",
        about: "These apps act for you. What you remove here ends at once; the app must ask you again." / "Diese Apps handeln für Sie. Was Sie hier entfernen, endet sofort; die App muss Sie neu fragen.",
        none: "No app acts for you." / "Keine App handelt für Sie.",
        may: "It may:" / "Sie darf:",
        since: "Since" / "Seit",
        last_used: "Last access" / "Letzter Zugriff",
        remove: "Remove access" / "Zugriff entfernen",
        removed: "The app's access is removed." / "Der Zugriff der App ist entfernt.",
        more: "More apps" / "Weitere Apps",
    }
}

#[derive(Template)]
#[template(path = "client/connected_apps.html")]
struct ConnectedAppsPage {
    person: Person,
    section: Section,
    text: &'static ConnectedAppsTexts,
    apps: Vec<ConnectedApp>,
    next: Option<String>,
    notice: Option<&'static str>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    after: String,
    done: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Chosen {
    client_id: ClientId,
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Problem> {
    let mut apps = own_account::connected_apps(&app, &person.session, &asked.after, PAGE + 1).await?;
    let next = cut(&mut apps, PAGE).map(|last| last.client_id.clone());
    let text = ConnectedAppsTexts::of(person.locale);
    let notice = (asked.done.as_deref() == Some("removed")).then_some(text.removed);
    html(&ConnectedAppsPage { person, section: Section::ConnectedApps, text, apps, next, notice })
}

pub(crate) async fn remove(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Form(chosen): Form<Chosen>,
) -> Result<Redirect, Problem> {
    own_account::disconnect(&app, &person.session, chosen.client_id, &arrival).await?;
    Ok(Redirect::to("/portal/oauth-clients?done=removed"))
}
