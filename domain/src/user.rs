//! A user: one person's account; memberships belong to organizations.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::UserId;
use crate::personal::Personal;
use crate::values::{Email, PasswordHash, PersonName};

#[derive(Debug, Clone)]
pub enum UserCommand {
    Register {
        user_id: UserId,
        email: Email,
        name: PersonName,
        email_verified: bool,
        password: Option<PasswordHash>,
    },
    SetPassword {
        user_id: UserId,
        hash: PasswordHash,
    },
    VerifyEmail,
    Rename {
        user_id: UserId,
        name: PersonName,
    },
    Suspend {
        reason: String,
    },
    Reinstate,
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UserEvent {
    Registered {
        email: Personal<Email>,
        name: Personal<PersonName>,
        email_verified: bool,
    },
    /// `epoch` counts the passwords so far; sessions and tokens of an earlier one end (R270).
    PasswordSet {
        hash: Personal<PasswordHash>,
        epoch: u64,
    },
    EmailVerified,
    Renamed {
        name: Personal<PersonName>,
    },
    Suspended {
        reason: String,
    },
    Reinstated,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum UserError {
    #[error("this user does not exist")]
    NotFound,
    #[error("this user is already registered")]
    AlreadyRegistered,
    #[error("this user is suspended: {reason}")]
    Suspended { reason: String },
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum User {
    #[default]
    Unknown,
    Active(Account),
    Suspended {
        account: Account,
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    name: Personal<PersonName>,
    email_verified: bool,
    password: Option<Personal<PasswordHash>>,
    password_epoch: u64,
}

aggregate! {
    User = "user",
    UserCommand -> UserEvent | UserError,
    [
        Registered = "registered",
        PasswordSet = "password_set",
        EmailVerified = "email_verified",
        Renamed = "renamed",
        Suspended = "suspended",
        Reinstated = "reinstated",
    ]
}

impl User {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: UserCommand) -> Result<Vec<UserEvent>, UserError> {
        use {User as S, UserCommand as C, UserError as Refused, UserEvent as E};
        Ok(match (self, command) {
            (
                S::Unknown,
                C::Register {
                    user_id,
                    email,
                    name,
                    email_verified,
                    password,
                },
            ) => {
                let registered = E::Registered {
                    email: Personal::of(user_id.clone(), email),
                    name: Personal::of(user_id.clone(), name),
                    email_verified,
                };
                let password_set = password.map(|hash| E::PasswordSet {
                    hash: Personal::of(user_id, hash),
                    epoch: 1,
                });
                [registered].into_iter().chain(password_set).collect()
            }
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Register { .. }) => return Err(Refused::AlreadyRegistered),

            (S::Active(_), C::SetPassword { hash, .. }) if self.password_hash() == Some(&hash) => {
                vec![]
            }
            (S::Active(account), C::SetPassword { user_id, hash }) => vec![E::PasswordSet {
                hash: Personal::of(user_id, hash),
                epoch: account.password_epoch + 1,
            }],
            (S::Active(account), C::VerifyEmail) if account.email_verified => vec![],
            (S::Active(_), C::VerifyEmail) => vec![E::EmailVerified],
            (S::Active(account), C::Rename { name, .. }) if account.name.value() == Some(&name) => {
                vec![]
            }
            (S::Active(_), C::Rename { user_id, name }) => vec![E::Renamed {
                name: Personal::of(user_id, name),
            }],
            (S::Active(_), C::Suspend { reason }) => vec![E::Suspended { reason }],
            (S::Active(_), C::Reinstate) => vec![],

            (S::Suspended { .. }, C::Suspend { .. }) => vec![],
            (S::Suspended { .. }, C::Reinstate) => vec![E::Reinstated],
            (S::Suspended { reason, .. }, _) => {
                return Err(Refused::Suspended {
                    reason: reason.clone(),
                });
            }
        })
    }

    pub fn apply(&mut self, event: UserEvent) {
        use UserEvent as E;
        if let E::Registered {
            name,
            email_verified,
            ..
        } = event
        {
            *self = Self::Active(Account {
                name,
                email_verified,
                password: None,
                password_epoch: 0,
            });
            return;
        }
        let (Self::Active(account) | Self::Suspended { account, .. }) = self else {
            return;
        };
        match event {
            E::Registered { .. } => {}
            E::PasswordSet { hash, epoch } => {
                account.password = Some(hash);
                account.password_epoch = epoch;
            }
            E::EmailVerified => account.email_verified = true,
            E::Renamed { name } => account.name = name,
            E::Suspended { reason } => {
                let account = account.clone();
                *self = Self::Suspended { account, reason };
            }
            E::Reinstated => *self = Self::Active(account.clone()),
        }
    }

    pub fn exists(&self) -> bool {
        self.account().is_some()
    }

    /// Registered and not suspended: may sign in.
    pub fn is_active(&self) -> bool {
        matches!(self, Self::Active(_))
    }

    /// The hash that a password is checked against; none if there is no password or it was erased.
    pub fn password_hash(&self) -> Option<&PasswordHash> {
        self.account()?.password.as_ref()?.value()
    }

    /// How many passwords there have been: what was signed in under an earlier one has ended (R270).
    pub fn password_epoch(&self) -> u64 {
        self.account().map_or(0, |account| account.password_epoch)
    }

    fn account(&self) -> Option<&Account> {
        match self {
            Self::Unknown => None,
            Self::Active(account) | Self::Suspended { account, .. } => Some(account),
        }
    }
}
