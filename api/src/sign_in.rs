//! Signing in with a password and, where it is on, a second factor; the session that a browser's cookie stands for.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use chrono::{DateTime, Duration, Utc};
use domain::{Email, EndReason, Session, SessionCommand, SessionId, SignIn, SignInRefusal, User, UserId};
use eventstore::{Actor, Context, Execution};
use uuid::Uuid;

use crate::accounts::user_by_email;
use crate::devices::Device;
use crate::throttle::{self, Subject, Turn};
use crate::{App, Arrival, Problem, cookies, hash_of, random_secret, two_factor};

const COOKIE: &str = "session";
/// Holds the sign-in whose code is still to come.
const PENDING_COOKIE: &str = "sign_in";
const PENDING_LIFETIME: Duration = Duration::minutes(10);
/// So many codes may be tried before the password is asked for again.
const CODES: i64 = 5;

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

/// A sign-in that succeeded.
pub struct Admitted {
    /// The values for `Set-Cookie`.
    pub cookies: Vec<String>,
    /// Who it is.
    pub signed_in: SignedIn,
}

/// The outcome of a sign-in with a password.
pub enum Attempt {
    /// In.
    Admitted(Admitted),
    /// The password is right, and this is the `Set-Cookie` with which the code is to come.
    CodeNeeded(String),
    /// Address or password are wrong; which of them is not told.
    Refused,
    /// Too many failures before: nothing was looked at, and is not for so many seconds.
    Paused(i64),
}

/// The outcome of a code.
pub enum CodeAttempt {
    /// In.
    Admitted(Admitted),
    /// The code is wrong or was used before.
    Refused,
    /// Too many failures before: nothing was looked at, and is not for so many seconds.
    Paused(i64),
    /// There is no sign-in that waits for a code (any more): it starts with the password again.
    Over,
}

/// The browser that signs in: how its request arrived and what it remembers.
#[derive(Clone)]
pub struct Browser {
    /// From where, with what.
    pub arrival: Arrival,
    device: Device,
    pending: Option<String>,
}

impl FromRequestParts<App> for Browser {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let Ok(arrival) = Arrival::from_request_parts(parts, app).await;
        let pending = cookies::read(&app.settings, &parts.headers, PENDING_COOKIE);
        Ok(Self { arrival, device: Device::of(app, &parts.headers), pending })
    }
}

impl Browser {
    /// Makes this browser known to an account; answers its `Set-Cookie`.
    pub(crate) async fn remember(&self, app: &App, user_id: &UserId) -> Result<String, Problem> {
        Ok(self.device.remember(app, user_id).await?)
    }

    /// What tries of `what` on an account are counted by: a browser that the account knows by itself, every other
    /// one by account and address.
    pub(crate) async fn subjects(
        &self,
        app: &App,
        what: &str,
        user: Option<&UserId>,
        typed: &str,
    ) -> Result<Vec<Subject>, Problem> {
        let settings = &app.settings.accounts;
        if let Some(user_id) = user
            && let Some(known) = self.device.known_to(app, user_id).await?
        {
            return Ok(vec![this_browser(app, what, &known)]);
        }
        Ok(vec![account(app, what, user, typed), Subject::address(settings, what, &self.arrival)])
    }
}

/// What tries of a browser that the account knows are counted by.
fn this_browser(app: &App, what: &str, known: &str) -> Subject {
    Subject::account(&app.settings.accounts, &format!("{what} known"), known)
}

/// What strangers' tries on an account are counted by; an address that nobody has is counted alike.
fn account(app: &App, what: &str, user: Option<&UserId>, typed: &str) -> Subject {
    let whose = user.map_or_else(|| typed.to_lowercase(), ToString::to_string);
    Subject::account(&app.settings.accounts, what, &whose)
}

/// Lifts every pause of an account: its owner has proved to be it by other means.
pub(crate) async fn lift_pauses(app: &App, user_id: &UserId, browser: &Browser) -> Result<(), Problem> {
    for what in ["password", "code"] {
        throttle::forget(app, &account(app, what, Some(user_id), "")).await?;
        if let Some(known) = browser.device.known_to(app, user_id).await? {
            throttle::forget(app, &this_browser(app, what, &known)).await?;
        }
    }
    Ok(())
}

/// Signs somebody in with address and password; a refusal is an event too (R254).
///
/// # Errors
/// When the log fails or the server is overloaded.
pub async fn sign_in(app: &App, email: &str, password: &str, browser: &Browser) -> Result<Attempt, Problem> {
    let user_id = match email.parse::<Email>() {
        Ok(email) => user_by_email(app, &email).await?,
        Err(_) => None,
    };
    let subjects = browser.subjects(app, "password", user_id.as_ref(), email).await?;
    if let Turn::Pause { seconds, first } = throttle::turn(app, subjects.clone()).await? {
        if first {
            refuse(app, user_id, SignInRefusal::Throttled, browser).await?;
        }
        return Ok(Attempt::Paused(seconds));
    }
    let user = match &user_id {
        Some(id) => app.store.load::<User>(id.as_str()).await?.state,
        None => Arc::default(),
    };
    let matches = match app.passwords.matches(password, user.password_hash()).await {
        Ok(matches) => matches,
        Err(overloaded) => {
            throttle::succeeded(app, &subjects).await?;
            return Err(overloaded);
        }
    };
    let refusal = match &user_id {
        None => Some(SignInRefusal::UnknownUser),
        Some(_) if user.password_hash().is_none() => Some(SignInRefusal::NoPassword),
        Some(_) if !matches => Some(SignInRefusal::WrongPassword),
        Some(_) if !user.is_active() => Some(SignInRefusal::Suspended),
        Some(_) => None,
    };
    let (Some(user_id), None) = (user_id.clone(), refusal) else {
        refuse(app, user_id, refusal.unwrap_or(SignInRefusal::UnknownUser), browser).await?;
        return Ok(Attempt::Refused);
    };
    throttle::succeeded(app, &subjects).await?;
    if user.totp_secret_id().is_some() {
        return Ok(Attempt::CodeNeeded(wait_for_code(app, &user_id, &user).await?));
    }
    start(app, user_id, &user, &["pwd"], app.now(), browser).await.map(Attempt::Admitted)
}

/// Goes on with a sign-in whose password was right, with a code of the authenticator app or a recovery code.
///
/// # Errors
/// When the log fails.
pub async fn sign_in_with_code(app: &App, code: &str, browser: &Browser) -> Result<CodeAttempt, Problem> {
    let Some(pending) = browser.pending.as_deref().map(|secret| hash_of(secret).to_string()) else {
        return Ok(CodeAttempt::Over);
    };
    let sql = "SELECT user_id, session_epoch FROM pending_sign_ins WHERE pending_hash = $1 AND expires_at > $2";
    let row: Option<(String, i64)> = app.views.db.fetch_optional(sql, (pending.as_str(), app.now())).await?;
    let Some((Ok(user_id), epoch)) = row.map(|(user_id, epoch)| (user_id.parse::<UserId>(), epoch)) else {
        return Ok(CodeAttempt::Over);
    };
    let subjects = browser.subjects(app, "code", Some(&user_id), "").await?;
    if let Turn::Pause { seconds, first } = throttle::turn(app, subjects.clone()).await? {
        if first {
            refuse(app, Some(user_id), SignInRefusal::Throttled, browser).await?;
        }
        return Ok(CodeAttempt::Paused(seconds));
    }
    let user = app.store.load::<User>(user_id.as_str()).await?.state;
    let counted = "UPDATE pending_sign_ins SET tries = tries + 1 WHERE pending_hash = $1 AND tries < $2";
    let stands = user.is_active() && user.session_epoch().cast_signed() == epoch && user.totp_secret_id().is_some();
    if !stands || app.views.db.execute(counted, (pending.as_str(), CODES)).await? == 0 {
        return Ok(CodeAttempt::Over);
    }
    if !two_factor::accepts(app, &user_id, &user, code, &browser.arrival).await? {
        refuse(app, Some(user_id), SignInRefusal::WrongCode, browser).await?;
        return Ok(CodeAttempt::Refused);
    }
    // Whoever takes the row away signs in with it, and nobody else.
    let sql = "DELETE FROM pending_sign_ins WHERE pending_hash = $1";
    if app.views.db.execute(sql, (pending.as_str(),)).await? == 0 {
        return Ok(CodeAttempt::Over);
    }
    throttle::succeeded(app, &subjects).await?;
    let mut admitted = start(app, user_id, &user, &["pwd", "otp", "mfa"], app.now(), browser).await?;
    admitted.cookies.push(cookies::write(&app.settings, PENDING_COOKIE, "", 0));
    Ok(CodeAttempt::Admitted(admitted))
}

/// Remembers that the password was right; the `Set-Cookie` that stands for it.
async fn wait_for_code(app: &App, user_id: &UserId, user: &User) -> Result<String, Problem> {
    let secret = random_secret("");
    let sql = "INSERT INTO pending_sign_ins (pending_hash, user_id, session_epoch, tries, expires_at)
               VALUES ($1, $2, $3, 0, $4)";
    let hash = hash_of(&secret);
    let epoch = user.session_epoch().cast_signed();
    app.views.db.execute(sql, (hash.as_str(), user_id.as_str(), epoch, app.now() + PENDING_LIFETIME)).await?;
    Ok(cookies::write(&app.settings, PENDING_COOKIE, &secret, PENDING_LIFETIME.num_seconds()))
}

async fn refuse(app: &App, user_id: Option<UserId>, reason: SignInRefusal, browser: &Browser) -> Result<(), Problem> {
    let session_id = SessionId::from_uuid(Uuid::now_v7());
    let command = SessionCommand::Refuse { user_id, reason };
    let context = browser.arrival.context(Actor::Anonymous, None);
    app.store.execute::<Session>(Execution::new(session_id.as_str(), command, &context)).await?;
    Ok(())
}

/// Starts a session of somebody who proved who they are by `methods` (RFC 8176).
pub(crate) async fn start(
    app: &App,
    user_id: UserId,
    user: &User,
    methods: &[&str],
    authenticated_at: DateTime<Utc>,
    browser: &Browser,
) -> Result<Admitted, Problem> {
    let session_id = SessionId::from_uuid(Uuid::now_v7());
    let secret = random_secret("");
    let (now, lifetime) = (app.now(), app.settings.session_lifetime);
    let command = SessionCommand::Start {
        user_id: user_id.clone(),
        authenticated_at,
        expires_at: now + lifetime,
        methods: methods.iter().map(|method| (*method).to_owned()).collect(),
        secret_hash: hash_of(&secret),
        session_epoch: user.session_epoch(),
    };
    let context = browser.arrival.context(Actor::User(user_id.to_string()), None);
    let receipt = app.store.execute::<Session>(Execution::new(session_id.as_str(), command, &context)).await?;
    let Some(sign_in) = receipt.state.active().cloned() else {
        return Err(Problem::internal("starting a session did not start it"));
    };
    let session = cookies::write(&app.settings, COOKIE, &format!("{session_id}.{secret}"), lifetime.num_seconds());
    let device = browser.remember(app, &user_id).await?;
    Ok(Admitted { cookies: vec![session, device], signed_in: SignedIn { user_id, session_id, sign_in } })
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
    // A new password, or signing out everywhere, ends every session of an earlier epoch (R270, R271).
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
