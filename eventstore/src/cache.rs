//! Aggregates in memory, kept fresh by the tail: a state counts only while no later event of its stream was seen.

use std::any::Any;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use moka::sync::Cache as Bounded;

type Key = (&'static str, String);
type State = Arc<dyn Any + Send + Sync>;

/// A stream's place in the cache. It is taken before the stream is read, so that an event which the tail sees
/// meanwhile is not missed.
#[derive(Default)]
pub(crate) struct Slot {
    seen: AtomicU64,
    state: Mutex<Option<(u64, State)>>,
    turn: tokio::sync::Mutex<()>,
}

impl Slot {
    /// The state, if it is the latest that this node knows of.
    pub(crate) fn fresh<T: Send + Sync + 'static>(&self) -> Option<(u64, Arc<T>)> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (version, state) = state.as_ref()?;
        let fresh = *version >= self.seen.load(Ordering::Acquire);
        fresh.then(|| state.clone().downcast().ok().map(|state| (*version, state))).flatten()
    }

    /// Waits until no other command of this node is changing the stream.
    pub(crate) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Keeps a state unless a later one is there.
    pub(crate) fn keep<T: Send + Sync + 'static>(&self, version: u64, state: Arc<T>) {
        let mut kept = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().is_none_or(|(known, _)| *known <= version) {
            *kept = Some((version, state));
        }
    }

    fn saw(&self, version: u64) {
        self.seen.fetch_max(version, Ordering::AcqRel);
    }
}

/// A bounded number of slots.
pub(crate) struct Cache(Bounded<Key, Arc<Slot>>);

impl Cache {
    pub(crate) fn new(capacity: u64) -> Self {
        Self(Bounded::new(capacity))
    }

    pub(crate) fn slot(&self, kind: &'static str, id: &str) -> Arc<Slot> {
        self.0.get_with((kind, id.to_owned()), Arc::default)
    }

    /// Tells the cache about an event that was read from the log.
    pub(crate) fn saw(&self, kind: &'static str, id: &str, version: u64) {
        if let Some(slot) = self.0.get(&(kind, id.to_owned())) {
            slot.saw(version);
        }
    }
}
