//! The time, which a development server can move forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Duration, SubsecRound, Utc};

/// The clock that everything asks; a clone is the same clock.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    advanced_seconds: Arc<AtomicI64>,
}

impl Clock {
    /// Now, to the microsecond, which is what both engines store.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        (Utc::now() + Duration::seconds(self.advanced_seconds.load(Ordering::Relaxed))).trunc_subsecs(6)
    }

    /// Moves the clock forward, for tests of what expires; a server allows it only with `--dev`.
    pub fn advance(&self, seconds: u32) {
        self.advanced_seconds.fetch_add(i64::from(seconds), Ordering::Relaxed);
    }
}
