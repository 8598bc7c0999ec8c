//! OAuth clients of an organization: made, changed, given new secrets, deleted (R136–R150, C16, C17).

mod form;

use api::clients::{
    ClientMade, DEFAULT_OVERLAP, DEFAULT_SCOPES, MadeIn, NewClient, SecretMade, change_client, create_client,
    delete_client, disable_client, enable_client, existing_client, revoke_secret, rotate_secret,
};
use api::fields::{Form, Path, Query};
use api::{App, Arrival, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::{ClientId, ClientType, OrganizationId};
use projections::{ClientRow, ClientSecretRow};
use serde::Deserialize;

use self::form::{ClientForm, Errors};
use super::Administrator;
use crate::client::cut;
use crate::page::{Person, Section, html};

const PAGE: i64 = 60;

#[derive(Template)]
#[template(path = "admin/clients.html")]
struct ListPage {
    person: Person,
    section: Section,
    deleted: bool,
    clients: Vec<ClientRow>,
    next: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    after: String,
    done: Option<String>,
}

pub(crate) async fn list(
    State(app): State<App>,
    administrator: Administrator,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Problem> {
    let Administrator { person, organization_id } = administrator;
    let mut clients = projections::clients_of(&app.views.db, &organization_id, &asked.after, PAGE + 1).await?;
    let next = cut(&mut clients, PAGE).map(|last| last.client_id.clone());
    let deleted = asked.done.as_deref() == Some("deleted");
    html(&ListPage { person, section: Section::Clients, deleted, clients, next })
}

#[derive(Template)]
#[template(path = "admin/new_client.html")]
struct NewPage {
    person: Person,
    section: Section,
    organization_id: OrganizationId,
    form: ClientForm,
    errors: Errors,
}

pub(crate) async fn new(administrator: Administrator) -> Result<Html<String>, Problem> {
    let Administrator { person, organization_id } = administrator;
    let form = ClientForm {
        client_type: ClientType::Web.as_str().to_owned(),
        allowed_scopes: DEFAULT_SCOPES.to_owned(),
        ..ClientForm::default()
    };
    html(&NewPage { person, section: Section::Clients, organization_id, form, errors: Errors::default() })
}

#[derive(Deserialize)]
pub(crate) struct OfOrganization {
    organization_id: OrganizationId,
}

pub(crate) async fn create(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Query(OfOrganization { organization_id }): Query<OfOrganization>,
    Form(form): Form<ClientForm>,
) -> Result<Response, Problem> {
    let Administrator { person, organization_id } = Administrator::of(&app, person, &organization_id).await?;
    let made = match form.read_new() {
        Ok((client_type, change)) => {
            let context = person.session.context(&arrival, Some(organization_id.as_str()));
            let new =
                NewClient { organization_id: organization_id.clone(), client_type, change, made_in: MadeIn::Console };
            Errors::or_else(create_client(&app, new, &context, None).await)?
        }
        Err(errors) => Err(errors),
    };
    match made {
        Ok(ClientMade { client_id, secret: Some(secret), .. }) => {
            let notice = Some("The client is created.");
            let fresh = Some(Fresh { secret, previous_ends: None });
            Ok(ClientPage { notice, fresh, ..ClientPage::of(&app, person, &client_id).await? }
                .answer()?
                .into_response())
        }
        Ok(ClientMade { client_id, .. }) => Ok(Redirect::to(&address(&client_id, "created")).into_response()),
        Err(errors) => {
            Ok(html(&NewPage { person, section: Section::Clients, organization_id, form, errors })?.into_response())
        }
    }
}

#[derive(Template)]
#[template(path = "admin/client.html")]
struct ClientPage {
    person: Person,
    section: Section,
    client: ClientRow,
    /// Whether its type keeps one.
    keeps_secret: bool,
    secrets: Vec<ClientSecretRow>,
    form: ClientForm,
    errors: Errors,
    notice: Option<&'static str>,
    fresh: Option<Fresh>,
}

/// A secret that is shown this once.
struct Fresh {
    secret: String,
    previous_ends: Option<String>,
}

impl ClientPage {
    async fn of(app: &App, person: Person, id: &ClientId) -> Result<Self, Problem> {
        let client = projections::client(&app.views.db, id).await?.ok_or_else(|| Problem::not_found("client"))?;
        let secrets = projections::client_secrets_of(&app.views.db, id, app.now()).await?;
        let keeps_secret = client.client_type.parse::<ClientType>().is_ok_and(ClientType::is_confidential);
        let form = ClientForm::of(&client);
        let (errors, section) = (Errors::default(), Section::Clients);
        Ok(Self { person, section, client, keeps_secret, secrets, form, errors, notice: None, fresh: None })
    }

    fn answer(self) -> Result<Html<String>, Problem> {
        html(&self)
    }
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Path(id): Path<ClientId>,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Problem> {
    let Administrator { person, .. } = administering(&app, person, &id).await?;
    let notice = match asked.done.as_deref() {
        Some("created") => Some("The client is created."),
        Some("saved") => Some("The settings are saved."),
        Some("enabled") => Some("The client is enabled."),
        Some("disabled") => Some("The client is disabled. Nobody can sign in to it."),
        Some("revoked") => Some("The secret is revoked. It does not work any more."),
        _ => None,
    };
    ClientPage { notice, ..ClientPage::of(&app, person, &id).await? }.answer()
}

pub(crate) async fn save(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Path(id): Path<ClientId>,
    Form(form): Form<ClientForm>,
) -> Result<Response, Problem> {
    let Administrator { person, organization_id } = administering(&app, person, &id).await?;
    let saved = match form.read() {
        Ok(change) => {
            let context = person.session.context(&arrival, Some(organization_id.as_str()));
            Errors::or_else(change_client(&app, &id, change, &context, None).await)?
        }
        Err(errors) => Err(errors),
    };
    match saved {
        Ok(_) => Ok(Redirect::to(&address(&id, "saved")).into_response()),
        Err(errors) => {
            Ok(ClientPage { form, errors, ..ClientPage::of(&app, person, &id).await? }.answer()?.into_response())
        }
    }
}

pub(crate) async fn rotate(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Path(id): Path<ClientId>,
) -> Result<Html<String>, Problem> {
    let Administrator { person, organization_id } = administering(&app, person, &id).await?;
    let context = person.session.context(&arrival, Some(organization_id.as_str()));
    let made = rotate_secret(&app, &id, DEFAULT_OVERLAP, &context, None).await?;
    let SecretMade { secret: Some(secret), previous_expires_at, .. } = made else {
        return Err(Problem::internal("a new secret was not made"));
    };
    let page = ClientPage::of(&app, person, &id).await?;
    let previous_ends =
        (page.secrets.len() > 1).then(|| previous_expires_at.format("%-d %B %Y, %H:%M UTC").to_string());
    ClientPage { fresh: Some(Fresh { secret, previous_ends }), ..page }.answer()
}

#[derive(Deserialize)]
pub(crate) struct Revoke {
    secret_id: String,
}

pub(crate) async fn revoke(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Path(id): Path<ClientId>,
    Form(form): Form<Revoke>,
) -> Result<Redirect, Problem> {
    let Administrator { person, organization_id } = administering(&app, person, &id).await?;
    let context = person.session.context(&arrival, Some(organization_id.as_str()));
    revoke_secret(&app, &id, &form.secret_id, &context).await?;
    Ok(Redirect::to(&address(&id, "revoked")))
}

pub(crate) async fn enable(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Path(id): Path<ClientId>,
) -> Result<Redirect, Problem> {
    let Administrator { person, organization_id } = administering(&app, person, &id).await?;
    enable_client(&app, &id, &person.session.context(&arrival, Some(organization_id.as_str()))).await?;
    Ok(Redirect::to(&address(&id, "enabled")))
}

pub(crate) async fn disable(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Path(id): Path<ClientId>,
) -> Result<Redirect, Problem> {
    let Administrator { person, organization_id } = administering(&app, person, &id).await?;
    disable_client(&app, &id, &person.session.context(&arrival, Some(organization_id.as_str()))).await?;
    Ok(Redirect::to(&address(&id, "disabled")))
}

#[derive(Template)]
#[template(path = "admin/delete_client.html")]
struct DeletePage {
    person: Person,
    section: Section,
    client_id: ClientId,
    name: String,
}

pub(crate) async fn confirm(
    State(app): State<App>,
    person: Person,
    Path(id): Path<ClientId>,
) -> Result<Html<String>, Problem> {
    let Administrator { person, .. } = administering(&app, person, &id).await?;
    let name = existing_client(&app, &id).await?.name.to_string();
    html(&DeletePage { person, section: Section::Clients, client_id: id, name })
}

pub(crate) async fn delete(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Path(id): Path<ClientId>,
) -> Result<Redirect, Problem> {
    let Administrator { person, organization_id } = administering(&app, person, &id).await?;
    delete_client(&app, &id, &person.session.context(&arrival, Some(organization_id.as_str()))).await?;
    Ok(Redirect::to(&format!("{}&done=deleted", Section::Clients.link(organization_id.as_str()))))
}

/// The person as administrator of the client's organization; for everybody else outside of it there is no client.
async fn administering(app: &App, person: Person, id: &ClientId) -> Result<Administrator, Problem> {
    let client = existing_client(app, id).await?;
    let organization = client.organization_id.as_str();
    if !person.organizations.iter().any(|each| each.organization_id == organization) {
        return Err(Problem::not_found("client"));
    }
    Administrator::of(app, person, &client.organization_id).await
}

fn address(id: &ClientId, done: &str) -> String {
    format!("{}/{id}?done={done}", Section::Clients.path())
}
