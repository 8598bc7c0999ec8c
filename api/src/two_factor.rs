//! A second factor for one's own account: an authenticator app, and recovery codes for when it is lost.

use chrono::Duration;
use domain::{Email, User, UserCommand, UserError, UserId};
use eventstore::{Actor, ExecuteError, Execution, Secret};
use uuid::Uuid;

use crate::mail::texts;
use crate::own_account::{self, Confirmed};
use crate::sign_in::{Browser, SignedIn};
use crate::{App, Arrival, Locale, Problem, hash_of, totp};

const VAULT_KIND: &str = "totp";
/// What authenticator apps show beside the code.
const ISSUER: &str = "Optare ID";
const SETUP_LIFETIME: Duration = Duration::minutes(30);
const RECOVERY_CODES: usize = 10;

/// What an authenticator app must be told.
pub struct Setup {
    /// For a camera: the path of an SVG and how many units it is wide and high.
    pub qr_code: Option<(String, i32)>,
    /// For typing, in groups of four.
    pub secret: String,
    /// For a click.
    pub uri: String,
}

/// Begins to set a second factor up; the password proves that it is the owner who does.
///
/// # Errors
/// When it is on already, the log fails or the server is overloaded.
pub async fn begin(app: &App, session: &SignedIn, password: &str, browser: &Browser) -> Result<Confirmed, Problem> {
    let confirmed = own_account::confirm(app, session, password, browser).await?;
    if !matches!(confirmed, Confirmed::Yes) {
        return Ok(confirmed);
    }
    let user = app.store.load::<User>(session.user_id.as_str()).await?.state;
    if user.totp_secret_id().is_some() {
        return Err(UserError::TotpAlreadyEnabled.into());
    }
    if let Some(earlier) = setup_of(app, &session.user_id).await? {
        app.store.vault().shred(VAULT_KIND, &earlier).await?;
    }
    let secret_id = format!("{}.{}", session.user_id, Uuid::now_v7().simple());
    app.store.vault().put_if_absent(VAULT_KIND, &secret_id, &Secret::new(totp::random_key())).await?;
    app.views
        .db
        .execute(
            "INSERT INTO totp_setups (user_id, secret_id, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (user_id) DO UPDATE SET secret_id = excluded.secret_id, expires_at = excluded.expires_at",
            (session.user_id.as_str(), secret_id.as_str(), app.now() + SETUP_LIFETIME),
        )
        .await?;
    Ok(Confirmed::Yes)
}

/// What to show while a second factor is being set up; `None` when none is.
///
/// # Errors
/// When a database fails.
pub async fn shown(app: &App, session: &SignedIn) -> Result<Option<Setup>, Problem> {
    let Some(secret_id) = setup_of(app, &session.user_id).await? else { return Ok(None) };
    let Some(key) = app.store.vault().get(VAULT_KIND, &secret_id).await? else { return Ok(None) };
    let row = projections::user(&app.views.db, &session.user_id).await?;
    let account = row.and_then(|row| row.email).unwrap_or_else(|| session.user_id.to_string());
    let uri = totp::uri(ISSUER, &account, key.expose());
    let digits: Vec<char> = totp::base32(key.expose()).chars().collect();
    let groups: Vec<String> = digits.chunks(4).map(|group| group.iter().collect()).collect();
    Ok(Some(Setup { qr_code: totp::qr_code(&uri), secret: groups.join(" "), uri }))
}

/// What became of a code that ends the set-up.
pub enum Enabled {
    /// It is on; these are the recovery codes, shown this once.
    Yes(Vec<String>),
    /// The code is wrong.
    WrongCode,
    /// Nothing is being set up (any more).
    NotBegun,
}

/// Turns the second factor on, with a code that proves that the authenticator app has the secret.
///
/// # Errors
/// When it is on already or the log fails.
pub async fn enable(
    app: &App,
    session: &SignedIn,
    code: &str,
    arrival: &Arrival,
    locale: Locale,
) -> Result<Enabled, Problem> {
    let Some(secret_id) = setup_of(app, &session.user_id).await? else { return Ok(Enabled::NotBegun) };
    if !accepts_totp(app, &session.user_id, &secret_id, &typed(code)).await? {
        return Ok(Enabled::WrongCode);
    }
    let codes = new_codes();
    let hashes = codes.iter().map(|code| hash_of(&typed(code))).collect();
    let command = UserCommand::EnableTotp { secret_id, recovery_codes: hashes };
    let context = session.context(arrival, None);
    let receipt = app.store.execute::<User>(Execution::new(session.user_id.as_str(), command, &context)).await?;
    app.views.db.execute("DELETE FROM totp_setups WHERE user_id = $1", (session.user_id.as_str(),)).await?;
    if receipt.events.is_empty() {
        // The form was sent twice; the codes of the first answer count.
        return Ok(Enabled::NotBegun);
    }
    tell(app, session, true, locale).await?;
    Ok(Enabled::Yes(codes))
}

/// Turns the second factor off.
///
/// # Errors
/// When the log fails or the server is overloaded.
pub async fn disable(
    app: &App,
    session: &SignedIn,
    password: &str,
    browser: &Browser,
    locale: Locale,
) -> Result<Confirmed, Problem> {
    let confirmed = own_account::confirm(app, session, password, browser).await?;
    if !matches!(confirmed, Confirmed::Yes) {
        return Ok(confirmed);
    }
    let user = app.store.load::<User>(session.user_id.as_str()).await?.state;
    let context = session.context(&browser.arrival, None);
    let execution = Execution::new(session.user_id.as_str(), UserCommand::DisableTotp, &context);
    let receipt = app.store.execute::<User>(execution).await?;
    if let Some(secret_id) = user.totp_secret_id() {
        app.store.vault().shred(VAULT_KIND, secret_id).await?;
    }
    if !receipt.events.is_empty() {
        tell(app, session, false, locale).await?;
    }
    Ok(Confirmed::Yes)
}

/// Replaces the recovery codes; the new ones are shown this once. `Err` holds why they were not.
///
/// # Errors
/// When the second factor is off, the log fails or the server is overloaded.
pub async fn replace_recovery_codes(
    app: &App,
    session: &SignedIn,
    password: &str,
    browser: &Browser,
) -> Result<Result<Vec<String>, Confirmed>, Problem> {
    let confirmed = own_account::confirm(app, session, password, browser).await?;
    if !matches!(confirmed, Confirmed::Yes) {
        return Ok(Err(confirmed));
    }
    let codes = new_codes();
    let command = UserCommand::SetRecoveryCodes { hashes: codes.iter().map(|code| hash_of(&typed(code))).collect() };
    let context = session.context(&browser.arrival, None);
    app.store.execute::<User>(Execution::new(session.user_id.as_str(), command, &context)).await?;
    Ok(Ok(codes))
}

/// Whether a code of the authenticator app, or a recovery code, may stand for the second factor: once.
pub(crate) async fn accepts(
    app: &App,
    user_id: &UserId,
    user: &User,
    code: &str,
    arrival: &Arrival,
) -> Result<bool, Problem> {
    let code = typed(code);
    if code.len() == 6 {
        return match user.totp_secret_id() {
            Some(secret_id) => accepts_totp(app, user_id, secret_id, &code).await,
            None => Ok(false),
        };
    }
    let command = UserCommand::UseRecoveryCode { hash: hash_of(&code) };
    let context = arrival.context(Actor::User(user_id.to_string()), None);
    match app.store.execute::<User>(Execution::new(user_id.as_str(), command, &context)).await {
        Ok(_) => Ok(true),
        Err(ExecuteError::Rejected(UserError::WrongRecoveryCode | UserError::TotpNotEnabled)) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn accepts_totp(app: &App, user_id: &UserId, secret_id: &str, code: &str) -> Result<bool, Problem> {
    let Some(key) = app.store.vault().get(VAULT_KIND, secret_id).await? else {
        return Err(Problem::internal(format!(
            "the vault has no second factor of {user_id}: restore it from a backup"
        )));
    };
    let now = app.now();
    let Some(step) = totp::step_of(key.expose(), code, now) else { return Ok(false) };
    // Only a later step than the last one: whoever looked over a shoulder comes too late (RFC 6238 §5.2).
    let accepted = app
        .views
        .db
        .execute(
            "INSERT INTO totp_steps (user_id, step, expires_at) VALUES ($1, $2, $3)
             ON CONFLICT (user_id) DO UPDATE SET step = excluded.step, expires_at = excluded.expires_at
             WHERE totp_steps.step < excluded.step",
            (user_id.as_str(), step, now + Duration::minutes(10)),
        )
        .await?;
    Ok(accepted == 1)
}

async fn setup_of(app: &App, user_id: &UserId) -> Result<Option<String>, Problem> {
    let sql = "SELECT secret_id FROM totp_setups WHERE user_id = $1 AND expires_at > $2";
    let row: Option<(String,)> = app.views.db.fetch_optional(sql, (user_id.as_str(), app.now())).await?;
    Ok(row.map(|(secret_id,)| secret_id))
}

async fn tell(app: &App, session: &SignedIn, is_on: bool, locale: Locale) -> Result<(), Problem> {
    let row = projections::user(&app.views.db, &session.user_id).await?;
    if let Some(Ok(email)) = row.and_then(|row| row.email).map(|email| email.parse::<Email>()) {
        app.mailer.send(&email, texts::two_factor_changed(locale, is_on, &app.settings.base_url));
    }
    Ok(())
}

/// 80 random bits each, too many to guess even for who has the hashes: `abcd-efgh-ijkl-mnop`.
fn new_codes() -> Vec<String> {
    let code = |_| {
        let digits: Vec<char> = totp::base32(&totp::random_key()[..10]).to_lowercase().chars().collect();
        digits.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
    };
    (0..RECOVERY_CODES).map(code).collect()
}

/// A code as it is compared, however it was typed.
fn typed(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(64).collect::<String>().to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_counts_however_it_was_typed() {
        assert_eq!(typed(" 123 456 "), "123456");
        assert_eq!(typed("ABCD-efgh"), "abcdefgh");
    }

    #[test]
    fn recovery_codes_are_four_groups_of_four_and_differ() {
        let codes = new_codes();
        assert_eq!(codes.len(), RECOVERY_CODES);
        for code in &codes {
            assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4], "{code}");
        }
        assert_ne!(codes[0], codes[1]);
    }
}
