//! The authorization endpoint (RFC 6749 §4.1.1, OpenID Connect Core §3.1.2): from a client's request to a code.

use axum::extract::{RawForm, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use chrono::Duration;
use domain::{
    Approval, Client, ClientId, CodeChallenge, CodeChallengeMethod, Grant, GrantCommand, GrantId, RedirectUri, Scopes,
};
use eventstore::Execution;
use url::{Url, form_urlencoded};
use uuid::Uuid;

use super::paths;
use super::token::Parameters;
use crate::access_token::{active_client, is_member};
use crate::secrets::token_of;
use crate::sign_in::{SignedIn, Visitor};
use crate::{App, Arrival, ErrorPage, Problem, hash_of};

/// A nonce is stored with its grant, for ever.
const LONGEST_NONCE: usize = 1_024;

/// `GET /oauth/authorize`; a query is read like a form.
pub(crate) async fn get(
    state: State<App>,
    visitor: Visitor,
    arrival: Arrival,
    RawForm(query): RawForm,
) -> Result<Response, Problem> {
    answer(&state, visitor, &arrival, &query).await
}

/// `POST /oauth/authorize` (OpenID Connect Core §3.1.2.1).
pub(crate) async fn post(
    state: State<App>,
    visitor: Visitor,
    arrival: Arrival,
    RawForm(body): RawForm,
) -> Result<Response, Problem> {
    answer(&state, visitor, &arrival, &body).await
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

/// Who asks, if `continue_to` is an authorization request of a client that may be told the answer.
pub async fn asked_by(app: &App, continue_to: &str) -> Option<AskedBy> {
    let query = continue_to.strip_prefix(paths::AUTHORIZE)?.strip_prefix('?')?;
    let parameters = Parameters::from_form(query.as_bytes()).ok()?;
    let trusted = trust(app, &parameters).await.ok()?;
    let given = |name: &str| parameters.get(name).map(str::to_owned);
    Some(AskedBy {
        client: trusted.client.name.to_string(),
        origin: trusted.redirect_uri.origin(),
        login_hint: given("login_hint"),
        ui_locales: given("ui_locales"),
    })
}

async fn answer(app: &App, visitor: Visitor, arrival: &Arrival, form: &[u8]) -> Result<Response, Problem> {
    let parameters = match Parameters::from_form(form) {
        Ok(parameters) => parameters,
        Err(repeated) => return Ok(page("Invalid Request", &format!("invalid_request: {repeated} is given twice"))),
    };
    // Until client and redirect_uri are known to belong together, nothing may be sent anywhere (RFC 9700 §4.11).
    let trusted = match trust(app, &parameters).await {
        Ok(trusted) => trusted,
        Err(refusal) => return refusal,
    };
    match decide(app, visitor, arrival, &parameters, &trusted).await? {
        Next::SignIn => {
            let mut pairs = form_urlencoded::Serializer::new(String::new());
            for (name, value) in form_urlencoded::parse(form) {
                // Asked for once; asking again after the sign-in would never end.
                let value = if name == "prompt" { without_login(&value) } else { value.into_owned() };
                if name != "max_age" && !(name == "prompt" && value.is_empty()) {
                    pairs.append_pair(&name, &value);
                }
            }
            let back = format!("{}?{}", paths::AUTHORIZE, pairs.finish());
            let query = form_urlencoded::Serializer::new(String::new()).append_pair("continue", &back).finish();
            Ok(Redirect::to(&format!("/sign-in?{query}")).into_response())
        }
        Next::Code(code) => Ok(back(app, &trusted, &[("code", &code)])),
        Next::Refuse(error, description) => {
            Ok(back(app, &trusted, &[("error", error), ("error_description", description)]))
        }
    }
}

fn without_login(prompt: &str) -> String {
    prompt.split(' ').filter(|word| *word != "login").collect::<Vec<_>>().join(" ")
}

enum Next {
    SignIn,
    Code(String),
    Refuse(&'static str, &'static str),
}

/// A client that exists and a redirect URI that it registered.
struct Trusted {
    client_id: ClientId,
    client: Client,
    redirect_uri: RedirectUri,
    state: Option<String>,
}

type Refusal = Result<Response, Problem>;

async fn trust(app: &App, parameters: &Parameters) -> Result<Trusted, Refusal> {
    let Some(client_id) = parameters.get("client_id") else {
        return Err(Ok(page("Invalid Request", "invalid_request: client_id is missing")));
    };
    let unknown = || Ok(page("Invalid Client", "invalid_client: Client not found"));
    let client_id: ClientId = client_id.parse().map_err(|_| unknown())?;
    let client = active_client(app, &client_id).await.map_err(|error| Err(error.into()))?.ok_or_else(unknown)?;
    let Some(uri) = parameters.get("redirect_uri") else {
        return Err(Ok(page("Invalid Request", "invalid_request: redirect_uri is missing")));
    };
    let not_registered = || Ok(page("Invalid Request", "invalid_request: redirect_uri not registered"));
    if !client.has_redirect_uri(uri) {
        return Err(not_registered());
    }
    let redirect_uri = uri.parse().map_err(|_| not_registered())?;
    let state = parameters.get("state").map(str::to_owned);
    Ok(Trusted { client_id, client, redirect_uri, state })
}

async fn decide(
    app: &App,
    Visitor(session): Visitor,
    arrival: &Arrival,
    parameters: &Parameters,
    trusted: &Trusted,
) -> Result<Next, Problem> {
    let request = match AuthorizationRequest::read(parameters, &trusted.client) {
        Ok(request) => request,
        Err((error, description)) => return Ok(Next::Refuse(error, description)),
    };
    let silent = request.prompt.iter().any(|prompt| prompt == "none");
    let again = request.prompt.iter().any(|prompt| prompt == "login");
    let fresh = |session: &SignedIn| {
        request.max_age.is_none_or(|max_age| app.now() - session.sign_in.authenticated_at <= max_age)
    };
    let Some(session) = session.filter(|session| !again && fresh(session)) else {
        let refusal = Next::Refuse("login_required", "The user is not signed in");
        return Ok(if silent { refusal } else { Next::SignIn });
    };
    // An installed app is trusted by its organization: its members are signed in without a page (R036, R047).
    let organization_id = trusted.client.organization_id.clone();
    if !is_member(app, &session.user_id, Some(&organization_id)).await? {
        return Ok(Next::Refuse("access_denied", "You are not a member of the organization that installed this app"));
    }
    if trusted.client.installation.is_none() {
        return Ok(Next::Refuse("access_denied", "This app is not installed in your organization"));
    }
    let grant_id = Uuid::now_v7();
    let code = token_of("auth_", grant_id);
    let command = GrantCommand::Authorize {
        client_id: trusted.client_id.clone(),
        user_id: session.user_id.clone(),
        organization_id: Some(organization_id.clone()),
        session_id: session.session_id.clone(),
        scopes: request.scopes,
        redirect_uri: trusted.redirect_uri.clone(),
        nonce: request.nonce,
        code_challenge: request.code_challenge,
        auth_time: session.sign_in.authenticated_at,
        approval: Approval::InstalledApp,
        code_hash: hash_of(&code),
        code_expires_at: app.now() + app.settings.code_lifetime,
    };
    let mut context = session.context(arrival, Some(organization_id.as_str()));
    context.client_id = Some(trusted.client_id.to_string());
    let grant_id = GrantId::from_uuid(grant_id);
    app.store.execute::<Grant>(Execution::new(grant_id.as_str(), command, &context)).await?;
    Ok(Next::Code(code))
}

/// What the client asks for, once it may be told what is wrong with it.
struct AuthorizationRequest {
    scopes: Scopes,
    nonce: Option<String>,
    code_challenge: Option<CodeChallenge>,
    prompt: Vec<String>,
    max_age: Option<Duration>,
}

type ErrorAnswer = (&'static str, &'static str);

impl AuthorizationRequest {
    fn read(parameters: &Parameters, client: &Client) -> Result<Self, ErrorAnswer> {
        match parameters.get("response_type") {
            Some("code") => {}
            None => return Err(("invalid_request", "response_type is missing: it must be code")),
            Some(_) => return Err(("unsupported_response_type", "response_type must be code")),
        }
        if parameters.has("request") {
            return Err(("request_not_supported", "request objects are not supported"));
        }
        if parameters.has("request_uri") {
            return Err(("request_uri_not_supported", "request objects are not supported"));
        }
        if parameters.get("response_mode").is_some_and(|mode| mode != "query") {
            return Err(("invalid_request", "response_mode must be query"));
        }
        let not_allowed = ("invalid_scope", "Requested scope not allowed");
        let asked = parameters.get("scope").ok_or(("invalid_scope", "scope is missing"))?;
        let asked: Scopes = asked.parse().map_err(|_| not_allowed)?;
        // Known but empty, so that generic clients do not break (C12).
        let harmless = ["openid", "address", "phone"];
        let allowed = |scope: &str| harmless.contains(&scope) || client.scopes.contains(scope);
        if asked.is_empty() || !asked.iter().all(|scope| allowed(scope.as_str())) {
            return Err(not_allowed);
        }
        if parameters.get("nonce").is_some_and(|nonce| nonce.len() > LONGEST_NONCE) {
            return Err(("invalid_request", "nonce must have at most 1024 bytes"));
        }
        let max_age = match parameters.get("max_age").map(str::parse::<u32>) {
            None => None,
            Some(Ok(seconds)) => Some(Duration::seconds(i64::from(seconds))),
            Some(Err(_)) => return Err(("invalid_request", "max_age must be a number of seconds")),
        };
        let prompt: Vec<String> = parameters.get("prompt").unwrap_or_default().split(' ').map(str::to_owned).collect();
        if prompt.len() > 1 && prompt.iter().any(|prompt| prompt == "none") {
            return Err(("invalid_request", "prompt=none stands alone"));
        }
        Ok(Self {
            scopes: asked,
            nonce: parameters.get("nonce").map(str::to_owned),
            code_challenge: code_challenge(parameters, client)?,
            prompt,
            max_age,
        })
    }
}

/// Public clients need S256; confidential ones may leave PKCE out, or use `plain` (C3, RFC 7636 §4.3).
fn code_challenge(parameters: &Parameters, client: &Client) -> Result<Option<CodeChallenge>, ErrorAnswer> {
    let public = !client.client_type.is_confidential();
    let Some(value) = parameters.get("code_challenge") else {
        return match (public, parameters.has("code_challenge_method")) {
            (true, _) => Err(("invalid_request", "code_challenge is missing: this client must use PKCE")),
            (false, true) => Err(("invalid_request", "code_challenge_method is given without code_challenge")),
            (false, false) => Ok(None),
        };
    };
    let method = match parameters.get("code_challenge_method") {
        Some("S256") => CodeChallengeMethod::S256,
        Some("plain") | None if !public => CodeChallengeMethod::Plain,
        _ => return Err(("invalid_request", "code_challenge_method must be S256")),
    };
    CodeChallenge::new(method, value).map(Some).map_err(|_| {
        ("invalid_request", "code_challenge must be 43 characters of base64url for S256, 43 to 128 for plain")
    })
}

/// Back to the client, with its state as it was and who answers (RFC 9207).
fn back(app: &App, trusted: &Trusted, answer: &[(&str, &str)]) -> Response {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(answer);
    if let Some(state) = &trusted.state {
        query.append_pair("state", state);
    }
    query.append_pair("iss", &app.settings.base_url);
    let location = with_query(trusted.redirect_uri.as_str(), &query.finish());
    let headers = [(header::LOCATION, location), (header::CACHE_CONTROL, "no-store".to_owned())];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// Adds to the query that a registered URI has; a URI without a path gets one (R050).
fn with_query(uri: &str, query: &str) -> String {
    match Url::parse(uri) {
        Ok(url) if url.cannot_be_a_base() => format!("{uri}?{query}"),
        Ok(mut url) => {
            let joined = url.query().filter(|own| !own.is_empty()).map(|own| format!("{own}&{query}"));
            url.set_query(Some(joined.as_deref().unwrap_or(query)));
            url.into()
        }
        Err(_) => format!("{uri}?{query}"),
    }
}

fn page(heading: &str, text: &str) -> Response {
    let page = ErrorPage { heading: heading.to_owned(), text: text.to_owned() };
    let mut response = (StatusCode::BAD_REQUEST, format!("{heading}\n{text}\n")).into_response();
    response.extensions_mut().insert(page);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_login_is_taken_off_the_prompt() {
        assert_eq!(without_login("login consent"), "consent");
        assert_eq!(without_login("login"), "");
    }

    #[test]
    fn an_answer_is_added_to_the_query_that_is_there() {
        assert_eq!(with_query("https://a.example/cb?x=1", "code=c"), "https://a.example/cb?x=1&code=c");
        assert_eq!(with_query("https://a.example", "code=c"), "https://a.example/?code=c");
        assert_eq!(with_query("com.example.app:/callback", "code=c"), "com.example.app:/callback?code=c");
    }
}
