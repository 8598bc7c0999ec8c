//! The claims about a user: which scope releases which, and their values now (section E, OpenID Connect Core §5).

use domain::{Client, OrganizationId, RequestedClaims, Scopes, UserId};
use projections::{Licence, UserinfoRow};
use serde_json::{Map, Value, json};

use super::OAuthError;
use crate::App;

/// Signed in with a password alone.
const ACR_PASSWORD: &str = "urn:optare:acr:password";
/// Signed in with two factors.
const ACR_MFA: &str = "urn:optare:acr:mfa";

/// The ways to sign in that `acr` tells.
pub(super) const ACR_VALUES: [&str; 2] = [ACR_PASSWORD, ACR_MFA];

/// The `acr` of a sign-in with these `amr` values.
pub(super) fn acr(methods: &[String]) -> &'static str {
    if methods.iter().any(|method| method == "mfa") { ACR_MFA } else { ACR_PASSWORD }
}

/// The scope that releases a claim; none for claims that we have not.
pub(super) fn scope_of(claim: &str) -> Option<&'static str> {
    Some(match claim {
        "name" => "profile",
        "email" | "email_verified" => "email",
        "organization_id" | "organizationId" | "organization_name" | "role" => "organization",
        _ => return None,
    })
}

/// Whom claims are about, and for whose eyes.
pub(super) struct Subject<'a> {
    pub user: &'a UserId,
    pub organization: Option<&'a OrganizationId>,
    pub client: &'a Client,
    pub scopes: &'a Scopes,
}

impl Subject<'_> {
    /// What the granted scopes release, with the values of now (R111–R118, R120).
    pub async fn userinfo(&self, app: &App, requested: &RequestedClaims) -> Result<Map<String, Value>, OAuthError> {
        let row = self.row(app).await?;
        let licences = self.licences(app, &row).await?;
        let mut claims = self.released(&row, &licences);
        self.add_requested(&mut claims, &row, &requested.userinfo);
        claims.insert("sub".to_owned(), self.user.as_str().into());
        Ok(claims)
    }

    /// The single claims that were asked for in the ID token (OpenID Connect Core §5.5).
    pub async fn id_token(&self, app: &App, requested: &RequestedClaims) -> Result<Map<String, Value>, OAuthError> {
        let mut claims = Map::new();
        if !requested.id_token.is_empty() {
            let row = self.row(app).await?;
            self.add_requested(&mut claims, &row, &requested.id_token);
        }
        Ok(claims)
    }

    async fn row(&self, app: &App) -> Result<UserinfoRow, OAuthError> {
        projections::userinfo(&app.views.db, self.user, self.organization)
            .await?
            // The log knows this user, so the read model is behind.
            .ok_or_else(|| OAuthError::unavailable("the read models are being rebuilt; send the request again"))
    }

    /// The licences that this client may know of (C2): an app from outside only those that were granted to it.
    async fn licences(&self, app: &App, row: &UserinfoRow) -> Result<Vec<Licence>, OAuthError> {
        let (Some(organization), Some(_)) = (self.organization, &row.role) else { return Ok(Vec::new()) };
        let own = self.client.installation.is_none() && self.client.organization_id == *organization;
        let sees_all = own && self.has_any(&["profile", "organization"]);
        if !sees_all && !self.scopes.iter().any(|scope| !is_ours(scope.as_str())) {
            return Ok(Vec::new());
        }
        let mut licences = projections::licences_of(&app.views.db, organization, app.now()).await?;
        licences.retain(|licence| sees_all || self.scopes.contains(&licence.slug));
        Ok(licences)
    }

    fn released(&self, row: &UserinfoRow, licences: &[Licence]) -> Map<String, Value> {
        let mut claims = Map::new();
        let mut add = |name: &str, value: Value| {
            if !value.is_null() {
                claims.insert(name.to_owned(), value);
            }
        };
        if self.scopes.contains("profile") {
            add("name", json!(row.name));
        }
        if self.scopes.contains("email") {
            add("email_verified", json!(row.email.is_some().then_some(row.email_verified)));
            add("email", json!(row.email));
        }
        let granted: Vec<_> = licences.iter().filter(|licence| self.scopes.contains(&licence.slug)).collect();
        // Who was removed from the organization loses it at the next call (R272).
        if let (Some(id), Some(role)) = (self.organization, &row.role) {
            // Both spellings, always equal (C1).
            if !granted.is_empty() || self.has_any(&["organization", "organization:read", "profile"]) {
                add("organization_id", id.as_str().into());
                add("organizationId", id.as_str().into());
            }
            if self.scopes.contains("organization") {
                add("organization_name", json!(row.organization_name));
                add("role", role.as_str().into());
            }
            if !granted.is_empty() {
                add("products", granted.iter().map(|licence| product(licence)).collect());
            }
            if self.has_any(&["profile", "organization"]) || !granted.is_empty() {
                add("licenses", licences.iter().map(|licence| licence.slug.as_str()).collect());
                add("entitlements", licences.iter().flat_map(Licence::entitlements).collect());
            }
        }
        claims
    }

    fn add_requested(&self, claims: &mut Map<String, Value>, row: &UserinfoRow, names: &[String]) {
        let member = row.role.is_some();
        for name in names {
            let value = match name.as_str() {
                "name" => json!(row.name),
                "email" => json!(row.email),
                "email_verified" => json!(row.email.is_some().then_some(row.email_verified)),
                "organization_id" | "organizationId" if member => json!(self.organization),
                "organization_name" if member => json!(row.organization_name),
                "role" => json!(row.role),
                _ => Value::Null,
            };
            if !value.is_null() {
                claims.insert(name.clone(), value);
            }
        }
    }

    fn has_any(&self, scopes: &[&str]) -> bool {
        scopes.iter().any(|scope| self.scopes.contains(*scope))
    }
}

/// A product as userinfo tells it (R116).
fn product(licence: &Licence) -> Value {
    json!({"id": licence.product_id, "slug": licence.slug, "name": licence.name, "features": licence.features()})
}

/// Scopes that no product has.
fn is_ours(scope: &str) -> bool {
    scope.parse::<domain::Slug>().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_factors_are_told() {
        assert_eq!(acr(&["pwd".to_owned()]), ACR_PASSWORD);
        assert_eq!(acr(&["pwd".to_owned(), "otp".to_owned(), "mfa".to_owned()]), ACR_MFA);
    }
}
