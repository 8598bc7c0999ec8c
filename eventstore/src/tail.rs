//! Reading the log in order: pages of it, and the end of it as it grows.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, Utc};
use database::Db;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use crate::cache::Cache;
use crate::personal::Personal;
use crate::{Recorded, StoreError};

/// So many of the latest events stay in memory, shared by all who follow.
const RECENT: usize = 4_096;
/// How often a node looks for what other nodes appended, when nobody told it.
const POLL: Duration = Duration::from_millis(250);
/// Notices to the other nodes are at least so far apart: each one takes a lock that all of PostgreSQL shares.
const NOTICE_GAP: Duration = Duration::from_millis(5);
const CHANNEL: &str = "optare_log";

/// The log as readers see it; cheap to clone.
#[derive(Clone)]
pub struct Tail(Arc<Inner>);

struct Inner {
    db: Db,
    personal: Arc<Personal>,
    head: watch::Sender<u64>,
    recent: RwLock<VecDeque<Arc<Recorded>>>,
    wake: Notify,
    /// For nodes beside this one; only PostgreSQL has any.
    notice: Notify,
}

#[derive(sqlx::FromRow)]
pub(crate) struct EventRow {
    position: i64,
    tenant: String,
    stream_type: String,
    stream_id: String,
    version: i64,
    event_id: String,
    event_type: String,
    schema_version: i64,
    payload: String,
    context: String,
    recorded_at: DateTime<Utc>,
}

impl Tail {
    pub(crate) fn new(db: Db, personal: Arc<Personal>, head: u64) -> Self {
        Self(Arc::new(Inner {
            db,
            personal,
            head: watch::Sender::new(head),
            recent: RwLock::default(),
            wake: Notify::new(),
            notice: Notify::new(),
        }))
    }

    /// Follows the log until the runtime ends, and tells the cache of aggregates what it sees.
    pub(crate) fn start(&self, cache: Arc<Cache>, kinds: HashMap<&'static str, ()>) {
        let tail = self.clone();
        tokio::spawn(async move {
            loop {
                match tail.advance(&cache, &kinds).await {
                    Ok(true) => {}
                    Ok(false) => tokio::select! {
                        () = tail.0.wake.notified() => {}
                        () = tokio::time::sleep(POLL) => {}
                    },
                    Err(problem) => {
                        error!("reading the log failed: {problem}");
                        tokio::time::sleep(POLL).await;
                    }
                }
            }
        });
        if matches!(self.0.db, Db::Postgres(_)) {
            tokio::spawn(self.clone().tell_others());
            tokio::spawn(self.clone().listen_to_others());
        }
    }

    /// Called when this node has committed something.
    pub(crate) fn wake(&self) {
        self.0.wake.notify_one();
        self.0.notice.notify_one();
    }

    /// The last position that this node has read.
    #[must_use]
    pub fn head(&self) -> u64 {
        *self.0.head.borrow()
    }

    /// Waits until this node has read something after `position`.
    pub async fn after(&self, position: u64) {
        // The sender lives as long as this clone of it.
        let _ = self.0.head.subscribe().wait_for(|head| *head > position).await;
    }

    /// Up to `limit` events after `position`, in order.
    ///
    /// # Errors
    /// When the database fails or a position is missing.
    pub async fn page(&self, position: u64, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        if let Some(page) = self.recent_after(position, limit) {
            return Ok(page);
        }
        self.read(position, limit).await
    }

    fn recent_after(&self, position: u64, limit: usize) -> Option<Vec<Arc<Recorded>>> {
        let recent = self.0.recent.read().unwrap_or_else(PoisonError::into_inner);
        let first = recent.front()?.position;
        let skip = usize::try_from((position + 1).checked_sub(first)?).ok()?;
        Some(recent.iter().skip(skip).take(limit).cloned().collect())
    }

    pub(crate) async fn read(&self, position: u64, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        let rows: Vec<EventRow> = self
            .0
            .db
            .fetch_all(
                "SELECT position, tenant, stream_type, stream_id, version, event_id, event_type, schema_version,
                        payload, context, recorded_at
                 FROM events WHERE position > $1 ORDER BY position LIMIT $2",
                (position.cast_signed(), limit.cast_signed() as i64),
            )
            .await?;
        let mut page = Vec::with_capacity(rows.len());
        for (expected, row) in (position + 1..).zip(rows) {
            if row.position.cast_unsigned() != expected {
                return Err(StoreError::Hole { position: expected });
            }
            page.push(Arc::new(row.open(&self.0.personal).await));
        }
        Ok(page)
    }

    /// Reads what is new; `false` when there was nothing.
    async fn advance(&self, cache: &Cache, kinds: &HashMap<&'static str, ()>) -> Result<bool, StoreError> {
        let page = self.read(self.head(), 1_000).await?;
        let Some(last) = page.last().map(|event| event.position) else { return Ok(false) };
        for event in &page {
            if let Some((kind, ())) = kinds.get_key_value(event.stream_type.as_str()) {
                cache.saw(kind, &event.stream_id, event.version);
            }
        }
        {
            let mut recent = self.0.recent.write().unwrap_or_else(PoisonError::into_inner);
            recent.extend(page);
            let surplus = recent.len().saturating_sub(RECENT);
            recent.drain(..surplus);
        }
        self.0.head.send_replace(last);
        Ok(true)
    }

    /// Never inside the append's transaction: measured, that costs a third of the throughput.
    async fn tell_others(self) {
        loop {
            self.0.notice.notified().await;
            if let Err(problem) = self.0.db.execute("SELECT pg_notify($1, '')", (CHANNEL,)).await {
                warn!("telling the other nodes failed, they will look by themselves: {problem}");
            }
            tokio::time::sleep(NOTICE_GAP).await;
        }
    }

    async fn listen_to_others(self) {
        let Db::Postgres(pool) = &self.0.db else { return };
        loop {
            match PgListener::connect_with(pool).await {
                Ok(mut listener) => {
                    if listener.listen(CHANNEL).await.is_ok() {
                        while listener.recv().await.is_ok() {
                            self.0.wake.notify_one();
                        }
                    }
                }
                Err(problem) => warn!("listening to the other nodes failed, trying again: {problem}"),
            }
            if pool.is_closed() {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl EventRow {
    pub(crate) async fn open(self, personal: &Personal) -> Recorded {
        let (context, payload) = match personal.open_context(&self.context).await {
            Ok(context) => (context, personal.open_text(&self.payload).await),
            Err(problem) => (crate::Context::default(), Err(problem)),
        };
        Recorded {
            position: self.position.cast_unsigned(),
            tenant: self.tenant,
            stream_type: self.stream_type,
            stream_id: self.stream_id,
            version: self.version.cast_unsigned(),
            event_id: self.event_id,
            event_type: self.event_type,
            schema_version: u32::try_from(self.schema_version).unwrap_or(u32::MAX),
            recorded_at: self.recorded_at,
            context,
            payload,
        }
    }
}
