//! Snapshots save work and nothing else: with one, without, or with a useless one, the state is the same.

use eventstore::EventStore;
use support::on_both_engines;

use crate::log::Log;
use crate::notebook::{Command, Notebook, append, line, part, personal, run};

const LINES: usize = 250;

on_both_engines! {
    async fn a_state_from_a_snapshot_is_the_same(engine: Engine) {
        let log = long_notebook(engine).await;
        let whole = load(&log.store().await).await;
        assert_eq!(whole.folded, LINES + 1);
        log.has_a_snapshot().await;
        run(&log.store().await, "nb_1", Command::Close).await.expect("it closes");

        let shortened = load(&log.reopen().await).await;
        assert_eq!(shortened.folded, 1, "only what came after the snapshot is folded");
        assert_eq!((&shortened.lines, &shortened.authors), (&whole.lines, &whole.authors));
        assert!(shortened.closed, "what came after the snapshot counts");
    }

    async fn a_command_on_a_state_from_a_snapshot_follows_it(engine: Engine) {
        let log = long_notebook(engine).await;
        load(&log.store().await).await;
        log.has_a_snapshot().await;
        let receipt = run(&log.reopen().await, "nb_1", Command::Close).await.expect("it closes");
        assert_eq!(receipt.version, LINES as u64 + 2);
    }

    async fn a_snapshot_of_another_program_is_ignored(engine: Engine) {
        spoilt(engine, "UPDATE snapshots SET fingerprint = 'of another program'").await;
    }

    async fn a_snapshot_that_does_not_open_is_ignored(engine: Engine) {
        spoilt(engine, "UPDATE snapshots SET state = 'garbage'").await;
    }

    async fn a_snapshot_may_be_deleted(engine: Engine) {
        spoilt(engine, "DELETE FROM snapshots").await;
    }

    async fn a_snapshot_of_another_program_is_replaced(engine: Engine) {
        let log = long_notebook(engine).await;
        load(&log.store().await).await;
        log.has_a_snapshot().await;
        log.console("UPDATE snapshots SET fingerprint = 'of another program', version = 1000000").await.expect("it runs");
        load(&log.reopen().await).await;
        let db = log.database().await;
        support::eventually("a snapshot of this program", async || -> Option<(i64,)> {
            let sql = "SELECT version FROM snapshots WHERE fingerprint <> 'of another program'";
            db.fetch_optional(sql, ()).await.expect("a query")
        })
        .await;
        assert_eq!(load(&log.reopen().await).await.folded, 0);
    }
}

/// A snapshot that `sql` has spoilt is as good as none.
async fn spoilt(engine: support::Engine, sql: &str) {
    let log = long_notebook(engine).await;
    let whole = load(&log.store().await).await;
    log.has_a_snapshot().await;
    log.console(sql).await.expect("a snapshot is no fact");
    let again = load(&log.reopen().await).await;
    assert_eq!(again.folded, LINES + 1, "every event is folded");
    assert_eq!((again.lines, again.authors), (whole.lines, whole.authors));
}

async fn long_notebook(engine: support::Engine) -> Log {
    let log = Log::new(engine).await;
    let store = log.store().await;
    let lines: Vec<_> = (0..LINES).map(|number| line(&format!("line {number}"))).collect();
    run(&store, "nb_1", Command::Sign(personal("user_ada", "ada@plain.example"))).await.expect("it signs");
    store.append(append([part("nb_1", 1, lines)])).await.expect("it commits");
    log
}

async fn load(store: &EventStore) -> Notebook {
    Notebook::clone(&store.load_fresh::<Notebook>("nb_1").await.expect("it loads").state)
}
