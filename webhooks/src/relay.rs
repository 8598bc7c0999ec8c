//! Passing on what the outbox found due, once that is committed: to all nodes by NATS, or to this one.

use std::sync::Arc;
use std::time::Duration;

use eventstore::follow::Progress;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio_util::sync::CancellationToken;

use crate::dispatch::Signal;
use crate::hint::Hint;
use crate::jetstream::JetStream;

/// A commit that takes longer has failed, or another node makes it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Relays hints until `stop`.
pub(crate) async fn run(
    mut hints: UnboundedReceiver<(u64, Hint)>,
    outbox: Progress,
    jetstream: Option<Arc<JetStream>>,
    signals: UnboundedSender<Signal>,
    stop: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            next = hints.recv() => next,
            () = stop.cancelled() => return,
        };
        let Some((position, hint)) = next else { return };
        if !outbox.reaches(position, PATIENCE).await.unwrap_or(false) {
            // What was not committed is told again by whoever commits it; the sweep finds the rest.
            while hints.try_recv().is_ok() {}
            continue;
        }
        match (&jetstream, hint.delivery) {
            (Some(jetstream), Some(delivery)) => {
                jetstream.clone().publish_or(hint.app_id, delivery, signals.clone());
            }
            // Nobody listens while the server stops.
            _ => drop(signals.send(Signal::Due(hint.app_id, None))),
        }
    }
}
