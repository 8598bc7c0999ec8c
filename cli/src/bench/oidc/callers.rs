//! What is asked, again and again: one caller is one connection.

use std::sync::Arc;

use argon2::{Argon2, PasswordHasher};
use tokio::sync::Semaphore;

use super::http::Connection;
use super::instance::{Browser, Client, Target};
use super::server::PASSWORD;
use crate::bench::measure::{Caller, Failure};

/// The cases, in the order of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    Userinfo,
    Introspection,
    ClientCredentials,
    Refresh,
    CodeFlow,
    SignIn,
    SignInAndCodeFlow,
}

impl Case {
    pub const ALL: [Self; 7] = [
        Self::Userinfo,
        Self::Introspection,
        Self::ClientCredentials,
        Self::Refresh,
        Self::CodeFlow,
        Self::SignIn,
        Self::SignInAndCodeFlow,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Userinfo => "userinfo",
            Self::Introspection => "introspection",
            Self::ClientCredentials => "client credentials",
            Self::Refresh => "refresh",
            Self::CodeFlow => "code flow",
            Self::SignIn => "password sign-in",
            Self::SignInAndCodeFlow => "sign-in, code flow",
        }
    }

    /// Whether argon2id bounds it, rather than HTTP.
    pub fn hashes_a_password(self) -> bool {
        matches!(self, Self::SignIn | Self::SignInAndCodeFlow)
    }

    pub async fn caller(self, target: &Target) -> Result<Asking, Failure> {
        let mut browser = target.browser().await?;
        let mut token = String::new();
        if !self.hashes_a_password() && self != Self::ClientCredentials {
            browser = target.signed_in_browser().await?;
            let tokens = browser.code_flow().await?;
            token = if self == Self::Refresh { tokens.refresh_token } else { tokens.access_token };
        }
        let connection = Connection::open(&target.server.address).await?;
        let connection = if self == Self::Userinfo { connection.bearer(&token) } else { connection };
        let client = if self == Self::ClientCredentials { &target.machine } else { &target.app };
        Ok(Asking { case: self, browser, connection, client: client.clone(), token })
    }
}

/// Who asks for one of the cases.
pub struct Asking {
    case: Case,
    browser: Browser,
    connection: Connection,
    client: Client,
    token: String,
}

impl Caller for Asking {
    async fn call(&mut self) -> Result<(), Failure> {
        let client = [("client_id", self.client.id.as_str()), ("client_secret", self.client.secret.as_str())];
        match self.case {
            Case::Userinfo => {
                self.connection.get("/oauth/userinfo").await?.expect(&[200])?;
            }
            Case::Introspection => {
                let form = [("token", self.token.as_str()), client[0], client[1]];
                self.connection.post_form("/oauth/introspect", &form).await?.expect(&[200])?;
            }
            Case::ClientCredentials => {
                let form = [("grant_type", "client_credentials"), client[0], client[1]];
                self.connection.post_form("/oauth/token", &form).await?.expect(&[200])?;
            }
            Case::Refresh => self.token = self.browser.refresh(&self.token).await?.refresh_token,
            Case::CodeFlow => {
                self.browser.code_flow().await?;
            }
            Case::SignIn => {
                self.browser.forget();
                self.browser.sign_in().await?;
            }
            Case::SignInAndCodeFlow => {
                self.browser.forget();
                self.browser.sign_in().await?;
                self.browser.code_flow().await?;
            }
        }
        Ok(())
    }
}

/// The baseline of what is asked over HTTP.
pub struct Bare(pub Connection);

impl Caller for Bare {
    async fn call(&mut self) -> Result<(), Failure> {
        self.0.get("/bare").await?.expect(&[200])?;
        Ok(())
    }
}

/// The baseline of sign-ins: the same hash, on as many threads as the server gives to it.
pub struct BareHash(pub Arc<Semaphore>);

impl BareHash {
    pub fn turns() -> Arc<Semaphore> {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
        Arc::new(Semaphore::new(cores.saturating_sub(1).max(1)))
    }
}

impl Caller for BareHash {
    async fn call(&mut self) -> Result<(), Failure> {
        let turn = self.0.clone().acquire_owned().await?;
        tokio::task::spawn_blocking(move || {
            let _held = turn;
            Argon2::default().hash_password(PASSWORD.as_bytes()).map(drop)
        })
        .await?
        .map_err(|problem| problem.to_string().into())
    }
}
