//! Unique values: held by one stream, given up, taken over; who is a person is not stored in clear.

use eventstore::{Claim, Outcome};
use support::on_both_engines;

use crate::log::{Log, is_whole};
use crate::notebook::{claiming, one, release, take, title};

on_both_engines! {
    async fn a_claim_survives_a_reopen(engine: Engine) {
        let log = Log::new(engine).await;
        let command = claiming([take(title("Diary"), "nb_1")], one("nb_1", 0));
        log.store().await.append(command).await.expect("it commits");

        let store = log.reopen().await;
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query").as_deref(), Some("nb_1"));
        let outcome = store.append(claiming([take(title("Diary"), "nb_2")], one("nb_2", 0))).await.expect("an answer");
        assert_eq!(outcome, Outcome::ClaimTaken { claim: "title".to_owned() });
    }

    async fn a_released_claim_is_taken_by_another(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        for command in [
            claiming([take(title("Diary"), "nb_1")], one("nb_1", 0)),
            claiming([release(title("Diary"), "nb_1")], one("nb_1", 1)),
            claiming([take(title("Diary"), "nb_2")], one("nb_2", 0)),
        ] {
            let outcome = store.append(command).await.expect("an answer");
            assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        }
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query").as_deref(), Some("nb_2"));
    }

    async fn only_its_holder_gives_a_claim_up(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        store.append(claiming([take(title("Diary"), "nb_1")], one("nb_1", 0))).await.expect("it commits");
        store.append(claiming([release(title("Diary"), "nb_2")], one("nb_2", 0))).await.expect("it commits");
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query").as_deref(), Some("nb_1"));
    }

    async fn one_command_gives_up_one_value_and_takes_the_next(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        store.append(claiming([take(title("Diary"), "nb_1")], one("nb_1", 0))).await.expect("it commits");
        let rename = [release(title("Diary"), "nb_1"), take(title("Journal"), "nb_1")];
        store.append(claiming(rename, one("nb_1", 1))).await.expect("it commits");
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query"), None);
        assert_eq!(store.owner_of(&title("Journal")).await.expect("a query").as_deref(), Some("nb_1"));
    }

    async fn a_claim_changes_hands_within_one_command(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        store.append(claiming([take(title("Diary"), "nb_1")], one("nb_1", 0))).await.expect("it commits");
        let hand_over = [take(title("Diary"), "nb_2"), release(title("Diary"), "nb_1")];
        let outcome = store.append(claiming(hand_over, one("nb_2", 0))).await.expect("an answer");
        assert_eq!(outcome, Outcome::Committed { first: 2, last: 2 });
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query").as_deref(), Some("nb_2"));
    }

    async fn nobody_takes_a_claim_by_releasing_what_another_holds(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        store.append(claiming([take(title("Diary"), "nb_1")], one("nb_1", 0))).await.expect("it commits");
        let theft = [release(title("Diary"), "nb_2"), take(title("Diary"), "nb_2")];
        let outcome = store.append(claiming(theft, one("nb_2", 0))).await.expect("an answer");
        assert_eq!(outcome, Outcome::ClaimTaken { claim: "title".to_owned() });
        assert_eq!(store.owner_of(&title("Diary")).await.expect("a query").as_deref(), Some("nb_1"));
        assert_eq!(is_whole(&log.database().await).await, 1);
    }

    async fn a_claim_that_identifies_a_person_is_stored_as_a_hash(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let address = |value: &str| Claim { kind: "email", value: value.to_owned(), personal: true };
        store.append(claiming([take(address("ada@plain.example"), "nb_1")], one("nb_1", 0))).await.expect("it commits");

        let store = log.reopen().await;
        let owner = store.owner_of(&address("ada@plain.example")).await.expect("a query");
        assert_eq!(owner.as_deref(), Some("nb_1"), "the same value is found after a reopen");
        assert_eq!(store.owner_of(&address("eve@plain.example")).await.expect("a query"), None);
        let rows: Vec<(String,)> =
            log.database().await.fetch_all("SELECT value FROM claims", ()).await.expect("a query");
        assert!(rows.len() == 1 && !rows[0].0.contains("ada"), "{rows:?}");
    }
}
