//! Writers that are killed: what was acknowledged is there exactly once, what was not leaves no trace of a hole.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use database::{Folder, LOG_SQLITE, open_sqlite};
use eventstore::{EventStore, Outcome};
use sqlx::Executor;
use support::{Engine, temporary_folder};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::log::{Log, all_at_once, is_whole, open, patiently};
use crate::notebook::{append, keyed, line, one, part, write};

const WRITERS: u64 = 8;
const LINES: u64 = 60;

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_a_lost_connection_writes_once() {
    let log = Log::new(Engine::Postgres).await;
    let store = log.store().await;
    let (cuts, done) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let cutter = tokio::spawn(cut_connections(log.server().connect("log").await, cuts.clone(), done.clone()));

    let writers = (0..WRITERS).map(|writer| {
        let (store, cuts) = (store.clone(), cuts.clone());
        async move { write_stubbornly(&store, writer, &cuts).await }
    });
    let acknowledged: Vec<(u64, String)> = all_at_once(writers).await.concat();
    done.store(true, Ordering::Release);
    cutter.await.expect("whoever cuts does not panic");

    let store = log.reopen().await;
    assert_eq!(is_whole(&log.database().await).await, WRITERS * LINES, "each request is there exactly once");
    every_acknowledged_line_is_there(&store, acknowledged).await;
}

/// Ends every connection of the store, again and again, at least a few times.
async fn cut_connections(mut console: sqlx::PgConnection, cuts: Arc<AtomicU64>, done: Arc<AtomicBool>) {
    while !done.load(Ordering::Acquire) {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'optare'";
        console.execute(sql).await.expect("a superuser may end connections");
        cuts.fetch_add(1, Ordering::AcqRel);
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

/// Writes its lines, each with a key, and sends a request again until it is answered.
async fn write_stubbornly(store: &EventStore, writer: u64, cuts: &AtomicU64) -> Vec<(u64, String)> {
    let id = format!("nb_{writer}");
    let mut acknowledged = Vec::new();
    for version in 0..LINES {
        // Spread over several cuts, so that requests are lost on every machine.
        while cuts.load(Ordering::Acquire) * 10 < version {
            tokio::task::yield_now().await;
        }
        let text = format!("line {version} of {writer}");
        let request = keyed(&text, "body", append([part(&id, version, [line(&text)])]));
        let position = loop {
            match store.append(request.clone()).await {
                Ok(Outcome::Committed { first, .. } | Outcome::AlreadyDone { first, .. }) => break first,
                Ok(outcome) => panic!("{text}: {outcome:?}"),
                Err(_) => tokio::task::yield_now().await,
            }
        };
        acknowledged.push((position, text));
    }
    acknowledged
}

async fn every_acknowledged_line_is_there(store: &EventStore, acknowledged: Vec<(u64, String)>) {
    let page = store.tail().page(0, 100_000).await.expect("the log can be read");
    let lines: HashMap<u64, &str> = page
        .iter()
        .map(|event| (event.position, event.payload().expect("it is readable")["line"].as_str().unwrap_or_default()))
        .collect();
    for (position, text) in acknowledged {
        assert_eq!(lines.get(&position).copied(), Some(text.as_str()), "position {position} was acknowledged");
    }
}

/// Set for the process that is going to be killed: the folder that it writes to.
const FOLDER: &str = "CONFORMANCE_WRITES_INTO";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_process_has_written_what_it_acknowledged() {
    let folder = temporary_folder("killed");
    let mut acknowledged = Vec::new();
    for enough in [40, 200, 500] {
        acknowledged.extend(write_until(enough, folder.path().to_owned()).await);

        let db = open_sqlite(&folder.path().join("log.sqlite"), LOG_SQLITE).await.expect("the log opens");
        let store = open(db.clone()).await.expect("the log opens with its key");
        let events = is_whole(&db).await;
        every_acknowledged_line_is_there(&store, acknowledged.clone()).await;
        let next = write(&store, &format!("nb_after_{enough}"), "it goes on").await;
        assert_eq!(next.position, events + 1);
        db.close().await;
    }
}

/// Starts a process that writes, kills it after `enough` acknowledgements, and answers all that it gave.
async fn write_until(enough: usize, folder: PathBuf) -> Vec<(u64, String)> {
    let mut child = Command::new(std::env::current_exe().expect("a running test has a path"))
        .args(["--exact", "killed::writes_until_it_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("this very binary can be started");
    let mut printed = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let mut acknowledged = Vec::new();
    while let Some(text) = printed.next_line().await.expect("its output can be read") {
        // The test harness prints something of its own before.
        let Some((_, text)) = text.split_once("acknowledged ") else { continue };
        let (position, line) = text.split_once(' ').expect("a position and a line");
        acknowledged.push((position.parse().expect("a position"), line.to_owned()));
        if acknowledged.len() == enough {
            child.start_kill().expect("it can be killed");
        }
    }
    let status = child.wait().await.expect("it ends");
    assert!(!status.success() && acknowledged.len() >= enough, "it was to be killed, and ended by itself: {status}");
    acknowledged
}

/// Not a test by itself: the process that [`write_until`] kills.
#[tokio::test(flavor = "multi_thread")]
async fn writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = Folder::open(folder).expect("nobody else holds the folder");
    let db = open_sqlite(&folder.file("log.sqlite"), LOG_SQLITE).await.expect("the log opens");
    let store = open(db).await.expect("the log opens with its key");
    let run = std::process::id();
    let writers = (0..WRITERS).map(|writer| {
        let store = store.clone();
        async move {
            for version in 0.. {
                let (id, text) = (format!("nb_{run}_{writer}"), format!("line {version} of {writer} in {run}"));
                let outcome = store.append(append([part(&id, version, [line(&text)])])).await;
                let Ok(Outcome::Committed { first, .. }) = outcome else { panic!("{outcome:?}") };
                println!("acknowledged {first} {text}");
            }
        }
    });
    all_at_once(writers).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_outlives_the_crash_of_its_server() {
    let mut postgres = support::Postgres::durable().await;
    let url = postgres.create_database("log").await;
    let schemas = [database::LOG_POSTGRES, database::VIEWS];
    let db = database::open_postgres(&url, 6, &schemas).await.expect("the test's own server opens");
    let store = open(db.clone()).await.expect("the log opens with its key");
    let id = |n: u64| format!("nb_{n}");
    for n in 0..50 {
        store.append(one(&id(n), 0)).await.expect("it commits");
    }
    postgres.kill().await;
    assert!(store.append(one(&id(50), 0)).await.is_err(), "nothing is acknowledged without a server");
    postgres.restart().await;

    // The same node goes on by itself.
    let position =
        support::eventually("a commit after the restart", async || match store.append(one("nb_after", 0)).await {
            Ok(Outcome::Committed { first, .. }) => Some(first),
            _ => None,
        })
        .await;
    assert_eq!(position, 51);
    patiently("the event after the restart", store.tail().after(50)).await;
    assert_eq!(is_whole(&db).await, 51);
}
