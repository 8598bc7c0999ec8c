//! `optare demo`: a service on the embedded engine, demo data, and a sample receiving app beside it.

mod receiver;
mod seed;

use std::path::{Path, PathBuf};

use api::{AccountSettings, MailTransport, Settings};
use clap::Args;
use domain::Instance;

use crate::Failure;
use crate::instance::InstanceArgs;
use crate::service::{Service, WebhookOptions, asked_to_stop, listen};

/// Options of `optare demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// A data folder of its own; delete it to start anew.
    #[arg(long, default_value = "optare-demo")]
    data: PathBuf,
    /// Address of the service.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: String,
    /// Address of the sample receiving app.
    #[arg(long, default_value = "127.0.0.1:3000")]
    app_listen: String,
}

/// Runs the demo until it is told to stop.
pub async fn run(args: DemoArgs) -> Result<(), Failure> {
    let stop = asked_to_stop().await?;
    let (listener, app_listener) = (listen(&args.listen).await?, listen(&args.app_listen).await?);
    let base_url = format!("http://localhost:{}", listener.local_addr()?.port());
    let app_url = format!("http://localhost:{}", app_listener.local_addr()?.port());

    let instance = InstanceArgs { data: args.data.clone(), database_url: None, master_key: None, dev: true };
    let mail = MailTransport::Folder(args.data.join("mail"));
    let accounts = AccountSettings { registration_open: true, mail, ..AccountSettings::default() };
    let settings = Settings { dev: true, accounts, ..Settings::new(&base_url) };
    let delivery = webhooks::Settings { allow_private: true, ..webhooks::Settings::default() };
    let webhooks = WebhookOptions { settings: delivery, nats_url: None, logout: webhooks::LogoutSettings::default() };
    let service = Service::start(instance.open().await?, settings, Some(webhooks)).await?;

    let already = service.app.store.load::<Instance>(Instance::ID).await?.state.is_initialised();
    if !already {
        seed::seed(&service.app, &app_url).await?;
    }
    let receiver = receiver::open(&args.data, &base_url, &app_url).await?;
    let receiving = tokio::spawn(async move { axum::serve(app_listener, receiver).await });
    print_welcome(&base_url, &app_url, &args.data.join("mail"));
    service.serve(listener, stop).await?;
    receiving.abort();
    service.stop().await;
    Ok(())
}

fn print_welcome(base_url: &str, app_url: &str, mail: &Path) {
    println!("\nOptare ID is running. Open  {base_url}\n");
    println!("Sign in with one of these; the password is  {}", seed::PASSWORD);
    for person in seed::PEOPLE {
        println!("  {:<22} {}", person.email, person.about);
    }
    println!("\nThe sample app that receives webhooks and sign-ins runs at  {app_url}");
    println!("Mails are files in  {}", mail.display());
    println!("Try: Apps → Install Customer Service → Open Customer Service → Uninstall.  Ctrl-C ends it.\n");
}
