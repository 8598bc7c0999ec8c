//! Users as the management API lists them: those of one organization, or all of the instance.

use chrono::{DateTime, Utc};
use database::{Db, Error};
use domain::{OrganizationId, UserId};

/// A user as programs see one.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct ListedUser {
    /// `user_…`
    pub user_id: String,
    /// `None` once erased.
    pub email: Option<String>,
    /// `None` once erased.
    pub name: Option<String>,
    /// Whether the address was proved.
    pub email_verified: bool,
    /// active, suspended
    pub status: String,
    /// When.
    pub registered_at: DateTime<Utc>,
}

/// A page of the users, by id, after `after`: of one organization's members, or of everybody.
///
/// # Errors
/// When the database fails.
pub async fn listed_users(
    db: &Db,
    organization: Option<&OrganizationId>,
    after: &str,
    limit: i64,
) -> Result<Vec<ListedUser>, Error> {
    let Some(organization) = organization else {
        let sql = "SELECT user_id, email, name, email_verified, status, registered_at FROM users
                   WHERE user_id > $1 ORDER BY user_id LIMIT $2";
        return db.fetch_all(sql, (after, limit)).await;
    };
    db.fetch_all(
        "SELECT u.user_id, u.email, u.name, u.email_verified, u.status, u.registered_at
         FROM members m JOIN users u ON u.user_id = m.user_id
         WHERE m.organization_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3",
        (organization.as_str(), after, limit),
    )
    .await
}

/// One user.
///
/// # Errors
/// When the database fails.
pub async fn listed_user(db: &Db, id: &UserId) -> Result<Option<ListedUser>, Error> {
    let sql = "SELECT user_id, email, name, email_verified, status, registered_at FROM users WHERE user_id = $1";
    db.fetch_optional(sql, (id.as_str(),)).await
}
