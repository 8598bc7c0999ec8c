//! What an administrator chooses for a client (R137), with the names of RFC 7591 §2 where it has one.

use serde::{Deserialize, Deserializer, Serialize};

use crate::values::{
    ApiIdentifier, ClientAuthMethod, Description, Jwks, LaunchUrl, Origin, RedirectUri, Scopes, SigningAlgorithm,
    Title, WebhookUrl,
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

    /// The settings after a change.
    #[must_use]
    pub fn with(mut self, change: &ClientChange) -> Self {
        macro_rules! take {
            ($($field:ident),+ $(,)?) => {
                $(if let Some(value) = &change.$field {
                    self.$field = value.clone();
                })+
            };
        }
        take!(
            description,
            logo_uri,
            post_logout_redirect_uris,
            allowed_origins,
            allowed_audiences,
            token_endpoint_auth_method,
            jwks,
            backchannel_logout_uri,
            initiate_login_uri,
            first_party,
            require_s256,
            ignore_unknown_scopes,
            id_token_signed_response_alg,
            access_token_lifetime,
            refresh_token_lifetime,
            refresh_token_absolute_lifetime,
        );
        self
    }

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

/// What an administrator changes of a client. What is left out stays as it is; `null` goes back to the default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClientChange {
    #[serde(alias = "client_name", alias = "clientName", deserialize_with = "given")]
    pub name: Option<Title>,
    /// Where codes may be sent, compared exactly (R025).
    #[serde(alias = "redirectUris", deserialize_with = "given_or_default")]
    pub redirect_uris: Option<Vec<RedirectUri>>,
    /// What it may ask for (R130).
    #[serde(alias = "allowedScopes", alias = "scopes", deserialize_with = "given_or_default")]
    pub allowed_scopes: Option<Scopes>,
    #[serde(deserialize_with = "given")]
    pub description: Option<Option<Description>>,
    #[serde(alias = "logoUri", deserialize_with = "given")]
    pub logo_uri: Option<Option<LaunchUrl>>,
    #[serde(
        alias = "postLogoutRedirectUris",
        alias = "logout_uris",
        alias = "logoutUris",
        deserialize_with = "given_or_default"
    )]
    pub post_logout_redirect_uris: Option<Vec<RedirectUri>>,
    #[serde(alias = "allowedOrigins", deserialize_with = "given_or_default")]
    pub allowed_origins: Option<Vec<Origin>>,
    #[serde(alias = "allowedAudiences", deserialize_with = "given")]
    pub allowed_audiences: Option<Option<Vec<ApiIdentifier>>>,
    #[serde(alias = "tokenEndpointAuthMethod", deserialize_with = "given")]
    pub token_endpoint_auth_method: Option<Option<ClientAuthMethod>>,
    #[serde(deserialize_with = "given")]
    pub jwks: Option<Option<Jwks>>,
    #[serde(alias = "backchannelLogoutUri", deserialize_with = "given")]
    pub backchannel_logout_uri: Option<Option<WebhookUrl>>,
    #[serde(alias = "initiateLoginUri", deserialize_with = "given")]
    pub initiate_login_uri: Option<Option<LaunchUrl>>,
    #[serde(alias = "firstParty", deserialize_with = "given_or_default")]
    pub first_party: Option<bool>,
    #[serde(alias = "requireS256", deserialize_with = "given_or_default")]
    pub require_s256: Option<bool>,
    #[serde(alias = "ignoreUnknownScopes", deserialize_with = "given_or_default")]
    pub ignore_unknown_scopes: Option<bool>,
    #[serde(alias = "idTokenSignedResponseAlg", deserialize_with = "given_or_default")]
    pub id_token_signed_response_alg: Option<SigningAlgorithm>,
    #[serde(alias = "accessTokenLifetime", deserialize_with = "given")]
    pub access_token_lifetime: Option<Option<u32>>,
    #[serde(alias = "refreshTokenLifetime", deserialize_with = "given")]
    pub refresh_token_lifetime: Option<Option<u32>>,
    #[serde(alias = "refreshTokenAbsoluteLifetime", deserialize_with = "given")]
    pub refresh_token_absolute_lifetime: Option<Option<u32>>,
}

/// A member that is there: also when it is `null`, if that is a value of its own.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// A member that is there; `null` is the default.
fn given_or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    Ok(Some(Option::deserialize(deserializer)?.unwrap_or_default()))
}
