//! `optare keys`: the keys that sign tokens, listed and rotated, on the instance itself or through a running server.

use api::keys::{Rotation, rotate, shown};
use api::{Problem, Settings};
use chrono::Duration;
use clap::{Args, Subcommand};
use domain::SigningAlgorithm;
use eventstore::Context;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use url::Url;

use crate::Failure;
use crate::init::Output;
use crate::instance::InstanceArgs;
use crate::service::Service;

/// Looks after the keys that sign tokens.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Lists the keys with their times; never a private part.
    List(ListArgs),
    /// Replaces keys: the new one is published first, signs later, and the old one stays published until the last
    /// token that it signed has ended.
    Rotate(RotateArgs),
}

/// Where the keys are.
#[derive(Debug, Args)]
struct Place {
    #[command(flatten)]
    instance: InstanceArgs,
    /// A running server, e.g. https://id.example.com, instead of its databases.
    #[arg(long, env = "OPTARE_URL")]
    url: Option<Url>,
    /// The operator's API key, for --url.
    #[arg(long, env = "OPTARE_API_KEY", hide_env_values = true)]
    api_key: Option<String>,
    /// Its secret; as an environment variable others do not see it.
    #[arg(long, env = "OPTARE_API_SECRET", hide_env_values = true)]
    api_secret: Option<String>,
    /// How to print the keys.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// How keys overlap when they are rotated; every number is in `docs/settings.md`.
#[derive(Debug, Clone, Args)]
pub struct OverlapArgs {
    /// Seconds that a new signing key is published before it signs; verifiers may keep the old set for 300.
    #[arg(long, env = "OPTARE_KEY_PUBLISH_LEAD", default_value_t = 900)]
    key_publish_lead: u32,
    /// Seconds that a replaced signing key stays published; longer than any token that it signed lives.
    #[arg(long, env = "OPTARE_KEY_RETENTION", default_value_t = 90_000)]
    key_retention: u32,
}

impl OverlapArgs {
    /// `settings` with these numbers.
    pub fn apply(&self, settings: Settings) -> Settings {
        let seconds = |given: u32| Duration::seconds(i64::from(given));
        let (key_publish_lead, key_retention) = (seconds(self.key_publish_lead), seconds(self.key_retention));
        Settings { key_publish_lead, key_retention, ..settings }
    }
}

/// Options of `optare keys list`.
#[derive(Debug, Args)]
pub struct ListArgs {
    #[command(flatten)]
    place: Place,
}

/// Options of `optare keys rotate`.
#[derive(Debug, Args)]
pub struct RotateArgs {
    #[command(flatten)]
    place: Place,
    /// RS256, ES256 or EdDSA; without it, all three.
    #[arg(long, value_parser = algorithm)]
    algorithm: Option<SigningAlgorithm>,
    /// Sign with the new key at once: verifiers that have not fetched it yet refuse its tokens for some minutes.
    #[arg(long)]
    now: bool,
    /// Somebody else has the old key: sign with a new one at once and accept nothing more that the old one signed.
    #[arg(long)]
    revoke: bool,
    #[command(flatten)]
    overlap: OverlapArgs,
}

fn algorithm(text: &str) -> Result<SigningAlgorithm, String> {
    text.parse().map_err(|wrong: domain::InvalidValue| wrong.reason)
}

/// Runs the command.
pub async fn run(command: KeysCommand) -> Result<(), Failure> {
    let keys = match &command {
        KeysCommand::List(ListArgs { place }) => match place.server()? {
            Some(server) => answer(server.client.get(server.at("/v1/keys")?), &server).await?,
            None => {
                let service = place.open(Settings::new("")).await?;
                let keys = shown(&service.app);
                service.stop().await;
                keys
            }
        },
        KeysCommand::Rotate(args) => args.rotate().await?,
    };
    let (KeysCommand::List(ListArgs { place }) | KeysCommand::Rotate(RotateArgs { place, .. })) = &command;
    print(&keys, place.output);
    Ok(())
}

impl RotateArgs {
    async fn rotate(&self) -> Result<Value, Failure> {
        let Self { algorithm, now, revoke, .. } = *self;
        if let Some(server) = self.place.server()? {
            let body = json!({"algorithm": algorithm, "now": now, "revoke": revoke});
            return answer(server.client.post(server.at("/v1/keys/rotate")?).json(&body), &server).await;
        }
        let service = self.place.open(self.overlap.apply(Settings::new(""))).await?;
        let rotated = rotate(&service.app, Rotation { algorithm, now, revoke }, &Context::system("cli"), None).await;
        let keys = rotated.map(|_| shown(&service.app));
        service.stop().await;
        keys.map_err(|problem: Problem| Failure(problem.detail().to_owned()))
    }
}

/// A running server and who asks it.
struct Server<'a> {
    client: Client,
    url: &'a Url,
    key: &'a str,
    secret: &'a str,
}

impl Place {
    fn server(&self) -> Result<Option<Server<'_>>, Failure> {
        let Some(url) = &self.url else { return Ok(None) };
        let (Some(key), Some(secret)) = (&self.api_key, &self.api_secret) else {
            return Err(Failure::from("--url needs the operator's API key: set OPTARE_API_KEY and OPTARE_API_SECRET"));
        };
        Ok(Some(Server { client: Client::builder().build()?, url, key, secret }))
    }

    async fn open(&self, settings: Settings) -> Result<Service, Failure> {
        let opened = self.instance.open().await.map_err(|Failure(sentence)| {
            // The lock's own advice fits who wants to serve.
            match sentence.split_once(" is in use by another optare") {
                Some((folder, _)) => Failure(format!(
                    "{folder} is in use by a running server; give its address with --url, and the operator's API key \
                     in OPTARE_API_KEY and OPTARE_API_SECRET"
                )),
                None => Failure(sentence),
            }
        })?;
        Service::start(opened, settings, None).await
    }
}

impl Server<'_> {
    fn at(&self, path: &str) -> Result<Url, Failure> {
        Ok(self.url.join(path)?)
    }
}

/// The keys that a server answers.
async fn answer(request: RequestBuilder, server: &Server<'_>) -> Result<Value, Failure> {
    let request = request.bearer_auth(server.key).header("x-api-secret", server.secret);
    let response = request.send().await.map_err(|error| {
        Failure(format!("{} does not answer ({}); is the server running?", server.url, error.without_url()))
    })?;
    let status = response.status();
    let mut body: Value = response
        .json()
        .await
        .map_err(|_| Failure(format!("{} answered {status} without JSON; is it an optare server?", server.url)))?;
    if !status.is_success() {
        return Err(Failure(format!("{}: {}", server.url, body["detail"].as_str().unwrap_or("refused"))));
    }
    Ok(body["keys"].take())
}

fn print(keys: &Value, output: Output) {
    if matches!(output, Output::Json) {
        return println!("{}", json!({"keys": keys}));
    }
    println!("{:<9} {:<9} {:<27} {:<27} kid", "algorithm", "state", "signs from", "published until");
    for key in keys.as_array().into_iter().flatten() {
        let text = |name: &str| key[name].as_str().unwrap_or("–").to_owned();
        println!(
            "{:<9} {:<9} {:<27} {:<27} {}",
            text("algorithm"),
            text("state"),
            text("signs_from"),
            text("published_until"),
            text("kid")
        );
    }
}
