//! A log of a test's own on either engine, opened as often as there are nodes.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use cqrs_es::Aggregate;
use database::{Db, LOG_POSTGRES, LOG_SQLITE, Schema, VIEWS, open_postgres, open_sqlite};
use eventstore::{Clock, EventStore, MasterKey, StoreError, Tail};
use sqlx::{AssertSqlSafe, Executor};
use support::{Engine, Postgres, eventually, temporary_folder};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::notebook::Notebook;

/// 32 times the byte 7.
pub const MASTER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=";

pub struct Log {
    place: Place,
    opened: Mutex<Vec<Db>>,
}

enum Place {
    /// One process holds a folder, so its nodes share one handle of each file.
    Sqlite {
        folder: TempDir,
        files: Mutex<HashMap<&'static str, Db>>,
    },
    Postgres {
        server: Postgres,
    },
}

impl Log {
    pub async fn new(engine: Engine) -> Self {
        let place = match engine {
            Engine::Sqlite => Place::Sqlite { folder: temporary_folder("conformance"), files: Mutex::default() },
            Engine::Postgres => {
                let server = Postgres::start().await;
                server.create_database("log").await;
                Place::Postgres { server }
            }
        };
        Self { place, opened: Mutex::default() }
    }

    /// The database of the log, as a node opens it.
    pub async fn database(&self) -> Db {
        match &self.place {
            Place::Sqlite { .. } => self.file("log.sqlite", LOG_SQLITE).await,
            Place::Postgres { .. } => {
                let db = open_postgres(&self.url(), 6, &[LOG_POSTGRES, VIEWS]).await;
                self.keep(db.expect("the test's own server opens")).await
            }
        }
    }

    /// Where read models and checkpoints are.
    pub async fn views(&self) -> Db {
        match &self.place {
            Place::Sqlite { .. } => self.file("views.sqlite", VIEWS).await,
            Place::Postgres { .. } => self.database().await,
        }
    }

    /// A node that follows what the others append.
    pub async fn store(&self) -> EventStore {
        open(self.database().await).await.expect("the log opens with its key")
    }

    /// A node whose memory of aggregates is never told about what others append.
    pub async fn forgetful_store(&self) -> EventStore {
        let key = MasterKey::parse(MASTER_KEY).expect("the suite's key is 32 bytes");
        EventStore::open(self.database().await, key, Clock::default(), &[]).await.expect("the log opens with its key")
    }

    /// Closes every node and opens one again.
    pub async fn reopen(&self) -> EventStore {
        self.close().await;
        self.store().await
    }

    pub async fn close(&self) {
        for db in self.opened.lock().await.drain(..) {
            db.close().await;
        }
        if let Place::Sqlite { files, .. } = &self.place {
            files.lock().await.clear();
        }
    }

    /// SQL as someone with a console would send it, beside the store.
    pub async fn console(&self, sql: &str) -> Result<u64, sqlx::Error> {
        let statements = AssertSqlSafe(sql.to_owned());
        Ok(match self.database().await {
            Db::Postgres(pool) => pool.execute(statements).await?.rows_affected(),
            Db::Sqlite { write, .. } => write.execute(statements).await?.rows_affected(),
        })
    }

    /// Changes events as a damaged disk does: no trigger is asked.
    pub async fn damage(&self, sql: &str) {
        let disarm = match &self.place {
            Place::Sqlite { .. } => "DROP TRIGGER events_refuse_update; DROP TRIGGER events_refuse_delete;",
            Place::Postgres { .. } => "ALTER TABLE events DISABLE TRIGGER ALL;",
        };
        self.console(&format!("{disarm} {sql}")).await.unwrap_or_else(|problem| panic!("{sql}: {problem}"));
    }

    /// Waits until some stream has a snapshot, which is written beside the commands.
    pub async fn has_a_snapshot(&self) {
        let db = self.database().await;
        eventually("a snapshot", async || -> Option<(i64,)> {
            db.fetch_optional("SELECT version FROM snapshots", ()).await.expect("a query")
        })
        .await;
    }

    /// PostgreSQL only.
    pub fn url(&self) -> String {
        self.server().url("log")
    }

    /// PostgreSQL only.
    pub fn server(&self) -> &Postgres {
        let Place::Postgres { server } = &self.place else { panic!("SQLite has no server") };
        server
    }

    /// SQLite only.
    pub fn folder(&self) -> &Path {
        let Place::Sqlite { folder, .. } = &self.place else { panic!("PostgreSQL has no folder") };
        folder.path()
    }

    async fn file(&self, name: &'static str, schema: Schema) -> Db {
        let Place::Sqlite { folder, files } = &self.place else { panic!("PostgreSQL has no files") };
        let mut files = files.lock().await;
        if let Some(db) = files.get(name) {
            return db.clone();
        }
        let db = open_sqlite(&folder.path().join(name), schema).await.expect("a file in a new folder opens");
        files.insert(name, db.clone());
        self.keep(db).await
    }

    async fn keep(&self, db: Db) -> Db {
        self.opened.lock().await.push(db.clone());
        db
    }
}

pub async fn open(db: Db) -> Result<EventStore, StoreError> {
    let key = MasterKey::parse(MASTER_KEY).expect("the suite's key is 32 bytes");
    EventStore::open(db, key, Clock::default(), &[Notebook::TYPE]).await
}

/// Checks what holds of every log, whatever happened to it, and answers the number of its events.
pub async fn is_whole(db: &Db) -> u64 {
    let events: Vec<(i64, String, i64)> =
        db.fetch_all("SELECT position, stream_id, version FROM events ORDER BY position", ()).await.expect("a query");
    let mut versions = HashMap::new();
    for (expected, (position, stream, version)) in (1..).zip(&events) {
        assert_eq!(*position, expected, "positions are dense from 1");
        let last = versions.entry(stream.clone()).or_insert(0);
        *last += 1;
        assert_eq!(*version, *last, "versions of {stream} are dense from 1, at position {position}");
    }
    let streams: Vec<(String, i64)> =
        db.fetch_all("SELECT stream_id, version FROM streams", ()).await.expect("a query");
    assert_eq!(versions, streams.into_iter().collect(), "every stream's version is the number of its events");
    let ledger: Option<(i64,)> = db.fetch_optional("SELECT position FROM ledger", ()).await.expect("a query");
    assert_eq!(ledger, Some((events.len() as i64,)), "the ledger knows the last position");
    events.len() as u64
}

/// Follows the log from its start to `last`, in small pages, as a reader does.
pub async fn follow(tail: Tail, last: u64) -> Vec<(u64, String)> {
    let mut seen: Vec<(u64, String)> = Vec::new();
    loop {
        let position = seen.last().map_or(0, |(position, _)| *position);
        if position >= last {
            return seen;
        }
        let page = tail.page(position, 7).await.expect("the log can be read");
        if page.is_empty() {
            patiently("the next event", tail.after(position)).await;
        }
        seen.extend(page.iter().map(|event| (event.position, event.event_id.clone())));
    }
}

/// What never comes fails the test instead of stopping the whole suite.
pub async fn patiently<T>(what: &str, waiting: impl Future<Output = T>) -> T {
    let patience = Duration::from_secs(30);
    tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| panic!("waited half a minute in vain: {what}"))
}

/// Runs all of them at once and answers in their order.
pub async fn all_at_once<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    let running: Vec<_> = tasks.into_iter().map(tokio::spawn).collect();
    let mut answers = Vec::with_capacity(running.len());
    for task in running {
        answers.push(task.await.expect("a task of the suite does not panic"));
    }
    answers
}
