//! The worker pool of a node: who is sent to next, and how many at a time, in all and to the same endpoint.
//!
//! One task decides and waits for nothing but signals; looking into the database and sending happen in tasks of
//! their own, each of which holds a slot.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use database::Engine;
use eventstore::follow::Progress;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::MissedTickBehavior;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use crate::jetstream::Receipt;
use crate::lanes::{self, Lane};
use crate::memory;
use crate::worker::Worker;

/// What the pool is told.
pub(crate) enum Signal {
    /// An app may have something due; the receipt is given back when that was looked into.
    Due(String, Option<Receipt>),
    /// These apps have something due.
    Swept(Vec<String>),
    /// A slot is free again, after an attempt or unused.
    Freed { app_id: String, used: bool },
}

/// The pool.
pub(crate) struct Dispatcher {
    worker: Arc<Worker>,
    signals: UnboundedSender<Signal>,
    outbox: Progress,
    lanes_here: Arc<Mutex<HashSet<Lane>>>,
    running: TaskTracker,
    apps: HashMap<String, Load>,
    ready: VecDeque<String>,
    in_flight: usize,
    sweep: Option<tokio::task::JoinHandle<()>>,
}

/// What the pool does for one app.
#[derive(Default)]
struct Load {
    in_flight: usize,
    /// Whether it is in `ready`.
    ready: bool,
    /// Whether something may have become due while it had no slot left.
    look_again: bool,
    receipts: Vec<Receipt>,
}

impl Dispatcher {
    pub(crate) fn new(worker: Arc<Worker>, signals: UnboundedSender<Signal>, outbox: Progress) -> Self {
        Self {
            worker,
            signals,
            outbox,
            lanes_here: Arc::default(),
            running: TaskTracker::new(),
            apps: HashMap::new(),
            ready: VecDeque::new(),
            in_flight: 0,
            sweep: None,
        }
    }

    /// Sends until `stop`, and then waits for what is in flight.
    pub(crate) async fn run(mut self, mut signals: UnboundedReceiver<Signal>) {
        let stop = self.worker.stop.clone();
        tokio::select! {
            () = self.catch_up() => {}
            () = stop.cancelled() => return,
        }
        let mut sweep = tokio::time::interval(self.worker.settings.sweep.max(Duration::from_millis(1)));
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                _ = sweep.tick() => self.start_sweep(),
                signal = signals.recv() => match signal {
                    Some(signal) => self.heed(signal),
                    None => break,
                },
            }
            while let Ok(signal) = signals.try_recv() {
                self.heed(signal);
            }
            self.start_ready();
        }
        self.running.close();
        self.running.wait().await;
    }

    /// Nothing is sent before the outbox has seen how earlier deliveries ended.
    async fn catch_up(&self) {
        let head = self.worker.store.tail().head();
        loop {
            match self.outbox.reaches(head, Duration::from_secs(1)).await {
                Ok(true) => break,
                Ok(false) => {}
                Err(problem) => {
                    warn!("webhooks wait, the outbox cannot be asked how far it is: {problem}");
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
            }
        }
        // A data folder has one process, so whoever held a lease is gone.
        if self.worker.db.engine() == Engine::Sqlite {
            match lanes::release_all(&self.worker.db, self.worker.now()).await {
                Ok(0) => {}
                Ok(lanes) => info!("{lanes} webhooks were on their way when the server ended, and are sent again"),
                Err(problem) => warn!("leases of the last run end by themselves, not at once: {problem}"),
            }
        }
    }

    fn heed(&mut self, signal: Signal) {
        match signal {
            Signal::Due(app_id, receipt) => self.want(app_id, receipt),
            Signal::Swept(apps) => apps.into_iter().for_each(|app_id| self.want(app_id, None)),
            Signal::Freed { app_id, used } => self.freed(app_id, used),
        }
    }

    fn want(&mut self, app_id: String, receipt: Option<Receipt>) {
        let load = self.apps.entry(app_id.clone()).or_default();
        if load.in_flight >= self.worker.settings.concurrency_per_endpoint.max(1) {
            // The next free slot of this app looks again, so nobody else needs to.
            load.look_again = true;
            give_back(&self.running, receipt);
            return;
        }
        load.receipts.extend(receipt);
        if !load.ready {
            load.ready = true;
            self.ready.push_back(app_id);
        }
    }

    fn freed(&mut self, app_id: String, used: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(load) = self.apps.get_mut(&app_id) else { return };
        load.in_flight = load.in_flight.saturating_sub(1);
        // After an attempt the lane may have another delivery, or the app another lane.
        if used || load.look_again {
            load.look_again = false;
            self.want(app_id, None);
        } else if load.in_flight == 0 && !load.ready {
            self.apps.remove(&app_id);
        }
    }

    fn start_ready(&mut self) {
        let settings = &self.worker.settings;
        let (of_all, of_one) = (settings.concurrency.max(1), settings.concurrency_per_endpoint.max(1));
        while self.in_flight < of_all
            && let Some(app_id) = self.ready.pop_front()
        {
            let Some(load) = self.apps.get_mut(&app_id) else { continue };
            load.ready = false;
            let receipts = std::mem::take(&mut load.receipts);
            let free = of_one.saturating_sub(load.in_flight).min(of_all - self.in_flight);
            if free == 0 {
                load.look_again = true;
                receipts.into_iter().for_each(|receipt| give_back(&self.running, Some(receipt)));
                continue;
            }
            load.in_flight += free;
            self.in_flight += free;
            let slots = (0..free).map(|_| self.slot(&app_id)).collect();
            self.running.spawn(self.errand().look(app_id, slots, receipts));
        }
    }

    fn slot(&self, app_id: &str) -> Slot {
        let (signals, lanes_here) = (self.signals.clone(), self.lanes_here.clone());
        Slot { app_id: app_id.to_owned(), lane: None, signals, lanes_here }
    }

    fn errand(&self) -> Errand {
        Errand { worker: self.worker.clone(), running: self.running.clone() }
    }

    fn start_sweep(&mut self) {
        if self.sweep.as_ref().is_some_and(|sweep| !sweep.is_finished()) {
            return;
        }
        let (worker, signals) = (self.worker.clone(), self.signals.clone());
        self.sweep = Some(self.running.spawn(async move {
            match lanes::due_apps(&worker.db, worker.now()).await {
                Ok(apps) if apps.is_empty() => {}
                // Nobody listens while the server stops.
                Ok(apps) => drop(signals.send(Signal::Swept(apps))),
                Err(problem) => warn!("due webhooks could not be looked for, trying again: {problem}"),
            }
            if let Err(problem) = memory::begin(&worker.db, &worker.store).await {
                warn!("what the deliveries' tables remember could not be noted: {problem}");
            }
            worker.tell_log_of_the_rest().await;
        }));
    }
}

fn give_back(running: &TaskTracker, receipt: Option<Receipt>) {
    if let Some(receipt) = receipt {
        running.spawn(receipt.give_back());
    }
}

/// The right to one attempt at a time, given back when dropped, also by a panic.
struct Slot {
    app_id: String,
    /// What it is used for.
    lane: Option<Lane>,
    signals: UnboundedSender<Signal>,
    lanes_here: Arc<Mutex<HashSet<Lane>>>,
}

impl Slot {
    /// Reserves a lane on this node, whatever its lease says: a clock that is moved forward ends leases early.
    fn take(&mut self, lane: &Lane) -> bool {
        let free = self.lanes_here.lock().unwrap_or_else(PoisonError::into_inner).insert(lane.clone());
        if free {
            self.lane = Some(lane.clone());
        }
        free
    }

    fn leave(&mut self) {
        if let Some(lane) = self.lane.take() {
            self.lanes_here.lock().unwrap_or_else(PoisonError::into_inner).remove(&lane);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let used = self.lane.is_some();
        self.leave();
        // Nobody listens while the server stops.
        let _ = self.signals.send(Signal::Freed { app_id: std::mem::take(&mut self.app_id), used });
    }
}

/// A look at one app's due lanes, with as many slots as may be used for it.
struct Errand {
    worker: Arc<Worker>,
    running: TaskTracker,
}

impl Errand {
    async fn look(self, app_id: String, slots: Vec<Slot>, receipts: Vec<Receipt>) {
        if let Err(problem) = self.claim_some(&app_id, slots).await {
            warn!("due webhooks of {app_id} could not be claimed, trying again: {problem}");
        }
        for receipt in receipts {
            receipt.give_back().await;
        }
    }

    async fn claim_some(&self, app_id: &str, slots: Vec<Slot>) -> Result<(), database::Error> {
        // Some may be in this node's hands already, so look at a few more than there are slots.
        let wanted = slots.len() + self.worker.settings.concurrency_per_endpoint;
        let mut lanes = lanes::due_lanes(&self.worker.db, app_id, self.worker.now(), wanted).await?.into_iter();
        for mut slot in slots {
            let claim = loop {
                let Some(lane) = lanes.next() else { return Ok(()) };
                if !slot.take(&lane) {
                    continue;
                }
                match self.worker.claim(&lane).await {
                    Ok(Some(claim)) => break claim,
                    Ok(None) => slot.leave(),
                    Err(problem) => {
                        slot.leave();
                        return Err(problem);
                    }
                }
            };
            let worker = self.worker.clone();
            self.running.spawn(async move {
                worker.run(claim).await;
                drop(slot);
            });
        }
        Ok(())
    }
}
