//! Passwords: argon2id (m = 19 MiB, t = 2, p = 1) on a bounded number of blocking threads.

use std::sync::Arc;

use argon2::password_hash::phc;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use domain::PasswordHash;
use tokio::sync::Semaphore;

use crate::Problem;

/// The shortest password that is accepted, in characters (NIST SP 800-63B §3.1.1.2 asks for 8 with a second factor).
const SHORTEST: usize = 8;
/// The longest, in bytes: more would only cost time.
const LONGEST: usize = 1_024;
/// As many may wait for their turn as are done in about five seconds.
const QUEUE: usize = 200;

/// Hashes and checks passwords; cheap to clone.
#[derive(Clone)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    queue: Arc<Semaphore>,
}

impl Default for Passwords {
    fn default() -> Self {
        // One core stays free for everything else.
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let turns = cores.saturating_sub(1).max(1);
        Self { turns: Arc::new(Semaphore::new(turns)), queue: Arc::new(Semaphore::new(QUEUE)) }
    }
}

impl Passwords {
    /// Whether a new password could be hashed.
    ///
    /// # Errors
    /// When it is too short or too long.
    pub fn check(&self, password: &str) -> Result<(), Problem> {
        if password.chars().count() < SHORTEST || password.len() > LONGEST {
            let detail = format!("the password must have at least {SHORTEST} characters and at most {LONGEST} bytes");
            return Err(Problem::bad_field("password", detail));
        }
        Ok(())
    }

    /// Hashes a new password.
    ///
    /// # Errors
    /// When it is too short or too long, or the server is overloaded.
    pub async fn hash(&self, password: &str) -> Result<PasswordHash, Problem> {
        self.check(password)?;
        let password = password.to_owned();
        let hash: phc::PasswordHash = self
            .in_turn(move || Argon2::default().hash_password(password.as_bytes()))
            .await?
            .map_err(Problem::internal)?;
        hash.to_string().parse().map_err(Problem::internal)
    }

    /// Whether `password` is the one that was hashed. Without a hash it takes as long and is never right, so that
    /// the time does not tell whether an account exists.
    ///
    /// # Errors
    /// When the server is overloaded.
    pub async fn matches(&self, password: &str, hash: Option<&PasswordHash>) -> Result<bool, Problem> {
        let password: String = password.chars().take(LONGEST).collect();
        let hash = hash.map(|hash| hash.as_str().to_owned());
        self.in_turn(move || match hash.and_then(|hash| phc::PasswordHash::new(&hash).ok()) {
            Some(hash) => Argon2::default().verify_password(password.as_bytes(), &hash).is_ok(),
            None => {
                let _: Result<phc::PasswordHash, _> = Argon2::default().hash_password(password.as_bytes());
                false
            }
        })
        .await
    }

    async fn in_turn<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
        let place = self.queue.clone().try_acquire_owned().map_err(|_| Problem::overloaded())?;
        let turn = self.turns.clone().acquire_owned().await.map_err(Problem::internal)?;
        // Held by the work itself: whoever asked may hang up, and the work goes on.
        let in_turn = move || {
            let _held = (place, turn);
            work()
        };
        tokio::task::spawn_blocking(in_turn).await.map_err(Problem::internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_password_that_was_hashed_matches() {
        let passwords = Passwords::default();
        let hash = passwords.hash("correct horse").await.unwrap_or_else(|problem| panic!("{problem:?}"));
        assert!(matches!(passwords.matches("correct horse", Some(&hash)).await, Ok(true)));
        assert!(matches!(passwords.matches("battery staple", Some(&hash)).await, Ok(false)));
        assert!(matches!(passwords.matches("correct horse", None).await, Ok(false)));
    }

    #[tokio::test]
    async fn a_short_password_is_refused_by_name() {
        let refused = Passwords::default().hash("short").await;
        assert!(matches!(refused, Err(problem) if problem.code() == "invalid_password"));
    }
}
