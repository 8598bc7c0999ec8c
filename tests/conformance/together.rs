//! Several streams in one commit: all of it, or nothing.

use eventstore::{Context, EventStore, Outcome, Part};
use support::on_both_engines;

use crate::log::{Log, all_at_once, is_whole};
use crate::notebook::{Command, Notebook, take, title, write};

on_both_engines! {
    async fn parts_that_fit_are_committed_together(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let parts = vec![writes(&store, "nb_1").await, writes(&store, "nb_2").await];
        let claims = vec![take(title("Diary"), "nb_2")];
        let outcome = store.commit_together(parts, claims, &Context::system("suite")).await.expect("an answer");
        assert_eq!(outcome, Outcome::Committed { first: 1, last: 2 });
        assert_eq!(versions(&store).await, (1, 1));
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query").as_deref(), Some("nb_2"));
        assert_eq!(is_whole(&log.database().await).await, 2);
    }

    async fn one_stale_part_stops_all_of_them(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let parts = vec![writes(&store, "nb_1").await, writes(&store, "nb_2").await];
        write(&store, "nb_2", "meanwhile").await;
        let claims = vec![take(title("Diary"), "nb_1")];
        let outcome = store.commit_together(parts, claims, &Context::system("suite")).await.expect("an answer");
        assert_eq!(outcome, Outcome::Conflict { actual: 1 });
        assert_eq!(versions(&store).await, (0, 1));
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query"), None);
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn a_claim_that_is_taken_stops_all_parts(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let context = Context::system("suite");
        let first = vec![writes(&store, "nb_3").await];
        store.commit_together(first, vec![take(title("Diary"), "nb_3")], &context).await.expect("it commits");

        let parts = vec![writes(&store, "nb_1").await, writes(&store, "nb_2").await];
        let claims = vec![take(title("Journal"), "nb_1"), take(title("Diary"), "nb_2")];
        let outcome = store.commit_together(parts, claims, &context).await.expect("an answer");
        assert_eq!(outcome, Outcome::ClaimTaken { claim: "title".to_owned() });
        assert_eq!(versions(&store).await, (0, 0));
        assert_eq!(store.owner_of(&title("Journal")).await.expect("a query"), None);
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn rivals_that_cross_have_one_winner(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let mut rivals = Vec::new();
        for n in 0..20 {
            let store = nodes[n % 2].clone();
            // In both orders, since what locks one after the other would stand still here.
            let (one, other) = if n < 10 { ("nb_1", "nb_2") } else { ("nb_2", "nb_1") };
            rivals.push((store.clone(), vec![writes(&store, one).await, writes(&store, other).await]));
        }
        let commits = rivals.into_iter().map(|(store, parts)| async move {
            store.commit_together(parts, vec![], &Context::system("suite")).await.expect("an answer")
        });
        let outcomes = all_at_once(commits).await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, Outcome::Committed { .. })).count();
        assert_eq!(won, 1, "{outcomes:?}");
        assert_eq!(versions(&nodes[0]).await, (1, 1));
        assert_eq!(is_whole(&log.database().await).await, 2);
    }

    async fn a_part_with_nothing_to_do_leaves_no_trace(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let nothing = store.decide::<Notebook>("nb_2", "org_1", Command::Reopen).await.expect("it is open");
        let parts = vec![writes(&store, "nb_1").await, nothing];
        let outcome = store.commit_together(parts, vec![], &Context::system("suite")).await.expect("an answer");
        assert_eq!(outcome, Outcome::Committed { first: 1, last: 1 });
        let loaded = store.load_fresh::<Notebook>("nb_2").await.expect("it loads");
        assert_eq!((loaded.version, loaded.tenant), (0, None));
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn claims_without_events_are_stored_if_they_are_acknowledged(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        write(&store, "nb_1", "a line").await;
        let nothing = store.decide::<Notebook>("nb_1", "org_1", Command::Reopen).await.expect("it is open");
        let claims = vec![take(title("Diary"), "nb_1")];
        let outcome = store.commit_together(vec![nothing], claims, &Context::system("suite")).await;
        let owner = store.owner_of(&title("Diary")).await.expect("a query");
        let acknowledged = matches!(outcome, Ok(Outcome::Committed { .. }));
        assert_eq!(owner.is_some(), acknowledged, "the answer was {outcome:?}");
    }
}

async fn writes(store: &EventStore, id: &str) -> Part {
    store.decide::<Notebook>(id, "org_1", Command::Write("a line".to_owned())).await.expect("it is open")
}

/// Of `nb_1` and `nb_2`, as a later node reads them.
async fn versions(store: &EventStore) -> (u64, u64) {
    let one = store.load_fresh::<Notebook>("nb_1").await.expect("it loads");
    let other = store.load_fresh::<Notebook>("nb_2").await.expect("it loads");
    (one.version, other.version)
}
