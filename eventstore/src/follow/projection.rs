//! Running a projection: batches of events become rows, and the checkpoint moves in the same transaction.

use std::sync::Arc;
use std::time::Duration;

use database::{Error, Tx};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Boxed;
use super::lease::{Lease, Node, RENEW};
use crate::{Recorded, StoreError, Tail};

const BATCH: usize = 500;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// A read model: a function from events to changes of its own tables. No clock, no network.
pub trait Projection: Send + Sync + 'static {
    /// Its name and version: `user_list@1`. A new version starts from the first event, with tables of its own.
    fn name(&self) -> &'static str;

    /// The streams that it reads, by their type; events of others are passed over without a look.
    fn reads(&self) -> &'static [&'static str];

    /// Applies one event of such a stream.
    ///
    /// # Errors
    /// [`ApplyError::Poison`] parks the event's stream; a database error is tried again.
    fn apply<'a>(&'a self, tx: &'a mut Tx, event: &'a Recorded) -> Boxed<'a, Result<(), ApplyError>>;
}

/// Why an event could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The database failed: tried again.
    #[error(transparent)]
    Database(#[from] Error),
    /// This event can never be applied: its stream is parked until someone decides.
    #[error("{0}")]
    Poison(String),
}

impl From<StoreError> for ApplyError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Database(error) => Self::Database(error),
            other => Self::Poison(other.to_string()),
        }
    }
}

/// How far a projection is, for those who wait for it.
#[derive(Clone)]
pub struct Progress {
    name: &'static str,
    node: Node,
    led_here: watch::Receiver<u64>,
}

impl Progress {
    /// Its name and version.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Waits until it has applied `position`, whichever node leads it; `false` when `patience` ran out.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn reaches(&self, position: u64, patience: Duration) -> Result<bool, Error> {
        let mut here = self.led_here.clone();
        let waiting = async {
            loop {
                if *here.borrow_and_update() >= position || self.checkpoint().await? >= position {
                    return Ok(true);
                }
                // Told when this node leads; else another one's checkpoint is looked up.
                let _ = tokio::time::timeout(Duration::from_millis(5), here.changed()).await;
            }
        };
        tokio::time::timeout(patience, waiting).await.unwrap_or(Ok(false))
    }

    /// The last position that was applied.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn checkpoint(&self) -> Result<u64, Error> {
        let sql = "SELECT position FROM followers WHERE name = $1";
        let row: Option<(i64,)> = self.node.db.fetch_optional(sql, (self.name,)).await?;
        Ok(row.map_or(0, |(position,)| position.cast_unsigned()))
    }
}

/// Runs a projection on this node whenever no other node does, until `stop`.
pub fn start_projection(
    projection: Arc<dyn Projection>,
    node: Node,
    tail: Tail,
    stop: CancellationToken,
) -> (Progress, tokio::task::JoinHandle<()>) {
    let (applied, led_here) = watch::channel(0);
    let progress = Progress { name: projection.name(), node: node.clone(), led_here };
    let task = tokio::spawn(async move {
        let name = projection.name();
        while !stop.is_cancelled() {
            let lead = tokio::select! {
                lead = node.lead(name) => lead,
                () = stop.cancelled() => return,
            };
            match lead {
                Ok(Some(lease)) => {
                    info!("this node leads {name} from position {}", lease.position);
                    if let Err(problem) = run(&*projection, &node, &tail, lease, &applied, &stop).await {
                        error!("{name} failed and is tried again: {problem}");
                    }
                }
                Ok(None) => {}
                Err(problem) => error!("{name} could not ask who leads: {problem}"),
            }
            let _ = tokio::time::timeout(PAUSE_AFTER_ERROR, stop.cancelled()).await;
        }
    });
    (progress, task)
}

/// Leads until stopped, replaced, or an error.
async fn run(
    projection: &dyn Projection,
    node: &Node,
    tail: &Tail,
    mut lease: Lease,
    applied: &watch::Sender<u64>,
    stop: &CancellationToken,
) -> Result<(), ApplyError> {
    let name = projection.name();
    applied.send_replace(lease.position);
    loop {
        let page = tail.page(lease.position, BATCH).await?;
        if let Some(last) = page.last().map(|event| event.position) {
            if !apply_page(projection, node, &mut lease, &page, last).await? {
                return Ok(());
            }
            applied.send_replace(last);
        } else {
            tokio::select! {
                () = tail.after(lease.position) => {}
                () = tokio::time::sleep(RENEW) => if !node.renew(name, &lease).await? { return Ok(()); },
                () = stop.cancelled() => return Ok(node.resign(name, &lease).await?),
            }
        }
        if stop.is_cancelled() {
            return Ok(node.resign(name, &lease).await?);
        }
    }
}

/// Applies a page in one transaction, or, if an event is poisonous, one by one around it.
async fn apply_page(
    projection: &dyn Projection,
    node: &Node,
    lease: &mut Lease,
    page: &[Arc<Recorded>],
    last: u64,
) -> Result<bool, ApplyError> {
    let name = projection.name();
    let mut tx = node.db.begin().await?;
    match apply_all(projection, &mut tx, page).await {
        Ok(()) => {}
        Err(ApplyError::Poison(_)) if page.len() > 1 => {
            drop(tx);
            for event in page {
                let one = std::slice::from_ref(event);
                if !Box::pin(apply_page(projection, node, lease, one, event.position)).await? {
                    return Ok(false);
                }
            }
            return Ok(true);
        }
        Err(ApplyError::Poison(problem)) => {
            drop(tx);
            tx = node.db.begin().await?;
            for event in page {
                park(&mut tx, name, event, &problem).await?;
            }
        }
        Err(problem) => return Err(problem),
    }
    if !node.advance(&mut tx, name, lease, last).await? {
        return Ok(false);
    }
    tx.commit().await?;
    lease.position = last;
    Ok(true)
}

async fn apply_all(projection: &dyn Projection, tx: &mut Tx, page: &[Arc<Recorded>]) -> Result<(), ApplyError> {
    let read: Vec<_> = page.iter().filter(|event| projection.reads().contains(&event.stream_type.as_str())).collect();
    if read.is_empty() {
        return Ok(());
    }
    let sql = "SELECT stream_type, stream_id FROM parked_streams WHERE follower = $1";
    let parked: Vec<(String, String)> = tx.fetch_all(sql, (projection.name(),)).await?;
    for event in read {
        let waits = parked.iter().any(|(kind, id)| *kind == event.stream_type && *id == event.stream_id);
        if !waits {
            projection.apply(tx, event).await.map_err(|problem| match problem {
                ApplyError::Database(error) if error.is_about_the_values() => ApplyError::Poison(error.to_string()),
                other => other,
            })?;
        }
    }
    Ok(())
}

async fn park(tx: &mut Tx, follower: &str, event: &Recorded, problem: &str) -> Result<(), Error> {
    error!(
        follower,
        position = event.position,
        "{follower} cannot apply position {}: {problem}; its stream waits, the others go on",
        event.position
    );
    tx.execute(
        "INSERT INTO parked_streams (follower, stream_type, stream_id, position, error) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (follower, stream_type, stream_id) DO NOTHING",
        (follower, event.stream_type.as_str(), event.stream_id.as_str(), event.position.cast_signed(), problem),
    )
    .await?;
    Ok(())
}
