//! Options about what people do with their own account.

use std::path::Path;

use api::{AccountSettings, MailTransport, SmtpUrl};
use chrono::Duration;
use clap::{Args, ValueEnum};

use crate::Failure;

/// Registration, mails, brute force; every number is in `docs/settings.md`.
#[derive(Debug, Args)]
pub struct AccountArgs {
    /// Whether anybody may register.
    #[arg(long, env = "OPTARE_REGISTRATION", value_enum, default_value_t = RegistrationArg::Closed)]
    registration: RegistrationArg,
    /// smtps://user:password@host or smtp://host:587?tls=required; without it, mails are not sent (with --dev they
    /// are files in the data folder).
    #[arg(long, env = "OPTARE_MAIL_URL", hide_env_values = true)]
    mail_url: Option<String>,
    /// The sender of mails; default: no-reply at the host of the base URL.
    #[arg(long, env = "OPTARE_MAIL_FROM")]
    mail_from: Option<String>,
    /// So many failed sign-ins in a row an account bears before there are pauses.
    #[arg(long, env = "OPTARE_SIGN_IN_TRIES", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    sign_in_tries: u32,
    /// So many a client address bears, behind which many people may be.
    #[arg(long, env = "OPTARE_SIGN_IN_ADDRESS_TRIES", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
    sign_in_address_tries: u32,
    /// Seconds of the first pause; each further failure doubles it.
    #[arg(long, env = "OPTARE_SIGN_IN_PAUSE", default_value_t = 1.0)]
    sign_in_pause: f64,
    /// Seconds that no pause exceeds.
    #[arg(long, env = "OPTARE_SIGN_IN_LONGEST_PAUSE", default_value_t = 900.0)]
    sign_in_longest_pause: f64,
    /// Seconds without a failure after which all are forgotten.
    #[arg(long, env = "OPTARE_SIGN_IN_MEMORY", default_value_t = 3600.0)]
    sign_in_memory: f64,
    /// Seconds that an account remembers a browser that has signed in to it.
    #[arg(long, env = "OPTARE_SIGN_IN_DEVICE_LIFETIME", default_value_t = 31_536_000.0)]
    sign_in_device_lifetime: f64,
    /// Seconds that a link works that verifies an address.
    #[arg(long, env = "OPTARE_VERIFICATION_LIFETIME", default_value_t = 86_400.0)]
    verification_lifetime: f64,
    /// Seconds that a link works that sets a new password.
    #[arg(long, env = "OPTARE_RESET_LIFETIME", default_value_t = 3600.0)]
    reset_lifetime: f64,
    /// How many proxies of yours each request passes; each adds the address that it saw to X-Forwarded-For.
    #[arg(long, env = "OPTARE_TRUSTED_PROXIES", default_value_t = 0)]
    pub trusted_proxies: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RegistrationArg {
    Open,
    Closed,
}

impl AccountArgs {
    /// The settings; `data` is where a development server puts mails.
    pub fn settings(&self, dev: bool, data: &Path) -> Result<AccountSettings, Failure> {
        let seconds = |name: &str, given: f64| {
            // Ten years are for ever, and no number of milliseconds overflows.
            let most = 315_360_000.0;
            (given > 0.0 && given <= most).then(|| Duration::milliseconds((given * 1000.0).ceil() as i64)).ok_or_else(
                || Failure(format!("--{name} must be a number of seconds above 0 and at most {most}, not {given}")),
            )
        };
        let mail = match &self.mail_url {
            Some(url) => MailTransport::Smtp(SmtpUrl(url.clone())),
            None if dev => MailTransport::Folder(data.join("mail")),
            None => MailTransport::Off,
        };
        Ok(AccountSettings {
            registration_open: self.registration == RegistrationArg::Open,
            mail,
            mail_from: self.mail_from.clone(),
            sign_in_tries: self.sign_in_tries,
            sign_in_address_tries: self.sign_in_address_tries,
            sign_in_pause: seconds("sign-in-pause", self.sign_in_pause)?,
            sign_in_longest_pause: seconds("sign-in-longest-pause", self.sign_in_longest_pause)?,
            sign_in_memory: seconds("sign-in-memory", self.sign_in_memory)?,
            device_lifetime: seconds("sign-in-device-lifetime", self.sign_in_device_lifetime)?,
            verification_lifetime: seconds("verification-lifetime", self.verification_lifetime)?,
            reset_lifetime: seconds("reset-lifetime", self.reset_lifetime)?,
        })
    }
}
