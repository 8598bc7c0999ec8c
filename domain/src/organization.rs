//! An organization: a tenant, its members and the apps it has installed.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{AppId, ClientId, InstallationId, UserId};
use crate::values::{OrganizationName, Role};

#[derive(Debug, Clone)]
pub enum OrganizationCommand {
    Create {
        name: OrganizationName,
        owner: UserId,
    },
    Rename {
        name: OrganizationName,
    },
    AddMember {
        user_id: UserId,
        role: Role,
    },
    ChangeRole {
        user_id: UserId,
        role: Role,
    },
    RemoveMember {
        user_id: UserId,
    },
    /// The ids are those of the installation and of its dedicated client, should there be one (R160).
    InstallApp {
        installation_id: InstallationId,
        app_id: AppId,
        client_id: ClientId,
    },
    UninstallApp {
        installation_id: InstallationId,
    },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OrganizationEvent {
    Created {
        name: OrganizationName,
    },
    Renamed {
        name: OrganizationName,
    },
    MemberAdded {
        user_id: UserId,
        role: Role,
    },
    MemberRoleChanged {
        user_id: UserId,
        role: Role,
    },
    MemberRemoved {
        user_id: UserId,
    },
    AppInstalled {
        installation_id: InstallationId,
        app_id: AppId,
        client_id: ClientId,
    },
    AppUninstalled {
        installation_id: InstallationId,
        app_id: AppId,
        client_id: ClientId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OrganizationError {
    #[error("this organization does not exist")]
    NotFound,
    #[error("this organization already exists")]
    AlreadyExists,
    #[error("an organization needs an owner: make somebody else an owner first")]
    LastOwner,
    #[error("this user is not a member of the organization")]
    NotAMember,
    #[error("this app is not installed")]
    NotInstalled,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Organization {
    #[default]
    Unknown,
    Existing {
        name: OrganizationName,
        members: Arc<BTreeMap<UserId, Role>>,
        installations: Arc<BTreeMap<AppId, Installation>>,
    },
}

/// An app that is installed, at most once per organization.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation {
    pub installation_id: InstallationId,
    pub app_id: AppId,
    pub client_id: ClientId,
}

aggregate! {
    Organization = "organization",
    OrganizationCommand -> OrganizationEvent | OrganizationError,
    [
        Created = "created",
        Renamed = "renamed",
        MemberAdded = "member_added",
        MemberRoleChanged = "member_role_changed",
        MemberRemoved = "member_removed",
        AppInstalled = "app_installed",
        AppUninstalled = "app_uninstalled",
    ]
}

impl Organization {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(
        &self,
        command: OrganizationCommand,
    ) -> Result<Vec<OrganizationEvent>, OrganizationError> {
        use {
            Organization as S, OrganizationCommand as C, OrganizationError as Refused,
            OrganizationEvent as E,
        };
        Ok(match (self, command) {
            (S::Unknown, C::Create { name, owner }) => vec![
                E::Created { name },
                E::MemberAdded {
                    user_id: owner,
                    role: Role::Owner,
                },
            ],
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Create { .. }) => return Err(Refused::AlreadyExists),

            (_, C::Rename { name }) if self.name() == Some(&name) => vec![],
            (_, C::Rename { name }) => vec![E::Renamed { name }],

            (_, C::AddMember { user_id, role }) if self.role_of(&user_id).is_none() => {
                vec![E::MemberAdded { user_id, role }]
            }
            (_, C::AddMember { user_id, role } | C::ChangeRole { user_id, role }) => {
                match self.role_of(&user_id) {
                    None => return Err(Refused::NotAMember),
                    Some(current) if *current == role => vec![],
                    Some(_) if self.is_last_owner(&user_id) => return Err(Refused::LastOwner),
                    Some(_) => vec![E::MemberRoleChanged { user_id, role }],
                }
            }
            (_, C::RemoveMember { user_id }) => match self.role_of(&user_id) {
                None => return Err(Refused::NotAMember),
                Some(_) if self.is_last_owner(&user_id) => return Err(Refused::LastOwner),
                Some(_) => vec![E::MemberRemoved { user_id }],
            },

            (_, C::InstallApp { app_id, .. }) if self.installation_of(&app_id).is_some() => vec![],
            (
                _,
                C::InstallApp {
                    installation_id,
                    app_id,
                    client_id,
                },
            ) => vec![E::AppInstalled {
                installation_id,
                app_id,
                client_id,
            }],
            (_, C::UninstallApp { installation_id }) => {
                match self.installation(&installation_id).cloned() {
                    None => return Err(Refused::NotInstalled),
                    Some(installed) => vec![E::AppUninstalled {
                        installation_id,
                        app_id: installed.app_id,
                        client_id: installed.client_id,
                    }],
                }
            }
        })
    }

    pub fn apply(&mut self, event: OrganizationEvent) {
        use OrganizationEvent as E;
        if let E::Created { name } = event {
            *self = Self::Existing {
                name,
                members: Arc::default(),
                installations: Arc::default(),
            };
            return;
        }
        let Self::Existing {
            name: current_name,
            members,
            installations,
        } = self
        else {
            return;
        };
        match event {
            E::Created { .. } => {}
            E::Renamed { name } => *current_name = name,
            E::MemberAdded { user_id, role } | E::MemberRoleChanged { user_id, role } => {
                Arc::make_mut(members).insert(user_id, role);
            }
            E::MemberRemoved { user_id } => {
                Arc::make_mut(members).remove(&user_id);
            }
            E::AppInstalled {
                installation_id,
                app_id,
                client_id,
            } => {
                let installation = Installation {
                    installation_id,
                    app_id: app_id.clone(),
                    client_id,
                };
                Arc::make_mut(installations).insert(app_id, installation);
            }
            E::AppUninstalled { app_id, .. } => {
                Arc::make_mut(installations).remove(&app_id);
            }
        }
    }

    pub fn exists(&self) -> bool {
        self.name().is_some()
    }

    pub fn name(&self) -> Option<&OrganizationName> {
        match self {
            Self::Unknown => None,
            Self::Existing { name, .. } => Some(name),
        }
    }

    /// The role of a member; none if the user is not one.
    pub fn role_of(&self, user_id: &UserId) -> Option<&Role> {
        match self {
            Self::Unknown => None,
            Self::Existing { members, .. } => members.get(user_id),
        }
    }

    pub fn installation_of(&self, app_id: &AppId) -> Option<&Installation> {
        match self {
            Self::Unknown => None,
            Self::Existing { installations, .. } => installations.get(app_id),
        }
    }

    pub fn installation(&self, installation_id: &InstallationId) -> Option<&Installation> {
        match self {
            Self::Unknown => None,
            Self::Existing { installations, .. } => installations
                .values()
                .find(|installed| installed.installation_id == *installation_id),
        }
    }

    fn is_last_owner(&self, user_id: &UserId) -> bool {
        match self {
            Self::Unknown => false,
            Self::Existing { members, .. } => {
                members.get(user_id).is_some_and(Role::is_owner)
                    && members.values().filter(|role| role.is_owner()).count() == 1
            }
        }
    }
}
