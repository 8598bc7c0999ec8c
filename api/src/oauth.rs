//! OAuth 2.0 and OpenID Connect: one file per endpoint.

pub mod authorize;
mod client_assertion;
mod client_authentication;
pub mod discovery;
mod error;
pub mod token;
pub mod userinfo;

pub use client_assertion::sweep_client_assertions;
pub(crate) use error::OAuthError;

/// Paths, also told in the discovery document.
pub(crate) mod paths {
    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const TOKEN: &str = "/oauth/token";
    pub const USERINFO: &str = "/oauth/userinfo";
    pub const KEYS: &str = "/.well-known/jwks.json";
}
