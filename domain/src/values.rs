//! Values that are parsed once, at the edge, into types that cannot be wrong.

use thiserror::Error;

mod addresses;
mod choices;
mod claims;
mod keys;
mod names;
mod role;
mod scopes;
mod secrets;

pub use addresses::{ApiIdentifier, LaunchUrl, Origin, RedirectUri, WebhookUrl};
pub use choices::{BillingCycle, ClientAuthMethod, ClientType, SigningAlgorithm, SubscriptionStatus, Visibility};
pub use claims::RequestedClaims;
pub use keys::Jwks;
pub use names::{AppName, Description, Email, OrganizationName, PersonName, Slug, Title};
pub use role::{CustomRole, Role};
pub use scopes::{Scope, Scopes};
pub use secrets::{CodeChallenge, CodeChallengeMethod, PasswordHash, SecretHash};

pub(crate) use choices::choices;

/// A text that cannot be the value it should be; reads as a sentence with the remedy.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{field} {reason}")]
pub struct InvalidValue {
    /// The field as the API names it, e.g. `redirect_uri`.
    pub field: &'static str,
    /// What it must be. Never repeats the text, which may be secret or personal.
    pub reason: String,
}

impl InvalidValue {
    fn new(field: &'static str, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self { field, reason }
    }
}

/// Defines a value that is text. `$parse: fn(&str) -> Result<String, InvalidValue>` answers the
/// text to keep.
macro_rules! text_value {
    ($(#[$doc:meta])* $name:ident = $parse:path) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize, serde::Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::values::InvalidValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::values::InvalidValue;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
use text_value;
