//! The keys as one node has them in memory: never changed, only replaced.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use domain::{Instance, SigningAlgorithm, SigningKey};
use eventstore::{EventStore, StoreError};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::pair::{KeyError, PrivateKey};

pub(super) const VAULT_KIND: &str = "signing_key";

/// So long after its last token a private key is kept, for nodes whose clocks are behind.
const CLOCKS_DIFFER: Duration = Duration::hours(1);

/// All keys as of one version of the instance.
#[derive(Default)]
pub(super) struct Ring {
    pub(super) version: u64,
    pub(super) instance: Arc<Instance>,
    pub(super) keys: HashMap<String, Pair>,
}

/// One key, parsed.
#[derive(Clone)]
pub(super) struct Pair {
    /// None once it has signed its last token.
    pub(super) private: Option<Arc<PrivateKey>>,
    pub(super) verifying: Arc<DecodingKey>,
    pub(super) validation: Arc<Validation>,
}

impl Ring {
    /// The keys as the log has them; what `known` parsed is not parsed again.
    pub(super) async fn load(store: &EventStore, known: &Self) -> Result<Self, KeyError> {
        let loaded = store.load_fresh::<Instance>(Instance::ID).await?;
        let now = store.clock().now();
        let mut keys = HashMap::new();
        for key in loaded.state.signing_keys() {
            let mut pair = match known.keys.get(&key.key.kid) {
                Some(pair) => pair.clone(),
                None => Pair::verifying(key)?,
            };
            if is_spent(key, now) {
                pair.private = None;
            } else if pair.private.is_none() {
                pair.private = private_key(store, key).await?.map(Arc::new);
            }
            keys.insert(key.key.kid.clone(), pair);
        }
        Ok(Self { version: loaded.version, instance: loaded.state, keys })
    }

    /// The key that signs at `now`, and its id.
    pub(super) fn signs(
        &self,
        algorithm: SigningAlgorithm,
        now: DateTime<Utc>,
    ) -> Result<(&str, &PrivateKey), KeyError> {
        let key = self.instance.signing_key_at(algorithm, now).ok_or(KeyError::Unusable)?;
        let kid = key.key.kid.as_str();
        let private = self.keys.get(kid).and_then(|pair| pair.private.as_deref());
        Ok((kid, private.ok_or_else(|| KeyError::Missing(kid.to_owned()))?))
    }

    /// Whether a private key is still here that will not sign again.
    pub(super) fn has_spent(&self, now: DateTime<Utc>) -> bool {
        self.instance
            .signing_keys()
            .iter()
            .filter(|key| is_spent(key, now))
            .any(|key| self.keys.get(&key.key.kid).is_some_and(|pair| pair.private.is_some()))
    }

    /// Destroys the private keys that will not sign again, in the vault too.
    pub(super) async fn shred_spent(&self, store: &EventStore, now: DateTime<Utc>) -> Result<Self, StoreError> {
        let mut keys = self.keys.clone();
        for key in self.instance.signing_keys().iter().filter(|key| is_spent(key, now)) {
            store.vault().shred(VAULT_KIND, &key.key.kid).await?;
            if let Some(pair) = keys.get_mut(&key.key.kid) {
                pair.private = None;
            }
        }
        Ok(Self { version: self.version, instance: self.instance.clone(), keys })
    }
}

impl Pair {
    fn verifying(key: &SigningKey) -> Result<Self, KeyError> {
        let jwk: Jwk = serde_json::from_value(key.key.public_key.clone()).map_err(|_| KeyError::Unusable)?;
        let mut validation = Validation::new(match key.key.algorithm {
            SigningAlgorithm::Rs256 => Algorithm::RS256,
            SigningAlgorithm::Es256 => Algorithm::ES256,
            SigningAlgorithm::EdDsa => Algorithm::EdDSA,
        });
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let verifying = DecodingKey::from_jwk(&jwk).map_err(|_| KeyError::Unusable)?;
        Ok(Self { private: None, verifying: Arc::new(verifying), validation: Arc::new(validation) })
    }
}

/// None if it was lost: then it can still be replaced.
async fn private_key(store: &EventStore, key: &SigningKey) -> Result<Option<PrivateKey>, KeyError> {
    match store.vault().get(VAULT_KIND, &key.key.kid).await? {
        Some(pkcs8) => PrivateKey::parse(key.key.algorithm, pkcs8.expose()).map(Some),
        None => {
            tracing::error!("{}", KeyError::Missing(key.key.kid.clone()));
            Ok(None)
        }
    }
}

/// Whether it will not sign again.
fn is_spent(key: &SigningKey, now: DateTime<Utc>) -> bool {
    !key.is_trusted() || key.signs_until.is_some_and(|end| end + CLOCKS_DIFFER < now)
}
