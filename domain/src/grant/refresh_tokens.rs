//! The refresh tokens of one grant: rotation, the grace for lost answers, and how a replay is noticed.

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};

use super::{GrantError, RefreshIssue};
use crate::values::SecretHash;

/// The refresh tokens of a family, by generation: those of the newest work, the others are remembered to notice a
/// replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshTokens {
    /// More than one if the token before was presented again during the grace: nobody knows which answer arrived.
    current: Vec<RefreshIssue>,
    generation: u64,
    previous: Option<Rotated>,
    /// The last few before those, oldest first.
    earlier: Vec<SecretHash>,
}

/// The tokens that the current ones were given for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Rotated {
    tokens: Vec<RefreshIssue>,
    rotated_at: DateTime<Utc>,
}

/// What presenting a refresh token that was once ours leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Presented {
    Rotates { generation: u64 },
    IsReplay,
}

impl RefreshTokens {
    /// How many tokens before the previous ones are remembered. One that is older still is refused
    /// like a guess.
    const REMEMBERED: usize = 16;
    /// How many of one generation work side by side.
    const SIBLINGS: usize = 8;

    pub(super) fn beginning_with(first: RefreshIssue) -> Self {
        Self { current: vec![first], generation: 0, previous: None, earlier: Vec::new() }
    }

    /// Rotation with reuse detection (RFC 9700 §4.14.2).
    pub(super) fn judge(
        &self,
        presented: &SecretHash,
        now: DateTime<Utc>,
        grace: Duration,
    ) -> Result<Presented, GrantError> {
        let unless_expired = |token: &RefreshIssue, generation| {
            if now < token.expires_at { Ok(Presented::Rotates { generation }) } else { Err(GrantError::RefreshExpired) }
        };
        if let Some(token) = found(&self.current, presented) {
            return unless_expired(token, self.generation + 1);
        }
        match self.previous.as_ref().and_then(|previous| Some((previous, found(&previous.tokens, presented)?))) {
            // Had a current token been used, it would be a previous one now: none was, so the answer that carried it
            // may have got lost.
            Some((previous, token)) if now - previous.rotated_at < grace => unless_expired(token, self.generation),
            Some(_) => Ok(Presented::IsReplay),
            None if self.earlier.contains(presented) => Ok(Presented::IsReplay),
            None => Err(GrantError::InvalidRefreshToken),
        }
    }

    /// The token with this hash, if presenting it now would bring new ones.
    pub(super) fn working(&self, hash: &SecretHash, now: DateTime<Utc>, grace: Duration) -> Option<&RefreshIssue> {
        match self.judge(hash, now, grace) {
            Ok(Presented::Rotates { .. }) => {
                let previous = self.previous.as_ref().and_then(|previous| found(&previous.tokens, hash));
                found(&self.current, hash).or(previous)
            }
            Ok(Presented::IsReplay) | Err(_) => None,
        }
    }

    pub(super) fn rotate(&mut self, generation: u64, next: RefreshIssue, at: DateTime<Utc>) {
        if generation == self.generation {
            // The token before was forgiven and stays the one before.
            self.current.push(next);
            if self.current.len() > Self::SIBLINGS {
                let oldest = self.current.remove(0);
                self.remember(oldest.hash);
            }
            return;
        }
        self.generation = generation;
        let tokens = std::mem::replace(&mut self.current, vec![next]);
        let older = self.previous.replace(Rotated { tokens, rotated_at: at });
        for token in older.into_iter().flat_map(|older| older.tokens) {
            self.remember(token.hash);
        }
    }

    fn remember(&mut self, hash: SecretHash) {
        self.earlier.push(hash);
        if self.earlier.len() > Self::REMEMBERED {
            self.earlier.remove(0);
        }
    }
}

fn found<'a>(tokens: &'a [RefreshIssue], hash: &SecretHash) -> Option<&'a RefreshIssue> {
    tokens.iter().find(|token| token.hash == *hash)
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

    #[test]
    fn of_two_answers_to_one_token_either_may_have_arrived() {
        let grace = Duration::seconds(60);
        let mut tokens = RefreshTokens::beginning_with(token(0));
        tokens.rotate(1, token(1), at(100));
        // The same token, sent again or by a second request at the same time.
        assert_eq!(tokens.judge(&token(0).hash, at(101), grace), Ok(Presented::Rotates { generation: 1 }));
        tokens.rotate(1, token(2), at(101));
        for number in [1, 2] {
            assert_eq!(presenting(&tokens, number), Ok(Presented::Rotates { generation: 2 }));
            assert!(tokens.working(&token(number).hash, at(200), grace).is_some());
        }
        // Once one of them is used, the other is as old as the one used, and the first one is stolen goods.
        tokens.rotate(2, token(3), at(200));
        assert_eq!(presenting(&tokens, 2), Ok(Presented::IsReplay));
        assert_eq!(tokens.judge(&token(2).hash, at(201), grace), Ok(Presented::Rotates { generation: 2 }));
        assert_eq!(tokens.judge(&token(0).hash, at(201), grace), Ok(Presented::IsReplay));
        assert!(tokens.working(&token(0).hash, at(201), grace).is_none());
    }
}
