//! The log as cqrs-es sees it: its own framework runs commands on it.

use cqrs_es::{AggregateError, CqrsFramework, EventEnvelope, EventStore};
use support::on_both_engines;

use crate::log::{Log, is_whole};
use crate::notebook::{Closed, Command, Event, Notebook, run, write};

on_both_engines! {
    async fn the_framework_runs_commands_on_the_log(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let framework = CqrsFramework::<Notebook, _>::new(store.clone(), vec![], ());
        framework.execute("nb_1", Command::Write("by the framework".to_owned())).await.expect("it commits");
        write(&store, "nb_1", "by ourselves").await;
        framework.execute("nb_1", Command::Close).await.expect("it commits");
        framework.execute("nb_1", Command::Close).await.expect("nothing to do is no error");

        let events: Vec<EventEnvelope<Notebook>> = store.load_events("nb_1").await.expect("it loads");
        let told: Vec<_> = events.iter().map(|event| (event.sequence, event.payload.clone())).collect();
        let written = |line: &str| Event::Written { line: line.to_owned() };
        assert_eq!(told, [(1, written("by the framework")), (2, written("by ourselves")), (3, Event::Closed)]);
        assert!(events.iter().all(|event| event.aggregate_id == "nb_1"));
        assert_eq!(is_whole(&log.database().await).await, 3);
    }

    async fn a_rule_refuses_in_the_framework_too(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        run(&store, "nb_1", Command::Close).await.expect("it closes");
        let framework = CqrsFramework::<Notebook, _>::new(store, vec![], ());
        let refused = framework.execute("nb_1", Command::Write("too late".to_owned())).await;
        assert!(matches!(refused, Err(AggregateError::UserError(Closed))), "{refused:?}");
    }

    async fn a_stale_commit_of_the_framework_is_a_conflict(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let stale = EventStore::<Notebook>::load_aggregate(&store, "nb_1").await.expect("it loads");
        write(&store, "nb_1", "meanwhile").await;
        let committed = store.commit(vec![Event::Closed], stale, [].into()).await;
        assert!(matches!(committed, Err(AggregateError::AggregateConflict)), "{committed:?}");
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn a_damaged_event_is_an_error_of_the_framework(engine: Engine) {
        let log = Log::new(engine).await;
        write(&log.store().await, "nb_1", "a line").await;
        log.damage("UPDATE events SET payload = 'x'").await;
        let store = log.reopen().await;
        let loaded = EventStore::<Notebook>::load_events(&store, "nb_1").await;
        let Err(AggregateError::UnexpectedError(problem)) = loaded else { panic!("{loaded:?}") };
        assert!(problem.to_string().contains("position 1"), "{problem}");
    }
}
