//! Signing in with a password, and the session that a browser's cookie stands for.

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use domain::{Email, EndReason, Session, SessionCommand, SessionId, SignIn, SignInRefusal, User, UserId};
use eventstore::{Actor, Context, Execution};
use uuid::Uuid;

use crate::accounts::user_by_email;
use crate::{App, Arrival, Problem, cookies, hash_of, random_secret};

const COOKIE: &str = "session";

/// Somebody signed in at this browser.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// Who.
    pub user_id: UserId,
    /// By which sign-in.
    pub session_id: SessionId,
    /// When and how.
    pub sign_in: SignIn,
}

/// The outcome of a sign-in.
pub enum Attempt {
    /// The value for `Set-Cookie`, and who it is.
    Admitted(String, SignedIn),
    /// Address or password are wrong; which of them is not told.
    Refused,
}

/// Signs somebody in with address and password; a refusal is an event too (R254).
///
/// # Errors
/// When the log fails or the server is overloaded.
pub async fn sign_in(app: &App, email: &str, password: &str, arrival: &Arrival) -> Result<Attempt, Problem> {
    let user_id = match email.parse::<Email>() {
        Ok(email) => user_by_email(app, &email).await?,
        Err(_) => None,
    };
    let user = match &user_id {
        Some(id) => app.store.load::<User>(id.as_str()).await?.state,
        None => std::sync::Arc::default(),
    };
    let matches = app.passwords.matches(password, user.password_hash()).await?;
    let session_id = SessionId::from_uuid(Uuid::now_v7());
    let refusal = match &user_id {
        None => Some(SignInRefusal::UnknownUser),
        Some(_) if user.password_hash().is_none() => Some(SignInRefusal::NoPassword),
        Some(_) if !matches => Some(SignInRefusal::WrongPassword),
        Some(_) if !user.is_active() => Some(SignInRefusal::Suspended),
        Some(_) => None,
    };
    let (Some(user_id), None) = (user_id.clone(), refusal) else {
        let reason = refusal.unwrap_or(SignInRefusal::UnknownUser);
        let command = SessionCommand::Refuse { user_id, reason };
        let context = arrival.context(Actor::Anonymous, None);
        app.store.execute::<Session>(Execution::new(session_id.as_str(), command, &context)).await?;
        return Ok(Attempt::Refused);
    };
    let secret = random_secret("");
    let now = app.now();
    let command = SessionCommand::Start {
        user_id: user_id.clone(),
        authenticated_at: now,
        expires_at: now + app.settings.session_lifetime,
        methods: vec!["pwd".to_owned()],
        secret_hash: hash_of(&secret),
        session_epoch: user.session_epoch(),
    };
    let context = arrival.context(Actor::User(user_id.to_string()), None);
    let receipt = app.store.execute::<Session>(Execution::new(session_id.as_str(), command, &context)).await?;
    let Some(sign_in) = receipt.state.active().cloned() else {
        return Err(Problem::internal("starting a session did not start it"));
    };
    let value = format!("{session_id}.{secret}");
    let cookie = cookies::write(&app.settings, COOKIE, &value, app.settings.session_lifetime.num_seconds());
    Ok(Attempt::Admitted(cookie, SignedIn { user_id, session_id, sign_in }))
}

/// Ends a session; answers the `Set-Cookie` that forgets it.
///
/// # Errors
/// When the log fails.
pub async fn sign_out(app: &App, session: &SignedIn, arrival: &Arrival) -> Result<String, Problem> {
    let context = session.context(arrival, None);
    let command = SessionCommand::End { reason: EndReason::SignedOut };
    app.store.execute::<Session>(Execution::new(session.session_id.as_str(), command, &context)).await?;
    Ok(forget_session(app))
}

/// The `Set-Cookie` that makes a browser forget its session.
#[must_use]
pub fn forget_session(app: &App) -> String {
    cookies::write(&app.settings, COOKIE, "", 0)
}

/// Who is signed in at the browser that sent these headers.
///
/// # Errors
/// When the log fails.
pub async fn session_of(app: &App, headers: &HeaderMap) -> Result<Option<SignedIn>, Problem> {
    let Some((session_id, secret)) = presented(app, headers) else { return Ok(None) };
    let session = app.store.load::<Session>(session_id.as_str()).await?;
    let Some(sign_in) = session.state.active().cloned() else { return Ok(None) };
    if sign_in.secret_hash != hash_of(&secret) || sign_in.expires_at <= app.now() {
        return Ok(None);
    }
    let user = app.store.load::<User>(sign_in.user_id.as_str()).await?;
    // A new password ends every session that an older one started (R270).
    let stands = user.state.is_active() && user.state.session_epoch() == sign_in.session_epoch;
    Ok(stands.then(|| SignedIn { user_id: sign_in.user_id.clone(), session_id, sign_in }))
}

impl SignedIn {
    /// The context of what this person does, in `tenant` alone if one is given.
    #[must_use]
    pub fn context(&self, arrival: &Arrival, tenant: Option<&str>) -> Context {
        arrival.context(Actor::User(self.user_id.to_string()), tenant)
    }
}

/// Somebody signed in, or nobody: for handlers that serve both.
pub struct Visitor(pub Option<SignedIn>);

impl FromRequestParts<App> for Visitor {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        session_of(app, &parts.headers).await.map(Self)
    }
}

fn presented(app: &App, headers: &HeaderMap) -> Option<(SessionId, String)> {
    let value = cookies::read(&app.settings, headers, COOKIE)?;
    let (id, secret) = value.split_once('.')?;
    Some((id.parse().ok()?, secret.to_owned()))
}
