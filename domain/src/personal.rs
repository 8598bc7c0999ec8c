//! What identifies a person. The event store seals the value under that person's key; once the key
//! is destroyed, every reader finds `Erased`.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::UserId;

/// A value about a person, who is its subject.
///
/// The store finds these values by their JSON form, which therefore never changes:
/// `{"$personal": {"subject": "user_…", "value": …}}` and `{"$erased": {"subject": "user_…"}}`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Personal<T> {
    #[serde(rename = "$personal")]
    Known { subject: UserId, value: T },
    #[serde(rename = "$erased")]
    Erased { subject: UserId },
}

impl<T> Personal<T> {
    pub fn of(subject: UserId, value: T) -> Self {
        Self::Known { subject, value }
    }

    /// The value, unless it was erased.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known { value, .. } => Some(value),
            Self::Erased { .. } => None,
        }
    }

    /// The person.
    pub fn subject(&self) -> &UserId {
        match self {
            Self::Known { subject, .. } | Self::Erased { subject } => subject,
        }
    }
}

/// Says about whom, never what: this text may reach a log.
impl<T> fmt::Debug for Personal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known { subject, .. } => write!(f, "Known({subject})"),
            Self::Erased { subject } => write!(f, "Erased({subject})"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ada() -> UserId {
        "user_ada".parse().unwrap()
    }

    #[test]
    fn a_known_value_is_stored_with_its_subject() {
        let known = Personal::of(ada(), "Ada".to_owned());
        let json = json!({ "$personal": { "subject": "user_ada", "value": "Ada" } });
        assert_eq!(serde_json::to_value(&known).unwrap(), json);
        assert_eq!(serde_json::from_value::<Personal<String>>(json).unwrap(), known);
    }

    #[test]
    fn an_erased_value_keeps_only_its_subject() {
        let erased = Personal::<String>::Erased { subject: ada() };
        let json = json!({ "$erased": { "subject": "user_ada" } });
        assert_eq!(serde_json::to_value(&erased).unwrap(), json);
        assert_eq!(serde_json::from_value::<Personal<String>>(json).unwrap(), erased);
        assert_eq!(erased.value(), None);
        assert_eq!(erased.subject(), &ada());
    }

    #[test]
    fn debug_never_shows_the_value() {
        let known = Personal::of(ada(), "Lovelace");
        assert_eq!(format!("{known:?}"), "Known(user_ada)");
    }
}
