//! Reading the log in order: pages of it, and the end of it as it grows.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use database::Db;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, warn};
use uuid::Uuid;

use crate::cache::Cache;
use crate::personal::Personal;
use crate::{Recorded, StoreError};

/// So many of the latest events stay in memory, shared by all who follow.
const RECENT: usize = 4_096;
/// So many events are read at once.
const PAGE: usize = 1_000;
/// So many events that this node committed itself may wait for the tail; beyond them it reads from the database.
const OWN: usize = 8_192;
/// How often a node looks for what other nodes appended, when nobody told it.
const POLL: Duration = Duration::from_millis(250);
/// Notices to the other nodes are at least so far apart: each one takes a lock that all of PostgreSQL shares.
const NOTICE_GAP: Duration = Duration::from_millis(10);
const CHANNEL: &str = "optare_log";

/// The log as readers see it; cheap to clone.
#[derive(Clone)]
pub struct Tail(Arc<Inner>);

struct Inner {
    db: Db,
    personal: Arc<Personal>,
    head: watch::Sender<u64>,
    recent: RwLock<VecDeque<Arc<Recorded>>>,
    /// What this node committed and need not read back, in order.
    own: Mutex<VecDeque<EventRow>>,
    wake: Arc<Wake>,
    /// For nodes beside this one; only PostgreSQL has any.
    notice: Arc<Notify>,
    ended: CancellationToken,
    _ends_with_the_last_reader: DropGuard,
}

/// Wakes the tail.
#[derive(Default)]
struct Wake {
    notify: Notify,
    /// Set when another node has appended: what this node committed itself is then not all there is.
    others: AtomicBool,
}

#[derive(sqlx::FromRow)]
pub(crate) struct EventRow {
    pub(crate) position: i64,
    pub(crate) tenant: String,
    pub(crate) stream_type: String,
    pub(crate) stream_id: String,
    pub(crate) version: i64,
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) schema_version: i64,
    pub(crate) payload: String,
    pub(crate) context: String,
    pub(crate) recorded_at: DateTime<Utc>,
}

impl Tail {
    pub(crate) fn new(db: Db, personal: Arc<Personal>, head: u64) -> Self {
        let ended = CancellationToken::new();
        Self(Arc::new(Inner {
            db,
            personal,
            head: watch::Sender::new(head),
            recent: RwLock::default(),
            own: Mutex::default(),
            wake: Arc::default(),
            notice: Arc::default(),
            _ends_with_the_last_reader: ended.clone().drop_guard(),
            ended,
        }))
    }

    /// Follows the log as long as someone reads it and the database is open, and tells the cache of aggregates
    /// what it sees.
    pub(crate) fn start(&self, cache: Arc<Cache>, kinds: HashMap<&'static str, ()>) {
        let inner = &self.0;
        tokio::spawn(follow(Arc::downgrade(inner), inner.wake.clone(), inner.ended.clone(), cache, kinds));
        if matches!(self.0.db, Db::Postgres(_)) {
            let node = Uuid::now_v7().to_string();
            let (db, ended) = (inner.db.clone(), inner.ended.clone());
            tokio::spawn(tell_others(db.clone(), inner.notice.clone(), node.clone(), ended.clone()));
            tokio::spawn(listen_to_others(db, inner.wake.clone(), node, ended));
        }
    }

    /// Called with what this node has committed.
    pub(crate) fn committed(&self, rows: Vec<EventRow>) {
        let mut own = self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
        if own.len() + rows.len() <= OWN {
            own.extend(rows);
        }
        drop(own);
        self.0.wake.notify.notify_one();
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

    /// Reads what is new; `false` when there is nothing more that this node knows of.
    async fn advance(&self, cache: &Cache, kinds: &HashMap<&'static str, ()>) -> Result<bool, StoreError> {
        let head = self.head();
        let own = self.own_after(head);
        let (page, more) = if own.is_empty() {
            self.0.wake.others.store(false, Ordering::Release);
            let page = self.read(head, PAGE).await?;
            let more = !page.is_empty();
            (page, more)
        } else {
            (self.open(own).await, self.0.wake.others.load(Ordering::Acquire))
        };
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
        Ok(more || !self.0.own.lock().unwrap_or_else(PoisonError::into_inner).is_empty())
    }

    /// What this node committed right after `head`; nothing when another node was first.
    fn own_after(&self, head: u64) -> Vec<EventRow> {
        let mut own = self.0.own.lock().unwrap_or_else(PoisonError::into_inner);
        while own.front().is_some_and(|row| row.position.cast_unsigned() <= head) {
            own.pop_front();
        }
        let follows = (head + 1..).zip(own.iter()).take(PAGE);
        let count = follows.take_while(|(expected, row)| row.position.cast_unsigned() == *expected).count();
        own.drain(..count).collect()
    }

    async fn open(&self, rows: Vec<EventRow>) -> Vec<Arc<Recorded>> {
        let mut page = Vec::with_capacity(rows.len());
        for row in rows {
            page.push(Arc::new(row.open(&self.0.personal).await));
        }
        page
    }
}

async fn follow(
    inner: Weak<Inner>,
    wake: Arc<Wake>,
    ended: CancellationToken,
    cache: Arc<Cache>,
    kinds: HashMap<&'static str, ()>,
) {
    while let Some(tail) = inner.upgrade().map(Tail) {
        let pause = match tail.advance(&cache, &kinds).await {
            Ok(true) => continue,
            Ok(false) => wake.notify.notified(),
            Err(_) if tail.0.db.is_closed() => return,
            Err(problem) => {
                error!("reading the log failed: {problem}");
                wake.notify.notified()
            }
        };
        drop(tail);
        tokio::select! {
            () = pause => {}
            () = tokio::time::sleep(POLL) => {}
            () = ended.cancelled() => return,
        }
    }
}

/// Never inside the append's transaction: measured, that costs a third of the throughput.
async fn tell_others(db: Db, notice: Arc<Notify>, node: String, ended: CancellationToken) {
    loop {
        tokio::select! {
            () = notice.notified() => {}
            () = ended.cancelled() => return,
        }
        // A notice may be lost, so it need not wait for the disk.
        let sql = "SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)";
        match db.execute(sql, (CHANNEL, node.as_str())).await {
            Ok(_) => {}
            Err(_) if db.is_closed() => return,
            Err(problem) => warn!("telling the other nodes failed, they will look by themselves: {problem}"),
        }
        tokio::time::sleep(NOTICE_GAP).await;
    }
}

async fn listen_to_others(db: Db, wake: Arc<Wake>, node: String, ended: CancellationToken) {
    let Db::Postgres(pool) = &db else { return };
    let listening = async {
        while !pool.is_closed() {
            match PgListener::connect_with(pool).await {
                Ok(mut listener) => {
                    if listener.listen(CHANNEL).await.is_ok() {
                        while let Ok(notice) = listener.recv().await {
                            if notice.payload() != node {
                                wake.others.store(true, Ordering::Release);
                                wake.notify.notify_one();
                            }
                        }
                    }
                }
                Err(_) if pool.is_closed() => return,
                Err(problem) => warn!("listening to the other nodes failed, trying again: {problem}"),
            }
            tokio::time::sleep(POLL).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = ended.cancelled() => {}
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
