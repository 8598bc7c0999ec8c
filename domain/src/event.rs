//! Any event of the log, for those who read all streams: projections, reactors, the outbox.

use cqrs_es::{Aggregate, DomainEvent};
use serde::de::DeserializeOwned;
use serde_json::Value;
use thiserror::Error;

use crate::api_key::{ApiKey, ApiKeyEvent};
use crate::app::{App, AppEvent};
use crate::consent::{Consent, ConsentEvent};
use crate::grant::{Grant, GrantEvent};
use crate::instance::{Instance, InstanceEvent};
use crate::oauth_client::{OAuthClient, OAuthClientEvent};
use crate::organization::{Organization, OrganizationEvent};
use crate::product::{Product, ProductEvent};
use crate::resource_server::{ResourceServer, ResourceServerEvent};
use crate::session::{Session, SessionEvent};
use crate::subscription::{Subscription, SubscriptionEvent};
use crate::user::{User, UserEvent};
use crate::webhook_delivery::{WebhookDelivery, WebhookDeliveryEvent};

/// The schema version that this build writes, and the newest that it reads.
pub const SCHEMA_VERSION: u32 = 1;

/// Why a stored payload could not be read.
#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("no stream has the type `{stream_type}`; upgrade optare if a newer version wrote it")]
    UnknownStream { stream_type: String },
    #[error(
        "an event of `{stream_type}` has schema version {schema_version}, this optare reads up to {SCHEMA_VERSION}: upgrade optare"
    )]
    NewerSchema { stream_type: String, schema_version: u32 },
    #[error("an event of `{stream_type}` cannot be read")]
    Malformed {
        stream_type: String,
        #[source]
        source: serde_json::Error,
    },
}

/// One variant per stream: `Variant(its events) of its aggregate`.
macro_rules! events {
    ($($variant:ident($event:ident) of $aggregate:ident),+ $(,)?) => {
        /// An event of any stream.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Event {
            $($variant($event),)+
        }

        impl Event {
            /// Reads the payload of an event of the stream type `stream_type`.
            pub fn decode(
                stream_type: &str,
                schema_version: u32,
                payload: Value,
            ) -> Result<Event, DecodeError> {
                match stream_type {
                    $($aggregate::TYPE => {
                        read(stream_type, schema_version, payload).map(Event::$variant)
                    })+
                    _ => Err(DecodeError::UnknownStream { stream_type: stream_type.into() }),
                }
            }

            /// The type of the stream that this event belongs to, e.g. `organization`.
            pub fn stream_type(&self) -> &'static str {
                match self {
                    $(Event::$variant(_) => $aggregate::TYPE,)+
                }
            }

            /// The type of this event, e.g. `organization.app_installed`.
            pub fn event_type(&self) -> String {
                match self {
                    $(Event::$variant(event) => event.event_type(),)+
                }
            }
        }

        $(impl From<$event> for Event {
            fn from(event: $event) -> Self {
                Event::$variant(event)
            }
        })+
    };
}

events! {
    Organization(OrganizationEvent) of Organization,
    User(UserEvent) of User,
    Session(SessionEvent) of Session,
    App(AppEvent) of App,
    OAuthClient(OAuthClientEvent) of OAuthClient,
    Grant(GrantEvent) of Grant,
    Product(ProductEvent) of Product,
    Subscription(SubscriptionEvent) of Subscription,
    ApiKey(ApiKeyEvent) of ApiKey,
    WebhookDelivery(WebhookDeliveryEvent) of WebhookDelivery,
    Instance(InstanceEvent) of Instance,
    ResourceServer(ResourceServerEvent) of ResourceServer,
    Consent(ConsentEvent) of Consent,
}

fn read<E: DeserializeOwned>(stream_type: &str, schema_version: u32, payload: Value) -> Result<E, DecodeError> {
    let stream_type = stream_type.to_owned();
    if schema_version > SCHEMA_VERSION {
        return Err(DecodeError::NewerSchema { stream_type, schema_version });
    }
    serde_json::from_value(payload).map_err(|source| DecodeError::Malformed { stream_type, source })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_by_the_type_of_its_stream() {
        let event = Event::decode("user", 1, json!({ "type": "email_verified" })).unwrap();
        assert_eq!(event, Event::User(UserEvent::EmailVerified));
        assert_eq!(event.stream_type(), "user");
        assert_eq!(event.event_type(), "user.email_verified");
    }

    #[test]
    fn an_unknown_stream_is_named() {
        let error = Event::decode("invoice", 1, json!({})).unwrap_err();
        assert!(error.to_string().contains("`invoice`"), "{error}");
    }

    #[test]
    fn a_newer_schema_asks_for_an_upgrade() {
        let error = Event::decode("user", 2, json!({ "type": "email_verified" })).unwrap_err();
        assert!(matches!(error, DecodeError::NewerSchema { schema_version: 2, .. }));
        assert!(error.to_string().ends_with("upgrade optare"), "{error}");
    }

    #[test]
    fn a_malformed_payload_keeps_its_cause() {
        let error = Event::decode("user", 1, json!({ "type": "never_heard_of" })).unwrap_err();
        let DecodeError::Malformed { stream_type, source } = error else {
            panic!("expected Malformed, got {error:?}");
        };
        assert_eq!(stream_type, "user");
        assert!(source.to_string().contains("never_heard_of"), "{source}");
    }
}
