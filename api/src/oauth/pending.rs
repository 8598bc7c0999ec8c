//! Authorization requests that wait for a person to sign in, choose or consent: no facts, and swept when they expire.

use chrono::{DateTime, Utc};
use database::Error;
use domain::{OrganizationId, UserId};

use super::parameters::Parameters;
use super::paths;
use crate::{App, hash_of, random_secret};

/// A request that waits.
#[derive(Debug, Clone)]
pub(super) struct Pending {
    /// As a form.
    pub parameters: String,
    /// Chosen meanwhile.
    pub organization_id: Option<String>,
    decision: Option<String>,
    /// A sign-in from then on is one for this request.
    pub created_at: DateTime<Utc>,
}

/// What the person said to the client's wishes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Go on.
    Authorize,
    /// Tell the client no.
    Deny,
}

type Row = (String, Option<String>, Option<String>, DateTime<Utc>);

impl Decision {
    fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Deny => "deny",
        }
    }
}

impl Pending {
    /// What this user said: whoever else was shown the request does not answer for them.
    pub fn decision(&self, user: &UserId) -> Option<Decision> {
        let (said, by) = self.decision.as_deref()?.split_once(' ')?;
        let said = [Decision::Authorize, Decision::Deny].into_iter().find(|each| each.as_str() == said)?;
        (by == user.as_str()).then_some(said)
    }

    /// The languages that the client asks for.
    pub fn ui_locales(&self) -> Option<String> {
        let parameters = Parameters::from_form(self.parameters.as_bytes()).ok()?;
        parameters.get("ui_locales").map(str::to_owned)
    }

    /// Keeps a request and answers its handle, which only the browser knows.
    pub async fn keep(app: &App, parameters: &str) -> Result<String, Error> {
        let handle = random_secret("");
        let now = app.now();
        app.views
            .db
            .execute(
                "INSERT INTO authorization_requests (handle_hash, parameters, created_at, expires_at)
                 VALUES ($1, $2, $3, $4)",
                (hash_of(&handle).as_str(), parameters, now, now + app.settings.authorization_request_lifetime),
            )
            .await?;
        Ok(handle)
    }

    pub async fn load(app: &App, handle: &str) -> Result<Option<Self>, Error> {
        let row: Option<Row> = app
            .views
            .db
            .fetch_optional(
                "SELECT parameters, organization_id, decision, created_at FROM authorization_requests
                 WHERE handle_hash = $1 AND expires_at > $2",
                (hash_of(handle).as_str(), app.now()),
            )
            .await?;
        Ok(row.map(|(parameters, organization_id, decision, created_at)| Self {
            parameters,
            organization_id,
            decision,
            created_at,
        }))
    }

    pub async fn decide(app: &App, handle: &str, decision: Decision, user: &UserId) -> Result<(), Error> {
        let sql = "UPDATE authorization_requests SET decision = $2 WHERE handle_hash = $1";
        let said = format!("{} {user}", decision.as_str());
        app.views.db.execute(sql, (hash_of(handle).as_str(), said)).await?;
        Ok(())
    }

    pub async fn choose(app: &App, handle: &str, organization: &OrganizationId) -> Result<(), Error> {
        let sql = "UPDATE authorization_requests SET organization_id = $2 WHERE handle_hash = $1";
        app.views.db.execute(sql, (hash_of(handle).as_str(), organization.as_str())).await?;
        Ok(())
    }

    /// Takes the request out; `false` when somebody else was faster.
    pub async fn finish(app: &App, handle: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM authorization_requests WHERE handle_hash = $1";
        Ok(app.views.db.execute(sql, (hash_of(handle).as_str(),)).await? > 0)
    }
}

/// Where a browser goes on with a request.
pub(super) fn path_of(handle: &str) -> String {
    format!("{}/{handle}", paths::AUTHORIZE)
}

/// The handle in such a path.
pub(super) fn handle_in(path: &str) -> Option<&str> {
    let handle = path.strip_prefix(paths::AUTHORIZE)?.strip_prefix('/')?;
    (!handle.is_empty() && handle.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)))
        .then_some(handle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_is_found_in_its_path_and_nowhere_else() {
        let handle = random_secret("");
        assert_eq!(handle_in(&path_of(&handle)), Some(handle.as_str()));
        for path in ["/oauth/authorize", "/oauth/authorize/", "/oauth/authorize?x=1", "/oauth/authorize/a/b", "/portal"]
        {
            assert_eq!(handle_in(path), None);
        }
    }
}
