//! `optare bench`: what this machine reaches, always as a ratio to a baseline of the same run.

mod append;
mod measure;
mod oidc;
mod report;

pub use append::{AppendArgs, append};
pub use oidc::{OidcArgs, bare_server, oidc};
