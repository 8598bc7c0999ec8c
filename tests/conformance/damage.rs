//! A damaged log: whoever needs a lost event is told where it was, and nobody reads past it unknowingly.

use eventstore::StoreError;
use support::{Engine, on_both_engines};

use crate::log::Log;
use crate::notebook::{Command, Notebook, personal, run, write};

on_both_engines! {
    async fn a_damaged_payload_is_named_by_its_position(engine: Engine) {
        let log = three_notebooks(engine).await;
        log.damage("UPDATE events SET payload = '{\"type\": \"wri' WHERE position = 2").await;
        let store = log.reopen().await;
        unreadable_at(2, store.load::<Notebook>("nb_2").await.err());
        for readable in ["nb_1", "nb_3"] {
            assert!(store.load::<Notebook>(readable).await.is_ok(), "{readable} has no part in it");
        }
        let page = store.tail().page(0, 10).await.expect("the log can be followed");
        unreadable_at(2, page[1].payload().err());
        assert!(page[0].payload().is_ok() && page[2].payload().is_ok());
    }

    async fn a_damaged_context_is_named_by_its_position(engine: Engine) {
        let log = three_notebooks(engine).await;
        log.damage("UPDATE events SET context = 'nobody' WHERE position = 3").await;
        let store = log.reopen().await;
        unreadable_at(3, store.load::<Notebook>("nb_3").await.err());
        assert!(store.load::<Notebook>("nb_2").await.is_ok());
    }

    async fn an_event_of_no_known_type_is_named_by_its_position(engine: Engine) {
        let log = three_notebooks(engine).await;
        log.damage("UPDATE events SET payload = '{\"type\": \"burnt\"}' WHERE position = 1").await;
        let store = log.reopen().await;
        unreadable_at(1, store.load::<Notebook>("nb_1").await.err());
    }

    async fn a_changed_box_does_not_open(engine: Engine) {
        let log = three_notebooks(engine).await;
        let store = log.store().await;
        run(&store, "nb_4", Command::Sign(personal("user_ada", "ada@plain.example"))).await.expect("it signs");
        log.damage("UPDATE events SET payload = replace(payload, '\"box\":\"', '\"box\":\"AAAA') WHERE position = 4").await;
        let store = log.reopen().await;
        unreadable_at(4, store.load::<Notebook>("nb_4").await.err());
    }

    async fn a_removed_event_is_a_hole_for_all_who_follow(engine: Engine) {
        let log = three_notebooks(engine).await;
        log.damage("DELETE FROM events WHERE position = 2").await;
        let store = log.reopen().await;
        for (from, hole) in [(0, true), (1, true), (2, false)] {
            let page = store.tail().page(from, 10).await;
            assert_eq!(matches!(page, Err(StoreError::Hole { position: 2 })), hole, "read from {from}");
        }
    }

    async fn a_removed_event_in_a_stream_is_noticed_by_who_loads_it(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        for line in ["one", "two", "three"] {
            write(&store, "nb_1", line).await;
        }
        log.damage("DELETE FROM events WHERE position = 2").await;
        unreadable_at(3, log.reopen().await.load::<Notebook>("nb_1").await.err());
    }

    /// Else whoever was shut out is let in again by the loss of one row.
    async fn a_removed_last_event_of_a_stream_is_noticed_by_who_loads_it(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        write(&store, "nb_1", "one").await;
        run(&store, "nb_1", Command::Close).await.expect("it closes");
        write(&store, "nb_2", "later").await;
        log.damage("DELETE FROM events WHERE position = 2").await;

        let store = log.reopen().await;
        let Ok(loaded) = store.load::<Notebook>("nb_1").await else { return };
        panic!("it loads at version {} of 2, closed: {}", loaded.version, loaded.state.closed);
    }
}

async fn three_notebooks(engine: Engine) -> Log {
    let log = Log::new(engine).await;
    let store = log.store().await;
    for id in ["nb_1", "nb_2", "nb_3"] {
        write(&store, id, "a line").await;
    }
    log
}

fn unreadable_at(expected: u64, problem: Option<StoreError>) {
    let Some(StoreError::Unreadable { position, .. }) = problem else { panic!("it is not unreadable: {problem:?}") };
    assert_eq!(position, expected);
}
