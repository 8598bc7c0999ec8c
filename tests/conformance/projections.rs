//! Projections: rows and checkpoint move together, a poisonous event stops only its own stream, one node leads.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use eventstore::Clock;
use support::{Engine, on_both_engines};

use crate::follower::{Follower, Gate, Lines, all, parked, rows, rows_and_checkpoint, views};
use crate::log::{Log, patiently};
use crate::notebook::{Command, append, line, part, run, write};

on_both_engines! {
    async fn rows_and_checkpoint_move_together(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        let follower = Follower::start(&store, &views, "node_1", Lines::default());
        for _ in 0..40 {
            write(&store, "nb_1", "a line").await;
            let (rows, checkpoint) = rows_and_checkpoint(&views).await;
            assert_eq!(rows, checkpoint, "each event is one row, so rows without checkpoint would be seen");
        }
        follower.reaches(40).await;
        assert_eq!(rows(&views).await, all(40));
    }

    async fn what_a_failed_attempt_wrote_is_undone(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        for _ in 0..5 {
            write(&store, "nb_1", "a line").await;
        }
        let lines = Lines { fails_once_at: Some((4, AtomicBool::new(false))), ..Lines::default() };
        Follower::start(&store, &views, "node_1", lines).reaches(5).await;
        assert_eq!(rows(&views).await, all(5));
    }

    async fn a_projection_goes_on_where_it_stopped(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        let first = Follower::start(&store, &views, "node_1", Lines::default());
        let written = write(&store, "nb_1", "a line").await.position;
        first.reaches(written).await;
        first.stop().await;
        write(&store, "nb_1", "a line").await;
        Follower::start(&store, &views, "node_2", Lines::default()).reaches(2).await;
        assert_eq!(rows(&views).await, all(2));
    }

    async fn a_poisonous_event_stops_only_its_own_stream(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        write(&store, "nb_1", "a line").await;
        write(&store, "nb_2", "poison").await;
        write(&store, "nb_2", "after the poison").await;
        write(&store, "nb_1", "another line").await;
        let follower = Follower::start(&store, &views, "node_1", Lines::default());
        follower.reaches(4).await;
        assert_eq!(rows(&views).await, [1, 4]);
        let late = write(&store, "nb_2", "long after the poison").await.position;
        follower.reaches(late).await;
        assert_eq!(rows(&views).await, [1, 4], "a parked stream waits");
        assert_eq!(parked(&views).await, [("nb_2".to_owned(), 2, "this line is poisonous".to_owned())]);
    }

    async fn an_unreadable_event_stops_only_its_own_stream(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        for id in ["nb_1", "nb_2", "nb_3"] {
            write(&store, id, "a line").await;
        }
        log.damage("UPDATE events SET payload = 'x' WHERE position = 2").await;
        let store = log.reopen().await;
        let views = views(&log).await;
        Follower::start(&store, &views, "node_1", Lines::default()).reaches(3).await;
        assert_eq!(rows(&views).await, [1, 3]);
        let parked = parked(&views).await;
        assert!(parked.len() == 1 && parked[0].1 == 2 && parked[0].2.contains("position 2"), "{parked:?}");
    }

    async fn events_of_streams_that_it_does_not_read_are_passed_over(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        write(&store, "nb_1", "a line").await;
        let mut foreign = part("x_1", 0, [line("poison")]);
        foreign.stream.kind = "another";
        store.append(append([foreign])).await.expect("it commits");
        run(&store, "nb_1", Command::Close).await.expect("it closes");
        Follower::start(&store, &views, "node_1", Lines::default()).reaches(3).await;
        assert_eq!(rows(&views).await, [1, 3]);
        assert_eq!(parked(&views).await, []);
    }

    async fn another_node_takes_over_from_one_that_died(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        let dead = Follower::start(&store, &views, "node_1", Lines::default());
        let written = write(&store, "nb_1", "a line").await.position;
        dead.reaches(written).await;
        dead.die().await;

        let heir = Follower::start(&log.store().await, &views, "node_2", Lines::default());
        for _ in 0..10 {
            write(&store, "nb_1", "a line").await;
        }
        heir.reaches(11).await;
        assert_eq!(rows(&views).await, all(11));
    }

    async fn two_nodes_that_want_to_lead_apply_each_event_once(engine: Engine) {
        let log = Log::new(engine).await;
        let (store, views) = (log.store().await, views(&log).await);
        let rivals = ["node_1", "node_2"].map(|name| Follower::start(&store, &views, name, Lines::default()));
        for number in 0..60 {
            write(&store, &format!("nb_{}", number % 3), "a line").await;
        }
        for rival in &rivals {
            rival.reaches(60).await;
        }
        assert_eq!(rows(&views).await, all(60));
    }
}

/// On SQLite nobody else can write while a leader has its transaction open.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_was_replaced_commits_nothing() {
    let log = Log::new(Engine::Postgres).await;
    let (store, views) = (log.store().await, views(&log).await);
    let gate = Arc::new(Gate::default());
    let hung = Lines { gate: Some(gate.clone()), ..Lines::default() };
    let clocks = [Clock::default(), Clock::default()];
    let hung = Follower::with_clock(&store, &views, "node_1", hung, clocks[0].clone());
    let first = write(&store, "nb_1", "a line").await.position;
    patiently("the event at the gate", gate.reached.notified()).await;

    // To the other node the lease has run out.
    clocks[1].advance(60);
    let heir = Follower::with_clock(&store, &views, "node_2", Lines::default(), clocks[1].clone());
    heir.reaches(first).await;
    gate.open.add_permits(1_000);
    let second = write(&store, "nb_1", "a line").await.position;
    heir.reaches(second).await;

    // When the old leader leads again, what it was doing has ended.
    heir.stop().await;
    clocks[0].advance(120);
    let third = write(&store, "nb_1", "a line").await.position;
    hung.reaches(third).await;
    assert_eq!(rows(&views).await, all(3));
}
