//! Ids: prefixed text such as `org_0198f3…`, readable in logs, URLs and databases (C15).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use uuid::Uuid;

/// A text that is not the id it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "expected {expected}: the prefix {}, then 1 to 64 letters, digits or hyphens",
    .prefixes.join(" or ")
)]
pub struct InvalidId {
    /// What was expected, e.g. "an organization id".
    pub expected: &'static str,
    /// The prefixes that such an id may have.
    pub prefixes: &'static [&'static str],
}

/// Defines an id as text with one of the given prefixes.
macro_rules! prefixed_text {
    ($(#[$doc:meta])* $name:ident: $expected:literal, [$($prefix:literal),+]) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// The prefixes that such an id may have.
            pub const PREFIXES: &'static [&'static str] = &[$($prefix),+];

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(text: String) -> Result<Self, InvalidId> {
                if is_prefixed(&text, Self::PREFIXES) {
                    Ok(Self(text))
                } else {
                    Err(InvalidId { expected: $expected, prefixes: Self::PREFIXES })
                }
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::try_from(text.to_owned())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// Defines an id that has one prefix and is made from a UUID.
macro_rules! id {
    ($(#[$doc:meta])* $name:ident: $expected:literal, $prefix:literal) => {
        prefixed_text! { $(#[$doc])* $name: $expected, [$prefix] }

        impl $name {
            /// The prefix and 32 hexadecimal digits.
            pub fn from_uuid(uuid: Uuid) -> Self {
                Self(format!("{}{}", $prefix, uuid.simple()))
            }

            /// The UUID behind the prefix, if there is one: an id may also have been given by hand.
            pub fn uuid(&self) -> Option<Uuid> {
                Uuid::try_parse(self.0.strip_prefix($prefix)?).ok()
            }
        }
    };
}

id! {
    /// A tenant: a company and its members.
    OrganizationId: "an organization id", "org_"
}
id! {
    /// One person's account.
    UserId: "a user id", "user_"
}
id! {
    /// One sign-in of a user.
    SessionId: "a session id", "session_"
}
id! {
    /// An app of the marketplace or of one organization.
    AppId: "an app id", "app_"
}
id! {
    /// One app installed for one organization.
    InstallationId: "an installation id", "inst_"
}
id! {
    /// One authorization of a client by a user, and all tokens that come from it.
    GrantId: "a grant id", "grant_"
}
id! {
    /// A product that a vendor sells subscriptions of (R210).
    ProductId: "a product id", "prod_"
}
id! {
    /// An organization's licence for a product.
    SubscriptionId: "a subscription id", "sub_"
}
id! {
    /// An API key; the id is the public half of the pair (R201).
    ApiKeyId: "an API key id", "key_"
}
id! {
    /// An API that tokens are issued for.
    ResourceServerId: "an API id", "api_"
}
id! {
    /// One webhook message; the same id in every attempt (`webhook-id`).
    DeliveryId: "a delivery id", "msg_"
}

prefixed_text! {
    /// An OAuth client. The prefix tells people where it came from; no rule reads it (R145, C15).
    ClientId: "a client id", ["app_", "srv_", "pub_", "client_"]
}

impl ClientId {
    /// The client of an app that an organization installed.
    pub fn for_installation(uuid: Uuid) -> Self {
        Self(format!("app_{}", uuid.simple()))
    }

    /// A machine-to-machine client.
    pub fn for_machine(uuid: Uuid) -> Self {
        Self(format!("srv_{}", uuid.simple()))
    }

    /// A client that people sign in to, created in the console.
    pub fn for_interactive(uuid: Uuid) -> Self {
        Self(format!("pub_{}", uuid.simple()))
    }

    /// A client created through the API or the command line.
    pub fn for_client(uuid: Uuid) -> Self {
        Self(format!("client_{}", uuid.simple()))
    }
}

fn is_prefixed(text: &str, prefixes: &[&str]) -> bool {
    prefixes
        .iter()
        .filter_map(|prefix| text.strip_prefix(prefix))
        .any(|rest| (1..=64).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: Uuid = Uuid::from_u128(0x0198_f3a1_0000_7000_8000_0000_0000_0001);

    #[test]
    fn an_id_is_its_prefix_and_32_hexadecimal_digits() {
        let id = OrganizationId::from_uuid(UUID);
        assert_eq!(id.as_str(), "org_0198f3a1000070008000000000000001");
        assert_eq!(id.to_string().parse(), Ok(id));
    }

    #[test]
    fn a_client_id_tells_where_it_came_from() {
        let ids = [
            ClientId::for_installation(UUID),
            ClientId::for_machine(UUID),
            ClientId::for_interactive(UUID),
            ClientId::for_client(UUID),
        ];
        for (id, prefix) in ids.iter().zip(["app_", "srv_", "pub_", "client_"]) {
            assert!(id.as_str().starts_with(prefix), "{id}");
            assert_eq!(id.as_str().parse().as_ref(), Ok(id));
        }
    }

    #[test]
    fn the_uuid_is_found_again_where_there_is_one() {
        assert_eq!(GrantId::from_uuid(UUID).uuid(), Some(UUID));
        assert_eq!(SessionId::from_uuid(UUID).uuid(), Some(UUID));
        assert_eq!("grant_demo".parse::<GrantId>().unwrap().uuid(), None);
    }

    #[test]
    fn what_is_not_an_id_is_refused() {
        let too_long = format!("org_{}", "a".repeat(65));
        for text in ["", "org_", "acme", "user_1", "ORG_1", "org_a b", "org_a/b", "org_é", " org_1", &too_long] {
            assert!(text.parse::<OrganizationId>().is_err(), "{text:?} was accepted");
        }
        assert!(format!("org_{}", "a".repeat(64)).parse::<OrganizationId>().is_ok());
    }

    #[test]
    fn the_error_names_what_was_expected() {
        let error = "acme".parse::<ClientId>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "expected a client id: the prefix app_ or srv_ or pub_ or client_, then 1 to 64 letters, digits or hyphens"
        );
    }

    #[test]
    fn json_is_checked_too() {
        assert_eq!(serde_json::to_string(&AppId::from_uuid(UUID)).unwrap(), format!("\"app_{}\"", UUID.simple()));
        assert!(serde_json::from_str::<AppId>("\"app_demo\"").is_ok());
        assert!(serde_json::from_str::<AppId>("\"demo\"").is_err());
    }
}
