//! What tests start and talk to: servers, a webhook receiver, an HTTP client. All of it ends with the test.
//!
//! A test that cannot go on panics here, with a sentence that says what to do.

mod folders;
mod http;
pub mod jwt;
mod mail;
mod mail_server;
mod nats;
mod node;
mod oracle;
mod postgres;
mod process;
mod program;
mod python;
mod receiver;
pub mod seed;
mod server;
pub mod steps;

use std::time::{Duration, Instant};

pub use folders::{temporary_folder, workspace};
pub use http::{Answer, Http};
pub use mail::{Mail, mail_to, mails_to};
pub use mail_server::MailServer;
pub use nats::Nats;
pub use node::Node;
pub use oracle::Oracle;
pub use postgres::Postgres;
pub use process::{Signal, free_port};
pub use program::Program;
pub use python::Python;
pub use receiver::{Behaviour, Receiver, Request};
pub use server::{Initialised, Owner, Server, Setup, optare};

/// Where the log and the read models live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

/// Makes two tests of one body: `name::sqlite` and `name::postgres`.
#[macro_export]
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* async fn $name:ident($engine:ident: Engine) $body:block)+) => {$(
        mod $name {
            #[allow(unused_imports)]
            use super::*;

            async fn body($engine: $crate::Engine) $body

            $(#[$attribute])*
            #[::tokio::test(flavor = "multi_thread")]
            async fn sqlite() {
                body($crate::Engine::Sqlite).await;
            }

            $(#[$attribute])*
            #[::tokio::test(flavor = "multi_thread")]
            async fn postgres() {
                body($crate::Engine::Postgres).await;
            }
        }
    )+};
}

/// Looks again and again until there is something to see, and gives up after ten seconds.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let patience = Patience::of(Duration::from_secs(10));
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(patience.is_left().await, "waited ten seconds in vain: {what}");
    }
}

async fn within<T>(time: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let patience = Patience::of(time);
    loop {
        match look() {
            None if patience.is_left().await => {}
            seen => return seen,
        }
    }
}

struct Patience {
    end: Instant,
}

impl Patience {
    fn of(time: Duration) -> Self {
        Self { end: Instant::now() + time }
    }

    /// Takes a breath, and tells whether to look once more.
    async fn is_left(&self) -> bool {
        tokio::time::sleep(Duration::from_millis(10)).await;
        Instant::now() < self.end
    }
}
