//! What the event store promises, on both engines.

mod append_only;
mod claims;
mod damage;
mod follower;
mod framework;
mod killed;
mod log;
mod nodes;
mod notebook;
mod outcomes;
mod personal;
mod projections;
mod reactors;
mod requests_sent_twice;
mod serial_order;
mod snapshots;
mod tenants;
mod together;
mod writers;
