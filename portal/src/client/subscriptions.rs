//! What the organization subscribes to (R261).

use api::fields::Query;
use api::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Html;
use projections::SubscriptionRow;
use serde::Deserialize;

use super::cut;
use crate::page::{Person, Section, html};

const PAGE: i64 = 100;

#[derive(Template)]
#[template(path = "client/subscriptions.html")]
struct SubscriptionsPage {
    person: Person,
    section: Section,
    subscriptions: Vec<SubscriptionRow>,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    after: String,
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Problem> {
    let mut subscriptions = match person.organization_id() {
        Some(organization) => {
            projections::subscriptions_of(&app.views.db, &organization, &asked.after, PAGE + 1).await?
        }
        None => Vec::new(),
    };
    let next = cut(&mut subscriptions, PAGE).map(|last| last.subscription_id.clone());
    html(&SubscriptionsPage { person, section: Section::Subscriptions, subscriptions, next })
}
