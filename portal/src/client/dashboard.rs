//! The first page: who you are and where you belong (R260).

use api::Problem;
use askama::Template;
use axum::response::Html;

use crate::page::{Person, Section, html};

#[derive(Template)]
#[template(path = "client/dashboard.html")]
struct DashboardPage {
    person: Person,
    section: Section,
}

pub(crate) async fn show(person: Person) -> Result<Html<String>, Problem> {
    html(&DashboardPage { person, section: Section::Dashboard })
}
