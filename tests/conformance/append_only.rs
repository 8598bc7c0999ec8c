//! The database itself refuses to change or remove what happened, whoever asks.

use database::{Db, open_postgres};
use eventstore::{EventStore, Outcome};
use sqlx::{Executor, PgConnection};
use support::{Engine, on_both_engines};

use crate::log::{Log, follow, is_whole, open};
use crate::notebook::{Command, Notebook, claiming, one, personal, run, take, title, write};

on_both_engines! {
    async fn no_event_is_changed(engine: Engine) {
        let log = two_events(engine).await;
        refused(&log, "UPDATE events SET payload = '{}' WHERE position = 1", "append-only").await;
        refused(&log, "UPDATE events SET recorded_at = recorded_at", "append-only").await;
    }

    async fn no_event_is_removed(engine: Engine) {
        let log = two_events(engine).await;
        refused(&log, "DELETE FROM events WHERE position = 2", "append-only").await;
        refused(&log, "DELETE FROM events", "append-only").await;
    }

    async fn no_event_is_stored_under_another_ones_version(engine: Engine) {
        let log = two_events(engine).await;
        // On SQLite a replaced row is removed without asking the trigger that refuses removal.
        let insert = match engine {
            Engine::Sqlite => "INSERT OR REPLACE",
            Engine::Postgres => "INSERT",
        };
        let copy = "SELECT 3, tenant, stream_type, stream_id, version, event_id, event_type, schema_version, '{}',
                           context, recorded_at FROM events WHERE position = 1";
        let done = log.console(&format!("{insert} INTO events {copy}")).await;
        assert_eq!(is_whole(&log.database().await).await, 2, "{done:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_to_empty_the_log() {
    let log = two_events(Engine::Postgres).await;
    refused(&log, "TRUNCATE events", "append-only").await;
    refused(&log, "TRUNCATE events CASCADE", "append-only").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_refuses_a_position_that_is_not_the_next() {
    let log = two_events(Engine::Sqlite).await;
    for position in ["1", "2", "4", "0", "-1"] {
        let copy = format!(
            "SELECT {position}, tenant, stream_type, stream_id, 9, event_id, event_type, schema_version, payload,
                    context, recorded_at FROM events WHERE position = 1"
        );
        refused(&log, &format!("INSERT INTO events {copy}"), "the log is dense").await;
        refused(&log, &format!("INSERT OR REPLACE INTO events {copy}"), "the log is dense").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_role_appends_through_the_function_alone() {
    let log = Log::new(Engine::Postgres).await;
    let store = log.store().await;
    write(&store, "nb_1", "by the owner").await;
    let db = as_service(&log).await;
    let service = open(db.clone()).await.expect("the log opens with its key");

    run(&service, "nb_1", Command::Sign(personal("user_ada", "ada@plain.example"))).await.expect("it signs");
    let claiming = claiming([take(title("Diary"), "nb_2")], one("nb_2", 0));
    assert_eq!(service.append(claiming).await.expect("an answer"), Outcome::Committed { first: 3, last: 3 });
    assert_eq!(service.load_fresh::<Notebook>("nb_1").await.expect("it loads").version, 2);
    assert_eq!(follow(service.tail().clone(), 3).await.len(), 3);

    let Db::Postgres(pool) = &db else { panic!("this is PostgreSQL") };
    for forbidden in [
        "INSERT INTO events SELECT 4, tenant, stream_type, stream_id, 9, event_id, event_type, schema_version, payload,
                                   context, recorded_at FROM events WHERE position = 1",
        "UPDATE events SET payload = '{}'",
        "DELETE FROM events",
        "TRUNCATE events",
        "ALTER TABLE events DISABLE TRIGGER ALL",
        "UPDATE ledger SET position = 0",
        "UPDATE streams SET version = 0",
        "DELETE FROM claims",
        "DELETE FROM idempotency_keys",
    ] {
        let problem = pool.execute(forbidden).await.expect_err(forbidden).to_string();
        assert!(problem.contains("permission denied") || problem.contains("must be owner"), "{forbidden}: {problem}");
    }
    assert_eq!(is_whole(&log.database().await).await, 3);
}

/// A temporary table comes before all others in the search for a name, unless the function says otherwise: what
/// runs with its owner's rights must not touch a table of the caller's, whose triggers would run with them too.
#[tokio::test(flavor = "multi_thread")]
async fn the_append_function_does_not_look_into_temporary_tables() {
    let log = Log::new(Engine::Postgres).await;
    log.store().await;
    let db = as_service(&log).await;
    let Db::Postgres(pool) = &db else { panic!("this is PostgreSQL") };
    let mut connection = pool.acquire().await.expect("a connection");
    for table in ["ledger", "events", "streams"] {
        shadow(&mut connection, table).await;
    }
    let arrays = "now(), '{}', '{}', '{1}', '{notebook}', '{nb_1}', '{org_1}', '{0}', '{1}', '{1}', '{org_1}',
        '{notebook}', '{nb_1}', '{1}', '{id}', '{notebook.written}', '{1}', ARRAY['{}'], ARRAY['{}'],
        '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'";
    let call = sqlx::AssertSqlSafe(format!("SELECT base FROM append_events({arrays})"));
    let appended = connection.execute(call).await;
    let stored = is_whole(&log.database().await).await;
    assert_eq!(stored, 1, "the event went elsewhere: {appended:?}");
}

async fn shadow(connection: &mut PgConnection, table: &str) {
    let sql = format!(
        "CREATE TEMP TABLE {table} (LIKE public.{table} INCLUDING ALL);
         INSERT INTO pg_temp.{table} SELECT * FROM public.{table};
         GRANT ALL ON pg_temp.{table} TO PUBLIC"
    );
    connection.execute(sqlx::AssertSqlSafe(sql)).await.unwrap_or_else(|problem| panic!("{table}: {problem}"));
}

/// A role that owns nothing and may write nothing but what is no fact: keys, secrets and snapshots.
async fn as_service(log: &Log) -> Db {
    log.console(
        "CREATE ROLE service LOGIN;
         REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC;
         GRANT EXECUTE ON FUNCTION append_events TO service;
         GRANT SELECT ON ALL TABLES IN SCHEMA public TO service;
         GRANT INSERT, UPDATE ON subject_keys, snapshots TO service;
         GRANT INSERT, DELETE ON vault TO service;",
    )
    .await
    .expect("the owner may");
    let url = log.url().replace("postgres@", "service@");
    open_postgres(&url, 6, &[]).await.expect("the role may log in")
}

async fn two_events(engine: Engine) -> Log {
    let log = Log::new(engine).await;
    let store: EventStore = log.store().await;
    write(&store, "nb_1", "one").await;
    write(&store, "nb_1", "two").await;
    log
}

async fn refused(log: &Log, sql: &str, sentence: &str) {
    let before = contents(log).await;
    let problem = log.console(sql).await.expect_err(sql).to_string();
    assert!(problem.contains(sentence), "{sql}: {problem}");
    assert_eq!(contents(log).await, before, "{sql} has changed something");
}

async fn contents(log: &Log) -> Vec<(i64, String)> {
    log.database().await.fetch_all("SELECT position, payload FROM events ORDER BY position", ()).await.expect("a query")
}
