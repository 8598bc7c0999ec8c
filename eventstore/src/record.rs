//! An event as it is stored and read, with who caused it, from where and why.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::StoreError;

/// The identity of a stream: one aggregate's events.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StreamId {
    /// The aggregate's type, e.g. `organization`.
    pub kind: &'static str,
    /// The aggregate's id.
    pub id: String,
}

/// Who acts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "id", rename_all = "snake_case")]
pub enum Actor {
    /// Nobody yet: a request before sign-in.
    #[default]
    Anonymous,
    /// A signed-in user.
    User(String),
    /// An API key.
    ApiKey(String),
    /// An OAuth client on its own behalf.
    Client(String),
    /// A part of this system: a reactor, the outbox, the command line.
    System(String),
}

/// Where a request came from; sealed at rest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The caller's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// The caller's `User-Agent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
}

/// The circumstances of a commit, stored with each of its events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    /// Who acts.
    pub actor: Actor,
    /// For whom, when that is someone else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// The OAuth client that was used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// From where; `None` in a stored event whose origin was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The request.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// What the request belongs to; all that one click caused shares it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The event (its `event_id`) that caused this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<String>,
    /// Why, in the actor's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The only tenant whose streams exist for this command; `None` for the instance itself.
    #[serde(skip)]
    pub tenant: Option<String>,
}

impl Context {
    /// The context of something that the system does by itself.
    #[must_use]
    pub fn system(part: &str) -> Self {
        Self { actor: Actor::System(part.to_owned()), ..Self::default() }
    }

    /// The context of what `part` of the system does because of `event`.
    #[must_use]
    pub fn caused_by(part: &str, event: &Recorded) -> Self {
        Self {
            correlation_id: event.context.correlation_id.clone().or_else(|| event.context.request_id.clone()),
            causation_id: Some(event.event_id.clone()),
            ..Self::system(part)
        }
    }
}

/// A stored event.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its place in the log: global, dense, from 1.
    pub position: u64,
    /// An organization's id, or `instance`.
    pub tenant: String,
    /// The aggregate's type.
    pub stream_type: String,
    /// The aggregate's id.
    pub stream_id: String,
    /// Its place in the stream, from 1.
    pub version: u64,
    /// UUIDv7.
    pub event_id: String,
    /// E.g. `organization.app_installed`.
    pub event_type: String,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// When it was appended.
    pub recorded_at: DateTime<Utc>,
    /// Who, from where, why.
    pub context: Context,
    pub(crate) payload: Result<Value, String>,
}

impl Recorded {
    /// What happened; personal data of an erased person reads as `{"$erased": …}`.
    ///
    /// # Errors
    /// When the row is damaged or its data key is missing; the reader that needs it must stop here.
    pub fn payload(&self) -> Result<&Value, StoreError> {
        self.payload
            .as_ref()
            .map_err(|problem| StoreError::Unreadable { position: self.position, problem: problem.clone() })
    }
}
