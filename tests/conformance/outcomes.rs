//! Each command of a batch is judged alone: who loses harms no neighbour and leaves no hole.

use eventstore::{Append, EventStore, Outcome, StoreError};
use support::on_both_engines;

use crate::log::{Log, all_at_once, is_whole};
use crate::notebook::{Event, append, claiming, event, keyed, line, one, part, personal, take, title};

on_both_engines! {
    async fn losers_do_not_harm_their_neighbours(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let first = keyed("key_1", "body", claiming([take(title("Diary"), "nb_first")], one("nb_first", 0)));
        assert_eq!(store.append(first.clone()).await.expect("it commits"), Outcome::Committed { first: 1, last: 1 });

        let commands = (0..20).flat_map(|n| {
            let own = |name: &str| format!("nb_{name}_{n}");
            [
                one(&own("good"), 0),
                one("nb_first", 0),
                one(&own("ahead"), 3),
                claiming([take(title("Diary"), &own("late"))], one(&own("late"), 0)),
                first.clone(),
                keyed("key_1", "another body", one(&own("other"), 0)),
                claiming([take(title(&own("free")), &own("claiming"))], one(&own("claiming"), 0)),
                twice_into_one_stream(&own("refused")),
            ]
        });
        let outcomes = all_at_once(commands.map(|command| sent(&store, command))).await;

        for of_one_kind in outcomes.chunks(8) {
            assert!(matches!(of_one_kind[0], Ok(Outcome::Committed { .. })), "{:?}", of_one_kind[0]);
            assert!(matches!(of_one_kind[1], Ok(Outcome::Conflict { actual: 1 })), "{:?}", of_one_kind[1]);
            assert!(matches!(of_one_kind[2], Ok(Outcome::Conflict { actual: 0 })), "{:?}", of_one_kind[2]);
            let taken = Outcome::ClaimTaken { claim: "title".to_owned() };
            assert!(matches!(&of_one_kind[3], Ok(outcome) if *outcome == taken), "{:?}", of_one_kind[3]);
            let done = Outcome::AlreadyDone { first: 1, last: 1 };
            assert!(matches!(&of_one_kind[4], Ok(outcome) if *outcome == done), "{:?}", of_one_kind[4]);
            assert!(matches!(of_one_kind[5], Ok(Outcome::IdempotencyMismatch)), "{:?}", of_one_kind[5]);
            assert!(matches!(of_one_kind[6], Ok(Outcome::Committed { .. })), "{:?}", of_one_kind[6]);
            assert!(of_one_kind[7].is_err(), "what the database refuses is an error: {:?}", of_one_kind[7]);
        }
        assert_eq!(is_whole(&log.database().await).await, 41);
        let nothing = store.events_of("notebook", "nb_late_0", 0).await.expect("a query");
        assert!(nothing.is_empty(), "a command that lost has stored nothing");
    }

    async fn rivals_for_one_version_have_one_winner(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let outcomes = all_at_once((0..30).map(|n| sent(&nodes[n % 2], one("nb_1", 0)))).await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Committed { .. }))).count();
        let lost = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Conflict { actual: 1 }))).count();
        assert_eq!((won, lost), (1, 29), "{outcomes:?}");
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn rivals_for_one_claim_have_one_winner(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let rivals = (0..30).map(|n| {
            let id = format!("nb_{n}");
            sent(&nodes[n % 2], claiming([take(title("Diary"), &id)], one(&id, 0)))
        });
        let outcomes = all_at_once(rivals).await;
        let winner = outcomes.iter().position(|outcome| matches!(outcome, Ok(Outcome::Committed { .. })));
        let lost = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::ClaimTaken { .. }))).count();
        assert_eq!(lost, 29, "{outcomes:?}");
        let owner = nodes[0].owner_of(&title("Diary")).await.expect("a query");
        assert_eq!(owner, winner.map(|n| format!("nb_{n}")));
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn commands_about_one_new_person_do_not_conflict(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let commands = (0..20).map(|n| {
            let signed = event(&Event::Signed { author: personal("user_ada", "ada@plain.example") });
            sent(&nodes[n % 2], append([part(&format!("nb_{n}"), 0, [signed])]))
        });
        let outcomes = all_at_once(commands).await;
        let won = outcomes.iter().filter(|outcome| matches!(outcome, Ok(Outcome::Committed { .. }))).count();
        assert_eq!(won, 20, "each has a stream of its own: {outcomes:?}");
    }

    async fn a_command_of_several_events_takes_positions_in_a_row(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let commands = (0..20).map(|n| {
            let id = format!("nb_{n}");
            let lines: Vec<_> = (0..5).map(|number| line(&format!("{number}"))).collect();
            let store = store.clone();
            async move {
                let outcome = store.append(append([part(&id, 0, lines)])).await;
                (id, outcome)
            }
        });
        for (id, outcome) in all_at_once(commands).await {
            let Ok(Outcome::Committed { first, last }) = outcome else { panic!("{outcome:?}") };
            let stored = store.events_of("notebook", &id, 0).await.expect("a query");
            assert!(stored.iter().map(|event| event.position).eq(first..=last));
            assert!(stored.iter().map(|event| event.version).eq(1..=5));
        }
        assert_eq!(is_whole(&log.database().await).await, 100);
    }
}

/// No database takes this: two events with the same version of the same stream.
fn twice_into_one_stream(id: &str) -> Append {
    append([part(id, 0, [line("one")]), part(id, 0, [line("another")])])
}

fn sent(
    store: &EventStore,
    command: Append,
) -> impl Future<Output = Result<Outcome, StoreError>> + Send + 'static + use<> {
    let store = store.clone();
    async move { store.append(command).await }
}
