//! The rules of Optare ID: one file per aggregate, from its commands to its tests, and the ids and
//! values that they speak of.
//!
//! What lives here decides and remembers. What does not: clocks, randomness, SQL, HTTP, tasks,
//! other crates of the workspace. Times, ids and hashes arrive in the command.

mod aggregate;
#[cfg(test)]
mod scenario;

pub mod event;
pub mod ids;
pub mod personal;
pub mod values;

pub mod api_key;
pub mod app;
pub mod consent;
pub mod grant;
pub mod instance;
pub mod oauth_client;
pub mod organization;
pub mod product;
pub mod resource_server;
pub mod session;
pub mod subscription;
pub mod user;
pub mod webhook_delivery;

pub use event::*;
pub use ids::*;
pub use personal::*;
pub use values::*;

pub use api_key::*;
pub use app::*;
pub use consent::*;
pub use grant::*;
pub use instance::*;
pub use oauth_client::*;
pub use organization::*;
pub use product::*;
pub use resource_server::*;
pub use session::*;
pub use subscription::*;
pub use user::*;
pub use webhook_delivery::*;
