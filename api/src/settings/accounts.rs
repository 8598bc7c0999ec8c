//! Settings of what people do with their own account.

use std::path::PathBuf;

use chrono::Duration;

/// What an operator can change about accounts.
#[derive(Debug, Clone)]
pub struct AccountSettings {
    /// Whether anybody may register.
    pub registration_open: bool,
    /// How mails leave.
    pub mail: MailTransport,
    /// The sender of mails; without it, `no-reply` at the host of the base URL.
    pub mail_from: Option<String>,
    /// So many failures in a row an account bears before there are pauses.
    pub sign_in_tries: u32,
    /// So many an address bears, behind which many people may be.
    pub sign_in_address_tries: u32,
    /// The first pause; each further failure doubles it.
    pub sign_in_pause: Duration,
    /// No pause is longer.
    pub sign_in_longest_pause: Duration,
    /// After so long without a failure all are forgotten.
    pub sign_in_memory: Duration,
    /// How long a browser is remembered that has signed in to an account.
    pub device_lifetime: Duration,
    /// How long a link verifies an address.
    pub verification_lifetime: Duration,
    /// How long a link sets a new password.
    pub reset_lifetime: Duration,
}

impl Default for AccountSettings {
    fn default() -> Self {
        Self {
            registration_open: false,
            mail: MailTransport::Off,
            mail_from: None,
            sign_in_tries: 5,
            sign_in_address_tries: 50,
            sign_in_pause: Duration::seconds(1),
            sign_in_longest_pause: Duration::minutes(15),
            sign_in_memory: Duration::hours(1),
            device_lifetime: Duration::days(365),
            verification_lifetime: Duration::hours(24),
            reset_lifetime: Duration::hours(1),
        }
    }
}

/// How mails leave.
#[derive(Debug, Clone)]
pub enum MailTransport {
    /// They do not.
    Off,
    /// Into a folder, as files that mail programs open: for development.
    Folder(PathBuf),
    /// Over SMTP.
    Smtp(SmtpUrl),
}

/// `smtp://` or `smtps://`, often with a password, which is why it is never printed.
#[derive(Clone)]
pub struct SmtpUrl(pub String);

impl std::fmt::Debug for SmtpUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SmtpUrl(…)")
    }
}
