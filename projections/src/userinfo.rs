//! What `/oauth/userinfo` answers from: one row per user and organization, read at each request.

use database::{Db, Error};
use domain::{OrganizationId, UserId};

/// The values that claims are made of (R111–R115); organization fields are `None` outside of one.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UserinfoRow {
    /// `None` once erased.
    pub email: Option<String>,
    /// `None` once erased.
    pub name: Option<String>,
    /// Whether the address was proved.
    pub email_verified: bool,
    /// The organization's name.
    pub organization_name: Option<String>,
    /// The user's role there; `None` when not a member (any more).
    pub role: Option<String>,
}

/// The row of a user, in an organization if one is given.
///
/// # Errors
/// When the database fails.
pub async fn userinfo(
    db: &Db,
    user: &UserId,
    organization: Option<&OrganizationId>,
) -> Result<Option<UserinfoRow>, Error> {
    db.fetch_optional(
        "SELECT u.email, u.name, u.email_verified, o.name AS organization_name, m.role
         FROM users u
         LEFT JOIN members m ON m.user_id = u.user_id AND m.organization_id = $2
         LEFT JOIN organizations o ON o.organization_id = m.organization_id
         WHERE u.user_id = $1",
        (user.as_str(), organization.map_or("", |id| id.as_str())),
    )
    .await
}
