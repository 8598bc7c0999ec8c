//! A session: one sign-in of a user, or one that was refused; short, and closed after it.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::UserId;
use crate::values::{SecretHash, choices};

choices! {
    /// Why a sign-in was refused. For the audit log; the person is told only that it was (R254).
    SignInRefusal: "reason" {
        UnknownUser = "unknown_user",
        WrongPassword = "wrong_password",
        Suspended = "suspended",
        NoPassword = "no_password",
        /// The second factor.
        WrongCode = "wrong_code",
        /// Too many tries before; at most the first of a pause is recorded.
        Throttled = "throttled",
    }
}

choices! {
    /// Why a session ended.
    EndReason: "reason" {
        SignedOut = "signed_out",
        Expired = "expired",
        Revoked = "revoked",
        PasswordChanged = "password_changed",
    }
}

#[derive(Debug, Clone)]
pub enum SessionCommand {
    /// `methods` are the `amr` values of RFC 8176, `secret_hash` is that of the cookie.
    Start {
        user_id: UserId,
        authenticated_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
        methods: Vec<String>,
        secret_hash: SecretHash,
        session_epoch: u64,
    },
    /// `user_id` is none when nobody is known under what was typed.
    Refuse {
        user_id: Option<UserId>,
        reason: SignInRefusal,
    },
    End {
        reason: EndReason,
    },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum SessionEvent {
    Started {
        user_id: UserId,
        authenticated_at: DateTime<Utc>,
        expires_at: DateTime<Utc>,
        methods: Vec<String>,
        secret_hash: SecretHash,
        #[serde(rename = "password_epoch")]
        session_epoch: u64,
    },
    Refused {
        user_id: Option<UserId>,
        reason: SignInRefusal,
    },
    Ended {
        reason: EndReason,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SessionError {
    #[error("this session does not exist")]
    NotFound,
    #[error("this session id is already used: each sign-in needs a new one")]
    AlreadyUsed,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Session {
    #[default]
    Unknown,
    Refused,
    Open(SignIn),
    Ended {
        sign_in: SignIn,
        reason: EndReason,
    },
}

/// Who signed in, when, how and for how long.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignIn {
    pub user_id: UserId,
    pub authenticated_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub methods: Vec<String>,
    pub secret_hash: SecretHash,
    /// Of the user when it began; it has ended when the user is in a later one (R270, R271).
    #[serde(alias = "password_epoch")]
    pub session_epoch: u64,
}

aggregate! {
    Session = "session",
    SessionCommand -> SessionEvent | SessionError,
    [
        Started = "started",
        Refused = "refused",
        Ended = "ended",
    ]
}

impl Session {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: SessionCommand) -> Result<Vec<SessionEvent>, SessionError> {
        use {Session as S, SessionCommand as C, SessionError as Refused, SessionEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Start { user_id, authenticated_at, expires_at, methods, secret_hash, session_epoch }) => {
                vec![E::Started { user_id, authenticated_at, expires_at, methods, secret_hash, session_epoch }]
            }
            (S::Unknown, C::Refuse { user_id, reason }) => vec![E::Refused { user_id, reason }],
            (_, C::Start { .. } | C::Refuse { .. }) => return Err(Refused::AlreadyUsed),

            (S::Unknown | S::Refused, C::End { .. }) => return Err(Refused::NotFound),
            (S::Open(_), C::End { reason }) => vec![E::Ended { reason }],
            (S::Ended { .. }, C::End { .. }) => vec![],
        })
    }

    pub fn apply(&mut self, event: SessionEvent) {
        use SessionEvent as E;
        match event {
            E::Started { user_id, authenticated_at, expires_at, methods, secret_hash, session_epoch } => {
                *self =
                    Self::Open(SignIn { user_id, authenticated_at, expires_at, methods, secret_hash, session_epoch });
            }
            E::Refused { .. } => *self = Self::Refused,
            E::Ended { reason } => {
                if let Some(sign_in) = self.sign_in().cloned() {
                    *self = Self::Ended { sign_in, reason };
                }
            }
        }
    }

    /// The sign-in, while nobody has ended it. Whether it expired is for `expires_at` to say.
    pub fn active(&self) -> Option<&SignIn> {
        match self {
            Self::Open(sign_in) => Some(sign_in),
            Self::Unknown | Self::Refused | Self::Ended { .. } => None,
        }
    }

    /// The sign-in, also after its end.
    pub fn sign_in(&self) -> Option<&SignIn> {
        match self {
            Self::Open(sign_in) | Self::Ended { sign_in, .. } => Some(sign_in),
            Self::Unknown | Self::Refused => None,
        }
    }

    /// Why it ended, if it did.
    pub fn ended(&self) -> Option<EndReason> {
        match self {
            Self::Ended { reason, .. } => Some(*reason),
            Self::Unknown | Self::Refused | Self::Open(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{SessionCommand as C, SessionError as Refused, SessionEvent as E, *};
    use crate::scenario::{Scenario, after, at, hash, hash_text, parsed, stored_as};

    fn given<const N: usize>(events: [E; N]) -> Scenario<Session> {
        Scenario::given(events)
    }

    fn started() -> E {
        E::Started {
            user_id: parsed("user_ada"),
            authenticated_at: at(0),
            expires_at: at(3600),
            methods: vec!["pwd".into()],
            secret_hash: hash('a'),
            session_epoch: 2,
        }
    }

    fn refused() -> E {
        let reason = SignInRefusal::WrongPassword;
        let user_id = Some(parsed("user_ada"));
        E::Refused { user_id, reason }
    }

    fn ended() -> E {
        let reason = EndReason::SignedOut;
        E::Ended { reason }
    }

    fn start() -> C {
        C::Start {
            user_id: parsed("user_ada"),
            authenticated_at: at(0),
            expires_at: at(3600),
            methods: vec!["pwd".into()],
            secret_hash: hash('a'),
            session_epoch: 2,
        }
    }

    fn refuse() -> C {
        let reason = SignInRefusal::WrongPassword;
        let user_id = Some(parsed("user_ada"));
        C::Refuse { user_id, reason }
    }

    fn end(reason: EndReason) -> C {
        C::End { reason }
    }

    #[test]
    fn a_sign_in_starts_a_session_or_is_refused() {
        given([]).when(start()).then([started()]);
        given([]).when(refuse()).then([refused()]);
    }

    #[test]
    fn a_session_id_is_used_once() {
        for before in [started(), refused()] {
            given([before.clone()]).when(start()).then_refused(Refused::AlreadyUsed);
            given([before]).when(refuse()).then_refused(Refused::AlreadyUsed);
        }
        given([started(), ended()]).when(start()).then_refused(Refused::AlreadyUsed);
    }

    #[test]
    fn a_session_ends_once() {
        given([started()]).when(end(EndReason::SignedOut)).then([ended()]);
        given([started(), ended()]).when(end(EndReason::Revoked)).then_nothing();
    }

    #[test]
    fn what_never_started_cannot_end() {
        given([]).when(end(EndReason::Expired)).then_refused(Refused::NotFound);
        given([refused()]).when(end(EndReason::Expired)).then_refused(Refused::NotFound);
    }

    #[test]
    fn an_ended_session_still_says_whose_it_was() {
        let open: Session = after([started()]);
        assert_eq!(open.active().unwrap().session_epoch, 2);
        let closed: Session = after([started(), ended()]);
        assert_eq!(closed.active(), None);
        assert_eq!(closed.sign_in().unwrap().user_id, parsed("user_ada"));
        assert_eq!(closed.ended(), Some(EndReason::SignedOut));
        assert_eq!(after::<Session>([refused()]).sign_in(), None);
    }

    #[test]
    fn stored_forms() {
        let nobody = E::Refused { user_id: None, reason: SignInRefusal::UnknownUser };
        stored_as::<Session>(
            [
                (
                    started(),
                    json!({
                        "type": "started",
                        "user_id": "user_ada",
                        "authenticated_at": "2026-01-01T00:00:00Z",
                        "expires_at": "2026-01-01T01:00:00Z",
                        "methods": ["pwd"],
                        "secret_hash": hash_text('a'),
                        "password_epoch": 2,
                    }),
                ),
                (refused(), json!({ "type": "refused", "user_id": "user_ada", "reason": "wrong_password" })),
                (nobody, json!({ "type": "refused", "user_id": null, "reason": "unknown_user" })),
                (ended(), json!({ "type": "ended", "reason": "signed_out" })),
            ],
            E::TYPES,
        );
    }
}
