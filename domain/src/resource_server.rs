//! A resource server: an API that tokens are issued for, its identifier and its scopes (R096, R097, R129).

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::OrganizationId;
use crate::values::{ApiIdentifier, Scopes, Title};

#[derive(Debug, Clone)]
pub enum ResourceServerCommand {
    Define {
        organization_id: OrganizationId,
        identifier: ApiIdentifier,
        name: Title,
        scopes: Scopes,
        access_token_lifetime: Option<u32>,
    },
    /// What is none stays as it is.
    Redefine {
        name: Option<Title>,
        scopes: Option<Scopes>,
        /// `Some(None)` goes back to the instance's setting.
        access_token_lifetime: Option<Option<u32>>,
    },
    Delete,
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResourceServerEvent {
    Defined {
        organization_id: OrganizationId,
        identifier: ApiIdentifier,
        name: Title,
        scopes: Scopes,
        /// In seconds; none means the instance's setting.
        access_token_lifetime: Option<u32>,
    },
    /// The new values, all of them.
    Redefined {
        name: Title,
        scopes: Scopes,
        access_token_lifetime: Option<u32>,
    },
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ResourceServerError {
    #[error("this API does not exist")]
    NotFound,
    #[error("this API is already defined")]
    AlreadyDefined,
    #[error("this API was deleted")]
    Deleted,
    #[error("access_token_lifetime must be 1 to 86400 seconds")]
    LifetimeOutOfRange,
    #[error("scopes must not be {0}, which has a meaning of its own here")]
    ReservedScope(String),
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum ResourceServer {
    #[default]
    Unknown,
    Active(Api),
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    pub organization_id: OrganizationId,
    pub identifier: ApiIdentifier,
    pub name: Title,
    pub scopes: Scopes,
    pub access_token_lifetime: Option<u32>,
}

aggregate! {
    ResourceServer = "resource_server",
    ResourceServerCommand -> ResourceServerEvent | ResourceServerError,
    [
        Defined = "defined",
        Redefined = "redefined",
        Deleted = "deleted",
    ]
}

/// What a token of ours may live at most, in seconds (R083).
const LONGEST_LIFETIME: u32 = 24 * 3600;

impl ResourceServer {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: ResourceServerCommand) -> Result<Vec<ResourceServerEvent>, ResourceServerError> {
        use {
            ResourceServer as S, ResourceServerCommand as C, ResourceServerError as Refused, ResourceServerEvent as E,
        };
        Ok(match (self, command) {
            (S::Unknown, C::Define { organization_id, identifier, name, scopes, access_token_lifetime }) => {
                check(&scopes, access_token_lifetime)?;
                vec![E::Defined { organization_id, identifier, name, scopes, access_token_lifetime }]
            }
            (S::Unknown, _) => return Err(Refused::NotFound),
            (S::Deleted, C::Delete) => vec![],
            (S::Deleted, _) => return Err(Refused::Deleted),
            (S::Active(_), C::Define { .. }) => return Err(Refused::AlreadyDefined),

            (S::Active(api), C::Redefine { name, scopes, access_token_lifetime }) => {
                let name = name.unwrap_or_else(|| api.name.clone());
                let scopes = scopes.unwrap_or_else(|| api.scopes.clone());
                let access_token_lifetime = access_token_lifetime.unwrap_or(api.access_token_lifetime);
                check(&scopes, access_token_lifetime)?;
                if name == api.name && scopes == api.scopes && access_token_lifetime == api.access_token_lifetime {
                    vec![]
                } else {
                    vec![E::Redefined { name, scopes, access_token_lifetime }]
                }
            }
            (S::Active(_), C::Delete) => vec![E::Deleted],
        })
    }

    pub fn apply(&mut self, event: ResourceServerEvent) {
        use ResourceServerEvent as E;
        match event {
            E::Defined { organization_id, identifier, name, scopes, access_token_lifetime } => {
                *self = Self::Active(Api { organization_id, identifier, name, scopes, access_token_lifetime });
            }
            E::Redefined { name, scopes, access_token_lifetime } => {
                if let Self::Active(api) = self {
                    (api.name, api.scopes, api.access_token_lifetime) = (name, scopes, access_token_lifetime);
                }
            }
            E::Deleted => *self = Self::Deleted,
        }
    }

    /// The API, unless it was deleted.
    pub fn active(&self) -> Option<&Api> {
        match self {
            Self::Active(api) => Some(api),
            Self::Unknown | Self::Deleted => None,
        }
    }
}

fn check(scopes: &Scopes, lifetime: Option<u32>) -> Result<(), ResourceServerError> {
    const RESERVED: [&str; 9] = [
        "openid",
        "profile",
        "email",
        "offline_access",
        "address",
        "phone",
        "organization",
        "organization:read",
        "organization:write",
    ];
    if let Some(reserved) = RESERVED.iter().find(|scope| scopes.contains(scope)) {
        return Err(ResourceServerError::ReservedScope((*reserved).to_owned()));
    }
    if lifetime.is_some_and(|seconds| !(1..=LONGEST_LIFETIME).contains(&seconds)) {
        return Err(ResourceServerError::LifetimeOutOfRange);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{ResourceServerCommand as C, ResourceServerError as Refused, ResourceServerEvent as E, *};
    use crate::scenario::{Scenario, after, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<ResourceServer> {
        Scenario::given(events)
    }

    fn define(scopes: &str) -> C {
        C::Define {
            organization_id: parsed("org_acme"),
            identifier: parsed("https://api.myapp.com"),
            name: parsed("My API"),
            scopes: parsed(scopes),
            access_token_lifetime: None,
        }
    }

    fn defined() -> E {
        E::Defined {
            organization_id: parsed("org_acme"),
            identifier: parsed("https://api.myapp.com"),
            name: parsed("My API"),
            scopes: parsed("read:products"),
            access_token_lifetime: None,
        }
    }

    fn redefined(scopes: &str, access_token_lifetime: Option<u32>) -> E {
        E::Redefined { name: parsed("My API"), scopes: parsed(scopes), access_token_lifetime }
    }

    fn with_scopes(scopes: &str) -> C {
        C::Redefine { name: None, scopes: Some(parsed(scopes)), access_token_lifetime: None }
    }

    #[test]
    fn an_api_is_defined_once_and_then_changed() {
        given([]).when(define("read:products")).then([defined()]);
        given([defined()]).when(define("read:products")).then_refused(Refused::AlreadyDefined);
        given([defined()])
            .when(with_scopes("read:products write:products"))
            .then([redefined("read:products write:products", None)]);
        given([defined()]).when(with_scopes("read:products")).then_nothing();
        given([]).when(with_scopes("x")).then_refused(Refused::NotFound);
    }

    #[test]
    fn a_lifetime_is_set_kept_and_taken_back() {
        let lifetime = |lifetime| C::Redefine { name: None, scopes: None, access_token_lifetime: lifetime };
        given([defined()]).when(lifetime(Some(Some(60)))).then([redefined("read:products", Some(60))]);
        let before = || given([defined(), redefined("read:products", Some(60))]);
        before().when(lifetime(None)).then_nothing();
        before().when(lifetime(Some(None))).then([redefined("read:products", None)]);
    }

    #[test]
    fn a_deleted_api_is_gone() {
        given([defined()]).when(C::Delete).then([E::Deleted]);
        given([defined(), E::Deleted]).when(C::Delete).then_nothing();
        given([defined(), E::Deleted]).when(with_scopes("x")).then_refused(Refused::Deleted);
        assert_eq!(after::<ResourceServer>([defined(), E::Deleted]).active(), None);
    }

    #[test]
    fn scopes_with_a_meaning_of_their_own_and_endless_tokens_are_refused() {
        for scope in ["openid", "organization:write"] {
            given([]).when(define(&format!("read {scope}"))).then_refused(Refused::ReservedScope(scope.into()));
        }
        for seconds in [0, LONGEST_LIFETIME + 1] {
            let change = C::Redefine { name: None, scopes: None, access_token_lifetime: Some(Some(seconds)) };
            given([defined()]).when(change).then_refused(Refused::LifetimeOutOfRange);
        }
    }

    #[test]
    fn stored_forms() {
        stored_as::<ResourceServer>(
            [
                (
                    defined(),
                    json!({
                        "type": "defined", "organization_id": "org_acme", "identifier": "https://api.myapp.com",
                        "name": "My API", "scopes": ["read:products"], "access_token_lifetime": null,
                    }),
                ),
                (
                    redefined("a", Some(60)),
                    json!({"type": "redefined", "name": "My API", "scopes": ["a"], "access_token_lifetime": 60}),
                ),
                (E::Deleted, json!({"type": "deleted"})),
            ],
            E::TYPES,
        );
    }
}
