//! What somebody signed in does with their own account: a new password, where they are signed in.

use chrono::{DateTime, Utc};
use domain::{
    ClientId, Consent, ConsentCommand, Email, EndReason, Session, SessionCommand, SessionId, User, UserCommand,
};
use eventstore::{Execution, INSTANCE_TENANT};
use projections::{ConnectedApp, SessionRow};

use crate::mail::{links, texts};
use crate::sign_in::{self, Admitted, Browser, SignedIn};
use crate::throttle::{self, Subject, Turn};
use crate::{App, Arrival, Locale, Problem};

/// Whether the password was typed that proves who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Confirmed {
    /// It was.
    Yes,
    /// It was not.
    No,
    /// Too many wrong ones before: nothing was looked at, and is not for so many seconds.
    Paused(i64),
}

/// Asks for the password once more before something that a stranger at an unlocked screen must not do.
pub(crate) async fn confirm(
    app: &App,
    session: &SignedIn,
    password: &str,
    browser: &Browser,
) -> Result<Confirmed, Problem> {
    // Not counted with the sign-ins: whoever has this session must not pause those.
    let whose = format!("{}\n{}", session.user_id, session.session_id);
    let subjects = [
        Subject::account(&app.settings.accounts, "confirm", &whose),
        Subject::address(&app.settings.accounts, "confirm", &browser.arrival),
    ];
    if let Turn::Pause { seconds, .. } = throttle::turn(app, subjects.to_vec()).await? {
        return Ok(Confirmed::Paused(seconds));
    }
    let user = app.store.load::<User>(session.user_id.as_str()).await?.state;
    if !app.passwords.matches(password, user.password_hash()).await? {
        return Ok(Confirmed::No);
    }
    throttle::succeeded(app, &subjects).await?;
    Ok(Confirmed::Yes)
}

/// What became of a new password.
pub enum PasswordChange {
    /// It counts; every session and token has ended but this new one.
    Done(Admitted),
    /// The current password was not confirmed.
    Not(Confirmed),
}

/// Sets a new password, which ends every session and token (R270); this browser gets a fresh session.
///
/// # Errors
/// When the new password is too short, the log fails or the server is overloaded.
pub async fn change_password(
    app: &App,
    session: &SignedIn,
    current: &str,
    new: &str,
    browser: &Browser,
    locale: Locale,
) -> Result<PasswordChange, Problem> {
    app.passwords.check(new)?;
    let confirmed = confirm(app, session, current, browser).await?;
    if confirmed != Confirmed::Yes {
        return Ok(PasswordChange::Not(confirmed));
    }
    let (user_id, hash) = (session.user_id.clone(), app.passwords.hash(new).await?);
    let command = UserCommand::SetPassword { user_id: user_id.clone(), hash };
    let context = session.context(&browser.arrival, None);
    let receipt = app.store.execute::<User>(Execution::new(user_id.as_str(), command, &context)).await?;
    links::end_all(app, links::Purpose::Reset, &user_id).await?;
    tell_of_new_password(app, session, locale).await?;
    let methods: Vec<&str> = session.sign_in.methods.iter().map(String::as_str).collect();
    // The second factor was not asked for now, so it is as old as it was.
    let since = session.sign_in.authenticated_at;
    let admitted = sign_in::start(app, user_id, &receipt.state, &methods, since, browser).await?;
    Ok(PasswordChange::Done(admitted))
}

async fn tell_of_new_password(app: &App, session: &SignedIn, locale: Locale) -> Result<(), Problem> {
    let row = projections::user(&app.views.db, &session.user_id).await?;
    if let Some(Ok(email)) = row.and_then(|row| row.email).map(|email| email.parse::<Email>()) {
        app.mailer.send(&email, texts::password_changed(locale, &app.settings.base_url));
    }
    Ok(())
}

/// Where the person is signed in, latest first; `before` is end and id of the last row seen.
///
/// # Errors
/// When the database fails.
pub async fn sessions(
    app: &App,
    session: &SignedIn,
    before: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> Result<Vec<SessionRow>, Problem> {
    app.shown(app.store.tail().head()).await?;
    let epoch = session.sign_in.session_epoch;
    Ok(projections::sessions_of(&app.views.db, &session.user_id, epoch, app.now(), before, limit).await?)
}

/// Ends one of the person's own sessions.
///
/// # Errors
/// When there is no such session of this person, or the log fails.
pub async fn end_session(app: &App, session: &SignedIn, id: &SessionId, arrival: &Arrival) -> Result<(), Problem> {
    let is_known = |found: &Session| found.sign_in().is_some();
    let found = app.store.load_where(id.as_str(), is_known).await?;
    let is_own =
        found.is_some_and(|found| found.state.sign_in().is_some_and(|sign_in| sign_in.user_id == session.user_id));
    if !is_own {
        return Err(Problem::not_found("session"));
    }
    let context = session.context(arrival, None);
    let command = SessionCommand::End { reason: EndReason::Revoked };
    app.store.execute::<Session>(Execution::new(id.as_str(), command, &context)).await?;
    Ok(())
}

/// The apps that act for the person; `after` is the client id of the last one seen (R262).
///
/// # Errors
/// When the database fails.
pub async fn connected_apps(
    app: &App,
    session: &SignedIn,
    after: &str,
    limit: i64,
) -> Result<Vec<ConnectedApp>, Problem> {
    app.shown(app.store.tail().head()).await?;
    Ok(projections::connected_apps_of(&app.views.db, &session.user_id, after, limit).await?)
}

/// Takes everything back that the person lets an app do: its tokens end at once, and it must ask again (R263).
///
/// # Errors
/// When the log fails.
pub async fn disconnect(app: &App, session: &SignedIn, client_id: ClientId, arrival: &Arrival) -> Result<(), Problem> {
    let (id, user_id) = (Consent::id(&session.user_id, &client_id), session.user_id.clone());
    let mut context = session.context(arrival, None);
    context.client_id = Some(client_id.to_string());
    let command = ConsentCommand::Revoke { user_id, client_id, now: app.now() };
    let execution = Execution::<Consent>::new(&id, command, &context).in_tenant(INSTANCE_TENANT);
    let receipt = app.store.execute(execution).await?;
    app.shown(receipt.position).await
}

/// Ends every session and token of the person, this one too (R271); answers the `Set-Cookie` that forgets it.
///
/// # Errors
/// When the log fails.
pub async fn sign_out_everywhere(app: &App, session: &SignedIn, arrival: &Arrival) -> Result<String, Problem> {
    let context = session.context(arrival, None);
    let execution = Execution::new(session.user_id.as_str(), UserCommand::SignOutEverywhere, &context);
    app.store.execute::<User>(execution).await?;
    Ok(sign_in::forget_session(app))
}
