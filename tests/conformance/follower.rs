//! The projection of the suite: one row for each event of a notebook, and nodes that follow with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use database::{Db, Tx};
use eventstore::follow::{ApplyError, Boxed, Node, Progress, Projection, start_projection};
use eventstore::{Clock, EventStore, Recorded};
use support::eventually;
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::Log;

const PATIENCE: Duration = Duration::from_secs(20);

/// One row for each event of a notebook.
#[derive(Default)]
pub struct Lines {
    pub fails_once_at: Option<(u64, AtomicBool)>,
    pub gate: Option<Arc<Gate>>,
}

/// Holds a projection between reading an event and writing its row.
pub struct Gate {
    pub reached: Notify,
    pub open: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self { reached: Notify::new(), open: Semaphore::new(0) }
    }
}

impl Projection for Lines {
    fn name(&self) -> &'static str {
        "lines@1"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["notebook"]
    }

    fn apply<'a>(&'a self, tx: &'a mut Tx, event: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>> {
        Box::pin(async move {
            if event.payload()?["line"] == "poison" {
                return Err(ApplyError::Poison("this line is poisonous".to_owned()));
            }
            if let Some(gate) = &self.gate {
                gate.reached.notify_one();
                gate.open.acquire().await.expect("the gate is never closed for ever").forget();
            }
            let position = event.position.cast_signed();
            tx.execute("INSERT INTO lines (position) VALUES ($1)", (position,)).await?;
            match &self.fails_once_at {
                Some((at, failed)) if *at == event.position && !failed.swap(true, Ordering::AcqRel) => {
                    tx.execute("INSERT INTO no_such_table (position) VALUES ($1)", (position,)).await?;
                    Ok(())
                }
                _ => Ok(()),
            }
        })
    }
}

pub struct Follower {
    progress: Progress,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Follower {
    pub fn start(store: &EventStore, views: &Db, name: &str, lines: Lines) -> Self {
        Self::with_clock(store, views, name, lines, Clock::default())
    }

    pub fn with_clock(store: &EventStore, views: &Db, name: &str, lines: Lines, clock: Clock) -> Self {
        let node = Node { db: views.clone(), name: name.to_owned(), clock };
        let stop = CancellationToken::new();
        let (progress, task) = start_projection(Arc::new(lines), node, store.tail().clone(), stop.clone());
        Self { progress, stop, task }
    }

    pub async fn reaches(&self, position: u64) {
        let reached = self.progress.reaches(position, PATIENCE).await.expect("a query");
        assert!(reached, "it did not get to {position}");
    }

    /// In good order.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("a projection does not panic");
    }

    /// As a process dies: the lease stays.
    pub async fn die(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it did not end by itself").is_cancelled());
    }
}

pub async fn views(log: &Log) -> Db {
    let views = log.views().await;
    views.execute("CREATE TABLE lines (position BIGINT NOT NULL)", ()).await.expect("a table is made");
    views
}

pub async fn rows(views: &Db) -> Vec<i64> {
    let rows: Vec<(i64,)> = views.fetch_all("SELECT position FROM lines ORDER BY position", ()).await.expect("a query");
    rows.into_iter().map(|(position,)| position).collect()
}

pub fn all(count: i64) -> Vec<i64> {
    (1..=count).collect()
}

/// Both as of one moment.
pub async fn rows_and_checkpoint(views: &Db) -> (i64, i64) {
    let sql = "SELECT (SELECT count(*) FROM lines), (SELECT position FROM followers WHERE name = 'lines@1')";
    eventually("a checkpoint", async || {
        let row: Option<(i64, Option<i64>)> = views.fetch_optional(sql, ()).await.expect("a query");
        row.and_then(|(rows, checkpoint)| Some((rows, checkpoint?)))
    })
    .await
}

pub async fn parked(views: &Db) -> Vec<(String, i64, String)> {
    let sql = "SELECT stream_id, position, error FROM parked_streams WHERE follower = 'lines@1'";
    views.fetch_all(sql, ()).await.expect("a query")
}
