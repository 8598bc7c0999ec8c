//! Running a command: load, decide, append; again on conflict; answered when durable.

use std::sync::Arc;
use std::time::Duration;

use cqrs_es::event_sink::EventSink;
use cqrs_es::{Aggregate, DomainEvent};
use uuid::Uuid;

use crate::appender::{Append, ClaimChange, Idempotency, NewEvent, Outcome, StreamAppend};
use crate::store::{Kept, decode, remembered};
use crate::{Context, EventStore, ExecuteError, INSTANCE_TENANT, Loaded, StoreError, StreamId};

/// So often is a command decided again when others were faster.
const TRIES: u32 = 12;

/// A command on its way to an aggregate.
pub struct Execution<'a, A: Aggregate> {
    id: &'a str,
    command: A::Command,
    context: &'a Context,
    tenant: Option<String>,
    claims: Vec<ClaimChange>,
    idempotency: Option<Idempotency>,
}

impl<'a, A: Aggregate> Execution<'a, A> {
    /// `command` for the aggregate `id`, in `context`.
    pub fn new(id: &'a str, command: A::Command, context: &'a Context) -> Self {
        Self { id, command, context, tenant: None, claims: Vec::new(), idempotency: None }
    }

    /// Whose stream it becomes, when it is new; else the context's tenant, else the instance.
    #[must_use]
    pub fn in_tenant(mut self, tenant: impl Into<String>) -> Self {
        self.tenant = Some(tenant.into());
        self
    }

    /// Unique values to take or give up with its events.
    #[must_use]
    pub fn claiming(mut self, claims: impl IntoIterator<Item = ClaimChange>) -> Self {
        self.claims.extend(claims);
        self
    }

    /// What makes it safe to send twice.
    #[must_use]
    pub fn idempotent(mut self, idempotency: Option<Idempotency>) -> Self {
        self.idempotency = idempotency;
        self
    }
}

/// What a command did, durably.
#[derive(Debug)]
pub struct Receipt<A: Aggregate> {
    /// The aggregate that it happened to: for a repeated request, the one of the first time.
    pub stream_id: String,
    /// The aggregate's version now.
    pub version: u64,
    /// A read model that has seen this position shows the effect.
    pub position: u64,
    /// What happened; empty when there was nothing to do.
    pub events: Vec<A::Event>,
    /// The aggregate now.
    pub state: Arc<A>,
    /// Whether the same request was committed before, so that nothing happened now.
    pub replayed: bool,
}

/// A decided change of one aggregate, to be committed together with others.
#[derive(Debug)]
pub struct Part(StreamAppend);

type Executed<A> = Result<Receipt<A>, ExecuteError<<A as Aggregate>::Error>>;

impl EventStore {
    /// Runs a command and answers when its events are durable.
    ///
    /// # Errors
    /// When a rule refuses it, a claim is taken, the stream is another tenant's, or the log fails.
    pub async fn execute<A>(&self, execution: Execution<'_, A>) -> Executed<A>
    where
        A: Aggregate<Services = ()> + Clone + 'static,
        A::Command: Clone,
    {
        // Taken before anything is read, so that an event which the tail sees meanwhile is not missed.
        let slot = self.slot::<A>(execution.id);
        // Those who change the same stream on this node take turns, rather than all but one of them in vain.
        let _turn = slot.turn().await;
        // A stream that is not in memory is usually a new one, so that is tried first: the append finds out.
        let mut loaded = remembered(&slot).unwrap_or_else(Loaded::guessed_new);
        for attempt in 0..TRIES {
            check_tenant(&loaded, execution.context)?;
            let (state, events) = match decide(&loaded, execution.command.clone()).await {
                Ok((state, events)) if !events.is_empty() => (state, events),
                // What memory says may be old: nothing is refused or called done without asking the log.
                _ if !loaded.from_log => {
                    loaded = self.load_fresh(execution.id).await?;
                    continue;
                }
                undecided => {
                    if let Some(done) = self.done_before(&execution).await? {
                        return Ok(done);
                    }
                    let (state, events) = undecided.map_err(ExecuteError::Rejected)?;
                    let (stream_id, version) = (execution.id.to_owned(), loaded.version);
                    let position = self.last_position().await?;
                    return Ok(Receipt {
                        stream_id,
                        version,
                        position,
                        events,
                        state: Arc::new(state),
                        replayed: false,
                    });
                }
            };
            let tenant = loaded.tenant.clone().unwrap_or_else(|| tenant_of_new(&execution));
            let append = Append {
                streams: vec![stream_append::<A>(execution.id, &tenant, loaded.version, &events)?],
                context: execution.context.clone(),
                claims: execution.claims.clone(),
                idempotency: execution.idempotency.clone(),
            };
            match self.append(append).await? {
                Outcome::Committed { last, .. } => {
                    let version = loaded.version + events.len() as u64;
                    let state = Arc::new(state);
                    slot.keep(version, Arc::new(Kept { state: state.clone(), tenant }));
                    let stream_id = execution.id.to_owned();
                    return Ok(Receipt { stream_id, version, position: last, events, state, replayed: false });
                }
                Outcome::AlreadyDone { first, last } => return self.replay(first, last).await,
                Outcome::IdempotencyMismatch => return Err(ExecuteError::IdempotencyMismatch),
                Outcome::ClaimTaken { claim } => return Err(ExecuteError::ClaimTaken(claim)),
                Outcome::Conflict { .. } => {
                    tokio::time::sleep(jitter(attempt)).await;
                    loaded = self.load_fresh(execution.id).await?;
                }
            }
        }
        Err(ExecuteError::Contended(A::TYPE))
    }

    /// Decides a command without committing it, to commit several aggregates together.
    ///
    /// # Errors
    /// When a rule refuses it or the log fails.
    pub async fn decide<A>(&self, id: &str, tenant: &str, command: A::Command) -> Result<Part, ExecuteError<A::Error>>
    where
        A: Aggregate<Services = ()> + Clone + 'static,
    {
        let loaded = self.load_fresh::<A>(id).await?;
        let (_, events) = decide(&loaded, command).await.map_err(ExecuteError::Rejected)?;
        Ok(Part(stream_append::<A>(id, tenant, loaded.version, &events)?))
    }

    /// Commits decided parts: all or none.
    ///
    /// # Errors
    /// When the log fails; a conflict is an [`Outcome`].
    pub async fn commit_together(
        &self,
        parts: Vec<Part>,
        claims: Vec<ClaimChange>,
        context: &Context,
    ) -> Result<Outcome, StoreError> {
        let streams = parts.into_iter().map(|Part(stream)| stream).collect();
        self.append(Append { streams, context: context.clone(), claims, idempotency: None }).await
    }

    /// Where the log ends: whoever has seen it has seen everything that was true when a command did nothing.
    async fn last_position(&self) -> Result<u64, StoreError> {
        let row: Option<(i64,)> = self.0.db.fetch_optional("SELECT position FROM ledger WHERE id = 1", ()).await?;
        Ok(row.map_or(0, |(position,)| position.cast_unsigned()))
    }

    /// A request that was committed before answers as it did then, even if it would be refused now.
    async fn done_before<A>(&self, execution: &Execution<'_, A>) -> Result<Option<Receipt<A>>, ExecuteError<A::Error>>
    where
        A: Aggregate + 'static,
    {
        let Some(given) = &execution.idempotency else { return Ok(None) };
        let sql = "SELECT fingerprint, first_position, last_position FROM idempotency_keys WHERE idempotency_key = $1";
        let row: Option<(String, i64, i64)> = self.0.db.fetch_optional(sql, (given.key.as_str(),)).await?;
        match row {
            None => Ok(None),
            Some((fingerprint, ..)) if fingerprint != given.fingerprint => Err(ExecuteError::IdempotencyMismatch),
            Some((_, first, last)) => self.replay(first.cast_unsigned(), last.cast_unsigned()).await.map(Some),
        }
    }

    async fn replay<A>(&self, first: u64, last: u64) -> Executed<A>
    where
        A: Aggregate + 'static,
    {
        let count = usize::try_from(last - first + 1).unwrap_or(usize::MAX);
        // From the log itself: another node may have committed it a moment ago.
        let page = self.tail().read(first - 1, count).await?;
        let Some(stream_id) = page.first().map(|event| event.stream_id.clone()) else {
            return Err(StoreError::Hole { position: first }.into());
        };
        let events = page.iter().map(|event| decode(event)).collect::<Result<_, _>>()?;
        let loaded = self.load::<A>(&stream_id).await?;
        Ok(Receipt { stream_id, version: loaded.version, position: last, events, state: loaded.state, replayed: true })
    }
}

fn tenant_of_new<A: Aggregate>(execution: &Execution<'_, A>) -> String {
    let given = execution.tenant.as_ref().or(execution.context.tenant.as_ref());
    given.cloned().unwrap_or_else(|| INSTANCE_TENANT.to_owned())
}

fn check_tenant<A: Aggregate>(loaded: &Loaded<A>, context: &Context) -> Result<(), ExecuteError<A::Error>> {
    match (&context.tenant, &loaded.tenant) {
        (Some(allowed), Some(owner)) if allowed != owner => Err(ExecuteError::NotFound(A::TYPE)),
        _ => Ok(()),
    }
}

async fn decide<A>(loaded: &Loaded<A>, command: A::Command) -> Result<(A, Vec<A::Event>), A::Error>
where
    A: Aggregate<Services = ()> + Clone,
{
    let mut state = A::clone(&loaded.state);
    let sink = EventSink::default();
    state.handle(command, &(), &sink).await?;
    Ok((state, sink.collect().await))
}

fn stream_append<A: Aggregate>(
    id: &str,
    tenant: &str,
    expected_version: u64,
    events: &[A::Event],
) -> Result<StreamAppend, StoreError> {
    let events = events.iter().map(|event| {
        Ok(NewEvent {
            event_type: event.event_type(),
            schema_version: event.event_version().parse().unwrap_or(1),
            payload: serde_json::to_value(event)?,
        })
    });
    Ok(StreamAppend {
        stream: StreamId { kind: A::TYPE, id: id.to_owned() },
        tenant: tenant.to_owned(),
        expected_version,
        events: events.collect::<Result<_, StoreError>>()?,
    })
}

/// Grows with the attempts, so that those who collided do not collide again.
fn jitter(attempt: u32) -> Duration {
    let spread = u64::from(Uuid::new_v4().as_bytes()[0]);
    Duration::from_micros((200 << attempt.min(8)) * (spread + 1) / 256)
}
