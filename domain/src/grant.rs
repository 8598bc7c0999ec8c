//! A grant: one authorization of a client by a user, its code, and the family of tokens that comes
//! from it (sections B and D).

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::ids::{ClientId, OrganizationId, SessionId, UserId};
use crate::values::{
    ApiIdentifier, CodeChallenge, CodeChallengeMethod, RedirectUri, RequestedClaims, Scopes, SecretHash, Slug, choices,
};

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
        /// The client is the user's organization's own.
        FirstParty = "first_party",
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
    Authorize(Box<Authorization>),
    RedeemCode {
        code_hash: SecretHash,
        client_id: ClientId,
        redirect_uri: String,
        verifier: Option<Verifier>,
        now: DateTime<Utc>,
        access_token_id: String,
        /// Which secret the client proved itself with, if it was one.
        secret_id: Option<String>,
        refresh: Option<RefreshIssue>,
    },
    /// A used token is forgiven for `grace`, as long as its successor was not used (R089).
    Refresh {
        presented: SecretHash,
        client_id: ClientId,
        now: DateTime<Utc>,
        grace: Duration,
        access_token_id: String,
        secret_id: Option<String>,
        next: RefreshIssue,
    },
    /// A token for the client itself (RFC 6749 §4.4).
    IssueClientToken(Box<ClientToken>),
    /// Ends one access token; the others of the grant go on (RFC 7009 §2.1).
    RevokeAccessToken {
        access_token_id: String,
        now: DateTime<Utc>,
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
    Authorized(Box<Authorization>),
    CodeRedeemed {
        access_token_id: String,
        refresh: Option<RefreshIssue>,
        at: DateTime<Utc>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret_id: Option<String>,
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
        #[serde(default, skip_serializing_if = "Option::is_none")]
        secret_id: Option<String>,
    },
    /// A refresh token was presented after its successor was used, or after the grace.
    RefreshReplayed {
        at: DateTime<Utc>,
    },
    Revoked {
        reason: RevocationReason,
        at: DateTime<Utc>,
    },
    ClientTokenIssued(Box<ClientToken>),
    AccessTokenRevoked {
        access_token_id: String,
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
        /// Access tokens that ended before their time, and when.
        ended_access_tokens: Vec<(String, DateTime<Utc>)>,
    },
    /// A client acts for itself.
    ForClient(Arc<ClientToken>),
    Revoked {
        authorization: Option<Arc<Authorization>>,
        reason: RevocationReason,
    },
}

/// What was authorized.
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
    /// How the user signed in: `amr` values of RFC 8176.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Which of the scopes are products that the organization has a licence for (R128).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub products: Vec<Slug>,
    /// The APIs that the access tokens are for; none means the client itself (R085, RFC 8707).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<ApiIdentifier>,
    /// Single claims beyond those of the scopes (OpenID Connect Core §5.5).
    #[serde(default, skip_serializing_if = "RequestedClaims::is_empty")]
    pub claims: RequestedClaims,
    /// How often the user had taken the client's consent back before: the next time ends this grant too (R263).
    #[serde(default, skip_serializing_if = "is_zero")]
    pub consent_epoch: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorized_at: Option<DateTime<Utc>>,
}

/// An access token that a client got for itself (RFC 6749 §4.4); a grant of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    pub client_id: ClientId,
    /// The client's.
    pub organization_id: OrganizationId,
    pub scopes: Scopes,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<ApiIdentifier>,
    pub access_token_id: String,
    pub at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_id: Option<String>,
}

fn is_zero(number: &u64) -> bool {
    *number == 0
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
        ClientTokenIssued = "client_token_issued",
        AccessTokenRevoked = "access_token_revoked",
    ]
}

impl Grant {
    /// The events that `command` causes in this state; none means there is nothing to do.
    ///
    /// A replay is no error but events, since it ends the grant: RFC 6749 §4.1.2, RFC 9700 §4.14.
    pub fn decide(&self, command: GrantCommand) -> Result<Vec<GrantEvent>, GrantError> {
        use {Grant as S, GrantCommand as C, GrantError as Refused, GrantEvent as E};
        Ok(match (self, command) {
            (S::Unknown, C::Authorize(authorization)) => vec![E::Authorized(authorization)],
            (S::Unknown, C::IssueClientToken(token)) => vec![E::ClientTokenIssued(token)],
            (S::Unknown, _) => return Err(Refused::NotFound),
            (_, C::Authorize(_) | C::IssueClientToken(_)) => return Err(Refused::AlreadyAuthorized),

            (
                S::CodeIssued(authorization),
                C::RedeemCode {
                    code_hash,
                    client_id,
                    redirect_uri,
                    verifier,
                    now,
                    access_token_id,
                    secret_id,
                    refresh,
                },
            ) => {
                authorization.check_code(&code_hash, &client_id)?;
                authorization.check_redemption(&redirect_uri, verifier.as_ref(), now)?;
                vec![E::CodeRedeemed { access_token_id, refresh, at: now, secret_id }]
            }
            (S::Redeemed { authorization, .. }, C::RedeemCode { code_hash, client_id, now, .. }) => {
                authorization.check_code(&code_hash, &client_id)?;
                vec![E::CodeReplayed { at: now }, E::Revoked { reason: RevocationReason::CodeReplayed, at: now }]
            }
            (S::Revoked { authorization: Some(authorization), .. }, C::RedeemCode { code_hash, client_id, .. }) => {
                authorization.check_code(&code_hash, &client_id)?;
                return Err(Refused::Revoked);
            }

            (
                S::Redeemed { authorization, refresh: Some(tokens), .. },
                C::Refresh { presented, client_id, now, grace, access_token_id, secret_id, next },
            ) => {
                authorization.check_client(&client_id)?;
                match tokens.judge(&presented, now, grace)? {
                    Presented::Rotates { generation } => {
                        vec![E::Refreshed { access_token_id, generation, refresh: next, at: now, secret_id }]
                    }
                    Presented::IsReplay => vec![
                        E::RefreshReplayed { at: now },
                        E::Revoked { reason: RevocationReason::RefreshReplayed, at: now },
                    ],
                }
            }
            (S::CodeIssued(_) | S::Redeemed { .. } | S::ForClient(_), C::Refresh { .. }) => {
                return Err(Refused::InvalidRefreshToken);
            }
            (S::ForClient(_) | S::Revoked { authorization: None, .. }, C::RedeemCode { .. }) => {
                return Err(Refused::InvalidCode);
            }
            (S::Revoked { authorization: None, .. }, C::Refresh { .. }) => return Err(Refused::InvalidRefreshToken),
            (S::Revoked { authorization: Some(authorization), .. }, C::Refresh { client_id, .. }) => {
                authorization.check_client(&client_id)?;
                return Err(Refused::Revoked);
            }

            (S::Redeemed { ended_access_tokens, .. }, C::RevokeAccessToken { access_token_id, .. })
                if ended_access_tokens.iter().any(|(id, _)| *id == access_token_id) =>
            {
                vec![]
            }
            (S::Redeemed { .. }, C::RevokeAccessToken { access_token_id, now }) => {
                vec![E::AccessTokenRevoked { access_token_id, at: now }]
            }
            (S::ForClient(_), C::RevokeAccessToken { now, .. }) => {
                vec![E::Revoked { reason: RevocationReason::Client, at: now }]
            }
            (S::CodeIssued(_) | S::Revoked { .. }, C::RevokeAccessToken { .. }) => vec![],

            (S::Revoked { .. }, C::Revoke { .. }) => vec![],
            (_, C::Revoke { reason, now }) => vec![E::Revoked { reason, at: now }],
        })
    }

    pub fn apply(&mut self, event: GrantEvent) {
        use GrantEvent as E;
        match event {
            E::Authorized(authorization) => *self = Self::CodeIssued(Arc::new(*authorization)),
            E::ClientTokenIssued(token) => *self = Self::ForClient(Arc::new(*token)),
            E::CodeRedeemed { refresh, .. } => {
                if let Some(authorization) = self.shared_authorization() {
                    let refresh = refresh.map(RefreshTokens::beginning_with);
                    *self = Self::Redeemed { authorization, refresh, ended_access_tokens: Vec::new() };
                }
            }
            E::Refreshed { generation, refresh, at, .. } => {
                if let Self::Redeemed { refresh: Some(tokens), .. } = self {
                    tokens.rotate(generation, refresh, at);
                }
            }
            E::AccessTokenRevoked { access_token_id, at } => {
                if let Self::Redeemed { ended_access_tokens, .. } = self {
                    // Those that have expired meanwhile need not be remembered.
                    ended_access_tokens.retain(|(_, ended_at)| at - *ended_at < LONGEST_ACCESS_TOKEN);
                    ended_access_tokens.push((access_token_id, at));
                }
            }
            E::Revoked { reason, .. } => {
                *self = Self::Revoked { authorization: self.shared_authorization(), reason };
            }
            E::CodeReplayed { .. } | E::RefreshReplayed { .. } => {}
        }
    }

    /// What a user authorized; none if a client acts for itself.
    pub fn authorization(&self) -> Option<&Authorization> {
        match self {
            Self::Unknown | Self::ForClient(_) => None,
            Self::CodeIssued(authorization) | Self::Redeemed { authorization, .. } => Some(authorization),
            Self::Revoked { authorization, .. } => authorization.as_deref(),
        }
    }

    /// Granted and not revoked.
    pub fn is_live(&self) -> bool {
        matches!(self, Self::CodeIssued(_) | Self::Redeemed { .. } | Self::ForClient(_))
    }

    /// Whether an access token of this grant still holds; its expiry is for its own claims to say.
    pub fn allows(&self, access_token_id: &str) -> bool {
        match self {
            Self::Redeemed { ended_access_tokens, .. } => {
                !ended_access_tokens.iter().any(|(id, _)| id == access_token_id)
            }
            Self::ForClient(token) => token.access_token_id == access_token_id,
            Self::Unknown | Self::CodeIssued(_) | Self::Revoked { .. } => false,
        }
    }

    /// The refresh token with this hash, if presenting it would bring new tokens.
    pub fn refresh_token(&self, hash: &SecretHash, now: DateTime<Utc>, grace: Duration) -> Option<&RefreshIssue> {
        let Self::Redeemed { refresh: Some(tokens), .. } = self else { return None };
        tokens.working(hash, now, grace)
    }

    /// Why it was revoked, if it was.
    pub fn revoked(&self) -> Option<RevocationReason> {
        match self {
            Self::Revoked { reason, .. } => Some(*reason),
            Self::Unknown | Self::CodeIssued(_) | Self::Redeemed { .. } | Self::ForClient(_) => None,
        }
    }

    fn shared_authorization(&self) -> Option<Arc<Authorization>> {
        match self {
            Self::Unknown | Self::ForClient(_) => None,
            Self::CodeIssued(authorization) | Self::Redeemed { authorization, .. } => Some(authorization.clone()),
            Self::Revoked { authorization, .. } => authorization.clone(),
        }
    }
}

/// No access token lives longer than a day (R083); an hour more for clocks that differ.
const LONGEST_ACCESS_TOKEN: Duration = Duration::hours(25);

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
