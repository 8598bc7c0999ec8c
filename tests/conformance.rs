//! The same event store suite on both engines.
