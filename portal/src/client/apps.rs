//! The apps of an organization: its members open them, its administrators install and uninstall them (R055, R266).

use std::time::Instant;

use api::fields::{Form, Query};
use api::{App, Arrival, Installed, Problem};
use askama::Template;
use axum::extract::State;
use axum::response::{Html, Redirect};
use domain::{AppId, ClientId, InstallationId, LaunchUrl, OAuthClient, Organization, OrganizationId, Role};
use projections::{AppRow, InstallationRow};
use serde::Deserialize;
use url::form_urlencoded;

use super::cut;
use crate::locale::{fill, texts};
use crate::page::{Person, Section, html};

const PAGE: i64 = 60;
/// What an app is opened with, as far as it may ask for it (R056).
const LAUNCH_SCOPES: [&str; 4] = ["openid", "profile", "email", "organization"];

texts! {
    /// The list of apps.
    AppsTexts {
        title: "Apps" / "Apps",
        is_installed: "{} is installed." / "{} ist installiert.",
        is_uninstalled: "{} is uninstalled. Nobody can sign in to it any more." / "{} ist deinstalliert. Niemand kann sich mehr dort anmelden.",
        the_app: "The app" / "Die App",
        installed: "Installed" / "Installiert",
        none_for_admins: "Nothing is installed yet. Choose an app below." / "Noch ist nichts installiert. Wählen Sie unten eine App.",
        none: "Your organization has not installed an app yet. An owner or admin can." / "Ihre Organisation hat noch keine App installiert. Ein Inhaber oder Administrator kann das.",
        installing: "Installing" / "Wird installiert",
        open: "Open {}" / "{} öffnen",
        moment: "This takes a moment." / "Das dauert einen Moment.",
        look_again: "Look again" / "Noch einmal nachsehen",
        whether_ready: "whether {} is ready" / "ob {} bereit ist",
        no_page: "This app has no page of its own to open." / "Diese App hat keine eigene Seite zum Öffnen.",
        uninstall: "Uninstall {}" / "{} deinstallieren",
        more_installed: "More installed apps" / "Weitere installierte Apps",
        available: "Available to install" / "Zum Installieren verfügbar",
        nothing_else: "There is nothing else to install." / "Es gibt nichts weiter zu installieren.",
        private: "Private" / "Privat",
        install: "Install {}" / "{} installieren",
        more: "More apps" / "Weitere Apps",
    }
}

#[derive(Template)]
#[template(path = "client/apps.html")]
struct AppsPage {
    person: Person,
    section: Section,
    text: &'static AppsTexts,
    is_admin: bool,
    notice: Option<String>,
    installed: Vec<InstalledApp>,
    more_installed: Option<String>,
    available: Vec<AppRow>,
    more_available: Option<String>,
}

struct InstalledApp {
    installation_id: String,
    title: String,
    description: Option<String>,
    state: AppState,
}

enum AppState {
    Installing,
    /// Where "Open" leads.
    Ready(String),
    /// It has no page to open.
    NoPage,
}

#[derive(Deserialize)]
pub(crate) struct Asked {
    #[serde(default)]
    installed_after: String,
    #[serde(default)]
    available_after: String,
    done: Option<String>,
    app: Option<String>,
}

pub(crate) async fn show(
    State(app): State<App>,
    person: Person,
    Query(asked): Query<Asked>,
) -> Result<Html<String>, Problem> {
    let mut page = AppsPage {
        is_admin: false,
        notice: None,
        installed: Vec::new(),
        more_installed: None,
        available: Vec::new(),
        more_available: None,
        section: Section::Apps,
        text: AppsTexts::of(person.locale),
        person,
    };
    let Some(organization_id) = page.person.organization_id() else { return html(&page) };
    let organization = app.store.load::<Organization>(organization_id.as_str()).await?.state;
    page.is_admin = is_admin(&organization, &page.person);
    page.notice = notice(&app, &organization_id, &organization, &asked, page.text).await?;

    let mut rows =
        projections::installations_of(&app.views.db, &organization_id, &asked.installed_after, PAGE + 1).await?;
    page.more_installed = cut(&mut rows, PAGE).map(|last| last.installation_id.clone());
    for row in rows {
        page.installed.push(installed_app(&app, &organization_id, row).await?);
    }
    if page.is_admin {
        let after = &asked.available_after;
        let mut rows = projections::apps_installable_by(&app.views.db, &organization_id, after, PAGE + 1).await?;
        page.more_available = cut(&mut rows, PAGE).map(|last| last.app_id.clone());
        rows.retain(|row| row.app_id.parse().is_ok_and(|id| organization.installation_of(&id).is_none()));
        page.available = rows;
    }
    page.installed.sort_by_key(|app| app.title.to_lowercase());
    page.available.sort_by_key(|app| app.title.to_lowercase());
    html(&page)
}

/// The confirmation after a form, if it is still true.
async fn notice(
    app: &App,
    organization_id: &OrganizationId,
    organization: &Organization,
    asked: &Asked,
    text: &AppsTexts,
) -> Result<Option<String>, Problem> {
    let Some(Ok(app_id)) = asked.app.as_deref().map(str::parse::<AppId>) else { return Ok(None) };
    let is_installed = organization.installation_of(&app_id).is_some();
    let sentence = match asked.done.as_deref() {
        Some("installed") if is_installed => text.is_installed,
        Some("uninstalled") if !is_installed => text.is_uninstalled,
        _ => return Ok(None),
    };
    // The address may name any app; its title is told only to those who can see it.
    let is_shown =
        |row: &AppRow| is_installed || row.visibility == "public" || row.organization_id == organization_id.as_str();
    let row = projections::app(&app.views.db, &app_id).await?.filter(is_shown);
    Ok(Some(fill(sentence, row.map_or(text.the_app.to_owned(), |row| row.title))))
}

async fn installed_app(
    app: &App,
    organization_id: &OrganizationId,
    row: InstallationRow,
) -> Result<InstalledApp, Problem> {
    let app_id: AppId = row.app_id.parse()?;
    let client_id: ClientId = row.client_id.parse()?;
    let definition = projections::app(&app.views.db, &app_id).await?;
    // The log knows of the client a moment earlier than the read model, and is what signing in to the app asks.
    let client = app.store.load::<OAuthClient>(client_id.as_str()).await?.state;
    let is_ready = row.status == "installed" || client.active().is_some();
    let own_start = client.active().and_then(|client| client.settings.initiate_login_uri.as_ref());
    let target = match own_start {
        Some(uri) => Some(third_party_initiated(uri, &app.settings.base_url, organization_id)),
        None => definition.as_ref().and_then(|definition| open_target(definition, &client_id, organization_id)),
    };
    let state = match target {
        _ if !is_ready => AppState::Installing,
        Some(target) => AppState::Ready(target),
        None => AppState::NoPage,
    };
    let (title, description) = match definition {
        Some(definition) => (definition.title, definition.description),
        None => (row.app_id, None),
    };
    Ok(InstalledApp { installation_id: row.installation_id, title, description, state })
}

/// The app begins by itself, with a state of its own (R060, OpenID Connect Core §4).
fn third_party_initiated(uri: &LaunchUrl, issuer: &str, organization_id: &OrganizationId) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.append_pair("iss", issuer).append_pair("organization", organization_id.as_str());
    let separator = if uri.as_str().contains('?') { '&' } else { '?' };
    format!("{uri}{separator}{}", query.finish())
}

async fn has_client(app: &App, client_id: &ClientId) -> Result<bool, Problem> {
    Ok(app.store.load::<OAuthClient>(client_id.as_str()).await?.state.active().is_some())
}

fn open_target(app: &AppRow, client_id: &ClientId, organization_id: &OrganizationId) -> Option<String> {
    match app.redirect_uris().first() {
        Some(redirect_uri) => Some(launch_path(client_id, redirect_uri, &app.scopes(), organization_id)),
        None => app.launch_url.clone(),
    }
}

/// An authorization request on the app's behalf: whoever is signed in lands in the app signed in (R056, R057).
fn launch_path(
    client_id: &ClientId,
    redirect_uri: &str,
    allowed: &[String],
    organization_id: &OrganizationId,
) -> String {
    let may_ask = |scope: &&str| *scope == "openid" || allowed.iter().any(|allowed| allowed == scope);
    let scope = LAUNCH_SCOPES.into_iter().filter(may_ask).collect::<Vec<_>>().join(" ");
    let mut query = form_urlencoded::Serializer::new(String::new());
    query
        .append_pair("client_id", client_id.as_str())
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("response_type", "code")
        .append_pair("scope", &scope)
        .append_pair("state", organization_id.as_str());
    format!("/oauth/authorize?{}", query.finish())
}

#[derive(Deserialize)]
pub(crate) struct Install {
    organization_id: OrganizationId,
    app_id: AppId,
}

pub(crate) async fn install(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Form(form): Form<Install>,
) -> Result<Redirect, Problem> {
    let Install { organization_id, app_id } = form;
    must_administer(&app, &organization_id, &person).await?;
    let context = person.session.context(&arrival, Some(organization_id.as_str()));
    let installed = api::install(&app, &organization_id, &app_id, &context, None).await?;
    app.shown(installed.position).await?;
    await_client(&app, &installed).await?;
    Ok(confirmed("installed", &organization_id, &app_id))
}

#[derive(Deserialize)]
pub(crate) struct Uninstall {
    organization_id: OrganizationId,
    installation_id: InstallationId,
}

pub(crate) async fn uninstall(
    State(app): State<App>,
    person: Person,
    arrival: Arrival,
    Form(form): Form<Uninstall>,
) -> Result<Redirect, Problem> {
    let Uninstall { organization_id, installation_id } = form;
    let organization = must_administer(&app, &organization_id, &person).await?;
    let context = person.session.context(&arrival, Some(organization_id.as_str()));
    let Some(installation) = organization.installation(&installation_id) else {
        return Err(domain::OrganizationError::NotInstalled.into());
    };
    let position = api::uninstall(&app, &organization_id, installation_id, &context).await?;
    app.shown(position).await?;
    Ok(confirmed("uninstalled", &organization_id, &installation.app_id))
}

/// The organization as the log has it now, for its owners and admins alone.
async fn must_administer(
    app: &App,
    organization_id: &OrganizationId,
    person: &Person,
) -> Result<std::sync::Arc<Organization>, Problem> {
    let administers = |organization: &Organization| is_admin(organization, person);
    let organization = app.store.load_where(organization_id.as_str(), administers).await?;
    let refused = || Problem::forbidden("only owners and admins of the organization can install and uninstall apps");
    organization.map(|loaded| loaded.state).ok_or_else(refused)
}

fn is_admin(organization: &Organization, person: &Person) -> bool {
    organization.role_of(&person.session.user_id).is_some_and(Role::is_admin)
}

/// Waits a moment for the client that a new installation gets, so that the next page can offer to open the app.
async fn await_client(app: &App, installed: &Installed) -> Result<(), Problem> {
    let patience = app.settings.read_patience;
    let began = Instant::now();
    let mut position = installed.position;
    while !has_client(app, &installed.installation.client_id).await? {
        position = app.store.tail().head().max(position + 1);
        let left = patience.saturating_sub(began.elapsed());
        if left.is_zero() || !app.views.show(position, left).await? {
            break;
        }
    }
    Ok(())
}

fn confirmed(done: &str, organization_id: &OrganizationId, app_id: &AppId) -> Redirect {
    Redirect::to(&format!("{}&done={done}&app={app_id}", Section::Apps.link(organization_id.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn launch(redirect_uri: &str, allowed: &[&str]) -> String {
        let allowed: Vec<String> = allowed.iter().map(|scope| (*scope).to_owned()).collect();
        launch_path(&"app_1".parse().unwrap(), redirect_uri, &allowed, &"org_acme".parse().unwrap())
    }

    #[test]
    fn an_app_that_begins_by_itself_learns_where_and_for_whom() {
        let start = |uri: &str| {
            third_party_initiated(&uri.parse().unwrap(), "https://id.example", &"org_acme".parse().unwrap())
        };
        let told = "iss=https%3A%2F%2Fid.example&organization=org_acme";
        assert_eq!(start("https://crm.example/login"), format!("https://crm.example/login?{told}"));
        assert_eq!(start("https://crm.example/login?a=1"), format!("https://crm.example/login?a=1&{told}"));
    }

    #[test]
    fn open_asks_for_a_code_with_the_organization_as_state() {
        let allowed = ["openid", "profile", "email", "organization", "offline_access"];
        assert_eq!(
            launch("https://crm.example/auth/callback", &allowed),
            "/oauth/authorize?client_id=app_1&redirect_uri=https%3A%2F%2Fcrm.example%2Fauth%2Fcallback\
             &response_type=code&scope=openid+profile+email+organization&state=org_acme"
        );
    }

    #[test]
    fn open_asks_for_nothing_that_the_app_may_not_have() {
        assert!(launch("https://crm.example/cb", &["email"]).contains("&scope=openid+email&"));
    }

    #[test]
    fn a_redirect_uri_with_a_query_stays_one_parameter() {
        let target = launch("https://crm.example/cb?a=1&b=2", &[]);
        let (_, query) = target.split_once('?').unwrap();
        let redirect_uri = form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "redirect_uri");
        assert_eq!(redirect_uri.unwrap().1, "https://crm.example/cb?a=1&b=2");
    }
}
