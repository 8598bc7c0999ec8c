//! Scopes: what a token allows, and the roles of API keys (section F).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{InvalidValue, text_value};

text_value! {
    /// One scope, e.g. `openid` or `org.admin.apps` (RFC 6749 §3.3).
    Scope = parse_scope
}

fn parse_scope(text: &str) -> Result<String, InvalidValue> {
    // scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
    let is_token = |b| matches!(b, 0x21 | 0x23..=0x5B | 0x5D..=0x7E);
    if (1..=128).contains(&text.len()) && text.bytes().all(is_token) {
        return Ok(text.to_owned());
    }
    Err(InvalidValue::new("scope", "must be 1 to 128 visible ASCII characters other than \" and \\"))
}

/// A set of scopes that keeps the order in which they were asked for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>")]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    pub fn contains(&self, scope: impl AsRef<str>) -> bool {
        let scope = scope.as_ref();
        self.0.iter().any(|own| own.as_str() == scope)
    }

    pub fn is_subset_of(&self, other: &Scopes) -> bool {
        self.0.iter().all(|scope| other.contains(scope))
    }

    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// Equal as sets: RFC 6749 §3.3 gives the order no meaning.
impl PartialEq for Scopes {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.is_subset_of(other)
    }
}

impl Eq for Scopes {}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        let mut unique = Self::default();
        for scope in scopes {
            if !unique.contains(&scope) {
                unique.0.push(scope);
            }
        }
        unique
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

/// Reads a space-separated list; an empty text is the empty set.
impl FromStr for Scopes {
    type Err = InvalidValue;

    fn from_str(text: &str) -> Result<Self, InvalidValue> {
        text.split(' ').filter(|word| !word.is_empty()).map(str::parse).collect()
    }
}

impl TryFrom<String> for Scopes {
    type Error = InvalidValue;

    fn try_from(text: String) -> Result<Self, InvalidValue> {
        text.parse()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, scope) in self.0.iter().enumerate() {
            let space = if i == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scopes(text: &str) -> Scopes {
        text.parse().unwrap()
    }

    #[test]
    fn scopes_are_a_set_in_the_order_asked_for() {
        let asked = scopes("openid profile  openid email");
        assert_eq!(asked.to_string(), "openid profile email");
        assert_eq!(asked, scopes("email openid profile"));
        assert_ne!(asked, scopes("openid profile"));
        assert!(scopes("").is_empty());
    }

    #[test]
    fn a_subset_is_found() {
        let asked = scopes("openid crm:read");
        assert!(scopes("openid").is_subset_of(&asked));
        assert!(!scopes("openid email").is_subset_of(&asked));
        assert!(asked.contains("crm:read"));
        assert!(!asked.contains("crm"));
    }

    #[test]
    fn scopes_are_an_array_in_json() {
        let json = "[\"openid\",\"email\"]";
        assert_eq!(serde_json::to_string(&scopes("openid email")).unwrap(), json);
        assert_eq!(serde_json::from_str::<Scopes>(json).unwrap(), scopes("openid email"));
        assert!(serde_json::from_str::<Scopes>("[\"a b\"]").is_err());
    }

    #[test]
    fn what_is_no_scope_is_refused() {
        for text in ["", "a b", "a\"b", "a\\b", "é", "a\n", &"a".repeat(129)] {
            assert!(text.parse::<Scope>().is_err(), "{text:?} was accepted");
        }
        assert!("openid\tprofile".parse::<Scopes>().is_err());
    }
}
