//! Group commit: one task per node writes whatever has queued in one transaction, and judges each command alone.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use chrono::{DateTime, Utc};
use database::{Db, Error};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{PgPool, SqlitePool};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::personal::NewKey;
use crate::record::{Context, Recorded, StreamId};
use crate::{Clock, StoreError, postgres, sqlite};

/// A batch is cut here, so that one commit stays short.
const EVENTS_PER_BATCH: usize = 1_000;
/// If so many commands wait, the next batch is on its way to PostgreSQL while the last one is being written there:
/// the ledger's lock makes it wait, but the network, its encoding and the answers to the last one do not.
const WORTH_A_SECOND_BATCH: usize = 16;

/// What a command adds to one stream.
#[derive(Debug, Clone)]
pub struct StreamAppend {
    /// Which stream.
    pub stream: StreamId,
    /// Whose stream; only looked at when it is new.
    pub tenant: String,
    /// The version that the decision was made on; 0 for a new stream.
    pub expected_version: u64,
    /// What happened, in order.
    pub events: Vec<NewEvent>,
}

/// An event to be stored.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// E.g. `organization.app_installed`.
    pub event_type: String,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// JSON; personal data marked as `{"$personal": …}`.
    pub payload: serde_json::Value,
}

/// A value that only one stream may hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Claim {
    /// What it is, as users call it: `email`, `product slug`.
    pub kind: &'static str,
    /// The value, already in the form that is compared.
    pub value: String,
    /// Whether it identifies a person: then only a keyed hash of it is stored.
    pub personal: bool,
}

/// A change of a claim, in the transaction of its events.
#[derive(Debug, Clone)]
pub enum ClaimChange {
    /// Reserves the value for a stream (its id).
    Take(Claim, String),
    /// Gives it up, if that stream holds it.
    Release(Claim, String),
}

/// What lets a caller safely send the same request twice.
#[derive(Debug, Clone)]
pub struct Idempotency {
    /// The key, made unique per caller.
    pub key: String,
    /// A hash of the request that it stands for.
    pub fingerprint: String,
}

/// A command's events, waiting to be appended: all of them or none.
#[derive(Debug, Clone)]
pub struct Append {
    /// One part per stream.
    pub streams: Vec<StreamAppend>,
    /// Who, from where, why.
    pub context: Context,
    /// Unique values taken or given up.
    pub claims: Vec<ClaimChange>,
    /// Set for requests that may be sent twice.
    pub idempotency: Option<Idempotency>,
}

/// How an append ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, at these positions.
    Committed {
        /// The first event's position.
        first: u64,
        /// The last event's position.
        last: u64,
    },
    /// A stream has moved on.
    Conflict {
        /// Its version now.
        actual: u64,
    },
    /// A unique value is held by another stream.
    ClaimTaken {
        /// The claim's kind.
        claim: String,
    },
    /// The same request was committed before, at these positions.
    AlreadyDone {
        /// The first event's position.
        first: u64,
        /// The last event's position.
        last: u64,
    },
    /// The idempotency key was used for another request.
    IdempotencyMismatch,
}

/// An append whose personal data is sealed and whose JSON is text.
pub(crate) struct Prepared {
    pub streams: Vec<PreparedStream>,
    pub context: String,
    pub readable_context: Context,
    pub claims: Vec<PreparedClaim>,
    pub idempotency: Option<Idempotency>,
    pub new_keys: Vec<NewKey>,
}

pub(crate) struct PreparedStream {
    pub stream: StreamId,
    pub tenant: String,
    pub expected_version: u64,
    pub events: Vec<PreparedEvent>,
}

pub(crate) struct PreparedEvent {
    pub event_id: String,
    pub event_type: String,
    pub schema_version: u32,
    pub payload: String,
    pub readable: serde_json::Value,
}

impl PreparedEvent {
    fn as_given(&self) -> NewEvent {
        NewEvent {
            event_type: self.event_type.clone(),
            schema_version: self.schema_version,
            payload: self.readable.clone(),
        }
    }
}

pub(crate) struct PreparedClaim {
    pub kind: &'static str,
    pub value: String,
    pub owner: String,
    pub take: bool,
}

impl Prepared {
    pub(crate) fn event_count(&self) -> usize {
        self.streams.iter().map(|stream| stream.events.len()).sum()
    }

    /// The append as it was given, to prepare it again.
    pub(crate) fn as_given(&self, claims: Vec<ClaimChange>) -> Append {
        let streams = self.streams.iter().map(|part| StreamAppend {
            stream: part.stream.clone(),
            tenant: part.tenant.clone(),
            expected_version: part.expected_version,
            events: part.events.iter().map(PreparedEvent::as_given).collect(),
        });
        let context = self.readable_context.clone();
        Append { streams: streams.collect(), context, claims, idempotency: self.idempotency.clone() }
    }

    /// Hashes of everything that a second command in the same batch must not touch too. If two collide by accident,
    /// a command waits for the next batch.
    fn touched(&self, hasher: &RandomState) -> impl Iterator<Item = u64> {
        let streams = self.streams.iter().map(|part| hasher.hash_one((0, &part.stream)));
        let claims = self.claims.iter().map(|claim| hasher.hash_one((1, claim.kind, &claim.value)));
        let keys = self.idempotency.iter().map(|given| hasher.hash_one((2, &given.key)));
        let subjects = self.new_keys.iter().map(|new| hasher.hash_one((3, &new.subject)));
        streams.chain(claims).chain(keys).chain(subjects)
    }
}

type Reply = oneshot::Sender<Result<Outcome, StoreError>>;

struct Queued {
    prepared: Prepared,
    reply: Reply,
}

/// The way to the appender; cheap to clone.
#[derive(Clone)]
pub(crate) struct Appender {
    queue: mpsc::Sender<Queued>,
}

impl Appender {
    /// Starts the appender; `committed` is called with what each durable batch stored.
    pub(crate) fn start(db: Db, clock: Clock, committed: impl Fn(Vec<Recorded>) + Send + Sync + 'static) -> Self {
        let (queue, waiting) = mpsc::channel(4_096);
        tokio::spawn(run(db, clock, waiting, committed));
        Self { queue }
    }

    pub(crate) async fn append(&self, prepared: Prepared) -> Result<Outcome, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue.send(Queued { prepared, reply }).await.map_err(|_| StoreError::Stopping)?;
        answer.await.map_err(|_| StoreError::Stopping)?
    }
}

async fn run(db: Db, clock: Clock, mut queue: mpsc::Receiver<Queued>, committed: impl Fn(Vec<Recorded>) + Send + Sync) {
    let mut idle = match &db {
        Db::Postgres(pool) => vec![Writer::postgres(pool), Writer::postgres(pool)],
        Db::Sqlite { write, .. } => vec![Writer::Sqlite(write.clone())],
    };
    let closed = db.closed();
    tokio::pin!(closed);
    let mut writing = FuturesUnordered::new();
    let mut waiting = VecDeque::new();
    loop {
        tokio::select! {
            biased;
            Some(writer) = writing.next() => idle.push(writer),
            next = queue.recv() => match next {
                Some(queued) => waiting.push_back(queued),
                None => return,
            },
            () = &mut closed => return,
        }
        while let Ok(queued) = queue.try_recv() {
            waiting.push_back(queued);
        }
        while !waiting.is_empty() && (writing.is_empty() || waiting.len() >= WORTH_A_SECOND_BATCH) {
            let Some(mut writer) = idle.pop() else { break };
            let (batch, replies) = take_independent(&mut waiting);
            let (now, committed) = (clock.now(), &committed);
            writing.push(async move {
                answer(&mut writer, now, batch, replies, committed).await;
                writer
            });
        }
    }
}

/// Takes the commands from the front that touch nothing in common; the others keep their order.
fn take_independent(waiting: &mut VecDeque<Queued>) -> (Vec<Prepared>, Vec<Reply>) {
    let (mut batch, mut replies, mut later) = (Vec::new(), Vec::new(), VecDeque::new());
    let (mut touched, mut events) = (HashSet::new(), 0);
    let hasher = RandomState::new();
    while let Some(queued) = waiting.pop_front() {
        let things: Vec<u64> = queued.prepared.touched(&hasher).collect();
        let free = things.iter().all(|thing| !touched.contains(thing));
        touched.extend(things);
        if free && events < EVENTS_PER_BATCH {
            events += queued.prepared.event_count();
            batch.push(queued.prepared);
            replies.push(queued.reply);
        } else {
            later.push_back(queued);
        }
    }
    *waiting = later;
    (batch, replies)
}

enum Writer {
    Postgres(postgres::Writer),
    Sqlite(SqlitePool),
}

impl Writer {
    fn postgres(pool: &PgPool) -> Self {
        Self::Postgres(postgres::Writer::new(pool.clone()))
    }

    async fn append(&mut self, now: DateTime<Utc>, batch: &[Prepared]) -> Result<Vec<Outcome>, Error> {
        match self {
            Self::Postgres(writer) => writer.append(now, batch).await,
            Self::Sqlite(pool) => sqlite::append(pool, now, batch).await,
        }
    }
}

async fn answer(
    writer: &mut Writer,
    now: DateTime<Utc>,
    batch: Vec<Prepared>,
    replies: Vec<Reply>,
    committed: &(impl Fn(Vec<Recorded>) + Sync),
) {
    match writer.append(now, &batch).await {
        Ok(outcomes) => deliver(now, batch, replies, outcomes, committed),
        // One command that the database refuses must not fail its neighbours.
        Err(problem) if batch.len() > 1 && stored_nothing(&problem) => {
            error!("a batch of {} was refused and is written one by one: {problem}", batch.len());
            for (command, reply) in batch.into_iter().zip(replies) {
                let one = vec![command];
                match writer.append(now, &one).await {
                    Ok(outcomes) => deliver(now, one, vec![reply], outcomes, committed),
                    Err(problem) => fail(reply, problem),
                }
            }
        }
        Err(problem) => {
            error!("appending failed: {problem}");
            let text = problem.to_string();
            let mut replies = replies.into_iter();
            if let Some(first) = replies.next() {
                fail(first, problem);
            }
            replies.for_each(|reply| fail(reply, Error::Statement(sqlx::Error::Protocol(text.clone()))));
        }
    }
}

/// Whether the database has certainly undone the batch: it refused a statement and lives on. After anything else
/// (a lost connection, a server that was told to stop while it committed) writing again could store twice.
fn stored_nothing(problem: &Error) -> bool {
    let Error::Statement(sqlx::Error::Database(problem)) = problem else { return false };
    match problem.try_downcast_ref::<PgDatabaseError>() {
        Some(problem) => problem.severity() == PgSeverity::Error,
        None => true,
    }
}

fn deliver(
    now: DateTime<Utc>,
    batch: Vec<Prepared>,
    replies: Vec<Reply>,
    outcomes: Vec<Outcome>,
    committed: &(impl Fn(Vec<Recorded>) + Sync),
) {
    let mut events = Vec::new();
    for (command, outcome) in batch.into_iter().zip(&outcomes) {
        if let Outcome::Committed { first, .. } = outcome {
            record(now, command, *first, &mut events);
        }
    }
    if !events.is_empty() {
        committed(events);
    }
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // Whoever asked may be gone; the commit stands.
        let _ = reply.send(Ok(outcome));
    }
}

/// A command's events as they will be read.
fn record(now: DateTime<Utc>, command: Prepared, first: u64, events: &mut Vec<Recorded>) {
    let mut position = first;
    for part in command.streams {
        for (version, event) in (part.expected_version + 1..).zip(part.events) {
            events.push(Recorded {
                position,
                tenant: part.tenant.clone(),
                stream_type: part.stream.kind.to_owned(),
                stream_id: part.stream.id.clone(),
                version,
                event_id: event.event_id,
                event_type: event.event_type,
                schema_version: event.schema_version,
                recorded_at: now,
                context: command.readable_context.clone(),
                payload: Ok(event.readable),
            });
            position += 1;
        }
    }
}

fn fail(reply: Reply, problem: Error) {
    let _ = reply.send(Err(problem.into()));
}

/// Gives the commands that did not lose their positions: dense, in the order of the batch, from `base` + 1.
pub(crate) fn place(base: u64, batch: &[Prepared], mut lost: Vec<Option<Outcome>>) -> Vec<Outcome> {
    let mut last = base;
    let mut outcomes = Vec::with_capacity(batch.len());
    for (command, lost) in batch.iter().zip(lost.drain(..)) {
        outcomes.push(lost.unwrap_or_else(|| {
            let first = last + 1;
            last += command.event_count() as u64;
            Outcome::Committed { first, last }
        }));
    }
    outcomes
}
