//! What the event store promises, on both engines.
