//! A consent: what a user lets a client do, remembered for the next time, and taken back (R037–R039, R263).

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{ClientId, OrganizationId, UserId};
use crate::values::{Scope, Scopes};

#[derive(Debug, Clone)]
pub enum ConsentCommand {
    /// Adds to what was agreed to before (R039), and for which organization, if there is one.
    Give {
        user_id: UserId,
        client_id: ClientId,
        scopes: Scopes,
        organization_id: Option<OrganizationId>,
        now: DateTime<Utc>,
    },
    /// `scopes` are what was asked for.
    Refuse { user_id: UserId, client_id: ClientId, scopes: Scopes, now: DateTime<Utc> },
    /// For whom the user acts with this client from now on (C10).
    ChooseOrganization { user_id: UserId, client_id: ClientId, organization_id: OrganizationId },
    /// Ends every grant of the client for this user (R263).
    Revoke { user_id: UserId, client_id: ClientId, now: DateTime<Utc> },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ConsentEvent {
    /// `scopes` are all that is agreed to now.
    Given {
        user_id: UserId,
        client_id: ClientId,
        scopes: Scopes,
        /// For which the person acted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        organization_id: Option<OrganizationId>,
        at: DateTime<Utc>,
    },
    Refused {
        user_id: UserId,
        client_id: ClientId,
        scopes: Scopes,
        at: DateTime<Utc>,
    },
    OrganizationChosen {
        user_id: UserId,
        client_id: ClientId,
        organization_id: OrganizationId,
    },
    /// `epoch` counts the revocations; grants of an earlier one have ended.
    Revoked {
        user_id: UserId,
        client_id: ClientId,
        epoch: u64,
        at: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ConsentError {}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Consent {
    scopes: Scopes,
    /// Those that the person agreed for.
    organizations: Vec<OrganizationId>,
    organization_id: Option<OrganizationId>,
    epoch: u64,
}

aggregate! {
    Consent = "consent",
    ConsentCommand -> ConsentEvent | ConsentError,
    [
        Given = "given",
        Refused = "refused",
        OrganizationChosen = "organization_chosen",
        Revoked = "revoked",
    ]
}

impl Consent {
    /// The stream of a user's consent to a client.
    pub fn id(user: &UserId, client: &ClientId) -> String {
        format!("{user}:{client}")
    }

    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: ConsentCommand) -> Result<Vec<ConsentEvent>, ConsentError> {
        use {ConsentCommand as C, ConsentEvent as E};
        Ok(match command {
            C::Give { scopes, organization_id, .. } if self.covers(&scopes, organization_id.as_ref()) => vec![],
            C::Give { user_id, client_id, scopes, organization_id, now } => {
                let scopes = self.scopes.iter().chain(scopes.iter()).cloned().collect();
                vec![E::Given { user_id, client_id, scopes, organization_id, at: now }]
            }
            C::Refuse { user_id, client_id, scopes, now } => vec![E::Refused { user_id, client_id, scopes, at: now }],
            C::ChooseOrganization { organization_id, .. }
                if self.organization_id.as_ref() == Some(&organization_id) =>
            {
                vec![]
            }
            C::ChooseOrganization { user_id, client_id, organization_id } => {
                vec![E::OrganizationChosen { user_id, client_id, organization_id }]
            }
            C::Revoke { user_id, client_id, now } => {
                vec![E::Revoked { user_id, client_id, epoch: self.epoch + 1, at: now }]
            }
        })
    }

    pub fn apply(&mut self, event: ConsentEvent) {
        use ConsentEvent as E;
        match event {
            E::Given { scopes, organization_id, .. } => {
                self.scopes = scopes;
                if let Some(organization) = organization_id.filter(|id| !self.organizations.contains(id)) {
                    self.organizations.push(organization);
                }
            }
            E::Refused { .. } => {}
            E::OrganizationChosen { organization_id, .. } => self.organization_id = Some(organization_id),
            E::Revoked { epoch, .. } => *self = Self { epoch, ..Self::default() },
        }
    }

    /// Whether the user has agreed to all of this, for this organization.
    pub fn covers(&self, scopes: &Scopes, organization: Option<&OrganizationId>) -> bool {
        self.lacks(scopes).next().is_none() && organization.is_none_or(|id| self.organizations.contains(id))
    }

    /// Those of `scopes` that the user has not agreed to yet.
    pub fn lacks<'a>(&self, scopes: &'a Scopes) -> impl Iterator<Item = &'a Scope> {
        scopes.iter().filter(|scope| !self.scopes.contains(scope))
    }

    /// For whom the user acts with this client, if that was asked before.
    pub fn organization_id(&self) -> Option<&OrganizationId> {
        self.organization_id.as_ref()
    }

    /// How often the user has taken it back.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ConsentCommand as C, ConsentEvent as E, *};
    use crate::scenario::{Scenario, after, at, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<Consent> {
        Scenario::given(events)
    }

    fn ids() -> (UserId, ClientId) {
        (parsed("user_ada"), parsed("client_crm"))
    }

    fn give(scopes: &str) -> C {
        let (user_id, client_id) = ids();
        C::Give { user_id, client_id, scopes: parsed(scopes), organization_id: None, now: at(0) }
    }

    fn gave(scopes: &str) -> E {
        let (user_id, client_id) = ids();
        E::Given { user_id, client_id, scopes: parsed(scopes), organization_id: None, at: at(0) }
    }

    fn refused() -> E {
        let (user_id, client_id) = ids();
        E::Refused { user_id, client_id, scopes: parsed("openid"), at: at(0) }
    }

    fn choose(organization: &str) -> C {
        let (user_id, client_id) = ids();
        C::ChooseOrganization { user_id, client_id, organization_id: parsed(organization) }
    }

    fn chosen(organization: &str) -> E {
        let (user_id, client_id) = ids();
        E::OrganizationChosen { user_id, client_id, organization_id: parsed(organization) }
    }

    fn revoke() -> C {
        let (user_id, client_id) = ids();
        C::Revoke { user_id, client_id, now: at(9) }
    }

    fn revoked(epoch: u64) -> E {
        let (user_id, client_id) = ids();
        E::Revoked { user_id, client_id, epoch, at: at(9) }
    }

    #[test]
    fn consent_is_remembered_and_grows() {
        given([]).when(give("openid email")).then([gave("openid email")]);
        given([gave("openid email")]).when(give("email")).then_nothing();
        given([gave("openid email")]).when(give("email profile")).then([gave("openid email profile")]);
    }

    fn gave_for(organization: &str) -> E {
        let (user_id, client_id) = ids();
        let organization_id = Some(parsed(organization));
        E::Given { user_id, client_id, scopes: parsed("openid"), organization_id, at: at(0) }
    }

    #[test]
    fn what_was_agreed_for_one_organization_is_not_for_another() {
        let consent: Consent = after([gave_for("org_a")]);
        let scopes = parsed("openid");
        assert!(consent.covers(&scopes, Some(&parsed("org_a"))) && consent.covers(&scopes, None));
        assert!(!consent.covers(&scopes, Some(&parsed("org_b"))));
        let (user_id, client_id) = ids();
        let organization_id = Some(parsed("org_b"));
        let give = C::Give { user_id, client_id, scopes, organization_id, now: at(0) };
        given([gave_for("org_a")]).when(give).then([gave_for("org_b")]);
    }

    #[test]
    fn only_what_is_new_is_lacking() {
        let consent: Consent = after([gave("openid email")]);
        let asked: Scopes = parsed("openid email profile");
        assert_eq!(consent.lacks(&asked).map(Scope::as_str).collect::<Vec<_>>(), ["profile"]);
    }

    #[test]
    fn a_refusal_changes_nothing() {
        let (user_id, client_id) = ids();
        let refuse = C::Refuse { user_id, client_id, scopes: parsed("openid"), now: at(0) };
        given([gave("email")]).when(refuse).then([refused()]);
        assert_eq!(after::<Consent>([gave("email"), refused()]), after([gave("email")]));
    }

    #[test]
    fn an_organization_is_chosen_until_another_is() {
        given([]).when(choose("org_a")).then([chosen("org_a")]);
        given([chosen("org_a")]).when(choose("org_a")).then_nothing();
        given([chosen("org_a")]).when(choose("org_b")).then([chosen("org_b")]);
    }

    #[test]
    fn taking_it_back_ends_what_was_granted_and_asks_again() {
        // Also without a consent: an installed app needs none, and its grants end all the same.
        given([]).when(revoke()).then([revoked(1)]);
        given([gave("email"), revoked(1)]).when(revoke()).then([revoked(2)]);
        let consent: Consent = after([gave("email"), chosen("org_a"), revoked(1)]);
        assert_eq!((consent.epoch(), consent.organization_id()), (1, None));
        assert_eq!(consent.lacks(&parsed("email")).count(), 1);
    }

    #[test]
    fn stored_forms() {
        let with = |more: serde_json::Value| {
            let mut json = json!({"user_id": "user_ada", "client_id": "client_crm"});
            json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json
        };
        stored_as::<Consent>(
            [
                (
                    gave("openid email"),
                    with(json!({"type": "given", "scopes": ["openid", "email"], "at": "2026-01-01T00:00:00Z"})),
                ),
                (
                    gave_for("org_a"),
                    with(json!({
                        "type": "given", "scopes": ["openid"], "organization_id": "org_a", "at": "2026-01-01T00:00:00Z",
                    })),
                ),
                (refused(), with(json!({"type": "refused", "scopes": ["openid"], "at": "2026-01-01T00:00:00Z"}))),
                (chosen("org_a"), with(json!({"type": "organization_chosen", "organization_id": "org_a"}))),
                (revoked(1), with(json!({"type": "revoked", "epoch": 1, "at": "2026-01-01T00:00:09Z"}))),
            ],
            E::TYPES,
        );
    }
}
