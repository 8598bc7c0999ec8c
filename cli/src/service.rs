//! The running service: every part started, one router, one way to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::{App, Mailer, Passwords, Settings, SigningKeys};
use axum::Router;
use projections::Views;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::Failure;
use crate::instance::Opened;

/// Requests and deliveries in flight may take so long to finish after a stop.
const DRAIN: Duration = Duration::from_secs(20);

/// A service whose parts run, but that serves nobody yet.
pub struct Service {
    /// What handlers are given.
    pub app: App,
    opened: Opened,
    stop: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
}

impl Service {
    /// Starts the followers of the log; `webhooks` also delivers.
    pub async fn start(opened: Opened, settings: Settings, webhooks: Option<WebhookOptions>) -> Result<Self, Failure> {
        let stop = CancellationToken::new();
        let (views, mut tasks) = Views::start(&opened.node, opened.store.tail(), &stop);
        let logout = webhooks.as_ref().map(|options| (options.settings.clone(), options.logout.clone()));
        if let Some(options) = webhooks {
            let running = webhooks::start(webhooks::Parts {
                store: opened.store.clone(),
                node: opened.node.clone(),
                settings: options.settings,
                nats_url: options.nats_url,
                stop: stop.clone(),
            })
            .await?;
            tasks.extend(running.tasks);
        }
        let keys = Arc::new(SigningKeys::open(&opened.store).await?);
        if logout.is_some() {
            keys.must_sign()?;
        }
        tasks.push(tokio::spawn(keys.clone().follow(stop.clone().cancelled_owned())));
        let app = App {
            store: opened.store.clone(),
            views,
            keys,
            mailer: Mailer::new(&settings)?,
            settings: Arc::new(settings),
            passwords: Passwords::default(),
            lookups: api::Lookups::default(),
        };
        if let Some((http, settings)) = logout {
            let keys = app.keys.clone();
            tasks.extend(webhooks::start_logout_notices(webhooks::LogoutParts {
                store: opened.store.clone(),
                node: opened.node.clone(),
                http,
                settings,
                issuer: app.settings.base_url.clone(),
                sign: Arc::new(move |algorithm, claims| {
                    keys.sign_logout_token(algorithm, claims).map_err(|problem| problem.to_string())
                }),
                stop: stop.clone(),
            })?);
        }
        tasks.push(api::sweep::start(app.clone(), stop.clone()));
        Ok(Self { app, opened, stop, tasks })
    }

    /// Serves HTTP until `stop_now`, then drains.
    pub async fn serve(
        &self,
        listener: TcpListener,
        stop_now: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Failure> {
        let router = Router::new().merge(api::router(self.app.clone())).merge(portal::router(self.app.clone()));
        let router = portal::pages(router, &self.app)
            .layer(axum::middleware::from_fn_with_state(self.app.clone(), api::announce));
        let draining = CancellationToken::new();
        let begun = draining.clone();
        let service = router.into_make_service_with_connect_info::<SocketAddr>();
        let serving = axum::serve(listener, service).with_graceful_shutdown(async move {
            stop_now.await;
            begun.cancel();
        });
        tokio::select! {
            served = serving => Ok(served?),
            () = async { draining.cancelled().await; tokio::time::sleep(DRAIN).await } => {
                warn!("some requests did not finish within {} s and were cut off", DRAIN.as_secs());
                Ok(())
            }
        }
    }

    /// Stops the followers and closes the databases.
    pub async fn stop(self) {
        self.stop.cancel();
        let all = async {
            for task in self.tasks {
                // One that panicked has said so.
                let _ = task.await;
            }
        };
        if tokio::time::timeout(DRAIN, all).await.is_err() {
            warn!("some deliveries did not finish within {} s; they are sent again after the restart", DRAIN.as_secs());
        }
        self.opened.close().await;
    }
}

/// How webhooks are delivered.
pub struct WebhookOptions {
    /// Limits, times, retries.
    pub settings: webhooks::Settings,
    /// JetStream, if it distributes the work.
    pub nats_url: Option<String>,
    /// How clients are told that a session ended.
    pub logout: webhooks::LogoutSettings,
}

/// Completes when this process is asked to stop: Ctrl-C or SIGTERM.
pub async fn asked_to_stop() -> Result<impl Future<Output = ()> + Send + 'static, Failure> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Listens, or says who is in the way.
pub async fn listen(address: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let problem = match error.kind() {
            std::io::ErrorKind::AddrInUse => "address already in use".to_owned(),
            _ => error.to_string(),
        };
        Failure(format!(
            "cannot listen on {address}: {problem}; stop the other program or give another address with --listen"
        ))
    })
}
