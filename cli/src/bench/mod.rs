//! `optare bench`: what this machine reaches, always as a ratio to a baseline of the same run.

mod append;
mod measure;
mod report;

pub use append::{AppendArgs, append};
