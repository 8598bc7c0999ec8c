//! People, organizations and who is in which with what role.

use chrono::{DateTime, Utc};
use database::{Db, Error, Tx};
use domain::{Event, OrganizationEvent, OrganizationId, UserEvent, UserId};
use eventstore::Recorded;
use eventstore::follow::{ApplyError, Boxed, Projection};

use crate::decode;

pub(crate) struct Directory;

impl Projection for Directory {
    fn name(&self) -> &'static str {
        "directory@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["user", "organization"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, recorded: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            match decode(recorded)? {
                Event::User(event) => user_changed(tx, recorded, event).await?,
                Event::Organization(event) => organization_changed(tx, recorded, event).await?,
                _ => {}
            }
            Ok(())
        })
    }
}

async fn user_changed(tx: &mut Tx, recorded: &Recorded, event: UserEvent) -> Result<(), Error> {
    let user = recorded.stream_id.as_str();
    match event {
        UserEvent::Registered { email, name, email_verified } => {
            tx.execute(
                "INSERT INTO users (user_id, email, name, email_verified, status, registered_at)
                 VALUES ($1, $2, $3, $4, 'active', $5)",
                (
                    user,
                    email.value().map(AsRef::as_ref),
                    name.value().map(AsRef::as_ref),
                    email_verified,
                    recorded.recorded_at,
                ),
            )
            .await?;
        }
        UserEvent::EmailVerified => {
            tx.execute("UPDATE users SET email_verified = $2 WHERE user_id = $1", (user, true)).await?;
        }
        UserEvent::Renamed { name } => {
            tx.execute("UPDATE users SET name = $2 WHERE user_id = $1", (user, name.value().map(AsRef::as_ref)))
                .await?;
        }
        UserEvent::Suspended { .. } => set_status(tx, user, "suspended").await?,
        UserEvent::Reinstated => set_status(tx, user, "active").await?,
        UserEvent::PasswordSet { .. }
        | UserEvent::SignedOutEverywhere { .. }
        | UserEvent::TotpEnabled { .. }
        | UserEvent::TotpDisabled
        | UserEvent::RecoveryCodesSet { .. }
        | UserEvent::RecoveryCodeUsed { .. } => {}
    }
    Ok(())
}

async fn set_status(tx: &mut Tx, user: &str, status: &str) -> Result<(), Error> {
    tx.execute("UPDATE users SET status = $2 WHERE user_id = $1", (user, status)).await?;
    Ok(())
}

async fn organization_changed(tx: &mut Tx, recorded: &Recorded, event: OrganizationEvent) -> Result<(), Error> {
    let organization = recorded.stream_id.as_str();
    match event {
        OrganizationEvent::Created { name } => {
            let sql = "INSERT INTO organizations (organization_id, name, created_at) VALUES ($1, $2, $3)";
            tx.execute(sql, (organization, name.as_str(), recorded.recorded_at)).await?;
        }
        OrganizationEvent::Renamed { name } => {
            let sql = "UPDATE organizations SET name = $2 WHERE organization_id = $1";
            tx.execute(sql, (organization, name.as_str())).await?;
        }
        OrganizationEvent::MemberAdded { user_id, role } => {
            let sql = "INSERT INTO members (organization_id, user_id, role, joined_at) VALUES ($1, $2, $3, $4)";
            tx.execute(sql, (organization, user_id.as_str(), role.as_str(), recorded.recorded_at)).await?;
        }
        OrganizationEvent::MemberRoleChanged { user_id, role } => {
            let sql = "UPDATE members SET role = $3 WHERE organization_id = $1 AND user_id = $2";
            tx.execute(sql, (organization, user_id.as_str(), role.as_str())).await?;
        }
        OrganizationEvent::MemberRemoved { user_id } => {
            let sql = "DELETE FROM members WHERE organization_id = $1 AND user_id = $2";
            tx.execute(sql, (organization, user_id.as_str())).await?;
        }
        OrganizationEvent::AppInstalled { .. } | OrganizationEvent::AppUninstalled { .. } => {}
    }
    Ok(())
}

/// A user as administrators see one.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct UserRow {
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

/// An organization.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct OrganizationRow {
    /// `org_…`
    pub organization_id: String,
    /// As its members see it.
    pub name: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

/// A member of an organization.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct MemberRow {
    /// `user_…`
    pub user_id: String,
    /// owner, admin, member or a custom role
    pub role: String,
    /// `None` once erased.
    pub email: Option<String>,
    /// `None` once erased.
    pub name: Option<String>,
}

/// An organization that a user belongs to.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Membership {
    /// `org_…`
    pub organization_id: String,
    /// As its members see it.
    pub organization_name: String,
    /// The user's role in it.
    pub role: String,
}

/// One user.
///
/// # Errors
/// When the database fails.
pub async fn user(db: &Db, id: &UserId) -> Result<Option<UserRow>, Error> {
    let sql = "SELECT user_id, email, name, email_verified, status, registered_at FROM users WHERE user_id = $1";
    db.fetch_optional(sql, (id.as_str(),)).await
}

/// One organization.
///
/// # Errors
/// When the database fails.
pub async fn organization(db: &Db, id: &OrganizationId) -> Result<Option<OrganizationRow>, Error> {
    let sql = "SELECT organization_id, name, created_at FROM organizations WHERE organization_id = $1";
    db.fetch_optional(sql, (id.as_str(),)).await
}

/// A page of an organization's members, by user id, after `after`.
///
/// # Errors
/// When the database fails.
pub async fn members_of(db: &Db, id: &OrganizationId, after: &str, limit: i64) -> Result<Vec<MemberRow>, Error> {
    db.fetch_all(
        "SELECT m.user_id, m.role, u.email, u.name FROM members m LEFT JOIN users u ON u.user_id = m.user_id
         WHERE m.organization_id = $1 AND m.user_id > $2 ORDER BY m.user_id LIMIT $3",
        (id.as_str(), after, limit),
    )
    .await
}

/// A page of the organizations that a user belongs to, by id, after `after`.
///
/// # Errors
/// When the database fails.
pub async fn memberships_of(db: &Db, id: &UserId, after: &str, limit: i64) -> Result<Vec<Membership>, Error> {
    db.fetch_all(
        "SELECT m.organization_id, o.name AS organization_name, m.role
         FROM members m JOIN organizations o ON o.organization_id = m.organization_id
         WHERE m.user_id = $1 AND m.organization_id > $2 ORDER BY m.organization_id LIMIT $3",
        (id.as_str(), after, limit),
    )
    .await
}
