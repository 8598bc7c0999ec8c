//! Registering, proving an address, and setting a forgotten password anew. No answer tells whether an account exists,
//! neither by its words nor by its time: what differs happens in the background and is told by mail.

use domain::{Email, PasswordHash, PersonName, User, UserCommand, UserId};
use eventstore::{Actor, Claim, ClaimChange, ExecuteError, Execution};
use tracing::warn;
use uuid::Uuid;

use crate::accounts::{email_claim, user_by_email};
use crate::mail::{links, texts};
use crate::sign_in::{Browser, lift_pauses};
use crate::throttle::{self, Subject, Turn};
use crate::{App, Arrival, Locale, Problem};

/// Whether a mail was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asked {
    /// Yes; whoever reads the mails of that address knows more.
    Yes,
    /// Too many mails were asked for from here: not for so many seconds.
    Paused(i64),
}

/// Whether anybody may register here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registration {
    /// Yes.
    Open,
    /// The operator does not want it.
    Closed,
    /// The operator wants it, but no mails leave.
    NoMail,
}

/// Whether anybody may register here.
#[must_use]
pub fn registration(app: &App) -> Registration {
    match (app.settings.accounts.registration_open, app.mailer.is_set_up()) {
        (false, _) => Registration::Closed,
        (true, false) => Registration::NoMail,
        (true, true) => Registration::Open,
    }
}

/// Registers somebody who may have an account already.
///
/// # Errors
/// When registration is not open, the password is too short or the server is overloaded.
pub async fn register(
    app: &App,
    email: Email,
    name: PersonName,
    password: &str,
    arrival: &Arrival,
    locale: Locale,
) -> Result<Asked, Problem> {
    if registration(app) != Registration::Open {
        return Err(Problem::forbidden("registration is closed: ask whoever runs this service for an account"));
    }
    app.passwords.check(password)?;
    if let Turn::Pause { seconds, .. } = throttle::turn(app, vec![mails_from(app, arrival)]).await? {
        return Ok(Asked::Paused(seconds));
    }
    let hash = app.passwords.hash(password).await?;
    let (app, arrival) = (app.clone(), arrival.clone());
    tokio::spawn(async move {
        if let Err(problem) = register_or_tell(&app, email, name, hash, &arrival, locale).await {
            warn!("a registration failed: {}", problem.detail());
        }
    });
    Ok(Asked::Yes)
}

async fn register_or_tell(
    app: &App,
    email: Email,
    name: PersonName,
    hash: PasswordHash,
    arrival: &Arrival,
    locale: Locale,
) -> Result<(), Problem> {
    let user_id = UserId::from_uuid(Uuid::now_v7());
    let claim: Claim = email_claim(&email);
    let command = UserCommand::Register {
        user_id: user_id.clone(),
        email: email.clone(),
        name,
        email_verified: false,
        password: Some(hash),
    };
    let context = arrival.context(Actor::User(user_id.to_string()), None);
    let take = ClaimChange::Take(claim, user_id.to_string());
    let execution = Execution::new(user_id.as_str(), command, &context).claiming([take]);
    match app.store.execute::<User>(execution).await {
        Ok(_) => send_verification(app, &user_id, &email, locale).await,
        Err(ExecuteError::ClaimTaken(_)) => {
            if may_be_sent_to(app, &email).await? {
                app.mailer.send(&email, texts::already_registered(locale, &app.settings.base_url));
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Sends somebody signed in another link to prove their address with.
///
/// # Errors
/// When a database fails.
pub async fn ask_for_verification(
    app: &App,
    user_id: &UserId,
    email: &Email,
    arrival: &Arrival,
    locale: Locale,
) -> Result<Asked, Problem> {
    if let Turn::Pause { seconds, .. } = throttle::turn(app, vec![mails_from(app, arrival)]).await? {
        return Ok(Asked::Paused(seconds));
    }
    send_verification(app, user_id, email, locale).await?;
    Ok(Asked::Yes)
}

async fn send_verification(app: &App, user_id: &UserId, email: &Email, locale: Locale) -> Result<(), Problem> {
    if may_be_sent_to(app, email).await? {
        let link = links::make(app, links::Purpose::Verify, user_id).await?;
        app.mailer.send(email, texts::verify(locale, &link, links::Purpose::Verify.lifetime(app)));
    }
    Ok(())
}

/// Whether the link in a mail would still prove an address.
///
/// # Errors
/// When the database fails.
pub async fn can_verify(app: &App, token: &str) -> Result<bool, Problem> {
    Ok(links::works(app, links::Purpose::Verify, token).await?)
}

/// Proves an address by the link that was sent to it; `false` when the link does not work (any more).
///
/// # Errors
/// When the account is suspended or the log fails.
pub async fn verify_email(app: &App, token: &str, arrival: &Arrival) -> Result<bool, Problem> {
    let Some(user_id) = links::redeem(app, links::Purpose::Verify, token).await? else { return Ok(false) };
    let context = arrival.context(Actor::User(user_id.to_string()), None);
    let execution = Execution::new(user_id.as_str(), UserCommand::VerifyEmail, &context);
    let receipt = app.store.execute::<User>(execution).await?;
    app.shown(receipt.position).await?;
    Ok(true)
}

/// Sends a link with which a new password can be set, if there is an account.
///
/// # Errors
/// When the database fails.
pub async fn ask_for_reset(app: &App, email: Email, arrival: &Arrival, locale: Locale) -> Result<Asked, Problem> {
    if let Turn::Pause { seconds, .. } = throttle::turn(app, vec![mails_from(app, arrival)]).await? {
        return Ok(Asked::Paused(seconds));
    }
    let app = app.clone();
    tokio::spawn(async move {
        if let Err(problem) = send_reset(&app, &email, locale).await {
            warn!("a new password could not be asked for: {}", problem.detail());
        }
    });
    Ok(Asked::Yes)
}

async fn send_reset(app: &App, email: &Email, locale: Locale) -> Result<(), Problem> {
    let Some(user_id) = user_by_email(app, email).await? else { return Ok(()) };
    let user = app.store.load::<User>(user_id.as_str()).await?.state;
    if user.is_active() && may_be_sent_to(app, email).await? {
        let link = links::make(app, links::Purpose::Reset, &user_id).await?;
        app.mailer.send(email, texts::reset(locale, &link, links::Purpose::Reset.lifetime(app)));
    }
    Ok(())
}

/// Whether the link in a mail would still set a new password.
///
/// # Errors
/// When the database fails.
pub async fn can_reset(app: &App, token: &str) -> Result<bool, Problem> {
    Ok(links::works(app, links::Purpose::Reset, token).await?)
}

/// Sets a new password by a link: ends every session and token, and proves the address, to which the link was sent.
/// This browser is known to the account from now on, so whoever is held off by strangers' guesses gets in by a mail.
/// Answers its `Set-Cookie`, or `None` when the link does not work (any more).
///
/// # Errors
/// When the password is too short, the log fails or the server is overloaded.
pub async fn reset_password(
    app: &App,
    token: &str,
    password: &str,
    browser: &Browser,
) -> Result<Option<String>, Problem> {
    app.passwords.check(password)?;
    // Hashing is work: only for who has a link.
    if !can_reset(app, token).await? {
        return Ok(None);
    }
    let hash = app.passwords.hash(password).await?;
    let Some(user_id) = links::redeem(app, links::Purpose::Reset, token).await? else { return Ok(None) };
    let command = UserCommand::ResetPassword { user_id: user_id.clone(), hash };
    let context = browser.arrival.context(Actor::User(user_id.to_string()), None);
    let receipt = app.store.execute::<User>(Execution::new(user_id.as_str(), command, &context)).await?;
    links::end_all(app, links::Purpose::Reset, &user_id).await?;
    lift_pauses(app, &user_id, browser).await?;
    app.shown(receipt.position).await?;
    browser.remember(app, &user_id).await.map(Some)
}

/// What mails are counted by that somebody asks for from an address.
fn mails_from(app: &App, arrival: &Arrival) -> Subject {
    Subject::address(&app.settings.accounts, "mails from", arrival)
}

/// Nobody's mailbox is filled by strangers: beyond a few, mails are silently left out.
async fn may_be_sent_to(app: &App, email: &Email) -> Result<bool, Problem> {
    let subject = Subject::account(&app.settings.accounts, "mails to", &email.lookup_key());
    Ok(throttle::turn(app, vec![subject]).await? == Turn::Yes)
}
