//! Appending on SQLite: the same judgement as `append_events` on PostgreSQL, on the one writing connection.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use database::Error;
use serde_json::{Value, json};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::appender::{Outcome, Prepared, place};

/// Appends a batch in one transaction; the answer is durable.
pub(crate) async fn append(pool: &SqlitePool, now: DateTime<Utc>, batch: &[Prepared]) -> Result<Vec<Outcome>, Error> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;

    let mut lost: Vec<Option<Outcome>> = batch.iter().map(|_| None).collect();
    judge_idempotency(&mut tx, batch, &mut lost).await?;
    let base = judge_versions(&mut tx, batch, &mut lost).await?;
    judge_claims(&mut tx, batch, &mut lost).await?;
    judge_data_keys(&mut tx, batch, &mut lost).await?;

    let outcomes = place(base, batch, lost);
    let won: Vec<(&Prepared, u64, u64)> = batch
        .iter()
        .zip(&outcomes)
        .filter_map(|(command, outcome)| match outcome {
            Outcome::Committed { first, last } => Some((command, *first, *last)),
            _ => None,
        })
        .collect();
    if let Some((_, _, last)) = won.last() {
        store(&mut tx, now, &won).await?;
        sqlx::query("UPDATE ledger SET position = $1 WHERE id = 1").bind(last.cast_signed()).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(outcomes)
}

async fn judge_idempotency(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &[Prepared],
    lost: &mut [Option<Outcome>],
) -> Result<(), Error> {
    let given: Value = batch.iter().filter_map(|command| command.idempotency.as_ref()).map(|i| i.key.clone()).collect();
    if given.as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    let rows: Vec<(String, String, i64, i64)> = sqlx::query_as(
        "SELECT idempotency_key, fingerprint, first_position, last_position FROM idempotency_keys
         WHERE idempotency_key IN (SELECT value FROM json_each($1))",
    )
    .bind(given.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let known: HashMap<_, _> = rows.into_iter().map(|(key, print, first, last)| (key, (print, first, last))).collect();
    for (command, lost) in batch.iter().zip(lost) {
        let Some(given) = &command.idempotency else { continue };
        if let Some((fingerprint, first, last)) = known.get(&given.key) {
            *lost = Some(if *fingerprint == given.fingerprint {
                Outcome::AlreadyDone { first: first.cast_unsigned(), last: last.cast_unsigned() }
            } else {
                Outcome::IdempotencyMismatch
            });
        }
    }
    Ok(())
}

/// Answers the last position before the batch, which the same statement reads.
async fn judge_versions(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &[Prepared],
    lost: &mut [Option<Outcome>],
) -> Result<u64, Error> {
    let parts: Vec<_> =
        batch.iter().enumerate().flat_map(|(n, command)| command.streams.iter().map(move |part| (n, part))).collect();
    let asked: Value = parts.iter().map(|(_, part)| json!([part.stream.kind, part.stream.id])).collect();
    let rows: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT -1, position FROM ledger WHERE id = 1
         UNION ALL
         SELECT g.key, s.version FROM json_each($1) g
         CROSS JOIN streams s ON s.stream_type = g.value ->> 0 AND s.stream_id = g.value ->> 1",
    )
    .bind(asked.to_string())
    .fetch_all(&mut **tx)
    .await?;
    let versions: HashMap<i64, i64> = rows.into_iter().collect();
    for (place, (number, part)) in (0..).zip(parts) {
        let actual = versions.get(&place).copied().unwrap_or(0).cast_unsigned();
        if actual != part.expected_version && lost[number].is_none() {
            lost[number] = Some(Outcome::Conflict { actual });
        }
    }
    Ok(versions[&-1].cast_unsigned())
}

async fn judge_claims(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &[Prepared],
    lost: &mut [Option<Outcome>],
) -> Result<(), Error> {
    for (command, lost) in batch.iter().zip(lost) {
        for claim in command.claims.iter().filter(|claim| claim.take) {
            let held: Option<(String,)> = sqlx::query_as("SELECT owner FROM claims WHERE kind = $1 AND value = $2")
                .bind(claim.kind)
                .bind(&claim.value)
                .fetch_optional(&mut **tx)
                .await?;
            let given_up = |owner: &str| {
                let mut releases = command.claims.iter().filter(|other| !other.take);
                releases.any(|other| other.kind == claim.kind && other.value == claim.value && other.owner == owner)
            };
            if held.is_some_and(|(owner,)| !given_up(&owner)) && lost.is_none() {
                *lost = Some(Outcome::ClaimTaken { claim: claim.kind.to_owned() });
            }
        }
    }
    Ok(())
}

async fn judge_data_keys(
    tx: &mut Transaction<'_, Sqlite>,
    batch: &[Prepared],
    lost: &mut [Option<Outcome>],
) -> Result<(), Error> {
    for (command, lost) in batch.iter().zip(lost) {
        for new in &command.new_keys {
            let known: Option<(String,)> = sqlx::query_as("SELECT subject FROM subject_keys WHERE subject = $1")
                .bind(&new.subject)
                .fetch_optional(&mut **tx)
                .await?;
            if known.is_some() && lost.is_none() {
                *lost = Some(Outcome::Conflict { actual: 0 });
            }
        }
    }
    Ok(())
}

/// So many rows are inserted by one statement. Bound values cost a fraction of what taking a JSON array apart does.
const ROWS: usize = 64;

/// One statement for each number of rows, from 1.
fn inserts(table: &str, columns: usize, end: &str) -> Vec<String> {
    let row = format!("({})", vec!["?"; columns].join(", "));
    (1..=ROWS).map(|rows| format!("INSERT INTO {table} VALUES {} {end}", vec![row.as_str(); rows].join(", "))).collect()
}

static INSERT_EVENTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let table = "events (position, tenant, stream_type, stream_id, version, event_id, event_type, schema_version,
                         payload, context, recorded_at)";
    inserts(table, 11, "")
});

static INSERT_STREAMS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let end = "ON CONFLICT (stream_type, stream_id) DO UPDATE SET version = excluded.version";
    inserts("streams (stream_type, stream_id, tenant, version)", 4, end)
});

async fn store(
    tx: &mut Transaction<'_, Sqlite>,
    now: DateTime<Utc>,
    won: &[(&Prepared, u64, u64)],
) -> Result<(), Error> {
    let mut events = Vec::new();
    let mut streams = Vec::new();
    let mut taken = HashSet::new();
    for (command, first, _) in won {
        let mut position = *first;
        for part in &command.streams {
            streams.push(part);
            for (version, event) in (part.expected_version + 1..).zip(&part.events) {
                events.push((position, part, version, event, command.context.as_str()));
                position += 1;
            }
        }
        for claim in &command.claims {
            taken.insert((claim.kind, claim.value.as_str(), claim.owner.as_str(), claim.take));
        }
    }
    for rows in events.chunks(ROWS) {
        let mut insert = sqlx::query(INSERT_EVENTS[rows.len() - 1].as_str());
        for (position, part, version, event, context) in rows {
            insert = insert
                .bind(position.cast_signed())
                .bind(&part.tenant)
                .bind(part.stream.kind)
                .bind(&part.stream.id)
                .bind(version.cast_signed())
                .bind(&event.event_id)
                .bind(&event.event_type)
                .bind(i64::from(event.schema_version))
                .bind(&event.payload)
                .bind(*context)
                .bind(now);
        }
        insert.execute(&mut **tx).await?;
    }
    for rows in streams.chunks(ROWS) {
        let mut insert = sqlx::query(INSERT_STREAMS[rows.len() - 1].as_str());
        for part in rows {
            let version = part.expected_version + part.events.len() as u64;
            insert = insert.bind(part.stream.kind).bind(&part.stream.id).bind(&part.tenant).bind(version.cast_signed());
        }
        insert.execute(&mut **tx).await?;
    }
    // Releases first, so that a value can change hands within one command.
    for (kind, value, owner, _) in taken.iter().filter(|(.., take)| !take) {
        sqlx::query("DELETE FROM claims WHERE kind = $1 AND value = $2 AND owner = $3")
            .bind(*kind)
            .bind(*value)
            .bind(*owner)
            .execute(&mut **tx)
            .await?;
    }
    for (kind, value, owner, _) in taken.iter().filter(|(.., take)| *take) {
        sqlx::query("INSERT INTO claims (kind, value, owner) VALUES ($1, $2, $3)")
            .bind(*kind)
            .bind(*value)
            .bind(*owner)
            .execute(&mut **tx)
            .await?;
    }
    for (command, first, last) in won {
        for new in &command.new_keys {
            sqlx::query("INSERT INTO subject_keys (subject, wrapped_key) VALUES ($1, $2)")
                .bind(&new.subject)
                .bind(&new.wrapped)
                .execute(&mut **tx)
                .await?;
        }
        if let Some(given) = &command.idempotency {
            sqlx::query(
                "INSERT INTO idempotency_keys (idempotency_key, fingerprint, first_position, last_position, recorded_at)
                 VALUES ($1, $2, $3, $4, $5)",
            )
            .bind(&given.key)
            .bind(&given.fingerprint)
            .bind(first.cast_signed())
            .bind(last.cast_signed())
            .bind(now)
            .execute(&mut **tx)
            .await?;
        }
    }
    Ok(())
}
