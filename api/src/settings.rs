//! Settings of the HTTP interface; each has one documented name in `docs/settings.md`.

mod accounts;

use chrono::Duration;

pub use accounts::{AccountSettings, MailTransport, SmtpUrl};

/// What an operator can change.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The one origin that serves everything, without a trailing slash: also the issuer (R001, R002).
    pub base_url: String,
    /// Development: http and loopback receivers are allowed, and the clock can be moved.
    pub dev: bool,
    /// How long a browser stays signed in.
    pub session_lifetime: Duration,
    /// How long an authorization code can be redeemed (R041).
    pub code_lifetime: Duration,
    /// Whether confidential clients may use PKCE with `plain` (C3); the strict profile says no, and discovery with it.
    pub pkce_plain: bool,
    /// How long an authorization request waits for its person.
    pub authorization_request_lifetime: Duration,
    /// How long an access token is valid (R083).
    pub access_token_lifetime: Duration,
    /// How long a refresh token is valid; each use starts anew (R088).
    pub refresh_token_lifetime: Duration,
    /// For so long a rotated refresh token still works while its successor was never used (R089).
    pub refresh_grace: Duration,
    /// How long a read waits for a position that the caller has seen elsewhere.
    pub read_patience: std::time::Duration,
    /// So long a new signing key is published before it signs, so that verifiers that keep the JWK Set know it.
    pub key_publish_lead: Duration,
    /// So long a signing key is published after its last token: longer than any token lives (R083).
    pub key_retention: Duration,
    /// What people do with their own account.
    pub accounts: AccountSettings,
    /// How many proxies of ours a request passes; each adds the address that it saw to `X-Forwarded-For`.
    pub trusted_proxies: usize,
}

impl Settings {
    /// The defaults, for `base_url`.
    #[must_use]
    pub fn new(base_url: &str) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').to_owned(),
            dev: false,
            session_lifetime: Duration::hours(12),
            code_lifetime: Duration::minutes(5),
            pkce_plain: true,
            authorization_request_lifetime: Duration::hours(1),
            access_token_lifetime: Duration::hours(1),
            refresh_token_lifetime: Duration::days(30),
            refresh_grace: Duration::seconds(60),
            read_patience: std::time::Duration::from_secs(2),
            key_publish_lead: Duration::minutes(15),
            key_retention: Duration::hours(25),
            accounts: AccountSettings::default(),
            trusted_proxies: 0,
        }
    }

    /// Whether browsers reach this server over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}
