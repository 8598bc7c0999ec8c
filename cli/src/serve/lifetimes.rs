//! How long sessions, codes and tokens last, and how strict OAuth is.

use api::Settings;
use chrono::Duration;
use clap::Args;

/// Lifetimes in seconds; a client may have its own (`docs/settings.md`).
#[derive(Debug, Args)]
pub struct LifetimeArgs {
    /// The strict profile: PKCE with S256 alone, for confidential clients too if they use it.
    #[arg(long, env = "OPTARE_STRICT")]
    strict: bool,
    /// Seconds that a browser stays signed in.
    #[arg(long, env = "OPTARE_SESSION_LIFETIME", default_value_t = 43_200, value_parser = clap::value_parser!(u32).range(1..))]
    session_lifetime: u32,
    /// Seconds that an authorization request waits for its person.
    #[arg(long, env = "OPTARE_AUTHORIZATION_REQUEST_LIFETIME", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..))]
    authorization_request_lifetime: u32,
    /// Seconds in which an authorization code can be redeemed.
    #[arg(long, env = "OPTARE_CODE_LIFETIME", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=600))]
    code_lifetime: u32,
    /// Seconds that an access token is valid.
    #[arg(long, env = "OPTARE_ACCESS_TOKEN_LIFETIME", default_value_t = 3_600, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    access_token_lifetime: u32,
    /// Seconds that a refresh token is valid; each use starts anew.
    #[arg(long, env = "OPTARE_REFRESH_TOKEN_LIFETIME", default_value_t = 2_592_000, value_parser = clap::value_parser!(u32).range(1..))]
    refresh_token_lifetime: u32,
    /// Seconds that a used refresh token is forgiven while its successor was never used.
    #[arg(long, env = "OPTARE_REFRESH_GRACE", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=3_600))]
    refresh_grace: u32,
}

impl LifetimeArgs {
    /// `settings` with these numbers.
    pub fn apply(&self, settings: Settings) -> Settings {
        let seconds = |given: u32| Duration::seconds(i64::from(given));
        Settings {
            pkce_plain: !self.strict,
            session_lifetime: seconds(self.session_lifetime),
            authorization_request_lifetime: seconds(self.authorization_request_lifetime),
            code_lifetime: seconds(self.code_lifetime),
            access_token_lifetime: seconds(self.access_token_lifetime),
            refresh_token_lifetime: seconds(self.refresh_token_lifetime),
            refresh_grace: seconds(self.refresh_grace),
            ..settings
        }
    }
}
