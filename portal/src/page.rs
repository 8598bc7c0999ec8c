//! What every page of a signed-in person has: who it is, for which organization, and where to go from here.

use api::fields::Query;
use api::sign_in::{SignedIn, session_of};
use api::{App, Locale, Problem};
use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, header};
use axum::response::{AppendHeaders, Html, IntoResponse, Redirect, Response};
use domain::{OrganizationId, Role};
use projections::Membership;
use serde::Deserialize;

use crate::continue_to::ContinueTo;
use crate::locale::{Door, FrameTexts, Languages, texts};

/// So many organizations can be switched between.
const ORGANIZATIONS: i64 = 100;

/// An entry of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Dashboard,
    Apps,
    Subscriptions,
    ConnectedApps,
    Account,
    Clients,
}

impl Section {
    pub const ALL: [Self; 5] = [Self::Dashboard, Self::Apps, Self::Subscriptions, Self::ConnectedApps, Self::Account];

    pub fn title(self, locale: &Locale) -> &'static str {
        let text = FrameTexts::of(*locale);
        match self {
            Self::Dashboard => text.dashboard,
            Self::Apps => text.apps,
            Self::Subscriptions => text.subscriptions,
            Self::ConnectedApps => text.connected_apps,
            Self::Account => text.account,
            Self::Clients => text.clients,
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Dashboard => "/portal/dashboard",
            Self::Apps => "/portal/apps",
            Self::Subscriptions => "/portal/subscriptions",
            Self::ConnectedApps => "/portal/oauth-clients",
            Self::Account => "/account",
            Self::Clients => "/admin/clients",
        }
    }

    /// The page, for an organization.
    pub fn link(self, organization: &str) -> String {
        format!("{}?organization={organization}", self.path())
    }
}

/// Somebody signed in; everybody else is sent to sign in and comes back.
pub(crate) struct Person {
    pub session: SignedIn,
    /// `None` once erased.
    pub name: Option<String>,
    pub organizations: Vec<Membership>,
    /// The one that the page is about; `None` for somebody without any.
    pub organization: Option<Membership>,
    /// The language of the page.
    pub locale: Locale,
}

#[derive(Deserialize)]
struct Chosen {
    organization: Option<String>,
}

impl Person {
    /// The address of a page that stays with the organization.
    pub fn link(&self, section: &Section) -> String {
        match &self.organization {
            Some(organization) => section.link(&organization.organization_id),
            None => section.path().to_owned(),
        }
    }

    /// The organization that the page is about, by its id.
    pub fn organization_id(&self) -> Option<OrganizationId> {
        self.organization.as_ref()?.organization_id.parse().ok()
    }

    pub fn frame(&self) -> &'static FrameTexts {
        FrameTexts::of(self.locale)
    }

    /// Whether the menu offers the administration; the pages themselves ask the log.
    pub fn may_administer(&self) -> bool {
        self.organization.as_ref().is_some_and(Self::administers)
    }

    pub fn administers(membership: &Membership) -> bool {
        membership.role.parse::<Role>().is_ok_and(|role| role.is_admin())
    }

    pub fn is_at(&self, organization: &Membership) -> bool {
        self.organization.as_ref().is_some_and(|chosen| chosen.organization_id == organization.organization_id)
    }
}

impl FromRequestParts<App> for Person {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let refused = |problem: Problem| problem.into_response();
        let Some(session) = session_of(app, &parts.headers).await.map_err(refused)? else {
            // A form that was sent cannot be sent again by an address.
            let here = parts.uri.path_and_query().filter(|_| parts.method == Method::GET);
            return Err(Redirect::to(&ContinueTo::read(here.map(|here| here.as_str())).sign_in()).into_response());
        };
        let Query(Chosen { organization }) = Query::from_request_parts(parts, app).await.map_err(refused)?;
        let locale = Languages::of(&parts.headers).best(None);
        Self::load(app, session, organization.as_deref(), locale).await.map_err(refused)
    }
}

impl Person {
    async fn load(app: &App, session: SignedIn, chosen: Option<&str>, locale: Locale) -> Result<Self, Problem> {
        let db = &app.views.db;
        let user = projections::user(db, &session.user_id).await?;
        let name = user.and_then(|user| user.name.or(user.email));
        let organizations = projections::memberships_of(db, &session.user_id, "", ORGANIZATIONS).await?;
        let organization = organizations
            .iter()
            .find(|each| Some(each.organization_id.as_str()) == chosen)
            .or(organizations.first())
            .cloned();
        Ok(Self { session, name, organizations, organization, locale })
    }
}

/// A page as an answer.
pub(crate) fn html(page: &impl Template) -> Result<Html<String>, Problem> {
    page.render().map(Html).map_err(Problem::internal)
}

texts! {
    /// The page between a form and a client.
    GoOnTexts {
        title: "One moment" / "Einen Moment",
        go_on: "Continue" / "Weiter",
    }
}

#[derive(Template)]
#[template(path = "go_on.html")]
struct GoOnPage<'a> {
    door: Door,
    text: &'static GoOnTexts,
    continue_to: &'a str,
}

/// Where a form leads when it is done. An authorization request may end at another origin, and browsers apply the
/// form's `form-action` to every redirect that follows it; so a page stands between them that goes on by itself.
pub(crate) fn go_on(door: Door, continue_to: &ContinueTo) -> Result<Response, Problem> {
    if !continue_to.may_leave() {
        return Ok(Redirect::to(continue_to.as_str()).into_response());
    }
    let text = GoOnTexts::of(door.locale);
    let door = door.at(continue_to.sign_in());
    Ok(html(&GoOnPage { door, text, continue_to: continue_to.as_str() })?.into_response())
}

#[derive(Template)]
#[template(path = "message.html")]
struct MessagePage<'a> {
    door: Door,
    title: &'a str,
    message: &'a str,
    /// What it says, and where it leads.
    link: Option<(&'a str, &'a str)>,
}

/// A page that only says something, and perhaps where to go on.
pub(crate) fn message(door: Door, title: &str, message: &str, link: Option<(&str, &str)>) -> Result<Response, Problem> {
    Ok(html(&MessagePage { door, title, message, link })?.into_response())
}

/// A page that says that there were too many tries (RFC 6585 §4).
pub(crate) fn paused(seconds: i64, page: impl IntoResponse) -> Response {
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())], page).into_response()
}

/// The answer with cookies of ours.
pub(crate) fn with_cookies(cookies: Vec<String>, answer: Response) -> Response {
    (AppendHeaders(cookies.into_iter().map(|cookie| (header::SET_COOKIE, cookie))), answer).into_response()
}

#[cfg(test)]
mod tests {
    use domain::SignIn;

    use super::*;

    #[derive(Template)]
    #[template(ext = "html", source = "{% include \"portal.html\" %}{% include \"organization_switch.html\" %}")]
    struct Around {
        person: Person,
        section: Section,
    }

    fn membership(id: &str, name: &str) -> Membership {
        let (organization_id, organization_name, role) = (id.to_owned(), name.to_owned(), "member".to_owned());
        Membership { organization_id, organization_name, role }
    }

    fn a_person_of(organizations: Vec<Membership>) -> Person {
        let session = SignedIn {
            user_id: "user_ada".parse().unwrap(),
            session_id: "session_1".parse().unwrap(),
            sign_in: SignIn {
                user_id: "user_ada".parse().unwrap(),
                authenticated_at: "2026-01-01T00:00:00Z".parse().unwrap(),
                expires_at: "2026-01-01T12:00:00Z".parse().unwrap(),
                methods: vec![],
                secret_hash: "0".repeat(64).parse().unwrap(),
                session_epoch: 0,
            },
        };
        let organization = organizations.last().cloned();
        Person { session, name: Some("Ada <b>".to_owned()), organizations, organization, locale: Locale::En }
    }

    #[test]
    fn who_belongs_to_two_organizations_can_switch() {
        let person = a_person_of(vec![membership("org_1", "Acme & Sons"), membership("org_2", "Umbrella")]);
        let page = Around { person, section: Section::Apps }.render().unwrap();
        assert!(page.contains(r#"<option value="org_1">Acme &#38; Sons</option>"#), "{page}");
        assert!(page.contains(r#"<option value="org_2" selected>Umbrella</option>"#), "{page}");
        assert!(page.contains(r#"href="/portal/apps?organization=org_2" aria-current="page">Apps</a>"#), "{page}");
        assert!(page.contains("Ada &#60;b&#62;"), "{page}");
    }

    #[test]
    fn who_belongs_to_one_organization_sees_its_name() {
        let person = a_person_of(vec![membership("org_1", "Acme")]);
        let page = Around { person, section: Section::Apps }.render().unwrap();
        assert!(page.contains("Acme") && !page.contains("<select"), "{page}");
    }
}
