//! Personal data: sealed wherever it is stored, opened for readers, gone with its key.

use std::path::Path;

use database::Db;
use eventstore::{Actor, Claim, Clock, Context, EventStore, Execution, MasterKey, Origin, StoreError};
use serde_json::json;
use sqlx::AssertSqlSafe;
use support::{Engine, on_both_engines};

use crate::log::{Log, MASTER_KEY, follow, open};
use crate::notebook::{Command, Notebook, personal, run, take, write};

const ADDRESS: &str = "ada.lovelace@plain.example";
const IP: &str = "203.0.113.77";
const BROWSER: &str = "the browser that Ada uses";

on_both_engines! {
    async fn no_plain_value_is_stored(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        sign_as_ada(&store, "nb_1").await;
        // Enough for a snapshot, which holds the state.
        for number in 0..210 {
            write(&store, "nb_1", &format!("line {number}")).await;
        }
        let store = log.reopen().await;
        store.load::<Notebook>("nb_1").await.expect("it loads");
        log.has_a_snapshot().await;

        for plain in [ADDRESS, IP, BROWSER] {
            assert!(!stored(&log, engine, plain).await, "{plain} is stored in clear");
        }
        assert!(stored(&log, engine, "line 7").await, "what is not personal is found, so the search works");
    }

    async fn readers_get_the_plain_value(engine: Engine) {
        let log = Log::new(engine).await;
        sign_as_ada(&log.store().await, "nb_1").await;
        let store = log.reopen().await;

        let loaded = store.load::<Notebook>("nb_1").await.expect("it loads");
        assert_eq!(loaded.state.authors, [personal("user_ada", ADDRESS)]);
        let page = store.tail().page(0, 10).await.expect("the log can be read");
        let origin = Origin { ip: Some(IP.to_owned()), user_agent: Some(BROWSER.to_owned()) };
        assert_eq!(page[0].context.origin, Some(origin));
        assert_eq!(page[0].payload().expect("it is readable")["author"], personal("user_ada", ADDRESS));
    }

    async fn without_its_key_personal_data_reads_as_erased(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        sign_as_ada(&store, "nb_1").await;
        run(&store, "nb_1", Command::Sign(personal("user_eve", "eve@plain.example"))).await.expect("it signs");
        log.console("UPDATE subject_keys SET wrapped_key = NULL WHERE subject = 'user_ada'").await.expect("it runs");

        let store = log.reopen().await;
        let loaded = store.load::<Notebook>("nb_1").await.expect("it loads");
        let erased = json!({"$erased": {"subject": "user_ada"}});
        assert_eq!(loaded.state.authors, [erased, personal("user_eve", "eve@plain.example")]);
        let page = store.tail().page(0, 10).await.expect("the log can be read");
        assert!(page[0].context.origin.as_ref().is_none_or(|origin| *origin == Origin::default()), "nor from where");
        assert_eq!(page[0].context.actor, Actor::User("user_ada".to_owned()), "who it was stays known");
    }

    async fn nothing_more_is_kept_of_someone_erased(engine: Engine) {
        let log = Log::new(engine).await;
        sign_as_ada(&log.store().await, "nb_1").await;
        log.console("UPDATE subject_keys SET wrapped_key = NULL WHERE subject = 'user_ada'").await.expect("it runs");

        let store = log.reopen().await;
        sign_as_ada(&store, "nb_2").await;
        let store = log.reopen().await;
        let loaded = store.load::<Notebook>("nb_2").await.expect("it loads");
        assert_eq!(loaded.state.authors, [json!({"$erased": {"subject": "user_ada"}})]);
        assert!(!stored(&log, engine, ADDRESS).await);
    }

    /// A snapshot is a copy of the state, and a copy must not outlive the key.
    async fn erasure_reaches_what_a_snapshot_holds(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        sign_as_ada(&store, "nb_1").await;
        for number in 0..210 {
            write(&store, "nb_1", &format!("line {number}")).await;
        }
        log.reopen().await.load::<Notebook>("nb_1").await.expect("it loads");
        log.has_a_snapshot().await;
        log.console("UPDATE subject_keys SET wrapped_key = NULL WHERE subject = 'user_ada'").await.expect("it runs");

        let loaded = log.reopen().await.load::<Notebook>("nb_1").await.expect("it loads");
        assert_eq!(loaded.state.authors, [json!({"$erased": {"subject": "user_ada"}})]);
    }

    async fn a_lost_key_makes_only_its_own_events_unreadable(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        write(&store, "nb_1", "before").await;
        run(&store, "nb_2", Command::Sign(personal("user_ada", ADDRESS))).await.expect("it signs");
        write(&store, "nb_3", "after").await;
        log.console("DELETE FROM subject_keys WHERE subject = 'user_ada'").await.expect("it runs");

        let store = log.reopen().await;
        let Err(lost) = store.load::<Notebook>("nb_2").await else { panic!("a lost key was not noticed") };
        assert!(matches!(lost, StoreError::Unreadable { position: 2, .. }), "{lost}");
        for readable in ["nb_1", "nb_3"] {
            assert_eq!(store.load::<Notebook>(readable).await.expect("others load").version, 1);
        }
        let page = store.tail().page(0, 10).await.expect("the log can be read");
        let readable: Vec<bool> = page.iter().map(|event| event.payload().is_ok()).collect();
        assert_eq!(readable, [true, false, true]);
    }

    async fn many_commands_about_one_new_person_share_one_key(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let commands = (0..20).map(|n| {
            let (store, id) = (nodes[n % 2].clone(), format!("nb_{n}"));
            async move { run(&store, &id, Command::Sign(personal("user_ada", ADDRESS))).await.map(drop) }
        });
        for done in crate::log::all_at_once(commands).await {
            done.expect("it signs");
        }
        let store = log.reopen().await;
        assert_eq!(follow(store.tail().clone(), 20).await.len(), 20);
        for n in 0..20 {
            let loaded = store.load::<Notebook>(&format!("nb_{n}")).await.expect("it loads");
            assert_eq!(loaded.state.authors, [personal("user_ada", ADDRESS)]);
        }
    }

    async fn another_master_key_opens_nothing(engine: Engine) {
        let log = Log::new(engine).await;
        log.store().await;
        let other = MasterKey::parse("CAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAg=").expect("it is 32 bytes");
        let opened = EventStore::open(log.database().await, other, Clock::default(), &[]).await;
        assert!(matches!(opened, Err(StoreError::WrongMasterKey)));
        assert!(open(log.database().await).await.is_ok(), "the right one still does");
    }
}

#[test]
fn a_master_key_is_32_bytes_in_base64() {
    for bad in ["", "short", "BwcHBwcHBwcHBwcHBwcHBw==", "not base64 at all, whatever its length is!!!"] {
        assert!(matches!(MasterKey::parse(bad), Err(StoreError::BadMasterKey)), "{bad:?} was taken");
    }
    assert!(MasterKey::parse(&format!("{MASTER_KEY}\n")).is_ok(), "a file ends with a line end");
}

async fn sign_as_ada(store: &EventStore, id: &str) {
    let context = Context {
        actor: Actor::User("user_ada".to_owned()),
        origin: Some(Origin { ip: Some(IP.to_owned()), user_agent: Some(BROWSER.to_owned()) }),
        ..Context::default()
    };
    let address = Claim { kind: "email", value: format!("{id} {ADDRESS}"), personal: true };
    let sign = Execution::<Notebook>::new(id, Command::Sign(personal("user_ada", ADDRESS)), &context)
        .claiming([take(address, id)]);
    store.execute(sign).await.expect("it signs");
}

/// Whether `text` stands anywhere in what is stored.
async fn stored(log: &Log, engine: Engine, text: &str) -> bool {
    match engine {
        Engine::Sqlite => {
            let in_write_ahead_log = in_files(log.folder(), text);
            log.console("PRAGMA wal_checkpoint(TRUNCATE)").await.expect("it runs");
            in_write_ahead_log || in_files(log.folder(), text)
        }
        Engine::Postgres => in_tables(&log.database().await, text).await,
    }
}

fn in_files(folder: &Path, text: &str) -> bool {
    let files = std::fs::read_dir(folder).expect("the folder is there").flatten();
    let mut contents = files.map(|file| std::fs::read(file.path()).expect("its files can be read"));
    contents.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

async fn in_tables(db: &Db, text: &str) -> bool {
    let Db::Postgres(pool) = db else { panic!("only PostgreSQL is asked so") };
    let tables: Vec<(String,)> =
        db.fetch_all("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'", ()).await.expect("a query");
    let mut found = false;
    for (table,) in tables {
        // A row as text has every column in it.
        let sql = format!("SELECT count(*) FROM {table} t WHERE strpos(t::text, $1) > 0");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).bind(text).fetch_one(pool).await.expect("a query");
        found |= rows > 0;
    }
    found
}
