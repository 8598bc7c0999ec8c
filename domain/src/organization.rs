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
    /// With the ids that the installation and its own client are to have (R160).
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
    Created { name: OrganizationName },
    Renamed { name: OrganizationName },
    MemberAdded { user_id: UserId, role: Role },
    MemberRoleChanged { user_id: UserId, role: Role },
    MemberRemoved { user_id: UserId },
    AppInstalled { installation_id: InstallationId, app_id: AppId, client_id: ClientId },
    AppUninstalled { installation_id: InstallationId, app_id: AppId, client_id: ClientId },
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
    pub fn decide(&self, command: OrganizationCommand) -> Result<Vec<OrganizationEvent>, OrganizationError> {
        use {Organization as S, OrganizationCommand as C, OrganizationError as Refused, OrganizationEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Create { name, owner }) => {
                vec![E::Created { name }, E::MemberAdded { user_id: owner, role: Role::Owner }]
            }
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Create { .. }) => return Err(Refused::AlreadyExists),

            (_, C::Rename { name }) if self.name() == Some(&name) => vec![],
            (_, C::Rename { name }) => vec![E::Renamed { name }],

            (_, C::AddMember { user_id, role }) if self.role_of(&user_id).is_none() => {
                vec![E::MemberAdded { user_id, role }]
            }
            (_, C::AddMember { user_id, role } | C::ChangeRole { user_id, role }) => match self.role_of(&user_id) {
                None => return Err(Refused::NotAMember),
                Some(current) if *current == role => vec![],
                Some(_) if self.is_last_owner(&user_id) => return Err(Refused::LastOwner),
                Some(_) => vec![E::MemberRoleChanged { user_id, role }],
            },
            (_, C::RemoveMember { user_id }) => match self.role_of(&user_id) {
                None => return Err(Refused::NotAMember),
                Some(_) if self.is_last_owner(&user_id) => return Err(Refused::LastOwner),
                Some(_) => vec![E::MemberRemoved { user_id }],
            },

            (_, C::InstallApp { app_id, .. }) if self.installation_of(&app_id).is_some() => vec![],
            (_, C::InstallApp { installation_id, app_id, client_id }) => {
                vec![E::AppInstalled { installation_id, app_id, client_id }]
            }
            (_, C::UninstallApp { installation_id }) => match self.installation(&installation_id).cloned() {
                None => return Err(Refused::NotInstalled),
                Some(installed) => vec![E::AppUninstalled {
                    installation_id,
                    app_id: installed.app_id,
                    client_id: installed.client_id,
                }],
            },
        })
    }

    pub fn apply(&mut self, event: OrganizationEvent) {
        use OrganizationEvent as E;
        if let E::Created { name } = event {
            *self = Self::Existing { name, members: Arc::default(), installations: Arc::default() };
            return;
        }
        let Self::Existing { name: current_name, members, installations } = self else {
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
            E::AppInstalled { installation_id, app_id, client_id } => {
                let installation = Installation { installation_id, app_id: app_id.clone(), client_id };
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
            Self::Existing { installations, .. } => {
                installations.values().find(|installed| installed.installation_id == *installation_id)
            }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{OrganizationCommand as C, OrganizationError as Refused, OrganizationEvent as E, *};
    use crate::scenario::{Scenario, after, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<Organization> {
        Scenario::given(events)
    }

    fn user(name: &str) -> UserId {
        parsed(&format!("user_{name}"))
    }

    fn created() -> E {
        let name = parsed("Acme");
        E::Created { name }
    }

    fn added(name: &str, role: Role) -> E {
        let user_id = user(name);
        E::MemberAdded { user_id, role }
    }

    fn installed(number: u8) -> E {
        E::AppInstalled {
            installation_id: parsed(&format!("inst_{number}")),
            app_id: parsed("app_crm"),
            client_id: parsed(&format!("app_{number}")),
        }
    }

    fn uninstalled(number: u8) -> E {
        E::AppUninstalled {
            installation_id: parsed(&format!("inst_{number}")),
            app_id: parsed("app_crm"),
            client_id: parsed(&format!("app_{number}")),
        }
    }

    fn install(number: u8) -> C {
        C::InstallApp {
            installation_id: parsed(&format!("inst_{number}")),
            app_id: parsed("app_crm"),
            client_id: parsed(&format!("app_{number}")),
        }
    }

    fn uninstall(number: u8) -> C {
        let installation_id = parsed(&format!("inst_{number}"));
        C::UninstallApp { installation_id }
    }

    fn create() -> C {
        let (name, owner) = (parsed("Acme"), user("ada"));
        C::Create { name, owner }
    }

    fn change_role(name: &str, role: Role) -> C {
        let user_id = user(name);
        C::ChangeRole { user_id, role }
    }

    fn add(name: &str, role: Role) -> C {
        let user_id = user(name);
        C::AddMember { user_id, role }
    }

    fn remove(name: &str) -> C {
        let user_id = user(name);
        C::RemoveMember { user_id }
    }

    #[test]
    fn an_organization_begins_with_its_owner() {
        given([]).when(create()).then([created(), added("ada", Role::Owner)]);
        given([created()]).when(create()).then_refused(Refused::AlreadyExists);
        given([]).when(remove("ada")).then_refused(Refused::NotFound);
    }

    #[test]
    fn renaming_to_the_same_name_is_nothing() {
        let name: OrganizationName = parsed("Acme");
        given([created()]).when(C::Rename { name }).then_nothing();
        let name: OrganizationName = parsed("Apex");
        given([created()]).when(C::Rename { name: name.clone() }).then([E::Renamed { name }]);
    }

    #[test]
    fn adding_a_member_again_changes_the_role_at_most() {
        let before = || given([created(), added("ada", Role::Owner), added("bob", Role::Member)]);
        before().when(add("eve", Role::Member)).then([added("eve", Role::Member)]);
        before().when(add("bob", Role::Member)).then_nothing();
        let (user_id, role) = (user("bob"), Role::Admin);
        before().when(add("bob", Role::Admin)).then([E::MemberRoleChanged { user_id, role }]);
    }

    #[test]
    fn a_role_is_changed_for_members_only() {
        let before = || given([created(), added("ada", Role::Owner), added("bob", Role::Member)]);
        let (user_id, role) = (user("bob"), Role::Owner);
        before().when(change_role("bob", Role::Owner)).then([E::MemberRoleChanged { user_id, role }]);
        before().when(change_role("bob", Role::Member)).then_nothing();
        before().when(change_role("eve", Role::Admin)).then_refused(Refused::NotAMember);
    }

    #[test]
    fn the_last_owner_stays() {
        let before = || given([created(), added("ada", Role::Owner), added("bob", Role::Admin)]);
        before().when(remove("ada")).then_refused(Refused::LastOwner);
        before().when(change_role("ada", Role::Admin)).then_refused(Refused::LastOwner);
        before().when(add("ada", Role::Member)).then_refused(Refused::LastOwner);
        before().when(change_role("ada", Role::Owner)).then_nothing();
    }

    #[test]
    fn one_of_two_owners_may_go() {
        let user_id = user("ada");
        given([created(), added("ada", Role::Owner), added("bob", Role::Owner)])
            .when(remove("ada"))
            .then([E::MemberRemoved { user_id }]);
    }

    #[test]
    fn whoever_is_not_a_member_cannot_be_removed() {
        given([created(), added("ada", Role::Owner)]).when(remove("eve")).then_refused(Refused::NotAMember);
    }

    #[test]
    fn an_app_is_installed_once() {
        given([created()]).when(install(1)).then([installed(1)]);
        given([created(), installed(1)]).when(install(2)).then_nothing();
    }

    #[test]
    fn an_installed_app_is_uninstalled_with_its_client() {
        given([created(), installed(1)]).when(uninstall(1)).then([uninstalled(1)]);
        given([created(), installed(1)]).when(uninstall(2)).then_refused(Refused::NotInstalled);
        given([created(), installed(1), uninstalled(1)]).when(uninstall(1)).then_refused(Refused::NotInstalled);
    }

    #[test]
    fn an_uninstalled_app_is_installed_anew() {
        given([created(), installed(1), uninstalled(1)]).when(install(2)).then([installed(2)]);
    }

    #[test]
    fn members_and_installations_are_found() {
        let (bob, app): (UserId, AppId) = (user("bob"), parsed("app_crm"));
        let state: Organization = after([created(), added("bob", Role::Admin), installed(1)]);
        assert!(state.exists());
        assert_eq!(state.role_of(&bob), Some(&Role::Admin));
        let installation = state.installation_of(&app).unwrap();
        assert_eq!(installation.client_id.as_str(), "app_1");
        assert_eq!(state.installation(&parsed("inst_1")), Some(installation));
        assert_eq!(state.installation(&parsed("inst_2")), None);
    }

    #[test]
    fn a_state_survives_its_snapshot() {
        let state: Organization = after([created(), added("ada", Role::Owner), installed(1)]);
        let json = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<Organization>(&json).unwrap(), state);
    }

    #[test]
    fn stored_forms() {
        let role_changed = E::MemberRoleChanged { user_id: user("ada"), role: parsed("billing") };
        let removed = E::MemberRemoved { user_id: user("ada") };
        let renamed = E::Renamed { name: parsed("Apex") };
        let installation = json!({ "type": "app_installed",
            "installation_id": "inst_1", "app_id": "app_crm", "client_id": "app_1" });
        let uninstallation = json!({ "type": "app_uninstalled",
            "installation_id": "inst_1", "app_id": "app_crm", "client_id": "app_1" });
        stored_as::<Organization>(
            [
                (created(), json!({ "type": "created", "name": "Acme" })),
                (renamed, json!({ "type": "renamed", "name": "Apex" })),
                (added("ada", Role::Owner), json!({ "type": "member_added", "user_id": "user_ada", "role": "owner" })),
                (role_changed, json!({ "type": "member_role_changed", "user_id": "user_ada", "role": "billing" })),
                (removed, json!({ "type": "member_removed", "user_id": "user_ada" })),
                (installed(1), installation),
                (uninstalled(1), uninstallation),
            ],
            E::TYPES,
        );
    }
}
