//! Personal data in events: sealed under a key per person before it is stored, opened when it is read.
//!
//! In JSON, `{"$personal": {"subject", "value"}}` is what a writer gives and a reader gets,
//! `{"$sealed": {"subject", "box"}}` is what is stored, `{"$erased": {"subject"}}` is what remains of it.

use std::sync::Arc;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use database::Db;
use moka::future::Cache;
use serde_json::{Value, json};

use crate::keys::{MasterKey, SealingKey, Secret, random_key};
use crate::record::{Actor, Context};
use crate::{StoreError, Vault};

/// The subject under which data of nobody in particular is sealed.
const NOBODY: &str = "instance";

/// A new data key that must be stored with the commit that first uses it.
pub(crate) struct NewKey {
    pub subject: String,
    pub wrapped: Vec<u8>,
}

/// Why a stored text could not be opened.
pub(crate) enum Unopened {
    /// For good: the sentence says what is wrong with it.
    Damaged(String),
    /// For now.
    Failed(StoreError),
}

impl From<StoreError> for Unopened {
    fn from(error: StoreError) -> Self {
        match error {
            // A key that the master key does not unwrap will not open by trying again.
            StoreError::WrongMasterKey => Self::Damaged(error.to_string()),
            other => Self::Failed(other),
        }
    }
}

fn damaged(sentence: String) -> Unopened {
    Unopened::Damaged(sentence)
}

/// Seals and opens personal data; `None` in the cache is a destroyed key.
pub(crate) struct Personal {
    db: Db,
    master: Arc<MasterKey>,
    keys: Cache<String, Option<Arc<SealingKey>>>,
    lookup: hmac::Key,
}

impl Personal {
    /// Loads what every node needs: the look-up key and the key of nobody in particular.
    pub(crate) async fn open(db: Db, master: Arc<MasterKey>, vault: &Vault) -> Result<Self, StoreError> {
        let lookup = vault.put_if_absent("lookup_key", "1", &Secret::new(random_key())).await?;
        let wrapped = master.wrap(&purpose(NOBODY), &random_key());
        db.execute(
            "INSERT INTO subject_keys (subject, wrapped_key) VALUES ($1, $2) ON CONFLICT (subject) DO NOTHING",
            (NOBODY, wrapped),
        )
        .await?;
        let lookup = hmac::Key::new(hmac::HMAC_SHA256, lookup.expose());
        let personal = Self { db, master, keys: Cache::new(50_000), lookup };
        personal.key(NOBODY).await?;
        Ok(personal)
    }

    /// What a personal value is looked up by: a keyed hash, useless without the instance's key.
    pub(crate) fn lookup_hash(&self, value: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.lookup, value.as_bytes()))
    }

    /// Seals every `$personal` in `payload`, making keys as needed. Answers the text to store, and what a reader
    /// of it will see.
    pub(crate) async fn seal(
        &self,
        mut payload: Value,
        new_keys: &mut Vec<NewKey>,
    ) -> Result<(String, Value), StoreError> {
        if marked(&mut payload, "$personal").is_empty() {
            return Ok((serde_json::to_string(&payload)?, payload));
        }
        let mut readable = payload.clone();
        for (place, shown) in marked(&mut payload, "$personal").into_iter().zip(marked(&mut readable, "$personal")) {
            let subject = place["$personal"]["subject"].as_str().unwrap_or(NOBODY).to_owned();
            let value = place["$personal"]["value"].take();
            let sealed = self.seal_under(&subject, &value.to_string(), new_keys).await?;
            *place = json!({"$sealed": {"subject": subject, "box": sealed.text}});
            *shown = if sealed.opens {
                json!({"$personal": {"subject": subject, "value": value}})
            } else {
                json!({"$erased": {"subject": subject}})
            };
        }
        Ok((serde_json::to_string(&payload)?, readable))
    }

    /// The context as it is stored, its origin sealed under the acting user's key, and as a reader will see it.
    pub(crate) async fn seal_context(
        &self,
        context: Context,
        new_keys: &mut Vec<NewKey>,
    ) -> Result<(String, Context), StoreError> {
        let mut stored = serde_json::to_value(&context)?;
        let mut readable = Context { tenant: None, ..context };
        if let Some(origin) = stored.get_mut("origin") {
            let subject = match &readable.actor {
                Actor::User(id) => id.as_str(),
                _ => NOBODY,
            };
            let sealed = self.seal_under(subject, &origin.to_string(), new_keys).await?;
            *origin = json!({"$sealed": {"subject": subject, "box": sealed.text}});
            if !sealed.opens {
                readable.origin = None;
            }
        }
        Ok((serde_json::to_string(&stored)?, readable))
    }

    /// Opens every `$sealed` in a stored text.
    ///
    /// # Errors
    /// Damage when the text is no JSON or a box does not open; a database that fails is no damage.
    pub(crate) async fn open_text(&self, stored: &str) -> Result<Value, Unopened> {
        let mut value: Value =
            serde_json::from_str(stored).map_err(|error| damaged(format!("it is not JSON ({error})")))?;
        if !stored.contains("\"$sealed\"") {
            return Ok(value);
        }
        for place in marked(&mut value, "$sealed") {
            let subject = place["$sealed"]["subject"].as_str().unwrap_or_default().to_owned();
            let key = self.key(&subject).await?;
            *place = match key {
                KeyOf::Known(key) => {
                    let opened = place["$sealed"]["box"]
                        .as_str()
                        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                        .and_then(|sealed| key.open(&purpose(&subject), &sealed))
                        .and_then(|clear| serde_json::from_slice::<Value>(&clear).ok());
                    let Some(value) = opened else {
                        return Err(damaged(format!("the sealed data of {subject} does not open with its key")));
                    };
                    json!({"$personal": {"subject": subject, "value": value}})
                }
                KeyOf::Destroyed => json!({"$erased": {"subject": subject}}),
                KeyOf::Missing => return Err(damaged(format!("the data key of {subject} is missing"))),
            };
        }
        Ok(value)
    }

    /// The context from its stored text; an erased origin is absent.
    pub(crate) async fn open_context(&self, stored: &str) -> Result<Context, Unopened> {
        let mut value = self.open_text(stored).await?;
        if let Some(origin) = value.get_mut("origin") {
            *origin = origin["$personal"]["value"].take();
        }
        serde_json::from_value(value).map_err(|error| damaged(format!("its context is malformed ({error})")))
    }

    async fn seal_under(&self, subject: &str, clear: &str, new_keys: &mut Vec<NewKey>) -> Result<Sealed, StoreError> {
        let (key, opens) = match self.key(subject).await? {
            KeyOf::Known(key) => (key, true),
            // Nothing more is kept of someone erased: it is sealed under a key that is thrown away.
            KeyOf::Destroyed => (Arc::new(SealingKey::new(&random_key())), false),
            KeyOf::Missing => match new_keys.iter().find(|new| new.subject == subject) {
                Some(new) => (self.unwrap(subject, &new.wrapped)?, true),
                None => {
                    let wrapped = self.master.wrap(&purpose(subject), &random_key());
                    let key = self.unwrap(subject, &wrapped)?;
                    new_keys.push(NewKey { subject: subject.to_owned(), wrapped });
                    (key, true)
                }
            },
        };
        Ok(Sealed { text: URL_SAFE_NO_PAD.encode(key.seal(&purpose(subject), clear.as_bytes())), opens })
    }

    fn unwrap(&self, subject: &str, wrapped: &[u8]) -> Result<Arc<SealingKey>, StoreError> {
        let key: [u8; 32] =
            self.master.unwrap(&purpose(subject), wrapped)?.try_into().map_err(|_| StoreError::WrongMasterKey)?;
        Ok(Arc::new(SealingKey::new(&key)))
    }

    async fn key(&self, subject: &str) -> Result<KeyOf, StoreError> {
        if let Some(cached) = self.keys.get(subject).await {
            return Ok(cached.map_or(KeyOf::Destroyed, KeyOf::Known));
        }
        let row: Option<(Option<Vec<u8>>,)> =
            self.db.fetch_optional("SELECT wrapped_key FROM subject_keys WHERE subject = $1", (subject,)).await?;
        let Some((wrapped,)) = row else { return Ok(KeyOf::Missing) };
        let key = wrapped.map(|wrapped| self.unwrap(subject, &wrapped)).transpose()?;
        self.keys.insert(subject.to_owned(), key.clone()).await;
        Ok(key.map_or(KeyOf::Destroyed, KeyOf::Known))
    }
}

/// A box, and whether there is a key that opens it.
struct Sealed {
    text: String,
    opens: bool,
}

enum KeyOf {
    Known(Arc<SealingKey>),
    Destroyed,
    Missing,
}

fn purpose(subject: &str) -> String {
    format!("subject/{subject}")
}

/// Every object in `value` whose only member is `mark`.
fn marked<'a>(value: &'a mut Value, mark: &str) -> Vec<&'a mut Value> {
    let mut found = Vec::new();
    collect(value, mark, &mut found);
    found
}

fn collect<'a>(value: &'a mut Value, mark: &str, found: &mut Vec<&'a mut Value>) {
    if value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key(mark)) {
        found.push(value);
        return;
    }
    match value {
        Value::Object(object) => object.values_mut().for_each(|member| collect(member, mark, found)),
        Value::Array(items) => items.iter_mut().for_each(|item| collect(item, mark, found)),
        _ => {}
    }
}
