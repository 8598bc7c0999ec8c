//! The keys that sign tokens: made at first start, sealed in the vault, rotated with overlap, parsed once.
//!
//! Which keys there are and when each signs is told by events of the `instance` stream, so that every node and every
//! restart agrees. A key is published before it signs, and as long as the tokens that it signed last.

pub(crate) mod management;
mod pair;
mod ring;
mod rotation;
#[cfg(test)]
mod tests;

pub use pair::{KeyError, PrivateKey};
pub use rotation::{Rotation, rotate, shown};

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use domain::{Instance, SigningAlgorithm, SigningKey};
use eventstore::{EventStore, StoreError};
use jsonwebtoken::{decode, decode_header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use ring::Ring;

/// The types of the tokens that we sign: one is never taken for another (RFC 8725 §3.11).
pub(crate) const ID_TOKEN: &str = "JWT";
pub(crate) const ACCESS_TOKEN: &str = "at+jwt";
const LOGOUT_TOKEN: &str = "logout+jwt";

/// How often a node looks for private keys that have signed their last token.
const TIDYING: Duration = Duration::from_secs(60);
/// How long the events may keep coming before a node looks again: many of them cost one look.
const BREATH: Duration = Duration::from_millis(10);

/// What signs tokens and recognises them again; every node has the same keys.
pub struct SigningKeys {
    store: EventStore,
    ring: RwLock<Arc<Ring>>,
}

impl SigningKeys {
    /// Reads the keys, or makes the first ones: nodes that start together end with the same.
    ///
    /// # Errors
    /// When the log or the vault fails.
    pub async fn open(store: &EventStore) -> Result<Self, KeyError> {
        rotation::ensure(store).await?;
        let ring = Ring::load(store, &Ring::default()).await?;
        ring.shred_spent(store, store.clock().now()).await?;
        Ok(Self { store: store.clone(), ring: RwLock::new(Arc::new(ring)) })
    }

    /// Refuses to serve without a key that should sign now.
    ///
    /// # Errors
    /// Names a key that is not in the vault.
    pub fn must_sign(&self) -> Result<(), KeyError> {
        let (ring, now) = (self.ring(), self.now());
        SigningAlgorithm::ALL.iter().try_for_each(|algorithm| ring.signs(*algorithm, now).map(drop))
    }

    /// Takes up what other nodes rotated, within the tail's lag, until `stop`.
    pub async fn follow(self: Arc<Self>, stop: impl Future<Output = ()> + Send) {
        let following = async {
            let mut seen = 0;
            loop {
                // Before the look: what comes during it is looked for again.
                let head = self.store.tail().head();
                match self.refresh().await {
                    Ok(()) => seen = head,
                    // The look is repeated; until then the keys that are known go on.
                    Err(problem) => {
                        tracing::error!("the signing keys could not be looked up, trying again: {problem}");
                    }
                }
                tokio::time::sleep(BREATH).await;
                tokio::select! {
                    () = self.store.tail().after(seen) => {}
                    () = tokio::time::sleep(TIDYING) => self.tidy().await,
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = stop => {}
        }
    }

    /// Loads what is new; nothing is asked of the database while nothing happened to the instance.
    pub(crate) async fn refresh(&self) -> Result<(), KeyError> {
        let known = self.ring();
        if self.store.load::<Instance>(Instance::ID).await?.version == known.version {
            return Ok(());
        }
        let ring = Ring::load(&self.store, &known).await?;
        let mut kept = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if kept.version < ring.version {
            *kept = Arc::new(ring);
        }
        Ok(())
    }

    /// Destroys the private keys that have signed their last token, here and in the vault.
    async fn tidy(&self) {
        let now = self.store.clock().now();
        let ring = self.ring();
        if !ring.has_spent(now) {
            return;
        }
        match ring.shred_spent(&self.store, now).await {
            Ok(tidied) => {
                let mut kept = self.ring.write().unwrap_or_else(PoisonError::into_inner);
                if kept.version == tidied.version {
                    *kept = Arc::new(tidied);
                }
            }
            Err(problem) => tracing::warn!("a retired signing key is not destroyed yet: {problem}"),
        }
    }

    fn ring(&self) -> Arc<Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn now(&self) -> DateTime<Utc> {
        self.store.clock().now()
    }

    /// The public keys as a JWK Set (RFC 7517 §5): those that sign, that will soon, and whose tokens still live.
    #[must_use]
    pub fn public(&self, now: DateTime<Utc>) -> Value {
        let ring = self.ring();
        let published = ring.instance.signing_keys().iter().filter(|key| key.is_published_at(now));
        json!({"keys": published.map(|key| &key.key.public_key).collect::<Vec<_>>()})
    }

    /// The instance as this node knows it, with every key there ever was.
    pub(crate) fn all(&self) -> Arc<Instance> {
        self.ring().instance.clone()
    }

    /// A JWT (RFC 7519 §3) of type `typ`, signed with the key that signs at `now`.
    ///
    /// # Errors
    /// When the claims are not JSON or signing fails.
    pub fn sign(
        &self,
        algorithm: SigningAlgorithm,
        typ: &str,
        claims: &impl Serialize,
        now: DateTime<Utc>,
    ) -> Result<String, KeyError> {
        let ring = self.ring();
        let (kid, private) = ring.signs(algorithm, now)?;
        let header = json!({"typ": typ, "alg": algorithm.as_str(), "kid": kid}).to_string();
        let claims = serde_json::to_vec(claims).map_err(|_| KeyError::Unusable)?;
        // Three parts of base64, and a signature of 256 bytes at most.
        let mut token = String::with_capacity((header.len() + claims.len() + 256) * 4 / 3 + 8);
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = private.sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Signs a logout token, with the algorithm of its client's ID tokens (Back-Channel Logout §2.6).
    ///
    /// # Errors
    /// When the claims are not JSON or signing fails.
    pub fn sign_logout_token(&self, algorithm: SigningAlgorithm, claims: &impl Serialize) -> Result<String, KeyError> {
        self.sign(algorithm, LOGOUT_TOKEN, claims, self.now())
    }

    /// The claims of an access token that a published key signed. Expiry is the caller's to check, by its own clock.
    #[must_use]
    pub fn verify_access_token<T: DeserializeOwned + Clone>(&self, token: &str) -> Option<T> {
        let now = self.now();
        self.verify(token, ACCESS_TOKEN, |key| key.is_published_at(now))
    }

    /// The claims of an ID token that we signed at any time, expired or not (OpenID Connect RP-Initiated Logout §2):
    /// it says whom a request is about, and lets nobody in.
    #[must_use]
    pub fn verify_id_token_hint<T: DeserializeOwned + Clone>(&self, token: &str) -> Option<T> {
        self.verify(token, ID_TOKEN, SigningKey::is_trusted)
    }

    fn verify<T: DeserializeOwned>(
        &self,
        token: &str,
        typ: &str,
        accepts: impl FnOnce(&SigningKey) -> bool,
    ) -> Option<T> {
        let header = decode_header(token).ok()?;
        if header.typ.as_deref() != Some(typ) {
            return None;
        }
        let (ring, kid) = (self.ring(), header.kid?);
        let key = ring.instance.signing_keys().iter().find(|key| key.key.kid == kid)?;
        if !accepts(key) {
            return None;
        }
        let pair = ring.keys.get(&kid)?;
        Some(decode::<T>(token, &pair.verifying, &pair.validation).ok()?.claims)
    }
}

impl From<StoreError> for KeyError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}
