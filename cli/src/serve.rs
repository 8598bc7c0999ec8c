//! `optare serve`

mod accounts;
mod lifetimes;

use std::time::Duration;

use api::Settings;
use clap::Args;
use tracing::warn;
use url::Url;

use accounts::AccountArgs;
use lifetimes::LifetimeArgs;

use crate::Failure;
use crate::instance::InstanceArgs;
use crate::service::{Service, WebhookOptions, asked_to_stop, listen};

/// Options of `optare serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// Address to listen on.
    #[arg(long, env = "OPTARE_LISTEN", default_value = "127.0.0.1:8080")]
    listen: String,
    /// The one origin that browsers and clients use, also the issuer; default: the address listened on.
    #[arg(long, env = "OPTARE_BASE_URL")]
    base_url: Option<String>,
    /// nats://host:4222; without it, webhooks are distributed in-process.
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    nats_url: Option<String>,
    #[command(flatten)]
    webhooks: WebhookArgs,
    #[command(flatten)]
    keys: crate::keys::OverlapArgs,
    #[command(flatten)]
    accounts: AccountArgs,
    #[command(flatten)]
    lifetimes: LifetimeArgs,
}

/// How webhooks are delivered; every number is in `docs/settings.md`.
#[derive(Debug, Args)]
struct WebhookArgs {
    /// Seconds that one attempt may take, the answer's body included.
    #[arg(long, env = "OPTARE_WEBHOOK_TIMEOUT", default_value_t = 15.0)]
    webhook_timeout: f64,
    /// Seconds that a worker holds a lane beyond the timeout; after a crash others wait for the sum.
    #[arg(long, env = "OPTARE_WEBHOOK_LEASE_MARGIN", default_value_t = 5.0)]
    webhook_lease_margin: f64,
    /// Seconds to wait after the first, second, … failed attempt; the last one repeats.
    #[arg(long, env = "OPTARE_WEBHOOK_RETRY", value_delimiter = ',', default_values_t = [5.0, 30.0, 120.0, 600.0, 1800.0, 7200.0, 21600.0, 43200.0, 86400.0])]
    webhook_retry: Vec<f64>,
    /// Seconds between two looks for deliveries that nobody announced.
    #[arg(long, env = "OPTARE_WEBHOOK_SWEEP", default_value_t = 1.0)]
    webhook_sweep: f64,
    /// Seconds that one attempt to tell a client of a logout may take.
    #[arg(long, env = "OPTARE_LOGOUT_TIMEOUT", default_value_t = 5.0)]
    logout_timeout: f64,
    /// Seconds to wait after the first, second, … failed one; after the last of them it is given up.
    #[arg(long, env = "OPTARE_LOGOUT_RETRY", value_delimiter = ',', default_values_t = [10.0, 50.0, 150.0, 390.0])]
    logout_retry: Vec<f64>,
}

impl WebhookArgs {
    fn settings(&self, dev: bool) -> Result<webhooks::Settings, Failure> {
        let steps = self.webhook_retry.iter().map(|step| seconds("webhook-retry", *step));
        Ok(webhooks::Settings {
            allow_private: dev,
            timeout: seconds("webhook-timeout", self.webhook_timeout)?,
            lease_margin: seconds("webhook-lease-margin", self.webhook_lease_margin)?,
            retry_steps: steps.collect::<Result<_, _>>()?,
            sweep: seconds("webhook-sweep", self.webhook_sweep)?,
            ..webhooks::Settings::default()
        })
    }

    fn logout(&self) -> Result<webhooks::LogoutSettings, Failure> {
        let steps = self.logout_retry.iter().map(|step| seconds("logout-retry", *step));
        Ok(webhooks::LogoutSettings {
            timeout: seconds("logout-timeout", self.logout_timeout)?,
            retry_steps: steps.collect::<Result<_, _>>()?,
            sweep: seconds("webhook-sweep", self.webhook_sweep)?,
        })
    }
}

fn seconds(name: &str, given: f64) -> Result<Duration, Failure> {
    Duration::try_from_secs_f64(given)
        .ok()
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| Failure(format!("--{name} must be a number of seconds above 0, not {given}")))
}

/// Runs the service until it is told to stop.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let stop = asked_to_stop().await?;
    let listener = listen(&args.listen).await?;
    let address = listener.local_addr()?;
    let base_url = match &args.base_url {
        Some(given) => checked_base_url(given)?,
        None if address.ip().is_loopback() => format!("http://{address}"),
        None => {
            return Err(Failure::from(
                "a server that others can reach needs its public address: give --base-url https://…",
            ));
        }
    };
    let settings = Settings {
        dev: args.instance.dev,
        accounts: args.accounts.settings(args.instance.dev, &args.instance.data)?,
        trusted_proxies: args.accounts.trusted_proxies,
        ..args.lifetimes.apply(args.keys.apply(Settings::new(&base_url)))
    };
    let webhooks = WebhookOptions {
        settings: args.webhooks.settings(args.instance.dev)?,
        nats_url: args.nats_url,
        logout: args.webhooks.logout()?,
    };
    let service = Service::start(args.instance.open().await?, settings, Some(webhooks)).await?;
    if !service.app.mailer.is_set_up() {
        warn!("no mails are sent, so nobody can reset a password: give a mail server with --mail-url");
    }
    println!("listening on http://{address}");
    service.serve(listener, stop).await?;
    service.stop().await;
    Ok(())
}

/// An origin: scheme, host, port, and nothing after it (R001).
fn checked_base_url(given: &str) -> Result<String, Failure> {
    let wrong = || Failure(format!("--base-url must be an origin like https://id.example.com, not {given}"));
    let url = Url::parse(given).map_err(|_| wrong())?;
    let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    if !bare || !matches!(url.scheme(), "http" | "https") {
        return Err(wrong());
    }
    Ok(url.origin().ascii_serialization())
}
