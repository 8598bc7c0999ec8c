//! The log: append, load, follow. The only place where facts are written.
//!
//! Commands come in through [`EventStore::execute`], wait for the node's one appender, and are answered when
//! their batch is durable. Everything else tails the log in order ([`Tail`], [`follow`]).
//! What may not live here: any rule about what the events mean, and any read model.

mod appender;
mod cache;
mod clock;
mod cqrs;
mod error;
mod executor;
pub mod follow;
mod keys;
mod personal;
mod postgres;
mod record;
mod sqlite;
mod store;
mod tail;
mod vault;

pub use appender::{Append, Claim, ClaimChange, Idempotency, NewEvent, Outcome, StreamAppend};
pub use clock::Clock;
pub use error::{ExecuteError, StoreError};
pub use executor::{Execution, Part, Receipt};
pub use keys::{MasterKey, Secret};
pub use record::{Actor, Context, Origin, Recorded, StreamId};
pub use store::{EventStore, Loaded};
pub use tail::Tail;
pub use vault::Vault;

/// The type name of an aggregate's streams.
#[must_use]
pub const fn aggregate_type<A: cqrs_es::Aggregate>() -> &'static str {
    A::TYPE
}

/// The tenant of streams that belong to no organization.
pub const INSTANCE_TENANT: &str = "instance";
