//! The end session endpoint (OpenID Connect RP-Initiated Logout 1.0).

use axum::extract::{RawForm, State};
use axum::http::header;
use axum::response::{IntoResponse, Redirect, Response};
use domain::{Client, ClientId, EndReason, OAuthClient, Session, SessionCommand, SessionId};
use eventstore::{Actor, ExecuteError, Execution};
use serde::Deserialize;
use url::form_urlencoded;

use super::answer::{page, redirect, with_query};
use super::parameters::Parameters;
use crate::sign_in::{SignedIn, Visitor, forget_session};
use crate::{App, Arrival, Problem};

/// Whom an ID token was about; who shows it may be late, but not a stranger.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Hint {
    pub sub: String,
    aud: String,
    iss: String,
    #[serde(default)]
    sid: Option<SessionId>,
}

/// What an `id_token_hint` says, if it is an ID token of ours, expired or not (§2).
pub(super) fn hinted(app: &App, hint: &str) -> Option<Hint> {
    app.keys.verify_id_token_hint::<Hint>(hint).filter(|hint| hint.iss == app.settings.base_url)
}

/// `GET /oauth/logout`; a query is read like a form.
pub(crate) async fn get(
    State(app): State<App>,
    visitor: Visitor,
    arrival: Arrival,
    RawForm(query): RawForm,
) -> Result<Response, Problem> {
    answer(&app, visitor, &arrival, &query).await
}

/// `POST /oauth/logout`
pub(crate) async fn post(
    State(app): State<App>,
    visitor: Visitor,
    arrival: Arrival,
    RawForm(body): RawForm,
) -> Result<Response, Problem> {
    // Browsers keep our cookie back from another site's form (`SameSite=Lax`) and send it with the redirect.
    if visitor.0.is_none()
        && let Ok(query) = std::str::from_utf8(&body)
        && query.bytes().all(|byte| byte.is_ascii_graphic())
    {
        return Ok(Redirect::to(&format!("{}?{query}", super::paths::LOGOUT)).into_response());
    }
    answer(&app, visitor, &arrival, &body).await
}

async fn answer(app: &App, Visitor(session): Visitor, arrival: &Arrival, form: &[u8]) -> Result<Response, Problem> {
    let parameters = match Parameters::from_form(form) {
        Ok(parameters) => parameters,
        Err(problem) => return Ok(page("Invalid Request", &format!("invalid_request: {problem}"))),
    };
    let request = match LogoutRequest::read(app, &parameters).await? {
        Ok(request) => request,
        Err(text) => return Ok(page("Invalid Request", &format!("invalid_request: {text}"))),
    };
    let ends = match (&request.hint, &session) {
        // The hint names its session: whoever has it was given it for this session.
        (Some(Hint { sid: Some(sid), .. }), None) => Some(sid.clone()),
        (Some(hint), Some(session)) if hint.sub == session.user_id.as_str() => Some(session.session_id.clone()),
        (_, Some(_)) => return Ok(request.ask()),
        (_, None) => None,
    };
    let Some(session_id) = ends else { return Ok(request.leave()) };
    end(app, arrival, &session_id, session.as_ref(), &request).await?;
    Ok(([(header::SET_COOKIE, forget_session(app))], request.leave()).into_response())
}

/// The session ends; one that is over already is as good.
async fn end(
    app: &App,
    arrival: &Arrival,
    session_id: &SessionId,
    session: Option<&SignedIn>,
    request: &LogoutRequest,
) -> Result<(), Problem> {
    let client = || Actor::Client(request.client_id.as_ref().map(ToString::to_string).unwrap_or_default());
    let mut context = match session {
        Some(session) => session.context(arrival, None),
        None => arrival.context(client(), None),
    };
    context.client_id = request.client_id.as_ref().map(ToString::to_string);
    let command = SessionCommand::End { reason: EndReason::SignedOut };
    match app.store.execute::<Session>(Execution::new(session_id.as_str(), command, &context)).await {
        Ok(_) | Err(ExecuteError::Rejected(_)) => Ok(()),
        Err(other) => Err(other.into()),
    }
}

/// What a client asks for, once it is known to be allowed.
struct LogoutRequest {
    hint: Option<Hint>,
    client_id: Option<ClientId>,
    /// Registered, so that it may be gone to.
    post_logout_redirect_uri: Option<String>,
    state: Option<String>,
}

impl LogoutRequest {
    /// The error is a sentence for the person at the browser, who is not sent anywhere.
    async fn read(app: &App, parameters: &Parameters) -> Result<Result<Self, &'static str>, Problem> {
        let hint = match parameters.get("id_token_hint").map(|hint| hinted(app, hint)) {
            Some(None) => return Ok(Err("id_token_hint is no ID token of this issuer")),
            Some(Some(hint)) => Some(hint),
            None => None,
        };
        let named = parameters.get("client_id");
        if let (Some(hint), Some(named)) = (&hint, named)
            && hint.aud != named
        {
            return Ok(Err("client_id is not the client that id_token_hint was issued to"));
        }
        let client_id: Option<ClientId> = match named.or(hint.as_ref().map(|hint| hint.aud.as_str())).map(str::parse) {
            Some(Ok(client_id)) => Some(client_id),
            Some(Err(_)) => return Ok(Err("client_id is unknown")),
            None => None,
        };
        let post_logout_redirect_uri = match (parameters.get("post_logout_redirect_uri"), &client_id) {
            (None, _) => None,
            (Some(_), None) => {
                return Ok(Err("post_logout_redirect_uri needs id_token_hint or client_id, which say whose it is"));
            }
            (Some(uri), Some(client_id)) if returns_to(app, client_id, uri).await? => Some(uri.to_owned()),
            (Some(_), Some(_)) => return Ok(Err("post_logout_redirect_uri not registered")),
        };
        let state = parameters.get("state").map(str::to_owned);
        Ok(Ok(Self { hint, client_id, post_logout_redirect_uri, state }))
    }

    /// Nothing proves that the person wants this: the page asks (§2).
    fn ask(&self) -> Response {
        Redirect::to(&format!("/sign-out?continue={}", encoded(&self.again()))).into_response()
    }

    /// The same request once the person has signed out.
    fn again(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(self.client_id.iter().map(|id| ("client_id", id.as_str())));
        query.extend_pairs(self.post_logout_redirect_uri.iter().map(|uri| ("post_logout_redirect_uri", uri)));
        query.extend_pairs(self.state.iter().map(|state| ("state", state)));
        format!("{}?{}", super::paths::LOGOUT, query.finish())
    }

    fn leave(&self) -> Response {
        let Some(uri) = &self.post_logout_redirect_uri else {
            return Redirect::to("/sign-in?done=signed-out").into_response();
        };
        match &self.state {
            None => redirect(uri),
            Some(state) => {
                let query = form_urlencoded::Serializer::new(String::new()).append_pair("state", state).finish();
                redirect(&with_query(uri, &query))
            }
        }
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Compared as exact strings (R143); a disabled client is not returned to.
async fn returns_to(app: &App, client_id: &ClientId, uri: &str) -> Result<bool, Problem> {
    let has_uri = |client: &Client| client.settings.post_logout_redirect_uris.iter().any(|own| own.as_str() == uri);
    let returns = |client: &OAuthClient| client.active().is_some_and(has_uri);
    Ok(app.store.load_where::<OAuthClient>(client_id.as_str(), returns).await?.is_some())
}
