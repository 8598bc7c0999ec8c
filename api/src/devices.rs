//! Browsers that an account knows: they have signed in to it before, so what strangers try does not hold them off.

use axum::http::HeaderMap;
use database::Error;
use domain::UserId;

use crate::{App, cookies, hash_of, random_secret};

const COOKIE: &str = "device";

/// The secret that a browser keeps, if it has one.
#[derive(Clone)]
pub(crate) struct Device(Option<String>);

impl Device {
    pub(crate) fn of(app: &App, headers: &HeaderMap) -> Self {
        Self(cookies::read(&app.settings, headers, COOKIE).filter(|secret| secret.len() <= 100))
    }

    /// What this browser is counted by, if the account knows it.
    pub(crate) async fn known_to(&self, app: &App, user_id: &UserId) -> Result<Option<String>, Error> {
        let Some(hash) = self.hash() else { return Ok(None) };
        let sql = "SELECT device_hash FROM known_devices WHERE device_hash = $1 AND user_id = $2 AND expires_at > $3";
        let row: Option<(String,)> =
            app.views.db.fetch_optional(sql, (hash.as_str(), user_id.as_str(), app.now())).await?;
        Ok(row.map(|(hash,)| format!("{user_id}\n{hash}")))
    }

    /// Remembers this browser for an account; answers the `Set-Cookie` that lets it remember, too.
    pub(crate) async fn remember(&self, app: &App, user_id: &UserId) -> Result<String, Error> {
        // A secret that we never gave away may be one that somebody planted here.
        let (secret, hash) = match (&self.0, self.hash()) {
            (Some(secret), Some(hash)) if is_ours(app, &hash).await? => (secret.clone(), hash),
            _ => {
                let secret = random_secret("");
                let hash = hash_of(&secret).to_string();
                (secret, hash)
            }
        };
        let lifetime = app.settings.accounts.device_lifetime;
        app.views
            .db
            .execute(
                "INSERT INTO known_devices (device_hash, user_id, expires_at) VALUES ($1, $2, $3)
                 ON CONFLICT (device_hash, user_id) DO UPDATE SET expires_at = excluded.expires_at",
                (hash.as_str(), user_id.as_str(), app.now() + lifetime),
            )
            .await?;
        Ok(cookies::write(&app.settings, COOKIE, &secret, lifetime.num_seconds()))
    }

    fn hash(&self) -> Option<String> {
        self.0.as_ref().map(|secret| hash_of(secret).to_string())
    }
}

async fn is_ours(app: &App, hash: &str) -> Result<bool, Error> {
    let sql = "SELECT user_id FROM known_devices WHERE device_hash = $1 AND expires_at > $2 LIMIT 1";
    let row: Option<(String,)> = app.views.db.fetch_optional(sql, (hash, app.now())).await?;
    Ok(row.is_some())
}
