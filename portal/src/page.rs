//! What every page of a signed-in person has: who it is, for which organization, and where to go from here.

use api::fields::Query;
use api::sign_in::{SignedIn, session_of};
use api::{App, Problem};
use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{Html, IntoResponse, Redirect, Response};
use domain::{OrganizationId, Role};
use projections::Membership;
use serde::Deserialize;

use crate::sign_in::ContinueTo;

/// So many organizations can be switched between.
const ORGANIZATIONS: i64 = 100;

/// An entry of the menu.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Dashboard,
    Apps,
    Subscriptions,
    Clients,
}

impl Section {
    pub const ALL: [Self; 3] = [Self::Dashboard, Self::Apps, Self::Subscriptions];

    pub fn title(self) -> &'static str {
        match self {
            Self::Dashboard => "Dashboard",
            Self::Apps => "Apps",
            Self::Subscriptions => "Subscriptions",
            Self::Clients => "OAuth Clients",
        }
    }

    pub fn path(self) -> &'static str {
        match self {
            Self::Dashboard => "/portal/dashboard",
            Self::Apps => "/portal/apps",
            Self::Subscriptions => "/portal/subscriptions",
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
        Self::load(app, session, organization.as_deref()).await.map_err(refused)
    }
}

impl Person {
    async fn load(app: &App, session: SignedIn, chosen: Option<&str>) -> Result<Self, Problem> {
        let db = &app.views.db;
        let user = projections::user(db, &session.user_id).await?;
        let name = user.and_then(|user| user.name.or(user.email));
        let organizations = projections::memberships_of(db, &session.user_id, "", ORGANIZATIONS).await?;
        let organization = organizations
            .iter()
            .find(|each| Some(each.organization_id.as_str()) == chosen)
            .or(organizations.first())
            .cloned();
        Ok(Self { session, name, organizations, organization })
    }
}

/// A page as an answer.
pub(crate) fn html(page: &impl Template) -> Result<Html<String>, Problem> {
    page.render().map(Html).map_err(Problem::internal)
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
                password_epoch: 0,
            },
        };
        let organization = organizations.last().cloned();
        Person { session, name: Some("Ada <b>".to_owned()), organizations, organization }
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
