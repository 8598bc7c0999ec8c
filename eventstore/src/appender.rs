//! Group commit: one task per node writes whatever has queued in one transaction, and judges each command alone.

use std::collections::{HashSet, VecDeque};

use chrono::{DateTime, Utc};
use database::{Db, Error};
use tokio::sync::{mpsc, oneshot};
use tracing::error;

use crate::personal::NewKey;
use crate::record::{Context, StreamId};
use crate::{Clock, StoreError, postgres, sqlite};

/// A batch is cut here, so that one commit stays short.
const EVENTS_PER_BATCH: usize = 1_000;

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

    /// Everything that a second command in the same batch must not touch too.
    fn touched(&self) -> impl Iterator<Item = Touched> + '_ {
        let streams = self.streams.iter().map(|part| Touched::Stream(part.stream.clone()));
        let claims = self.claims.iter().map(|claim| Touched::Claim(claim.kind, claim.value.clone()));
        let keys = self.idempotency.iter().map(|given| Touched::Idempotency(given.key.clone()));
        let subjects = self.new_keys.iter().map(|new| Touched::Subject(new.subject.clone()));
        streams.chain(claims).chain(keys).chain(subjects)
    }
}

#[derive(PartialEq, Eq, Hash)]
enum Touched {
    Stream(StreamId),
    Claim(&'static str, String),
    Idempotency(String),
    Subject(String),
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
    /// Starts the appender; `committed` is called with the last position after each durable batch.
    pub(crate) fn start(db: Db, clock: Clock, committed: impl Fn(u64) + Send + Sync + 'static) -> Self {
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

async fn run(db: Db, clock: Clock, mut queue: mpsc::Receiver<Queued>, committed: impl Fn(u64) + Send + Sync) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match queue.recv().await {
                Some(queued) => waiting.push_back(queued),
                None => return,
            }
        }
        while let Ok(queued) = queue.try_recv() {
            waiting.push_back(queued);
        }
        let (batch, replies) = take_independent(&mut waiting);
        answer(&db, clock.now(), batch, replies, &committed).await;
    }
}

/// Takes the commands from the front that touch nothing in common; the others keep their order.
fn take_independent(waiting: &mut VecDeque<Queued>) -> (Vec<Prepared>, Vec<Reply>) {
    let (mut batch, mut replies, mut later) = (Vec::new(), Vec::new(), VecDeque::new());
    let (mut touched, mut events) = (HashSet::new(), 0);
    while let Some(queued) = waiting.pop_front() {
        let free = queued.prepared.touched().all(|thing| !touched.contains(&thing));
        touched.extend(queued.prepared.touched());
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

async fn answer(db: &Db, now: DateTime<Utc>, batch: Vec<Prepared>, replies: Vec<Reply>, committed: &(impl Fn(u64) + Sync)) {
    match write(db, now, &batch).await {
        Ok(outcomes) => deliver(replies, outcomes, committed),
        // One command that the database refuses must not fail its neighbours. Only a refusal is certain to
        // have stored nothing; a lost connection is not, and writing again could store twice.
        Err(Error::Statement(sqlx::Error::Database(problem))) if batch.len() > 1 => {
            error!("a batch of {} was refused and is written one by one: {problem}", batch.len());
            for (command, reply) in batch.into_iter().zip(replies) {
                match write(db, now, std::slice::from_ref(&command)).await {
                    Ok(outcomes) => deliver(vec![reply], outcomes, committed),
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

fn deliver(replies: Vec<Reply>, outcomes: Vec<Outcome>, committed: &(impl Fn(u64) + Sync)) {
    let last = outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Committed { last, .. } => Some(*last),
        _ => None,
    });
    if let Some(last) = last.max() {
        committed(last);
    }
    for (reply, outcome) in replies.into_iter().zip(outcomes) {
        // Whoever asked may be gone; the commit stands.
        let _ = reply.send(Ok(outcome));
    }
}

fn fail(reply: Reply, problem: Error) {
    let _ = reply.send(Err(problem.into()));
}

async fn write(db: &Db, now: DateTime<Utc>, batch: &[Prepared]) -> Result<Vec<Outcome>, Error> {
    match db {
        Db::Postgres(pool) => postgres::append(pool, now, batch).await,
        Db::Sqlite { write, .. } => sqlite::append(write, now, batch).await,
    }
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
