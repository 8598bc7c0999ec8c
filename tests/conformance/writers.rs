//! Many write at once: nothing is lost, nothing is there twice, everyone reads the same order.

use std::collections::BTreeSet;

use eventstore::{EventStore, ExecuteError};
use support::on_both_engines;

use crate::log::{Log, all_at_once, follow, is_whole};
use crate::notebook::{Command, Notebook, run};

const WRITERS: u64 = 16;
const LINES: u64 = 12;

on_both_engines! {
    async fn writers_of_many_streams_lose_nothing(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        everyone_writes(&log, &nodes, |writer| format!("nb_{}", writer % 5)).await;
    }

    async fn writers_of_one_stream_lose_nothing(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        everyone_writes(&log, &nodes, |_| "nb_1".to_owned()).await;
        let loaded = nodes[0].load_fresh::<Notebook>("nb_1").await.expect("it loads");
        assert_eq!(loaded.version, WRITERS * LINES);
        let lines: BTreeSet<_> = loaded.state.lines.iter().collect();
        assert_eq!(lines.len() as u64, WRITERS * LINES, "every line is there once");
    }

    async fn a_writer_keeps_its_own_order(engine: Engine) {
        let log = Log::new(engine).await;
        let store = log.store().await;
        let writers = (0..WRITERS).map(|writer| {
            let store = store.clone();
            async move { positions(&store, &format!("nb_{writer}"), writer).await }
        });
        for positions in all_at_once(writers).await {
            assert!(positions.is_sorted(), "what is written later stands later: {positions:?}");
        }
    }
}

/// Every writer writes its lines while two readers follow, one on each node.
async fn everyone_writes(log: &Log, nodes: &[EventStore; 2], stream_of: impl Fn(u64) -> String) {
    let readers = nodes.clone().map(|node| tokio::spawn(follow(node.tail().clone(), WRITERS * LINES)));
    let writers = (0..WRITERS).map(|writer| {
        let (store, stream) = (nodes[writer as usize % 2].clone(), stream_of(writer));
        async move { positions(&store, &stream, writer).await }
    });
    let acknowledged: Vec<u64> = all_at_once(writers).await.concat();

    assert_eq!(is_whole(&log.database().await).await, WRITERS * LINES);
    let distinct: BTreeSet<u64> = acknowledged.iter().copied().collect();
    assert!(distinct.into_iter().eq(1..=WRITERS * LINES), "every acknowledgement names a position of its own");
    let mut orders = Vec::new();
    for reader in readers {
        let seen = reader.await.expect("a reader does not panic");
        assert!(seen.iter().map(|(position, _)| *position).eq(1..=WRITERS * LINES), "every position once, in order");
        orders.push(seen);
    }
    assert_eq!(orders[0], orders[1], "every node reads the same events at the same positions");
}

/// Writes `LINES` lines and answers the positions that were acknowledged.
async fn positions(store: &EventStore, stream: &str, writer: u64) -> Vec<u64> {
    let mut positions = Vec::new();
    for number in 0..LINES {
        let line = format!("line {number} of writer {writer}");
        positions.push(loop {
            match run(store, stream, Command::Write(line.clone())).await {
                Ok(receipt) => break receipt.position,
                // With so many on one stream a command may be asked to come again.
                Err(ExecuteError::Contended(_)) => {}
                Err(problem) => panic!("{line} is not written: {problem}"),
            }
        });
    }
    positions
}
