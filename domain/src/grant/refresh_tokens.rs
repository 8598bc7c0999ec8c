//! The refresh tokens of one grant: rotation, the grace for lost answers, and how a replay is noticed.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{GrantError, RefreshIssue};
use crate::values::SecretHash;

/// The refresh tokens of a family: one works, the others are remembered to notice a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokens {
    current: RefreshIssue,
    generation: u64,
    previous: Option<Rotated>,
    /// The last few before those, oldest first.
    earlier: Vec<SecretHash>,
}

/// The token that the current one was given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rotated {
    hash: SecretHash,
    rotated_at: DateTime<Utc>,
}

/// What presenting a refresh token that was once ours leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    Rotates { generation: u64 },
    IsReplay,
}

impl RefreshTokens {
    /// How many tokens before the previous one are remembered. One that is older still is refused
    /// like a guess.
    const REMEMBERED: usize = 16;

    pub(super) fn beginning_with(first: RefreshIssue) -> Self {
        Self { current: first, generation: 0, previous: None, earlier: Vec::new() }
    }

    /// Rotation with reuse detection (RFC 9700 §4.14.2).
    pub(super) fn judge(
        &self,
        presented: &SecretHash,
        now: DateTime<Utc>,
        grace: Duration,
    ) -> Result<Presented, GrantError> {
        let rotates_to = |generation| {
            if now < self.current.expires_at {
                Ok(Presented::Rotates { generation })
            } else {
                Err(GrantError::RefreshExpired)
            }
        };
        if *presented == self.current.hash {
            return rotates_to(self.generation + 1);
        }
        match &self.previous {
            // Had the current token been used, it would be the previous one now: it never was, so
            // the answer that carried it may have got lost.
            Some(previous) if *presented == previous.hash && now - previous.rotated_at < grace => {
                rotates_to(self.generation)
            }
            Some(previous) if *presented == previous.hash => Ok(Presented::IsReplay),
            _ if self.earlier.contains(presented) => Ok(Presented::IsReplay),
            _ => Err(GrantError::InvalidRefreshToken),
        }
    }

    pub(super) fn rotate(&mut self, generation: u64, next: RefreshIssue, at: DateTime<Utc>) {
        let replaced = std::mem::replace(&mut self.current, next);
        if generation == self.generation {
            // The previous token was forgiven and stays the previous one.
            self.remember(replaced.hash);
            return;
        }
        self.generation = generation;
        let rotated = Rotated { hash: replaced.hash, rotated_at: at };
        if let Some(older) = self.previous.replace(rotated) {
            self.remember(older.hash);
        }
    }

    fn remember(&mut self, hash: SecretHash) {
        self.earlier.push(hash);
        if self.earlier.len() > Self::REMEMBERED {
            self.earlier.remove(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{at, parsed};

    fn token(number: usize) -> RefreshIssue {
        RefreshIssue { hash: parsed(&format!("{number:064}")), expires_at: at(1000) }
    }

    fn presenting(tokens: &RefreshTokens, number: usize) -> Result<Presented, GrantError> {
        tokens.judge(&token(number).hash, at(200), Duration::zero())
    }

    #[test]
    fn sixteen_tokens_before_the_previous_one_are_remembered() {
        let mut tokens = RefreshTokens::beginning_with(token(0));
        for number in 1..=18 {
            tokens.rotate(number as u64, token(number), at(100));
        }
        assert_eq!(presenting(&tokens, 0), Err(GrantError::InvalidRefreshToken));
        for number in 1..=17 {
            assert_eq!(presenting(&tokens, number), Ok(Presented::IsReplay));
        }
        let generation = 19;
        assert_eq!(presenting(&tokens, 18), Ok(Presented::Rotates { generation }));
    }
}
