//! Following the log: who has read how far, one leader each, the checkpoint in the transaction of the rows.

mod lease;
mod projection;
mod reactor;

pub use lease::Node;
pub use projection::{ApplyError, Progress, Projection, start_projection};
pub use reactor::{ReactError, Reactor, start_reactor};

use std::future::Future;
use std::pin::Pin;

/// A future that a trait object can return.
pub type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
