//! What people and programs do from start to end, over HTTP, on both engines.
