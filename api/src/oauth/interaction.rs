//! What a person is asked while an authorization request waits: for which organization, and whether to agree
//! (R037–R039, C10). The pages are the portal's.

use domain::{Consent, ConsentCommand, OrganizationId, Scope};
use eventstore::{Execution, INSTANCE_TENANT};

use super::authorize::{Kept, wished};
use super::pending::{Pending, handle_in};
use crate::access_token::is_member;
use crate::sign_in::SignedIn;
use crate::{App, Arrival, Problem};

pub use super::pending::Decision;

/// So many organizations can be chosen from.
const ORGANIZATIONS: i64 = 100;

/// A client that waits for a person's answer.
#[derive(Debug, Clone)]
pub struct Waiting {
    /// As its administrator called it (R040).
    pub client_name: String,
    /// What it is for.
    pub description: Option<String>,
    /// Where the browser goes afterwards; none for an app with a scheme of its own.
    pub origin: Option<String>,
    /// What the person has not agreed to yet; all that is asked for, if the client wants it asked again.
    pub new_scopes: Vec<String>,
    /// What the person agreed to before.
    pub known_scopes: Vec<String>,
    /// For which organization the person acts; none for somebody without any.
    pub organization: Option<String>,
    /// The languages that the client asks for, best first.
    pub ui_locales: Option<String>,
}

/// The client behind `continue_to`; none when the request was answered or waited too long.
///
/// # Errors
/// When the database fails.
pub async fn waiting(app: &App, session: &SignedIn, continue_to: &str) -> Result<Option<Waiting>, Problem> {
    let Some(handle) = handle_in(continue_to) else { return Ok(None) };
    let Some(Kept { trusted, request: Ok(request), pending }) = Kept::open(app, handle).await? else { return Ok(None) };
    let consent = app.store.load::<Consent>(&Consent::id(&session.user_id, &trusted.client_id)).await?.state;
    let wished = wished(&request);
    let lacking: Vec<&Scope> = consent.lacks(&wished).collect();
    let organization_id = acting_for(&pending);
    let asks_all = request.prompt.consent || lacking.is_empty();
    let is_new = |scope: &Scope| asks_all || lacking.contains(&scope);
    let organization = match &organization_id {
        Some(id) => projections::organization(&app.views.db, id).await?.map(|row| row.name),
        None => None,
    };
    let text = |scope: &Scope| scope.to_string();
    Ok(Some(Waiting {
        client_name: trusted.client.name.to_string(),
        description: trusted.client.settings.description.as_ref().map(ToString::to_string),
        origin: trusted.redirect_uri.origin(),
        new_scopes: wished.iter().filter(|scope| is_new(scope)).map(text).collect(),
        known_scopes: wished.iter().filter(|scope| !is_new(scope)).map(text).collect(),
        organization,
        ui_locales: pending.ui_locales(),
    }))
}

/// The organizations that the person may choose from: id and name.
///
/// # Errors
/// When the database fails.
pub async fn organizations(app: &App, session: &SignedIn) -> Result<Vec<(String, String)>, Problem> {
    let memberships = projections::memberships_of(&app.views.db, &session.user_id, "", ORGANIZATIONS).await?;
    Ok(memberships.into_iter().map(|each| (each.organization_id, each.organization_name)).collect())
}

/// Keeps the person's answer; the request then goes on at `continue_to`. `false` when it waits no more.
///
/// # Errors
/// When the log fails.
pub async fn decide(
    app: &App,
    session: &SignedIn,
    arrival: &Arrival,
    continue_to: &str,
    decision: Decision,
) -> Result<bool, Problem> {
    let Some(handle) = handle_in(continue_to) else { return Ok(false) };
    let Some(Kept { trusted, request: Ok(request), pending }) = Kept::open(app, handle).await? else {
        return Ok(false);
    };
    let organization_id = acting_for(&pending);
    let (user_id, client_id) = (session.user_id.clone(), trusted.client_id.clone());
    let (scopes, now) = (wished(&request), app.now());
    let command = match decision {
        Decision::Authorize => ConsentCommand::Give { user_id, client_id, scopes, organization_id, now },
        Decision::Deny => ConsentCommand::Refuse { user_id, client_id, scopes, now },
    };
    change(app, session, arrival, &trusted.client_id, command).await?;
    Pending::decide(app, handle, decision, &session.user_id).await?;
    Ok(true)
}

/// Keeps for whom the person acts with the client; the request then goes on. `false` when it waits no more.
///
/// # Errors
/// When the person is no member of the organization, or the log fails.
pub async fn choose_organization(
    app: &App,
    session: &SignedIn,
    arrival: &Arrival,
    continue_to: &str,
    organization_id: OrganizationId,
) -> Result<bool, Problem> {
    let Some(handle) = handle_in(continue_to) else { return Ok(false) };
    let Some(Kept { trusted, .. }) = Kept::open(app, handle).await? else { return Ok(false) };
    if !is_member(app, &session.user_id, Some(&organization_id)).await? {
        return Err(Problem::not_found("organization"));
    }
    Pending::choose(app, handle, &organization_id).await?;
    let (user_id, client_id) = (session.user_id.clone(), trusted.client_id.clone());
    let command = ConsentCommand::ChooseOrganization { user_id, client_id, organization_id };
    change(app, session, arrival, &trusted.client_id, command).await?;
    Ok(true)
}

fn acting_for(pending: &Pending) -> Option<OrganizationId> {
    pending.organization_id.as_deref()?.parse().ok()
}

async fn change(
    app: &App,
    session: &SignedIn,
    arrival: &Arrival,
    client_id: &domain::ClientId,
    command: ConsentCommand,
) -> Result<(), Problem> {
    let mut context = session.context(arrival, None);
    context.client_id = Some(client_id.to_string());
    let id = Consent::id(&session.user_id, client_id);
    let execution = Execution::<Consent>::new(&id, command, &context).in_tenant(INSTANCE_TENANT);
    app.store.execute(execution).await?;
    Ok(())
}
