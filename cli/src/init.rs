//! `optare init`

use std::io::Read;

use api::Settings;
use api::accounts::{Initialised, NewUser, initialise};
use clap::{Args, ValueEnum};
use domain::{Email, OrganizationName, PersonName};
use serde_json::json;

use crate::Failure;
use crate::instance::InstanceArgs;
use crate::service::Service;

/// Options of `optare init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    #[command(flatten)]
    instance: InstanceArgs,
    /// The owner's e-mail address.
    #[arg(long)]
    email: Email,
    /// The owner's name.
    #[arg(long)]
    name: PersonName,
    /// The name of the organization that operates this instance.
    #[arg(long)]
    organization: OrganizationName,
    /// Reads the owner's password from standard input; a password on the command line would be seen by others.
    #[arg(long, required = true)]
    password_stdin: bool,
    /// How to print what was made.
    #[arg(long, value_enum, default_value = "text")]
    output: Output,
}

/// How a command prints.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Sets up a new instance and prints its first API key, once.
pub async fn run(args: InitArgs) -> Result<(), Failure> {
    let mut password = String::new();
    std::io::stdin().read_to_string(&mut password).map_err(|error| format!("the password cannot be read: {error}"))?;
    let password = password.trim_end_matches(['\r', '\n']).to_owned();
    let owner = NewUser { email: args.email, name: args.name, password: Some(password), email_verified: true };

    let service = Service::start(args.instance.open().await?, Settings::new(""), None).await?;
    let made = initialise(&service.app, owner, args.organization).await.map_err(|problem| problem.detail().to_owned());
    let printed = made.map(|made| print(&made, args.output));
    // Only now: whoever is killed while stopping must have seen the secret, which nobody can show again.
    service.stop().await;
    Ok(printed?)
}

fn print(made: &Initialised, output: Output) {
    let Initialised { organization_id, user_id, api_key, api_secret } = made;
    match output {
        Output::Json => println!(
            "{}",
            json!({
                "organization_id": organization_id, "user_id": user_id, "api_key": api_key, "api_secret": api_secret,
            })
        ),
        Output::Text => println!(
            "organization  {organization_id}\nuser          {user_id}\nAPI key       {api_key}\nAPI secret    {api_secret}\n\n\
             The secret is shown this once: keep it now."
        ),
    }
}
