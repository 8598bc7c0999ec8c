//! What an administrator chooses for a client (R137), with the names of RFC 7591 §2 where it has one.

use serde::{Deserialize, Serialize};

use crate::values::{
    ApiIdentifier, ClientAuthMethod, Description, Jwks, LaunchUrl, Origin, RedirectUri, SigningAlgorithm, WebhookUrl,
};

/// Every choice has a default that suits most clients.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientSettings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<Description>,
    /// Shown on the consent page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logo_uri: Option<LaunchUrl>,
    /// Where a logout may lead (R143); compared as exact strings.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub post_logout_redirect_uris: Vec<RedirectUri>,
    /// Whose scripts may call the token, userinfo and revocation endpoints (R144).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_origins: Vec<Origin>,
    /// Which APIs it may ask tokens for (R097); none means all of its organization's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_audiences: Option<Vec<ApiIdentifier>>,
    /// How it proves itself; none means by its secret, in the body or by HTTP Basic (C4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_endpoint_auth_method: Option<ClientAuthMethod>,
    /// Its public keys, for `private_key_jwt` (RFC 7523 §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<Jwks>,
    /// Where it is told that a session ended (OpenID Connect Back-Channel Logout §2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backchannel_logout_uri: Option<WebhookUrl>,
    /// Where "Open" leads instead of an unsolicited code (R060, OpenID Connect Core §4).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub initiate_login_uri: Option<LaunchUrl>,
    /// The organization's own program: its members are not asked for consent, nor other organizations' members let in.
    #[serde(skip_serializing_if = "is_false")]
    pub first_party: bool,
    /// Only PKCE with S256 will do; public clients need it anyway (C3).
    #[serde(skip_serializing_if = "is_false")]
    pub require_s256: bool,
    /// Unknown scopes are left out instead of refused, for old clients (C12).
    #[serde(skip_serializing_if = "is_false")]
    pub ignore_unknown_scopes: bool,
    pub id_token_signed_response_alg: SigningAlgorithm,
    /// In seconds; none means the instance's setting (R083, at most 24 hours).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_token_lifetime: Option<u32>,
    /// In seconds since the last use; none means the instance's setting (R088).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_lifetime: Option<u32>,
    /// In seconds since the authorization; none means no cap (R091).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token_absolute_lifetime: Option<u32>,
}

impl ClientSettings {
    /// An access token lives a day at most (R083).
    pub const LONGEST_ACCESS_TOKEN: u32 = 24 * 3600;

    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it proves itself by a key of its own instead of a secret of ours.
    pub fn uses_own_key(&self) -> bool {
        self.token_endpoint_auth_method == Some(ClientAuthMethod::PrivateKeyJwt)
    }
}

fn is_false(choice: &bool) -> bool {
    !choice
}
