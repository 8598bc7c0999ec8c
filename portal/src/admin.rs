//! The administration: what owners and admins of an organization arrange for it (section L).

pub(crate) mod clients;

use api::fields::Query;
use api::{App, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use domain::{Organization, OrganizationId, Role};
use serde::Deserialize;

use crate::page::Person;

/// An owner or admin of the organization that the page is about; a member is refused (R250).
pub(crate) struct Administrator {
    pub person: Person,
    pub organization_id: OrganizationId,
}

#[derive(Deserialize)]
struct Chosen {
    organization: Option<String>,
}

impl FromRequestParts<App> for Administrator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Response> {
        let mut person = Person::from_request_parts(parts, app).await?;
        let refused = |problem: Problem| problem.into_response();
        let Query(Chosen { organization }) = Query::from_request_parts(parts, app).await.map_err(refused)?;
        if organization.is_none() {
            // Whoever names none means one that there is something to administer of.
            let administered = person.organizations.iter().find(|each| Person::administers(each)).cloned();
            person.organization = administered.or(person.organization);
        }
        let Some(organization_id) = person.organization_id() else {
            return Err(refused(Problem::forbidden("you do not belong to an organization that you could administer")));
        };
        Self::of(app, person, &organization_id).await.map_err(refused)
    }
}

impl Administrator {
    /// The same person as administrator of another organization, as the log has it now.
    pub async fn of(app: &App, mut person: Person, organization_id: &OrganizationId) -> Result<Self, Problem> {
        let user = person.session.user_id.clone();
        let administers = |organization: &Organization| organization.role_of(&user).is_some_and(Role::is_admin);
        if app.store.load_where(organization_id.as_str(), administers).await?.is_none() {
            return Err(Problem::forbidden("only owners and admins of the organization can administer it"));
        }
        let at = |each: &&projections::Membership| each.organization_id == organization_id.as_str();
        person.organization = person.organizations.iter().find(at).cloned();
        Ok(Self { person, organization_id: organization_id.clone() })
    }
}
