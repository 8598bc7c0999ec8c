//! Making keys and replacing them.

use chrono::{DateTime, Utc};
use domain::{Instance, InstanceCommand, InstanceEvent, NewSigningKey, SigningAlgorithm, SigningKey};
use eventstore::{Context, EventStore, Execution, Idempotency, Receipt, Secret};
use serde_json::{Value, json};

use super::pair::{KeyError, PrivateKey};
use super::ring::VAULT_KIND;
use crate::{App, Problem};

/// What to replace, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Rotation {
    /// Which key; none means all of them.
    pub algorithm: Option<SigningAlgorithm>,
    /// Sign with the new key at once, although verifiers may not have fetched it yet.
    pub now: bool,
    /// Trust the old keys no more: somebody else has them. The new ones sign at once.
    pub revoke: bool,
}

/// Replaces signing keys, and answers when this node signs with what it should.
///
/// # Errors
/// When the log or the vault fails.
pub async fn rotate(
    app: &App,
    rotation: Rotation,
    context: &Context,
    idempotency: Option<Idempotency>,
) -> Result<Receipt<Instance>, Problem> {
    let all = SigningAlgorithm::ALL;
    let algorithms: Vec<_> =
        all.iter().copied().filter(|each| rotation.algorithm.is_none_or(|asked| asked == *each)).collect();
    let keys = make(&app.store, algorithms).await?;
    let at = app.now();
    let made: Vec<_> = keys.iter().map(|key| key.kid.clone()).collect();
    let command = if rotation.revoke {
        InstanceCommand::ReplaceCompromisedKeys { keys, at }
    } else {
        let signs_from = if rotation.now { at } else { at + app.settings.key_publish_lead };
        InstanceCommand::RotateSigningKeys { keys, signs_from, retention: app.settings.key_retention, at }
    };
    let execution = Execution::<Instance>::new(Instance::ID, command, context).idempotent(idempotency);
    let receipt = app.store.execute(execution).await;
    // Of a request that failed or was sent twice nothing stays.
    forget_unused(&app.store, made, receipt.as_ref().ok().map(|receipt| &*receipt.state)).await?;
    let receipt = receipt?;
    app.keys.refresh().await?;
    let added = receipt.events.iter().filter(|event| matches!(event, InstanceEvent::SigningKeyAdded { .. })).count();
    tracing::info!(revoked = rotation.revoke, "rotated {added} signing keys");
    Ok(receipt)
}

/// Makes the first key of each algorithm that has none.
pub(super) async fn ensure(store: &EventStore) -> Result<(), KeyError> {
    let instance = store.load_fresh::<Instance>(Instance::ID).await?.state;
    let now = store.clock().now();
    let has = |algorithm: &SigningAlgorithm| instance.signing_key_at(*algorithm, now).is_some();
    let missing: Vec<_> = SigningAlgorithm::ALL.iter().copied().filter(|algorithm| !has(algorithm)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let keys = make(store, missing).await?;
    let made = keys.iter().map(|key| key.kid.clone()).collect();
    let command = InstanceCommand::EnsureSigningKeys { keys, at: now };
    let context = Context::system("keys");
    let receipt = store.execute(Execution::<Instance>::new(Instance::ID, command, &context)).await?;
    // Another node that started at the same time may have been first.
    forget_unused(store, made, Some(&*receipt.state)).await
}

/// New pairs, their private halves already in the vault: who reads of a key in the log finds it there.
async fn make(store: &EventStore, algorithms: Vec<SigningAlgorithm>) -> Result<Vec<NewSigningKey>, KeyError> {
    let making = move || {
        let pairs = algorithms.into_iter().map(|algorithm| {
            let pkcs8 = PrivateKey::generate(algorithm)?;
            Ok((PrivateKey::parse(algorithm, &pkcs8)?.public()?, Secret::new(pkcs8)))
        });
        pairs.collect::<Result<Vec<_>, KeyError>>()
    };
    let pairs = tokio::task::spawn_blocking(making).await.map_err(|_| KeyError::Unusable)??;
    let mut keys = Vec::with_capacity(pairs.len());
    for (key, secret) in pairs {
        store.vault().put_if_absent(VAULT_KIND, &key.kid, &secret).await?;
        keys.push(key);
    }
    Ok(keys)
}

/// Destroys what was made but never came to be a key of the instance.
async fn forget_unused(store: &EventStore, made: Vec<String>, instance: Option<&Instance>) -> Result<(), KeyError> {
    for kid in made {
        if !instance.is_some_and(|instance| instance.signing_keys().iter().any(|key| key.key.kid == kid)) {
            store.vault().shred(VAULT_KIND, &kid).await?;
        }
    }
    Ok(())
}

/// The keys as people and programs are shown them, newest first: never a private part.
#[must_use]
pub fn shown(app: &App) -> Value {
    let (instance, now) = (app.keys.all(), app.now());
    let keys = instance.signing_keys().iter().rev().map(|key| {
        json!({
            "kid": key.key.kid, "algorithm": key.key.algorithm, "state": state_of(&instance, key, now),
            "signs_from": key.signs_from, "signs_until": key.signs_until, "published_until": key.published_until,
            "revoked_at": key.revoked_at,
        })
    });
    keys.collect()
}

/// In a word: what the key does now.
fn state_of(instance: &Instance, key: &SigningKey, now: DateTime<Utc>) -> &'static str {
    let signing = instance.signing_key_at(key.key.algorithm, now);
    if !key.is_trusted() {
        "revoked"
    } else if signing.is_some_and(|signing| signing.key.kid == key.key.kid) {
        "signing"
    } else if key.signs_from > now {
        "upcoming"
    } else if key.is_published_at(now) {
        "published"
    } else {
        "retired"
    }
}

impl From<KeyError> for Problem {
    fn from(error: KeyError) -> Self {
        match error {
            KeyError::Store(error) => error.into(),
            KeyError::Refused(error) => error.into(),
            other => Self::internal(other),
        }
    }
}
