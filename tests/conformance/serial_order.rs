//! Whatever is sent at once, the answers are those of one command after the other, in the order of the positions.

use std::collections::{BTreeSet, HashMap};

use eventstore::{Append, ClaimChange, EventStore, Outcome};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};
use support::on_both_engines;

use crate::log::{Log, all_at_once, is_whole};
use crate::notebook::{append, claiming, keyed, line, part, release, take, title};

const ROUNDS: usize = 40;

on_both_engines! {
    async fn concurrent_commands_end_as_if_one_came_after_the_other(engine: Engine) {
        let log = Log::new(engine).await;
        let nodes = [log.store().await, log.store().await];
        let mut random = TestRunner::new_with_rng(Config::default(), TestRunner::deterministic().new_rng());
        let rounds = prop::collection::vec(commands(), ROUNDS).new_tree(&mut random).expect("commands can be made");
        for (round, commands) in rounds.current().into_iter().enumerate() {
            let sent: Vec<Append> = commands.iter().map(|command| command.append(round)).collect();
            let tasks = sent.into_iter().enumerate().map(|(n, append)| {
                let store = nodes[n % 2].clone();
                async move { store.append(append).await.expect("an answer") }
            });
            let outcomes = all_at_once(tasks).await;
            Model::of(round, &commands, &outcomes).is_what_is_stored(&nodes[0]).await;
        }
        is_whole(&log.database().await).await;
    }
}

#[derive(Debug, Clone)]
struct Command {
    /// One or two streams out of a few, with the version that each is thought to have.
    streams: HashMap<usize, u64>,
    takes: BTreeSet<usize>,
    releases: BTreeSet<usize>,
    key: Option<usize>,
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let command = (
        prop::collection::hash_map(0..4_usize, 0..3_u64, 1..3),
        prop::collection::btree_set(0..3_usize, 0..2),
        prop::collection::btree_set(0..3_usize, 0..2),
        prop::option::weighted(0.3, 0..3_usize),
    );
    let command = command.prop_map(|(streams, takes, releases, key)| {
        let releases = releases.difference(&takes).copied().collect();
        Command { streams, takes, releases, key }
    });
    prop::collection::vec(command, 1..24)
}

fn stream(round: usize, stream: usize) -> String {
    format!("nb_{round}_{stream}")
}

impl Command {
    fn owner(&self, round: usize) -> String {
        stream(round, self.streams.keys().copied().min().unwrap_or_default())
    }

    fn append(&self, round: usize) -> Append {
        let value = |claim: &usize| title(&format!("{round}/{claim}"));
        let parts = self.streams.iter().map(|(id, expected)| part(&stream(round, *id), *expected, [line("a line")]));
        let takes = self.takes.iter().map(|claim| take(value(claim), &self.owner(round)));
        let releases = self.releases.iter().map(|claim| release(value(claim), &self.owner(round)));
        let changes: Vec<ClaimChange> = takes.chain(releases).collect();
        let command = claiming(changes, append(parts));
        match self.key {
            Some(key) => keyed(&format!("{round}/{key}"), "body", command),
            None => command,
        }
    }
}

/// What one command after the other would have done.
#[derive(Default)]
struct Model {
    round: usize,
    versions: HashMap<usize, u64>,
    claims: HashMap<usize, String>,
    keys: HashMap<usize, (u64, u64)>,
    claims_ever_held: BTreeSet<usize>,
}

impl Model {
    /// Replays the winners by their positions, and then asks whether the losers can have lost.
    fn of(round: usize, commands: &[Command], outcomes: &[Outcome]) -> Self {
        let mut model = Self { round, ..Self::default() };
        let mut winners: Vec<_> = commands
            .iter()
            .zip(outcomes)
            .filter_map(|(command, outcome)| match outcome {
                Outcome::Committed { first, last } => Some((*first, *last, command)),
                _ => None,
            })
            .collect();
        winners.sort_by_key(|(first, ..)| *first);
        for (first, last, command) in winners {
            model.win(first, last, command);
        }
        for (command, outcome) in commands.iter().zip(outcomes) {
            model.may_lose(command, outcome);
        }
        model
    }

    fn win(&mut self, first: u64, last: u64, command: &Command) {
        assert_eq!(last - first + 1, command.streams.len() as u64, "one position for each event");
        for (stream, expected) in &command.streams {
            let version = self.versions.entry(*stream).or_default();
            assert_eq!(version, expected, "it won on a version that was not there: {command:?}");
            *version += 1;
        }
        let owner = command.owner(self.round);
        for claim in &command.takes {
            assert!(!self.claims.contains_key(claim), "it won a claim that was held: {command:?}");
        }
        self.claims.retain(|claim, holder| !(command.releases.contains(claim) && *holder == owner));
        self.claims.extend(command.takes.iter().map(|claim| (*claim, owner.clone())));
        self.claims_ever_held.extend(&command.takes);
        if let Some(key) = command.key {
            assert_eq!(self.keys.insert(key, (first, last)), None, "its key was used: {command:?}");
        }
    }

    fn may_lose(&self, command: &Command, outcome: &Outcome) {
        let version = |stream| self.versions.get(stream).copied().unwrap_or_default();
        match outcome {
            Outcome::Committed { .. } => {}
            Outcome::Conflict { actual } => {
                let mut streams = command.streams.iter();
                let real = streams.any(|(stream, expected)| expected != actual && *actual <= version(stream));
                assert!(real, "no stream was ever at version {actual}: {command:?}");
            }
            Outcome::ClaimTaken { .. } => {
                assert!(!command.takes.is_disjoint(&self.claims_ever_held), "nobody held it: {command:?}");
            }
            Outcome::AlreadyDone { first, last } => {
                let done = command.key.and_then(|key| self.keys.get(&key));
                assert_eq!(done, Some(&(*first, *last)), "that is not when it was done: {command:?}");
            }
            Outcome::IdempotencyMismatch => panic!("all requests of a key are the same: {command:?}"),
        }
    }

    async fn is_what_is_stored(&self, store: &EventStore) {
        for number in 0..4 {
            let events = store.events_of("notebook", &stream(self.round, number), 0).await.expect("a query");
            let version = self.versions.get(&number).copied().unwrap_or_default();
            assert_eq!(events.len() as u64, version, "events of stream {number} in round {}", self.round);
        }
        for claim in 0..3 {
            let owner = store.owner_of(&title(&format!("{}/{claim}", self.round))).await.expect("a query");
            assert_eq!(owner.as_ref(), self.claims.get(&claim), "claim {claim} in round {}", self.round);
        }
    }
}
