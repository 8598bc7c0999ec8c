//! Reactors: each event at least once, in order; what fails is tried again before anything after it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use eventstore::follow::{Boxed, Node, ReactError, Reactor, start_reactor};
use eventstore::{Clock, Context, EventStore, Execution, Recorded};
use support::{eventually, on_both_engines};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::log::{Log, is_whole, patiently};
use crate::notebook::{Command, Notebook, idempotency, write};

on_both_engines! {
    async fn a_reactor_reacts_to_each_event_in_order(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let mut running = Running::start(&log, &store, Witness::default()).await;
        for _ in 0..20 {
            write(&store, "nb_1", "a line").await;
        }
        assert_eq!(running.seen(20).await, (1..=20).collect::<Vec<_>>());
    }

    async fn a_failed_reaction_is_tried_again_before_what_follows(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        for _ in 0..4 {
            write(&store, "nb_1", "a line").await;
        }
        let witness = Witness { fails_at: 2, times: AtomicU32::new(2), ..Witness::default() };
        let mut running = Running::start(&log, &store, witness).await;
        assert_eq!(running.seen(6).await, [1, 2, 2, 2, 3, 4]);
    }

    async fn a_reactor_goes_on_after_a_restart(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let mut running = Running::start(&log, &store, Witness::default()).await;
        write(&store, "nb_1", "a line").await;
        write(&store, "nb_1", "a line").await;
        running.seen(2).await;
        running.stop().await;
        write(&store, "nb_1", "a line").await;

        let store = log.reopen().await;
        let mut running = Running::start(&log, &store, Witness::default()).await;
        assert_eq!(running.seen(1).await, [3]);
    }

    async fn an_event_whose_reaction_was_cut_short_is_reacted_to_again(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        for _ in 0..3 {
            write(&store, "nb_1", "a line").await;
        }
        let mut running = Running::start(&log, &store, Witness { hangs_at: 2, ..Witness::default() }).await;
        assert_eq!(running.seen(2).await, [1, 2]);
        running.die().await;

        let mut running = Running::start(&log, &store, Witness::default()).await;
        let mut seen = Vec::new();
        while seen.last() != Some(&3) {
            seen.extend(running.seen(1).await);
        }
        assert!(seen.ends_with(&[2, 3]), "{seen:?}");
    }

    async fn a_command_keyed_by_its_event_happens_once(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        for _ in 0..3 {
            write(&store, "nb_1", "a line").await;
        }
        let copies = || Witness { copies_with: Some(store.clone()), ..Witness::default() };
        let mut running = Running::start(&log, &store, Witness { hangs_at: 3, ..copies() }).await;
        running.seen(3).await;
        running.die().await;

        let mut running = Running::start(&log, &store, copies()).await;
        eventually("three copies", async || {
            let copy = store.load_fresh::<Notebook>("nb_copy").await.expect("it loads");
            (copy.version == 3).then_some(())
        })
        .await;
        // It has seen all copies too, so nothing more is on its way.
        while running.seen(1).await != [6] {}
        assert_eq!(is_whole(&log.database().await).await, 6);
        let copies = store.events_of("notebook", "nb_copy", 0).await.expect("a query");
        let originals = store.events_of("notebook", "nb_1", 0).await.expect("a query");
        for (copy, original) in copies.iter().zip(&originals) {
            assert_eq!(copy.context.causation_id.as_ref(), Some(&original.event_id), "a copy names its cause");
        }
    }
}

/// Tells which events it was given, in which order.
#[derive(Default)]
struct Witness {
    fails_at: u64,
    times: AtomicU32,
    hangs_at: u64,
    copies_with: Option<EventStore>,
    tell: Option<UnboundedSender<u64>>,
}

impl Reactor for Witness {
    fn name(&self) -> &'static str {
        "witness"
    }

    fn react<'a>(&'a self, event: &'a Recorded) -> Boxed<'a, Result<(), ReactError>> {
        Box::pin(async move {
            if let Some(store) = &self.copies_with
                && event.stream_id == "nb_1"
            {
                copy(store, event).await?;
            }
            self.tell.as_ref().expect("it was started").send(event.position).expect("the test listens");
            if event.position == self.hangs_at {
                std::future::pending::<()>().await;
            }
            let fails = event.position == self.fails_at
                && self.times.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(1)).is_ok();
            if fails { Err(ReactError("not now".to_owned())) } else { Ok(()) }
        })
    }
}

async fn copy(store: &EventStore, event: &Recorded) -> Result<(), ReactError> {
    let context = Context::caused_by("witness", event);
    let key = format!("witness/{}", event.position);
    let command = Command::Write("a copy".to_owned());
    let execution = Execution::<Notebook>::new("nb_copy", command, &context).idempotent(idempotency(&key, "copy"));
    store.execute(execution).await.map(drop).map_err(|problem| ReactError(problem.to_string()))
}

struct Running {
    told: UnboundedReceiver<u64>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    async fn start(log: &Log, store: &EventStore, mut witness: Witness) -> Self {
        let (tell, told) = unbounded_channel();
        witness.tell = Some(tell);
        let node = Node { db: log.views().await, name: uuid::Uuid::now_v7().to_string(), clock: Clock::default() };
        let stop = CancellationToken::new();
        let task = start_reactor(Arc::new(witness), node, store.tail().clone(), stop.clone());
        Self { told, stop, task }
    }

    /// The next so many positions that it was given.
    async fn seen(&mut self, count: usize) -> Vec<u64> {
        let mut seen = Vec::new();
        while seen.len() < count {
            seen.push(patiently("a reaction", self.told.recv()).await.expect("the reactor runs"));
        }
        seen
    }

    /// In good order.
    async fn stop(self) {
        self.stop.cancel();
        self.task.await.expect("a reactor does not panic");
    }

    /// As a process dies: neither checkpoint nor lease are cared for.
    async fn die(self) {
        self.task.abort();
        assert!(self.task.await.expect_err("it did not end by itself").is_cancelled());
    }
}
