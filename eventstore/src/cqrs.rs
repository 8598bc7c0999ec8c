//! The store as cqrs-es sees it, so that its framework and its test tools work on our log.

use std::collections::HashMap;

use cqrs_es::{Aggregate, AggregateContext, AggregateError, DomainEvent, EventEnvelope};

use crate::appender::{Append, NewEvent, Outcome, StreamAppend};
use crate::store::decode;
use crate::{Context, EventStore, INSTANCE_TENANT, StoreError, StreamId};

/// An aggregate, and the version that a commit must find.
pub struct Versioned<A> {
    id: String,
    tenant: String,
    version: u64,
    aggregate: A,
}

impl<A: Aggregate> AggregateContext<A> for Versioned<A> {
    fn aggregate(&mut self) -> &mut A {
        &mut self.aggregate
    }
}

impl<A> cqrs_es::EventStore<A> for EventStore
where
    A: Aggregate + Clone + 'static,
{
    type AC = Versioned<A>;

    async fn load_events(&self, id: &str) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        let events = self.events_of(A::TYPE, id, 0).await.map_err(technical)?;
        events
            .into_iter()
            .map(|event| {
                Ok(EventEnvelope {
                    sequence: usize::try_from(event.version).unwrap_or(usize::MAX),
                    payload: decode(&event).map_err(technical)?,
                    metadata: HashMap::from([("event_id".to_owned(), event.event_id)]),
                    aggregate_id: event.stream_id,
                })
            })
            .collect()
    }

    async fn load_aggregate(&self, id: &str) -> Result<Versioned<A>, AggregateError<A::Error>> {
        let loaded = self.load_fresh::<A>(id).await.map_err(technical)?;
        Ok(Versioned {
            id: id.to_owned(),
            tenant: loaded.tenant.unwrap_or_else(|| INSTANCE_TENANT.to_owned()),
            version: loaded.version,
            aggregate: A::clone(&loaded.state),
        })
    }

    async fn commit(
        &self,
        events: Vec<A::Event>,
        context: Versioned<A>,
        metadata: HashMap<String, String>,
    ) -> Result<Vec<EventEnvelope<A>>, AggregateError<A::Error>> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let new_events = events.iter().map(|event| {
            let payload = serde_json::to_value(event).map_err(|error| technical(error.into()))?;
            Ok(NewEvent {
                event_type: event.event_type(),
                schema_version: event.event_version().parse().unwrap_or(1),
                payload,
            })
        });
        let stream = StreamAppend {
            stream: StreamId { kind: A::TYPE, id: context.id.clone() },
            tenant: context.tenant,
            expected_version: context.version,
            events: new_events.collect::<Result<_, AggregateError<A::Error>>>()?,
        };
        let reason = metadata.get("reason").cloned();
        let append = Append {
            streams: vec![stream],
            context: Context { reason, ..Context::system("cqrs") },
            claims: Vec::new(),
            idempotency: None,
        };
        match self.append(append).await.map_err(technical)? {
            Outcome::Committed { .. } => Ok((1..)
                .zip(events)
                .map(|(offset, payload)| EventEnvelope {
                    aggregate_id: context.id.clone(),
                    sequence: usize::try_from(context.version).unwrap_or(usize::MAX) + offset,
                    payload,
                    metadata: metadata.clone(),
                })
                .collect()),
            _ => Err(AggregateError::AggregateConflict),
        }
    }
}

fn technical<E: std::error::Error>(error: StoreError) -> AggregateError<E> {
    AggregateError::UnexpectedError(Box::new(error))
}
