//! Appending on PostgreSQL: one call of `append_events`, which takes the ledger's lock and judges each command.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use database::Error;
use sqlx::pool::PoolConnection;
use sqlx::{Connection, PgConnection, PgPool, Postgres};

use crate::appender::{Outcome, Prepared, place};

/// A connection that rested so long may have been cut off.
const RESTED: Duration = Duration::from_secs(1);
/// A server that is gone without a word must not hold all commands for ever; longer than `statement_timeout`.
const PATIENCE: Duration = Duration::from_secs(40);

/// The connection that this node appends on. It stays out of the pool: giving it back and taking it again would
/// ask the server twice whether it is there, for each batch.
pub(crate) struct Writer {
    pool: PgPool,
    connection: Option<(PoolConnection<Postgres>, Instant)>,
}

impl Writer {
    pub(crate) fn new(pool: PgPool) -> Self {
        Self { pool, connection: None }
    }

    /// Appends a batch in one round trip; the answer is durable.
    pub(crate) async fn append(&mut self, now: DateTime<Utc>, batch: &[Prepared]) -> Result<Vec<Outcome>, Error> {
        let mut connection = self.connection().await?;
        let result = tokio::time::timeout(PATIENCE, append(&mut connection, now, batch)).await;
        let result = result.unwrap_or_else(|_| Err(Error::Statement(sqlx::Error::PoolTimedOut)));
        match &result {
            Ok(_) | Err(Error::Statement(sqlx::Error::Database(_))) => {
                self.connection = Some((connection, Instant::now()));
            }
            // Nobody knows what it would say next.
            Err(_) => connection.close_on_drop(),
        }
        result
    }

    async fn connection(&mut self) -> Result<PoolConnection<Postgres>, Error> {
        if let Some((mut connection, used)) = self.connection.take() {
            if used.elapsed() < RESTED || connection.ping().await.is_ok() {
                return Ok(connection);
            }
            connection.close_on_drop();
        }
        Ok(self.pool.acquire().await?)
    }
}

#[derive(Default)]
struct Columns<'a> {
    keys: Vec<Option<&'a str>>,
    fingerprints: Vec<Option<&'a str>>,
    stream: StreamColumns<'a>,
    event: EventColumns<'a>,
    claim: ClaimColumns<'a>,
    data_key: DataKeyColumns<'a>,
}

#[derive(Default)]
struct StreamColumns<'a> {
    command: Vec<i32>,
    kind: Vec<&'a str>,
    id: Vec<&'a str>,
    tenant: Vec<&'a str>,
    expected: Vec<i64>,
    version: Vec<i64>,
}

#[derive(Default)]
struct EventColumns<'a> {
    command: Vec<i32>,
    tenant: Vec<&'a str>,
    stream_type: Vec<&'a str>,
    stream_id: Vec<&'a str>,
    version: Vec<i64>,
    id: Vec<&'a str>,
    kind: Vec<&'a str>,
    schema: Vec<i64>,
    payload: Vec<&'a str>,
    context: Vec<&'a str>,
}

#[derive(Default)]
struct ClaimColumns<'a> {
    command: Vec<i32>,
    kind: Vec<&'a str>,
    value: Vec<&'a str>,
    owner: Vec<&'a str>,
    take: Vec<bool>,
}

#[derive(Default)]
struct DataKeyColumns<'a> {
    command: Vec<i32>,
    subject: Vec<&'a str>,
    key: Vec<&'a [u8]>,
}

impl<'a> Columns<'a> {
    fn of(batch: &'a [Prepared]) -> Self {
        let mut columns = Self::default();
        if batch.iter().any(|command| command.idempotency.is_some()) {
            columns.keys = batch.iter().map(|command| command.idempotency.as_ref().map(|i| i.key.as_str())).collect();
            columns.fingerprints =
                batch.iter().map(|command| command.idempotency.as_ref().map(|i| i.fingerprint.as_str())).collect();
        }
        for (number, command) in (1..).zip(batch) {
            columns.add(number, command);
        }
        columns
    }

    fn add(&mut self, number: i32, command: &'a Prepared) {
        for part in &command.streams {
            self.stream.command.push(number);
            self.stream.kind.push(part.stream.kind);
            self.stream.id.push(&part.stream.id);
            self.stream.tenant.push(&part.tenant);
            self.stream.expected.push(part.expected_version.cast_signed());
            self.stream.version.push((part.expected_version + part.events.len() as u64).cast_signed());
            for (version, event) in (part.expected_version + 1..).zip(&part.events) {
                self.event.command.push(number);
                self.event.tenant.push(&part.tenant);
                self.event.stream_type.push(part.stream.kind);
                self.event.stream_id.push(&part.stream.id);
                self.event.version.push(version.cast_signed());
                self.event.id.push(&event.event_id);
                self.event.kind.push(&event.event_type);
                self.event.schema.push(i64::from(event.schema_version));
                self.event.payload.push(&event.payload);
                self.event.context.push(&command.context);
            }
        }
        for claim in &command.claims {
            self.claim.command.push(number);
            self.claim.kind.push(claim.kind);
            self.claim.value.push(&claim.value);
            self.claim.owner.push(&claim.owner);
            self.claim.take.push(claim.take);
        }
        for new in &command.new_keys {
            self.data_key.command.push(number);
            self.data_key.subject.push(&new.subject);
            self.data_key.key.push(&new.wrapped);
        }
    }
}

async fn append(connection: &mut PgConnection, now: DateTime<Utc>, batch: &[Prepared]) -> Result<Vec<Outcome>, Error> {
    let Columns { keys, fingerprints, stream, event, claim, data_key } = Columns::of(batch);
    let (base, lost, verdicts, details): (i64, Vec<i32>, Vec<String>, Vec<String>) = sqlx::query_as(
        "SELECT base, lost, verdict, detail FROM append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13,
            $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26, $27)",
    )
    .bind(now)
    .bind(keys)
    .bind(fingerprints)
    .bind(stream.command)
    .bind(stream.kind)
    .bind(stream.id)
    .bind(stream.tenant)
    .bind(stream.expected)
    .bind(stream.version)
    .bind(event.command)
    .bind(event.tenant)
    .bind(event.stream_type)
    .bind(event.stream_id)
    .bind(event.version)
    .bind(event.id)
    .bind(event.kind)
    .bind(event.schema)
    .bind(event.payload)
    .bind(event.context)
    .bind(claim.command)
    .bind(claim.kind)
    .bind(claim.value)
    .bind(claim.owner)
    .bind(claim.take)
    .bind(data_key.command)
    .bind(data_key.subject)
    .bind(data_key.key)
    .fetch_one(connection)
    .await?;

    let mut losses: Vec<Option<Outcome>> = batch.iter().map(|_| None).collect();
    for ((number, verdict), detail) in lost.into_iter().zip(verdicts).zip(details) {
        let slot = usize::try_from(number).ok().and_then(|number| losses.get_mut(number.checked_sub(1)?));
        // The first reason counts: a request that was done before has also moved its stream.
        if let Some(slot @ None) = slot {
            *slot = Some(outcome(&verdict, detail));
        }
    }
    Ok(place(base.cast_unsigned(), batch, losses))
}

fn outcome(verdict: &str, detail: String) -> Outcome {
    match verdict {
        "done" => {
            let (first, last) = detail.split_once('-').unwrap_or_default();
            Outcome::AlreadyDone { first: first.parse().unwrap_or(0), last: last.parse().unwrap_or(0) }
        }
        "mismatch" => Outcome::IdempotencyMismatch,
        "taken" => Outcome::ClaimTaken { claim: detail },
        _ => Outcome::Conflict { actual: detail.parse().unwrap_or(0) },
    }
}
