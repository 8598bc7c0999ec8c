//! Brute force: what may fail only so often is counted before it is tried, so that tries at once are counted too.
//!
//! After some failures there are pauses that double. A pause of an account holds off strangers; its owner has a
//! browser that is known to the account and is counted by itself, so nobody can lock an owner out.

use chrono::{DateTime, Duration, Utc};
use database::Error;

use crate::secrets::hex_digest;
use crate::settings::AccountSettings;
use crate::{App, Arrival};

/// What is counted: an account, an address, a browser.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Subject {
    key: String,
    free: u32,
    /// Many are behind it, so that the success of one proves nothing about the failures of others.
    shared: bool,
}

impl Subject {
    /// Something of one account; `what` says what is tried there.
    pub(crate) fn account(settings: &AccountSettings, what: &str, account: &str) -> Self {
        Self { key: key_of(what, account), free: settings.sign_in_tries, shared: false }
    }

    /// Where a request comes from.
    pub(crate) fn address(settings: &AccountSettings, what: &str, arrival: &Arrival) -> Self {
        let address = arrival.origin.ip.as_deref().map(network).unwrap_or_default();
        Self { key: key_of(what, &address), free: settings.sign_in_address_tries, shared: true }
    }
}

/// A hash: these rows are nobody's business.
fn key_of(what: &str, whose: &str) -> String {
    hex_digest(format!("{what}\n{whose}").as_bytes())
}

/// One household or data centre has as many IPv6 addresses as it likes; its network is one.
fn network(ip: &str) -> String {
    match ip.parse() {
        Ok(std::net::IpAddr::V6(v6)) if v6.to_ipv4_mapped().is_none() => {
            let [a, b, c, d, ..] = v6.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
        _ => ip.to_owned(),
    }
}

/// Whether there may be a try.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It counts as failed until [`succeeded`] is told otherwise.
    Yes,
    /// Not yet. Of several refusals in one pause only one is the `first`.
    Pause { seconds: i64, first: bool },
}

/// Counts a try of all `subjects`.
pub(crate) async fn turn(app: &App, mut subjects: Vec<Subject>) -> Result<Turn, Error> {
    // Always in the same order, so that two never wait for each other.
    subjects.sort();
    let (now, settings) = (app.now(), &app.settings.accounts);
    let mut tx = app.views.db.begin().await?;
    let mut counted = Vec::with_capacity(subjects.len());
    let (mut until, mut first) = (None, false);
    for subject in &subjects {
        let row: Option<(i64, DateTime<Utc>, bool, DateTime<Utc>)> = tx
            .fetch_optional(
                "INSERT INTO tries (subject, failures, paused_until, told, expires_at) VALUES ($1, 0, $2, FALSE, $2)
                 ON CONFLICT (subject) DO UPDATE SET failures = tries.failures
                 RETURNING failures, paused_until, told, expires_at",
                (subject.key.as_str(), now),
            )
            .await?;
        let Some((failures, paused_until, told, expires_at)) = row else { continue };
        if paused_until > now {
            until = until.max(Some(paused_until));
            first |= !told;
            tx.execute("UPDATE tries SET told = TRUE WHERE subject = $1", (subject.key.as_str(),)).await?;
        }
        counted.push((subject, if expires_at > now { failures } else { 0 }));
    }
    if let Some(until) = until {
        tx.commit().await?;
        return Ok(Turn::Pause { seconds: whole_seconds(until - now), first });
    }
    for (subject, failures) in counted {
        let failures = failures + 1;
        let pause = pause_after(settings, failures - i64::from(subject.free));
        let memory = settings.sign_in_memory.max(pause * 2);
        let sql = "UPDATE tries SET failures = $2, paused_until = $3, told = FALSE, expires_at = $4 WHERE subject = $1";
        tx.execute(sql, (subject.key.as_str(), failures, now + pause, now + memory)).await?;
    }
    tx.commit().await?;
    Ok(Turn::Yes)
}

/// The try that was counted did not fail.
pub(crate) async fn succeeded(app: &App, subjects: &[Subject]) -> Result<(), Error> {
    for subject in subjects {
        if subject.shared {
            let sql = "UPDATE tries SET failures = failures - 1, paused_until = $2 WHERE subject = $1 AND failures > 0";
            app.views.db.execute(sql, (subject.key.as_str(), app.now())).await?;
        } else {
            forget(app, subject).await?;
        }
    }
    Ok(())
}

/// Lifts what was counted against one account.
pub(crate) async fn forget(app: &App, subject: &Subject) -> Result<(), Error> {
    app.views.db.execute("DELETE FROM tries WHERE subject = $1", (subject.key.as_str(),)).await?;
    Ok(())
}

/// None while failures are free, then the first pause, doubled by each further failure.
fn pause_after(settings: &AccountSettings, beyond_free: i64) -> Duration {
    let Ok(doublings) = u32::try_from(beyond_free) else { return Duration::zero() };
    let doubled = settings.sign_in_pause.checked_mul(2_i32.saturating_pow(doublings.min(30)));
    doubled.unwrap_or(settings.sign_in_longest_pause).min(settings.sign_in_longest_pause)
}

/// For `Retry-After`: who comes then is not too early.
fn whole_seconds(pause: Duration) -> i64 {
    pause.num_seconds() + i64::from(pause.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let settings = AccountSettings::default();
        let seconds = |beyond| pause_after(&settings, beyond).num_seconds();
        assert_eq!([-4, -1, 0, 1, 2, 9, 10, 60].map(seconds), [0, 0, 1, 2, 4, 512, 900, 900]);
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_are_one() {
        assert_eq!(network("2001:db8:1:2:3::4"), network("2001:db8:1:2:ffff::1"));
        assert_ne!(network("2001:db8:1:2::1"), network("2001:db8:1:3::1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }

    #[test]
    fn who_comes_after_retry_after_is_not_too_early() {
        assert_eq!(whole_seconds(Duration::milliseconds(1)), 1);
        assert_eq!(whole_seconds(Duration::seconds(2)), 2);
    }
}
