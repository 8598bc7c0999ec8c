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
            (
                S::Unknown,
                C::Create {
                    organization_id,
                    name,
                    created_by,
                    roles,
                    secret_hash,
                },
            ) => vec![E::Created {
                organization_id,
                name,
                created_by,
                roles,
                secret_hash,
            }],
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
            (
                state,
                E::Created {
                    organization_id,
                    name,
                    created_by,
                    roles,
                    secret_hash,
                },
            ) => {
                *state = S::Active(Key {
                    organization_id,
                    name,
                    created_by,
                    roles,
                    secret_hash,
                });
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
