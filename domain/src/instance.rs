//! The instance: this installation of Optare ID, as one stream with the id `instance`.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{OrganizationId, UserId};

#[derive(Debug, Clone)]
pub enum InstanceCommand {
    /// Names the organization that operates the instance, and its first user.
    Initialise { organization_id: OrganizationId, user_id: UserId, at: DateTime<Utc> },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InstanceEvent {
    Initialised { organization_id: OrganizationId, user_id: UserId, at: DateTime<Utc> },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstanceError {
    #[error("this instance is already initialised")]
    AlreadyInitialised,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Instance {
    #[default]
    Empty,
    Initialised {
        organization_id: OrganizationId,
        user_id: UserId,
    },
}

aggregate! {
    Instance = "instance",
    InstanceCommand -> InstanceEvent | InstanceError,
    [
        Initialised = "initialised",
    ]
}

impl Instance {
    /// The id of the one stream of this type.
    pub const ID: &'static str = "instance";

    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: InstanceCommand) -> Result<Vec<InstanceEvent>, InstanceError> {
        use {Instance as S, InstanceCommand as C, InstanceError as Refused, InstanceEvent as E};
        match (self, command) {
            (S::Empty, C::Initialise { organization_id, user_id, at }) => {
                Ok(vec![E::Initialised { organization_id, user_id, at }])
            }
            (S::Initialised { .. }, C::Initialise { .. }) => Err(Refused::AlreadyInitialised),
        }
    }

    pub fn apply(&mut self, event: InstanceEvent) {
        let InstanceEvent::Initialised { organization_id, user_id, .. } = event;
        *self = Self::Initialised { organization_id, user_id };
    }

    pub fn is_initialised(&self) -> bool {
        *self != Self::Empty
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{InstanceCommand as C, InstanceError as Refused, InstanceEvent as E, *};
    use crate::scenario::{Scenario, after, at, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<Instance> {
        Scenario::given(events)
    }

    fn initialise() -> C {
        C::Initialise { organization_id: parsed("org_acme"), user_id: parsed("user_ada"), at: at(0) }
    }

    fn initialised() -> E {
        E::Initialised { organization_id: parsed("org_acme"), user_id: parsed("user_ada"), at: at(0) }
    }

    #[test]
    fn an_instance_is_initialised_once() {
        given([]).when(initialise()).then([initialised()]);
        given([initialised()]).when(initialise()).then_refused(Refused::AlreadyInitialised);
        assert!(!Instance::default().is_initialised());
        assert!(after::<Instance>([initialised()]).is_initialised());
    }

    #[test]
    fn stored_forms() {
        let json = json!({
            "type": "initialised",
            "organization_id": "org_acme",
            "user_id": "user_ada",
            "at": "2026-01-01T00:00:00Z",
        });
        stored_as::<Instance>([(initialised(), json)], E::TYPES);
    }
}
