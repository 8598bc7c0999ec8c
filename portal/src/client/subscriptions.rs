//! What the organization subscribes to (R261).

use api::fields::Query;
use api::{App, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::Html;
use projections::SubscriptionRow;
use serde::Deserialize;

use super::cut;
use crate::locale::texts;
use crate::page::{Person, Section, html};

const PAGE: i64 = 100;

texts! {
    /// The list of subscriptions.
    SubscriptionsTexts {
        title: "Subscriptions" / "Abonnements",
        none: "Your organization has no subscriptions yet." / "Ihre Organisation hat noch keine Abonnements.",
        product: "Product" / "Produkt",
        seats: "Seats" / "Plätze",
        price: "Price per seat" / "Preis pro Platz",
        cycle: "Billing cycle" / "Abrechnung",
        status: "Status" / "Status",
        ends: "Ends" / "Endet",
        no_end: "No end date" / "Unbefristet",
        more: "More subscriptions" / "Weitere Abonnements",
    }
}

#[derive(Template)]
#[template(path = "client/subscriptions.html")]
struct SubscriptionsPage {
    person: Person,
    section: Section,
    text: &'static SubscriptionsTexts,
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
    let text = SubscriptionsTexts::of(person.locale);
    html(&SubscriptionsPage { text, person, section: Section::Subscriptions, subscriptions, next })
}
