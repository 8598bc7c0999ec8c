//! How many commands a second stock postgres-es carries: load, handle, persist. The baseline of `optare bench append`.

use std::{
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use cqrs_es::{CqrsFramework, persist::PersistedEventStore};
use domain::{Product, ProductCommand};
use oracle::Result;
use postgres_es::{PostgresCqrs, PostgresEventRepository};
use serde_json::{Value, json};
use sqlx::{Executor, Pool, Postgres, postgres::PgPoolOptions};

const HELP: &str = "usage: DATABASE_URL=postgres://… oracle-bench [--json FILE] [--seconds N] [--connections N]

Works in the schema oracle_bench, which it makes and drops.";

const CALLERS: [usize; 5] = [1, 8, 32, 64, 256];
const LONG: usize = 1_000;

struct Options {
    json: Option<String>,
    seconds: f64,
    /// As many as postgres-es gives itself in `default_postgress_pool`.
    connections: u32,
}

#[derive(Clone, Copy, PartialEq)]
enum Case {
    /// Each command makes a stream of one event.
    Short,
    /// Each command adds to a stream of 1,000 events; no two callers share one.
    Long,
}

struct Row {
    case: Case,
    callers: usize,
    per_second: f64,
    p50: Duration,
    p99: Duration,
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = options()?;
    let url = std::env::var("DATABASE_URL").map_err(|_| format!("DATABASE_URL is not set\n{HELP}"))?;
    let pool = PgPoolOptions::new().max_connections(options.connections).connect(&url).await?;
    prepare(&pool).await?;

    println!("{:<6} {:>8} {:>12} {:>10} {:>10}", "case", "clients", "commands/s", "p50 µs", "p99 µs");
    let mut rows = Vec::new();
    for case in [Case::Short, Case::Long] {
        for callers in CALLERS {
            let row = measure(&pool, case, callers, Duration::from_secs_f64(options.seconds)).await?;
            let (p50, p99) = (row.p50.as_micros(), row.p99.as_micros());
            println!("{:<6} {callers:>8} {:>12.0} {p50:>10} {p99:>10}", case.name(), row.per_second);
            rows.push(row);
        }
    }

    pool.execute("DROP SCHEMA oracle_bench CASCADE").await?;
    if let Some(file) = options.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        fs::write(file, serde_json::to_string_pretty(&rows)? + "\n")?;
    }
    Ok(())
}

fn options() -> Result<Options> {
    let mut options = Options { json: None, seconds: 2.5, connections: 10 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{HELP}"));
        match argument.as_str() {
            "--json" => options.json = Some(value()?),
            "--seconds" => options.seconds = value()?.parse()?,
            "--connections" => options.connections = value()?.parse()?,
            _ => return Err(format!("{argument} is unknown\n{HELP}").into()),
        }
    }
    Ok(options)
}

/// The table of postgres-es's own db/init.sql, and the long streams.
async fn prepare(pool: &Pool<Postgres>) -> Result<()> {
    pool.execute(
        "DROP SCHEMA IF EXISTS oracle_bench CASCADE;
         CREATE SCHEMA oracle_bench;
         CREATE TABLE oracle_bench.events (
             aggregate_type text                         NOT NULL,
             aggregate_id   text                         NOT NULL,
             sequence       bigint CHECK (sequence >= 0) NOT NULL,
             event_type     text                         NOT NULL,
             event_version  text                         NOT NULL,
             payload        json                         NOT NULL,
             metadata       json                         NOT NULL,
             PRIMARY KEY (aggregate_type, aggregate_id, sequence)
         );",
    )
    .await?;

    let created = json!({
        "type": "created", "organization_id": "org_bench", "name": "Bench", "slug": "bench", "description": null,
        "features": []
    });
    let changed = json!({ "type": "changed", "name": "Another name" });
    sqlx::query(
        "INSERT INTO oracle_bench.events
         SELECT 'product', 'prod_long-' || stream, sequence,
                CASE sequence WHEN 1 THEN 'product.created' ELSE 'product.changed' END, '1',
                CASE sequence WHEN 1 THEN $1::json ELSE $2::json END, '{}'
         FROM generate_series(0, $3) AS stream, generate_series(1, $4) AS sequence",
    )
    .bind(created)
    .bind(changed)
    .bind(CALLERS[CALLERS.len() - 1] as i32 - 1)
    .bind(LONG as i32)
    .execute(pool)
    .await?;
    pool.execute("ANALYZE oracle_bench.events").await?;
    Ok(())
}

async fn measure(pool: &Pool<Postgres>, case: Case, callers: usize, time: Duration) -> Result<Row> {
    let repository =
        PostgresEventRepository::new(pool.clone()).with_tables("oracle_bench.events", "oracle_bench.snapshots");
    let store = PersistedEventStore::new_event_store(repository);
    let framework: Arc<PostgresCqrs<Product>> = Arc::new(CqrsFramework::new(store, vec![], ()));

    let start = Instant::now();
    let calling: Vec<_> =
        (0..callers).map(|caller| tokio::spawn(call(framework.clone(), case, callers, caller, start + time))).collect();
    let mut latencies = Vec::new();
    for caller in calling {
        latencies.extend(caller.await??);
    }
    let elapsed = start.elapsed();

    // So that every cell finds the streams as long as their name says.
    sqlx::query("DELETE FROM oracle_bench.events WHERE sequence > $1 OR aggregate_id LIKE 'prod_short-%'")
        .bind(LONG as i64)
        .execute(pool)
        .await?;

    latencies.sort_unstable();
    // Each caller carries out one command at least.
    let percentile = |percent: usize| latencies[latencies.len() * percent / 100];
    let (p50, p99) = (percentile(50), percentile(99));
    Ok(Row { case, callers, per_second: latencies.len() as f64 / elapsed.as_secs_f64(), p50, p99 })
}

async fn call(
    framework: Arc<PostgresCqrs<Product>>,
    case: Case,
    callers: usize,
    caller: usize,
    end: Instant,
) -> Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    while latencies.is_empty() || Instant::now() < end {
        let count = latencies.len();
        let (stream, command) = match case {
            Case::Short => (
                format!("prod_short-{callers}-{caller}-{count}"),
                ProductCommand::Create {
                    organization_id: "org_bench".parse()?,
                    name: "Bench".parse()?,
                    slug: "bench".parse()?,
                    description: None,
                    features: vec![],
                    permissions: vec![],
                },
            ),
            Case::Long => (
                format!("prod_long-{caller}"),
                ProductCommand::Change {
                    name: Some(format!("Name {count}").parse()?),
                    description: None,
                    features: None,
                },
            ),
        };
        let start = Instant::now();
        framework.execute(&stream, command).await?;
        latencies.push(start.elapsed());
    }
    Ok(latencies)
}

impl Case {
    fn name(self) -> &'static str {
        match self {
            Self::Short => "short",
            Self::Long => "long",
        }
    }
}

impl Row {
    fn json(&self) -> Value {
        json!({
            "bench": "append",
            "engine": "postgres-es",
            "case": self.case.name(),
            "clients": self.callers,
            "per_second": self.per_second.round(),
            "p50_us": self.p50.as_micros() as u64,
            "p99_us": self.p99.as_micros() as u64,
            "baseline": null,
            "ratio": null,
        })
    }
}
