//! Several nodes on one log: what one remembers is never an answer when another knows better.

use eventstore::ExecuteError;
use support::on_both_engines;

use crate::log::{Log, is_whole, patiently};
use crate::notebook::{Closed, Command, Notebook, run, write};

on_both_engines! {
    async fn what_stale_memory_refuses_is_decided_on_the_log(engine: Engine) {
        let log = Log::new(engine).await;
        let (here, elsewhere) = (log.forgetful_store().await, log.store().await);
        run(&here, "nb_1", Command::Close).await.expect("it closes");
        run(&elsewhere, "nb_1", Command::Reopen).await.expect("it opens");
        assert!(here.load::<Notebook>("nb_1").await.expect("it loads").state.closed, "this node remembers it closed");

        let receipt = write(&here, "nb_1", "after all").await;
        assert_eq!((receipt.version, receipt.position), (3, 3));
    }

    async fn what_stale_memory_calls_done_is_decided_on_the_log(engine: Engine) {
        let log = Log::new(engine).await;
        let (here, elsewhere) = (log.forgetful_store().await, log.store().await);
        run(&here, "nb_1", Command::Close).await.expect("it closes");
        run(&elsewhere, "nb_1", Command::Reopen).await.expect("it opens");

        let receipt = run(&here, "nb_1", Command::Close).await.expect("it closes again");
        assert_eq!((receipt.events.len(), receipt.version), (1, 3));
    }

    async fn what_stale_memory_allows_is_refused_by_the_log(engine: Engine) {
        let log = Log::new(engine).await;
        let (here, elsewhere) = (log.forgetful_store().await, log.store().await);
        write(&here, "nb_1", "one").await;
        run(&elsewhere, "nb_1", Command::Close).await.expect("it closes");

        let refused = run(&here, "nb_1", Command::Write("two".to_owned())).await;
        assert!(matches!(refused, Err(ExecuteError::Rejected(Closed))), "{refused:?}");
        assert_eq!(is_whole(&log.database().await).await, 2);
    }

    async fn a_conflict_is_decided_again(engine: Engine) {
        let log = Log::new(engine).await;
        let (here, elsewhere) = (log.forgetful_store().await, log.store().await);
        write(&here, "nb_1", "one").await;
        write(&elsewhere, "nb_1", "two").await;
        let receipt = write(&here, "nb_1", "three").await;
        assert_eq!(receipt.version, 3);
        assert_eq!(receipt.state.lines, ["one", "two", "three"]);
    }

    async fn memory_is_fresh_once_the_tail_has_seen_the_event(engine: Engine) {
        let log = Log::new(engine).await;
        let (here, elsewhere) = (log.store().await, log.store().await);
        for round in 0..20 {
            let position = write(&elsewhere, "nb_1", &format!("line {round}")).await.position;
            patiently("the event", here.tail().after(position - 1)).await;
            let loaded = here.load::<Notebook>("nb_1").await.expect("it loads");
            assert_eq!((loaded.version, loaded.state.lines.len()), (round + 1, round as usize + 1));
        }
    }

    /// Whoever waits for the receipt's position must find what the receipt says.
    async fn a_receipt_of_nothing_to_do_names_a_position_that_shows_why(engine: Engine) {
        let log = Log::new(engine).await;
        let (here, elsewhere) = (log.store().await, log.store().await);
        for round in 0..20 {
            let notebook = format!("nb_{round}");
            let closed = run(&elsewhere, &notebook, Command::Close).await.expect("it closes").position;
            let nothing = run(&here, &notebook, Command::Close).await.expect("it is closed already");
            assert!(nothing.events.is_empty());
            assert!(nothing.position >= closed, "it was closed at {closed}, not at {}", nothing.position);
        }
    }

    async fn a_node_opened_later_knows_all_that_was_written(engine: Engine) {
        let log = Log::new(engine).await;
        let here = log.store().await;
        for round in 0..10 {
            write(&here, "nb_1", &format!("line {round}")).await;
        }
        let later = log.store().await;
        assert_eq!(later.tail().head(), 10);
        assert_eq!(later.load::<Notebook>("nb_1").await.expect("it loads").version, 10);
    }
}
