//! Reads a database of Optare ID with stock postgres-es, through the view `cqrs.events`.

use std::{collections::BTreeSet, error::Error};

use cqrs_es::{
    Aggregate, EventStore,
    persist::{EventUpcaster, PersistedEventRepository, PersistedEventStore, SerializedEvent},
};
use postgres_es::PostgresEventRepository;
use serde_json::{Value, json};
use sqlx::{Pool, Postgres, postgres::PgPoolOptions};

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const EVENTS: &str = "cqrs.events";
const SNAPSHOTS: &str = "cqrs.snapshots";

/// What was read of one aggregate type.
#[derive(Debug, PartialEq, Eq)]
pub struct Count {
    pub aggregate_type: &'static str,
    pub streams: usize,
    pub events: usize,
}

/// Reads and folds every stream; fails on the first that has a gap or that cannot be folded.
pub async fn read_every_stream(database_url: &str) -> Result<Vec<Count>> {
    let pool = PgPoolOptions::new().max_connections(2).connect(database_url).await?;
    let counts = vec![
        read_streams::<domain::Organization>(&pool).await?,
        read_streams::<domain::User>(&pool).await?,
        read_streams::<domain::Session>(&pool).await?,
        read_streams::<domain::App>(&pool).await?,
        read_streams::<domain::OAuthClient>(&pool).await?,
        read_streams::<domain::Grant>(&pool).await?,
        read_streams::<domain::Product>(&pool).await?,
        read_streams::<domain::Subscription>(&pool).await?,
        read_streams::<domain::ApiKey>(&pool).await?,
        read_streams::<domain::WebhookDelivery>(&pool).await?,
        read_streams::<domain::Instance>(&pool).await?,
        read_streams::<domain::ResourceServer>(&pool).await?,
        read_streams::<domain::Consent>(&pool).await?,
    ];

    let read: BTreeSet<&str> = counts.iter().map(|count| count.aggregate_type).collect();
    let stored: Vec<String> =
        sqlx::query_scalar("SELECT DISTINCT aggregate_type FROM cqrs.events").fetch_all(&pool).await?;
    match stored.iter().find(|stored| !read.contains(stored.as_str())) {
        Some(unknown) => Err(format!("nobody has read the streams of type {unknown}").into()),
        None => Ok(counts),
    }
}

async fn read_streams<A: Aggregate>(pool: &Pool<Postgres>) -> Result<Count> {
    let query = "SELECT DISTINCT aggregate_id FROM cqrs.events WHERE aggregate_type = $1 ORDER BY aggregate_id";
    let streams: Vec<String> = sqlx::query_scalar(query).bind(A::TYPE).fetch_all(pool).await?;

    let repository = || PostgresEventRepository::new(pool.clone()).with_tables(EVENTS, SNAPSHOTS);
    let stored = repository();
    let store =
        PersistedEventStore::<_, A>::new_event_store(repository()).with_upcasters(vec![Box::new(SealedReadsAsErased)]);
    let mut events = 0;
    for stream in &streams {
        let failed = |problem: String| format!("{} {stream}: {problem}", A::TYPE);
        let found = stored.get_events::<A>(stream).await?;
        check_sequence(&found).map_err(failed)?;

        let folded = store.load_aggregate(stream).await.map_err(|error| failed(format!("{error:?}")))?;
        if folded.current_sequence != found.len() {
            return Err(failed(format!("{} of {} events were folded", folded.current_sequence, found.len())).into());
        }
        events += found.len();
    }
    Ok(Count { aggregate_type: A::TYPE, streams: streams.len(), events })
}

fn check_sequence(events: &[SerializedEvent]) -> std::result::Result<(), String> {
    let wrong = events.iter().zip(1..).find(|(event, expected)| event.sequence != *expected);
    match wrong {
        Some((event, expected)) => Err(format!("expected sequence {expected} and found {}", event.sequence)),
        None => Ok(()),
    }
}

/// The oracle has no keys, so it sees what a reader sees once they are destroyed.
pub struct SealedReadsAsErased;

impl EventUpcaster for SealedReadsAsErased {
    fn can_upcast(&self, _event_type: &str, _event_version: &str) -> bool {
        true
    }

    fn upcast(&self, mut event: SerializedEvent) -> SerializedEvent {
        erase(&mut event.payload);
        event
    }
}

fn erase(value: &mut Value) {
    match value {
        Value::Object(object) => {
            // Without a subject it stays as it is, which no event can be read from.
            if let Some(subject) = object.get("$sealed").and_then(|sealed| sealed.get("subject")) {
                *value = json!({ "$erased": { "subject": subject } });
            } else {
                object.values_mut().for_each(erase);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(erase),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(sequence: usize, payload: Value) -> SerializedEvent {
        let text = |text: &str| text.to_owned();
        SerializedEvent::new(
            text("user_ada"),
            sequence,
            text("user"),
            text("user.renamed"),
            text("1"),
            payload,
            json!({}),
        )
    }

    #[test]
    fn a_sealed_value_reads_as_erased_wherever_it_stands() {
        let sealed = json!({ "name": { "$sealed": { "subject": "user_ada", "box": "AAEC" } }, "list": [1, { "$sealed": { "subject": "user_bob" } }] });
        let read = SealedReadsAsErased.upcast(event(1, sealed));
        let erased = json!({ "name": { "$erased": { "subject": "user_ada" } }, "list": [1, { "$erased": { "subject": "user_bob" } }] });
        assert_eq!(read.payload, erased);
    }

    #[test]
    fn a_stream_starts_at_one_and_has_no_gap() {
        let stream = |sequences: &[usize]| sequences.iter().map(|n| event(*n, json!({}))).collect::<Vec<_>>();
        assert_eq!(check_sequence(&stream(&[1, 2, 3])), Ok(()));
        assert_eq!(check_sequence(&stream(&[2, 3])), Err("expected sequence 1 and found 2".to_owned()));
        assert_eq!(check_sequence(&stream(&[1, 3])), Err("expected sequence 2 and found 3".to_owned()));
    }
}
