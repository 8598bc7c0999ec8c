//! An API key: how a program of an organization calls the management API (section K).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{OrganizationId, UserId};
use crate::values::{Scopes, SecretHash, Title};

#[derive(Debug, Clone)]
pub enum ApiKeyCommand {
    /// `roles` are what the key may do, e.g. `org.admin.apps` (R233).
    Create {
        organization_id: OrganizationId,
        name: Title,
        created_by: Option<UserId>,
        roles: Scopes,
        secret_hash: SecretHash,
    },
    RotateSecret {
        secret_hash: SecretHash,
    },
    Revoke {
        reason: Option<String>,
    },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ApiKeyEvent {
    Created {
        organization_id: OrganizationId,
        name: Title,
        created_by: Option<UserId>,
        roles: Scopes,
        secret_hash: SecretHash,
    },
    /// The earlier secret ended at once (R232).
    SecretRotated {
        secret_hash: SecretHash,
    },
    Revoked {
        reason: Option<String>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiKeyError {
    #[error("this API key does not exist")]
    NotFound,
    #[error("this API key already exists")]
    AlreadyExists,
    #[error("this API key is revoked: create a new one")]
    Revoked,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum ApiKey {
    #[default]
    Unknown,
    Active(Key),
    Revoked,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    pub organization_id: OrganizationId,
    pub name: Title,
    pub created_by: Option<UserId>,
    pub roles: Scopes,
    pub secret_hash: SecretHash,
}

aggregate! {
    ApiKey = "api_key",
    ApiKeyCommand -> ApiKeyEvent | ApiKeyError,
    [
        Created = "created",
        SecretRotated = "secret_rotated",
        Revoked = "revoked",
    ]
}

impl ApiKey {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: ApiKeyCommand) -> Result<Vec<ApiKeyEvent>, ApiKeyError> {
        use {ApiKey as S, ApiKeyCommand as C, ApiKeyError as Refused, ApiKeyEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Create { organization_id, name, created_by, roles, secret_hash }) => {
                vec![E::Created { organization_id, name, created_by, roles, secret_hash }]
            }
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Create { .. }) => return Err(Refused::AlreadyExists),

            (S::Active(key), C::RotateSecret { secret_hash }) if key.secret_hash == secret_hash => {
                vec![]
            }
            (S::Active(_), C::RotateSecret { secret_hash }) => {
                vec![E::SecretRotated { secret_hash }]
            }
            (S::Active(_), C::Revoke { reason }) => vec![E::Revoked { reason }],

            (S::Revoked, C::Revoke { .. }) => vec![],
            (S::Revoked, C::RotateSecret { .. }) => return Err(Refused::Revoked),
        })
    }

    pub fn apply(&mut self, event: ApiKeyEvent) {
        use {ApiKey as S, ApiKeyEvent as E};
        match (self, event) {
            (state, E::Created { organization_id, name, created_by, roles, secret_hash }) => {
                *state = S::Active(Key { organization_id, name, created_by, roles, secret_hash });
            }
            (S::Active(key), E::SecretRotated { secret_hash }) => key.secret_hash = secret_hash,
            (S::Unknown | S::Revoked, E::SecretRotated { .. }) => {}
            (state, E::Revoked { .. }) => *state = S::Revoked,
        }
    }

    /// The key, unless it was revoked.
    pub fn active(&self) -> Option<&Key> {
        match self {
            Self::Active(key) => Some(key),
            Self::Unknown | Self::Revoked => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ApiKeyCommand as C, ApiKeyError as Refused, ApiKeyEvent as E, *};
    use crate::scenario::{Scenario, after, hash, hash_text, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<ApiKey> {
        Scenario::given(events)
    }

    fn created() -> E {
        E::Created {
            organization_id: parsed("org_acme"),
            name: parsed("CI"),
            created_by: Some(parsed("user_ada")),
            roles: parsed("org.admin.apps"),
            secret_hash: hash('a'),
        }
    }

    fn create() -> C {
        C::Create {
            organization_id: parsed("org_acme"),
            name: parsed("CI"),
            created_by: Some(parsed("user_ada")),
            roles: parsed("org.admin.apps"),
            secret_hash: hash('a'),
        }
    }

    fn rotate(digit: char) -> C {
        let secret_hash = hash(digit);
        C::RotateSecret { secret_hash }
    }

    fn rotated(digit: char) -> E {
        let secret_hash = hash(digit);
        E::SecretRotated { secret_hash }
    }

    fn revoked() -> E {
        let reason = Some("leaked".into());
        E::Revoked { reason }
    }

    #[test]
    fn a_key_is_created_once() {
        given([]).when(create()).then([created()]);
        given([created()]).when(create()).then_refused(Refused::AlreadyExists);
        given([]).when(rotate('b')).then_refused(Refused::NotFound);
    }

    #[test]
    fn a_new_secret_replaces_the_earlier_one() {
        given([created()]).when(rotate('b')).then([rotated('b')]);
        given([created(), rotated('b')]).when(rotate('b')).then_nothing();
        let state: ApiKey = after([created(), rotated('b')]);
        assert_eq!(state.active().unwrap().secret_hash, hash('b'));
    }

    #[test]
    fn a_revoked_key_stays_revoked() {
        let reason = Some("leaked".to_owned());
        given([created()]).when(C::Revoke { reason }).then([revoked()]);
        given([created(), revoked()]).when(C::Revoke { reason: None }).then_nothing();
        given([created(), revoked()]).when(rotate('b')).then_refused(Refused::Revoked);
        assert_eq!(after::<ApiKey>([created(), revoked()]).active(), None);
    }

    #[test]
    fn stored_forms() {
        stored_as::<ApiKey>(
            [
                (
                    created(),
                    json!({
                        "type": "created",
                        "organization_id": "org_acme",
                        "name": "CI",
                        "created_by": "user_ada",
                        "roles": ["org.admin.apps"],
                        "secret_hash": hash_text('a'),
                    }),
                ),
                (rotated('b'), json!({ "type": "secret_rotated", "secret_hash": hash_text('b') })),
                (revoked(), json!({ "type": "revoked", "reason": "leaked" })),
            ],
            E::TYPES,
        );
    }
}
