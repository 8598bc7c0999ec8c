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

    /// Seals every `$personal` in `payload`, making keys as needed.
    pub(crate) async fn seal(&self, payload: &mut Value, new_keys: &mut Vec<NewKey>) -> Result<(), StoreError> {
        for place in marked(payload, "$personal") {
            let subject = place["$personal"]["subject"].as_str().unwrap_or(NOBODY).to_owned();
            let clear = place["$personal"]["value"].to_string();
            let sealed = self.seal_under(&subject, &clear, new_keys).await?;
            *place = json!({"$sealed": {"subject": subject, "box": sealed}});
        }
        Ok(())
    }

    /// The context as it is stored: its origin sealed under the acting user's key.
    pub(crate) async fn seal_context(
        &self,
        context: &Context,
        new_keys: &mut Vec<NewKey>,
    ) -> Result<String, StoreError> {
        let mut stored = serde_json::to_value(context)?;
        if let Some(origin) = stored.get_mut("origin") {
            let subject = match &context.actor {
                Actor::User(id) => id.as_str(),
                _ => NOBODY,
            };
            let sealed = self.seal_under(subject, &origin.to_string(), new_keys).await?;
            *origin = json!({"$sealed": {"subject": subject, "box": sealed}});
        }
        Ok(serde_json::to_string(&stored)?)
    }

    /// Opens every `$sealed` in a stored text.
    ///
    /// # Errors
    /// A sentence, when the text is no JSON or a box does not open.
    pub(crate) async fn open_text(&self, stored: &str) -> Result<Value, String> {
        let mut value: Value = serde_json::from_str(stored).map_err(|error| format!("it is not JSON ({error})"))?;
        if !stored.contains("\"$sealed\"") {
            return Ok(value);
        }
        for place in marked(&mut value, "$sealed") {
            let subject = place["$sealed"]["subject"].as_str().unwrap_or_default().to_owned();
            let key = self.key(&subject).await.map_err(|error| error.to_string())?;
            *place = match key {
                KeyOf::Known(key) => {
                    let opened = place["$sealed"]["box"]
                        .as_str()
                        .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
                        .and_then(|sealed| key.open(&purpose(&subject), &sealed))
                        .and_then(|clear| serde_json::from_slice::<Value>(&clear).ok());
                    let Some(value) = opened else {
                        return Err(format!("the sealed data of {subject} does not open with its key"));
                    };
                    json!({"$personal": {"subject": subject, "value": value}})
                }
                KeyOf::Destroyed => json!({"$erased": {"subject": subject}}),
                KeyOf::Missing => return Err(format!("the data key of {subject} is missing")),
            };
        }
        Ok(value)
    }

    /// The context from its stored text; an erased origin is absent.
    pub(crate) async fn open_context(&self, stored: &str) -> Result<Context, String> {
        let mut value = self.open_text(stored).await?;
        if let Some(origin) = value.get_mut("origin") {
            *origin = origin["$personal"]["value"].take();
        }
        serde_json::from_value(value).map_err(|error| format!("its context is malformed ({error})"))
    }

    /// Seals a text that no single person owns, e.g. a snapshot.
    pub(crate) async fn seal_for_nobody(&self, clear: &str) -> Result<String, StoreError> {
        self.seal_under(NOBODY, clear, &mut Vec::new()).await
    }

    /// Opens what [`Self::seal_for_nobody`] made.
    pub(crate) async fn open_for_nobody(&self, sealed: &str) -> Option<String> {
        let KeyOf::Known(key) = self.key(NOBODY).await.ok()? else { return None };
        let clear = key.open(&purpose(NOBODY), &URL_SAFE_NO_PAD.decode(sealed).ok()?)?;
        String::from_utf8(clear).ok()
    }

    async fn seal_under(&self, subject: &str, clear: &str, new_keys: &mut Vec<NewKey>) -> Result<String, StoreError> {
        let key = match self.key(subject).await? {
            KeyOf::Known(key) => key,
            // Nothing more is kept of someone erased: it is sealed under a key that is thrown away.
            KeyOf::Destroyed => Arc::new(SealingKey::new(&random_key())),
            KeyOf::Missing => match new_keys.iter().find(|new| new.subject == subject) {
                Some(new) => self.unwrap(subject, &new.wrapped)?,
                None => {
                    let wrapped = self.master.wrap(&purpose(subject), &random_key());
                    let key = self.unwrap(subject, &wrapped)?;
                    new_keys.push(NewKey { subject: subject.to_owned(), wrapped });
                    key
                }
            },
        };
        Ok(URL_SAFE_NO_PAD.encode(key.seal(&purpose(subject), clear.as_bytes())))
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
