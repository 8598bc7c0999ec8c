//! Every number of webhook delivery, with its name and its default.

use std::time::Duration;

/// How webhooks are delivered.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether `http` and private addresses are allowed; only for development. Default: no.
    pub allow_private: bool,
    /// How long one attempt may take, from resolving the name to the last byte that is read. Default: 15 s.
    pub timeout: Duration,
    /// How much of it may pass before the connection stands. Default: 5 s.
    pub connect_timeout: Duration,
    /// How much longer than `timeout` a worker holds its lane. Default: 5 s.
    pub lease_margin: Duration,
    /// How many bytes of an answer are read at most. Default: 64 KiB.
    pub response_read_bytes: usize,
    /// How many bytes of an answer are kept in the delivery log. Default: 4 KiB.
    pub response_kept_bytes: usize,
    /// How many attempts this node makes at the same time. Default: 64.
    pub concurrency: usize,
    /// How many of them go to the same endpoint. Default: 4.
    pub concurrency_per_endpoint: usize,
    /// How long to wait after the first, second, … failed attempt; the last step repeats.
    /// Default: 5 s, 30 s, 2 min, 10 min, 30 min, 2 h, 6 h, 12 h, 24 h.
    pub retry_steps: Vec<Duration>,
    /// How far a step may vary, as a part of it, so that receivers do not meet all retries at once. Default: 0.2.
    pub retry_jitter: f64,
    /// How long a receiver's `Retry-After` is honoured at most. Default: 6 h.
    pub retry_after_limit: Duration,
    /// How long after its first attempt a delivery has its last one. Default: 5 days.
    pub horizon: Duration,
    /// How long to wait when an attempt could not even begin, which does not count as one. Default: 30 s.
    pub recheck: Duration,
    /// How often due lanes are looked for in the database, whether or not somebody told of them. Default: 1 s.
    pub sweep: Duration,
    /// The `user-agent` of every request. Default: `Optare-Webhooks/<version>`.
    pub user_agent: String,
    /// How long JetStream keeps a hint. Default: 24 h.
    pub hint_max_age: Duration,
    /// How long JetStream waits for a hint's acknowledgement before another node gets it. Default: 30 s.
    pub hint_ack_wait: Duration,
    /// How many copies a JetStream cluster keeps of the hints. Default: 1.
    pub hint_replicas: usize,
}

impl Default for Settings {
    fn default() -> Self {
        const MINUTE: u64 = 60;
        const HOUR: u64 = 60 * MINUTE;
        let steps = [5, 30, 2 * MINUTE, 10 * MINUTE, 30 * MINUTE, 2 * HOUR, 6 * HOUR, 12 * HOUR, 24 * HOUR];
        Self {
            allow_private: false,
            timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            lease_margin: Duration::from_secs(5),
            response_read_bytes: 64 * 1024,
            response_kept_bytes: 4 * 1024,
            concurrency: 64,
            concurrency_per_endpoint: 4,
            retry_steps: steps.map(Duration::from_secs).to_vec(),
            retry_jitter: 0.2,
            retry_after_limit: Duration::from_secs(6 * HOUR),
            horizon: Duration::from_secs(5 * 24 * HOUR),
            recheck: Duration::from_secs(30),
            sweep: Duration::from_secs(1),
            user_agent: concat!("Optare-Webhooks/", env!("CARGO_PKG_VERSION")).to_owned(),
            hint_max_age: Duration::from_secs(24 * HOUR),
            hint_ack_wait: Duration::from_secs(30),
            hint_replicas: 1,
        }
    }
}
