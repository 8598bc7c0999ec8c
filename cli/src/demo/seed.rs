//! The demo's people, organizations, product and apps.

use api::accounts::{
    NewSubscription, NewUser, add_member, create_organization, create_product, create_subscription, initialise,
    register_user,
};
use api::{App, DefineApp, define_app};
use domain::{BillingCycle, OrganizationId, Role, UserId, Visibility};
use eventstore::Context;

use crate::Failure;

/// Everybody's password in the demo.
pub const PASSWORD: &str = "demo-password";

/// Somebody who can sign in.
pub struct Person {
    pub email: &'static str,
    name: &'static str,
    pub about: &'static str,
}

/// The vendor's owner first, then Acme Corp's people.
pub const PEOPLE: [Person; 4] = [
    Person { email: "vera@vendor.example", name: "Vera Vendor", about: "owner of Optare Apps, the vendor" },
    Person { email: "olivia@acme.example", name: "Olivia Owner", about: "owner of Acme Corp" },
    Person { email: "adam@acme.example", name: "Adam Admin", about: "admin of Acme Corp" },
    Person { email: "mia@acme.example", name: "Mia Member", about: "member of Acme Corp" },
];

const APPS: [(&str, &str, &str); 3] = [
    ("customer-service", "Customer Service", "Tickets and conversations with your customers in one place."),
    ("bot", "Bot", "Answers the questions that your team hears every day."),
    ("crm", "CRM", "Who your customers are, and what you promised them."),
];

/// Sets the demo up in an instance that is new.
pub async fn seed(app: &App, app_url: &str) -> Result<(), Failure> {
    let [vera, olivia, adam, mia] = PEOPLE;
    let context = Context::system("demo");
    let made = initialise(app, new_user(&vera)?, "Optare Apps".parse()?).await.map_err(sentence)?;
    let vendor = made.organization_id;

    let owner = register(app, &olivia, &context).await?;
    let acme = create_organization(app, "Acme Corp".parse()?, owner, &context).await.map_err(sentence)?;
    for (person, role) in [(adam, Role::Admin), (mia, Role::Member)] {
        let user = register(app, &person, &context).await?;
        add_member(app, &acme, user, role, &context).await.map_err(sentence)?;
    }
    subscribe(app, &vendor, &acme, &context).await?;
    for (name, title, description) in APPS {
        let url = format!("{app_url}/{name}");
        let definition = DefineApp {
            name: name.parse()?,
            title: title.parse()?,
            version: "1.0.0".to_owned(),
            description: Some(description.to_owned()),
            webhook_url: Some(format!("{url}/api/webhooks/optare").parse()?),
            redirect_uris: vec![format!("{url}/auth/callback").parse()?],
            launch_url: None,
            scopes: None,
            visibility: Visibility::Public,
        };
        define_app(app, &vendor, definition, &context, None).await.map_err(sentence)?;
    }
    app.shown(app.store.tail().head()).await.map_err(sentence)
}

async fn subscribe(
    app: &App,
    vendor: &OrganizationId,
    acme: &OrganizationId,
    context: &Context,
) -> Result<(), Failure> {
    let features = vec!["Unlimited posts".to_owned(), "All platforms".to_owned()];
    let (name, slug) = ("Otomate Social - Pro".parse()?, "otomate-social-pro".parse()?);
    let product_id = create_product(app, vendor, name, slug, features, context).await.map_err(sentence)?;
    let subscription = NewSubscription {
        organization_id: acme.clone(),
        vendor_id: vendor.clone(),
        product_id,
        total_seats: 100,
        price_per_seat: "29.99".parse()?,
        billing_cycle: BillingCycle::Monthly,
    };
    create_subscription(app, subscription, context).await.map_err(sentence)?;
    Ok(())
}

async fn register(app: &App, person: &Person, context: &Context) -> Result<UserId, Failure> {
    let receipt = register_user(app, new_user(person)?, context).await.map_err(sentence)?;
    Ok(receipt.stream_id.parse()?)
}

fn new_user(person: &Person) -> Result<NewUser, Failure> {
    Ok(NewUser {
        email: person.email.parse()?,
        name: person.name.parse()?,
        password: Some(PASSWORD.to_owned()),
        email_verified: true,
    })
}

fn sentence(problem: api::Problem) -> Failure {
    Failure(format!("the demo could not be set up: {}; delete its folder and start it again", problem.detail()))
}
