//! The instance: this installation of Optare ID, as one stream with the id `instance`: who operates it, and the keys
//! that its tokens are signed with.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{OrganizationId, UserId};
use crate::values::SigningAlgorithm;

/// The public half of a new key pair; the private one is sealed in the vault under the same `kid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewSigningKey {
    /// Its thumbprint (RFC 7638): the same key has the same id wherever it is.
    pub kid: String,
    pub algorithm: SigningAlgorithm,
    /// As a JWK (RFC 7517 §4), so that what was signed can be verified for ever.
    pub public_key: Value,
}

#[derive(Debug, Clone)]
pub enum InstanceCommand {
    /// Names the organization that operates the instance, and its first user.
    Initialise { organization_id: OrganizationId, user_id: UserId, at: DateTime<Utc> },
    /// Takes the first key of each algorithm that has none.
    EnsureSigningKeys { keys: Vec<NewSigningKey>, at: DateTime<Utc> },
    /// Publishes new keys at once and signs with them from `signs_from`; from then on their predecessors are
    /// published for `retention`, until the last token that they signed has ended.
    RotateSigningKeys { keys: Vec<NewSigningKey>, signs_from: DateTime<Utc>, retention: Duration, at: DateTime<Utc> },
    /// Signs with new keys at once, and trusts their predecessors no more.
    ReplaceCompromisedKeys { keys: Vec<NewSigningKey>, at: DateTime<Utc> },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum InstanceEvent {
    Initialised {
        organization_id: OrganizationId,
        user_id: UserId,
        at: DateTime<Utc>,
    },
    SigningKeyAdded {
        #[serde(flatten)]
        key: NewSigningKey,
        signs_from: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// Another key signs from `signs_until` on; this one is published until `published_until`.
    SigningKeyRetired {
        kid: String,
        signs_until: DateTime<Utc>,
        published_until: DateTime<Utc>,
        at: DateTime<Utc>,
    },
    /// Nothing that it signed is trusted any more.
    SigningKeyRevoked {
        kid: String,
        at: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InstanceError {
    #[error("this instance is already initialised")]
    AlreadyInitialised,
    #[error("this key was added before: each signing key is made anew")]
    KeyAlreadyAdded,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Instance {
    operator: Option<OrganizationId>,
    signing_keys: Vec<SigningKey>,
}

/// One key pair that signs tokens, signed them, or will.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SigningKey {
    #[serde(flatten)]
    pub key: NewSigningKey,
    pub signs_from: DateTime<Utc>,
    /// None: until it is replaced.
    pub signs_until: Option<DateTime<Utc>>,
    pub published_until: Option<DateTime<Utc>>,
    pub revoked_at: Option<DateTime<Utc>>,
}

aggregate! {
    Instance = "instance",
    InstanceCommand -> InstanceEvent | InstanceError,
    [
        Initialised = "initialised",
        SigningKeyAdded = "signing_key_added",
        SigningKeyRetired = "signing_key_retired",
        SigningKeyRevoked = "signing_key_revoked",
    ]
}

impl SigningKey {
    /// Whether it may sign at that time; of several, the one that began last does.
    pub fn signs_at(&self, time: DateTime<Utc>) -> bool {
        self.is_trusted() && self.signs_from <= time && self.signs_until.is_none_or(|end| time < end)
    }

    /// Whether verifiers find it in the JWK Set at that time, and we accept what it signed.
    pub fn is_published_at(&self, time: DateTime<Utc>) -> bool {
        self.is_trusted() && self.published_until.is_none_or(|end| time < end)
    }

    /// Whether what it signed was signed by us.
    pub fn is_trusted(&self) -> bool {
        self.revoked_at.is_none()
    }

    fn is_current(&self) -> bool {
        self.is_trusted() && self.signs_until.is_none()
    }
}

impl Instance {
    /// The id of the one stream of this type.
    pub const ID: &'static str = "instance";

    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: InstanceCommand) -> Result<Vec<InstanceEvent>, InstanceError> {
        use {InstanceCommand as C, InstanceError as Refused, InstanceEvent as E};
        match command {
            C::Initialise { .. } if self.is_initialised() => Err(Refused::AlreadyInitialised),
            C::Initialise { organization_id, user_id, at } => Ok(vec![E::Initialised { organization_id, user_id, at }]),

            C::EnsureSigningKeys { keys, at } => {
                let missing = keys.into_iter().filter(|new| self.current(new.algorithm).next().is_none());
                Ok(missing.map(|key| E::SigningKeyAdded { key, signs_from: at, at }).collect())
            }
            C::RotateSigningKeys { keys, signs_from, retention, at } => {
                self.replace(keys, signs_from, at, |old| E::SigningKeyRetired {
                    kid: old.key.kid.clone(),
                    // One that had not begun never begins.
                    signs_until: signs_from.max(old.signs_from),
                    published_until: signs_from.max(old.signs_from) + retention,
                    at,
                })
            }
            C::ReplaceCompromisedKeys { keys, at } => {
                let algorithms: Vec<_> = keys.iter().map(|new| new.algorithm).collect();
                let mut events = self.replace(keys, at, at, |old| revoked(old, at))?;
                // Those on their way out may be in the same hands.
                let leaving = self.signing_keys.iter().filter(|old| !old.is_current() && old.is_published_at(at));
                events
                    .extend(leaving.filter(|old| algorithms.contains(&old.key.algorithm)).map(|old| revoked(old, at)));
                Ok(events)
            }
        }
    }

    fn replace(
        &self,
        keys: Vec<NewSigningKey>,
        signs_from: DateTime<Utc>,
        at: DateTime<Utc>,
        end: impl Fn(&SigningKey) -> InstanceEvent,
    ) -> Result<Vec<InstanceEvent>, InstanceError> {
        let mut events = Vec::new();
        for key in keys {
            if self.signing_keys.iter().any(|known| known.key.kid == key.kid) {
                return Err(InstanceError::KeyAlreadyAdded);
            }
            let old: Vec<_> = self.current(key.algorithm).map(&end).collect();
            events.push(InstanceEvent::SigningKeyAdded { key, signs_from, at });
            events.extend(old);
        }
        Ok(events)
    }

    pub fn apply(&mut self, event: InstanceEvent) {
        use InstanceEvent as E;
        match event {
            E::Initialised { organization_id, .. } => self.operator = Some(organization_id),
            E::SigningKeyAdded { key, signs_from, .. } => self.signing_keys.push(SigningKey {
                key,
                signs_from,
                signs_until: None,
                published_until: None,
                revoked_at: None,
            }),
            E::SigningKeyRetired { kid, signs_until, published_until, .. } => {
                if let Some(key) = self.find(&kid) {
                    key.signs_until = Some(signs_until);
                    key.published_until = Some(published_until);
                }
            }
            E::SigningKeyRevoked { kid, at } => {
                if let Some(key) = self.find(&kid) {
                    key.revoked_at = Some(at);
                }
            }
        }
    }

    fn find(&mut self, kid: &str) -> Option<&mut SigningKey> {
        self.signing_keys.iter_mut().find(|key| key.key.kid == kid)
    }

    fn current(&self, algorithm: SigningAlgorithm) -> impl Iterator<Item = &SigningKey> {
        self.signing_keys.iter().filter(move |key| key.key.algorithm == algorithm && key.is_current())
    }

    pub fn is_initialised(&self) -> bool {
        self.operator.is_some()
    }

    /// Whether it is this organization that operates the instance.
    pub fn is_operated_by(&self, organization: &OrganizationId) -> bool {
        self.operator.as_ref() == Some(organization)
    }

    /// The key that signs at that time.
    pub fn signing_key_at(&self, algorithm: SigningAlgorithm, time: DateTime<Utc>) -> Option<&SigningKey> {
        let signing = self.signing_keys.iter().filter(|key| key.key.algorithm == algorithm && key.signs_at(time));
        // A clock that is behind may not have come to the only key that is left.
        signing.max_by_key(|key| key.signs_from).or_else(|| self.current(algorithm).last())
    }

    /// Every key that there ever was, oldest first.
    pub fn signing_keys(&self) -> &[SigningKey] {
        &self.signing_keys
    }
}

fn revoked(key: &SigningKey, at: DateTime<Utc>) -> InstanceEvent {
    InstanceEvent::SigningKeyRevoked { kid: key.key.kid.clone(), at }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{InstanceCommand as C, InstanceError as Refused, InstanceEvent as E, *};
    use crate::scenario::{Scenario, after, at, parsed, stored_as};

    const DAY: i64 = 24 * 3600;

    fn given(events: impl IntoIterator<Item = E>) -> Scenario<Instance> {
        Scenario::given(events)
    }

    fn initialise() -> C {
        C::Initialise { organization_id: parsed("org_acme"), user_id: parsed("user_ada"), at: at(0) }
    }

    fn initialised() -> E {
        E::Initialised { organization_id: parsed("org_acme"), user_id: parsed("user_ada"), at: at(0) }
    }

    fn key(kid: &str, algorithm: SigningAlgorithm) -> NewSigningKey {
        NewSigningKey { kid: kid.to_owned(), algorithm, public_key: json!({"kid": kid}) }
    }

    fn es256(kid: &str) -> NewSigningKey {
        key(kid, SigningAlgorithm::Es256)
    }

    fn added(kid: &str, signs_from: i64, added_at: i64) -> E {
        E::SigningKeyAdded { key: es256(kid), signs_from: at(signs_from), at: at(added_at) }
    }

    fn retired(kid: &str, signs_until: i64, retired_at: i64) -> E {
        E::SigningKeyRetired {
            kid: kid.to_owned(),
            signs_until: at(signs_until),
            published_until: at(signs_until + DAY),
            at: at(retired_at),
        }
    }

    fn revoked(kid: &str, revoked_at: i64) -> E {
        E::SigningKeyRevoked { kid: kid.to_owned(), at: at(revoked_at) }
    }

    fn rotate(kid: &str, signs_from: i64, now: i64) -> C {
        let (keys, retention) = (vec![es256(kid)], Duration::seconds(DAY));
        C::RotateSigningKeys { keys, signs_from: at(signs_from), retention, at: at(now) }
    }

    fn signs(instance: &Instance, seconds: i64) -> Option<&str> {
        instance.signing_key_at(SigningAlgorithm::Es256, at(seconds)).map(|key| key.key.kid.as_str())
    }

    fn published(instance: &Instance, seconds: i64) -> Vec<&str> {
        let keys = instance.signing_keys().iter().filter(|key| key.is_published_at(at(seconds)));
        keys.map(|key| key.key.kid.as_str()).collect()
    }

    #[test]
    fn an_instance_is_initialised_once() {
        given([]).when(initialise()).then([initialised()]);
        given([added("a", 0, 0)]).when(initialise()).then([initialised()]);
        given([initialised()]).when(initialise()).then_refused(Refused::AlreadyInitialised);
        assert!(!Instance::default().is_initialised());
        let instance = after::<Instance>([initialised()]);
        assert!(instance.is_operated_by(&parsed("org_acme")) && !instance.is_operated_by(&parsed("org_other")));
    }

    #[test]
    fn nodes_that_start_together_end_with_the_same_keys() {
        let ensure =
            |kid: &str| C::EnsureSigningKeys { keys: vec![es256(kid), key("r", SigningAlgorithm::Rs256)], at: at(1) };
        let rsa = E::SigningKeyAdded { key: key("r", SigningAlgorithm::Rs256), signs_from: at(1), at: at(1) };
        given([]).when(ensure("a")).then([added("a", 1, 1), rsa.clone()]);
        given([added("a", 0, 0)]).when(ensure("b")).then([rsa.clone()]);
        given([added("a", 0, 0), rsa]).when(ensure("b")).then_nothing();
    }

    #[test]
    fn a_new_key_is_published_before_it_signs_and_the_old_one_as_long_as_its_tokens_last() {
        let events = [added("a", 0, 0), added("b", 1000, 100), retired("a", 1000, 100)];
        given([added("a", 0, 0)]).when(rotate("b", 1000, 100)).then(events[1..].to_vec());
        let instance = after::<Instance>(events);
        assert_eq!((signs(&instance, 999), published(&instance, 999)), (Some("a"), vec!["a", "b"]));
        assert_eq!((signs(&instance, 1000), published(&instance, 1000)), (Some("b"), vec!["a", "b"]));
        assert_eq!((signs(&instance, 999 + DAY), published(&instance, 999 + DAY)), (Some("b"), vec!["a", "b"]));
        assert_eq!(published(&instance, 1000 + DAY), ["b"]);
    }

    #[test]
    fn a_rotation_on_top_of_another_leaves_no_moment_without_a_key() {
        let first = [added("a", 0, 0), added("b", 1000, 100), retired("a", 1000, 100)];
        let later = [added("c", 1200, 300), retired("b", 1200, 300)];
        given(first.clone()).when(rotate("c", 1200, 300)).then(later.clone());
        let instance = after::<Instance>(first.clone().into_iter().chain(later));
        assert_eq!(
            [999, 1000, 1199, 1200].map(|time| signs(&instance, time)),
            [Some("a"), Some("b"), Some("b"), Some("c")]
        );

        // At once: the one that had not begun never does.
        let at_once = [added("c", 300, 300), retired("b", 1000, 300)];
        given(first.clone()).when(rotate("c", 300, 300)).then(at_once.clone());
        let instance = after::<Instance>(first.into_iter().chain(at_once));
        assert_eq!(
            [299, 300, 1000, 5000].map(|time| signs(&instance, time)),
            [Some("a"), Some("c"), Some("c"), Some("c")]
        );
    }

    #[test]
    fn a_compromised_key_and_those_on_their_way_out_are_trusted_no_more() {
        let before = [added("a", 0, 0), added("b", 100, 100), retired("a", 100, 100)];
        let replaced = [added("c", 200, 200), revoked("b", 200), revoked("a", 200)];
        let command = C::ReplaceCompromisedKeys { keys: vec![es256("c")], at: at(200) };
        given(before.clone()).when(command).then(replaced.clone());
        let instance = after::<Instance>(before.into_iter().chain(replaced));
        assert_eq!(published(&instance, 200), ["c"]);
        // Also on a node whose clock is behind.
        assert_eq!(signs(&instance, 199), Some("c"));
    }

    #[test]
    fn another_algorithm_keeps_its_key() {
        let rsa = E::SigningKeyAdded { key: key("r", SigningAlgorithm::Rs256), signs_from: at(0), at: at(0) };
        given([rsa, added("a", 0, 0)]).when(rotate("b", 100, 100)).then([added("b", 100, 100), retired("a", 100, 100)]);
        given([added("a", 0, 0)]).when(rotate("a", 100, 100)).then_refused(Refused::KeyAlreadyAdded);
    }

    #[test]
    fn stored_forms() {
        let initialised_json = json!({
            "type": "initialised",
            "organization_id": "org_acme",
            "user_id": "user_ada",
            "at": "2026-01-01T00:00:00Z",
        });
        let added_json = json!({
            "type": "signing_key_added",
            "kid": "a",
            "algorithm": "ES256",
            "public_key": {"kid": "a"},
            "signs_from": "2026-01-01T00:15:00Z",
            "at": "2026-01-01T00:00:00Z",
        });
        let retired_json = json!({
            "type": "signing_key_retired",
            "kid": "a",
            "signs_until": "2026-01-01T00:15:00Z",
            "published_until": "2026-01-02T00:15:00Z",
            "at": "2026-01-01T00:00:00Z",
        });
        let revoked_json = json!({"type": "signing_key_revoked", "kid": "a", "at": "2026-01-01T00:00:00Z"});
        stored_as::<Instance>(
            [
                (initialised(), initialised_json),
                (added("a", 900, 0), added_json),
                (retired("a", 900, 0), retired_json),
                (revoked("a", 0), revoked_json),
            ],
            E::TYPES,
        );
    }
}
