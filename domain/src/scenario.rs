//! How the tests of an aggregate read: given what happened, when somebody asks, then this follows.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::str::FromStr;

use chrono::{DateTime, Duration, Utc};
use cqrs_es::test::TestFramework;
use cqrs_es::{Aggregate, DomainEvent};
use serde_json::Value;

use crate::event::Event;
use crate::values::SecretHash;

/// What happened before.
pub struct Scenario<A: Aggregate>(Vec<A::Event>);

/// What the command led to.
pub struct Outcome<A: Aggregate>(Result<Vec<A::Event>, A::Error>);

impl<A: Aggregate<Services = ()>> Scenario<A> {
    pub fn given(events: impl IntoIterator<Item = A::Event>) -> Self {
        Self(events.into_iter().collect())
    }

    pub fn when(self, command: A::Command) -> Outcome<A> {
        let framework = TestFramework::<A>::with(());
        Outcome(framework.given(self.0).when(command).inspect_result())
    }
}

impl<A: Aggregate> Outcome<A>
where
    A::Error: PartialEq,
{
    pub fn then(self, expected: impl IntoIterator<Item = A::Event>) {
        let expected: Vec<_> = expected.into_iter().collect();
        assert_eq!(self.0.expect("the command was refused"), expected);
    }

    pub fn then_nothing(self) {
        self.then([]);
    }

    pub fn then_refused(self, expected: A::Error) {
        assert_eq!(self.0.expect_err("the command was not refused"), expected);
    }
}

/// The state after these events.
pub fn after<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> A {
    let mut state = A::default();
    for event in events {
        state.apply(event);
    }
    state
}

/// Each event has exactly this JSON, is read back from it, and none of its stream is left out.
pub fn stored_as<A: Aggregate>(forms: impl IntoIterator<Item = (A::Event, Value)>, types: &[&str])
where
    A::Event: Into<Event>,
{
    let mut seen = BTreeSet::new();
    for (event, json) in forms {
        let tag = json["type"].as_str().expect("every event says its type");
        assert_eq!(event.event_type(), format!("{}.{tag}", A::TYPE));
        assert_eq!(event.event_version(), "1");
        assert_eq!(serde_json::to_value(&event).expect("an event is JSON"), json);

        let text = json.to_string();
        assert_eq!(serde_json::from_str::<A::Event>(&text).expect("its JSON is an event"), event);
        seen.insert(event.event_type());
        let decoded = Event::decode(A::TYPE, 1, json).expect("its stream is known");
        assert_eq!(decoded, event.into());
    }
    let all: BTreeSet<_> = types.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(seen, all, "every event of the stream has its stored form spelled out");
}

/// A value that the test knows to be valid.
pub fn parsed<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().expect("the test's own value is valid")
}

/// So many seconds after the beginning of 2026.
pub fn at(seconds: i64) -> DateTime<Utc> {
    parsed::<DateTime<Utc>>("2026-01-01T00:00:00Z") + Duration::seconds(seconds)
}

/// A hash made of one hexadecimal digit.
pub fn hash(digit: char) -> SecretHash {
    parsed(&hash_text(digit))
}

pub fn hash_text(digit: char) -> String {
    digit.to_string().repeat(64)
}
