//! A grant: one authorization of a client by a user, its code, and the family of tokens that comes
//! from it (sections B and D).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{ClientId, OrganizationId, SessionId, UserId};
use crate::values::{CodeChallenge, CodeChallengeMethod, RedirectUri, Scopes, SecretHash, choices};

mod refresh_tokens;
#[cfg(test)]
mod tests;

use refresh_tokens::Presented;
pub use refresh_tokens::RefreshTokens;

choices! {
    /// Why a client may act for the user.
    Approval: "approval" {
        /// The user's organization installed the app (R036).
        InstalledApp = "installed_app",
        /// The user agreed, now or earlier (R037, R039).
        Consent = "consent",
    }
}

choices! {
    /// Why a grant ended.
    RevocationReason: "reason" {
        User = "user",
        Client = "client",
        CodeReplayed = "code_replayed",
        RefreshReplayed = "refresh_replayed",
        ClientDeleted = "client_deleted",
        SessionEnded = "session_ended",
        PasswordChanged = "password_changed",
        Admin = "admin",
    }
}

#[derive(Debug, Clone)]
pub enum GrantCommand {
    Authorize {
        client_id: ClientId,
        user_id: UserId,
        organization_id: Option<OrganizationId>,
        session_id: SessionId,
        scopes: Scopes,
        redirect_uri: RedirectUri,
        nonce: Option<String>,
        code_challenge: Option<CodeChallenge>,
        auth_time: DateTime<Utc>,
        approval: Approval,
        code_hash: SecretHash,
        code_expires_at: DateTime<Utc>,
    },
    RedeemCode {
        code_hash: SecretHash,
        client_id: ClientId,
        redirect_uri: String,
        verifier: Option<Verifier>,
        now: DateTime<Utc>,
        access_token_id: String,
        refresh: Option<RefreshIssue>,
    },
    /// A used token is forgiven for `grace`, as long as its successor was not used (R089).
    Refresh {
        presented: SecretHash,
        client_id: ClientId,
        now: DateTime<Utc>,
        grace: Duration,
        access_token_id: String,
        next: RefreshIssue,
    },
    Revoke {
        reason: RevocationReason,
        now: DateTime<Utc>,
    },
}

/// A PKCE verifier as it was presented, and the base64url of its SHA-256 (RFC 7636 §4.6).
#[derive(Clone, PartialEq, Eq)]
pub struct Verifier {
    pub plain: String,
    pub s256: String,
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier(…)")
    }
}

/// A refresh token that is handed out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefreshIssue {
    pub hash: SecretHash,
    pub expires_at: DateTime<Utc>,
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum GrantEvent {
    Authorized {
        client_id: ClientId,
        user_id: UserId,
        organization_id: Option<OrganizationId>,
        session_id: SessionId,
        scopes: Scopes,
        redirect_uri: RedirectUri,
        nonce: Option<String>,
        code_challenge: Option<CodeChallenge>,
        auth_time: DateTime<Utc>,
        approval: Approval,
        code_hash: SecretHash,
        code_expires_at: DateTime<Utc>,
    },
    CodeRedeemed {
        access_token_id: String,
        refresh: Option<RefreshIssue>,
        at: DateTime<Utc>,
    },
    /// The code was presented a second time.
    CodeReplayed {
        at: DateTime<Utc>,
    },
    /// `generation` is that of the new refresh token; the first one has 0. The same generation
    /// again replaces a token whose answer got lost.
    Refreshed {
        access_token_id: String,
        generation: u64,
        refresh: RefreshIssue,
        at: DateTime<Utc>,
    },
    /// A refresh token was presented after its successor was used, or after the grace.
    RefreshReplayed {
        at: DateTime<Utc>,
    },
    Revoked {
        reason: RevocationReason,
        at: DateTime<Utc>,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GrantError {
    #[error("this grant does not exist")]
    NotFound,
    #[error("this grant is already authorized")]
    AlreadyAuthorized,
    #[error("Authorization code is invalid")]
    InvalidCode,
    // The wording of R041 and R094.
    #[error("Authorization code has expired")]
    CodeExpired,
    #[error("This grant was issued to another client")]
    WrongClient,
    #[error("redirect_uri is not the one of the authorization request")]
    RedirectUriMismatch,
    #[error("code_verifier is missing")]
    VerifierRequired,
    #[error("code_verifier does not match the code_challenge")]
    VerifierMismatch,
    #[error("code_verifier was sent, but the authorization request had no code_challenge")]
    VerifierUnexpected,
    #[error("Refresh token is invalid")]
    InvalidRefreshToken,
    #[error("Refresh token has expired")]
    RefreshExpired,
    #[error("This grant was revoked")]
    Revoked,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum Grant {
    #[default]
    Unknown,
    CodeIssued(Arc<Authorization>),
    Redeemed {
        authorization: Arc<Authorization>,
        refresh: Option<RefreshTokens>,
    },
    Revoked {
        authorization: Arc<Authorization>,
        reason: RevocationReason,
    },
}

/// What was authorized, as `Authorized` says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authorization {
    pub client_id: ClientId,
    pub user_id: UserId,
    /// Fixed here; a refresh never changes it (R046).
    pub organization_id: Option<OrganizationId>,
    pub session_id: SessionId,
    pub scopes: Scopes,
    pub redirect_uri: RedirectUri,
    pub nonce: Option<String>,
    pub code_challenge: Option<CodeChallenge>,
    pub auth_time: DateTime<Utc>,
    pub approval: Approval,
    pub code_hash: SecretHash,
    pub code_expires_at: DateTime<Utc>,
}

aggregate! {
    Grant = "grant",
    GrantCommand -> GrantEvent | GrantError,
    [
        Authorized = "authorized",
        CodeRedeemed = "code_redeemed",
        CodeReplayed = "code_replayed",
        Refreshed = "refreshed",
        RefreshReplayed = "refresh_replayed",
        Revoked = "revoked",
    ]
}

impl Grant {
    /// The events that `command` causes in this state; none means there is nothing to do.
    ///
    /// A replay is no error but events, since it ends the grant: RFC 6749 §4.1.2, RFC 9700 §4.14.
    pub fn decide(&self, command: GrantCommand) -> Result<Vec<GrantEvent>, GrantError> {
        use {Grant as S, GrantCommand as C, GrantError as Refused, GrantEvent as E};
        Ok(match (self, command) {
            (
                S::Unknown,
                C::Authorize {
                    client_id,
                    user_id,
                    organization_id,
                    session_id,
                    scopes,
                    redirect_uri,
                    nonce,
                    code_challenge,
                    auth_time,
                    approval,
                    code_hash,
                    code_expires_at,
                },
            ) => vec![E::Authorized {
                client_id,
                user_id,
                organization_id,
                session_id,
                scopes,
                redirect_uri,
                nonce,
                code_challenge,
                auth_time,
                approval,
                code_hash,
                code_expires_at,
            }],
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Authorize { .. }) => return Err(Refused::AlreadyAuthorized),

            (
                S::CodeIssued(authorization),
                C::RedeemCode { code_hash, client_id, redirect_uri, verifier, now, access_token_id, refresh },
            ) => {
                authorization.check_code(&code_hash, &client_id)?;
                authorization.check_redemption(&redirect_uri, verifier.as_ref(), now)?;
                vec![E::CodeRedeemed { access_token_id, refresh, at: now }]
            }
            (S::Redeemed { authorization, .. }, C::RedeemCode { code_hash, client_id, now, .. }) => {
                authorization.check_code(&code_hash, &client_id)?;
                vec![E::CodeReplayed { at: now }, E::Revoked { reason: RevocationReason::CodeReplayed, at: now }]
            }
            (S::Revoked { authorization, .. }, C::RedeemCode { code_hash, client_id, .. }) => {
                authorization.check_code(&code_hash, &client_id)?;
                return Err(Refused::Revoked);
            }

            (
                S::Redeemed { authorization, refresh: Some(tokens) },
                C::Refresh { presented, client_id, now, grace, access_token_id, next },
            ) => {
                authorization.check_client(&client_id)?;
                match tokens.judge(&presented, now, grace)? {
                    Presented::Rotates { generation } => {
                        vec![E::Refreshed { access_token_id, generation, refresh: next, at: now }]
                    }
                    Presented::IsReplay => vec![
                        E::RefreshReplayed { at: now },
                        E::Revoked { reason: RevocationReason::RefreshReplayed, at: now },
                    ],
                }
            }
            (S::CodeIssued(_) | S::Redeemed { .. }, C::Refresh { .. }) => {
                return Err(Refused::InvalidRefreshToken);
            }
            (S::Revoked { authorization, .. }, C::Refresh { client_id, .. }) => {
                authorization.check_client(&client_id)?;
                return Err(Refused::Revoked);
            }

            (S::Revoked { .. }, C::Revoke { .. }) => vec![],
            (_, C::Revoke { reason, now }) => vec![E::Revoked { reason, at: now }],
        })
    }

    pub fn apply(&mut self, event: GrantEvent) {
        use GrantEvent as E;
        match event {
            E::Authorized {
                client_id,
                user_id,
                organization_id,
                session_id,
                scopes,
                redirect_uri,
                nonce,
                code_challenge,
                auth_time,
                approval,
                code_hash,
                code_expires_at,
            } => {
                *self = Self::CodeIssued(Arc::new(Authorization {
                    client_id,
                    user_id,
                    organization_id,
                    session_id,
                    scopes,
                    redirect_uri,
                    nonce,
                    code_challenge,
                    auth_time,
                    approval,
                    code_hash,
                    code_expires_at,
                }));
            }
            E::CodeRedeemed { refresh, .. } => {
                if let Some(authorization) = self.shared_authorization() {
                    *self = Self::Redeemed { authorization, refresh: refresh.map(RefreshTokens::beginning_with) };
                }
            }
            E::Refreshed { generation, refresh, at, .. } => {
                if let Self::Redeemed { refresh: Some(tokens), .. } = self {
                    tokens.rotate(generation, refresh, at);
                }
            }
            E::Revoked { reason, .. } => {
                if let Some(authorization) = self.shared_authorization() {
                    *self = Self::Revoked { authorization, reason };
                }
            }
            E::CodeReplayed { .. } | E::RefreshReplayed { .. } => {}
        }
    }

    pub fn authorization(&self) -> Option<&Authorization> {
        match self {
            Self::Unknown => None,
            Self::CodeIssued(authorization)
            | Self::Redeemed { authorization, .. }
            | Self::Revoked { authorization, .. } => Some(authorization),
        }
    }

    /// Authorized and not revoked.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::CodeIssued(_) | Self::Redeemed { .. })
    }

    /// Why it was revoked, if it was.
    pub fn revoked(&self) -> Option<RevocationReason> {
        match self {
            Self::Revoked { reason, .. } => Some(*reason),
            Self::Unknown | Self::CodeIssued(_) | Self::Redeemed { .. } => None,
        }
    }

    fn shared_authorization(&self) -> Option<Arc<Authorization>> {
        match self {
            Self::Unknown => None,
            Self::CodeIssued(authorization)
            | Self::Redeemed { authorization, .. }
            | Self::Revoked { authorization, .. } => Some(authorization.clone()),
        }
    }
}

impl Authorization {
    /// Whoever has no code of ours, or one of another client, learns and changes nothing.
    fn check_code(&self, code_hash: &SecretHash, client_id: &ClientId) -> Result<(), GrantError> {
        if *code_hash != self.code_hash {
            return Err(GrantError::InvalidCode);
        }
        self.check_client(client_id)
    }

    fn check_client(&self, client_id: &ClientId) -> Result<(), GrantError> {
        if *client_id == self.client_id { Ok(()) } else { Err(GrantError::WrongClient) }
    }

    /// RFC 6749 §4.1.3 and RFC 7636 §4.6; a verifier without a challenge is a downgrade
    /// (RFC 9700 §4.8.2).
    fn check_redemption(
        &self,
        redirect_uri: &str,
        verifier: Option<&Verifier>,
        now: DateTime<Utc>,
    ) -> Result<(), GrantError> {
        if now >= self.code_expires_at {
            return Err(GrantError::CodeExpired);
        }
        if redirect_uri != self.redirect_uri.as_str() {
            return Err(GrantError::RedirectUriMismatch);
        }
        match (&self.code_challenge, verifier) {
            (None, None) => Ok(()),
            (None, Some(_)) => Err(GrantError::VerifierUnexpected),
            (Some(_), None) => Err(GrantError::VerifierRequired),
            (Some(challenge), Some(verifier)) if verifier.answers(challenge) => Ok(()),
            (Some(_), Some(_)) => Err(GrantError::VerifierMismatch),
        }
    }
}

impl Verifier {
    fn answers(&self, challenge: &CodeChallenge) -> bool {
        match challenge.method() {
            CodeChallengeMethod::S256 => self.s256 == challenge.value(),
            CodeChallengeMethod::Plain => self.plain == challenge.value(),
        }
    }
}
