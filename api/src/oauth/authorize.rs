//! The authorization endpoint (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2): from a client's request to a code.

use axum::extract::{RawForm, State};
use axum::response::{IntoResponse, Redirect, Response};
use domain::{
    ApiIdentifier, Approval, Authorization, Consent, Grant, GrantCommand, GrantId, OrganizationId, Scope, Scopes, Slug,
};
use eventstore::Execution;
use url::form_urlencoded;
use uuid::Uuid;

use super::answer::{back, page};
use super::audience::{UNKNOWN_AUDIENCE, resource_servers};
use super::logout::hinted;
use super::parameters::Parameters;
use super::pending::{Decision, Pending, handle_in, path_of};
use super::request::{AuthorizationRequest, ErrorAnswer, SCOPE_NOT_ALLOWED};
use super::trust::{Trusted, trust};
use crate::access_token::is_member;
use crate::fields::Path;
use crate::secrets::token_of;
use crate::sign_in::{SignedIn, Visitor};
use crate::{App, Arrival, Problem, hash_of};

/// `GET /oauth/authorize`; a query is read like a form.
pub(crate) async fn get(
    state: State<App>,
    visitor: Visitor,
    arrival: Arrival,
    RawForm(query): RawForm,
) -> Result<Response, Problem> {
    begin(&state, visitor, &arrival, &query).await
}

/// `POST /oauth/authorize` (OpenID Connect Core §3.1.2.1).
pub(crate) async fn post(
    state: State<App>,
    visitor: Visitor,
    arrival: Arrival,
    RawForm(body): RawForm,
) -> Result<Response, Problem> {
    // Browsers keep our cookie back from another site's form (`SameSite=Lax`) and send it with the redirect.
    if visitor.0.is_none() && body.len() <= LONGEST_REQUEST && trusted(&state, &body).await {
        return Ok(Redirect::to(&path_of(&Pending::keep(&state, &ascii(&body)).await?)).into_response());
    }
    begin(&state, visitor, &arrival, &body).await
}

/// Whether the request comes from a client that may be answered.
async fn trusted(app: &App, form: &[u8]) -> bool {
    let Ok(parameters) = Parameters::from_form(form) else { return false };
    trust(app, &parameters).await.is_ok()
}

/// What was parsed, as a form of ASCII letters.
fn ascii(form: &[u8]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(form_urlencoded::parse(form)).finish()
}

/// In bytes: a state of some kilobytes, and no more than a table can bear that everybody may write into.
const LONGEST_REQUEST: usize = 16 * 1024;

/// `GET /oauth/authorize/{handle}`: a request goes on after a page of ours.
pub(crate) async fn resume(
    State(app): State<App>,
    Visitor(session): Visitor,
    arrival: Arrival,
    Path(handle): Path<String>,
) -> Result<Response, Problem> {
    let Some(Kept { pending, trusted, request }) = Kept::open(&app, &handle).await? else { return Ok(gone()) };
    let attempt = Attempt { app: &app, arrival: &arrival, trusted: &trusted, pending: Some((&handle, &pending)) };
    attempt.answer(session, request, pending.parameters.as_bytes()).await
}

/// Whom a person signs in for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AskedBy {
    /// The client's title, as on the consent page (R040).
    pub client: String,
    /// Where the browser goes afterwards; none for an app with a scheme of its own.
    pub origin: Option<String>,
    /// What the client says the person signs in with (OpenID Connect Core §3.1.2.1).
    pub login_hint: Option<String>,
    /// The languages that the client asks for, best first (BCP 47, space-separated).
    pub ui_locales: Option<String>,
}

/// Who asks, if `continue_to` is an authorization request that waits.
pub async fn asked_by(app: &App, continue_to: &str) -> Option<AskedBy> {
    let pending = Pending::load(app, handle_in(continue_to)?).await.ok()??;
    let parameters = Parameters::from_form(pending.parameters.as_bytes()).ok()?;
    let trusted = trust(app, &parameters).await.ok()?;
    let given = |name: &str| parameters.get(name).map(str::to_owned);
    Some(AskedBy {
        client: trusted.client.name.to_string(),
        origin: trusted.redirect_uri.origin(),
        login_hint: given("login_hint"),
        ui_locales: given("ui_locales"),
    })
}

/// A request that waits, read again: its client may have changed meanwhile.
pub(super) struct Kept {
    pub pending: Pending,
    pub trusted: Trusted,
    pub request: Result<AuthorizationRequest, ErrorAnswer>,
}

impl Kept {
    pub async fn open(app: &App, handle: &str) -> Result<Option<Self>, Problem> {
        let Some(pending) = Pending::load(app, handle).await? else { return Ok(None) };
        let Ok(parameters) = Parameters::from_form(pending.parameters.as_bytes()) else { return Ok(None) };
        let Ok(trusted) = trust(app, &parameters).await else { return Ok(None) };
        let request = AuthorizationRequest::read(&parameters, &trusted.client, &app.settings);
        Ok(Some(Self { pending, trusted, request }))
    }
}

pub(super) fn gone() -> Response {
    let text = "this request was answered before or waited too long; go back to the app and start again";
    page("Request Expired", text)
}

async fn begin(app: &App, Visitor(session): Visitor, arrival: &Arrival, form: &[u8]) -> Result<Response, Problem> {
    if form.len() > LONGEST_REQUEST {
        return Ok(page("Invalid Request", "invalid_request: the request is longer than 16 KiB; state is too long"));
    }
    let parameters = match Parameters::from_form(form) {
        Ok(parameters) => parameters,
        Err(problem) => return Ok(page("Invalid Request", &format!("invalid_request: {problem}"))),
    };
    let trusted = match trust(app, &parameters).await {
        Ok(trusted) => trusted,
        Err(refusal) => return refusal,
    };
    let request = AuthorizationRequest::read(&parameters, &trusted.client, &app.settings);
    let attempt = Attempt { app, arrival, trusted: &trusted, pending: None };
    attempt.answer(session, request, form).await
}

/// One look at a request, at its beginning or after a page.
struct Attempt<'a> {
    app: &'a App,
    arrival: &'a Arrival,
    trusted: &'a Trusted,
    pending: Option<(&'a str, &'a Pending)>,
}

/// What a look at a request leads to.
enum Next {
    SignIn,
    ChooseOrganization,
    AskConsent(Option<OrganizationId>),
    Grant(Box<Granting>),
    Refuse(ErrorAnswer),
}

/// What is about to be granted.
struct Granting {
    organization_id: Option<OrganizationId>,
    products: Vec<Slug>,
    consent_epoch: u64,
    approval: Approval,
}

impl Attempt<'_> {
    async fn answer(
        &self,
        session: Option<SignedIn>,
        request: Result<AuthorizationRequest, ErrorAnswer>,
        form: &[u8],
    ) -> Result<Response, Problem> {
        let Self { app, trusted, .. } = self;
        let request = match request {
            Ok(request) => request,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let Some(apis) = resource_servers(app, &trusted.client, &request.audiences).await? else {
            return self.refuse(UNKNOWN_AUDIENCE).await;
        };
        let expected = match self.expected_user(&request) {
            Ok(expected) => expected,
            Err(refusal) => return self.refuse(refusal).await,
        };
        let next = match &session {
            None => Next::SignIn,
            Some(session) if self.is_stale(session, &request) => Next::SignIn,
            Some(session) if expected.as_deref().is_some_and(|user| user != session.user_id.as_str()) => {
                if self.is_for_this(session) {
                    Next::Refuse(("access_denied", "The user signed in is not the one that the app asks for"))
                } else {
                    Next::SignIn
                }
            }
            Some(session) => self.decide(session, &request).await?,
        };
        let mut acting_for = None;
        let page = match (next, session) {
            (Next::Refuse(refusal), _) => return self.refuse(refusal).await,
            (Next::Grant(granting), Some(session)) => {
                if let Some((handle, _)) = self.pending
                    && !Pending::finish(app, handle).await?
                {
                    return Ok(gone());
                }
                let audiences = apis.into_iter().map(|api| api.identifier).collect();
                let code = self.grant(&session, request, audiences, *granting).await?;
                return Ok(back(app, trusted, &[("code", &code)]));
            }
            (Next::SignIn | Next::Grant(_), _) if request.prompt.none => {
                return self.refuse(("login_required", "The user is not signed in")).await;
            }
            (Next::ChooseOrganization, _) if request.prompt.none => {
                return self.refuse(("interaction_required", "The user must choose an organization")).await;
            }
            (Next::AskConsent(_), _) if request.prompt.none => {
                return self.refuse(("consent_required", "The user has not agreed to this yet")).await;
            }
            (Next::SignIn | Next::Grant(_), _) => "/sign-in",
            (Next::ChooseOrganization, _) => "/oauth/organization",
            (Next::AskConsent(organization_id), _) => {
                acting_for = organization_id;
                "/oauth/consent"
            }
        };
        let handle = match self.pending {
            Some((handle, _)) => handle.to_owned(),
            None => Pending::keep(app, &ascii(form)).await?,
        };
        // What the person agrees to is for this organization.
        if let Some(organization_id) = acting_for {
            Pending::choose(app, &handle, &organization_id).await?;
        }
        let back = path_of(&handle);
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("continue", &back).finish();
        Ok(Redirect::to(&format!("{page}?{query}")).into_response())
    }

    async fn refuse(&self, (error, description): ErrorAnswer) -> Result<Response, Problem> {
        if let Some((handle, _)) = self.pending {
            Pending::finish(self.app, handle).await?;
        }
        Ok(back(self.app, self.trusted, &[("error", error), ("error_description", description)]))
    }

    /// Whether the user must sign in again for this request (OpenID Connect Core §3.1.2.3).
    fn is_stale(&self, session: &SignedIn, request: &AuthorizationRequest) -> bool {
        let age = self.app.now() - session.sign_in.authenticated_at;
        let too_old = request.max_age.is_some_and(|max_age| age > max_age);
        (request.prompt.login || too_old) && !self.is_for_this(session)
    }

    /// Whether the user signed in since the request came.
    fn is_for_this(&self, session: &SignedIn) -> bool {
        self.pending.is_some_and(|(_, pending)| session.sign_in.authenticated_at >= pending.created_at)
    }

    /// The one user that will do, if the client names one.
    fn expected_user(&self, request: &AuthorizationRequest) -> Result<Option<String>, ErrorAnswer> {
        let Some(hint) = &request.id_token_hint else { return Ok(request.claims.subject.clone()) };
        match hinted(self.app, hint) {
            Some(hint) => Ok(Some(hint.sub)),
            None => Err(("invalid_request", "id_token_hint is no ID token of this issuer")),
        }
    }

    async fn decide(&self, session: &SignedIn, request: &AuthorizationRequest) -> Result<Next, Problem> {
        let Self { app, trusted, .. } = self;
        let acr = super::claims::acr(&session.sign_in.methods);
        if !request.claims.essential_acr.is_empty() && !request.claims.essential_acr.iter().any(|value| value == acr) {
            return Ok(Next::Refuse(("unmet_authentication_requirements", "The user signed in in another way")));
        }
        let consent = app.store.load::<Consent>(&Consent::id(&session.user_id, &trusted.client_id)).await?.state;
        let organization_id = match self.organization(session, request, &consent).await? {
            Acting::For(organization_id) => organization_id,
            Acting::MustChoose => return Ok(Next::ChooseOrganization),
            Acting::Refused(description) => return Ok(Next::Refuse(("access_denied", description))),
        };
        let Some(products) = products(app, &request.scopes, organization_id.as_ref()).await? else {
            return Ok(Next::Refuse(SCOPE_NOT_ALLOWED));
        };
        let wished = wished(request);
        let approval = match trusted.client.approval() {
            Some(trusted_by_organization)
                if !request.prompt.consent && is_covered(trusted_by_organization, &wished, &products) =>
            {
                trusted_by_organization
            }
            _ => match self.pending.and_then(|(_, pending)| pending.decision(&session.user_id)) {
                Some(Decision::Deny) => return Ok(Next::Refuse(("access_denied", "The user said no"))),
                Some(Decision::Authorize) => Approval::Consent,
                None if request.prompt.consent => return Ok(Next::AskConsent(organization_id)),
                None if !consent.covers(&wished, organization_id.as_ref()) => {
                    return Ok(Next::AskConsent(organization_id));
                }
                None => Approval::Consent,
            },
        };
        Ok(Next::Grant(Box::new(Granting { organization_id, products, consent_epoch: consent.epoch(), approval })))
    }

    /// For which organization the user acts (C10, R046, R047).
    async fn organization(
        &self,
        session: &SignedIn,
        request: &AuthorizationRequest,
        consent: &Consent,
    ) -> Result<Acting, Problem> {
        let Self { app, trusted, .. } = self;
        let member_of = async |id: &OrganizationId| is_member(app, &session.user_id, Some(id)).await;
        if trusted.client.approval().is_some() {
            let own = &trusted.client.organization_id;
            if !member_of(own).await? {
                return Ok(Acting::Refused("You are not a member of the organization that this app belongs to"));
            }
            return Ok(Acting::For(Some(own.clone())));
        }
        if let Some(asked) = &request.organization {
            if !member_of(asked).await? {
                return Ok(Acting::Refused("You are not a member of the organization that the app asks for"));
            }
            return Ok(Acting::For(Some(asked.clone())));
        }
        let chosen = self.pending.and_then(|(_, pending)| pending.organization_id.as_deref()?.parse().ok());
        if let Some(chosen) = chosen.or_else(|| consent.organization_id().cloned())
            && member_of(&chosen).await?
        {
            return Ok(Acting::For(Some(chosen)));
        }
        let memberships = projections::memberships_of(&app.views.db, &session.user_id, "", 2).await?;
        match memberships.as_slice() {
            [] => Ok(Acting::For(None)),
            [only] => Ok(Acting::For(only.organization_id.parse().ok())),
            _ => Ok(Acting::MustChoose),
        }
    }

    async fn grant(
        &self,
        session: &SignedIn,
        request: AuthorizationRequest,
        audiences: Vec<ApiIdentifier>,
        granting: Granting,
    ) -> Result<String, Problem> {
        let Self { app, arrival, trusted, .. } = self;
        let grant_id = Uuid::now_v7();
        let code = token_of("auth_", grant_id);
        let now = app.now();
        let Granting { organization_id, products, consent_epoch, approval } = granting;
        let command = GrantCommand::Authorize(Box::new(Authorization {
            client_id: trusted.client_id.clone(),
            user_id: session.user_id.clone(),
            organization_id: organization_id.clone(),
            session_id: session.session_id.clone(),
            scopes: request.scopes,
            redirect_uri: trusted.redirect_uri.clone(),
            nonce: request.nonce,
            code_challenge: request.code_challenge,
            auth_time: session.sign_in.authenticated_at,
            approval,
            code_hash: hash_of(&code),
            code_expires_at: now + app.settings.code_lifetime,
            methods: session.sign_in.methods.clone(),
            products,
            audiences,
            claims: request.claims.names,
            consent_epoch,
            authorized_at: Some(now),
        }));
        let mut context = session.context(arrival, organization_id.as_ref().map(OrganizationId::as_str));
        context.client_id = Some(trusted.client_id.to_string());
        let grant_id = GrantId::from_uuid(grant_id);
        app.store.execute::<Grant>(Execution::new(grant_id.as_str(), command, &context)).await?;
        Ok(code)
    }
}

/// Whether nobody needs to be asked: an installed app may sign people in and tell about them and the products that
/// their organization pays for; whatever else it wants, people must agree to (R036, R190). The organization's own
/// clients may have what its administrators gave them.
fn is_covered(approval: Approval, wished: &Scopes, products: &[Slug]) -> bool {
    let is_product = |scope: &Scope| products.iter().any(|slug| slug.as_str() == scope.as_str());
    approval == Approval::FirstParty
        || wished.iter().all(|scope| USUAL_SCOPES.contains(&scope.as_str()) || is_product(scope))
}

/// What every app that signs people in may ask for.
const USUAL_SCOPES: [&str; 8] =
    ["openid", "profile", "email", "address", "phone", "offline_access", "organization", "organization:read"];

/// For whom the user acts.
enum Acting {
    For(Option<OrganizationId>),
    MustChoose,
    Refused(&'static str),
}

/// What the client wants to be agreed to: its scopes, and those that single claims stand for.
pub(super) fn wished(request: &AuthorizationRequest) -> Scopes {
    let names = request.claims.names.userinfo.iter().chain(&request.claims.names.id_token);
    let claimed = names.filter_map(|name| super::claims::scope_of(name)?.parse::<Scope>().ok());
    request.scopes.iter().cloned().chain(claimed).collect()
}

/// Which of the scopes are products; none if the organization has no licence for one of them (R030).
async fn products(
    app: &App,
    scopes: &Scopes,
    organization: Option<&OrganizationId>,
) -> Result<Option<Vec<Slug>>, Problem> {
    let mut products = Vec::new();
    for slug in scopes.iter().filter_map(|scope| scope.as_str().parse::<Slug>().ok()) {
        if !projections::is_product(&app.views.db, &slug).await? {
            continue;
        }
        let licensed = match organization {
            Some(id) => projections::licences_of(&app.views.db, id, app.now()).await?,
            None => Vec::new(),
        };
        if !licensed.iter().any(|licence| licence.slug == slug.as_str()) {
            return Ok(None);
        }
        products.push(slug);
    }
    Ok(Some(products))
}
