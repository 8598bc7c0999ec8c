//! The first page: who you are and where you belong (R260).

use api::Problem;
use askama::Template;
use axum::response::Html;

use crate::locale::texts;
use crate::page::{Person, Section, html};

texts! {
    /// The first page.
    DashboardTexts {
        title: "Dashboard" / "Übersicht",
        welcome: "Welcome" / "Willkommen",
        organizations: "Your organizations" / "Ihre Organisationen",
        role: "Your role:" / "Ihre Rolle:",
        of: "of" / "von",
    }
}

#[derive(Template)]
#[template(path = "client/dashboard.html")]
struct DashboardPage {
    person: Person,
    section: Section,
    text: &'static DashboardTexts,
}

pub(crate) async fn show(person: Person) -> Result<Html<String>, Problem> {
    html(&DashboardPage { text: DashboardTexts::of(person.locale), person, section: Section::Dashboard })
}
