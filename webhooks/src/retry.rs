//! When to try again after a failed attempt.

use chrono::{DateTime, Duration, NaiveDateTime, Utc};

use crate::Settings;

/// When the next attempt is due, after `attempts` failed ones; `None` when the one that just failed was the last.
/// `random` is between 0 and 1.
pub(crate) fn next_attempt(
    settings: &Settings,
    attempts: i64,
    first_attempt_at: DateTime<Utc>,
    now: DateTime<Utc>,
    retry_after: Option<Duration>,
    random: f64,
) -> Option<DateTime<Utc>> {
    let last = first_attempt_at + span(settings.horizon);
    if now >= last {
        return None;
    }
    let wait = match retry_after {
        // At once would be a request per millisecond.
        Some(asked) => asked.clamp(Duration::seconds(1), span(settings.retry_after_limit).max(Duration::seconds(1))),
        None => step(settings, attempts, random),
    };
    Some((now + wait).min(last))
}

fn step(settings: &Settings, attempts: i64, random: f64) -> Duration {
    let failed_before = usize::try_from(attempts - 1).unwrap_or(0);
    let steps = &settings.retry_steps;
    let step = steps.get(failed_before).or(steps.last()).copied().unwrap_or(settings.recheck);
    let factor = 1.0 + settings.retry_jitter.clamp(0.0, 1.0) * (2.0 * random - 1.0);
    span(step.mul_f64(factor))
}

/// What `Retry-After` asks for: seconds, or a date (RFC 9110 §10.2.3).
pub(crate) fn retry_after(value: &str, now: DateTime<Utc>) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u32>() {
        return Some(Duration::seconds(i64::from(seconds)));
    }
    Some((http_date(value)? - now).max(Duration::zero()))
}

/// The three forms of RFC 9110 §5.6.7.
fn http_date(value: &str) -> Option<DateTime<Utc>> {
    ["%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"]
        .iter()
        .find_map(|form| NaiveDateTime::parse_from_str(value, form).ok())
        .map(|date| date.and_utc())
}

/// A span of settings as the calendar's; one of more than 100 years is cut there.
pub(crate) fn span(duration: std::time::Duration) -> Duration {
    let longest = Duration::days(36_500);
    Duration::from_std(duration).unwrap_or(longest).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + Duration::seconds(seconds)
    }

    #[test]
    fn the_steps_grow_and_stay_within_a_fifth() {
        let settings = Settings::default();
        let steps = [5, 30, 120, 600, 1_800, 7_200, 21_600, 43_200, 86_400, 86_400];
        for (attempts, step) in (1..).zip(steps) {
            for random in [0.0, 0.25, 0.5, 0.999] {
                let next = next_attempt(&settings, attempts, at(0), at(0), None, random);
                let waited = (next.expect("before the horizon") - at(0)).as_seconds_f64();
                assert!((waited - f64::from(step)).abs() <= f64::from(step) * 0.2, "{attempts}: {waited}");
            }
        }
    }

    #[test]
    fn the_last_attempt_is_at_the_horizon_and_none_after_it() {
        let settings = Settings::default();
        let five_days = 5 * 86_400;
        assert_eq!(next_attempt(&settings, 12, at(0), at(five_days - 60), None, 0.5), Some(at(five_days)));
        assert_eq!(next_attempt(&settings, 13, at(0), at(five_days), None, 0.5), None);
    }

    #[test]
    fn a_receiver_may_ask_for_up_to_six_hours() {
        let settings = Settings::default();
        let wait = |seconds| next_attempt(&settings, 1, at(0), at(0), Some(Duration::seconds(seconds)), 0.5);
        assert_eq!(wait(120), Some(at(120)));
        assert_eq!(wait(0), Some(at(1)));
        assert_eq!(wait(86_400), Some(at(6 * 3_600)));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = at(784_111_777 - 60); // Sun, 06 Nov 1994 08:49:37 GMT, a minute before
        let minute = Some(Duration::seconds(60));
        assert_eq!(retry_after(" 60 ", now), minute);
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), minute);
        assert_eq!(retry_after("Sunday, 06-Nov-94 08:49:37 GMT", now), minute);
        assert_eq!(retry_after("Sun Nov  6 08:49:37 1994", now), minute);
        assert_eq!(retry_after("Sat, 05 Nov 1994 08:49:37 GMT", now), Some(Duration::zero()));
        for nonsense in ["", "-5", "soon", "Sun, 32 Nov 1994 08:49:37 GMT"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense:?}");
        }
    }
}
