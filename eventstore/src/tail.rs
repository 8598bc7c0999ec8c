//! Reading the log in order: pages of it, and the end of it as it grows.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock, Weak};
use std::time::Duration;

use chrono::{DateTime, Utc};
use database::Db;
use sqlx::postgres::PgListener;
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{error, warn};
use uuid::Uuid;

use crate::cache::Cache;
use crate::personal::{Personal, Unopened};
use crate::{Recorded, StoreError};

/// So many of the latest events stay in memory, shared by all who follow.
const RECENT: usize = 4_096;
/// So many events are read at once.
const PAGE: usize = 1_000;
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
    seen: Seen,
    head: watch::Sender<u64>,
    recent: RwLock<VecDeque<Arc<Recorded>>>,
    wake: Arc<Notify>,
    /// For nodes beside this one; only PostgreSQL has any.
    notice: Arc<Notify>,
    _ends_the_tasks: DropGuard,
}

/// The aggregates in memory, told of every event before a reader sees it.
pub(crate) struct Seen {
    /// The aggregate types that this node loads.
    pub(crate) kinds: Vec<&'static str>,
    pub(crate) cache: Arc<Cache>,
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
    /// Follows the log after `head` as long as someone reads it and the database is open.
    pub(crate) fn start(db: Db, personal: Arc<Personal>, seen: Seen, head: u64) -> Self {
        let ended = CancellationToken::new();
        let tail = Self(Arc::new(Inner {
            db: db.clone(),
            personal,
            seen,
            head: watch::Sender::new(head),
            recent: RwLock::default(),
            wake: Arc::default(),
            notice: Arc::default(),
            _ends_the_tasks: ended.clone().drop_guard(),
        }));
        let inner = &tail.0;
        tokio::spawn(follow(Arc::downgrade(inner), inner.wake.clone(), ended.clone()));
        if matches!(db, Db::Postgres(_)) {
            let node = Uuid::now_v7().to_string();
            tokio::spawn(tell_others(db.clone(), inner.notice.clone(), node.clone(), ended.clone()));
            tokio::spawn(listen_to_others(db, inner.wake.clone(), node, ended));
        }
        tail
    }

    /// Called with what this node has committed, which it need not read back.
    pub(crate) fn committed(&self, events: Vec<Recorded>) {
        if !self.publish(events.into_iter().map(Arc::new)) {
            self.0.wake.notify_one();
        }
        self.0.notice.notify_one();
    }

    /// Shows readers the events that follow the head, and passes over those before it; `false` when some are
    /// missing in between.
    fn publish(&self, events: impl IntoIterator<Item = Arc<Recorded>>) -> bool {
        let mut recent = self.0.recent.write().unwrap_or_else(PoisonError::into_inner);
        let mut head = self.head();
        let mut dense = true;
        for event in events {
            if event.position <= head {
                continue;
            }
            dense = event.position == head + 1;
            if !dense {
                break;
            }
            head = event.position;
            let Seen { kinds, cache } = &self.0.seen;
            if let Some(kind) = kinds.iter().find(|kind| **kind == event.stream_type) {
                cache.saw(kind, &event.stream_id, event.version);
            }
            recent.push_back(event);
        }
        let surplus = recent.len().saturating_sub(RECENT);
        recent.drain(..surplus);
        self.0.head.send_if_modified(|known| std::mem::replace(known, head) != head);
        dense
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
            page.push(Arc::new(row.open(&self.0.personal).await?));
        }
        Ok(page)
    }

    /// Reads what is new.
    async fn advance(&self) -> Result<(), StoreError> {
        loop {
            let page = self.read(self.head(), PAGE).await?;
            let complete = page.len() < PAGE;
            self.publish(page);
            if complete {
                return Ok(());
            }
        }
    }
}

async fn follow(inner: Weak<Inner>, wake: Arc<Notify>, ended: CancellationToken) {
    while let Some(tail) = inner.upgrade().map(Tail) {
        match tail.advance().await {
            Ok(()) => {}
            Err(_) if tail.0.db.is_closed() => return,
            Err(problem) => error!("reading the log failed: {problem}"),
        }
        drop(tail);
        tokio::select! {
            () = wake.notified() => {}
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

async fn listen_to_others(db: Db, wake: Arc<Notify>, node: String, ended: CancellationToken) {
    let Db::Postgres(pool) = &db else { return };
    let listening = async {
        while !pool.is_closed() {
            match PgListener::connect_with(pool).await {
                Ok(mut listener) => {
                    if listener.listen(CHANNEL).await.is_ok() {
                        while let Ok(notice) = listener.recv().await {
                            if notice.payload() != node {
                                wake.notify_one();
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
    /// The event, readable or damaged; an error only when the database failed.
    pub(crate) async fn open(self, personal: &Personal) -> Result<Recorded, StoreError> {
        let opened = async {
            let context = personal.open_context(&self.context).await?;
            Ok((context, personal.open_text(&self.payload).await?))
        };
        let (context, payload) = match opened.await {
            Ok((context, payload)) => (context, Ok(payload)),
            Err(Unopened::Damaged(sentence)) => (crate::Context::default(), Err(sentence)),
            Err(Unopened::Failed(error)) => return Err(error),
        };
        Ok(Recorded {
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
        })
    }
}
