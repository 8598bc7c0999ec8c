//! An OAuth client: a program that signs people in or calls APIs, its addresses and its secrets
//! (section G).

use chrono::{DateTime, Duration, Utc};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::aggregate::aggregate;
use crate::grant::Approval;
use crate::ids::{AppId, InstallationId, OrganizationId};
use crate::values::{ClientType, RedirectUri, Scopes, SecretHash, Title};

mod settings;

pub use settings::{ClientChange, ClientSettings};

#[derive(Debug, Clone)]
pub enum OAuthClientCommand {
    Provision {
        organization_id: OrganizationId,
        installation: Option<InstallationOf>,
        name: Title,
        client_type: ClientType,
        redirect_uris: Vec<RedirectUri>,
        scopes: Scopes,
        secret: Option<ClientSecretHash>,
        settings: Box<ClientSettings>,
    },
    Reconfigure(Box<ClientChange>),
    /// The secret so far goes on working for `overlap`; none ends it at once (R147, R187).
    RotateSecret {
        secret: ClientSecretHash,
        now: DateTime<Utc>,
        overlap: Duration,
    },
    RevokeSecret {
        secret_id: String,
    },
    Disable {
        reason: String,
    },
    Enable,
    Delete {
        reason: String,
    },
}

/// Stored for ever: add variants and optional fields, never rename or remove one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum OAuthClientEvent {
    Provisioned {
        organization_id: OrganizationId,
        installation: Option<InstallationOf>,
        name: Title,
        client_type: ClientType,
        redirect_uris: Vec<RedirectUri>,
        scopes: Scopes,
        secret: Option<ClientSecretHash>,
        #[serde(default, skip_serializing_if = "ClientSettings::is_default")]
        settings: Box<ClientSettings>,
    },
    /// The new values of what changed.
    Reconfigured {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<Title>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        redirect_uris: Option<Vec<RedirectUri>>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        scopes: Option<Scopes>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        settings: Option<Box<ClientSettings>>,
    },
    /// The secret so far ends at `previous_expires_at`, one that was already ending ended now.
    SecretRotated {
        secret_id: String,
        hash: SecretHash,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        previous_expires_at: DateTime<Utc>,
    },
    SecretRevoked {
        secret_id: String,
    },
    Disabled {
        reason: String,
    },
    Enabled,
    Deleted {
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OAuthClientError {
    #[error("this client does not exist")]
    NotFound,
    #[error("this client is already provisioned")]
    AlreadyProvisioned,
    #[error("this client was deleted")]
    Deleted,
    #[error("a single-page or native app cannot keep a secret: it uses PKCE")]
    SecretNotAllowed,
    #[error("a web or machine-to-machine client needs a secret, or private_key_jwt and jwks")]
    SecretRequired,
    #[error("token_endpoint_auth_method does not fit this type of client: a single-page or native app has none")]
    AuthMethodUnfit,
    #[error("jwks is missing: private_key_jwt needs the client's public keys")]
    KeysRequired,
    #[error("access_token_lifetime must be 1 to 86400 seconds")]
    AccessLifetimeOutOfRange,
    #[error("refresh_token_lifetime and refresh_token_absolute_lifetime must be at least 1 second")]
    RefreshLifetimeOutOfRange,
    #[error("redirect_uris must be empty: a machine-to-machine client signs nobody in")]
    RedirectUrisUnused,
    #[error("redirect_uris must be https, or http on loopback: only native apps have a scheme of their own")]
    RedirectUriSchemeUnfit,
    #[error("post_logout_redirect_uris must be empty: a machine-to-machine client signs nobody out")]
    LogoutUrisUnused,
    #[error(
        "post_logout_redirect_uris must be https, or http on loopback: only native apps have a scheme of their own"
    )]
    LogoutUriSchemeUnfit,
    #[error("this client has no such secret")]
    SecretNotFound,
}

/// What the rules need to remember, and nothing else.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub enum OAuthClient {
    #[default]
    Unknown,
    Active(Client),
    Disabled {
        client: Client,
        reason: String,
    },
    Deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    pub organization_id: OrganizationId,
    pub installation: Option<InstallationOf>,
    pub name: Title,
    pub client_type: ClientType,
    pub redirect_uris: Vec<RedirectUri>,
    pub scopes: Scopes,
    pub settings: Box<ClientSettings>,
    /// At most two, the newest last; only the newest has no end (R148).
    pub secrets: Vec<ClientSecret>,
    /// Ids of secrets that ended, so that ending one again is nothing and a wrong id is an error.
    pub ended_secret_ids: Vec<String>,
}

/// Which app, installed where, a client is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallationOf {
    pub installation_id: InstallationId,
    pub app_id: AppId,
}

/// A new secret of a client: what is stored of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecretHash {
    pub secret_id: String,
    pub hash: SecretHash,
    /// The secret's last four characters, by which people tell it from another one (C17).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A secret that has not been revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecret {
    pub secret_id: String,
    pub hash: SecretHash,
    pub expires_at: Option<DateTime<Utc>>,
}

aggregate! {
    OAuthClient = "oauth_client",
    OAuthClientCommand -> OAuthClientEvent | OAuthClientError,
    [
        Provisioned = "provisioned",
        Reconfigured = "reconfigured",
        SecretRotated = "secret_rotated",
        SecretRevoked = "secret_revoked",
        Disabled = "disabled",
        Enabled = "enabled",
        Deleted = "deleted",
    ]
}

impl OAuthClient {
    /// The events that `command` causes in this state; none means there is nothing to do.
    pub fn decide(&self, command: OAuthClientCommand) -> Result<Vec<OAuthClientEvent>, OAuthClientError> {
        use {OAuthClient as S, OAuthClientCommand as C, OAuthClientError as Refused, OAuthClientEvent as E};
        Ok(match (self, command) {
            (
                S::Unknown,
                C::Provision {
                    organization_id,
                    installation,
                    name,
                    client_type,
                    redirect_uris,
                    scopes,
                    secret,
                    settings,
                },
            ) => {
                check_uris(client_type, installation.is_some(), &redirect_uris, &settings)?;
                check(client_type, &settings)?;
                match (client_type.is_confidential(), &secret) {
                    (true, None) if !settings.uses_own_key() => return Err(Refused::SecretRequired),
                    (false, Some(_)) => return Err(Refused::SecretNotAllowed),
                    _ => vec![E::Provisioned {
                        organization_id,
                        installation,
                        name,
                        client_type,
                        redirect_uris,
                        scopes,
                        secret,
                        settings,
                    }],
                }
            }
            (S::Unknown, _) => return Err(Refused::NotFound),
            (S::Deleted, C::Delete { .. }) => vec![],
            (S::Deleted, _) => return Err(Refused::Deleted),
            (_, C::Provision { .. }) => return Err(Refused::AlreadyProvisioned),

            (S::Active(client) | S::Disabled { client, .. }, C::Reconfigure(change)) => {
                client.reconfiguration(*change)?
            }

            (S::Active(client) | S::Disabled { client, .. }, C::RotateSecret { secret, now, overlap }) => {
                if !client.client_type.is_confidential() {
                    return Err(Refused::SecretNotAllowed);
                }
                let ClientSecretHash { secret_id, hash, hint } = secret;
                if client.has_secret(&secret_id) {
                    return Ok(vec![]);
                }
                let overlap = overlap.max(Duration::zero());
                vec![E::SecretRotated {
                    secret_id,
                    hash,
                    hint,
                    previous_expires_at: now.checked_add_signed(overlap).unwrap_or(now),
                }]
            }
            (S::Active(client) | S::Disabled { client, .. }, C::RevokeSecret { secret_id }) => {
                if client.has_secret(&secret_id) {
                    vec![E::SecretRevoked { secret_id }]
                } else if client.ended_secret_ids.contains(&secret_id) {
                    vec![]
                } else {
                    return Err(Refused::SecretNotFound);
                }
            }

            (S::Active(_), C::Disable { reason }) => vec![E::Disabled { reason }],
            (S::Disabled { .. }, C::Disable { .. }) => vec![],
            (S::Active(_), C::Enable) => vec![],
            (S::Disabled { .. }, C::Enable) => vec![E::Enabled],
            (_, C::Delete { reason }) => vec![E::Deleted { reason }],
        })
    }

    pub fn apply(&mut self, event: OAuthClientEvent) {
        use {OAuthClient as S, OAuthClientEvent as E};
        match (self, event) {
            (
                state,
                E::Provisioned {
                    organization_id,
                    installation,
                    name,
                    client_type,
                    redirect_uris,
                    scopes,
                    secret,
                    settings,
                },
            ) => {
                let secrets =
                    secret.map(|first| ClientSecret { secret_id: first.secret_id, hash: first.hash, expires_at: None });
                *state = S::Active(Client {
                    organization_id,
                    installation,
                    name,
                    client_type,
                    redirect_uris,
                    scopes,
                    settings,
                    secrets: secrets.into_iter().collect(),
                    ended_secret_ids: Vec::new(),
                });
            }
            (state, E::Deleted { .. }) => *state = S::Deleted,
            (S::Unknown | S::Deleted, _) => {}

            (
                S::Active(client) | S::Disabled { client, .. },
                E::Reconfigured { name, redirect_uris, scopes, settings },
            ) => {
                client.reconfigure(name, redirect_uris, scopes, settings);
            }
            (
                S::Active(client) | S::Disabled { client, .. },
                E::SecretRotated { secret_id, hash, previous_expires_at, .. },
            ) => client.rotate(secret_id, hash, previous_expires_at),
            (S::Active(client) | S::Disabled { client, .. }, E::SecretRevoked { secret_id }) => {
                client.end_secret(&secret_id)
            }
            (state @ (S::Active(_) | S::Disabled { .. }), E::Disabled { reason }) => {
                if let Some(client) = state.client().cloned() {
                    *state = S::Disabled { client, reason };
                }
            }
            (state @ (S::Active(_) | S::Disabled { .. }), E::Enabled) => {
                if let Some(client) = state.client().cloned() {
                    *state = S::Active(client);
                }
            }
        }
    }

    /// The client, unless it is disabled or deleted (R023).
    pub fn active(&self) -> Option<&Client> {
        match self {
            Self::Active(client) => Some(client),
            Self::Unknown | Self::Disabled { .. } | Self::Deleted => None,
        }
    }

    /// The client, also while it is disabled; none once it is deleted.
    pub fn client(&self) -> Option<&Client> {
        match self {
            Self::Active(client) | Self::Disabled { client, .. } => Some(client),
            Self::Unknown | Self::Deleted => None,
        }
    }
}

impl Client {
    /// The id of the live secret with this hash.
    ///
    /// Both are hashes of secrets of 256 random bits: how long the comparison takes tells nothing
    /// that leads to the secret.
    pub fn secret_matches(&self, hash: &SecretHash, now: DateTime<Utc>) -> Option<&str> {
        self.secrets
            .iter()
            .find(|secret| secret.hash == *hash && secret.is_live(now))
            .map(|secret| secret.secret_id.as_str())
    }

    /// Compared as exact strings (R025).
    pub fn has_redirect_uri(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|own| own.as_str() == uri)
    }

    /// A native app on loopback listens on whatever port is free (RFC 8252 §7.3); everything else is exact.
    pub fn allows_redirect_to(&self, uri: &str) -> bool {
        let any_port = || {
            without_loopback_port(uri).is_some_and(|asked| {
                self.redirect_uris.iter().any(|own| without_loopback_port(own.as_str()).as_ref() == Some(&asked))
            })
        };
        self.has_redirect_uri(uri) || (self.client_type == ClientType::Native && any_port())
    }

    /// Whether a token for it may have this scope: it is one of its own, or says nothing about anybody (C12).
    pub fn may_have(&self, scope: &str) -> bool {
        ["openid", "address", "phone"].contains(&scope) || self.scopes.contains(scope)
    }

    /// Why its organization's members need not be asked, if they need not (R036).
    pub fn approval(&self) -> Option<Approval> {
        match (&self.installation, self.settings.first_party) {
            (Some(_), _) => Some(Approval::InstalledApp),
            (None, true) => Some(Approval::FirstParty),
            (None, false) => None,
        }
    }

    /// The new values of what `change` changes.
    fn reconfiguration(&self, change: ClientChange) -> Result<Vec<OAuthClientEvent>, OAuthClientError> {
        let settings = Box::new(self.settings.as_ref().clone().with(&change));
        let redirect_uris = change.redirect_uris.filter(|uris| *uris != self.redirect_uris);
        let resulting = redirect_uris.as_ref().unwrap_or(&self.redirect_uris);
        check_uris(self.client_type, self.installation.is_some(), resulting, &settings)?;
        check(self.client_type, &settings)?;
        // One whose last secret was revoked may still be changed; one that never had a secret needs it first.
        if self.settings.uses_own_key() && !settings.uses_own_key() && self.secrets.is_empty() {
            return Err(OAuthClientError::SecretRequired);
        }
        let name = change.name.filter(|name| *name != self.name);
        let scopes = change.allowed_scopes.filter(|scopes| *scopes != self.scopes);
        let settings = Some(settings).filter(|settings| *settings != self.settings);
        if name.is_none() && redirect_uris.is_none() && scopes.is_none() && settings.is_none() {
            return Ok(vec![]);
        }
        Ok(vec![OAuthClientEvent::Reconfigured { name, redirect_uris, scopes, settings }])
    }

    fn reconfigure(
        &mut self,
        name: Option<Title>,
        redirect_uris: Option<Vec<RedirectUri>>,
        scopes: Option<Scopes>,
        settings: Option<Box<ClientSettings>>,
    ) {
        self.name = name.unwrap_or_else(|| self.name.clone());
        self.redirect_uris = redirect_uris.unwrap_or_else(|| std::mem::take(&mut self.redirect_uris));
        self.scopes = scopes.unwrap_or_else(|| std::mem::take(&mut self.scopes));
        self.settings = settings.unwrap_or_else(|| std::mem::take(&mut self.settings));
    }

    fn has_secret(&self, secret_id: &str) -> bool {
        self.secrets.iter().any(|secret| secret.secret_id == secret_id)
    }

    fn rotate(&mut self, secret_id: String, hash: SecretHash, previous_expires_at: DateTime<Utc>) {
        let previous = self.secrets.pop();
        let older = std::mem::take(&mut self.secrets);
        self.ended_secret_ids.extend(older.into_iter().map(|secret| secret.secret_id));
        self.secrets.extend(previous.map(|previous| ClientSecret {
            // One that was already ending does not live longer for it.
            expires_at: previous.expires_at.into_iter().chain([previous_expires_at]).min(),
            ..previous
        }));
        self.secrets.push(ClientSecret { secret_id, hash, expires_at: None });
    }

    fn end_secret(&mut self, secret_id: &str) {
        self.secrets.retain(|secret| secret.secret_id != secret_id);
        self.ended_secret_ids.push(secret_id.to_owned());
    }
}

/// `http://127.0.0.1:4321/cb` without its port; none for any other address.
fn without_loopback_port(uri: &str) -> Option<String> {
    let uri: RedirectUri = uri.parse().ok()?;
    let rest = uri.as_str().strip_prefix("http://")?;
    let (authority, path) = rest.find(['/', '?']).map_or((rest, ""), |end| rest.split_at(end));
    let host = ["127.0.0.1", "[::1]"]
        .into_iter()
        .find(|host| authority.strip_prefix(host).is_some_and(|port| port.is_empty() || port.starts_with(':')))?;
    Some(format!("{host}{path}"))
}

/// What holds for every client, whatever it was before.
fn check(client_type: ClientType, settings: &ClientSettings) -> Result<(), OAuthClientError> {
    use crate::values::ClientAuthMethod as Method;
    let fits = match settings.token_endpoint_auth_method {
        None => true,
        Some(Method::None) => !client_type.is_confidential(),
        Some(Method::ClientSecretPost | Method::ClientSecretBasic | Method::PrivateKeyJwt) => {
            client_type.is_confidential()
        }
    };
    if !fits {
        return Err(OAuthClientError::AuthMethodUnfit);
    }
    if settings.uses_own_key() && settings.jwks.is_none() {
        return Err(OAuthClientError::KeysRequired);
    }
    let out_of_range = |seconds: u32| !(1..=ClientSettings::LONGEST_ACCESS_TOKEN).contains(&seconds);
    if settings.access_token_lifetime.is_some_and(out_of_range) {
        return Err(OAuthClientError::AccessLifetimeOutOfRange);
    }
    if [settings.refresh_token_lifetime, settings.refresh_token_absolute_lifetime].contains(&Some(0)) {
        return Err(OAuthClientError::RefreshLifetimeOutOfRange);
    }
    Ok(())
}

/// Only those who sign people in are returned to, and only native apps by a scheme of their own (R141, R142): a
/// website that took one would send its codes to whichever program on the device owns it (RFC 8252 §7.1). What an
/// app of the marketplace is, its vendor knows.
fn check_uris(
    client_type: ClientType,
    is_installed_app: bool,
    redirect_uris: &[RedirectUri],
    settings: &ClientSettings,
) -> Result<(), OAuthClientError> {
    let logout_uris = &settings.post_logout_redirect_uris;
    if client_type == ClientType::M2m {
        return match (redirect_uris.is_empty(), logout_uris.is_empty()) {
            (false, _) => Err(OAuthClientError::RedirectUrisUnused),
            (true, false) => Err(OAuthClientError::LogoutUrisUnused),
            (true, true) => Ok(()),
        };
    }
    if client_type == ClientType::Native || is_installed_app {
        return Ok(());
    }
    let has_own_scheme = |uri: &RedirectUri| uri.origin().is_none();
    if redirect_uris.iter().any(has_own_scheme) {
        return Err(OAuthClientError::RedirectUriSchemeUnfit);
    }
    if logout_uris.iter().any(has_own_scheme) {
        return Err(OAuthClientError::LogoutUriSchemeUnfit);
    }
    Ok(())
}

impl ClientSecret {
    pub fn is_live(&self, now: DateTime<Utc>) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{OAuthClientCommand as C, OAuthClientError as Refused, OAuthClientEvent as E, *};
    use crate::scenario::{Scenario, after, at, hash, hash_text, parsed, stored_as};

    const DAY: i64 = 24 * 3600;

    fn given<const N: usize>(events: [E; N]) -> Scenario<OAuthClient> {
        Scenario::given(events)
    }

    fn secret(digit: char) -> ClientSecretHash {
        ClientSecretHash { secret_id: digit.to_string(), hash: hash(digit), hint: None }
    }

    fn callback_of(client_type: ClientType) -> Vec<RedirectUri> {
        if client_type == ClientType::M2m { vec![] } else { vec![parsed("https://crm.example/auth/callback")] }
    }

    fn provision(client_type: ClientType, secret: Option<ClientSecretHash>) -> C {
        C::Provision {
            organization_id: parsed("org_acme"),
            installation: Some(InstallationOf { installation_id: parsed("inst_1"), app_id: parsed("app_crm") }),
            name: parsed("CRM"),
            client_type,
            redirect_uris: callback_of(client_type),
            scopes: parsed("openid email"),
            secret,
            settings: Box::default(),
        }
    }

    fn provisioned(client_type: ClientType, secret: Option<ClientSecretHash>) -> E {
        E::Provisioned {
            organization_id: parsed("org_acme"),
            installation: Some(InstallationOf { installation_id: parsed("inst_1"), app_id: parsed("app_crm") }),
            name: parsed("CRM"),
            client_type,
            redirect_uris: callback_of(client_type),
            scopes: parsed("openid email"),
            secret,
            settings: Box::default(),
        }
    }

    fn a_web_client() -> E {
        provisioned(ClientType::Web, Some(secret('a')))
    }

    fn rotate(digit: char, now: i64) -> C {
        C::RotateSecret { secret: secret(digit), now: at(now), overlap: Duration::seconds(DAY) }
    }

    fn rotated(digit: char, previous_expires_at: i64) -> E {
        E::SecretRotated {
            secret_id: digit.to_string(),
            hash: hash(digit),
            hint: None,
            previous_expires_at: at(previous_expires_at),
        }
    }

    fn revoke(secret_id: &str) -> C {
        let secret_id = secret_id.into();
        C::RevokeSecret { secret_id }
    }

    fn revoked(secret_id: &str) -> E {
        let secret_id = secret_id.into();
        E::SecretRevoked { secret_id }
    }

    fn disabled() -> E {
        let reason = "abuse".into();
        E::Disabled { reason }
    }

    fn deleted() -> E {
        let reason = "uninstalled".into();
        E::Deleted { reason }
    }

    fn delete() -> C {
        let reason = "uninstalled".into();
        C::Delete { reason }
    }

    fn disable() -> C {
        let reason = "abuse".into();
        C::Disable { reason }
    }

    #[test]
    fn servers_have_a_secret_and_others_have_none() {
        for client_type in [ClientType::Web, ClientType::M2m] {
            given([])
                .when(provision(client_type, Some(secret('a'))))
                .then([provisioned(client_type, Some(secret('a')))]);
            given([]).when(provision(client_type, None)).then_refused(Refused::SecretRequired);
        }
        for client_type in [ClientType::Spa, ClientType::Native] {
            given([]).when(provision(client_type, None)).then([provisioned(client_type, None)]);
            given([]).when(provision(client_type, Some(secret('a')))).then_refused(Refused::SecretNotAllowed);
            given([provisioned(client_type, None)]).when(rotate('b', 0)).then_refused(Refused::SecretNotAllowed);
        }
    }

    #[test]
    fn a_client_is_provisioned_once() {
        given([a_web_client()])
            .when(provision(ClientType::Web, Some(secret('b'))))
            .then_refused(Refused::AlreadyProvisioned);
        given([]).when(rotate('b', 0)).then_refused(Refused::NotFound);
    }

    #[test]
    fn both_secrets_work_during_the_overlap() {
        given([a_web_client()]).when(rotate('b', 0)).then([rotated('b', DAY)]);
        given([a_web_client(), rotated('b', DAY)]).when(rotate('b', 9)).then_nothing();

        let state: OAuthClient = after([a_web_client(), rotated('b', DAY)]);
        let client = state.active().unwrap();
        assert_eq!(client.secret_matches(&hash('a'), at(DAY - 1)), Some("a"));
        assert_eq!(client.secret_matches(&hash('a'), at(DAY)), None);
        assert_eq!(client.secret_matches(&hash('b'), at(DAY)), Some("b"));
        assert_eq!(client.secret_matches(&hash('c'), at(0)), None);
    }

    #[test]
    fn a_second_rotation_ends_the_oldest_secret() {
        let state: OAuthClient = after([a_web_client(), rotated('b', DAY), rotated('c', DAY + 1)]);
        let client = state.active().unwrap();
        assert_eq!(client.secret_matches(&hash('a'), at(1)), None);
        assert_eq!(client.secret_matches(&hash('b'), at(DAY)), Some("b"));
        assert_eq!(client.secret_matches(&hash('c'), at(DAY + 1)), Some("c"));
    }

    #[test]
    fn a_rotation_without_overlap_ends_the_earlier_secret_at_once() {
        for overlap in [Duration::zero(), Duration::seconds(-1), Duration::MAX] {
            let rotate = C::RotateSecret { secret: secret('b'), now: at(5), overlap };
            given([a_web_client()]).when(rotate).then([rotated('b', 5)]);
        }
    }

    #[test]
    fn a_rotation_does_not_prolong_a_secret_that_was_ending() {
        let state: OAuthClient = after([a_web_client(), rotated('b', 10), revoked("b"), rotated('c', DAY)]);
        assert_eq!(state.active().unwrap().secret_matches(&hash('a'), at(10)), None);
    }

    #[test]
    fn a_revoked_secret_is_refused_at_once() {
        given([a_web_client()]).when(revoke("a")).then([revoked("a")]);
        given([a_web_client(), revoked("a")]).when(revoke("a")).then_nothing();
        given([a_web_client(), rotated('b', DAY), rotated('c', DAY)]).when(revoke("a")).then_nothing();
        given([a_web_client()]).when(revoke("typo")).then_refused(Refused::SecretNotFound);
        let state: OAuthClient = after([a_web_client(), revoked("a")]);
        assert_eq!(state.active().unwrap().secret_matches(&hash('a'), at(0)), None);
    }

    #[test]
    fn a_disabled_client_comes_back_with_its_secrets() {
        given([a_web_client()]).when(disable()).then([disabled()]);
        given([a_web_client(), disabled()]).when(disable()).then_nothing();
        given([a_web_client(), disabled()]).when(C::Enable).then([E::Enabled]);
        given([a_web_client()]).when(C::Enable).then_nothing();
        given([a_web_client(), disabled()]).when(rotate('b', 0)).then([rotated('b', DAY)]);

        let state: OAuthClient = after([a_web_client(), disabled()]);
        assert_eq!(state.active(), None);
        assert!(state.client().is_some());
        let state: OAuthClient = after([a_web_client(), disabled(), E::Enabled]);
        assert!(state.active().unwrap().secret_matches(&hash('a'), at(0)).is_some());
    }

    #[test]
    fn a_deleted_client_is_gone() {
        given([a_web_client()]).when(delete()).then([deleted()]);
        given([a_web_client(), disabled()]).when(delete()).then([deleted()]);
        let before = || given([a_web_client(), deleted()]);
        before().when(delete()).then_nothing();
        for command in [C::Enable, disable(), rotate('b', 0), provision(ClientType::Spa, None)] {
            before().when(command).then_refused(Refused::Deleted);
        }
        let state: OAuthClient = after([a_web_client(), deleted()]);
        assert_eq!(state.client(), None);
    }

    /// Of an organization's own, of any type.
    fn own(client_type: ClientType, change: ClientChange) -> C {
        C::Provision {
            organization_id: parsed("org_acme"),
            installation: None,
            name: parsed("Own"),
            client_type,
            settings: Box::new(ClientSettings::default().with(&change)),
            redirect_uris: change.redirect_uris.unwrap_or_default(),
            scopes: change.allowed_scopes.unwrap_or_default(),
            secret: client_type.is_confidential().then(|| secret('a')),
        }
    }

    fn change(json: serde_json::Value) -> ClientChange {
        serde_json::from_value(json).expect("the test's own change is valid")
    }

    fn reconfigure(json: serde_json::Value) -> C {
        C::Reconfigure(Box::new(change(json)))
    }

    fn reconfigured(name: Option<&str>, settings: Option<ClientSettings>) -> E {
        E::Reconfigured { name: name.map(parsed), redirect_uris: None, scopes: None, settings: settings.map(Box::new) }
    }

    #[test]
    fn a_change_says_only_what_it_changes() {
        let described = ClientSettings { description: Some(parsed("Tickets")), ..ClientSettings::default() };
        given([a_web_client()]).when(reconfigure(json!({"name": "CRM 2"}))).then([reconfigured(Some("CRM 2"), None)]);
        given([a_web_client()])
            .when(reconfigure(json!({"name": "CRM", "description": "Tickets"})))
            .then([reconfigured(None, Some(described.clone()))]);
        given([a_web_client()]).when(reconfigure(json!({}))).then_nothing();
        let same =
            json!({"redirect_uris": ["https://crm.example/auth/callback"], "allowed_scopes": ["email", "openid"]});
        given([a_web_client()]).when(reconfigure(same)).then_nothing();

        let before = || [a_web_client(), reconfigured(None, Some(described.clone()))];
        given(before()).when(reconfigure(json!({"description": "Tickets"}))).then_nothing();
        given(before())
            .when(reconfigure(json!({"description": null})))
            .then([reconfigured(None, Some(ClientSettings::default()))]);
        given([a_web_client(), disabled()])
            .when(reconfigure(json!({"name": "CRM 2"})))
            .then([reconfigured(Some("CRM 2"), None)]);
        given([a_web_client(), deleted()]).when(reconfigure(json!({"name": "x"}))).then_refused(Refused::Deleted);
    }

    #[test]
    fn what_a_change_leaves_out_stays() {
        let settings = ClientSettings { first_party: true, ..ClientSettings::default() };
        let state: OAuthClient = after([a_web_client(), reconfigured(None, Some(settings.clone()))]);
        let state_after_name: OAuthClient =
            after([a_web_client(), reconfigured(None, Some(settings.clone())), reconfigured(Some("CRM 2"), None)]);
        let (before, now) = (state.active().unwrap(), state_after_name.active().unwrap());
        assert_eq!(now.name.as_str(), "CRM 2");
        assert_eq!(*now.settings, settings);
        assert_eq!((&now.redirect_uris, &now.scopes), (&before.redirect_uris, &before.scopes));
    }

    #[test]
    fn a_change_is_read_in_both_spellings_and_nothing_else() {
        let snake = change(json!({"logout_uris": ["https://a.example/bye"], "access_token_lifetime": 60}));
        let camel = change(json!({"postLogoutRedirectUris": ["https://a.example/bye"], "accessTokenLifetime": 60}));
        assert_eq!(snake, camel);
        assert!(serde_json::from_value::<ClientChange>(json!({"colour": "blue"})).is_err());
        assert!(serde_json::from_value::<ClientChange>(json!({"name": null})).is_err());
    }

    #[test]
    fn only_those_who_sign_people_in_have_addresses_to_return_to() {
        let callback = || change(json!({"redirect_uris": ["https://own.example/cb"]}));
        let bye = || change(json!({"logout_uris": ["https://own.example/bye"]}));
        given([]).when(own(ClientType::M2m, callback())).then_refused(Refused::RedirectUrisUnused);
        given([]).when(own(ClientType::M2m, bye())).then_refused(Refused::LogoutUrisUnused);
        given([provisioned(ClientType::M2m, Some(secret('a')))])
            .when(reconfigure(json!({"redirect_uris": ["https://own.example/cb"]})))
            .then_refused(Refused::RedirectUrisUnused);
        for client_type in [ClientType::Web, ClientType::Spa, ClientType::Native] {
            let made: OAuthClient = {
                let events = OAuthClient::default().decide(own(client_type, ClientChange::default()));
                after(events.expect("none is fine, too (C20)"))
            };
            assert!(made.active().is_some_and(|client| client.redirect_uris.is_empty()));
        }
    }

    #[test]
    fn a_scheme_of_its_own_is_for_native_apps() {
        let callback = || change(json!({"redirect_uris": ["com.example.app:/cb"]}));
        let bye = || change(json!({"logout_uris": ["com.example.app:/bye"]}));
        for client_type in [ClientType::Web, ClientType::Spa] {
            given([]).when(own(client_type, callback())).then_refused(Refused::RedirectUriSchemeUnfit);
            given([]).when(own(client_type, bye())).then_refused(Refused::LogoutUriSchemeUnfit);
        }
        assert!(OAuthClient::default().decide(own(ClientType::Native, callback())).is_ok());
        // An installed app's client is web whatever the app is: its vendor chose the addresses.
        let Ok(events) = given_installed(reconfigure(json!({"redirect_uris": ["com.example.app:/cb"]}))) else {
            panic!("an installed app may have a scheme of its own");
        };
        assert_eq!(events.len(), 1);
    }

    fn given_installed(command: C) -> Result<Vec<E>, Refused> {
        after::<OAuthClient>([a_web_client()]).decide(command)
    }

    #[test]
    fn how_a_client_proves_itself_fits_its_type() {
        let method = |method: &str| change(json!({"token_endpoint_auth_method": method}));
        for (client_type, fitting, unfit) in [
            (ClientType::Web, "client_secret_basic", "none"),
            (ClientType::M2m, "client_secret_post", "none"),
            (ClientType::Spa, "none", "client_secret_post"),
            (ClientType::Native, "none", "private_key_jwt"),
        ] {
            assert!(OAuthClient::default().decide(own(client_type, method(fitting))).is_ok());
            given([]).when(own(client_type, method(unfit))).then_refused(Refused::AuthMethodUnfit);
        }
    }

    #[test]
    fn a_key_of_its_own_replaces_the_secret() {
        let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]});
        let keyed = || json!({"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks});
        given([a_web_client()])
            .when(reconfigure(json!({"token_endpoint_auth_method": "private_key_jwt"})))
            .then_refused(Refused::KeysRequired);

        let C::Provision { organization_id, name, redirect_uris, scopes, settings, .. } =
            own(ClientType::Web, change(keyed()))
        else {
            panic!("own() provisions");
        };
        let client_type = ClientType::Web;
        let without_secret = E::Provisioned {
            organization_id,
            installation: None,
            name,
            client_type,
            redirect_uris,
            scopes,
            secret: None,
            settings,
        };
        let back = || reconfigure(json!({"token_endpoint_auth_method": null}));
        given([without_secret.clone()]).when(back()).then_refused(Refused::SecretRequired);
        let state: OAuthClient = after([without_secret, rotated('a', 0)]);
        assert!(state.decide(back()).is_ok(), "a secret was made first");
    }

    #[test]
    fn a_client_whose_last_secret_was_revoked_can_still_be_changed() {
        given([a_web_client(), revoked("a")])
            .when(reconfigure(json!({"name": "CRM 2"})))
            .then([reconfigured(Some("CRM 2"), None)]);
    }

    #[test]
    fn tokens_neither_end_at_once_nor_live_for_ever() {
        for seconds in [0, ClientSettings::LONGEST_ACCESS_TOKEN + 1] {
            given([a_web_client()])
                .when(reconfigure(json!({"access_token_lifetime": seconds})))
                .then_refused(Refused::AccessLifetimeOutOfRange);
        }
        for name in ["refresh_token_lifetime", "refresh_token_absolute_lifetime"] {
            given([a_web_client()])
                .when(reconfigure(json!({name: 0})))
                .then_refused(Refused::RefreshLifetimeOutOfRange);
        }
        let longest = ClientSettings {
            access_token_lifetime: Some(ClientSettings::LONGEST_ACCESS_TOKEN),
            ..ClientSettings::default()
        };
        given([a_web_client()])
            .when(reconfigure(json!({"access_token_lifetime": ClientSettings::LONGEST_ACCESS_TOKEN})))
            .then([reconfigured(None, Some(longest))]);
    }

    #[test]
    fn redirect_uris_are_compared_exactly() {
        let state: OAuthClient = after([a_web_client()]);
        let client = state.active().unwrap();
        assert!(client.has_redirect_uri("https://crm.example/auth/callback"));
        assert!(!client.has_redirect_uri("https://crm.example/auth/callback/"));
        assert!(!client.has_redirect_uri("https://CRM.example/auth/callback"));
    }

    fn every_setting() -> serde_json::Value {
        json!({
            "description": "Tickets",
            "logo_uri": "https://own.example/logo.png",
            "post_logout_redirect_uris": ["https://own.example/bye"],
            "allowed_origins": ["https://own.example"],
            "allowed_audiences": ["https://api.own.example"],
            "token_endpoint_auth_method": "client_secret_basic",
            "jwks": { "keys": [{ "kty": "EC", "crv": "P-256", "x": "x", "y": "y" }] },
            "backchannel_logout_uri": "https://own.example/logout",
            "initiate_login_uri": "https://own.example/login",
            "first_party": true,
            "require_s256": true,
            "ignore_unknown_scopes": true,
            "id_token_signed_response_alg": "ES256",
            "access_token_lifetime": 60,
            "refresh_token_lifetime": 3600,
            "refresh_token_absolute_lifetime": 86400,
        })
    }

    #[test]
    fn a_native_app_on_loopback_may_listen_on_any_port() {
        let with = |client_type| {
            let E::Provisioned { organization_id, name, scopes, .. } = provisioned(client_type, None) else {
                unreachable!("it was provisioned");
            };
            let redirect_uris = vec![parsed("http://127.0.0.1/cb"), parsed("http://localhost:3000/cb")];
            let settings = Box::default();
            let (installation, secret) = (None, None);
            let event = E::Provisioned {
                organization_id,
                installation,
                name,
                client_type,
                redirect_uris,
                scopes,
                secret,
                settings,
            };
            after::<OAuthClient>([event]).active().unwrap().clone()
        };
        let native = with(ClientType::Native);
        assert!(native.allows_redirect_to("http://127.0.0.1:51004/cb"));
        for other in [
            "http://127.0.0.1:51004/cb/",
            "http://127.0.0.1.evil.example/cb",
            "http://[::1]:51004/cb",
            "https://127.0.0.1:51004/cb",
            "http://localhost:51004/cb",
            "http://127.0.0.1:x/cb",
        ] {
            assert!(!native.allows_redirect_to(other), "{other}");
        }
        assert!(!with(ClientType::Spa).allows_redirect_to("http://127.0.0.1:51004/cb"));
    }

    #[test]
    fn stored_forms() {
        let bare = E::Provisioned {
            organization_id: parsed("org_acme"),
            installation: None,
            name: parsed("SPA"),
            client_type: ClientType::Spa,
            redirect_uris: vec![],
            scopes: parsed("openid"),
            secret: None,
            settings: Box::default(),
        };
        let full = E::Provisioned {
            organization_id: parsed("org_acme"),
            installation: None,
            name: parsed("Own"),
            client_type: ClientType::Web,
            redirect_uris: vec![],
            scopes: parsed("openid"),
            secret: Some(ClientSecretHash { hint: Some("wxyz".into()), ..secret('a') }),
            settings: Box::new(ClientSettings::default().with(&change(every_setting()))),
        };
        let renamed_only = reconfigured(Some("CRM 2"), None);
        let all_changed = E::Reconfigured {
            name: Some(parsed("CRM 2")),
            redirect_uris: Some(vec![]),
            scopes: Some(parsed("openid")),
            settings: Some(Box::new(ClientSettings { first_party: true, ..ClientSettings::default() })),
        };
        let rotated_with_hint = E::SecretRotated {
            secret_id: "c".into(),
            hash: hash('c'),
            hint: Some("wxyz".into()),
            previous_expires_at: at(0),
        };
        stored_as::<OAuthClient>(
            [
                (
                    a_web_client(),
                    json!({
                        "type": "provisioned",
                        "organization_id": "org_acme",
                        "installation": { "installation_id": "inst_1", "app_id": "app_crm" },
                        "name": "CRM",
                        "client_type": "web",
                        "redirect_uris": ["https://crm.example/auth/callback"],
                        "scopes": ["openid", "email"],
                        "secret": { "secret_id": "a", "hash": hash_text('a') },
                    }),
                ),
                (
                    bare,
                    json!({
                        "type": "provisioned",
                        "organization_id": "org_acme",
                        "installation": null,
                        "name": "SPA",
                        "client_type": "spa",
                        "redirect_uris": [],
                        "scopes": ["openid"],
                        "secret": null,
                    }),
                ),
                (
                    rotated('b', DAY),
                    json!({
                        "type": "secret_rotated",
                        "secret_id": "b",
                        "hash": hash_text('b'),
                        "previous_expires_at": "2026-01-02T00:00:00Z",
                    }),
                ),
                (
                    full,
                    json!({
                        "type": "provisioned",
                        "organization_id": "org_acme",
                        "installation": null,
                        "name": "Own",
                        "client_type": "web",
                        "redirect_uris": [],
                        "scopes": ["openid"],
                        "secret": { "secret_id": "a", "hash": hash_text('a'), "hint": "wxyz" },
                        "settings": every_setting(),
                    }),
                ),
                (renamed_only, json!({ "type": "reconfigured", "name": "CRM 2" })),
                (
                    all_changed,
                    json!({
                        "type": "reconfigured",
                        "name": "CRM 2",
                        "redirect_uris": [],
                        "scopes": ["openid"],
                        "settings": { "first_party": true, "id_token_signed_response_alg": "RS256" },
                    }),
                ),
                (
                    rotated_with_hint,
                    json!({
                        "type": "secret_rotated",
                        "secret_id": "c",
                        "hash": hash_text('c'),
                        "hint": "wxyz",
                        "previous_expires_at": "2026-01-01T00:00:00Z",
                    }),
                ),
                (revoked("a"), json!({ "type": "secret_revoked", "secret_id": "a" })),
                (disabled(), json!({ "type": "disabled", "reason": "abuse" })),
                (E::Enabled, json!({ "type": "enabled" })),
                (deleted(), json!({ "type": "deleted", "reason": "uninstalled" })),
            ],
            E::TYPES,
        );
    }
}
