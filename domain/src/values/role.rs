//! What a member may do in an organization (R115).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::InvalidValue;

/// A member's role: one of the three built-in ones, or one that the organization named itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Role {
    Owner,
    Admin,
    Member,
    Custom(CustomRole),
}

/// The name of an organization's own role; comes out of parsing a `Role`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomRole(String);

impl Role {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Member => "member",
            Self::Custom(CustomRole(name)) => name,
        }
    }

    pub fn is_owner(&self) -> bool {
        *self == Self::Owner
    }

    /// May administer the organization (R250).
    pub fn is_admin(&self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }
}

impl FromStr for Role {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        match text {
            "owner" => Ok(Self::Owner),
            "admin" => Ok(Self::Admin),
            "member" => Ok(Self::Member),
            _ if is_custom(text) => Ok(Self::Custom(CustomRole(text.to_owned()))),
            _ => Err(InvalidValue::new(
                "role",
                "must be owner, admin, member, or a name of your own: 1 to 64 of a-z, 0-9, _, . and -",
            )),
        }
    }
}

fn is_custom(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'.' | b'-'))
}

impl TryFrom<String> for Role {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl From<Role> for String {
    fn from(role: Role) -> Self {
        role.as_str().to_owned()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_and_admins_administer() {
        let role = |text: &str| text.parse::<Role>().unwrap();
        assert!(role("owner").is_owner());
        assert!(role("owner").is_admin());
        assert!(role("admin").is_admin());
        assert!(!role("member").is_admin());
        assert!(!role("billing.read").is_admin());
        assert_eq!(role("billing.read").to_string(), "billing.read");
    }

    #[test]
    fn the_error_lists_the_roles() {
        for text in ["", "Owner", "a b", &"a".repeat(65)] {
            let error = text.parse::<Role>().unwrap_err().to_string();
            assert!(error.contains("owner, admin, member"), "{error}");
        }
    }

    #[test]
    fn a_role_is_its_name_in_json() {
        assert_eq!(serde_json::to_string(&Role::Owner).unwrap(), "\"owner\"");
        assert_eq!(serde_json::from_str::<Role>("\"member\"").unwrap(), Role::Member);
        assert!(serde_json::from_str::<Role>("\"Member\"").is_err());
    }
}
