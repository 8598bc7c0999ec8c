//! `optare bench append`: durable commands per second (load from cache, decide, append, answer), beside a bare
//! INSERT of one row of the same size in the same run.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use database::{Connection, Db, LOG_POSTGRES, LOG_SQLITE, Schema, ScratchDatabase, open_postgres, open_sqlite};
use eventstore::{Append, Clock, Context, EventStore, Execution, MasterKey, NewEvent, Origin, StreamAppend, StreamId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::measure::{Caller, Failure, Sample, drive};
use super::report::{Rounds, Row, print, print_heading, write_json};

const BENCH: &str = "append";
const EVENTS_OF_A_SHORT_STREAM: usize = 10;
const EVENTS_OF_A_LONG_STREAM: u32 = 1_000;
/// More connections than this only make a small PostgreSQL server slower.
const RAW_CONNECTIONS: usize = 32;
/// As much as a typical event, and as each row of the baseline.
const PAYLOAD_BYTES: usize = 600;

/// Measures durable commands per second against a bare INSERT.
#[derive(Debug, clap::Args)]
pub struct AppendArgs {
    /// A PostgreSQL server; a database of its own is made there and dropped at the end.
    #[arg(long, env = "DATABASE_URL")]
    pub database_url: Option<String>,
    /// A folder for SQLite, on the disk that is to be measured [default: a temporary one].
    #[arg(long)]
    pub data: Option<PathBuf>,
    /// How long each case runs in each round.
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// How often; the median counts.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Numbers of concurrent callers.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 8, 64, 256])]
    pub callers: Vec<usize>,
    /// Writes one JSON object per row to this file.
    #[arg(long)]
    pub json: Option<PathBuf>,
}

/// Runs the benchmark and prints its table.
///
/// # Errors
/// When a database cannot be used or the settings make no sense.
pub async fn append(args: AppendArgs) -> Result<(), Box<dyn Error>> {
    run(args).await.map_err(|problem| problem as Box<dyn Error>)
}

async fn run(args: AppendArgs) -> Result<(), Failure> {
    if args.rounds == 0 || args.callers.contains(&0) || !(0.1..=600.0).contains(&args.seconds) {
        return Err("--rounds and --callers start at 1, --seconds at 0.1 (and end at 600)".into());
    }
    print_heading();
    let mut rows = Vec::new();
    match &args.database_url {
        None => println!("postgres  skipped: no server is given (--database-url or DATABASE_URL)"),
        Some(server) => {
            let scratch = ScratchDatabase::create(server, "optare_bench").await?;
            let measured = tokio::select! {
                measured = on_postgres(&scratch, &args, &mut rows) => measured,
                stopped = tokio::signal::ctrl_c() => stopped.map_err(Into::into).and(Err("interrupted".into())),
            };
            scratch.remove().await?;
            measured?;
        }
    }
    on_sqlite(&args, &mut rows).await?;
    if let Some(file) = &args.json {
        write_json(file, &rows).map_err(|problem| format!("{} cannot be written: {problem}", file.display()))?;
    }
    Ok(())
}

async fn on_postgres(scratch: &ScratchDatabase, args: &AppendArgs, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let most = args.callers.iter().copied().max().unwrap_or(1).min(RAW_CONNECTIONS);
    let db = open_postgres(scratch.url(), 10, &[LOG_POSTGRES]).await?;
    let raw = open_postgres(scratch.url(), most.try_into()?, &[]).await?;
    let measured = measure("postgres", &db, &raw, RAW_CONNECTIONS, args, rows).await;
    raw.close().await;
    db.close().await;
    measured
}

async fn on_sqlite(args: &AppendArgs, rows: &mut Vec<Row>) -> Result<(), Failure> {
    let parent = args.data.clone().unwrap_or_else(std::env::temp_dir);
    std::fs::create_dir_all(&parent).map_err(|problem| format!("{} cannot be used: {problem}", parent.display()))?;
    let folder = tempfile::Builder::new().prefix("optare-bench-").tempdir_in(parent)?;
    let file = |name: &str| folder.path().join(name);
    let db = open_sqlite(&file("log.sqlite"), LOG_SQLITE).await?;
    let raw = open_sqlite(&file("raw.sqlite"), Schema { table: "none", steps: &[], durable: true }).await?;
    let measured = measure("sqlite", &db, &raw, 1, args, rows).await;
    raw.close().await;
    db.close().await;
    measured
}

/// Round by round the bare INSERT, short streams and long streams, so that each sees the same weather.
async fn measure(
    engine: &'static str,
    db: &Db,
    raw: &Db,
    raw_connections: usize,
    args: &AppendArgs,
    rows: &mut Vec<Row>,
) -> Result<(), Failure> {
    // As large as an event, with the key that keeps streams in order.
    let table = "CREATE TABLE raw (stream_id TEXT NOT NULL, version BIGINT NOT NULL, payload TEXT NOT NULL,
                                   PRIMARY KEY (stream_id, version))";
    raw.execute(table, ()).await?;
    let store = EventStore::open(db.clone(), master_key()?, Clock::default(), &[Notebook::TYPE]).await?;
    let long = long_streams(&store, args.callers.iter().copied().max().unwrap_or(1)).await?;
    let time = Duration::from_secs_f64(args.seconds);
    // Opens connections, prepares statements, brings long streams into memory.
    let warm_up = Duration::from_millis(300).min(time);

    for &callers in &args.callers {
        let insert = || BareInsert::several(raw, callers.min(raw_connections));
        let short = || (0..callers).map(|_| ShortStreams::new(store.clone())).collect::<Vec<_>>();
        let long = || (0..callers).map(|n| LongStreams::new(store.clone(), &long, n, callers)).collect::<Vec<_>>();
        drive(insert().await?, warm_up).await?;
        drive(short(), warm_up).await?;
        drive(long(), warm_up).await?;

        let (mut inserts, mut shorts, mut longs) = (Vec::<Sample>::new(), Vec::new(), Vec::new());
        for _ in 0..args.rounds {
            inserts.push(drive(insert().await?, time).await?);
            shorts.push(drive(short(), time).await?);
            longs.push(drive(long(), time).await?);
        }
        let insert = Rounds { case: "bare insert", samples: &inserts };
        let short = Rounds { case: "short streams", samples: &shorts };
        let long = Rounds { case: "long streams", samples: &longs };
        for row in [
            Row::new(BENCH, engine, callers, &insert, None),
            Row::new(BENCH, engine, callers, &short, Some(&insert)),
            Row::new(BENCH, engine, callers, &long, Some(&short)),
        ] {
            print(&row);
            rows.push(row);
        }
    }
    Ok(())
}

/// Inserts one row per call, each its own transaction.
struct BareInsert {
    connection: Connection,
    stream: String,
    version: i64,
    payload: String,
}

impl BareInsert {
    async fn several(db: &Db, count: usize) -> Result<Vec<Self>, Failure> {
        let mut all = Vec::new();
        for _ in 0..count {
            let connection = db.connection().await?;
            all.push(Self { connection, stream: new_id(), version: 0, payload: text(PAYLOAD_BYTES) });
        }
        Ok(all)
    }
}

impl Caller for BareInsert {
    async fn call(&mut self) -> Result<(), Failure> {
        self.version += 1;
        let sql = "INSERT INTO raw (stream_id, version, payload) VALUES ($1, $2, $3)";
        self.connection.execute(sql, (self.stream.as_str(), self.version, self.payload.as_str())).await?;
        Ok(())
    }
}

/// Commands to a stream that is left for a new one after ten events.
struct ShortStreams {
    store: EventStore,
    context: Context,
    note: String,
    stream: String,
    events: usize,
}

impl ShortStreams {
    fn new(store: EventStore) -> Self {
        Self { store, context: context(), note: note(), stream: new_id(), events: 0 }
    }
}

impl Caller for ShortStreams {
    async fn call(&mut self) -> Result<(), Failure> {
        if self.events == EVENTS_OF_A_SHORT_STREAM {
            (self.stream, self.events) = (new_id(), 0);
        }
        self.events += 1;
        self.store.execute::<Notebook>(Execution::new(&self.stream, Write(self.note.clone()), &self.context)).await?;
        Ok(())
    }
}

/// Commands to long streams that no other caller uses at the time, one after the other.
struct LongStreams {
    store: EventStore,
    context: Context,
    note: String,
    streams: Vec<Arc<str>>,
    next: usize,
}

impl LongStreams {
    fn new(store: EventStore, all: &[Arc<str>], caller: usize, callers: usize) -> Self {
        let streams = all.iter().skip(caller).step_by(callers).cloned().collect();
        Self { store, context: context(), note: note(), streams, next: 0 }
    }
}

impl Caller for LongStreams {
    async fn call(&mut self) -> Result<(), Failure> {
        let stream = &self.streams[self.next % self.streams.len()];
        self.next += 1;
        self.store.execute::<Notebook>(Execution::new(stream, Write(self.note.clone()), &self.context)).await?;
        Ok(())
    }
}

/// Streams of 1,000 events, at least 64 and one per caller, all of them in memory.
async fn long_streams(store: &EventStore, callers: usize) -> Result<Vec<Arc<str>>, Failure> {
    let mut streams = Vec::new();
    for _ in 0..callers.max(64) {
        let id = new_id();
        let events = (1..=EVENTS_OF_A_LONG_STREAM).map(|pages| {
            let event = Written { pages, note: note() };
            let payload = serde_json::to_value(&event)?;
            Ok(NewEvent { event_type: event.event_type(), schema_version: 1, payload })
        });
        let stream = StreamAppend {
            stream: StreamId { kind: Notebook::TYPE, id: id.clone() },
            tenant: eventstore::INSTANCE_TENANT.to_owned(),
            expected_version: 0,
            events: events.collect::<Result<_, serde_json::Error>>()?,
        };
        let append = Append { streams: vec![stream], context: context(), claims: Vec::new(), idempotency: None };
        store.append(append).await?;
        store.load::<Notebook>(&id).await?;
        streams.push(id.into());
    }
    Ok(streams)
}

/// A small aggregate: what is measured is the store.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Notebook {
    pages: u32,
}

#[derive(Clone)]
struct Write(String);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Written {
    pages: u32,
    note: String,
}

#[derive(Debug, thiserror::Error)]
#[error("a notebook never refuses")]
struct Never;

impl DomainEvent for Written {
    fn event_type(&self) -> String {
        "notebook.written".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Notebook {
    const TYPE: &'static str = "notebook";
    type Command = Write;
    type Event = Written;
    type Error = Never;
    type Services = ();

    async fn handle(&mut self, Write(note): Write, (): &(), sink: &EventSink<Self>) -> Result<(), Never> {
        sink.write(Written { pages: self.pages + 1, note }, self).await;
        Ok(())
    }

    fn apply(&mut self, event: Written) {
        self.pages = event.pages;
    }
}

fn new_id() -> String {
    format!("notebook_{}", Uuid::now_v7())
}

/// Makes the payload of an event about as large as the baseline's.
fn note() -> String {
    text(PAYLOAD_BYTES - r#"{"pages":1000,"note":""}"#.len())
}

fn text(bytes: usize) -> String {
    "what was written on this page ".chars().cycle().take(bytes).collect()
}

/// What a request over HTTP brings with it.
fn context() -> Context {
    let origin = Origin { ip: Some("203.0.113.7".to_owned()), user_agent: Some("optare-bench/1 (append)".to_owned()) };
    let request_id = Some(Uuid::now_v7().to_string());
    Context { origin: Some(origin), request_id, ..Context::system("bench") }
}

fn master_key() -> Result<MasterKey, Failure> {
    let folder = tempfile::tempdir()?;
    Ok(MasterKey::from_file(&folder.path().join("master.key"))?)
}
