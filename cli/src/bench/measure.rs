//! Driving callers for a while and counting what they got done.

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

pub type Failure = Box<dyn Error + Send + Sync>;

/// Someone who asks for one thing after the other.
pub trait Caller: Send + 'static {
    /// Asks once and waits for the answer.
    fn call(&mut self) -> impl Future<Output = Result<(), Failure>> + Send;
}

/// What all callers together got done in one round.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
}

/// Lets all callers work at once; what is still unanswered when `time` is up does not count.
pub async fn drive<C: Caller>(callers: Vec<C>, time: Duration) -> Result<Sample, Failure> {
    let mut running = JoinSet::new();
    let start = Instant::now();
    for mut caller in callers {
        running.spawn(async move {
            let mut times = Vec::new();
            loop {
                let asked = Instant::now();
                caller.call().await?;
                if start.elapsed() > time {
                    return Ok::<_, Failure>(times);
                }
                times.push(asked.elapsed());
            }
        });
    }
    let mut times = Vec::new();
    while let Some(caller) = running.join_next().await {
        times.extend(caller??);
    }
    times.sort_unstable();
    let at = |share: f64| times.get((times.len() as f64 * share) as usize).copied().unwrap_or(time);
    Ok(Sample { per_second: times.len() as f64 / time.as_secs_f64(), p50: at(0.5), p99: at(0.99) })
}

/// The middle value; of an even number, the lower one of the two.
pub fn median<T: PartialOrd + Copy>(values: impl IntoIterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.into_iter().collect();
    values.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
    values.get(values.len().checked_sub(1)? / 2).copied()
}
