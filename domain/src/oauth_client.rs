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

pub use settings::ClientSettings;

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
    /// What is none stays as it is.
    Reconfigure {
        name: Option<Title>,
        redirect_uris: Option<Vec<RedirectUri>>,
        scopes: Option<Scopes>,
        settings: Option<Box<ClientSettings>>,
    },
    /// The secret so far goes on working for `overlap`; none ends it at once (R147, R187).
    RotateSecret {
        secret_id: String,
        hash: SecretHash,
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
    #[error("access_token_lifetime must be 1 to 86400 seconds, the refresh token's lifetimes at least 1")]
    LifetimeOutOfRange,
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

/// The first secret of a client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientSecretHash {
    pub secret_id: String,
    pub hash: SecretHash,
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

            (
                S::Active(client) | S::Disabled { client, .. },
                C::Reconfigure { name, redirect_uris, scopes, settings },
            ) => {
                if let Some(settings) = &settings {
                    check(client.client_type, settings)?;
                    if client.client_type.is_confidential() && client.secrets.is_empty() && !settings.uses_own_key() {
                        return Err(Refused::SecretRequired);
                    }
                }
                let name = name.filter(|name| *name != client.name);
                let redirect_uris = redirect_uris.filter(|uris| *uris != client.redirect_uris);
                let scopes = scopes.filter(|scopes| *scopes != client.scopes);
                let settings = settings.filter(|settings| *settings != client.settings);
                if name.is_none() && redirect_uris.is_none() && scopes.is_none() && settings.is_none() {
                    vec![]
                } else {
                    vec![E::Reconfigured { name, redirect_uris, scopes, settings }]
                }
            }

            (S::Active(client) | S::Disabled { client, .. }, C::RotateSecret { secret_id, hash, now, overlap }) => {
                if !client.client_type.is_confidential() {
                    return Err(Refused::SecretNotAllowed);
                }
                if client.has_secret(&secret_id) {
                    return Ok(vec![]);
                }
                let overlap = overlap.max(Duration::zero());
                vec![E::SecretRotated {
                    secret_id,
                    hash,
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
                E::SecretRotated { secret_id, hash, previous_expires_at },
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

    /// Why its organization's members need not be asked, if they need not (R036).
    pub fn approval(&self) -> Option<Approval> {
        match (&self.installation, self.settings.first_party) {
            (Some(_), _) => Some(Approval::InstalledApp),
            (None, true) => Some(Approval::FirstParty),
            (None, false) => None,
        }
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
    let refresh = [settings.refresh_token_lifetime, settings.refresh_token_absolute_lifetime];
    let access = settings.access_token_lifetime;
    let in_range = access.is_none_or(|seconds| (1..=ClientSettings::LONGEST_ACCESS_TOKEN).contains(&seconds))
        && refresh.iter().flatten().all(|seconds| *seconds > 0);
    if in_range { Ok(()) } else { Err(OAuthClientError::LifetimeOutOfRange) }
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
        ClientSecretHash { secret_id: digit.to_string(), hash: hash(digit) }
    }

    fn provision(client_type: ClientType, secret: Option<ClientSecretHash>) -> C {
        C::Provision {
            organization_id: parsed("org_acme"),
            installation: Some(InstallationOf { installation_id: parsed("inst_1"), app_id: parsed("app_crm") }),
            name: parsed("CRM"),
            client_type,
            redirect_uris: vec![parsed("https://crm.example/auth/callback")],
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
            redirect_uris: vec![parsed("https://crm.example/auth/callback")],
            scopes: parsed("openid email"),
            secret,
            settings: Box::default(),
        }
    }

    fn a_web_client() -> E {
        provisioned(ClientType::Web, Some(secret('a')))
    }

    fn rotate(digit: char, now: i64) -> C {
        C::RotateSecret {
            secret_id: digit.to_string(),
            hash: hash(digit),
            now: at(now),
            overlap: Duration::seconds(DAY),
        }
    }

    fn rotated(digit: char, previous_expires_at: i64) -> E {
        E::SecretRotated {
            secret_id: digit.to_string(),
            hash: hash(digit),
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
            let rotate = C::RotateSecret { secret_id: "b".into(), hash: hash('b'), now: at(5), overlap };
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

    #[test]
    fn redirect_uris_are_compared_exactly() {
        let state: OAuthClient = after([a_web_client()]);
        let client = state.active().unwrap();
        assert!(client.has_redirect_uri("https://crm.example/auth/callback"));
        assert!(!client.has_redirect_uri("https://crm.example/auth/callback/"));
        assert!(!client.has_redirect_uri("https://CRM.example/auth/callback"));
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
                (revoked("a"), json!({ "type": "secret_revoked", "secret_id": "a" })),
                (disabled(), json!({ "type": "disabled", "reason": "abuse" })),
                (E::Enabled, json!({ "type": "enabled" })),
                (deleted(), json!({ "type": "deleted", "reason": "uninstalled" })),
            ],
            E::TYPES,
        );
    }
}
