//! OAuth 2.0 and OpenID Connect: one file per endpoint, and what they share.

mod answer;
mod audience;
pub mod authorize;
mod claims;
mod client_authentication;
pub mod discovery;
mod error;
pub mod interaction;
pub mod introspect;
mod issue;
pub mod logout;
mod parameters;
mod pending;
mod request;
pub mod revoke;
pub mod token;
mod trust;
pub mod userinfo;

pub use answer::FormPost;
pub(crate) use error::OAuthError;

/// Paths, also told in the discovery document.
pub(crate) mod paths {
    pub const AUTHORIZE: &str = "/oauth/authorize";
    pub const TOKEN: &str = "/oauth/token";
    pub const USERINFO: &str = "/oauth/userinfo";
    pub const REVOKE: &str = "/oauth/revoke";
    pub const INTROSPECT: &str = "/oauth/introspect";
    pub const LOGOUT: &str = "/oauth/logout";
    pub const KEYS: &str = "/.well-known/jwks.json";
}
