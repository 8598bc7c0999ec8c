//! A stream belongs to a tenant; to the others it does not exist.

use eventstore::{Context, EventStore, ExecuteError, Execution, INSTANCE_TENANT};
use support::on_both_engines;

use crate::log::{Log, all_at_once, is_whole};
use crate::notebook::{Command, Done, Notebook};

on_both_engines! {
    async fn a_stream_of_another_tenant_does_not_exist(engine: Engine) {
        let log = Log::new(engine).await;
        for _ in 0..2 {
            // The second time from the log, not from memory.
            let store = log.reopen().await;
            write_in(&store, "nb_1", Some("org_1")).await.expect("it is theirs");
            let foreign = write_in(&store, "nb_1", Some("org_2")).await;
            assert!(matches!(foreign, Err(ExecuteError::NotFound("notebook"))), "{foreign:?}");
        }
        assert_eq!(is_whole(&log.database().await).await, 2);
    }

    /// Whether a command would be refused or is done already tells that the stream is there.
    async fn what_another_tenant_is_told_does_not_depend_on_the_state(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let (theirs, foreign) = (context(Some("org_1")), context(Some("org_2")));
        store.execute(Execution::<Notebook>::new("nb_1", Command::Close, &theirs)).await.expect("it closes");
        for command in [Command::Close, Command::Write("a line".to_owned()), Command::Reopen] {
            let told = store.execute(Execution::<Notebook>::new("nb_1", command, &foreign)).await;
            assert!(matches!(told, Err(ExecuteError::NotFound(_))), "{told:?}");
        }
    }

    async fn a_new_stream_takes_the_tenant_that_is_given(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let given = context(Some("org_1"));
        let command = || Command::Write("a line".to_owned());
        store.execute(Execution::<Notebook>::new("nb_given", command(), &given).in_tenant("org_9")).await.expect("it commits");
        write_in(&store, "nb_context", Some("org_1")).await.expect("it commits");
        write_in(&store, "nb_instance", None).await.expect("it commits");
        let store = log.reopen().await;
        for (id, tenant) in [("nb_given", "org_9"), ("nb_context", "org_1"), ("nb_instance", INSTANCE_TENANT)] {
            let loaded = store.load::<Notebook>(id).await.expect("it loads");
            assert_eq!(loaded.tenant.as_deref(), Some(tenant), "{id}");
            let events = store.events_of("notebook", id, 0).await.expect("a query");
            assert!(events.iter().all(|event| event.tenant == tenant), "{id}");
        }
    }

    async fn the_instance_reaches_every_stream_and_changes_no_owner(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        write_in(&store, "nb_1", Some("org_1")).await.expect("it commits");
        let nobody = context(None);
        let command = Command::Write("a line".to_owned());
        store.execute(Execution::<Notebook>::new("nb_1", command, &nobody).in_tenant("org_2")).await.expect("it commits");
        let events = log.reopen().await.events_of("notebook", "nb_1", 0).await.expect("a query");
        assert_eq!(events.iter().map(|event| event.tenant.as_str()).collect::<Vec<_>>(), ["org_1", "org_1"]);
    }

    async fn tenants_that_create_the_same_stream_at_once_have_one_winner(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let creations = (0..20).map(|n| {
            let store = nodes[n % 2].clone();
            async move { write_in(&store, "nb_1", Some(&format!("org_{n}"))).await }
        });
        let answers = all_at_once(creations).await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
        let losers = answers.iter().filter(|answer| matches!(answer, Err(ExecuteError::NotFound(_)))).count();
        assert_eq!(losers, 19, "{answers:?}");
        assert_eq!(is_whole(&log.database().await).await, 1);
    }
}

async fn write_in(store: &EventStore, id: &str, tenant: Option<&str>) -> Done {
    store.execute(Execution::new(id, Command::Write("a line".to_owned()), &context(tenant))).await
}

fn context(tenant: Option<&str>) -> Context {
    Context { tenant: tenant.map(str::to_owned), ..Context::system("suite") }
}
