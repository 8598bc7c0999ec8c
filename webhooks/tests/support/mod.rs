//! An instance in a folder of its own, and a receiver of webhooks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use chrono::TimeDelta;
use database::{Db, open_sqlite};
use domain::{
    App, AppChange, AppCommand, AppId, ClientId, InstallationId, Organization, OrganizationCommand, OrganizationId,
    Scopes, UserId, Visibility,
};
use eventstore::follow::Node;
use eventstore::{Clock, Context, EventStore, Execution, MasterKey};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
use webhooks::{AttemptRow, DeliveryRow, Parts, Running, Settings};

const KINDS: [&str; 4] = ["organization", "app", "oauth_client", "webhook_delivery"];

/// One process of an instance.
pub struct Instance {
    pub store: EventStore,
    pub db: Db,
    clock: Clock,
    stop: CancellationToken,
    running: Option<Running>,
}

/// An app that an organization installed.
pub struct Installed {
    pub organization_id: OrganizationId,
    pub app_id: AppId,
    pub installation_id: InstallationId,
    pub client_id: ClientId,
}

pub fn settings() -> Settings {
    Settings {
        allow_private: true,
        timeout: Duration::from_secs(2),
        retry_steps: vec![Duration::from_millis(20)],
        sweep: Duration::from_millis(20),
        ..Settings::default()
    }
}

impl Instance {
    /// Opens what is in `folder`; nothing is sent yet.
    pub async fn open(folder: &Path) -> Self {
        let clock = Clock::default();
        let log = open_sqlite(&folder.join("log.sqlite"), database::LOG_SQLITE).await.expect("the log opens");
        let db = open_sqlite(&folder.join("views.sqlite"), database::VIEWS).await.expect("the views open");
        let master = MasterKey::from_file(&folder.join("master.key")).expect("the key is made");
        let store = EventStore::open(log, master, clock.clone(), &KINDS).await.expect("the store opens");
        Self { store, db, clock, stop: CancellationToken::new(), running: None }
    }

    pub async fn start(folder: &Path, settings: Settings) -> Self {
        let mut instance = Self::open(folder).await;
        instance.begin(settings).await;
        instance
    }

    pub async fn begin(&mut self, settings: Settings) {
        self.begin_with_nats(settings, None).await.expect("webhooks start");
    }

    pub async fn begin_with_nats(
        &mut self,
        settings: Settings,
        nats_url: Option<String>,
    ) -> Result<(), webhooks::Error> {
        let node = Node { db: self.db.clone(), name: Uuid::new_v4().to_string(), clock: self.clock.clone() };
        let parts = Parts { store: self.store.clone(), node, settings, nats_url, stop: self.stop.clone() };
        self.running = Some(webhooks::start(parts).await?);
        Ok(())
    }

    pub async fn stop(mut self) {
        self.stop.cancel();
        for task in self.running.take().into_iter().flat_map(|running| running.tasks) {
            task.await.expect("no task panics");
        }
    }

    pub fn advance(&self, by: TimeDelta) {
        self.clock.advance(u32::try_from(by.num_seconds()).expect("forward"));
    }

    pub async fn app(&self, webhook_url: Option<&str>) -> AppId {
        let app_id = AppId::from_uuid(Uuid::now_v7());
        let command = AppCommand::Define {
            organization_id: OrganizationId::from_uuid(Uuid::now_v7()),
            name: "customer-service".parse().expect("a name"),
            title: "Customer Service".parse().expect("a title"),
            version: "1.0.0".to_owned(),
            description: None,
            webhook_url: webhook_url.map(|url| url.parse().expect("a URL")),
            redirect_uris: vec!["https://app.example/callback".parse().expect("a URI")],
            launch_url: None,
            scopes: Scopes::default(),
            visibility: Visibility::Public,
        };
        let context = Context::system("test");
        self.store.execute(Execution::<App>::new(app_id.as_str(), command, &context)).await.expect("it is defined");
        app_id
    }

    pub async fn change_url(&self, app_id: &AppId, url: &str) {
        let webhook_url = Some(Some(url.parse().expect("a URL")));
        let command = AppCommand::Change(AppChange { webhook_url, ..AppChange::default() });
        let context = Context::system("test");
        self.store.execute(Execution::<App>::new(app_id.as_str(), command, &context)).await.expect("it is changed");
    }

    pub async fn organization(&self) -> OrganizationId {
        let organization_id = OrganizationId::from_uuid(Uuid::now_v7());
        let name = "Acme".parse().expect("a name");
        self.command(&organization_id, OrganizationCommand::Create { name, owner: UserId::from_uuid(Uuid::now_v7()) })
            .await;
        organization_id
    }

    pub async fn install(&self, app_id: &AppId) -> Installed {
        let organization_id = self.organization().await;
        self.install_for(organization_id, app_id).await
    }

    pub async fn install_for(&self, organization_id: OrganizationId, app_id: &AppId) -> Installed {
        let installation_id = InstallationId::from_uuid(Uuid::now_v7());
        let client_id = ClientId::for_installation(Uuid::now_v7());
        let installed = Installed { organization_id, app_id: app_id.clone(), installation_id, client_id };
        let command = OrganizationCommand::InstallApp {
            installation_id: installed.installation_id.clone(),
            app_id: app_id.clone(),
            client_id: installed.client_id.clone(),
        };
        self.command(&installed.organization_id, command).await;
        installed
    }

    pub async fn uninstall(&self, installed: &Installed) {
        let installation_id = installed.installation_id.clone();
        self.command(&installed.organization_id, OrganizationCommand::UninstallApp { installation_id }).await;
    }

    async fn command(&self, id: &OrganizationId, command: OrganizationCommand) {
        let context = Context::system("test");
        let execution = Execution::<Organization>::new(id.as_str(), command, &context).in_tenant(id.as_str());
        self.store.execute(execution).await.expect("it is done");
    }

    /// What the app was told, the first first.
    pub async fn deliveries(&self, installed: &Installed) -> Vec<DeliveryRow> {
        let mut rows =
            webhooks::deliveries_of(&self.db, &installed.organization_id, &installed.app_id).await.expect("rows");
        rows.reverse();
        rows
    }

    /// Every attempt of a delivery. The log may tell how it ended a moment before its last attempt is noted.
    pub async fn attempts(&self, delivery: &DeliveryRow) -> Vec<AttemptRow> {
        let id = delivery.delivery_id.parse().expect("an id");
        let begun = Instant::now();
        loop {
            let attempts = webhooks::attempts_of(&self.db, &id).await.expect("rows");
            if i64::try_from(attempts.len()).is_ok_and(|count| count >= delivery.attempts) {
                return attempts;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "only these were noted: {attempts:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the states of an installation's deliveries are these.
    pub async fn wait_for(&self, installed: &Installed, states: &[&str]) -> Vec<DeliveryRow> {
        let begun = Instant::now();
        loop {
            let rows = self.deliveries(installed).await;
            if rows.iter().map(|row| row.state.as_str()).eq(states.iter().copied()) {
                return rows;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "waited for {states:?}, but there are {rows:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn secret_of(&self, installed: &Installed) -> Option<String> {
        let secret = self.store.vault().get("client_secret", installed.client_id.as_str()).await.expect("the vault");
        secret.map(|secret| secret.expose_text().expect("a text").to_owned())
    }
}

/// A request that arrived.
#[derive(Debug, Clone)]
pub struct Arrived {
    pub path: String,
    pub headers: HeaderMap,
    pub body: String,
}

impl Arrived {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// How a request is answered.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    With { status: u16, header: (&'static str, String) },
    Echo,
    Hang,
}

/// An app's endpoint: records what arrives and answers by its script, then 200.
#[derive(Clone)]
pub struct Receiver {
    address: SocketAddr,
    state: Arc<Mutex<(Vec<Arrived>, VecDeque<Answer>)>>,
}

impl Receiver {
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let receiver = Self { address: listener.local_addr().expect("it is bound"), state: Arc::default() };
        let router = Router::new().fallback(receive).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://{}/api/webhooks/optare", self.address)
    }

    pub fn script(&self, answers: impl IntoIterator<Item = Answer>) {
        self.state().1 = answers.into_iter().collect();
    }

    pub fn arrived(&self) -> Vec<Arrived> {
        self.state().0.clone()
    }

    pub async fn wait_for(&self, count: usize) -> Vec<Arrived> {
        let begun = Instant::now();
        loop {
            let arrived = self.arrived();
            if arrived.len() >= count {
                return arrived;
            }
            assert!(begun.elapsed() < Duration::from_secs(20), "waited for {count}, but got {arrived:#?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn state(&self) -> MutexGuard<'_, (Vec<Arrived>, VecDeque<Answer>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn receive(State(receiver): State<Receiver>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body = String::from_utf8_lossy(&body).into_owned();
    let answer = {
        let mut state = receiver.state();
        state.0.push(Arrived { path: uri.path().to_owned(), headers, body: body.clone() });
        state.1.pop_front()
    };
    let status = |status| StatusCode::from_u16(status).expect("a status");
    match answer {
        None => r#"{"received": true}"#.into_response(),
        Some(Answer::Status(code)) => status(code).into_response(),
        Some(Answer::With { status: code, header: (name, value) }) => (status(code), [(name, value)]).into_response(),
        Some(Answer::Echo) => body.into_response(),
        Some(Answer::Hang) => std::future::pending().await,
    }
}
