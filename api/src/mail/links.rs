//! Links in mails: each works once, for a while, for one purpose.

use chrono::Duration;
use database::Error;
use domain::UserId;
use url::form_urlencoded;

use crate::{App, hash_of, random_secret};

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To prove that an address is one's own.
    Verify,
    /// To set a password without knowing the old one.
    Reset,
}

impl Purpose {
    fn name(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Reset => "reset",
        }
    }

    fn page(self) -> &'static str {
        match self {
            Self::Verify => "/verify-email",
            Self::Reset => "/reset-password",
        }
    }

    /// How long it works.
    pub(crate) fn lifetime(self, app: &App) -> Duration {
        match self {
            Self::Verify => app.settings.accounts.verification_lifetime,
            Self::Reset => app.settings.accounts.reset_lifetime,
        }
    }
}

/// Makes a link for a user.
pub(crate) async fn make(app: &App, purpose: Purpose, user_id: &UserId) -> Result<String, Error> {
    let token = random_secret("");
    let sql = "INSERT INTO mail_links (token_hash, purpose, user_id, expires_at) VALUES ($1, $2, $3, $4)";
    let end = app.now() + purpose.lifetime(app);
    app.views.db.execute(sql, (hash_of(&token).as_str(), purpose.name(), user_id.as_str(), end)).await?;
    let query = form_urlencoded::Serializer::new(String::new()).append_pair("token", &token).finish();
    Ok(format!("{}{}?{query}", app.settings.base_url, purpose.page()))
}

/// Whether a link would work now.
pub(crate) async fn works(app: &App, purpose: Purpose, token: &str) -> Result<bool, Error> {
    let sql = "SELECT user_id FROM mail_links WHERE token_hash = $1 AND purpose = $2 AND expires_at > $3";
    let row: Option<(String,)> =
        app.views.db.fetch_optional(sql, (hash_of(token).as_str(), purpose.name(), app.now())).await?;
    Ok(row.is_some())
}

/// Uses a link up; answers whose it was.
pub(crate) async fn redeem(app: &App, purpose: Purpose, token: &str) -> Result<Option<UserId>, Error> {
    let mut tx = app.views.db.begin().await?;
    let sql = "DELETE FROM mail_links WHERE token_hash = $1 AND purpose = $2 AND expires_at > $3 RETURNING user_id";
    let row: Option<(String,)> = tx.fetch_optional(sql, (hash_of(token).as_str(), purpose.name(), app.now())).await?;
    tx.commit().await?;
    Ok(row.and_then(|(user_id,)| user_id.parse().ok()))
}

/// Ends all links of a user for a purpose.
pub(crate) async fn end_all(app: &App, purpose: Purpose, user_id: &UserId) -> Result<(), Error> {
    let sql = "DELETE FROM mail_links WHERE user_id = $1 AND purpose = $2";
    app.views.db.execute(sql, (user_id.as_str(), purpose.name())).await?;
    Ok(())
}
