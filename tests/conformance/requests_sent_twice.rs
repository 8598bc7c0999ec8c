//! A request with an idempotency key happens once, and is answered as the first time.

use eventstore::{Context, EventStore, ExecuteError, Execution, Outcome};
use support::on_both_engines;

use crate::log::{Log, all_at_once, is_whole};
use crate::notebook::{Closed, Command, Done, Event, idempotency, keyed, one, run, write};

on_both_engines! {
    async fn a_repeated_request_gets_the_first_receipt(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let first = request(&store, "nb_1", "key", "body").await.expect("it commits");
        write(&store, "nb_1", "another").await;
        let again = request(&store, "nb_1", "key", "body").await.expect("it is answered");
        assert!(!first.replayed && again.replayed);
        assert_eq!((&again.stream_id, again.position, &again.events), (&first.stream_id, first.position, &first.events));
        assert_eq!(is_whole(&log.database().await).await, 2);
    }

    async fn a_repeated_request_is_answered_after_a_reopen(engine: Engine) {
        let log = Log::new(engine).await;
        let first = request(&log.store().await, "nb_1", "key", "body").await.expect("it commits");
        let store = log.reopen().await;
        let again = request(&store, "nb_1", "key", "body").await.expect("it is answered");
        assert!(again.replayed);
        assert_eq!((again.position, again.events), (first.position, first.events));
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn a_repeated_request_is_answered_even_if_it_would_be_refused_now(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let first = request(&store, "nb_1", "key", "body").await.expect("it commits");
        run(&store, "nb_1", Command::Close).await.expect("it closes");
        let again = request(&store, "nb_1", "key", "body").await.expect("it is answered");
        assert_eq!((again.replayed, again.position), (true, first.position));
        let new = request(&store, "nb_1", "new key", "body").await;
        assert!(matches!(new, Err(ExecuteError::Rejected(Closed))), "{new:?}");
    }

    async fn a_repeated_creation_names_what_was_created_the_first_time(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        request(&store, "nb_first", "key", "body").await.expect("it commits");
        // The caller made a new id for what it thinks is new.
        let again = request(&store, "nb_second", "key", "body").await.expect("it is answered");
        assert_eq!((again.stream_id.as_str(), again.replayed), ("nb_first", true));
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn a_key_stands_for_one_request(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        request(&store, "nb_1", "key", "body").await.expect("it commits");
        let other = request(&store, "nb_1", "key", "another body").await;
        assert!(matches!(other, Err(ExecuteError::IdempotencyMismatch)), "{other:?}");
        run(&store, "nb_1", Command::Close).await.expect("it closes");
        let refused = request(&store, "nb_1", "key", "another body").await;
        assert!(matches!(refused, Err(ExecuteError::IdempotencyMismatch)), "also where a rule refuses: {refused:?}");
    }

    async fn a_request_sent_many_times_at_once_happens_once(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let requests = (0..30).map(|n| {
            let store = nodes[n % 2].clone();
            async move { request(&store, "nb_1", "key", "body").await.expect("it is answered") }
        });
        let receipts = all_at_once(requests).await;
        assert_eq!(receipts.iter().filter(|receipt| !receipt.replayed).count(), 1);
        assert!(receipts.iter().all(|receipt| receipt.position == 1 && receipt.events == [written()]));
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn a_request_that_lost_may_be_sent_again_with_its_key(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let lost = store.append(keyed("key", "body", one("nb_1", 5))).await.expect("an answer");
        assert_eq!(lost, Outcome::Conflict { actual: 0 });
        let again = store.append(keyed("key", "body", one("nb_1", 0))).await.expect("an answer");
        assert_eq!(again, Outcome::Committed { first: 1, last: 1 });
    }
}

async fn request(store: &EventStore, id: &str, key: &str, body: &str) -> Done {
    let context = Context::system("suite");
    let command = Command::Write("hello".to_owned());
    store.execute(Execution::new(id, command, &context).idempotent(idempotency(key, body))).await
}

fn written() -> Event {
    Event::Written { line: "hello".to_owned() }
}
