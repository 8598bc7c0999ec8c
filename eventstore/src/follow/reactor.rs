//! Running a reactor: events become commands, in order, each at least once; commands must bear being sent twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use database::Error;
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use super::Boxed;
use super::lease::{Lease, Node, RENEW};
use crate::{Recorded, StoreError, Tail};

const BATCH: usize = 200;
const PAUSE_AFTER_ERROR: Duration = Duration::from_millis(500);

/// A process manager: issues commands because of events.
pub trait Reactor: Send + Sync + 'static {
    /// Its name: it goes on where it stopped, so a new name would react to everything again.
    fn name(&self) -> &'static str;

    /// Reacts to one event; may be called again for the same event after a crash.
    ///
    /// # Errors
    /// Any error is tried again, in place: what follows waits, because it may depend on it.
    fn react<'a>(&'a self, event: &'a Recorded) -> Boxed<'a, Result<(), ReactError>>;
}

/// Why a reaction failed.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ReactError(pub String);

impl From<StoreError> for ReactError {
    fn from(error: StoreError) -> Self {
        Self(error.to_string())
    }
}

impl From<Error> for ReactError {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// Runs a reactor on this node whenever no other node does, until `stop`.
pub fn start_reactor(
    reactor: Arc<dyn Reactor>,
    node: Node,
    tail: Tail,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        let name = reactor.name();
        while !stop.is_cancelled() {
            let lead = tokio::select! {
                lead = node.lead(name) => lead,
                () = stop.cancelled() => return,
            };
            match lead {
                Ok(Some(lease)) => {
                    info!("this node leads {name} from position {}", lease.position);
                    if let Err(problem) = run(&*reactor, &node, &tail, lease, &stop).await {
                        error!("{name} failed and is tried again: {problem}");
                    }
                }
                Ok(None) => {}
                Err(problem) => error!("{name} could not ask who leads: {problem}"),
            }
            let _ = tokio::time::timeout(PAUSE_AFTER_ERROR, stop.cancelled()).await;
        }
    })
}

/// Leads until stopped, replaced, or an error.
async fn run(
    reactor: &dyn Reactor,
    node: &Node,
    tail: &Tail,
    mut lease: Lease,
    stop: &CancellationToken,
) -> Result<(), ReactError> {
    let name = reactor.name();
    loop {
        let page = tail.page(lease.position, BATCH).await?;
        let mut done = lease.position;
        let mut failed = None;
        let mut renewed = Instant::now();
        for event in &page {
            if renewed.elapsed() > RENEW {
                if !node.renew(name, &lease).await? {
                    return Ok(());
                }
                renewed = Instant::now();
            }
            if let Err(problem) = reactor.react(event).await {
                failed = Some(ReactError(format!("at position {}: {problem}", event.position)));
                break;
            }
            done = event.position;
        }
        if done > lease.position {
            let mut tx = node.db.begin().await?;
            if !node.advance(&mut tx, name, &lease, done).await? {
                return Ok(());
            }
            tx.commit().await?;
            lease.position = done;
        }
        if let Some(problem) = failed {
            return Err(problem);
        }
        if page.is_empty() {
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
