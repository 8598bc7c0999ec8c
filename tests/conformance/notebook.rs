//! The aggregate that the suite keeps its log with, and the appends that it is tried with.

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use eventstore::{
    Append, Claim, ClaimChange, Context, EventStore, ExecuteError, Execution, Idempotency, NewEvent, Receipt,
    StreamAppend, StreamId,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Lines are written into it until someone closes it.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Notebook {
    pub lines: Vec<String>,
    pub authors: Vec<Value>,
    pub closed: bool,
    /// How many events this very value has seen: what a snapshot saves.
    #[serde(skip)]
    pub folded: usize,
}

#[derive(Debug, Clone)]
pub enum Command {
    Write(String),
    Sign(Value),
    Close,
    Reopen,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Event {
    Written { line: String },
    Signed { author: Value },
    Closed,
    Reopened,
}

#[derive(Debug, PartialEq, thiserror::Error)]
#[error("this notebook is closed")]
pub struct Closed;

impl Notebook {
    fn decide(&self, command: Command) -> Result<Vec<Event>, Closed> {
        Ok(match (self.closed, command) {
            (false, Command::Write(line)) => vec![Event::Written { line }],
            (false, Command::Sign(author)) => vec![Event::Signed { author }],
            (false, Command::Close) => vec![Event::Closed],
            (true, Command::Reopen) => vec![Event::Reopened],
            (true, Command::Close) | (false, Command::Reopen) => vec![],
            (true, _) => return Err(Closed),
        })
    }
}

impl Aggregate for Notebook {
    const TYPE: &'static str = "notebook";
    type Command = Command;
    type Event = Event;
    type Error = Closed;
    type Services = ();

    async fn handle(&mut self, command: Command, (): &(), sink: &EventSink<Self>) -> Result<(), Closed> {
        for event in self.decide(command)? {
            sink.write(event, self).await;
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) {
        self.folded += 1;
        match event {
            Event::Written { line } => self.lines.push(line),
            Event::Signed { author } => self.authors.push(author),
            Event::Closed => self.closed = true,
            Event::Reopened => self.closed = false,
        }
    }
}

impl DomainEvent for Event {
    fn event_type(&self) -> String {
        let name = match self {
            Self::Written { .. } => "written",
            Self::Signed { .. } => "signed",
            Self::Closed => "closed",
            Self::Reopened => "reopened",
        };
        format!("notebook.{name}")
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

pub type Done = Result<Receipt<Notebook>, ExecuteError<Closed>>;

/// Runs one command for the system itself.
pub async fn run(store: &EventStore, id: &str, command: Command) -> Done {
    store.execute(Execution::new(id, command, &Context::system("suite"))).await
}

pub async fn write(store: &EventStore, id: &str, line: &str) -> Receipt<Notebook> {
    let done = run(store, id, Command::Write(line.to_owned())).await;
    done.unwrap_or_else(|problem| panic!("{line} is not written: {problem}"))
}

/// Personal data of `subject` as a writer gives it.
pub fn personal(subject: &str, value: &str) -> Value {
    json!({"$personal": {"subject": subject, "value": value}})
}

pub fn line(text: &str) -> NewEvent {
    event(&Event::Written { line: text.to_owned() })
}

pub fn event(event: &Event) -> NewEvent {
    let payload = serde_json::to_value(event).expect("an event of the suite is JSON");
    NewEvent { event_type: event.event_type(), schema_version: 1, payload }
}

/// `events` for one stream that is at version `expected`.
pub fn part(id: &str, expected: u64, events: impl IntoIterator<Item = NewEvent>) -> StreamAppend {
    StreamAppend {
        stream: StreamId { kind: Notebook::TYPE, id: id.to_owned() },
        tenant: "org_1".to_owned(),
        expected_version: expected,
        events: events.into_iter().collect(),
    }
}

pub fn append(streams: impl IntoIterator<Item = StreamAppend>) -> Append {
    let streams = streams.into_iter().collect();
    Append { streams, context: Context::system("suite"), claims: Vec::new(), idempotency: None }
}

/// One line for one stream that is at version `expected`.
pub fn one(id: &str, expected: u64) -> Append {
    append([part(id, expected, [line("a line")])])
}

pub fn claiming(claims: impl IntoIterator<Item = ClaimChange>, append: Append) -> Append {
    Append { claims: claims.into_iter().collect(), ..append }
}

pub fn keyed(key: &str, fingerprint: &str, append: Append) -> Append {
    Append { idempotency: idempotency(key, fingerprint), ..append }
}

pub fn idempotency(key: &str, fingerprint: &str) -> Option<Idempotency> {
    Some(Idempotency { key: key.to_owned(), fingerprint: fingerprint.to_owned() })
}

pub fn title(value: &str) -> Claim {
    Claim { kind: "title", value: value.to_owned(), personal: false }
}

pub fn take(claim: Claim, owner: &str) -> ClaimChange {
    ClaimChange::Take(claim, owner.to_owned())
}

pub fn release(claim: Claim, owner: &str) -> ClaimChange {
    ClaimChange::Release(claim, owner.to_owned())
}
