//! The store: opening it, loading an aggregate, appending.

use std::sync::Arc;

use aws_lc_rs::digest;
use cqrs_es::Aggregate;
use database::Db;
use tokio::sync::OnceCell;
use tracing::warn;
use uuid::Uuid;

use crate::appender::{
    Append, Appender, Claim, ClaimChange, Outcome, Prepared, PreparedClaim, PreparedEvent, PreparedStream,
};
use crate::cache::{Cache, Slot};
use crate::keys::MasterKey;
use crate::personal::{Personal, Unopened};
use crate::tail::{EventRow, Seen};
use crate::{Clock, Recorded, StoreError, Tail, Vault};

/// A stream with more events than this since its snapshot gets a new one.
const SNAPSHOT_EVERY: usize = 200;

/// The log of one instance; cheap to clone.
#[derive(Clone)]
pub struct EventStore(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) db: Db,
    pub(crate) clock: Clock,
    personal: Arc<Personal>,
    vault: Vault,
    appender: Appender,
    tail: Tail,
    cache: Arc<Cache>,
    fingerprint: OnceCell<String>,
}

/// An aggregate as of its latest event.
pub struct Loaded<A> {
    /// The state; `Default` if nothing ever happened to it.
    pub state: Arc<A>,
    /// The number of its events.
    pub version: u64,
    /// Whose it is; `None` if nothing ever happened to it.
    pub tenant: Option<String>,
    pub(crate) from_log: bool,
}

impl<A: Default> Loaded<A> {
    /// What an aggregate is before its first event.
    pub(crate) fn guessed_new() -> Self {
        Self { state: Arc::default(), version: 0, tenant: None, from_log: false }
    }
}

/// What the cache keeps of a stream.
pub(crate) struct Kept<A> {
    pub(crate) state: Arc<A>,
    pub(crate) tenant: String,
}

/// A stream's head, with its snapshot if it has one.
#[derive(sqlx::FromRow)]
struct StartRow {
    tenant: String,
    head: i64,
    version: Option<i64>,
    fingerprint: Option<String>,
    state: Option<String>,
}

/// Where folding a stream starts.
struct Start<A> {
    tenant: String,
    head: u64,
    version: u64,
    state: A,
}

impl EventStore {
    /// Opens the log in `db`; `kinds` are the aggregate types that this node loads.
    ///
    /// # Errors
    /// When the database fails or the master key is not the one that the instance was started with.
    pub async fn open(db: Db, master: MasterKey, clock: Clock, kinds: &[&'static str]) -> Result<Self, StoreError> {
        let master = Arc::new(master);
        let vault = Vault::new(db.clone(), master.clone(), clock.clone());
        let personal = Arc::new(Personal::open(db.clone(), master, &vault).await?);
        let head: Option<(i64,)> = db.fetch_optional("SELECT position FROM ledger WHERE id = 1", ()).await?;
        let head = head.map_or(0, |(position,)| position.cast_unsigned());
        let cache = Arc::new(Cache::new(100_000));
        let seen = Seen { kinds: kinds.to_vec(), cache: cache.clone() };
        let tail = Tail::start(db.clone(), personal.clone(), seen, head);
        let readers = tail.clone();
        let appender = Appender::start(db.clone(), clock.clone(), move |events| readers.committed(events));
        let fingerprint = OnceCell::new();
        Ok(Self(Arc::new(Inner { db, clock, personal, vault, appender, tail, cache, fingerprint })))
    }

    /// The log's end, for readers.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.0.tail
    }

    /// The vault of secrets that are not facts.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.0.vault
    }

    /// The clock that stamps events.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// Which stream holds a unique value.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn owner_of(&self, claim: &Claim) -> Result<Option<String>, StoreError> {
        let row: Option<(String,)> = self
            .0
            .db
            .fetch_optional(
                "SELECT owner FROM claims WHERE kind = $1 AND value = $2",
                (claim.kind, self.stored_value(claim)),
            )
            .await?;
        Ok(row.map(|(owner,)| owner))
    }

    /// Appends all of it or nothing, and answers when that is durable.
    ///
    /// # Errors
    /// When the database fails; a conflict or a taken claim is an [`Outcome`].
    pub async fn append(&self, mut append: Append) -> Result<Outcome, StoreError> {
        append.streams.retain(|part| !part.events.is_empty());
        if append.streams.is_empty() {
            return Err(StoreError::NoEvents);
        }
        let claims = append.claims.clone();
        let prepared = self.prepare(append).await?;
        if prepared.new_keys.is_empty() {
            return self.0.appender.append(prepared).await;
        }
        let again = prepared.as_given(claims);
        match self.0.appender.append(prepared).await? {
            // Perhaps another command about the same new person was first: then the key is there now.
            Outcome::Conflict { .. } => self.0.appender.append(self.prepare(again).await?).await,
            outcome => Ok(outcome),
        }
    }

    async fn prepare(&self, append: Append) -> Result<Prepared, StoreError> {
        let mut new_keys = Vec::new();
        let mut streams = Vec::with_capacity(append.streams.len());
        for part in append.streams {
            let mut events = Vec::with_capacity(part.events.len());
            for event in part.events {
                let (payload, readable) = self.0.personal.seal(event.payload, &mut new_keys).await?;
                events.push(PreparedEvent {
                    event_id: Uuid::now_v7().to_string(),
                    event_type: event.event_type,
                    schema_version: event.schema_version,
                    payload,
                    readable,
                });
            }
            let (stream, tenant, expected_version) = (part.stream, part.tenant, part.expected_version);
            streams.push(PreparedStream { stream, tenant, expected_version, events });
        }
        let (context, readable_context) = self.0.personal.seal_context(append.context, &mut new_keys).await?;
        let claims = append.claims.into_iter().map(|change| self.prepare_claim(change)).collect();
        Ok(Prepared { streams, context, readable_context, claims, idempotency: append.idempotency, new_keys })
    }

    fn prepare_claim(&self, change: ClaimChange) -> PreparedClaim {
        let (claim, owner, take) = match change {
            ClaimChange::Take(claim, owner) => (claim, owner, true),
            ClaimChange::Release(claim, owner) => (claim, owner, false),
        };
        PreparedClaim { kind: claim.kind, value: self.stored_value(&claim), owner, take }
    }

    fn stored_value(&self, claim: &Claim) -> String {
        if claim.personal { self.0.personal.lookup_hash(&claim.value) } else { claim.value.clone() }
    }

    /// Loads an aggregate: from memory if this node has its latest state, else from the log.
    ///
    /// # Errors
    /// When the database fails or an event cannot be read.
    pub async fn load<A>(&self, id: &str) -> Result<Loaded<A>, StoreError>
    where
        A: Aggregate + 'static,
    {
        match remembered(&self.slot::<A>(id)) {
            Some(loaded) => Ok(loaded),
            None => self.load_fresh(id).await,
        }
    }

    /// Loads an aggregate to ask whether something holds: a no from memory is asked again of the log, because
    /// another node may have made it a yes.
    ///
    /// # Errors
    /// When the database fails or an event cannot be read.
    pub async fn load_where<A>(&self, id: &str, holds: impl Fn(&A) -> bool) -> Result<Option<Loaded<A>>, StoreError>
    where
        A: Aggregate + 'static,
    {
        let mut loaded = self.load::<A>(id).await?;
        if !loaded.from_log && !holds(&loaded.state) {
            loaded = self.load_fresh(id).await?;
        }
        Ok(holds(&loaded.state).then_some(loaded))
    }

    /// Loads an aggregate from the log, whatever is in memory.
    ///
    /// # Errors
    /// When the database fails or an event cannot be read.
    pub async fn load_fresh<A>(&self, id: &str) -> Result<Loaded<A>, StoreError>
    where
        A: Aggregate + 'static,
    {
        let slot = self.slot::<A>(id);
        let Some(Start { tenant, head, mut version, mut state }) = self.start::<A>(id).await? else {
            // That nothing happened is worth remembering too, e.g. that nobody took a consent back.
            slot.keep(0, Arc::new(Kept { state: Arc::new(A::default()), tenant: String::new() }));
            return Ok(Loaded { from_log: true, ..Loaded::guessed_new() });
        };
        let events = self.events_of(A::TYPE, id, version).await?;
        for event in &events {
            if event.version != version + 1 {
                return Err(StoreError::Unreadable {
                    position: event.position,
                    problem: format!("it is version {} of {} {id}, after version {version}", event.version, A::TYPE),
                });
            }
            state.apply(decode(event)?);
            version = event.version;
        }
        if version < head {
            return Err(StoreError::Shortened { stream: format!("{} {id}", A::TYPE), head, found: version });
        }
        let state = Arc::new(state);
        slot.keep(version, Arc::new(Kept { state: state.clone(), tenant: tenant.clone() }));
        if events.len() > SNAPSHOT_EVERY {
            self.write_snapshot_later(id.to_owned(), version, state.clone());
        }
        Ok(Loaded { state, version, tenant: Some(tenant), from_log: true })
    }

    /// All events of a stream after a version, in order.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn events_of(&self, kind: &str, id: &str, after: u64) -> Result<Vec<Recorded>, StoreError> {
        let rows: Vec<EventRow> = self
            .0
            .db
            .fetch_all(
                "SELECT position, tenant, stream_type, stream_id, version, event_id, event_type, schema_version,
                        payload, context, recorded_at
                 FROM events WHERE stream_type = $1 AND stream_id = $2 AND version > $3 ORDER BY version",
                (kind, id, after.cast_signed()),
            )
            .await?;
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            events.push(row.open(&self.0.personal).await?);
        }
        Ok(events)
    }

    pub(crate) fn slot<A: Aggregate>(&self, id: &str) -> Arc<Slot> {
        self.0.cache.slot(A::TYPE, id)
    }

    /// Where to start folding a stream: at its snapshot, if this program wrote one.
    async fn start<A: Aggregate>(&self, id: &str) -> Result<Option<Start<A>>, StoreError> {
        let row: Option<StartRow> = self
            .0
            .db
            .fetch_optional(
                "SELECT h.tenant, h.version AS head, s.version, s.fingerprint, s.state FROM streams h
                 LEFT JOIN snapshots s ON s.stream_type = h.stream_type AND s.stream_id = h.stream_id
                 WHERE h.stream_type = $1 AND h.stream_id = $2",
                (A::TYPE, id),
            )
            .await?;
        let Some(StartRow { tenant, head, version, fingerprint, state }) = row else { return Ok(None) };
        let (version, state) = match (version, fingerprint, state) {
            (Some(version), Some(fingerprint), Some(sealed)) if fingerprint == self.fingerprint().await => {
                match self.0.personal.open_text(&sealed).await {
                    Ok(state) => serde_json::from_value(state).map_or((0, None), |state| (version, Some(state))),
                    Err(Unopened::Damaged(_)) => (0, None),
                    Err(Unopened::Failed(error)) => return Err(error),
                }
            }
            _ => (0, None),
        };
        let (version, head) = (version.cast_unsigned(), head.cast_unsigned());
        Ok(Some(Start { tenant, head, version, state: state.unwrap_or_default() }))
    }

    fn write_snapshot_later<A: Aggregate + 'static>(&self, id: String, version: u64, state: Arc<A>) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(problem) = store.write_snapshot(&id, version, &*state).await {
                warn!("the snapshot of {} {id} was not written: {problem}", A::TYPE);
            }
        });
    }

    async fn write_snapshot<A: Aggregate>(&self, id: &str, version: u64, state: &A) -> Result<(), StoreError> {
        // Sealed per person like events, so that an erasure reaches it too.
        let mut new_keys = Vec::new();
        let (sealed, _) = self.0.personal.seal(serde_json::to_value(state)?, &mut new_keys).await?;
        if !new_keys.is_empty() {
            return Ok(());
        }
        let fingerprint = self.fingerprint().await;
        self.0
            .db
            .execute(
                "INSERT INTO snapshots (stream_type, stream_id, version, fingerprint, state) VALUES ($1, $2, $3, $4, $5)
                 ON CONFLICT (stream_type, stream_id) DO UPDATE
                 SET version = excluded.version, fingerprint = excluded.fingerprint, state = excluded.state
                 WHERE snapshots.version < excluded.version OR snapshots.fingerprint <> excluded.fingerprint",
                (A::TYPE, id, version.cast_signed(), fingerprint, sealed),
            )
            .await?;
        Ok(())
    }

    /// Another program may shape its states differently, so a snapshot counts only for the program that wrote it.
    async fn fingerprint(&self) -> &str {
        self.0
            .fingerprint
            .get_or_init(|| async {
                let program = tokio::task::spawn_blocking(|| std::fs::read(std::env::current_exe()?)).await;
                match program {
                    Ok(Ok(program)) => hex(digest::digest(&digest::SHA256, &program).as_ref()),
                    // Unreadable: never the same as any other.
                    _ => Uuid::now_v7().to_string(),
                }
            })
            .await
    }
}

/// The aggregate, if this node has its latest state in memory.
pub(crate) fn remembered<A: Aggregate + 'static>(slot: &Slot) -> Option<Loaded<A>> {
    let (version, kept) = slot.fresh::<Kept<A>>()?;
    let tenant = (version > 0).then(|| kept.tenant.clone());
    Some(Loaded { state: kept.state.clone(), version, tenant, from_log: false })
}

pub(crate) fn decode<E: serde::de::DeserializeOwned>(event: &Recorded) -> Result<E, StoreError> {
    serde::Deserialize::deserialize(event.payload()?).map_err(|problem: serde_json::Error| StoreError::Unreadable {
        position: event.position,
        problem: format!("it is no {} that this version knows ({problem}); upgrade optare", event.event_type),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
